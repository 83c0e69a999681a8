# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bringing instances back after a start of the Engine, and repairing what drifted, with datagrams as ccp-watch sends them."""

import dbus
import pytest
from conftest import NAME, ROOT, wait_for
from watcher import Watcher, finish, running

STARTED = 1700000000000000


@pytest.fixture
def watcher(ccpd):
    w = Watcher(ccpd)
    yield w
    w.close()


def jobs(ccpd, reason=None):
    """(slug, state, reason, attempts) of the jobs that ccpd made by itself, oldest first."""
    rows = ccpd.postgres.sql("SELECT slug, state, spec->>'reason', id FROM jobs WHERE spec ? 'reason' ORDER BY id")
    return [row for row in rows if reason in (None, row[2])]


def active(ccpd):
    return [row for row in jobs(ccpd) if row[1] in ("queued", "running")]


def end(ccpd, row, state="succeeded", instance_state="running"):
    finish(ccpd, f"{ROOT}/job/{row[3]}", state, instance_state)
    if state == "succeeded":
        ccpd.postgres.sql("UPDATE instances SET recovery_reason = 'none', recovery_attempts = 0, recovery_at = NULL "
                          f"WHERE slug = '{row[0]}' AND recovery_reason <> 'drift'")
    else:
        ccpd.postgres.sql("UPDATE jobs SET error_name = 'org.changemaker.ccp1.Error.Unhealthy', error_message = 'It is unwell.' "
                          f"WHERE id = {row[3]}")


def recovery(ccpd):
    return {str(k): v for k, v in ccpd.get(ROOT, "Manager", "Recovery").items()}


def entries(ccpd, action):
    rows = ccpd.manager("QueryAudit", dbus.Dictionary({"action": action}, "sv"), dbus.UInt64(100))
    return [(str(r["User"]), str(r["Instance"]), str(r["Outcome"]), str(r["Details"])) for r in rows]


def up(watcher, *slugs):
    for slug in slugs:
        watcher.container(slug, "web")


def settle(ccpd, watcher, *slugs):
    """The Engine is up, all runs, and a recovery with that result is on record."""
    watcher.engine(STARTED)
    watcher.list(*({"slug": slug, "service": "web"} for slug in slugs))
    wait_for(lambda: recovery(ccpd).get("EndedAt", 0) > 0, what="the end of the first recovery")


def drift(ccpd, path):
    return [(str(kind), str(subject)) for kind, subject, _ in ccpd.get(path, "Instance", "Drift")]


# --- after a start of the Engine ---


def test_what_should_run_is_started_a_few_at_a_time(ccpd, watcher):
    slugs = [f"i{n}" for n in range(5)]
    paths = [running(ccpd, slug) for slug in slugs]
    ccpd.postgres.sql("UPDATE instances SET state = 'stopped' WHERE slug = 'i4'")
    wait_for(lambda: ccpd.get(paths[4], "Instance", "State") == "stopped")
    watcher.engine(STARTED)
    watcher.list()
    for n in range(2):
        two = wait_for(lambda: len(active(ccpd)) == 2 and active(ccpd), what="two jobs")
        assert [row[2] for row in two] == ["boot", "boot"] or [row[2] for row in two] == ["engine", "engine"]
        assert recovery(ccpd)["EndedAt"] == 0 and recovery(ccpd)["Total"] == 4
        wait_for(lambda: recovery(ccpd)["Pending"] == 4 - 2 * n, what="those that are over")
        for row in two:
            up(watcher, row[0])
            end(ccpd, row)
    wait_for(lambda: recovery(ccpd)["EndedAt"] > 0, what="the summary")
    summary = recovery(ccpd)
    assert (summary["Total"], summary["Healthy"], summary["Pending"], list(summary["Failed"])) == (4, 4, 0, [])
    assert sorted(row[0] for row in jobs(ccpd)) == slugs[:4]
    assert ccpd.postgres.sql("SELECT reason, total, healthy, failed, ended_at IS NOT NULL FROM recoveries")[0][1:] == [
        "4", "4", "{}", "t"]
    user, _, outcome, details = entries(ccpd, "FLEET_RECOVER")[0]
    assert (user, outcome) == ("ccpd", "succeeded") and '"healthy":4' in details and '"total":4' in details
    assert ("ccpd", "i0", "accepted") in [e[:3] for e in entries(ccpd, "INSTANCE_START")]


def test_nothing_is_started_that_runs(ccpd, watcher):
    running(ccpd, "alpha")
    settle(ccpd, watcher, "alpha")
    assert jobs(ccpd) == [] and recovery(ccpd)["Healthy"] == 1
    # The same Engine is heard of again, as after a restart of ccp-watch.
    watcher.engine(STARTED)
    watcher.list({"slug": "alpha", "service": "web"})
    watcher.container("alpha", "web", state="exited", health="none", since=1, exit=1)
    path = f"{ROOT}/instance/alpha"
    wait_for(lambda: drift(ccpd, path) == [("stopped", "web")], what="the drift")
    assert jobs(ccpd) == []


def test_an_empty_fleet_is_no_news(ccpd, watcher):
    watcher.engine(STARTED)
    watcher.list()
    wait_for(lambda: ccpd.postgres.sql("SELECT total, ended_at IS NOT NULL FROM recoveries") == [["0", "t"]], what="the row")
    # The row is there a moment before ccpd knows that it is.
    wait_for(lambda: recovery(ccpd) == {}, what="no news")
    assert entries(ccpd, "FLEET_RECOVER") == []


def test_a_summary_is_told_when_it_is_on_record(ccpd, watcher):
    def said(text):
        return (ccpd.folder / "ccpd.log").read_text(errors="replace").count(text)

    running(ccpd, "alpha")
    ccpd.postgres.sql("ALTER TABLE recoveries ADD CHECK (ended_at IS NULL) NOT VALID")
    watcher.engine(STARTED)
    watcher.list({"slug": "alpha", "service": "web"})
    wait_for(lambda: said("It is tried again to record") > 0, what="the refusal")
    assert said("instances are healthy") == 0
    ccpd.postgres.sql("ALTER TABLE recoveries DROP CONSTRAINT recoveries_ended_at_check")
    wait_for(lambda: recovery(ccpd)["EndedAt"] > 0, seconds=60, what="the end")
    assert said("1 of 1 instances are healthy") == 1


def test_another_start_of_the_engine_is_another_recovery(ccpd, watcher):
    running(ccpd, "alpha")
    settle(ccpd, watcher, "alpha")
    watcher.engine()
    watcher.engine(STARTED + 1)
    watcher.list()
    row, = wait_for(lambda: active(ccpd), what="the job")
    assert row[2] == "engine", "it is the same boot"
    up(watcher, "alpha")
    end(ccpd, row)
    wait_for(lambda: recovery(ccpd)["EndedAt"] > 0 and recovery(ccpd)["Healthy"] == 1, what="the summary")
    assert ccpd.postgres.sql("SELECT count(*) FROM recoveries") == [["2"]]


def test_a_ccpd_that_dies_in_the_middle_goes_on(ccpd, watcher):
    for slug in ("a", "b", "c"):
        running(ccpd, slug)
    watcher.engine(STARTED)
    watcher.list()
    two = wait_for(lambda: len(active(ccpd)) == 2 and active(ccpd), what="two jobs")
    up(watcher, two[0][0])
    end(ccpd, two[0])
    wait_for(lambda: len(jobs(ccpd)) == 3, what="the third")
    ccpd.stop(9)
    ccpd.start()
    watcher.engine(STARTED)
    watcher.list({"slug": two[0][0], "service": "web"})
    for row in wait_for(lambda: len(active(ccpd)) == 2 and active(ccpd), what="two jobs"):
        up(watcher, row[0])
        end(ccpd, row)
    wait_for(lambda: recovery(ccpd).get("EndedAt", 0) > 0, what="the summary")
    assert recovery(ccpd)["Healthy"] == 3 and len(jobs(ccpd)) == 3
    assert ccpd.postgres.sql("SELECT count(*) FROM recoveries") == [["1"]]


def test_jobs_of_others_do_not_wait_for_it(ccpd, watcher):
    for n in range(4):
        running(ccpd, f"i{n}")
    other = running(ccpd, "other")
    ccpd.postgres.sql("UPDATE instances SET state = 'stopped' WHERE slug = 'other'")
    wait_for(lambda: ccpd.get(other, "Instance", "State") == "stopped")
    ccpd.manager("SetSettings", dbus.Dictionary({"recovery_concurrency": dbus.UInt64(4), "job_concurrency": dbus.UInt64(1)}, "sv"))
    watcher.engine(STARTED)
    watcher.list()
    wait_for(lambda: len(active(ccpd)) == 4, what="four jobs")
    job = ccpd.call("Instance", "Start", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=other)
    assert f"ccp-job@{job.rsplit('/', 1)[1]}.service" in ccpd.starts()


def test_one_that_does_not_come_back_is_told_and_tried_again(ccpd, watcher):
    good, bad = running(ccpd, "good"), running(ccpd, "bad")
    watcher.engine(STARTED)
    watcher.list()
    for row in wait_for(lambda: len(active(ccpd)) == 2 and active(ccpd), what="two jobs"):
        if row[0] == "good":
            up(watcher, "good")
            end(ccpd, row)
        else:
            end(ccpd, row, "failed", "failed")
    wait_for(lambda: recovery(ccpd)["EndedAt"] > 0, what="the summary")
    assert (recovery(ccpd)["Total"], recovery(ccpd)["Healthy"], list(recovery(ccpd)["Failed"])) == (2, 1, ["bad"])
    assert entries(ccpd, "FLEET_RECOVER")[0][2] == "failed"
    reason, attempts, at = ccpd.get(bad, "Instance", "Recovery")
    assert str(reason) in ("boot", "engine") and attempts == 1 and at > 0
    assert len(jobs(ccpd)) == 2 and ccpd.get(good, "Instance", "State") == "running"
    # A minute later, and so on to the last.
    for attempt in range(2, 6):
        ccpd.postgres.sql("UPDATE instances SET recovery_at = now() - interval '1 day' WHERE slug = 'bad'")
        row, = wait_for(lambda: active(ccpd), what=f"attempt {attempt}")
        assert row[0] == "bad"
        # The row is there a moment before ccpd knows that it is.
        wait_for(lambda n=attempt: ccpd.get(bad, "Instance", "Recovery")[1] == n, what=f"the count of attempt {attempt}")
        end(ccpd, row, "failed", "failed")
        wait_for(lambda: ccpd.get(bad, "Instance", "Job") == "/")
    ccpd.postgres.sql("UPDATE instances SET recovery_at = now() - interval '1 day' WHERE slug = 'bad'")
    wait_for(lambda: ccpd.get(bad, "Instance", "Recovery")[2] == 0, what="the end of the attempts")
    assert active(ccpd) == []
    # Somebody looks into it, and it counts anew.
    job = ccpd.call("Instance", "Start", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=bad)
    wait_for(lambda: ccpd.get(bad, "Instance", "Recovery")[1] == 0)
    finish(ccpd, job, "failed", "failed")
    wait_for(lambda: ccpd.get(bad, "Instance", "Job") == "/")
    assert active(ccpd) == []


def test_one_that_had_failed_before_is_nobodys_to_start(ccpd, watcher):
    running(ccpd, "alpha")
    ccpd.postgres.sql("UPDATE instances SET state = 'failed'")
    wait_for(lambda: ccpd.get(f"{ROOT}/instance/alpha", "Instance", "State") == "failed")
    watcher.engine(STARTED)
    watcher.list()
    wait_for(lambda: ccpd.postgres.sql("SELECT total, ended_at IS NOT NULL FROM recoveries") == [["0", "t"]], what="the row")
    assert jobs(ccpd) == []


def test_records_that_are_away_are_waited_for(ccpd, watcher):
    running(ccpd, "alpha")
    ccpd.postgres.kill()
    wait_for(lambda: ccpd.get(ROOT, "Manager", "StoreState") == "unavailable")
    watcher.engine(STARTED)
    watcher.list()
    wait_for(lambda: ccpd.get(ROOT, "Manager", "EngineState") == "available")
    ccpd.postgres.start()
    row, = wait_for(lambda: active(ccpd), what="the job")
    assert row[0] == "alpha"


def test_the_gate_is_waited_for(ccpd, watcher):
    ccpd.stop()
    gate = ccpd.folder / "gate"
    ccpd.environment["CCP_GATE"] = str(gate)
    ccpd.start()
    path = running(ccpd, "alpha")
    watcher.engine(STARTED)
    watcher.list()
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "unhealthy", what="the list")
    assert ccpd.postgres.sql("SELECT count(*) FROM recoveries") == [["0"]] and drift(ccpd, path) == []
    gate.touch()
    wait_for(lambda: active(ccpd), what="the job")


def test_who_sees_one_instance_sees_no_summary(ccpd, watcher):
    running(ccpd, "alpha")
    ccpd.manager("GrantRole", "client", "user", "daemon", "alpha", dbus.Dictionary({}, "sv"))
    settle(ccpd, watcher, "alpha")
    client = ccpd.person("daemon")
    assert client.value("Get", "ss", f"{NAME}.Manager", "Recovery", interface="org.freedesktop.DBus.Properties") == {}


# --- drift ---


@pytest.fixture
def alpha(ccpd, watcher):
    path = running(ccpd, "alpha")
    ccpd.postgres.sql("UPDATE instances SET revision = 1; INSERT INTO revisions (instance, number, state, images) SELECT id, 1, "
                      "'active', '{\"web\": {\"image\": \"x\", \"digest\": \"sha256:a\"}, \"db\": {\"digest\": \"sha256:b\"}}' "
                      "FROM instances")
    wait_for(lambda: ccpd.get(path, "Instance", "Revision") == 1)
    both(watcher)
    watcher.engine(STARTED)
    watcher.send("LIST=begin\n")
    both(watcher)
    watcher.send("LIST=end\n")
    wait_for(lambda: recovery(ccpd).get("EndedAt", 0) > 0, what="the end of the first recovery")
    return path


def both(watcher):
    watcher.container("alpha", "web", image_id="sha256:a")
    watcher.container("alpha", "db", image_id="sha256:b")


@pytest.mark.parametrize("fields, expected", [
    ({"state": "exited", "health": "none", "exit": 137, "stopped": 1}, [("stopped", "web")]),
    ({"state": "paused"}, [("paused", "web")]),
    ({"state": "removed", "health": "none"}, [("removed", "web")]),
    ({"image_id": "sha256:c"}, [("image", "web")]),
    ({"state": "exited", "health": "none", "stopped": 1, "image_id": "sha256:c"}, [("stopped", "web"), ("image", "web")]),
])
def test_drift_of_a_container_is_noticed_and_goes(ccpd, watcher, alpha, fields, expected):
    watcher.container("alpha", "web", **({"image_id": "sha256:a"} | fields))
    wait_for(lambda: drift(ccpd, alpha) == expected, what="the drift")
    assert ccpd.get(alpha, "Instance", "State") == "running" and jobs(ccpd) == []
    both(watcher)
    wait_for(lambda: drift(ccpd, alpha) == [], what="its end")


def test_a_crash_is_none_until_docker_gives_up(ccpd, watcher, alpha):
    now = int(ccpd.postgres.sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")[0][0])
    watcher.container("alpha", "web", state="exited", health="none", exit=1, since=now, image_id="sha256:a")
    wait_for(lambda: ccpd.get(alpha, "Instance", "Health") == "degraded")
    assert drift(ccpd, alpha) == []
    watcher.container("alpha", "web", state="exited", health="none", exit=1, since=now - 100 * 10**6, image_id="sha256:a")
    wait_for(lambda: drift(ccpd, alpha) == [("stopped", "web")])


def test_a_container_too_many(ccpd, watcher, alpha):
    watcher.container("alpha", "miner")
    wait_for(lambda: drift(ccpd, alpha) == [("extra", "miner")])


def test_files_are_told_from_the_records(ccpd, watcher, alpha):
    ccpd.postgres.sql("UPDATE instances SET changed_files = '{changed .env,added x.yml,missing a/b}', changed_files_at = now()")
    wait_for(lambda: drift(ccpd, alpha) == [("file-changed", ".env"), ("file-missing", "a/b"), ("file-added", "x.yml")])


def test_what_was_stopped_on_purpose_is_none(ccpd, watcher, alpha):
    ccpd.postgres.sql("UPDATE instances SET stopped_services = '{web}'")
    watcher.container("alpha", "web", state="exited", health="none", stopped=1, image_id="sha256:a")
    watcher.container("alpha", "db", state="paused", image_id="sha256:b")
    wait_for(lambda: drift(ccpd, alpha) == [("paused", "db")])


def test_a_job_makes_none(ccpd, watcher, alpha):
    job = ccpd.call("Instance", "Restart", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=alpha)
    watcher.container("alpha", "web", state="exited", health="none", stopped=1, image_id="sha256:a")
    wait_for(lambda: ccpd.get(alpha, "Instance", "Health") == "degraded")
    assert drift(ccpd, alpha) == []
    finish(ccpd, job)
    wait_for(lambda: drift(ccpd, alpha) == [("stopped", "web")])


def test_repair_is_set_for_one_or_all(ccpd, alpha):
    def set_repair(value):
        ccpd.call("Instance", "SetSettings", dbus.Dictionary({"repair": value}, "sv"), path=alpha)

    for value in ("on", "off", "default"):
        set_repair(value)
        assert ccpd.get(alpha, "Instance", "Repair") == value
    for bad in ({"repair": "maybe"}, {}, {"nonsense": "1"}, {"repair": dbus.UInt64(1)}):
        with pytest.raises(dbus.DBusException) as caught:
            ccpd.call("Instance", "SetSettings", dbus.Dictionary(bad, "sv"), path=alpha)
        assert caught.value.get_dbus_name() == f"{NAME}.Error.InvalidArgument"
    assert [e[:3] for e in entries(ccpd, "INSTANCE_UPDATE")] == [("root", "alpha", "succeeded")] * 3


def test_drift_is_repaired_three_times_in_an_hour(ccpd, watcher, alpha):
    ccpd.manager("SetSettings", dbus.Dictionary({"repair": "on"}, "sv"))
    for attempt in (1, 2, 3):
        watcher.container("alpha", "web", state="exited", health="none", stopped=1, image_id="sha256:a")
        ccpd.postgres.sql("UPDATE instances SET recovery_at = recovery_at - interval '10 minutes' WHERE recovery_attempts > 0")
        row, = wait_for(lambda: active(ccpd), what=f"repair {attempt}")
        assert row[2] == "drift"
        wait_for(lambda n=attempt: ccpd.get(alpha, "Instance", "Recovery")[1] == n, what=f"the count of repair {attempt}")
        both(watcher)
        end(ccpd, row)
        wait_for(lambda: ccpd.get(alpha, "Instance", "Job") == "/" and drift(ccpd, alpha) == [])
    watcher.container("alpha", "web", state="exited", health="none", stopped=1, image_id="sha256:a")
    ccpd.log.flush()
    wait_for(lambda: "repaired 3 times within an hour" in (ccpd.folder / "ccpd.log").read_text(), what="the sentence")
    assert drift(ccpd, alpha) == [("stopped", "web")] and len(jobs(ccpd)) == 3


def test_files_are_not_repaired(ccpd, watcher, alpha):
    ccpd.manager("SetSettings", dbus.Dictionary({"repair": "on"}, "sv"))
    ccpd.postgres.sql("UPDATE instances SET changed_files = '{changed .env}', changed_files_at = now() - interval '1 hour'")
    watcher.container("alpha", "miner", since=1)
    wait_for(lambda: len(drift(ccpd, alpha)) == 2)
    # What can be repaired is, and nothing else was before.
    watcher.container("alpha", "db", state="paused", image_id="sha256:b")
    wait_for(lambda: active(ccpd), what="the repair")
    assert len(jobs(ccpd)) == 1
