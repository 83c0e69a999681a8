# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backups of all wait for their turn, and leave their instances to others until then."""

import threading
import time

import dbus
import pytest
from conftest import NAME, ROOT, instance_path, wait_for
from watcher import Watcher, finish, recovered, running

NONE = dbus.Dictionary({}, "sv")
SLUGS = ("alpha", "beta", "gamma")
STARTED = 1700000000000000


def number(path):
    return path.rpartition("/")[2]


def state(ccpd, path):
    return str(ccpd.get(path, "Job", "State"))


def job_of(ccpd, slug):
    return str(ccpd.get(instance_path(slug), "Instance", "Job"))


def restart(ccpd, slug):
    return str(ccpd.call("Instance", "Restart", dbus.Array([], "s"), NONE, path=instance_path(slug)))


def waits_for(ccpd, path, what):
    assert state(ccpd, path) == "waiting"
    wait_for(lambda: what in str(ccpd.get(path, "Job", "Message")), what=f"'{what}' instead of {ccpd.get(path, 'Job', 'Message')}")


def backup(ccpd, slug):
    return str(ccpd.call("Instance", "Backup", NONE, path=instance_path(slug)))


def at_work(ccpd, path):
    """It has its instance, and a worker."""
    wait_for(lambda: f"ccp-job@{number(path)}.service" in ccpd.starts(), what="the worker")
    assert state(ccpd, path) == "queued"


def back_up_all(ccpd):
    """The paths of the jobs by their instances, in the order of their numbers."""
    paths = [str(path) for path in ccpd.manager("BackupAll", NONE)]
    return {str(ccpd.get(path, "Job", "Instance")): path for path in sorted(paths, key=lambda path: int(number(path)))}


def rows(ccpd):
    return ccpd.postgres.sql("SELECT slug, kind, state, coalesce(spec ->> 'reason', '') FROM jobs WHERE kind <> 'create' ORDER BY id")


def cancelled(ccpd, path):
    """The sentence that it ended with; it was never begun."""
    wait_for(lambda: state(ccpd, path) == "cancelled", what="its end")
    assert not [call for call in ccpd.systemd("Calls") if f"@{number(path)}." in call]
    assert ccpd.get(path, "Job", "StartedAt") == 0 < ccpd.get(path, "Job", "FinishedAt")
    name, sentence = ccpd.get(path, "Job", "Error")
    entries = [(str(e["Outcome"]), str(e["ErrorName"])) for e in ccpd.manager("QueryAudit", dbus.Dictionary({
        "action": "BACKUP_CREATE", "instance": str(ccpd.get(path, "Job", "Instance"))}, "sv"), dbus.UInt64(9))]
    assert entries == [("cancelled", str(name)), ("accepted", "")]
    return str(name).removeprefix(f"{NAME}.Error."), str(sentence)


@pytest.fixture
def watcher(ccpd):
    """Three that run, and one backup at a time."""
    for slug in SLUGS:
        running(ccpd, slug)
    ccpd.manager("SetSettings", dbus.Dictionary({"backup_concurrency": dbus.UInt64(1)}, "sv"))
    w = Watcher(ccpd)
    w.engine(STARTED)
    w.list(*({"slug": slug} for slug in SLUGS))
    recovered(ccpd)
    yield w
    w.close()


def test_they_have_their_turn_one_after_the_other(ccpd, watcher):
    jobs = back_up_all(ccpd)
    assert tuple(jobs) == SLUGS
    for slug in SLUGS:
        at_work(ccpd, jobs[slug])
        later = SLUGS[SLUGS.index(slug) + 1:]
        assert [state(ccpd, jobs[other]) for other in later] == ["waiting"] * len(later)
        assert [job_of(ccpd, other) for other in (slug, *later)] == [jobs[slug]] + ["/"] * len(later)
        ccpd.postgres.sql(f"UPDATE jobs SET state = 'running', started_at = now() WHERE id = {number(jobs[slug])}")
        wait_for(lambda: state(ccpd, jobs[slug]) == "running", what="its worker's word")  # pylint: disable=cell-var-from-loop
        finish(ccpd, jobs[slug])
    wait_for(lambda: [state(ccpd, path) for path in jobs.values()] == ["succeeded"] * 3, what="the end of all")
    assert [job_of(ccpd, slug) for slug in SLUGS] == ["/"] * 3


def test_others_use_the_instance_meanwhile(ccpd, watcher):
    jobs = back_up_all(ccpd)
    at_work(ccpd, jobs["alpha"])
    other = restart(ccpd, "beta")
    at_work(ccpd, other)
    assert job_of(ccpd, "beta") == other
    waits_for(ccpd, jobs["beta"], "Another job is at work on its instance.")
    waits_for(ccpd, jobs["gamma"], "As many jobs as may be are at work.")
    # It is passed over, and has its turn when its instance is free.
    finish(ccpd, jobs["alpha"])
    at_work(ccpd, jobs["gamma"])
    finish(ccpd, jobs["gamma"])
    wait_for(lambda: state(ccpd, jobs["gamma"]) == "succeeded", what="the end of gamma's")
    time.sleep(0.5)
    assert state(ccpd, jobs["beta"]) == "waiting" and job_of(ccpd, "beta") == other
    finish(ccpd, other)
    at_work(ccpd, jobs["beta"])
    assert job_of(ccpd, "beta") == jobs["beta"] and ccpd.get(jobs["beta"], "Job", "Message") == ""
    with pytest.raises(dbus.DBusException) as e:
        restart(ccpd, "beta")
    assert e.value.get_dbus_name() == f"{NAME}.Error.Busy"


def test_one_that_somebody_asks_for_comes_before_those_that_wait(ccpd, watcher):
    jobs = back_up_all(ccpd)
    at_work(ccpd, jobs["alpha"])
    other = backup(ccpd, "gamma")
    assert state(ccpd, other) == "queued" and job_of(ccpd, "gamma") == other
    finish(ccpd, jobs["alpha"])
    at_work(ccpd, other)
    assert [state(ccpd, jobs[slug]) for slug in ("beta", "gamma")] == ["waiting"] * 2
    finish(ccpd, other, "failed")
    at_work(ccpd, jobs["beta"])


def test_two_calls_at_once_are_told_of_the_same_jobs(ccpd, watcher):
    def call():
        bus = dbus.bus.BusConnection(ccpd.address)
        try:
            told.append(sorted(map(str, bus.call_blocking(NAME, ROOT, f"{NAME}.Manager", "BackupAll", "a{sv}", (NONE,)))))
        finally:
            bus.close()

    told = []
    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 4 and len(told[0]) == 3 and all(paths == told[0] for paths in told), told


def test_one_that_waits_is_the_one_of_the_next_call(ccpd, watcher):
    other = restart(ccpd, "beta")
    jobs = back_up_all(ccpd)
    assert set(jobs) == set(SLUGS)
    at_work(ccpd, jobs["alpha"])
    assert back_up_all(ccpd) == jobs
    finish(ccpd, jobs["alpha"])
    finish(ccpd, other)
    wait_for(lambda: "queued" in [state(ccpd, jobs[slug]) for slug in ("beta", "gamma")], what="the next turn")
    again = back_up_all(ccpd)
    assert [again[slug] == jobs[slug] for slug in SLUGS] == [False, True, True]
    assert len(rows(ccpd)) == 5


def test_a_wait_is_cancelled_without_a_worker(ccpd, watcher):
    jobs = back_up_all(ccpd)
    at_work(ccpd, jobs["alpha"])
    assert ccpd.get(jobs["beta"], "Job", "Cancelable")
    ccpd.call("Job", "Cancel", NONE, path=jobs["beta"])
    assert cancelled(ccpd, jobs["beta"]) == ("Cancelled", "The job was cancelled.")
    assert ccpd.get(instance_path("beta"), "Instance", "State") == "running"
    assert ccpd.get(instance_path("beta"), "Instance", "Error") == ("", "")
    finish(ccpd, jobs["alpha"])
    at_work(ccpd, jobs["gamma"])
    # Once more, by the job: as one that was asked for alone.
    assert state(ccpd, str(ccpd.call("Job", "Retry", NONE, path=jobs["beta"]))) == "queued"


def test_a_cancel_that_ccpd_died_after_is_no_turn(ccpd, watcher):
    jobs = back_up_all(ccpd)
    at_work(ccpd, jobs["alpha"])
    ccpd.stop()
    ccpd.postgres.sql(f"UPDATE jobs SET cancel_requested = true WHERE id = {number(jobs['beta'])}")
    ccpd.start()
    assert cancelled(ccpd, jobs["beta"])[0] == "Cancelled"


def test_what_was_stopped_or_deleted_meanwhile(ccpd, watcher):
    jobs = back_up_all(ccpd)
    at_work(ccpd, jobs["alpha"])
    stop = str(ccpd.call("Instance", "Stop", dbus.Array([], "s"), NONE, path=instance_path("beta")))
    finish(ccpd, stop, instance_state="stopped")
    wait_for(lambda: ccpd.get(instance_path("beta"), "Instance", "State") == "stopped", what="beta to be stopped")
    assert state(ccpd, jobs["beta"]) == "waiting"
    # What is gone will never have a turn.
    ccpd.postgres.sql("DELETE FROM instances WHERE slug = 'gamma'")
    name, sentence = cancelled(ccpd, jobs["gamma"])
    assert (name, sentence.startswith("'gamma' was deleted before its turn came.")) == ("NoSuchInstance", True), sentence
    finish(ccpd, jobs["alpha"])
    assert cancelled(ccpd, jobs["beta"]) == (
        "WrongState", "'beta' was stopped before its turn came. To back it up: ccpctl start beta, then ccpctl backup create beta")
    assert ccpd.get(instance_path("beta"), "Instance", "State") == "stopped"


def test_they_wait_on_when_ccpd_is_started_anew(ccpd, watcher):
    jobs = back_up_all(ccpd)
    at_work(ccpd, jobs["alpha"])
    ccpd.stop()
    finish(ccpd, jobs["alpha"])
    ccpd.start()
    # Nobody knows yet what has to be brought back before.
    time.sleep(1)
    assert [state(ccpd, jobs[slug]) for slug in SLUGS] == ["succeeded", "waiting", "waiting"]
    assert back_up_all(ccpd)["beta"] == jobs["beta"]
    watcher.engine(STARTED)
    watcher.list(*({"slug": slug} for slug in SLUGS))
    at_work(ccpd, jobs["beta"])
    assert state(ccpd, jobs["gamma"]) == "waiting"


def test_what_docker_has_ended_is_brought_back_first(ccpd, watcher):
    ccpd.manager("SetSettings", dbus.Dictionary({"recovery_concurrency": dbus.UInt64(1)}, "sv"))
    jobs = back_up_all(ccpd)
    at_work(ccpd, jobs["alpha"])
    watcher.engine()
    waits_for(ccpd, jobs["beta"], "Docker is not available.")
    finish(ccpd, jobs["alpha"])
    wait_for(lambda: state(ccpd, jobs["alpha"]) == "succeeded", what="the end of alpha's")
    watcher.engine(STARTED + 1)
    time.sleep(0.5)
    assert [row[2] for row in rows(ccpd)] == ["succeeded", "waiting", "waiting"], "its containers are not known yet"
    waits_for(ccpd, jobs["beta"], "systemctl status ccp-watch")
    watcher.list()

    def starts():
        return dict(ccpd.postgres.sql("SELECT slug, id FROM jobs WHERE spec ->> 'reason' = 'engine' AND state = 'queued'"))

    def back(slug):
        watcher.container(slug)
        finish(ccpd, f"{ROOT}/job/{starts()[slug]}")

    def next_start():
        return wait_for(lambda: list(starts()), what="the next start")[0]

    # One at a time; what is still to be brought back is not backed up before.
    first = next_start()
    time.sleep(0.5)
    assert [state(ccpd, jobs[slug]) for slug in ("beta", "gamma")] == ["waiting"] * 2
    if first == "alpha":
        back(first)
        wait_for(lambda: "alpha" not in starts(), what="the end of alpha's start")
        first = next_start()
    last, = {"beta", "gamma"} - {first}
    # What is back has its turn, whether others are or not.
    back(first)
    at_work(ccpd, jobs[first])
    finish(ccpd, jobs[first])
    wait_for(lambda: state(ccpd, jobs[first]) == "succeeded", what="the end of the first one's")
    time.sleep(0.5)
    assert state(ccpd, jobs[last]) == "waiting"
    if next_start() == "alpha":
        back("alpha")
        wait_for(lambda: last in starts(), what="the last start")
    back(last)
    at_work(ccpd, jobs[last])


def test_what_may_still_come_back_is_waited_for(ccpd, watcher):
    jobs = back_up_all(ccpd)
    at_work(ccpd, jobs["alpha"])
    ccpd.postgres.sql("UPDATE instances SET state = 'failed', recovery_reason = 'boot', recovery_attempts = 1, recovery_at = now(), "
                      "recovery_run = (SELECT max(id) FROM recoveries) WHERE slug = 'beta'")
    wait_for(lambda: ccpd.get(instance_path("beta"), "Instance", "State") == "failed", what="beta to have failed")
    finish(ccpd, jobs["alpha"])
    at_work(ccpd, jobs["gamma"])
    finish(ccpd, jobs["gamma"])
    wait_for(lambda: state(ccpd, jobs["gamma"]) == "succeeded", what="the end of gamma's")
    time.sleep(0.5)
    waits_for(ccpd, jobs["beta"], "Its instance is brought back first.")
    # After the last attempt nobody else brings it back.
    ccpd.postgres.sql("UPDATE instances SET recovery_attempts = 99 WHERE slug = 'beta'")
    name, sentence = cancelled(ccpd, jobs["beta"])
    assert (name, "it is failed. See: ccpctl status beta" in sentence) == ("WrongState", True), sentence


def test_a_store_that_does_not_take_it_is_asked_again_later(ccpd, watcher):
    def refusals():
        return (ccpd.folder / "ccpd.log").read_text(errors="replace").count(" waits on: ")

    ccpd.postgres.sql("ALTER TABLE jobs ADD CONSTRAINT test CHECK (turn_at IS NULL)")
    jobs = back_up_all(ccpd)
    wait_for(lambda: refusals() > 0, what="the refusals")
    time.sleep(2)
    assert 1 <= refusals() <= 3 and [state(ccpd, path) for path in jobs.values()] == ["waiting"] * 3
    assert state(ccpd, restart(ccpd, "alpha")) == "queued"
    # Whoever does not want it does not wait for the next attempt.
    ccpd.call("Job", "Cancel", NONE, path=jobs["beta"])
    wait_for(lambda: state(ccpd, jobs["beta"]) == "cancelled", seconds=3, what="the end of one that was cancelled")
    ccpd.postgres.sql("ALTER TABLE jobs DROP CONSTRAINT test")
    wait_for(lambda: "queued" in [state(ccpd, path) for path in jobs.values()], seconds=30, what="the next attempt")
