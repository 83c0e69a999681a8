# SPDX-License-Identifier: LGPL-2.1-or-later
"""How ccpd tells the health of instances: from what containers do at this moment and what sweeps have seen, with a stand-in for PID 1
and rows in place of the sweeps."""

import socket
import time

import dbus
import pytest
from conftest import NAME, ROOT, instance_path, wait_for
from test_authorization import grant
from test_daemon import error_of, finish

SWEEP = "ccp-health.service"
HOUR = 3_600_000_000
MINUTE = HOUR // 60


def now():
    return time.time_ns() // 1000


def options(**values):
    return dbus.Dictionary({k: dbus.UInt64(v) for k, v in values.items()}, signature="sv")


class Scene:
    """An instance that runs, with what ccp-watch says of it."""

    def __init__(self, ccpd, slug="oslo", blueprint="probed"):
        self.ccpd, self.slug = ccpd, slug
        self.path, job = ccpd.create(slug, blueprint)
        self.id = str(ccpd.get(self.path, "Instance", "Id"))
        finish(ccpd, job)
        wait_for(lambda: ccpd.get(self.path, "Instance", "State") == "running", what="the end of the create")
        self.sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sender.connect(str(ccpd.folder / "notify"))
        self.send("ENGINE=available\n")

    def send(self, text):
        self.sender.send(text.encode())

    def container(self, service, container="c1", state="running", since=None, health="none"):
        self.send(f"INSTANCE={self.slug}\nID={self.id}\nSERVICE={service}\nCONTAINER={container}\nEXIT=0\n"
                  f"SINCE={now() if since is None else since}\nHEALTH={health}\nSTATE={state}\n")

    def probes(self, service, verdict, container="c1", checked_at=None, reason=None, latency=1000):
        checked_at = now() if checked_at is None else checked_at
        reason = f"'{reason}'" if reason else "NULL"
        return (f"INSERT INTO health_probes VALUES ('{self.id}', '{service}', '{container}', '{verdict}', 0, 0, {checked_at},"
                f"{checked_at}, {latency}, {reason}, NULL) ON CONFLICT (instance, service) DO UPDATE SET verdict = excluded.verdict,"
                "container = excluded.container, reason = excluded.reason, checked_at = excluded.checked_at,"
                "since = excluded.since;")

    def swept(self, *statements, error=None, monotonic=None):
        """What a sweep leaves."""
        error = "NULL, NULL" if error is None else f"'{NAME}.Error.{error}', 'It is away.'"
        monotonic = int(time.monotonic() * 1e6) if monotonic is None else monotonic
        self.ccpd.postgres.sql("BEGIN;" + "".join(statements) + "INSERT INTO health_sweeps (began_at, began_monotonic, duration, "
                               f"n_instances, n_probes, error_name, error_message) VALUES ({now()}, {monotonic}, 0, 0, 0, {error});"
                               "SELECT pg_notify('ccpd_health', '1'); COMMIT")

    def current(self, health, since):
        return (f"INSERT INTO health_current VALUES ('{self.id}', '{health}', {since}, {now()}, NULL) ON CONFLICT (instance)"
                "DO UPDATE SET health = excluded.health, since = excluded.since, checked_at = excluded.checked_at;")

    def get(self, name):
        return self.ccpd.get(self.path, "Instance", name)

    def wait(self, health, reason=None):
        wait_for(lambda: self.get("Health") == health, what=f"{health} instead of {self.get('Health')}")
        if reason is not None:
            wait_for(lambda: self.get("HealthReason") == reason, what=f"{reason} instead of {self.get('HealthReason')}")


@pytest.fixture
def scene(ccpd):
    return Scene(ccpd)


def timers(ccpd):
    return [c for c in map(str, ccpd.systemd("Calls")) if "ccp-health@" in c]


def test_the_timer_of_the_setting_runs_and_no_other(ccpd):
    wait_for(lambda: timers(ccpd) == ["start ccp-health@30s.timer"], what="the timer")
    ccpd.manager("SetSettings", options(health_interval=120))
    wait_for(lambda: timers(ccpd)[1:] == ["stop ccp-health@30s.timer", "start ccp-health@120s.timer"], what="the other timer")
    ccpd.manager("SetSettings", options(health_interval=0))
    wait_for(lambda: timers(ccpd)[3:] == ["stop ccp-health@120s.timer"], what="its end")
    ccpd.manager("SetSettings", options(health_interval=10))
    wait_for(lambda: timers(ccpd)[4:] == ["start ccp-health@10s.timer"], what="one more")
    # It runs already, for the next ccpd.
    assert ccpd.stop() == 0
    ccpd.start()
    ccpd.manager("SetSettings", options(job_concurrency=3))
    time.sleep(0.5)
    assert len(timers(ccpd)) == 5
    for bad in (1, 9, 3601):
        assert error_of(ccpd.manager, "SetSettings", options(health_interval=bad))[0] == "InvalidArgument"


def test_what_is_asked_from_outside_waits_for_its_answer(scene):
    scene.container("web")
    scene.container("db", since=1)
    scene.wait("starting", "web: has not answered yet")
    scene.swept(scene.probes("web", "waiting", reason="answers 502"))
    scene.wait("starting", "web: answers 502")
    scene.swept(scene.probes("web", "healthy"))
    scene.wait("healthy", "")
    scene.swept(scene.probes("web", "failed", reason="answers 502"))
    scene.wait("degraded", "web: answers 502")
    # Without its database nothing is well.
    scene.container("db", state="exited")
    scene.wait("unhealthy")
    assert scene.get("HealthReason") in ("db: has ended", "web: answers 502")


def test_without_sweeps_nobody_knows_what_answers(ccpd):
    assert ccpd.stop() == 0
    ccpd.environment["CCP_SWEEP_NO_SLACK"] = "1"
    ccpd.start()
    ccpd.manager("SetSettings", options(health_interval=10))
    scene = Scene(ccpd)
    scene.container("web", since=now() - HOUR)
    scene.container("db", since=now() - HOUR)
    scene.swept(scene.probes("web", "healthy"))
    scene.wait("healthy", "")
    # One that could not look is none.
    scene.swept(error="EngineUnavailable")
    wait_for(lambda: scene.get("Health") == "unknown", 40, "the health to be unknown")
    assert "its probes are not run" in scene.get("HealthReason")
    [finding] = [f for f in ccpd.manager("Doctor") if f[0] == "sweeps"]
    assert finding[1] == "failed" and "It is away." in finding[2] and "ccp-health" in finding[3]
    [alert] = wait_for(lambda: [a for a in ccpd.manager("ListAlerts", options(), dbus.UInt64(0), dbus.UInt64(10))
                                if a["Rule"] == "sweeps-missing"], what="the alert")
    assert alert["State"] == "firing" and "It is away" in alert["Message"]
    # What a container itself tells is known all the same.
    scene.container("db", state="exited")
    scene.wait("degraded", "db: has ended")
    scene.container("db", since=now() - HOUR)
    scene.wait("unknown")
    scene.swept(scene.probes("web", "healthy"))
    scene.wait("healthy", "")
    assert [f[1] for f in ccpd.manager("Doctor") if f[0] == "sweeps"] == ["ok"]
    wait_for(lambda: [a["State"] for a in ccpd.manager("ListAlerts", options(), dbus.UInt64(0), dbus.UInt64(10))
                      if a["Rule"] == "sweeps-missing"] == ["resolved"], what="the end of the alert")


def test_a_container_that_ends_is_seen_at_once(scene):
    scene.container("web", since=now() - HOUR)
    scene.swept(scene.probes("web", "healthy"))
    scene.wait("healthy")
    scene.container("web", state="exited")
    scene.wait("unhealthy", "web: has ended")
    # Started again: what was seen of the run before says nothing.
    scene.container("web", since=now() + 2_000_000)
    scene.wait("starting")
    scene.swept(scene.probes("web", "failed", container="another", reason="answers 500"))
    time.sleep(0.3)
    assert scene.get("Health") == "starting"
    scene.swept(scene.probes("web", "healthy", checked_at=now() + 3_000_000))
    scene.wait("healthy")


def test_what_a_job_has_proven_counts_at_once(scene):
    scene.container("web")
    scene.wait("starting")
    scene.ccpd.postgres.sql(f"BEGIN; {scene.probes('web', 'healthy')} SELECT pg_notify('ccpd_health', '{scene.id}'); COMMIT")
    # Not even the three seconds of a container without a healthcheck.
    wait_for(lambda: scene.get("Health") == "healthy", seconds=2, what="health")


def test_optional_services_degrade_and_one_shots_may_end(scene):
    scene.container("web")
    scene.container("mail", container="c2")
    scene.swept(scene.probes("web", "healthy"), scene.probes("mail", "failed", container="c2", reason="does not listen on port 1"))
    scene.wait("degraded", "mail: does not listen on port 1")


def test_a_failure_that_nobody_looks_after_does_not_count(scene):
    scene.container("web", since=now() - HOUR)
    scene.swept(scene.probes("web", "failed", reason="answers 502"))
    scene.wait("unhealthy")
    scene.ccpd.manager("SetSettings", options(health_interval=0))
    scene.wait("healthy")


def test_health_outlasts_a_restart_of_the_daemon(scene):
    since = now() - 5 * HOUR
    scene.container("web", since=since)
    scene.swept(scene.probes("web", "failed", reason="answers 502"), scene.current("unhealthy", since + HOUR))
    scene.wait("unhealthy")
    assert scene.get("HealthSince") > since + 2 * HOUR
    assert scene.ccpd.stop() == 0
    scene.ccpd.start()
    scene.send("ENGINE=available\n")
    scene.send("LIST=begin\n")
    scene.container("web", since=since)
    scene.send("LIST=end\n")
    scene.wait("unhealthy", "web: answers 502")
    assert scene.get("HealthSince") == since + HOUR
    # From now on ccpd itself knows.
    scene.swept(scene.probes("web", "healthy"))
    scene.wait("healthy")
    assert scene.get("HealthSince") > since + 2 * HOUR


def test_a_sweep_that_changes_nothing_wakes_nobody(scene):
    grant(scene.ccpd, "viewer", "user", "daemon")
    viewer = scene.ccpd.person("daemon")
    viewer.value("Subscribe")
    scene.container("web", since=now() - HOUR)
    scene.swept(scene.probes("web", "healthy"))
    # What changed is told a moment later, and would be taken for what comes next.
    wait_for(lambda: any(s[0] == "PropertiesChanged" and s[1] == scene.path and s[2][1].get("Health") == "healthy"
                         for s in viewer.signals()), what="the signal that it is healthy")
    for _ in range(3):
        scene.swept(scene.probes("web", "healthy", latency=now() % 1000))
    scene.swept(scene.probes("web", "failed", reason="answers 502"))
    scene.wait("unhealthy")
    changes = wait_for(lambda: [s for s in viewer.signals() if s[0] == "PropertiesChanged" and s[1] == scene.path], what="the signal")
    assert len(changes) == 1 and changes[0][2][1]["HealthReason"] == "web: answers 502"


# --- CheckHealth ---

def check(scene, **kwargs):
    """Asks on a connection of its own; the answer comes later."""
    person = scene.ccpd.person("root")
    person.send("CheckHealth", "a{sv}", {}, path=scene.path, interface=f"{NAME}.Instance", **kwargs)
    return person


def sweeps_started(scene):
    return [c for c in map(str, scene.ccpd.systemd("Calls")) if c == f"start {SWEEP}"]


@pytest.fixture
def held(scene):
    """Sweeps end when they are told to."""
    scene.ccpd.systemd("Hold", SWEEP)
    scene.container("web", since=now() - HOUR)
    scene.container("db", container="c2", since=now() - HOUR)
    wait_for(lambda: len(scene.get("Services")) == 2, what="the containers")
    return scene


def test_a_check_answers_with_what_a_new_sweep_saw(held):
    caller = check(held)
    wait_for(lambda: sweeps_started(held), what="the sweep")
    held.swept(held.probes("web", "failed", reason="answers 502", latency=4321), held.current("degraded", now()))
    held.ccpd.systemd("Finish", SWEEP, "done")
    answer = caller.answer()["value"]
    assert (answer["Health"], answer["HealthReason"]) == ("degraded", "web: answers 502")
    assert abs(answer["CheckedAt"] - now()) < MINUTE
    services = {s["Service"]: s for s in answer["Services"]}
    assert (services["web"]["Verdict"], services["web"]["Reason"], services["web"]["Latency"]) == ("failed", "answers 502", 4321)
    assert (services["db"]["Verdict"], services["db"]["Reason"], services["db"]["Latency"]) == ("healthy", "", 0)


def test_callers_share_a_sweep_but_not_one_that_had_begun(held):
    first = check(held)
    wait_for(lambda: len(sweeps_started(held)) == 1, what="the sweep")
    # As of now it has looked already.
    begun = int(time.monotonic() * 1e6)
    others = [check(held) for _ in range(3)]
    # All three have been taken when this is answered, once they are out: each is sent by a process of its own.
    for other in others:
        assert held.ccpd.manager("GetInstance", "oslo") == held.path
    time.sleep(1)
    assert len(sweeps_started(held)) == 1
    held.swept(held.probes("web", "healthy"), monotonic=begun)
    held.ccpd.systemd("Finish", SWEEP, "done")
    assert first.answer()["value"]["Health"] == "healthy"
    wait_for(lambda: len(sweeps_started(held)) == 2, what="one more sweep")
    held.swept(held.probes("web", "failed", reason="answers 502"))
    held.ccpd.systemd("Finish", SWEEP, "done")
    assert {other.answer()["value"]["Health"] for other in others} == {"degraded"}
    assert len(sweeps_started(held)) == 2


def test_a_sweep_that_can_not_look_is_an_error(held):
    caller = check(held)
    wait_for(lambda: sweeps_started(held), what="the sweep")
    held.swept(error="EngineUnavailable")
    held.ccpd.systemd("Finish", SWEEP, "done")
    answer = caller.answer()
    assert answer["error"] == f"{NAME}.Error.EngineUnavailable" and answer["message"] == "It is away."


def test_one_user_cannot_have_all_calls_wait(held):
    grant(held.ccpd, "operator", "user", "daemon")
    operator = held.ccpd.person("daemon")
    operator.send("CheckHealth", "a{sv}", {}, path=held.path, interface=f"{NAME}.Instance", repeat=40)
    wait_for(lambda: sweeps_started(held), what="the sweep")
    # Nobody else waits for them.
    grant(held.ccpd, "viewer", "user", "games")
    assert held.ccpd.person("games").value("GetInstance", "s", "oslo") == held.path
    held.swept()
    held.ccpd.systemd("Finish", SWEEP, "done")
    assert operator.answer()["value"] == {"": 32, f"{NAME}.Error.LimitExceeded": 8}


def test_a_sweep_that_fails_or_does_nothing_is_an_error(held):
    caller = check(held)
    wait_for(lambda: sweeps_started(held), what="the sweep")
    held.ccpd.systemd("Finish", SWEEP, "failed")
    answer = caller.answer()
    assert answer["error"] == f"{NAME}.Error.Internal" and SWEEP in answer["message"]

    caller = check(held)
    for n in range(2, 5):
        wait_for(lambda n=n: len(sweeps_started(held)) == n, what="a sweep")
        held.ccpd.systemd("Finish", SWEEP, "done")
    assert caller.answer()["error"] == f"{NAME}.Error.Busy"
    held.ccpd.systemd("SetMode", "refuse")
    assert check(held).answer()["error"] == f"{NAME}.Error.Internal"


def test_a_check_survives_the_end_of_its_instance_and_of_the_daemon(held):
    caller = check(held)
    wait_for(lambda: sweeps_started(held), what="the sweep")
    held.ccpd.postgres.sql("DELETE FROM instances")
    wait_for(lambda: error_is(held, "NoSuchInstance"), what="the end of the instance")
    held.swept()
    held.ccpd.systemd("Finish", SWEEP, "done")
    assert caller.answer()["error"] == f"{NAME}.Error.NoSuchInstance"


def error_is(scene, name):
    try:
        scene.ccpd.manager("GetInstance", scene.slug)
    except dbus.DBusException as e:
        return e.get_dbus_name().endswith(name)
    return False


def test_there_is_nothing_to_look_at_where_nothing_runs(held):
    caller = check(held)
    wait_for(lambda: sweeps_started(held), what="the sweep")
    stop = held.ccpd.call("Instance", "Stop", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=held.path)
    name, message = error_of(held.ccpd.call, "Instance", "CheckHealth", options(), path=held.path)
    assert name == "Busy" and stop.rsplit("/", 1)[1] in message
    finish(held.ccpd, stop, instance_state="stopped")
    held.wait("unknown")
    wait_for(lambda: held.get("Job") == "/", what="the end of the job")
    assert error_of(held.ccpd.call, "Instance", "CheckHealth", options(), path=held.path)[0] == "WrongState"
    assert error_of(held.ccpd.call, "Instance", "CheckHealth", options(nonsense=1), path=held.path)[0] == "InvalidArgument"
    held.swept()
    held.ccpd.systemd("Finish", SWEEP, "done")
    assert caller.answer()["value"]["Health"] == "unknown"


def test_checking_is_operating_and_reading_is_viewing(held):
    grant(held.ccpd, "viewer", "user", "daemon")
    grant(held.ccpd, "client", "user", "bin", "oslo")
    other = Scene(held.ccpd, "bergen")
    viewer, client, nobody = (held.ccpd.person(u) for u in ("daemon", "bin", "sys"))
    # What the rules answer to these roles.
    held.ccpd.polkit("Answer", "operate", "no")
    held.ccpd.polkit("Questions")
    for person in (viewer, client, nobody):
        assert person.instance("oslo", "CheckHealth", "a{sv}", {})["error"] == f"{NAME}.Error.NotAuthorized"
    assert {(q[1], q[4]) for q in held.ccpd.polkit("Questions")} == {(f"{NAME}.operate", "check-health")}
    assert len(client.instance("oslo", "QueryHealth", "a{sv}", {})["value"]) == 1
    for person, slug in ((client, other.slug), (client, "absent"), (nobody, "oslo"), (nobody, "absent")):
        assert person.instance(slug, "QueryHealth", "a{sv}", {})["error"] == f"{NAME}.Error.NotAuthorized"
    assert [p["Slug"] for p in client.value("QueryHealth", "a{sv}", {})] == ["oslo"]
    assert {p["Slug"] for p in viewer.value("QueryHealth", "a{sv}", {})} == {"oslo", "bergen"}
    assert nobody.error("QueryHealth", "a{sv}", {}) == "NotAuthorized"


# --- history ---

def samples(scene, health, since, n, step=MINUTE, latency="NULL"):
    scene.ccpd.postgres.sql(f"INSERT INTO health_samples SELECT '{scene.id}', {since} + n::bigint * {step}, '{health}', {latency} "
                            f"FROM generate_series(0, {n - 1}) n")


def query(scene, **kwargs):
    return scene.ccpd.call("Instance", "QueryHealth", options(**kwargs), path=scene.path)


def test_history_counts_what_is_known(scene):
    begin = now() - 3 * HOUR
    samples(scene, "healthy", begin, 30, latency=2000)
    samples(scene, "degraded", begin + 30 * MINUTE, 30, latency=8000)
    samples(scene, "unhealthy", begin + 60 * MINUTE, 15)
    samples(scene, "starting", begin + 75 * MINUTE, 5)
    samples(scene, "unknown", begin + 80 * MINUTE, 40)
    # The last hour: nothing.
    whole, = query(scene)
    assert [whole[k] for k in ("Healthy", "Degraded", "Unhealthy", "Starting", "Unknown")] == [30, 30, 15, 5, 40]
    assert whole["Uptime"] == 60 / 80
    assert 1800 < whole["P50"] < 2200 and 7200 < whole["P95"] < 8800 and whole["P95"] == whole["P99"]
    periods = query(scene, since=begin, until=begin + 3 * HOUR, step=30 * MINUTE)
    assert [(p["Healthy"], p["Degraded"], p["Unhealthy"], p["Starting"], p["Unknown"]) for p in periods] == [
        (30, 0, 0, 0, 0), (0, 30, 0, 0, 0), (0, 0, 15, 5, 10), (0, 0, 0, 0, 30), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0)]
    assert [p.get("Uptime") for p in periods] == [1, 1, 0, None, None, None]
    assert [("P50" in p) for p in periods] == [True, True, False, False, False, False]
    assert [int(p["Since"]) for p in periods] == [begin + n * 30 * MINUTE for n in range(6)]
    assert all(p["Until"] == p["Since"] + 30 * MINUTE for p in periods)


def test_history_reaches_back_by_hours(scene):
    hour = now() // HOUR * HOUR
    scene.ccpd.postgres.sql(
        "INSERT INTO health_hours SELECT '{0}', {1} - n::bigint * {2}, 0, 0, 90, 10, 20, '{{30,40}}', '{{99,1}}' FROM generate_series(1, 400) n;"
        "UPDATE health_rolled_up SET until = {1}".format(scene.id, hour, HOUR))
    samples(scene, "healthy", hour, 1)
    month, = query(scene, since=now() - 16 * 24 * HOUR)
    assert (month["Healthy"], month["Degraded"], month["Unhealthy"]) == (16 * 24 * 90 + 1, 16 * 24 * 10, 16 * 24 * 20)
    assert month["P50"] < month["P99"] * 2 and "P95" in month
    days = query(scene, since=now() - 16 * 24 * HOUR, step=24 * HOUR)
    assert len(days) == 17 and all(abs(d["Uptime"] - 100 / 120) < 0.0001 for d in days[:16])
    fleet, = scene.ccpd.manager("QueryHealth", options(since=now() - 16 * 24 * HOUR))
    assert fleet["Slug"] == "oslo" and fleet["Healthy"] == month["Healthy"] and "P50" not in fleet


@pytest.mark.parametrize("bad, name", [
    ({"since": 2, "until": 1}, "InvalidArgument"),
    ({"step": 1}, "InvalidArgument"),
    ({"step": 90 * MINUTE}, "InvalidArgument"),
    ({"since": 1, "step": HOUR}, "LimitExceeded"),
    ({"since": 1, "step": MINUTE}, "InvalidArgument"),
    ({"since": 2 ** 64 - 1}, "InvalidArgument"),
    ({"nonsense": 1}, "InvalidArgument"),
])
def test_questions_that_can_not_be_answered_are_said(scene, bad, name):
    assert error_of(query, scene, **bad)[0] == name


def test_questions_about_the_fleet_are_limited(scene):
    assert error_of(scene.ccpd.manager, "QueryHealth", options(since=1))[0] == "LimitExceeded"
    assert error_of(scene.ccpd.manager, "QueryHealth", options(step=HOUR))[0] == "InvalidArgument"


def test_without_the_store_live_health_goes_on(scene):
    scene.container("web", since=now() - HOUR)
    scene.swept(scene.probes("web", "healthy"))
    scene.wait("healthy")
    scene.ccpd.postgres.kill()
    try:
        wait_for(lambda: scene.ccpd.get(ROOT, "Manager", "StoreState") == "unavailable", what="the end of the store")
        assert error_of(query, scene)[0] == "StoreUnavailable"
        assert error_of(scene.ccpd.call, "Instance", "CheckHealth", options(), path=scene.path)[0] == "StoreUnavailable"
        assert scene.get("Health") == "healthy"
        scene.container("web", state="exited")
        scene.wait("unhealthy", "web: has ended")
    finally:
        scene.ccpd.postgres.start()
    wait_for(lambda: scene.ccpd.get(ROOT, "Manager", "StoreState") == "available", what="the store")
    assert len(query(scene)) == 1


def test_an_engine_that_is_away_makes_nobody_ill(scene):
    scene.container("web", since=now() - HOUR)
    scene.swept(scene.probes("web", "failed", reason="answers 502"))
    scene.wait("unhealthy")
    scene.send("ENGINE=unavailable\n")
    scene.wait("unknown", "")
    assert instance_path(scene.slug) == scene.path
