# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ccpd makes of what ccp-watch tells: state, health, and no more signals than anybody can read."""

import time

import pytest
from conftest import ROOT, wait_for
from watcher import Watcher, running

FIELDS = ["service", "kind", "state", "health", "container", "since", "started", "restarts", "exit", "oom", "image", "image_id"]


@pytest.fixture
def watcher(ccpd):
    w = Watcher(ccpd)
    w.engine(1700000000000000)
    yield w
    w.close()


def service(ccpd, path, name="web"):
    for row in ccpd.get(path, "Instance", "Services"):
        if row[0] == name:
            return dict(zip(FIELDS, row, strict=True))
    return {}


def changes(person, path):
    return [s[2][1] for s in person.signals() if s[0] == "PropertiesChanged" and s[1] == path]


def test_a_container_is_told_with_all_that_is_known(ccpd, watcher):
    path = running(ccpd, "alpha")
    watcher.container("alpha", state="exited", health="none", since=7, started=5, exit=137, oom=1, restarts=3,
                      image="busybox:1.37", image_id="sha256:abc")
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "unhealthy")
    assert service(ccpd, path) == {"service": "web", "kind": "service", "state": "exited", "health": "none",
                                   "container": "alpha-web", "since": 7, "started": 5, "restarts": 3, "exit": 137, "oom": 1,
                                   "image": "busybox:1.37", "image_id": "sha256:abc"}


def test_a_watcher_that_was_started_again_counts_anew(ccpd, watcher):
    path = running(ccpd, "alpha")
    for told, sum_of_all in ((2, 2), (3, 3), (0, 3), (1, 4)):
        watcher.container("alpha", restarts=told)
        wait_for(lambda: service(ccpd, path).get("restarts") == sum_of_all, what=f"{sum_of_all} restarts")
    # Another container is another story.
    watcher.container("alpha", container="other", restarts=1)
    wait_for(lambda: service(ccpd, path)["container"] == "other")
    assert service(ccpd, path)["restarts"] == 1


def test_restarts_make_a_loop_unless_they_are_long_ago(ccpd, watcher):
    path, now = running(ccpd, "alpha"), 1700000000
    watcher.container("alpha", health="none", restarts=5, since=(now + 1) * 10**6)
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "healthy", what="a service that has settled")
    watcher.container("alpha", health="starting", restarts=5, since=(now + 1) * 10**6)
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "unhealthy", what="the loop")
    # It ran for an hour; then it ended once more.
    watcher.container("alpha", health="starting", restarts=6, since=(now + 3600) * 10**6)
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "starting", what="the loop to be forgotten")
    assert service(ccpd, path)["restarts"] == 6


def test_a_storm_is_told_in_few_signals_and_ends_right(ccpd, watcher):
    path = running(ccpd, "alpha")
    other = running(ccpd, "beta")
    follower = ccpd.person("root")
    follower.value("Subscribe")
    wait_for(lambda: ccpd.get(ROOT, "Manager", "EngineState") == "available")
    follower.signals()
    began = time.monotonic()
    for n in range(5000):
        watcher.container("alpha", state="exited" if n % 2 else "running", health="none", restarts=n, since=n + 1)
        if n % 1000 == 500:
            # Others are answered meanwhile.
            before = time.monotonic()
            assert ccpd.get(other, "Instance", "State") == "running"
            assert time.monotonic() - before < 1
    watcher.container("alpha", state="running", restarts=5001, since=9999)
    wait_for(lambda: service(ccpd, path)["since"] == 9999, what="the last of the storm")
    took = time.monotonic() - began
    told = []
    wait_for(lambda: told.extend(changes(follower, path)) or
             (told and dict(zip(FIELDS, told[-1]["Services"][0]))["since"] == 9999), what="the last signal")
    assert len(told) <= 3 + took / 0.05, (len(told), took)
    # The first one at once, then twenty a second (EMIT_INTERVAL_USEC).
    assert len(told) <= 3 + took / 0.05, (len(told), took)


def test_the_first_change_is_told_at_once(ccpd, watcher):
    path = running(ccpd, "alpha")
    watcher.container("alpha")
    follower = ccpd.person("root")
    follower.value("Subscribe")
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "healthy")
    time.sleep(0.3)
    follower.signals()
    delays = []
    for state in ("exited", "running") * 5:
        began = time.monotonic()
        watcher.container("alpha", state=state)
        wait_for(lambda: changes(follower, path), what="the signal")
        delays.append(time.monotonic() - began)
        time.sleep(0.15)
    assert sorted(delays)[len(delays) // 2] < 0.09, delays


def test_three_hundred_containers_that_die_at_once(ccpd, watcher):
    paths = {f"i{n}": running(ccpd, f"i{n}") for n in range(30)}
    services = [f"s{n}" for n in range(10)]
    watcher.list(*({"slug": slug, "service": s} for slug in paths for s in services))
    wait_for(lambda: ccpd.get(ROOT, "Manager", "NHealthy") == 30, what="the health of all")
    for s in services:
        for slug in paths:
            watcher.container(slug, s, state="exited", health="none", exit=137)
    wait_for(lambda: ccpd.get(ROOT, "Manager", "NUnhealthy") == 30, what="the news of all deaths")
    for path in paths.values():
        assert {str(row[2]) for row in ccpd.get(path, "Instance", "Services")} == {"exited"}


def test_what_was_stopped_on_purpose_is_not_unwell(ccpd, watcher):
    path = running(ccpd, "alpha")
    watcher.container("alpha", "web")
    watcher.container("alpha", "api", state="exited", health="none", exit=143)
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "degraded")
    ccpd.postgres.sql("UPDATE instances SET stopped_services = '{api}'")
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "healthy")
