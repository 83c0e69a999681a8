# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ccpd does on the bus, whatever PID 1 and PostgreSQL do."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import xml.etree.ElementTree as ET

import dbus
import pytest
from conftest import NAME, ROOT, wait_for

SOURCE = pathlib.Path(__file__).parents[3]


def error_of(call, *args, **kwargs):
    with pytest.raises(dbus.DBusException) as caught:
        call(*args, **kwargs)
    return caught.value.get_dbus_name().removeprefix(f"{NAME}.Error."), caught.value.get_dbus_message()


def is_gone(ccpd, slug):
    try:
        ccpd.manager("GetInstance", slug)
    except dbus.DBusException as e:
        return e.get_dbus_name() == f"{NAME}.Error.NoSuchInstance"
    return False


def count(ccpd, table):
    return int(ccpd.postgres.sql(f"SELECT count(*) FROM {table}")[0][0])


def nothing_recorded(ccpd):
    return all(count(ccpd, t) == 0 for t in ("instances", "ports", "subnets", "secrets", "jobs"))


def finish(ccpd, job, state="succeeded", instance_state="running"):
    """What a worker writes at its end."""
    number = job.rsplit("/", 1)[1]
    ccpd.postgres.sql(f"BEGIN; UPDATE job_steps SET state = 'done', finished_at = now() WHERE job = {number};"
                      f"UPDATE jobs SET state = '{state}', attempt = 1, finished_at = now() WHERE id = {number};"
                      f"UPDATE instances SET state = '{instance_state}' WHERE id = (SELECT instance FROM jobs WHERE id = {number});"
                      "COMMIT")
    ccpd.systemd("EndUnit", f"ccp-job@{number}.service")


def test_create_answers_with_objects_that_are_there(ccpd):
    instance, job = ccpd.create("edmonton", name="Edmonton Chapter", parameters=dbus.Dictionary({"token": "s3cret"}, "ss"))
    assert instance == f"{ROOT}/instance/edmonton"
    assert ccpd.get(instance, "Instance", "State") == "provisioning"
    assert ccpd.get(instance, "Instance", "Domain") == "edmonton.example.org"
    assert ccpd.get(instance, "Instance", "Job") == job
    ports = ccpd.get(instance, "Instance", "Ports")
    assert 10000 <= ports["web"] <= 10999 and 14000 <= ports["api"] <= 14999
    assert ccpd.get(instance, "Instance", "Subnet").endswith("/26")
    assert "token" not in ccpd.get(instance, "Instance", "Parameters")
    assert ccpd.starts() == [f"ccp-job@{job.rsplit('/', 1)[1]}.service"]
    steps = ccpd.get(job, "Job", "Steps")
    assert [s[2] for s in steps[:5]] == ["done"] * 4 + ["pending"]
    assert [str(s[1]) for s in steps] == ["validate", "allocate", "secrets", "record", "folder", "source", "context",
                                          "render", "static", "pull", "build", "infrastructure", "application"]
    assert "s3cret" not in str(ccpd.postgres.sql("SELECT * FROM secrets")) + str(ccpd.postgres.sql("SELECT * FROM jobs"))
    objects = ccpd.call("org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    assert {instance, job} <= set(objects)


def test_progress_does_not_fall_back_before_the_end(ccpd):
    _, job = ccpd.create("edmonton")
    number = job.rsplit("/", 1)[1]
    ccpd.postgres.sql(f"UPDATE jobs SET state = 'running', attempt = 1 WHERE id = {number}")
    ccpd.postgres.sql(f"UPDATE job_steps SET state = 'done', finished_at = now() WHERE job = {number}")
    wait_for(lambda: {str(s[2]) for s in ccpd.get(job, "Job", "Steps")} == {"done"}, what="the steps")
    assert ccpd.get(job, "Job", "State") == "running"
    assert ccpd.get(job, "Job", "Progress") == 1.0


def test_a_list_of_jobs_tells_how_far_they_are(ccpd):
    _, job = ccpd.create("edmonton")
    number = job.rsplit("/", 1)[1]
    ccpd.postgres.sql(f"UPDATE jobs SET state = 'running', attempt = 1 WHERE id = {number}")
    ccpd.postgres.sql(f"UPDATE job_steps SET state = 'running', started_at = now() WHERE job = {number} AND number = 5")
    wait_for(lambda: ccpd.get(job, "Job", "Step") == 5, what="the step")
    row, = ccpd.manager("ListJobs", dbus.Dictionary({}, "sv"), dbus.UInt64(0), dbus.UInt64(10))
    assert row["Step"] == 5 and row["Progress"] > 0
    assert row == {name: ccpd.get(job, "Job", name) for name in row}


def test_the_end_of_a_job_is_announced(ccpd):
    instance, job = ccpd.create("edmonton")
    finish(ccpd, job)
    wait_for(lambda: ccpd.get(job, "Job", "State") == "succeeded", what="the job's end")
    assert ccpd.get(job, "Job", "Progress") == 1.0
    # Who knows of the end knows what became of the instance, though that is told after it here.
    assert ccpd.get(instance, "Instance", "State") == "running"
    assert ccpd.get(instance, "Instance", "Job") == "/"
    stop = ccpd.call("Instance", "Stop", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=instance)
    assert ccpd.get(stop, "Job", "Kind") == "stop"
    name, message = error_of(ccpd.call, "Instance", "Start", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=instance)
    assert name == "Busy" and stop.rsplit("/", 1)[1] in message
    history = ccpd.manager("ListJobs", dbus.Dictionary({}, "sv"), dbus.UInt64(0), dbus.UInt64(10))
    assert [j["Kind"] for j in history] == ["stop", "create"]


def test_services_are_started_and_stopped_by_name(ccpd):
    instance, job = ccpd.create("edmonton")
    finish(ccpd, job)
    wait_for(lambda: ccpd.get(instance, "Instance", "State") == "running" and ccpd.get(instance, "Instance", "Job") == "/")

    def run(method, *services, state="succeeded"):
        made = ccpd.call("Instance", method, dbus.Array(services, "s"), dbus.Dictionary({}, "sv"), path=instance)
        spec = ccpd.postgres.sql(f"SELECT spec FROM jobs WHERE id = {made.rsplit('/', 1)[1]}")[0][0]
        finish(ccpd, made, state)
        wait_for(lambda: ccpd.get(instance, "Instance", "Job") == "/")
        return spec

    assert run("Stop", "web") == '{"services": ["web"]}' and run("Start") == "{}" and run("Restart") == "{}"
    assert error_of(run, "Stop", "nonsense") == (
        "InvalidArgument", "'edmonton' has no service 'nonsense'. See: ccpctl status edmonton")
    # What the worker records of it at the end.
    ccpd.postgres.sql("UPDATE instances SET stopped_services = '{web}'")
    wait_for(lambda: ccpd.get(instance, "Instance", "StoppedServices") == ["web"])
    ccpd.postgres.sql("UPDATE instances SET state = 'stopped'")
    wait_for(lambda: ccpd.get(instance, "Instance", "State") == "stopped")
    name, message = error_of(run, "Start", "web")
    assert name == "WrongState" and "ccpctl start edmonton" in message


@pytest.mark.parametrize("slug", ["../x", "a..b", "x" * 64, "Upper", "", "-a", "a-", "a b", "ä", "a/b", "a\n"])
def test_bad_slugs_are_refused(ccpd, slug):
    assert error_of(ccpd.create, slug, domain="a.example.org")[0] == "InvalidArgument"
    assert nothing_recorded(ccpd)


@pytest.mark.parametrize("options, name, word", [
    ({"domain": "no dots"}, "InvalidArgument", "domain"),
    ({"domain": "-x.example.org"}, "InvalidArgument", ""),
    ({"domain": "1.2.3.4"}, "InvalidArgument", ""),
    ({"domain": ""}, "InvalidArgument", "domain"),
    ({"colour": "red"}, "InvalidArgument", "colour"),
    ({"domain": dbus.UInt64(1)}, "InvalidArgument", "domain"),
    ({"name": "a\nb"}, "InvalidArgument", ""),
    ({"features": dbus.Array(["nonsense"], "s")}, "InvalidArgument", "nonsense"),
    ({"parameters": dbus.Dictionary({"nonsense": "1"}, "ss")}, "InvalidArgument", "nonsense"),
    ({"parameters": dbus.Dictionary({"greeting": "a\nb"}, "ss")}, "InvalidArgument", "greeting"),
    ({"parameters": dbus.Dictionary({"replicas": "10"}, "ss")}, "InvalidArgument", "replicas"),
    ({"parameters": dbus.Dictionary({"greeting": "x" * 1024 * 1024}, "ss")}, "LimitExceeded", ""),
    ({"source": "relative"}, "InvalidArgument", "absolute"),
])
def test_bad_options_are_refused_by_name(ccpd, options, name, word):
    got, message = error_of(ccpd.create, "edmonton", **options)
    assert (got, word in message) == (name, True), message
    assert nothing_recorded(ccpd)


@pytest.mark.parametrize("value", ["it's", 'say "hi"', "$HOME", "{{slug}}", "a;b", "#x", "  ", "\\n"])
def test_odd_values_are_kept_as_they_are(ccpd, value):
    instance, _ = ccpd.create("edmonton", parameters=dbus.Dictionary({"greeting": value}, "ss"))
    assert ccpd.get(instance, "Instance", "Parameters")["greeting"] == value


def test_blueprints_are_checked(ccpd):
    assert error_of(ccpd.create, "edmonton", blueprint="nonsense")[0] == "NoSuchBlueprint"
    name, message = error_of(ccpd.create, "edmonton", blueprint="broken")
    assert name == "BlueprintInvalid" and "colour" in message and ":4:1" in message
    assert error_of(ccpd.create, "edmonton", blueprint="../trivial")[0] in ("NoSuchBlueprint", "InvalidArgument")
    assert nothing_recorded(ccpd)
    listed = {str(b[0]): str(b[1]) for b in ccpd.manager("ListBlueprints")}
    assert set(listed) == {"trivial", "tiny-range", "broken", "probed"} and "colour" in listed["broken"]


def test_a_slug_or_domain_is_taken_once(ccpd):
    ccpd.create("edmonton", domain="e.example.org")
    assert error_of(ccpd.create, "edmonton", domain="f.example.org") == (
        "SlugTaken", "There is an instance 'edmonton' already. Choose another slug.")
    assert error_of(ccpd.create, "calgary", domain="E.example.org")[0] == "DomainTaken"
    assert count(ccpd, "instances") == 1


def test_a_range_of_ports_is_used_up(ccpd):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 28001))
        listener.listen()
        ports = [int(ccpd.get(ccpd.create(s, "tiny-range")[0], "Instance", "Ports")["web"]) for s in ("a", "b")]
        assert ports == [28000, 28002]
        name, message = error_of(ccpd.create, "c", "tiny-range")
        assert name == "PortsExhausted" and "28000" in message
    assert count(ccpd, "instances") == 2


def test_two_hundred_creates_at_once_share_nothing(ccpd):
    results, errors = [], []
    # One after the other: the bus lets only some callers in at a time, and libdbus waits for that with Python's lock held.
    connections = [dbus.bus.BusConnection(ccpd.address) for _ in range(200)]

    def create(number):
        bus = connections[number]
        try:
            results.append(ccpd.manager("CreateInstance", f"i{number}", "trivial",
                                        dbus.Dictionary({"domain": f"i{number}.example.org"}, signature="sv"),
                                        bus=bus, timeout=60))
        except dbus.DBusException as e:
            errors.append(str(e))

    threads = [threading.Thread(target=create, args=(n,)) for n in range(200)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for bus in connections:
        bus.close()
    assert not errors and len(results) == 200
    assert count(ccpd, "ports") == 400 and count(ccpd, "subnets") == 200
    assert len(ccpd.postgres.sql("SELECT DISTINCT number FROM ports")) == 400
    assert len(ccpd.starts()) <= 64, "no more workers than the setting allows"


def test_a_race_for_one_slug_has_one_winner(ccpd):
    outcomes = []

    def create():
        bus = dbus.bus.BusConnection(ccpd.address)
        try:
            ccpd.manager("CreateInstance", "edmonton", "trivial",
                         dbus.Dictionary({"domain": "e.example.org"}, signature="sv"), bus=bus)
            outcomes.append("won")
        except dbus.DBusException as e:
            outcomes.append(e.get_dbus_name().removeprefix(f"{NAME}.Error."))
        bus.close()

    threads = [threading.Thread(target=create) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert outcomes.count("won") == 1 and set(outcomes) <= {"won", "SlugTaken", "DomainTaken"}


def test_a_hanging_pid1_delays_nobody_else(ccpd):
    instance, _ = ccpd.create("calgary")
    ccpd.systemd("SetMode", "hang")
    bus = dbus.bus.BusConnection(ccpd.address)
    waiting = threading.Thread(target=lambda: pytest.raises(dbus.DBusException, ccpd.manager, "CreateInstance", "edmonton",
                                                            "trivial", dbus.Dictionary({"domain": "e.example.org"}, "sv"),
                                                            bus=bus, timeout=3))
    waiting.start()
    wait_for(lambda: count(ccpd, "instances") == 2)
    begin = time.monotonic()
    for _ in range(20):
        assert ccpd.manager("GetInstance", "calgary") == instance
    # It hangs for good: who waited for it would not be answered at all.
    assert time.monotonic() - begin < 5.0
    waiting.join()


def test_the_answer_may_come_after_the_signal(ccpd):
    ccpd.systemd("SetMode", "early")
    assert ccpd.create("edmonton")[0] == f"{ROOT}/instance/edmonton"


@pytest.mark.parametrize("mode, word", [("fail", "ccp-job@"), ("refuse", "polkit")])
def test_a_unit_that_does_not_start_leaves_nothing(ccpd, mode, word):
    ccpd.systemd("SetMode", mode)
    name, message = error_of(ccpd.create, "edmonton")
    assert name == "Internal" and word in message
    wait_for(lambda: count(ccpd, "instances") == 0, what="the release of the record")
    assert count(ccpd, "ports") == 0 and count(ccpd, "secrets") == 0
    wait_for(lambda: is_gone(ccpd, "edmonton"))


@pytest.mark.parametrize("mode", ["away", "stopping", "off"])
def test_a_start_of_which_pid1_says_nothing_is_asked_for_again(ccpd, mode):
    ccpd.systemd("SetMode", mode)
    assert error_of(ccpd.create, "edmonton")[0] == "Busy"
    assert count(ccpd, "instances") == 1, "a worker may be at work on it"
    before = len(ccpd.starts())
    ccpd.systemd("SetMode", "done")
    wait_for(lambda: len(ccpd.starts()) > before, what="the next try")
    assert ccpd.get(f"{ROOT}/instance/edmonton", "Instance", "State") == "provisioning"


def test_units_that_could_not_be_listed_are_listed_later(ccpd):
    _, job = ccpd.create("edmonton")
    ccpd.systemd("EndUnit", f"ccp-job@{job.rsplit('/', 1)[1]}.service")
    ccpd.stop(signal.SIGKILL)
    before = len(ccpd.starts())
    ccpd.systemd("SetMode", "no-list")
    ccpd.start()
    time.sleep(1)
    assert len(ccpd.starts()) == before, "what runs is not known"
    ccpd.systemd("SetMode", "done")
    wait_for(lambda: len(ccpd.starts()) > before, what="the start of the lost job")


def test_the_end_of_the_bus_is_a_failure_for_pid1_to_repair(ccpd):
    ccpd.bus.set_exit_on_disconnect(False)
    ccpd.bus_process.terminate()
    ccpd.bus_process.wait()
    assert ccpd.process.wait(20) != 0
    ccpd.systemd_process.kill()
    ccpd.systemd_process.wait()
    ccpd.up()


def test_a_second_ccpd_does_not_run_beside_the_first(ccpd):
    second = subprocess.run([os.environ["CCPD"]], env=ccpd.environment, stderr=subprocess.PIPE, text=True, timeout=30)
    assert second.returncode != 0 and "another process has it" in second.stderr
    assert ccpd.get(ROOT, "Manager", "StoreState") == "available"


def test_postgresql_away_refuses_changes_and_comes_back(ccpd):
    instance, job = ccpd.create("calgary")
    ccpd.postgres.kill()
    try:
        wait_for(lambda: ccpd.get(ROOT, "Manager", "StoreState") == "unavailable", what="the notice")
        name, message = error_of(ccpd.create, "edmonton")
        assert name == "StoreUnavailable" and "postgresql" in message
        assert ccpd.manager("GetInstance", "calgary") == instance, "reads go on from memory"
        assert ccpd.get(instance, "Instance", "State") == "provisioning"
    finally:
        ccpd.postgres.start()
    wait_for(lambda: ccpd.get(ROOT, "Manager", "StoreState") == "available", what="the reconnection")
    ccpd.create("edmonton")
    # What changed meanwhile is seen too.
    finish(ccpd, job)
    wait_for(lambda: ccpd.get(instance, "Instance", "State") == "running")


def test_a_worker_that_ends_while_postgresql_is_away_is_started_again(ccpd):
    _, job = ccpd.create("edmonton")
    unit = f"ccp-job@{job.rsplit('/', 1)[1]}.service"
    ccpd.postgres.kill()
    try:
        wait_for(lambda: ccpd.get(ROOT, "Manager", "StoreState") == "unavailable", what="the notice")
        ccpd.systemd("EndUnit", unit)
        assert ccpd.get(job, "Job", "State") == "queued" and ccpd.starts().count(unit) == 1
    finally:
        ccpd.postgres.start()
    wait_for(lambda: ccpd.starts().count(unit) == 2, what="another start")


def test_postgresql_away_at_the_start(ccpd):
    ccpd.stop()
    ccpd.postgres.kill()
    try:
        ccpd.start()
        assert error_of(ccpd.manager, "GetInstance", "x")[0] == "StoreUnavailable"
        assert error_of(ccpd.create, "edmonton")[0] == "StoreUnavailable"
    finally:
        ccpd.postgres.start()
    wait_for(lambda: ccpd.get(ROOT, "Manager", "StoreState") == "available")
    ccpd.create("edmonton")


def test_a_restart_finds_running_jobs_and_starts_lost_ones(ccpd):
    _, running = ccpd.create("calgary")
    _, lost = ccpd.create("edmonton")
    number = lost.rsplit("/", 1)[1]
    ccpd.stop(signal.SIGKILL)
    ccpd.systemd("EndUnit", f"ccp-job@{number}.service")
    before = ccpd.starts()
    ccpd.start()
    wait_for(lambda: len(ccpd.starts()) > len(before), what="the start of the lost job")
    assert ccpd.starts()[len(before):] == [f"ccp-job@{number}.service"]
    assert ccpd.get(running, "Job", "State") in ("queued", "running")


def test_a_worker_that_never_gets_anywhere_is_given_up(ccpd):
    _, job = ccpd.create("edmonton")
    unit = f"ccp-job@{job.rsplit('/', 1)[1]}.service"
    for n in range(1, 6):
        wait_for(lambda n=n: ccpd.starts().count(unit) == n, what=f"start {n}")
        ccpd.systemd("EndUnit", unit)
    wait_for(lambda: ccpd.get(job, "Job", "State") == "failed", what="the end")
    assert "journalctl" in ccpd.get(job, "Job", "Error")[1]
    wait_for(lambda: count(ccpd, "instances") == 0)


def test_a_reload_of_systemd_ends_no_job(ccpd):
    _, job = ccpd.create("edmonton")
    for _ in range(8):
        ccpd.systemd("Reload")
        assert ccpd.get(job, "Job", "State") in ("queued", "running")
    time.sleep(3)
    assert len(ccpd.starts()) == 1
    ccpd.call("Job", "Cancel", dbus.Dictionary({}, "sv"), path=job)
    wait_for(lambda: f"stop ccp-job@{job.rsplit('/', 1)[1]}.service" in ccpd.systemd("Calls"))


def test_cancel_is_recorded_and_stops_the_unit(ccpd):
    _, job = ccpd.create("edmonton")
    number = job.rsplit("/", 1)[1]
    ccpd.call("Job", "Cancel", dbus.Dictionary({}, "sv"), path=job)
    assert ccpd.postgres.sql(f"SELECT cancel_requested FROM jobs WHERE id = {number}") == [["t"]]
    wait_for(lambda: f"stop ccp-job@{number}.service" in ccpd.systemd("Calls"))
    assert ccpd.get(job, "Job", "Cancelable") == 0


def test_a_failed_create_can_be_tried_again(ccpd):
    _, job = ccpd.create("edmonton", name="Edmonton", parameters=dbus.Dictionary({"greeting": "hi"}, "ss"))
    number = job.rsplit("/", 1)[1]
    assert error_of(ccpd.call, "Job", "Retry", dbus.Dictionary({}, "sv"), path=job)[0] == "WrongState"
    ccpd.postgres.sql(f"BEGIN; UPDATE jobs SET state = 'failed', finished_at = now() WHERE id = {number};"
                      "DELETE FROM instances; COMMIT")
    ccpd.systemd("EndUnit", f"ccp-job@{number}.service")
    wait_for(lambda: is_gone(ccpd, "edmonton"))
    wait_for(lambda: ccpd.get(job, "Job", "State") == "failed")
    ccpd.call("Job", "Retry", dbus.Dictionary({}, "sv"), path=job)
    instance = ccpd.manager("GetInstance", "edmonton")
    assert ccpd.get(instance, "Instance", "Name") == "Edmonton"
    assert ccpd.get(instance, "Instance", "Parameters")["greeting"] == "hi"


def test_datagrams_tell_progress_engine_and_containers(ccpd):
    instance, job = ccpd.create("edmonton")
    uuid = ccpd.get(instance, "Instance", "Id")
    finish(ccpd, job)
    wait_for(lambda: ccpd.get(instance, "Instance", "State") == "running")
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.connect(str(ccpd.folder / "notify"))

    def send(text):
        sender.send(text.encode())

    send("ENGINE=available\n")
    wait_for(lambda: ccpd.get(ROOT, "Manager", "EngineState") == "available")
    container = f"INSTANCE=edmonton\nID={uuid}\nSERVICE=web\nCONTAINER=c1\nEXIT=0\nSINCE=1\nHEALTH=healthy\n"
    send(container + "STATE=running\n")
    wait_for(lambda: ccpd.get(instance, "Instance", "Health") == "healthy")
    assert [str(x) for x in ccpd.get(instance, "Instance", "Services")[0][:4]] == ["web", "service", "running", "healthy"]
    send(container.replace("EXIT=0", "EXIT=137") + "STATE=exited\n")
    wait_for(lambda: ccpd.get(instance, "Instance", "Health") == "unhealthy")
    # Another instance's container, nonsense, and a foreign job change nothing.
    send(container.replace(uuid, "00000000-0000-0000-0000-000000000000") + "STATE=running\n")
    for nonsense in ("", "x" * 9000, "INSTANCE=\n", "JOB=-1\nPROGRESS=5\n", "JOB=1\nPROGRESS=99\n", "\0\xff"):
        sender.send(nonsense.encode("latin-1"))
    send("LIST=begin\n")
    send("LIST=end\n")
    wait_for(lambda: len(ccpd.get(instance, "Instance", "Services")) == 0)
    send("ENGINE=unavailable\n")
    wait_for(lambda: ccpd.get(ROOT, "Manager", "EngineState") == "unavailable")
    assert error_of(ccpd.create, "calgary")[0] == "EngineUnavailable"
    assert ccpd.get(instance, "Instance", "Health") == "unknown"


def test_settings_are_checked_and_kept(ccpd):
    ccpd.manager("SetSettings", dbus.Dictionary({"job_concurrency": dbus.UInt64(1), "port_range_web": "29000-29001"}, "sv"))
    assert ccpd.manager("GetSettings")["job_concurrency"] == 1
    for bad in ({"nonsense": "1"}, {"subnet_pool": "8.8.8.8/3"}, {"port_range_web": "9-1"}, {"job_concurrency": dbus.UInt64(0)}):
        assert error_of(ccpd.manager, "SetSettings", dbus.Dictionary(bad, "sv"))[0] == "InvalidArgument"
    many = dbus.Dictionary({f"port_range_r{n}": "29000-29001" for n in range(300)}, "sv")
    assert error_of(ccpd.manager, "SetSettings", many)[0] == "LimitExceeded"
    # One at a time: the second waits, and its caller does not.
    ccpd.create("a")
    _, second = ccpd.create("b")
    assert ccpd.get(second, "Job", "State") == "queued" and len(ccpd.starts()) == 1


def test_plan_makes_nothing(ccpd):
    plan = ccpd.manager("PlanInstance", "edmonton", "trivial", dbus.Dictionary({"domain": "e.example.org"}, "sv"))
    assert set(plan["ports"]) == {"web", "api"} and plan["files"] == ["docker-compose.yml"] and len(plan["steps"]) == 13
    assert nothing_recorded(ccpd)
    assert error_of(ccpd.manager, "PlanInstance", "Bad", "trivial", dbus.Dictionary({}, "sv"))[0] == "InvalidArgument"


def test_a_missing_key_is_said_by_name(ccpd):
    ccpd.stop()
    (ccpd.folder / "ccpd.master-key").rename(ccpd.folder / "gone")
    ccpd.start()
    name, message = error_of(ccpd.create, "edmonton")
    assert name == "KeyMissing" and "ccp-setup" in message
    assert nothing_recorded(ccpd)


def test_nobody_but_root_gets_an_answer(ccpd):
    ccpd.create("edmonton")

    def as_nobody(*argv):
        return subprocess.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "busctl",
                               f"--address={ccpd.address}", *argv], capture_output=True, text=True, check=False)

    for argv in (["call", NAME, ROOT, f"{NAME}.Manager", "GetInstance", "s", "edmonton"],
                 ["get-property", NAME, ROOT, f"{NAME}.Manager", "Version"],
                 ["get-property", NAME, f"{ROOT}/instance/edmonton", f"{NAME}.Instance", "Slug"],
                 ["call", NAME, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"],
                 ["call", NAME, f"{ROOT}/instance", "org.freedesktop.DBus.Introspectable", "Introspect"],
                 ["call", NAME, f"{ROOT}/instance/nonsense", f"{NAME}.Instance", "Start", "asa{sv}", "0", "0"]):
        result = as_nobody(*argv)
        assert result.returncode != 0 and "You may not" in result.stderr, (argv, result.stderr, result.stdout)
        # Nothing but what was asked for comes back.
        assert "edmonton" not in result.stdout and ("edmonton" not in result.stderr or "edmonton" in " ".join(argv))


def test_log_control(ccpd):
    path, interface = "/org/freedesktop/LogControl1", "org.freedesktop.LogControl1"
    get = lambda p: ccpd.call("org.freedesktop.DBus.Properties", "Get", interface, p, path=path)
    assert (get("LogLevel"), get("SyslogIdentifier")) == ("debug", "ccpd")
    ccpd.call("org.freedesktop.DBus.Properties", "Set", interface, "LogLevel",
              dbus.String("warning", variant_level=1), path=path)
    assert get("LogLevel") == "warning"


def own_interfaces(ccpd, path):
    """The introspection of our interface at a path, in the form that dbus/*.xml has."""
    text = str(ccpd.call("org.freedesktop.DBus.Introspectable", "Introspect", path=path))
    root = ET.fromstring(re.sub(r"<!DOCTYPE[^>]*>", "", text))
    for interface in root.findall("interface"):
        if interface.get("name").startswith(NAME):
            ET.indent(interface)
            yield interface.get("name"), ET.tostring(interface, encoding="unicode").strip() + "\n"


def test_the_interface_files_are_those_of_the_daemon(ccpd):
    instance, job = ccpd.create("edmonton")
    found = {}
    for path in (ROOT, instance, job, f"{ROOT}/blueprint/trivial"):
        found.update(own_interfaces(ccpd, path))
    assert set(found) == {f"{NAME}.{i}" for i in ("Manager", "Instance", "Job", "Blueprint")}
    for name, text in found.items():
        file = SOURCE / "dbus" / f"{name}.xml"
        expected = ('<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->\n<!DOCTYPE node PUBLIC '
                    '"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
                    '        "https://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n'
                    f"<node>\n{text}</node>\n")
        if os.environ.get("CCP_UPDATE_XML"):
            file.write_text(expected)
        assert file.read_text() == expected, f"run with CCP_UPDATE_XML=1 to write {file}"
