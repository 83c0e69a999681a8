# SPDX-License-Identifier: LGPL-2.1-or-later
"""Alerts: when they fire and end, who learns of them, and how they reach a webhook, with the real worker."""

import hashlib
import hmac
import http.server
import json
import os
import pathlib
import subprocess
import threading
import time

import dbus
import pytest
from conftest import NAME, ROOT, wait_for
from test_authorization import grant
from test_daemon import error_of
from watcher import recovered, Watcher, finish, running

WORKER = os.environ.get("CCP_ALERT") or str(pathlib.Path(os.environ["CCPD"]).parents[1] / "alert/ccp-alert")
UNIT = "ccp-alert-webhook.service"
# Instances must be unwell, and well again, for this long where the setting is 0.
HOLD = 5


class Receiver(http.server.ThreadingHTTPServer):
    """A webhook. `answers` are the statuses of the next requests, 200 after them; what came is in `requests`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests, self.headers_of_answers, self.body = [], [], {}, b""
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook/secret-path?key=secret-query"

    def alerts(self):
        """Of all requests that were answered with 200: (status, rule, instance)."""
        return [(a["status"], a["rule"], a["instance"]) for r in self.requests if r["answer"] == 200 for a in r["json"]["alerts"]]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.answers.pop(0) if self.server.answers else 200
        self.server.requests.append({"path": self.path, "headers": dict(self.headers), "body": body, "json": json.loads(body),
                                     "answer": answer})
        if answer == "hang":
            self.server.released.wait(60)
            return
        self.send_response(answer)
        for name, value in self.server.headers_of_answers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        try:
            self.wfile.write(self.server.body)
        except OSError:
            pass

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def watcher(ccpd):
    made = Watcher(ccpd)
    yield made
    made.close()


def configure(ccpd, **settings):
    ccpd.manager("SetSettings", dbus.Dictionary({k: dbus.UInt64(v) if isinstance(v, int) else v for k, v in settings.items()}, "sv"))


def alerts(ccpd, bus=None, **filters):
    return [plain(a) for a in ccpd.manager("ListAlerts", dbus.Dictionary(filters, "sv"), dbus.UInt64(0), dbus.UInt64(100), bus=bus)]


def plain(value):
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return int(value) if isinstance(value, int) else str(value)


def firing(ccpd):
    return {(a["Rule"], a["Instance"]) for a in alerts(ccpd, state="firing") if a["Rule"] != "disk-space"}


def starts(ccpd):
    return ccpd.systemd("Calls").count(f"start {UNIT}")


def work(ccpd, kill_after=None):
    """What PID 1 would do when ccpd starts the worker: runs it to its end."""
    process = subprocess.Popen([WORKER, "webhook"], env=ccpd.environment, stderr=subprocess.PIPE, text=True)
    if kill_after:
        wait_for(kill_after, what="the moment to kill the worker")
        process.kill()
    _, log = process.communicate(timeout=60)
    assert kill_after or process.returncode == 0, log
    assert "AddressSanitizer" not in log and "runtime error" not in log, log
    assert "secret-query" not in log and "secret-path" not in log, log
    ccpd.systemd("EndUnit", UNIT)
    return log


def deliver(ccpd, before=0):
    """Waits until ccpd starts the worker once more than it did, and runs it."""
    wait_for(lambda: starts(ccpd) > before, what="the start of the worker")
    return work(ccpd)


def hurry(ccpd):
    """What waits is due."""
    ccpd.postgres.sql("UPDATE alert_messages SET due_at = now() WHERE state = 'queued'")


def fail(ccpd, slug):
    ccpd.postgres.sql(f"UPDATE instances SET state = 'failed', error_name = '{NAME}.Error.Unhealthy', "
                      f"error_message = 'The service db has ended.' WHERE slug = '{slug}'")


def mend(ccpd, slug):
    ccpd.postgres.sql(f"UPDATE instances SET state = 'running', error_name = NULL, error_message = NULL WHERE slug = '{slug}'")


def log_of(ccpd):
    return (ccpd.folder / "ccpd.log").read_text(errors="replace")


def signature_fits(request, secret):
    header = request["headers"]["CCP-Signature"]
    parts = [p.split("=", 1) for p in header.split(",")]
    seconds = next(v for k, v in parts if k == "t")
    expected = hmac.new(secret.encode(), f"{seconds}.".encode() + request["body"], hashlib.sha256).hexdigest()
    return abs(time.time() - int(seconds)) < 60 and expected in [v for k, v in parts if k == "v1"]


def reveal(ccpd):
    with open(ccpd.manager("RevealAlertSecret", dbus.Dictionary({}, "sv")).take(), encoding="ascii") as f:
        return f.read()


def test_an_alert_fires_ends_and_is_on_record(ccpd):
    running(ccpd, "alpha")
    fail(ccpd, "alpha")
    wait_for(lambda: firing(ccpd) == {("instance-failed", "alpha")}, what="the alert")
    [alert] = alerts(ccpd, rule="instance-failed")
    assert alert["Message"] == "alpha has failed: The service db has ended" and alert["Severity"] == "error"
    assert alert["NextStep"] == "ccpctl status alpha, then ccpctl start alpha"
    assert 0 < alert["Since"] <= alert["FiredAt"] and alert["ResolvedAt"] == 0 and alert["Deliveries"] == []
    assert ccpd.get(ROOT, "Manager", "NAlerts") == 1
    assert "Alert: alpha has failed: The service db has ended. See: ccpctl status alpha" in log_of(ccpd)
    mend(ccpd, "alpha")
    wait_for(lambda: firing(ccpd) == set(), what="the end")
    wait_for(lambda: ccpd.get(ROOT, "Manager", "NAlerts") == 0)
    [alert] = alerts(ccpd, state="resolved", instance="alpha")
    assert alert["ResolvedAt"] >= alert["FiredAt"]
    assert "Alert over after " in log_of(ccpd)
    # The next time is another one.
    fail(ccpd, "alpha")
    wait_for(lambda: len(alerts(ccpd, rule="instance-failed")) == 2, what="the second alert")
    # Nobody is configured: nothing is queued, nobody is started.
    assert starts(ccpd) == 0 and ccpd.postgres.sql("SELECT count(*) FROM alert_deliveries") == [["0"]]


def test_health_must_be_bad_for_a_while(ccpd, watcher):
    configure(ccpd, alert_health_minutes=0)
    path = running(ccpd, "alpha")
    watcher.engine(started=0)
    watcher.list({"slug": "alpha"})
    recovered(ccpd)
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "healthy")
    # A moment is none.
    watcher.container("alpha", state="exited", health="none")
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "unhealthy")
    watcher.container("alpha")
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "healthy")
    since = time.monotonic()
    watcher.container("alpha", state="exited", health="none", exit=1)
    wait_for(lambda: firing(ccpd) == {("instance-unhealthy", "alpha")}, what="the alert")
    assert time.monotonic() - since >= HOLD - 0.5
    assert alerts(ccpd, state="firing")[0]["Message"] == "alpha is unhealthy: web has ended"
    # Without Docker nobody knows whether it is over.
    watcher.engine()
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "unknown")
    time.sleep(HOLD + 1)
    assert firing(ccpd) == {("instance-unhealthy", "alpha")}
    watcher.engine(started=0)
    watcher.list({"slug": "alpha"})
    recovered(ccpd)
    wait_for(lambda: firing(ccpd) == set(), what="the end")
    assert len(alerts(ccpd, rule="instance-unhealthy")) == 1


def test_what_is_stopped_or_worked_on_raises_none(ccpd, watcher):
    configure(ccpd, alert_health_minutes=0)
    stopped, busy = running(ccpd, "alpha"), running(ccpd, "beta")
    watcher.engine(started=0)
    watcher.list({"slug": "alpha"}, {"slug": "beta"})
    recovered(ccpd)
    wait_for(lambda: ccpd.get(busy, "Instance", "Health") == "healthy")
    job = ccpd.call("Instance", "Restart", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=busy)
    ccpd.postgres.sql("UPDATE instances SET state = 'stopped' WHERE slug = 'alpha'")
    wait_for(lambda: ccpd.get(stopped, "Instance", "State") == "stopped")
    for slug in ("alpha", "beta"):
        watcher.container(slug, state="exited", health="none", exit=137)
    wait_for(lambda: ccpd.get(busy, "Instance", "Health") == "unhealthy")
    time.sleep(HOLD + 2)
    assert firing(ccpd) == set()
    # The job is over, and it is not well.
    finish(ccpd, job, "succeeded")
    wait_for(lambda: firing(ccpd) == {("instance-unhealthy", "beta")}, what="the alert")


def test_a_job_that_failed_and_changed_nothing(ccpd):
    path = running(ccpd, "alpha")
    job = ccpd.call("Instance", "Stop", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=path)
    finish(ccpd, job, "failed", "running")
    wait_for(lambda: firing(ccpd) == {("job-failed", "alpha")}, what="the alert")
    assert alerts(ccpd, state="firing")[0]["Message"].startswith("the last job on alpha failed: stop, job 2: ")
    job = ccpd.call("Instance", "Stop", dbus.Array([], "s"), dbus.Dictionary({}, "sv"), path=path)
    finish(ccpd, job, "succeeded", "stopped")
    wait_for(lambda: firing(ccpd) == set(), what="the end")


def test_a_service_that_restarts_again_and_again(ccpd, watcher):
    path = running(ccpd, "alpha")
    watcher.engine(started=0)
    watcher.list({"slug": "alpha"})
    recovered(ccpd)
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "healthy")
    t = int(time.time() * 1e6)
    for n in range(3):
        watcher.container("alpha", state="exited", health="none", exit=1, since=t + 2 * n, started=t + 2 * n, restarts=n)
        watcher.container("alpha", since=t + 2 * n + 1, started=t + 2 * n + 1, restarts=n + 1)
    wait_for(lambda: firing(ccpd) == {("services-restarting", "alpha")}, what="the alert")
    assert alerts(ccpd, state="firing")[0]["Message"] == "services of alpha restart again and again: web (3 times)"


def test_disks_and_secrets(ccpd):
    running(ccpd, "alpha")
    configure(ccpd, alert_disk_percent=1)
    wait_for(lambda: alerts(ccpd, rule="disk-space", state="firing"), what="the alert")
    alert = alerts(ccpd, rule="disk-space", state="firing")[0]
    assert alert["Subject"].startswith("/") and "% of its" in alert["Message"] and alert["Instance"] == ""
    configure(ccpd, alert_disk_percent=0)
    wait_for(lambda: not alerts(ccpd, rule="disk-space", state="firing"), what="the end")

    ccpd.postgres.sql("INSERT INTO secrets (instance, name, version, key_id, sealed, created_at) "
                      "SELECT id, 'OLD', 1, '0', '', now() - interval '31 days' FROM instances")
    configure(ccpd, alert_secret_age_days=30)
    wait_for(lambda: firing(ccpd) == {("secret-age", "alpha")}, what="the alert")
    configure(ccpd, alert_secret_age_days=32)
    wait_for(lambda: firing(ccpd) == set(), what="the end")


def test_a_webhook_hears_of_it_once_and_can_be_sure_of_whom(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    ccpd.create("alpha", name="Alpha <b>\u2603")
    finish(ccpd, f"{ROOT}/job/1")
    fail(ccpd, "alpha")
    deliver(ccpd)
    [request] = receiver.requests
    assert request["path"] == "/hook/secret-path?key=secret-query"
    assert signature_fits(request, reveal(ccpd)) and not signature_fits(request, "x")
    message = request["json"]
    assert request["headers"]["CCP-Delivery"] == request["headers"]["Idempotency-Key"] == message["id"]
    assert "alpha has failed" in message["text"] and message["host"]
    [alert] = message["alerts"]
    assert (alert["status"], alert["rule"], alert["instance"], alert["name"], alert["repeated"]) == (
        "firing", "instance-failed", "alpha", "Alpha <b>\u2603", 0)
    [row] = alerts(ccpd, state="firing")
    assert alert["id"] == row["Id"] and row["Notifications"] == 1
    [delivery] = row["Deliveries"]
    assert (delivery["Channel"], delivery["Status"], delivery["State"], delivery["Attempts"], delivery["Error"]) == (
        "webhook", "firing", "delivered", 1, "")
    n = starts(ccpd)
    mend(ccpd, "alpha")
    deliver(ccpd, n)
    assert [a[0] for a in receiver.alerts()] == ["firing", "resolved"]


def test_what_comes_together_is_one_message(ccpd, receiver):
    slugs = [f"i{n}" for n in range(25)]
    for slug in slugs:
        _, job = ccpd.create(slug)
        finish(ccpd, job)
    configure(ccpd, alert_webhook_url=receiver.url)
    ccpd.postgres.sql("UPDATE instances SET state = 'failed'")
    deliver(ccpd)
    [request] = receiver.requests
    assert sorted(a["instance"] for a in request["json"]["alerts"]) == sorted(slugs)
    assert request["json"]["text"].splitlines()[0].endswith("25 alerts: 25 firing, 0 resolved")
    assert ccpd.get(ROOT, "Manager", "NAlerts") == 25


def test_a_webhook_that_is_down_changes_nothing_and_loses_nothing(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    running(ccpd, "alpha")
    running(ccpd, "beta")
    receiver.answers = [500, 503, 429, 408, 302]
    receiver.headers_of_answers = {"Retry-After": "3599", "Location": "http://127.0.0.1:1/elsewhere"}
    fail(ccpd, "alpha")
    log = deliver(ccpd)
    assert "tried again later" in log
    [delivery] = alerts(ccpd, state="firing")[0]["Deliveries"]
    assert delivery["State"] == "queued" and delivery["Attempts"] == 1 and "answered 500" in delivery["Error"]
    assert "secret" not in delivery["Error"]
    # As it was asked to, within bounds.
    assert time.time() + 3500 < delivery["Time"] / 1e6 < time.time() + 3601
    # What happens meanwhile waits behind it.
    mend(ccpd, "alpha")
    fail(ccpd, "beta")
    wait_for(lambda: firing(ccpd) == {("instance-failed", "beta")}, what="both changes")
    wait_for(lambda: ccpd.postgres.sql("SELECT count(*) FROM alert_deliveries") == [["3"]], what="their notices")
    for _ in range(4):
        hurry(ccpd)
        work(ccpd)
    # A restart of ccpd, a worker that is killed in the middle.
    ccpd.stop()
    ccpd.start()
    assert firing(ccpd) == {("instance-failed", "beta")}
    receiver.answers = ["hang"]
    n = len(receiver.requests)
    hurry(ccpd)
    work(ccpd, kill_after=lambda: len(receiver.requests) > n)
    ccpd.postgres.sql("UPDATE alert_deliveries SET due_at = now()")
    hurry(ccpd)
    work(ccpd)
    assert receiver.alerts() == [("firing", "instance-failed", "alpha"), ("resolved", "instance-failed", "alpha"),
                                 ("firing", "instance-failed", "beta")]
    assert len({r["json"]["id"] for r in receiver.requests}) == 2
    assert len({(r["json"]["id"], r["body"]) for r in receiver.requests}) == 2
    work(ccpd)
    assert len(receiver.alerts()) == 3


def test_answers_of_all_kinds(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    running(ccpd, "alpha")
    receiver.answers, receiver.body = [404], b"no \x1b[2J such token\nmore"
    fail(ccpd, "alpha")
    assert "given up" in deliver(ccpd)
    [delivery] = alerts(ccpd, state="firing")[0]["Deliveries"]
    assert delivery["State"] == "failed" and delivery["Error"].endswith('answered 404: "no ?[2J such token"')
    assert firing(ccpd) == {("instance-failed", "alpha")}
    # Of ten megabytes little is read.
    receiver.body = b"x" * 10_000_000
    mend(ccpd, "alpha")
    wait_for(lambda: firing(ccpd) == set())
    ccpd.postgres.sql("UPDATE alert_deliveries SET due_at = now()")
    work(ccpd)
    assert receiver.alerts() == [("resolved", "instance-failed", "alpha")]
    # One that hangs is left after ten seconds, and is not reachable another time.
    receiver.body, receiver.answers = b"", ["hang"]
    fail(ccpd, "alpha")
    wait_for(lambda: firing(ccpd))
    wait_for(lambda: ccpd.postgres.sql("SELECT count(*) FROM alert_deliveries") == [["3"]])
    ccpd.postgres.sql("UPDATE alert_deliveries SET due_at = now()")
    began = time.monotonic()
    work(ccpd)
    assert 9 < time.monotonic() - began < 20
    configure(ccpd, alert_webhook_url="http://127.0.0.1:1/")
    hurry(ccpd)
    work(ccpd)
    assert "127.0.0.1:1 cannot be reached" in alerts(ccpd, state="firing")[0]["Deliveries"][0]["Error"]


def test_what_fires_is_taken_up_by_the_next_ccpd(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    running(ccpd, "alpha")
    fail(ccpd, "alpha")
    deliver(ccpd)
    [before] = alerts(ccpd, state="firing")
    ccpd.stop(signal=9)
    ccpd.start()
    wait_for(lambda: ccpd.get(ROOT, "Manager", "NAlerts") == 1, what="the alert")
    [after] = alerts(ccpd, state="firing")
    assert {k: v for k, v in before.items() if k != "Deliveries"} == {k: v for k, v in after.items() if k != "Deliveries"}
    # It lasted longer than an alert may without being told again.
    ccpd.stop()
    ccpd.postgres.sql("UPDATE alerts SET notified_at = now() - interval '25 hours'")
    n = starts(ccpd)
    ccpd.start()
    deliver(ccpd, n)
    assert [(a["status"], a["repeated"]) for r in receiver.requests for a in r["json"]["alerts"]] == [("firing", 0), ("firing", 1)]
    # It ended while nobody looked.
    ccpd.stop()
    mend(ccpd, "alpha")
    n = starts(ccpd)
    ccpd.start()
    deliver(ccpd, n)
    assert receiver.alerts()[-1][0] == "resolved"


def test_the_records_are_away(ccpd, watcher, receiver):
    configure(ccpd, alert_health_minutes=0, alert_webhook_url=receiver.url)
    path = running(ccpd, "alpha")
    watcher.engine(started=0)
    watcher.list({"slug": "alpha"})
    recovered(ccpd)
    wait_for(lambda: ccpd.get(path, "Instance", "Health") == "healthy")
    ccpd.postgres.kill()
    wait_for(lambda: ccpd.get(ROOT, "Manager", "StoreState") == "unavailable")
    watcher.container("alpha", state="exited", health="none", exit=1)
    wait_for(lambda: "Alert: alpha is unhealthy: web has ended." in log_of(ccpd), what="the line of the journal")
    # It is told from memory.
    [alert] = alerts(ccpd, state="firing", rule="instance-unhealthy")
    assert (alert["Id"], alert["Instance"], alert["Message"]) == ("", "alpha", "alpha is unhealthy: web has ended")
    assert error_of(ccpd.manager, "TestAlert", "webhook")[0] == "StoreUnavailable"
    ccpd.postgres.start()
    wait_for(lambda: ccpd.get(ROOT, "Manager", "StoreState") == "available", seconds=40)
    wait_for(lambda: alerts(ccpd, state="firing", rule="instance-unhealthy")[0]["Id"], what="the row")
    deliver(ccpd)
    assert receiver.alerts() == [("firing", "instance-unhealthy", "alpha")]


def test_an_instance_that_is_deleted_takes_its_alerts_along(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    running(ccpd, "alpha")
    fail(ccpd, "alpha")
    deliver(ccpd)
    n = starts(ccpd)
    ccpd.postgres.sql("DELETE FROM jobs; DELETE FROM instances")
    wait_for(lambda: firing(ccpd) == set(), what="the end")
    deliver(ccpd, n)
    assert receiver.alerts()[-1] == ("resolved", "instance-failed", "alpha")


def silence(ccpd, slug="", seconds=3600, **options):
    options = {"until": dbus.UInt64((time.time() + seconds) * 1e6)} | options
    return str(ccpd.manager("SilenceAlerts", slug, dbus.Dictionary(options, "sv")))


def test_silence(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    running(ccpd, "alpha")
    running(ccpd, "beta")
    number = silence(ccpd, "alpha", rule="instance-failed", reason="we move \u2603")
    [listed] = [plain(s) for s in ccpd.manager("ListSilences")]
    assert (listed["Id"], listed["Instance"], listed["Rule"], listed["Reason"], listed["By"]) == (
        number, "alpha", "instance-failed", "we move \u2603", "root")
    fail(ccpd, "alpha")
    fail(ccpd, "beta")
    deliver(ccpd)
    assert receiver.alerts() == [("firing", "instance-failed", "beta")]
    by_slug = {a["Instance"]: a for a in alerts(ccpd, state="firing")}
    assert by_slug["alpha"]["Silence"] == number and by_slug["alpha"]["SilencedUntil"] == listed["Until"]
    assert by_slug["beta"]["SilencedUntil"] == 0 and by_slug["alpha"]["Notifications"] == 0
    assert ccpd.get(ROOT, "Manager", "NAlerts") == 1 and "Alert: alpha has failed" in log_of(ccpd)
    n = starts(ccpd)
    ccpd.manager("UnsilenceAlerts", number)
    deliver(ccpd, n)
    assert receiver.alerts()[1:] == [("firing", "instance-failed", "alpha")]
    # One that ends by itself; and the end of what was told is told all the same.
    silence(ccpd, "alpha", seconds=4)
    n = starts(ccpd)
    mend(ccpd, "alpha")
    deliver(ccpd, n)
    assert receiver.alerts()[2:] == [("resolved", "instance-failed", "alpha")]
    n = starts(ccpd)
    silence(ccpd, "alpha", seconds=3)
    fail(ccpd, "alpha")
    wait_for(lambda: ("instance-failed", "alpha") in firing(ccpd))
    deliver(ccpd, n)
    assert receiver.alerts()[3:] == [("firing", "instance-failed", "alpha")]
    # A silence outlives ccpd.
    silence(ccpd, "alpha", reason="stays")
    ccpd.stop()
    ccpd.start()
    wait_for(lambda: [str(s["Reason"]) for s in ccpd.manager("ListSilences")] == ["stays"])


@pytest.mark.parametrize("hours", [0, 24])
def test_what_was_told_and_then_silenced_is_told_when_the_silence_ends(ccpd, receiver, hours):
    configure(ccpd, alert_webhook_url=receiver.url, alert_repeat_hours=hours)
    running(ccpd, "alpha")
    running(ccpd, "beta")
    ccpd.postgres.sql("UPDATE instances SET state = 'failed'")
    deliver(ccpd)
    n = starts(ccpd)
    number = silence(ccpd, "alpha")
    ccpd.manager("UnsilenceAlerts", number)
    assert ccpd.manager("ListSilences") == []
    assert error_of(ccpd.manager, "UnsilenceAlerts", number)[0] == "NoSuchAlert"
    deliver(ccpd, n)
    silence(ccpd, "alpha", seconds=2)
    n = starts(ccpd)
    deliver(ccpd, n)
    # One that ended while ccpd was away.
    silence(ccpd, "alpha", seconds=2)
    n = starts(ccpd)
    ccpd.stop()
    time.sleep(2)
    ccpd.start()
    deliver(ccpd, n)
    told = [(a["instance"], a["repeated"]) for r in receiver.requests for a in r["json"]["alerts"]]
    assert sorted(told) == [("alpha", 0), ("alpha", 1), ("alpha", 2), ("alpha", 3), ("beta", 0)]
    # Once.
    assert {a["Notifications"] for a in alerts(ccpd, instance="alpha", state="firing")} == {4}
    time.sleep(3)
    assert {a["Notifications"] for a in alerts(ccpd, instance="alpha", state="firing")} == {4}


def test_what_cannot_be_silenced(ccpd):
    for slug, options in (("", {"until": dbus.UInt64(1)}), ("", {"until": dbus.UInt64(2**63)}), ("", {"rule": "nonsense"}),
                          ("", {"reason": "a\nb"}), ("", {"reason": "x" * 201}), ("", {"nonsense": "x"})):
        assert error_of(silence, ccpd, slug, **options)[0] == "InvalidArgument", options
    assert error_of(ccpd.manager, "SilenceAlerts", "", dbus.Dictionary({}, "sv"))[0] == "InvalidArgument"
    assert error_of(silence, ccpd, "nobody")[0] == "NoSuchInstance"
    for number in ("", "0", "-1", "1", "x", "99999999999999999999"):
        assert error_of(ccpd.manager, "UnsilenceAlerts", number)[0] == "NoSuchAlert", number
    for filters in ({"state": "broken"}, {"rule": "nonsense"}, {"id": "x"}, {"id": "-1"}, {"nonsense": "x"}):
        assert error_of(alerts, ccpd, **filters)[0] == "InvalidArgument", filters
    assert error_of(ccpd.manager, "ListAlerts", dbus.Dictionary({}, "sv"), dbus.UInt64(0), dbus.UInt64(0))[0] == "InvalidArgument"


def test_who_learns_of_alerts_and_who_may_silence_them(ccpd):
    running(ccpd, "alpha")
    running(ccpd, "beta")
    configure(ccpd, alert_disk_percent=1)
    ccpd.postgres.sql("UPDATE instances SET state = 'failed'")
    wait_for(lambda: firing(ccpd) == {("instance-failed", "alpha"), ("instance-failed", "beta")})
    wait_for(lambda: alerts(ccpd, rule="disk-space"))
    for role, user, instance in (("client", "daemon", "alpha"), ("operator", "bin", "alpha"), ("viewer", "sys", "")):
        grant(ccpd, role, "user", user, instance)
    client, operator, viewer, nobody = (ccpd.person(u) for u in ("daemon", "bin", "sys", "games"))

    def seen(person):
        return {(a["Rule"], a["Instance"]) for a in person.value("ListAlerts", "a{sv}tt", {}, 0, 100)}

    def count(person):
        return person.value("Get", "ss", f"{NAME}.Manager", "NAlerts", interface="org.freedesktop.DBus.Properties")

    assert seen(client) == seen(operator) == {("instance-failed", "alpha")} and count(client) == 1
    assert {("instance-failed", "alpha"), ("instance-failed", "beta")} < seen(viewer) and count(viewer) > 2
    assert nobody.error("ListAlerts", "a{sv}tt", {}, 0, 100) == "NotAuthorized"

    ccpd.polkit("Answer", "manage-alerts", "yes")
    own, other, everything = silence(ccpd, "alpha"), silence(ccpd, "beta"), silence(ccpd)
    ccpd.polkit("Questions")
    assert operator.error("SilenceAlerts", "sa{sv}", "alpha", {"rule": "nonsense"}) == "InvalidArgument"
    operator.call("SilenceAlerts", "sa{sv}", "", {"rule": "nonsense"})
    assert operator.value("UnsilenceAlerts", "s", own) == []
    operator.call("UnsilenceAlerts", "s", other)
    operator.call("UnsilenceAlerts", "s", everything)
    operator.call("UnsilenceAlerts", "s", "4711")
    assert [(str(q[2]), str(q[3]), str(q[4])) for q in ccpd.polkit("Questions")] == [
        ("alpha", "operator", "silence"), ("", "", "silence"), ("alpha", "operator", "unsilence"), ("beta", "", "unsilence"),
        ("", "", "unsilence"), ("", "", "unsilence")]
    silence(ccpd, "alpha")
    silence(ccpd, "beta")
    assert {s["Instance"] for s in client.value("ListSilences")} == {"alpha"}
    assert {s["Instance"] for s in viewer.value("ListSilences")} >= {"alpha", "beta"}


def test_a_channel_is_tried(ccpd, receiver):
    assert error_of(ccpd.manager, "TestAlert", "pigeon")[0] == "InvalidArgument"
    assert error_of(ccpd.manager, "TestAlert", "webhook")[0] == "WrongState"
    configure(ccpd, alert_webhook_url=receiver.url)
    receiver.answers = [500]
    number = str(ccpd.manager("TestAlert", "webhook"))
    deliver(ccpd)
    [alert] = alerts(ccpd, id=number)
    assert (alert["Rule"], alert["State"]) == ("test", "resolved")
    assert alert["Deliveries"][0]["State"] == "queued" and "answered 500" in alert["Deliveries"][0]["Error"]
    n = starts(ccpd)
    number = str(ccpd.manager("TestAlert", "webhook"))
    deliver(ccpd, n)
    assert alerts(ccpd, id=number)[0]["Deliveries"][0]["State"] == "delivered"
    assert receiver.requests[-1]["json"]["alerts"][0]["status"] == "test"
    assert ccpd.get(ROOT, "Manager", "NAlerts") == 0


def test_tests_do_not_keep_alerts_waiting(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    for _ in range(60):
        ccpd.manager("TestAlert", "webhook")
    assert error_of(ccpd.manager, "TestAlert", "webhook")[0] == "Busy"
    ccpd.postgres.sql("UPDATE alerts SET fired_at = now() - interval '10 minutes'")
    ccpd.manager("TestAlert", "webhook")


def test_a_client_learns_neither_addresses_nor_names(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    running(ccpd, "alpha")
    grant(ccpd, "client", "user", "daemon", "alpha")
    grant(ccpd, "viewer", "user", "games")
    silence(ccpd, "alpha", rule="job-failed", reason="we move")
    fail(ccpd, "alpha")
    receiver.answers = [500]
    deliver(ccpd)
    for user, sees in (("daemon", False), ("games", True)):
        person = ccpd.person(user)
        [row] = person.value("ListAlerts", "a{sv}tt", {}, 0, 10)
        assert bool(row["Deliveries"][0]["Error"]) == sees and row["Deliveries"][0]["Attempts"] == 1
        [row] = person.value("ListSilences")
        assert bool(row["By"]) == bool(row["Reason"]) == sees
    # One instance takes the silences of no other.
    for _ in range(15):
        silence(ccpd, "alpha")
    assert error_of(silence, ccpd, "alpha")[0] == "LimitExceeded"
    silence(ccpd, "")


def test_the_secret_is_replaced_without_a_gap(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    old = reveal(ccpd)
    assert len(old) == 43 and old == reveal(ccpd)
    ccpd.manager("RotateAlertSecret", dbus.Dictionary({}, "sv"))
    new = reveal(ccpd)
    assert new != old
    ccpd.manager("TestAlert", "webhook")
    deliver(ccpd)
    assert signature_fits(receiver.requests[-1], old) and signature_fits(receiver.requests[-1], new)
    ccpd.postgres.sql("UPDATE alert_secrets SET created_at = now() - interval '2 days'")
    n = starts(ccpd)
    ccpd.manager("TestAlert", "webhook")
    deliver(ccpd, n)
    assert signature_fits(receiver.requests[-1], new) and not signature_fits(receiver.requests[-1], old)
    actions = [row[0] for row in ccpd.postgres.sql("SELECT action FROM ccpd_audit.entries WHERE action LIKE 'SECRET%' ORDER BY seq")]
    assert actions == ["SECRET_REVEAL", "SECRET_REVEAL", "SECRET_ROTATE", "SECRET_REVEAL"]
    text = log_of(ccpd) + ccpd.postgres.psql("-c", "SELECT * FROM ccpd_audit.entries")
    assert old not in text and new not in text


def test_the_address_is_shown_to_nobody(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    shown = f"http://127.0.0.1:{receiver.server_port}/\u2026"
    assert ccpd.manager("GetSettings")["alert_webhook_url"] == shown
    assert error_of(configure, ccpd, alert_webhook_url=shown)[0] == "InvalidArgument"
    assert error_of(configure, ccpd, alert_webhook_url="https://user:pass-word@example.org/")[0] == "InvalidArgument"
    text = log_of(ccpd) + ccpd.postgres.psql("-c", "SELECT * FROM ccpd_audit.entries")
    assert "secret-path" not in text and "secret-query" not in text and "pass-word" not in text


def test_a_worker_that_tries_nothing_is_started_ever_more_seldom(ccpd, receiver):
    def next_start(n):
        """Lets the worker end as it is, and returns after how long it is started again."""
        began = time.monotonic()
        ccpd.systemd("EndUnit", UNIT)
        wait_for(lambda: starts(ccpd) > n, seconds=20, what="the next start")
        return time.monotonic() - began

    configure(ccpd, alert_webhook_url=receiver.url)
    running(ccpd, "alpha")
    fail(ccpd, "alpha")
    wait_for(lambda: starts(ccpd) == 1, what="the start of the worker")
    waits = [next_start(n) for n in (1, 2, 3)]
    assert 1.5 < waits[0] < 3.5 and 3.5 < waits[1] < 7 and 7.5 < waits[2] < 13, waits
    # One that tries, in vain, begins anew.
    receiver.answers = [500]
    work(ccpd)
    ccpd.manager("TestAlert", "webhook")
    wait_for(lambda: starts(ccpd) == 5, what="the start of the worker")
    assert next_start(5) < 3.5


def test_the_queue_is_read_again_if_that_failed(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    running(ccpd, "alpha")
    ccpd.postgres.sql("ALTER TABLE alert_messages RENAME TO away")
    fail(ccpd, "alpha")
    wait_for(lambda: "Failed to read the queue of alerts" in log_of(ccpd), what="the failure")
    ccpd.postgres.sql("ALTER TABLE away RENAME TO alert_messages")
    wait_for(lambda: starts(ccpd) == 1, seconds=20, what="the start of the worker")


def test_a_worker_that_cannot_be_started_is_tried_later(ccpd, receiver):
    configure(ccpd, alert_webhook_url=receiver.url)
    running(ccpd, "alpha")
    ccpd.systemd("SetMode", "refuse")
    fail(ccpd, "alpha")
    wait_for(lambda: starts(ccpd) == 1, what="the attempt to start the worker")
    wait_for(lambda: "Alerts cannot be delivered now" in log_of(ccpd), what="the warning")
    time.sleep(3)
    assert starts(ccpd) == 1
    # What is queued is found by the next ccpd too.
    ccpd.systemd("SetMode", "done")
    ccpd.stop()
    ccpd.start()
    deliver(ccpd, 1)
    assert receiver.alerts() == [("firing", "instance-failed", "alpha")]
