# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backups by schedule: which timers there are, what is due when one of them knocks, and what is told if none does."""

import time

import dbus
import pytest
from conftest import NAME, ROOT, instance_path, wait_for
from test_backup_life import make_backup
from watcher import Watcher, finish, idle, running

NIGHT = "*-*-* 02:30"
TIMERS = {"daily": "ccp-schedule@daily.timer", "hourly": "ccp-schedule@hourly.timer",
          NIGHT: "ccp-schedule@\\x2a\\x2d\\x2a\\x2d\\x2a\\x2002:30.timer"}


@pytest.fixture
def watcher(ccpd):
    w = Watcher(ccpd)
    w.engine(started=0)
    yield w
    w.close()


def settings(ccpd, **values):
    ccpd.manager("SetSettings", dbus.Dictionary(
        {k: dbus.UInt64(v) if isinstance(v, int) else v for k, v in values.items()}, "sv"))


def set_schedule(ccpd, slug, expression):
    ccpd.call("Instance", "SetSettings", dbus.Dictionary({"backup_schedule": expression}, "sv"), path=instance_path(slug))


def timers(ccpd):
    """Those that run, by what was asked of PID 1."""
    alive = set()
    for call in ccpd.systemd("Calls"):
        verb, _, unit = str(call).partition(" ")
        if unit.startswith("ccp-schedule@") and "bad" not in unit:
            (alive.add if verb == "start" else alive.discard)(unit)
    return alive


def knock(ccpd, expression, times=1):
    """What ccp-schedule does when its timer elapses; several times in one moment."""
    ccpd.postgres.sql(times * (f"INSERT INTO schedules (expression, knock, knocked_at) VALUES ('{expression}', nextval('schedule_knocks'), now()) "
                               "ON CONFLICT (expression) DO UPDATE SET knock = excluded.knock, knocked_before = schedules.knocked_at, "
                               "knocked_at = excluded.knocked_at; "))


def jobs(ccpd, *states, kind="backup"):
    """(slug, id) of the scheduled jobs of the kind in these states, oldest first."""
    return [tuple(row) for row in ccpd.postgres.sql(
        f"SELECT slug, id FROM jobs WHERE kind = '{kind}' AND spec ? 'schedule' "
        f"AND state IN ({', '.join(repr(state) for state in states or ('queued', 'running', 'undoing'))}) ORDER BY id")]


def end(ccpd, job, state="succeeded"):
    if state == "succeeded":
        make_backup(ccpd, job[0], job=job[1])
    finish(ccpd, f"{ROOT}/job/{job[1]}", state)


def quiet(ccpd, seconds=1):
    """Nothing is begun."""
    time.sleep(seconds)
    return jobs(ccpd) == []


def test_there_is_one_timer_for_each_expression(ccpd):
    for slug in ("alpha", "beta", "gamma"):
        running(ccpd, slug)
    assert timers(ccpd) == set()
    settings(ccpd, backup_schedule="daily")
    wait_for(lambda: timers(ccpd) == {TIMERS["daily"]}, what="the timer")
    set_schedule(ccpd, "alpha", NIGHT)
    set_schedule(ccpd, "beta", NIGHT)
    wait_for(lambda: timers(ccpd) == {TIMERS["daily"], TIMERS[NIGHT]}, what="the second timer")
    set_schedule(ccpd, "gamma", "off")
    wait_for(lambda: timers(ccpd) == {TIMERS[NIGHT]}, what="the end of one that nobody goes by")
    # A start of ccpd finds them as they are, or makes them so.
    ccpd.stop()
    ccpd.postgres.sql("UPDATE instances SET backup_settings = '{\"backup_schedule\": \"hourly\"}' WHERE slug = 'beta'")
    ccpd.start()
    wait_for(lambda: timers(ccpd) == {TIMERS[NIGHT], TIMERS["hourly"]}, what="the timers of now")
    for slug in ("alpha", "beta"):
        set_schedule(ccpd, slug, "default")
    set_schedule(ccpd, "gamma", "default")
    wait_for(lambda: timers(ccpd) == {TIMERS["daily"]}, what="the fleet's")
    settings(ccpd, backup_schedule="")
    wait_for(lambda: timers(ccpd) == set(), what="none")


@pytest.mark.parametrize("expression", ["bad day", "a;b", " daily", "x" * 300, "daily\n"])
def test_what_is_no_expression_is_refused_with_a_reason(ccpd, expression):
    running(ccpd, "alpha")
    for set_it in (lambda: settings(ccpd, backup_schedule=expression), lambda: set_schedule(ccpd, "alpha", expression)):
        with pytest.raises(dbus.DBusException) as e:
            set_it()
        assert e.value.get_dbus_name() == f"{NAME}.Error.InvalidArgument"
    if expression == "bad day":
        assert "Unit ccp-schedule@bad\\x20day.timer has a bad unit file setting." in e.value.get_dbus_message()
    assert ccpd.manager("GetSettings")["backup_schedule"] == "off"
    assert dict(ccpd.get(instance_path("alpha"), "Instance", "BackupSettings")) == {}
    assert timers(ccpd) == set()


def test_without_pid_1_nothing_is_set(ccpd):
    running(ccpd, "alpha")
    ccpd.systemd("SetMode", "refuse")
    with pytest.raises(dbus.DBusException) as e:
        settings(ccpd, backup_schedule="daily")
    assert e.value.get_dbus_name() == f"{NAME}.Error.Internal"
    assert ccpd.manager("GetSettings")["backup_schedule"] == "off"
    ccpd.systemd("SetMode", "done")
    settings(ccpd, backup_schedule="daily")


def test_a_knock_backs_up_a_few_at_a_time(ccpd, watcher):
    slugs = [f"i{n}" for n in range(5)]
    for slug in slugs:
        running(ccpd, slug)
    settings(ccpd, backup_schedule="daily", backup_keep_last=5)
    assert quiet(ccpd)
    knock(ccpd, "daily", times=2)
    done = []
    while len(done) < 5:
        two = wait_for(lambda n=min(2, 5 - len(done)): len(jobs(ccpd)) == n and jobs(ccpd), what="the next jobs")
        time.sleep(0.3)
        assert len(jobs(ccpd)) <= 2
        end(ccpd, two[0])
        done.append(two[0][0])
    # Each once, however often it knocked.
    assert sorted(done) == slugs and quiet(ccpd)
    [[spec, by]] = ccpd.postgres.sql("SELECT spec, started_by FROM jobs WHERE kind = 'backup' AND slug = 'i0'")
    assert by == "ccpd" and '"schedule": "daily"' in spec and '"retention": {"last": 5, "daily": 7, "weekly": 4, "monthly": 6}' in spec
    # Others than the scheduled ones count, too.
    for slug in slugs[:3]:
        ccpd.call("Instance", "Backup", dbus.Dictionary({}, "sv"), path=instance_path(slug))
    states = "SELECT state FROM jobs WHERE kind = 'backup' AND NOT spec ? 'schedule' ORDER BY id"
    assert len(ccpd.postgres.sql(states)) == 3
    assert len([unit for unit in ccpd.starts()]) == 5 + 5 + 2


def test_what_has_another_job_has_its_turn_later(ccpd, watcher):
    path = running(ccpd, "alpha")
    settings(ccpd, backup_schedule="daily")
    job = ccpd.call("Instance", "Restart", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=path)
    knock(ccpd, "daily")
    assert quiet(ccpd)
    finish(ccpd, job)
    [backup] = wait_for(lambda: jobs(ccpd), what="the backup")
    # Another knock while it is at work asks for another one after it.
    knock(ccpd, "daily")
    end(ccpd, backup)
    [again] = wait_for(lambda: [job for job in jobs(ccpd) if job != backup], what="the next backup")
    end(ccpd, again, "failed")
    # One that failed waits for the next knock.
    assert quiet(ccpd)


def test_what_is_stopped_is_left_out_until_it_runs(ccpd, watcher):
    running(ccpd, "alpha")
    settings(ccpd, backup_schedule="daily")
    ccpd.postgres.sql("UPDATE instances SET state = 'stopped'")
    wait_for(lambda: ccpd.get(instance_path("alpha"), "Instance", "State") == "stopped")
    knock(ccpd, "daily")
    wait_for(lambda: log_count(ccpd, "is left out, and made when it runs again"), what="the line of the journal")
    assert quiet(ccpd)
    assert log_count(ccpd, "is left out, and made when it runs again") == 1
    ccpd.postgres.sql("UPDATE instances SET state = 'running'")
    wait_for(lambda: jobs(ccpd), what="the backup")


def test_a_knock_while_ccpd_is_away_is_not_lost(ccpd, watcher):
    running(ccpd, "alpha")
    settings(ccpd, backup_schedule="daily")
    wait_for(lambda: timers(ccpd), what="the timer")
    ccpd.stop(9)
    knock(ccpd, "daily")
    ccpd.start()
    watcher.engine(started=0)
    [backup] = wait_for(lambda: jobs(ccpd), what="the backup")
    # And done once: the record says so.
    ccpd.stop(9)
    ccpd.start()
    end(ccpd, backup)
    assert quiet(ccpd)


def test_new_ones_and_new_schedules_wait_for_the_next_knock(ccpd, watcher):
    running(ccpd, "alpha")
    settings(ccpd, backup_schedule="daily")
    knock(ccpd, "daily")
    end(ccpd, wait_for(lambda: jobs(ccpd), what="the backup")[0])
    running(ccpd, "beta")
    set_schedule(ccpd, "beta", "hourly")
    set_schedule(ccpd, "beta", "daily")
    settings(ccpd, backup_schedule="hourly")
    settings(ccpd, backup_schedule="daily")
    assert quiet(ccpd)
    knock(ccpd, "daily")
    wait_for(lambda: {slug for slug, _ in jobs(ccpd)} == {"alpha", "beta"}, what="both")


# --- drills ---


def drills(ccpd):
    return jobs(ccpd, kind="drill")


def next_drill(ccpd, slug):
    """The one that is at work, which is the only one; its id."""
    wait_for(lambda: drills(ccpd), what="the next drill")
    time.sleep(0.3)
    [(found, number)] = drills(ccpd)
    assert found == slug
    return number


def end_drill(ccpd, number, state="succeeded"):
    """As a worker does it."""
    if state == "succeeded":
        ccpd.postgres.sql("WITH d AS (UPDATE backups SET drilled_at = clock_timestamp(), drill_took = 5 WHERE id = "
                          f"(SELECT (spec ->> 'backup')::bigint FROM jobs WHERE id = {number}) RETURNING instance, drilled_at) "
                          "UPDATE instances i SET drilled_at = d.drilled_at FROM d WHERE i.id = d.instance")
    error = f"error_name = '{NAME}.Error.Failed', error_message = 'It is torn.', " if state == "failed" else ""
    ccpd.postgres.sql(f"UPDATE job_steps SET state = 'done', finished_at = now() WHERE job = {number};"
                      f"UPDATE jobs SET state = '{state}', {error}attempt = 1, finished_at = now() WHERE id = {number}")
    ccpd.systemd("EndUnit", f"ccp-job@{number}.service")


def no_drill(ccpd):
    time.sleep(1)
    return drills(ccpd) == []


def log_count(ccpd, text):
    ccpd.log.flush()
    return (ccpd.folder / "ccpd.log").read_text().count(text)


def test_drills_go_by_a_schedule_of_their_own(ccpd):
    running(ccpd, "alpha")
    settings(ccpd, drill_schedule="hourly", backup_schedule="daily")
    wait_for(lambda: timers(ccpd) == {TIMERS["daily"], TIMERS["hourly"]}, what="both timers")
    settings(ccpd, backup_schedule="hourly")
    wait_for(lambda: timers(ccpd) == {TIMERS["hourly"]}, what="one for both")
    settings(ccpd, backup_schedule="off")
    time.sleep(0.5)
    assert timers(ccpd) == {TIMERS["hourly"]}
    # Each is judged, and nothing is set if one is none.
    for values in ({"drill_schedule": "bad day"}, {"backup_schedule": "daily", "drill_schedule": "bad day"},
                   {"backup_schedule": "bad day", "drill_schedule": "daily"}, {"drill_schedule": "a;b"}):
        with pytest.raises(dbus.DBusException) as e:
            settings(ccpd, **values)
        assert e.value.get_dbus_name() == f"{NAME}.Error.InvalidArgument"
    assert (ccpd.manager("GetSettings")["drill_schedule"], ccpd.manager("GetSettings")["backup_schedule"]) == ("hourly", "off")
    wait_for(lambda: timers(ccpd) == {TIMERS["hourly"]}, what="the end of what was judged")
    settings(ccpd, drill_schedule="")
    wait_for(lambda: timers(ccpd) == set(), what="none")


def test_a_round_of_drills(ccpd, watcher):
    for slug in ("alpha", "beta", "gamma", "delta", "empty", "halted"):
        running(ccpd, slug)
    for slug in ("alpha", "beta", "gamma", "delta", "halted"):
        make_backup(ccpd, slug, created="now() - interval '9 days'")
    newest = make_backup(ccpd, "beta")
    make_backup(ccpd, "beta", state="damaged")
    make_backup(ccpd, "empty", state="damaged")
    # Of gamma the backup is gone that was drilled.
    ccpd.postgres.sql("UPDATE instances SET drilled_at = now() - interval '1 day' WHERE slug = 'alpha';"
                      "UPDATE instances SET drilled_at = now() - interval '2 days' WHERE slug = 'gamma';"
                      "UPDATE instances SET state = 'stopped' WHERE slug = 'halted'")
    wait_for(lambda: ccpd.get(instance_path("halted"), "Instance", "State") == "stopped")
    settings(ccpd, drill_schedule="daily")
    assert no_drill(ccpd)
    # It has a job, and comes later though it was never drilled.
    job = ccpd.call("Instance", "Restart", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=instance_path("delta"))
    knock(ccpd, "daily", times=2)

    number = next_drill(ccpd, "beta")
    [[spec, by]] = ccpd.postgres.sql(f"SELECT spec, started_by FROM jobs WHERE id = {number}")
    assert by == "ccpd" and spec == f'{{"backup": "{newest}", "schedule": "daily"}}'
    assert ccpd.get(f"{ROOT}/job/{number}", "Job", "Reason") == "schedule"
    end_drill(ccpd, number)
    wait_for(lambda: ccpd.get(instance_path("beta"), "Instance", "LastDrilledAt") > 0, what="when it was drilled")
    # In the middle of the round, and of a drill.
    number = next_drill(ccpd, "gamma")
    ccpd.stop(9)
    ccpd.start()
    watcher.engine(started=0)
    assert next_drill(ccpd, "gamma") == number
    finish(ccpd, job)
    end_drill(ccpd, number, "failed")
    end_drill(ccpd, next_drill(ccpd, "delta"))
    end_drill(ccpd, next_drill(ccpd, "alpha"))
    # One that failed waits for the next knock, too.
    assert no_drill(ccpd)
    # Each was told of once.
    assert log_count(ccpd, "'empty' has no verified backup: this round of drills leaves it out.") == 1
    assert log_count(ccpd, "'halted' does not run: this round of drills leaves it out.") == 1
    ccpd.postgres.sql("UPDATE instances SET state = 'running'")
    make_backup(ccpd, "empty")
    assert no_drill(ccpd)
    knock(ccpd, "daily")
    # Those that were never drilled come first.
    end_drill(ccpd, next_drill(ccpd, "empty"))
    next_drill(ccpd, "halted")


def test_a_drill_by_hand_is_waited_for(ccpd, watcher):
    for slug in ("alpha", "beta"):
        running(ccpd, slug)
    backup = make_backup(ccpd, "alpha")
    make_backup(ccpd, "beta")
    settings(ccpd, drill_schedule="daily")
    job = str(ccpd.manager("DrillBackup", backup, dbus.Dictionary({}, "sv")))
    knock(ccpd, "daily")
    assert no_drill(ccpd)
    finish(ccpd, job)
    end_drill(ccpd, next_drill(ccpd, "alpha"))
    next_drill(ccpd, "beta")


def test_what_is_new_waits_for_the_next_round(ccpd, watcher):
    running(ccpd, "alpha")
    make_backup(ccpd, "alpha")
    settings(ccpd, drill_schedule="daily")
    knock(ccpd, "daily")
    end_drill(ccpd, next_drill(ccpd, "alpha"))
    running(ccpd, "beta")
    make_backup(ccpd, "beta")
    settings(ccpd, drill_schedule="hourly")
    settings(ccpd, drill_schedule="daily")
    assert no_drill(ccpd)
    knock(ccpd, "daily")
    end_drill(ccpd, next_drill(ccpd, "beta"))


# --- what is told ---


def firing(ccpd):
    rows = ccpd.manager("ListAlerts", dbus.Dictionary({"state": "firing"}, "sv"), dbus.UInt64(0), dbus.UInt64(100))
    return {(str(row["Rule"]), str(row["Message"])) for row in rows if str(row["Instance"]) == "alpha"}


def rules(ccpd):
    return {rule for rule, _ in firing(ccpd)}


def test_a_backup_that_failed_is_told_until_one_succeeds(ccpd, watcher):
    path = running(ccpd, "alpha")
    finish(ccpd, str(ccpd.call("Instance", "Backup", dbus.Dictionary({}, "sv"), path=path)), "failed")
    wait_for(lambda: rules(ccpd) == {"backup-failed"}, what="the alert")
    idle(ccpd, path)
    # Another job that succeeds says nothing of it.
    finish(ccpd, str(ccpd.call("Instance", "Restart", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=path)))
    idle(ccpd, path)
    assert rules(ccpd) == {"backup-failed"}
    finish(ccpd, str(ccpd.call("Instance", "Backup", dbus.Dictionary({}, "sv"), path=path)))
    wait_for(lambda: rules(ccpd) == set(), what="the end")


def test_a_damaged_backup_is_told_until_it_is_gone(ccpd, watcher):
    running(ccpd, "alpha")
    make_backup(ccpd, "alpha")
    damaged = make_backup(ccpd, "alpha", state="damaged")
    wait_for(lambda: firing(ccpd) == {("backup-damaged", f"a backup of alpha is damaged: 1 of 2, backup {damaged}")}, what="the alert")
    ccpd.postgres.sql(f"DELETE FROM backups WHERE id = {damaged}")
    wait_for(lambda: rules(ccpd) == set(), what="the end")


def test_a_damaged_backup_of_what_is_gone_is_told_until_it_is_gone(ccpd, watcher):
    def told():
        rows = ccpd.manager("ListAlerts", dbus.Dictionary({"state": "firing"}, "sv"), dbus.UInt64(0), dbus.UInt64(100))
        return {str(row["Message"]) for row in rows if row["Rule"] == "gone-backup-damaged"}

    running(ccpd, "alpha")
    damaged = make_backup(ccpd, "alpha", state="damaged")
    make_backup(ccpd, "alpha")
    wait_for(lambda: rules(ccpd) == {"backup-damaged"}, what="the alert of the instance")
    assert told() == set()
    ccpd.postgres.sql("DELETE FROM instances WHERE slug = 'alpha'")
    wait_for(lambda: told() == {f"a backup of an instance that is gone is damaged: 1 of 2, backup {damaged}"}, what="the alert")
    assert rules(ccpd) == set()
    ccpd.postgres.sql(f"UPDATE backups SET state = 'verified' WHERE id = {damaged}")
    wait_for(lambda: told() == set(), what="its end")


def test_when_it_is_due_is_what_pid_1_says(ccpd, watcher):
    running(ccpd, "alpha")
    ccpd.systemd("SetNext", TIMERS["daily"], dbus.UInt64(1893456000000000))
    settings(ccpd, backup_schedule="daily")
    wait_for(lambda: ccpd.postgres.sql("SELECT expression, extract(epoch FROM next_at)::bigint FROM schedules") == [
        ["daily", "1893456000"]], what="the record")
    settings(ccpd, backup_schedule="off")
    wait_for(lambda: ccpd.postgres.sql("SELECT count(*) FROM schedules") == [["0"]], what="its end")


@pytest.mark.parametrize("why", ["knocked", "silent"])
def test_a_backup_that_is_overdue_is_told(ccpd, watcher, why):
    """Whether its timer came and nothing was made, or did not come at all."""
    running(ccpd, "alpha")
    settings(ccpd, backup_schedule="daily", alert_backup_hours=1)
    wait_for(lambda: timers(ccpd), what="the timer")
    make_backup(ccpd, "alpha", created="now() - interval '2 days'")
    ccpd.postgres.sql("UPDATE instances SET backup_scheduled_at = now() - interval '3 days', "
                      "backup_knock = nextval('schedule_knocks') + 1000")
    ago = "now() - interval '90 minutes'"
    if why == "knocked":
        ccpd.postgres.sql(f"INSERT INTO schedules VALUES ('daily', 1, {ago}, now() + interval '1 day')")
    else:
        ccpd.postgres.sql(f"INSERT INTO schedules VALUES ('daily', 1, now() - interval '3 days', {ago})")
    # It must be so for a minute: what just runs again gets its backup first.
    time.sleep(5)
    assert rules(ccpd) == set()
    [(rule, message)] = wait_for(lambda: firing(ccpd), seconds=70, what="the alert")
    assert rule == "backup-missing" and "one was due on " in message and "the newest is of " in message
    make_backup(ccpd, "alpha")
    wait_for(lambda: rules(ccpd) == set(), what="the end")


def test_a_drill_that_failed_is_told_until_one_succeeds(ccpd, watcher):
    running(ccpd, "alpha")
    make_backup(ccpd, "alpha")
    settings(ccpd, drill_schedule="daily")
    knock(ccpd, "daily")
    end_drill(ccpd, next_drill(ccpd, "alpha"), "failed")
    wait_for(lambda: firing(ccpd) == {("drill-failed", "the last drill of alpha failed: It is torn")}, what="the alert")
    # Once more, at the next knock.
    knock(ccpd, "daily")
    end_drill(ccpd, next_drill(ccpd, "alpha"))
    wait_for(lambda: rules(ccpd) == set(), what="the end")


@pytest.mark.parametrize("why", ["refused", "silent"])
def test_a_backup_that_two_rounds_did_not_drill_is_told(ccpd, watcher, why):
    running(ccpd, "alpha")
    settings(ccpd, drill_schedule="daily")
    wait_for(lambda: timers(ccpd), what="the timer")
    make_backup(ccpd, "alpha")
    ccpd.postgres.sql("UPDATE instances SET drill_scheduled_at = now() - interval '9 days', drilled_at = now() - interval '3 days', "
                      "drill_knock = nextval('schedule_knocks')")
    # Its turn came, and nothing of it; or its timer did not come, twice.
    before, knocked, following = ("47 hours", "23 hours", "-1 hours") if why == "refused" else ("4 days", "68 hours", "34 hours")
    ccpd.postgres.sql("INSERT INTO schedules (expression, knock, knocked_before, knocked_at, next_at) VALUES ('daily', 1, "
                      f"now() - interval '{before}', now() - interval '{knocked}', now() - interval '{following}')")
    time.sleep(5)
    assert rules(ccpd) == set()
    [(rule, message)] = wait_for(lambda: firing(ccpd), seconds=70, what="the alert")
    assert rule == "backup-undrilled" and "one was due on " in message and "the last one that succeeded is of " in message
    # A round that is under way does not end it, a drill does.
    knock(ccpd, "daily")
    drill = next_drill(ccpd, "alpha")
    assert rules(ccpd) == {"backup-undrilled"}
    end_drill(ccpd, drill)
    wait_for(lambda: rules(ccpd) == set(), what="the end")
