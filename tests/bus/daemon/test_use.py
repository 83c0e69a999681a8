# SPDX-License-Identifier: LGPL-2.1-or-later
"""What instances use, and the metrics: from made-up control groups, for those who may see it."""

import dbus
import pytest
from conftest import NAME, instance_path, wait_for
from watcher import Watcher, running

FILES = {"cpu.stat": "usage_usec 5000000\nuser_usec 1\n", "memory.current": "1000\n", "memory.stat": "inactive_file 300\n",
         "memory.max": "max\n", "memory.peak": "2000\n", "memory.events": "oom_kill 1\n", "pids.current": "7\n",
         "io.stat": "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 rios=1\n"}
CONTAINER = "0123456789abcdef" * 4


def options(**values):
    return dbus.Dictionary(values, signature="sv")


def grant(ccpd, role, name, instance=""):
    ccpd.manager("GrantRole", role, "user", name, instance, options())


def group(ccpd, slug, container=None, **files):
    """A made-up control group, of the instance or of a container."""
    escaped = slug.replace("-", "\\x2d")
    folder = ccpd.folder / "cgroup/ccp.slice" / f"ccp-{escaped}.slice"
    if container:
        folder /= f"docker-{container}.scope"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (FILES | files).items():
        if text is not None:
            (folder / name).write_text(text)
    return folder


def use(ccpd, slug):
    return ccpd.call("Instance", "GetUse", options(), path=instance_path(slug))


def metrics(ccpd, bus=None, **values):
    with open(ccpd.manager("GetMetrics", options(**values), bus=bus).take(), encoding="utf-8") as f:
        return f.read()


def disk(ccpd, slug, *rows):
    for kind, name, size, complete in rows:
        ccpd.postgres.sql(f"INSERT INTO disk_use (instance, kind, name, bytes, complete) SELECT id, '{kind}', '{name}', {size}, {complete} "
                          f"FROM instances WHERE slug = '{slug}'")


def test_what_is_not_counted_is_left_out_and_never_0(ccpd):
    ccpd.create("alpha")
    assert set(use(ccpd, "alpha")) == {"Slug", "Time", "Services"}
    group(ccpd, "alpha", **{name: None for name in FILES if name != "cpu.stat"})
    # What was read a moment ago is not read again.
    found = wait_for(lambda: (u := use(ccpd, "alpha")) and "CPUUsec" in u and u, what="the group to be read")
    assert set(found) == {"Slug", "Time", "Services", "CPUUsec"} and found["CPUUsec"] == 5000000


def test_an_instance_and_its_containers(ccpd):
    running(ccpd, "my-shop")
    watcher = Watcher(ccpd)
    watcher.engine(0)
    watcher.container("my-shop", container=CONTAINER, restarts=2, image="busybox:1", image_id="sha256:abc")
    watcher.container("my-shop", service="gone", container="f" * 64)
    group(ccpd, "my-shop")
    group(ccpd, "my-shop", CONTAINER, **{"memory.max": "4000\n", "cgroup.procs": "1\n"})
    wait_for(lambda: len(use(ccpd, "my-shop")["Services"]) == 2, what="the containers")
    found = wait_for(lambda: (u := use(ccpd, "my-shop")) and "Memory" in u["Services"][0] and u, what="all of it")
    expected = {"CPUUsec": 5000000, "Memory": 1000, "MemoryCache": 300, "MemoryPeak": 2000, "OOMKills": 1, "Tasks": 7, "IORead": 11,
                "IOWritten": 22}
    assert {k: v for k, v in found.items() if k not in ("Slug", "Time", "Services")} == expected
    rows = {r["Name"]: r for r in found["Services"]}
    # PID 1 is in no group of this container: what it exchanges is not what the container does.
    assert {k: v for k, v in rows["web"].items() if k not in ("Name", "Time")} == expected | {"MemoryMax": 4000}
    assert set(rows["gone"]) == {"Name", "Time"}

    services = {r["Name"]: r for r in ccpd.call("Instance", "ListServices", path=instance_path("my-shop"))}
    assert services["web"]["CPUUsec"] == 5000000 and services["web"]["Container"] == CONTAINER
    assert (services["web"]["State"], services["web"]["Restarts"], services["web"]["Image"]) == ("running", 2, "busybox:1")
    watcher.close()


def test_the_fleet_in_one_call(ccpd):
    for slug in ("gamma", "alpha", "beta"):
        ccpd.create(slug)
        group(ccpd, slug)
    rows = ccpd.manager("GetUse", options())
    assert [r["Slug"] for r in rows] == ["alpha", "beta", "gamma"]
    assert all(r["Tasks"] == 7 and "Services" not in r for r in rows)
    assert all("Services" in r for r in ccpd.manager("GetUse", options(services=True)))
    with pytest.raises(dbus.DBusException, match="Unknown option 'nonsense'"):
        ccpd.manager("GetUse", options(nonsense=True))
    with pytest.raises(dbus.DBusException, match="Unknown option"):
        ccpd.call("Instance", "GetUse", options(services=True), path=instance_path("alpha"))


def test_everybody_sees_the_use_of_what_he_sees(ccpd):
    for slug in ("alpha", "beta"):
        ccpd.create(slug)
        group(ccpd, slug)
    grant(ccpd, "client", "daemon", "alpha")
    grant(ccpd, "viewer", "bin")
    client, viewer, nobody = ccpd.person("daemon"), ccpd.person("bin"), ccpd.person("sys")

    assert [r["Slug"] for r in client.value("GetUse", "a{sv}", {})] == ["alpha"]
    assert [r["Slug"] for r in viewer.value("GetUse", "a{sv}", {})] == ["alpha", "beta"]
    assert nobody.error("GetUse", "a{sv}", {}) == "NotAuthorized"
    for member, arguments in (("GetUse", ("a{sv}", {})), ("ListServices", ())):
        assert "value" in client.instance("alpha", member, *arguments)
        denied, absent = client.instance("beta", member, *arguments), client.instance("absent", member, *arguments)
        assert denied["error"] == absent["error"] == f"{NAME}.Error.NotAuthorized"
        assert denied["message"].replace("beta", "absent") == absent["message"]


def test_metrics_are_for_those_polkit_lets(ccpd):
    ccpd.create("alpha")
    nobody = ccpd.person("sys")
    assert nobody.error("GetMetrics", "a{sv}", {}) == "NotAuthorized"
    assert [str(q) for q in ccpd.polkit("Questions")[-1]][1:5] == [f"{NAME}.view-metrics", "", "", "get-metrics"]
    # Who hands them on has no role, but polkit's yes.
    ccpd.polkit("Answer", "view-metrics", "yes")
    assert 'slug="alpha"' in nobody.value("GetMetrics", "a{sv}", {})
    assert nobody.error("GetUse", "a{sv}", {}) == "NotAuthorized"


def test_disk_as_it_was_measured(ccpd):
    ccpd.create("alpha")
    ccpd.create("beta")
    assert "Disk" not in use(ccpd, "alpha")
    disk(ccpd, "alpha", ("folder", "", 1, "true"), ("volume", "data", 20, "true"), ("volume", "logs", 300, "false"),
         ("container", "web", 4000, "true"))
    found = wait_for(lambda: (u := use(ccpd, "alpha")) and u.get("Disk") == 4321 and u, what="the sum")
    assert found["DiskFolder"] == 1 and found["DiskVolumes"] == {"data": 20, "logs": 300} and not found["DiskComplete"]
    assert found["DiskServices"] == {"web": 4000} and found["DiskMeasuredAt"] > 1700000000 * 10**6
    assert "Disk" not in use(ccpd, "beta")

    # A ccpd that is started again knows it, too.
    ccpd.stop()
    ccpd.start()
    wait_for(lambda: use(ccpd, "alpha").get("Disk") == 4321, what="the sum after a restart")
    ccpd.postgres.sql("DELETE FROM disk_use WHERE kind <> 'folder'; INSERT INTO disk_use SELECT * FROM disk_use WHERE false")
    wait_for(lambda: use(ccpd, "alpha").get("Disk") == 1, what="the new sum")


def test_metrics_of_odd_names(ccpd):
    ccpd.create("alpha", name='A "quoted" \\ näme')
    group(ccpd, "alpha")
    disk(ccpd, "alpha", ("volume", 'da"ta', 20, "true"))
    wait_for(lambda: "Disk" in use(ccpd, "alpha"), what="the disk")
    text = metrics(ccpd)
    lines = text.splitlines()
    assert lines[-1] == "# EOF" and text.endswith("\n")
    assert 'ccpd_instance_info{slug="alpha",name="A \\"quoted\\" \\\\ näme",domain="alpha.example.org",blueprint="trivial",' \
           'blueprint_version="1"} 1' in lines, text
    for line in ('ccpd_instance_cpu_seconds_total{slug="alpha"} 5.000000', 'ccpd_instances{state="provisioning"} 1',
                 'ccpd_instance_health{slug="alpha",ccpd_instance_health="healthy"} 0', "ccpd_store_available 1",
                 'ccpd_instance_disk_bytes{slug="alpha",kind="volume",name="da\\"ta"} 20', "# UNIT ccpd_instance_memory_bytes bytes",
                 'ccpd_jobs_total{kind="create",result="succeeded"} 0', "# TYPE ccpd_instance_state stateset"):
        assert line in lines, text
    # No sample stands twice, and each belongs to the family above it.
    samples = [line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")]
    assert len(samples) == len(set(samples))

    older = metrics(ccpd, format="prometheus").splitlines()
    assert "# EOF" not in older and "# TYPE ccpd_instance_cpu_seconds_total counter" in older and not [x for x in older if "# UNIT" in x]
    with pytest.raises(dbus.DBusException, match="openmetrics or prometheus"):
        metrics(ccpd, format="xml")


def test_jobs_are_counted_when_they_end(ccpd):
    running(ccpd, "alpha")
    wait_for(lambda: 'ccpd_jobs_total{kind="create",result="succeeded"} 1' in metrics(ccpd), what="the job to be counted")
    assert 'ccpd_instances{state="running"} 1' in metrics(ccpd)


def test_limits_are_kept_shown_and_refused(ccpd):
    ccpd.create("alpha", limits=dbus.Dictionary({"memory": "1024M", "cpus": "1.50"}, signature="ss"))
    assert ccpd.get(instance_path("alpha"), "Instance", "Limits") == {"memory": "1G", "cpus": "1.5"}
    ccpd.create("beta")
    assert ccpd.get(instance_path("beta"), "Instance", "Limits") == {}
    for limits, sentence in (({"memory": "lots"}, "has to be a size of 16M or more"), ({"disk": "1G"}, "There is no limit 'disk'"),
                             ({"cpus": "0"}, "from 0.01 to 1024"), ({"pids": "-1"}, "whole number")):
        with pytest.raises(dbus.DBusException, match=sentence):
            ccpd.create("gamma", limits=dbus.Dictionary(limits, signature="ss"))
    assert ccpd.postgres.sql("SELECT limits ->> 'cpus' FROM instances WHERE slug = 'alpha'") == [["1500"]]


def test_a_large_fleet_is_read_while_others_are_served(ccpd):
    """300 instances: the answers are right, and no single turn of the loop is long."""
    ccpd.postgres.sql("INSERT INTO instances (id, slug, name, blueprint, blueprint_version, engine, state, bind_address) "
                      "SELECT gen_random_uuid(), 'i' || n, 'x', 'trivial', '1.0', 'compose', 'running', '127.0.0.1' "
                      "FROM generate_series(1, 300) n")
    wait_for(lambda: ccpd.get("/org/changemaker/ccp1", "Manager", "NInstances") == 300, what="the instances")
    for n in range(1, 301):
        group(ccpd, f"i{n}")
    person = ccpd.person("daemon")
    grant(ccpd, "viewer", "daemon")
    for _ in range(5):
        person.send("GetUse", "a{sv}", {"services": True})
        assert ccpd.manager("GetInstance", "i7") == instance_path("i7")
        rows = person.answer()["value"]
        assert len(rows) == 300 and all(r["CPUUsec"] == 5000000 for r in rows)
    text = metrics(ccpd)
    assert text.count("ccpd_instance_cpu_seconds_total{") == 300
