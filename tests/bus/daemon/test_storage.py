# SPDX-License-Identifier: LGPL-2.1-or-later
"""The storage of backups: naming it, which copies are made when, and what is asked of ccp-storage, with a stand-in for that."""

import contextlib
import json
import os
import socket
import threading
import time

import dbus
import pytest
from conftest import NAME, ROOT, instance_path, wait_for
from test_authorization import grant
from test_backup_life import NONE, error, job_row, make_backup
from watcher import finish, running

ACCESS, SECRET = "AKIAEXAMPLE", "a/secret+key"
PLACE = {"endpoint": "https://s3.example.org", "bucket": "backups", "prefix": "fleet"}
KEY = "0e3a9f6c-1111-4222-8333-0123456789ab/oslo-20261120T031507Z.7d9b1c2e-5555-4666-9777-fedcba987654.ccpb"
PAGE = (dbus.UInt64(0), dbus.UInt64(10))


def options(**values):
    return dbus.Dictionary({k.replace("_", "-"): v for k, v in values.items()}, "sv")


def set_storage(ccpd, **values):
    ccpd.manager("SetStorage", options(**PLACE | {"access_key": ACCESS, "secret_key": SECRET} | values))


def storage(ccpd):
    return {str(k): v for k, v in ccpd.manager("GetStorage", NONE).items()}


def jobs(ccpd, *states):
    """(backup, id) of those that copy, in these states, oldest first."""
    return [tuple(row) for row in ccpd.postgres.sql(
        "SELECT spec ->> 'backup', id FROM jobs WHERE kind = 'replicate' AND state IN "
        f"({', '.join(repr(state) for state in states or ('queued', 'running', 'undoing'))}) ORDER BY id")]


def end(ccpd, number, state="succeeded"):
    """What a worker does."""
    if state == "succeeded":
        ccpd.postgres.sql("UPDATE backups SET copy_key = 'a/b', replicated_at = now(), copy_attempts = 0, copy_due_at = NULL "
                          f"WHERE id::text = (SELECT spec ->> 'backup' FROM jobs WHERE id = {number})")
    finish(ccpd, f"{ROOT}/job/{number}", state)


def due(ccpd):
    """The time to wait is over."""
    ccpd.postgres.sql("UPDATE backups SET copy_due_at = now() WHERE copy_due_at IS NOT NULL")


def error_or_none(ccpd, *call):
    try:
        ccpd.manager(*call)
    except dbus.DBusException as e:
        return e.get_dbus_name()
    return None


class Worker:
    """Answers as ccp-storage does, one connection after the other."""

    def __init__(self, ccpd):
        self.requests, self.answers = [], {}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{ccpd.folder}/storage")
        self.listener.listen(16)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                data = b""
                while more := connection.recv(65536):
                    data += more
                self.requests.append(json.loads(data))
                answer = self.answers.get(self.requests[-1]["do"], {})
                # ccpd hangs up on what is too much.
                with contextlib.suppress(OSError):
                    connection.sendall(answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n")

    def asked(self, verb):
        return [request for request in self.requests if request["do"] == verb]

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


@pytest.fixture
def worker(ccpd):
    made = Worker(ccpd)
    yield made
    made.close()


def test_it_is_named_and_forgotten(ccpd):
    assert storage(ccpd) == {}
    assert error(ccpd, "ForgetStorage", NONE)[0] == "WrongState"
    set_storage(ccpd, region="eu-west-1", path_style=True, ca_file="/etc/ssl/storage.pem")
    shown = storage(ccpd)
    assert {k: shown[k] for k in ("Endpoint", "Region", "Bucket", "Prefix", "CaFile", "PathStyle", "Copied", "Missing", "Error")} == {
        "Endpoint": "https://s3.example.org", "Region": "eu-west-1", "Bucket": "backups", "Prefix": "fleet/", "PathStyle": True,
        "CaFile": "/etc/ssl/storage.pem", "Copied": 0, "Missing": 0, "Error": ""}
    # Sealed, and told to nobody.
    assert ACCESS not in str(shown) and SECRET not in str(shown)
    dump = str(ccpd.postgres.sql("SELECT to_jsonb(storage), encode(sealed, 'escape') FROM storage")) + str(
        ccpd.postgres.sql("SELECT details FROM ccpd_audit.entries"))
    assert ACCESS not in dump and SECRET not in dump
    # They stay where only the rest is named anew, and are sealed for that.
    sealed = ccpd.postgres.sql("SELECT sealed FROM storage")
    ccpd.manager("SetStorage", options(**PLACE, region="eu-north-1"))
    assert storage(ccpd)["Region"] == "eu-north-1" and ccpd.postgres.sql("SELECT sealed FROM storage") != sealed
    ccpd.manager("SetStorage", options(**PLACE))

    ccpd.manager("ForgetStorage", NONE)
    assert storage(ccpd) == {}
    assert ccpd.postgres.sql("SELECT sealed IS NULL FROM storage") == [["t"]]
    name, message = error(ccpd, "SetStorage", options(**PLACE))
    assert name == "InvalidArgument" and "access key" in message
    assert [row[0] for row in ccpd.postgres.sql(
        "SELECT action FROM ccpd_audit.entries WHERE action LIKE 'STORAGE%' ORDER BY seq")] == 3 * ["STORAGE_SET"] + ["STORAGE_FORGET"]
    details = [json.loads(row[0]) for row in ccpd.postgres.sql(
        "SELECT details FROM ccpd_audit.entries WHERE action = 'STORAGE_SET' ORDER BY seq")]
    assert details[0] == {"endpoint": "https://s3.example.org", "region": "eu-west-1", "bucket": "backups", "prefix": "fleet/",
                          "path_style": True, "ca_file": "/etc/ssl/storage.pem", "new_credentials": True}
    # Whom the storage's certificate is believed, and whose keys they are, is seen to change.
    assert [(d["ca_file"], d["new_credentials"]) for d in details[1:]] == 2 * [("", False)]


@pytest.mark.parametrize("values", [
    {"endpoint": "ftp://x"}, {"endpoint": ""}, {"bucket": "UPPER"}, {"bucket": ""}, {"prefix": "../x"}, {"secret_key": ""},
    {"access_key": "a b"}, {"ca_file": "relative"}, {"region": "a b"}, {"no_such": "x"}, {"path_style": "yes"},
])
def test_what_is_no_storage(ccpd, values):
    with pytest.raises(dbus.DBusException) as e:
        set_storage(ccpd, **values)
    assert e.value.get_dbus_name() == f"{NAME}.Error.InvalidArgument"
    assert SECRET not in e.value.get_dbus_message()
    assert storage(ccpd) == {}
    name, _ = error(ccpd, "SetStorage", options(**PLACE, access_key=ACCESS))
    assert name == "InvalidArgument"


def unique_name(ccpd):
    """ccpd's connection, also before it has its name."""
    daemon = dbus.Interface(ccpd.bus.get_object("org.freedesktop.DBus", "/org/freedesktop/DBus"), "org.freedesktop.DBus")
    return next((name for name in map(str, ccpd.bus.list_names())
                 if name.startswith(":") and daemon.GetConnectionUnixProcessID(name) == ccpd.process.pid), None)


def test_before_it_is_read(ccpd):
    """All other records are there, and that one is not."""
    set_storage(ccpd)
    assert ccpd.stop() == 0
    # Who reads more of it than which key it is sealed with, as is done with the other records, waits.
    ccpd.postgres.psql("-c", "CREATE POLICY held ON storage USING (current_query() NOT LIKE '%endpoint%' "
                             "OR pg_advisory_xact_lock_shared(4711) IS NOT NULL) WITH CHECK (true)",
                       "-c", "ALTER TABLE storage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    with ccpd.postgres.holding("SELECT FROM pg_advisory_xact_lock(4711)"):
        ccpd.start(wait=False)
        wait_for(lambda: unique_name(ccpd), what="the connection")
        manager = ccpd.bus.get_object(unique_name(ccpd), ROOT, introspect=False)
        wait_for(lambda: manager.Get(f"{NAME}.Manager", "StoreState", dbus_interface="org.freedesktop.DBus.Properties") == "available",
                 what="the records")
        for method, *args in (("ForgetStorage", NONE), ("TestStorage", NONE), ("SetStorage", options(**PLACE)), ("OpenCopy", KEY, NONE)):
            with pytest.raises(dbus.DBusException) as e:
                manager.get_dbus_method(method, f"{NAME}.Manager")(*args)
            assert e.value.get_dbus_name() == f"{NAME}.Error.StoreUnavailable"
        assert not ccpd.bus.name_has_owner(NAME)
    wait_for(lambda: ccpd.bus.name_has_owner(NAME), what="ccpd's name")
    # Who waited for it is not told to try again.
    ccpd.manager("SetStorage", options(**PLACE))
    assert ccpd.postgres.sql("SELECT version FROM storage") == [["2"]]


def test_each_verified_backup_gets_a_copy_a_few_at_a_time(ccpd):
    ccpd.manager("SetSettings", dbus.Dictionary({"backup_concurrency": dbus.UInt64(2)}, "sv"))
    running(ccpd, "alpha")
    ids = [make_backup(ccpd, "alpha") for _ in range(3)]
    make_backup(ccpd, "alpha", state="damaged")
    time.sleep(1)
    assert jobs(ccpd) == []
    set_storage(ccpd)
    # The newest first.
    wait_for(lambda: [backup for backup, _ in jobs(ccpd)] == [ids[2], ids[1]], what="two of them")
    time.sleep(1)
    assert len(jobs(ccpd)) == 2
    wait_for(lambda: f"ccp-transfer@{jobs(ccpd)[0][1]}.service" in ccpd.starts(), what="the worker")
    assert str(ccpd.get(f"{ROOT}/job/{jobs(ccpd)[0][1]}", "Job", "Unit")) == f"ccp-transfer@{jobs(ccpd)[0][1]}.service"
    # Other jobs go on beside it, and the instance has none.
    assert str(ccpd.get(instance_path("alpha"), "Instance", "Job")) == "/"
    path = str(ccpd.call("Instance", "Restart", dbus.Array([], "s"), NONE, path=instance_path("alpha")))
    finish(ccpd, path)
    end(ccpd, jobs(ccpd)[0][1])
    wait_for(lambda: [backup for backup, _ in jobs(ccpd)] == [ids[1], ids[0]], what="the third")
    for _, number in jobs(ccpd):
        end(ccpd, number)
    wait_for(lambda: storage(ccpd)["Missing"] == 0, what="the end")
    assert storage(ccpd)["Copied"] == 3
    rows = ccpd.manager("ListBackups", NONE, *PAGE)
    assert [bool(row["ReplicatedAt"]) for row in rows] == [False, True, True, True] and str(rows[1]["Copy"]) == "a/b"
    assert ccpd.get(instance_path("alpha"), "Instance", "LastReplicatedAt") > 0
    # One more, by itself.
    more = make_backup(ccpd, "alpha")
    wait_for(lambda: [backup for backup, _ in jobs(ccpd)] == [more], what="the next one")


def test_one_that_fails_is_tried_again(ccpd):
    running(ccpd, "alpha")
    set_storage(ccpd)
    backup = make_backup(ccpd, "alpha")
    wait_for(lambda: len(jobs(ccpd)) == 1, what="the copy")
    first = jobs(ccpd)[0][1]
    end(ccpd, first, "failed")
    time.sleep(1)
    assert jobs(ccpd) == []
    # Also after a restart.
    assert ccpd.stop() == 0
    due(ccpd)
    ccpd.start()
    wait_for(lambda: len(jobs(ccpd)) == 1, what="the second attempt")
    assert ccpd.postgres.sql(f"SELECT copy_attempts FROM backups WHERE id = {backup}") == [["2"]]
    end(ccpd, jobs(ccpd)[0][1], "cancelled")
    # What may be mended is tried at once.
    ccpd.manager("SetStorage", options(**PLACE))
    wait_for(lambda: len(jobs(ccpd)) == 1, what="the third attempt")
    assert ccpd.get(instance_path("alpha"), "Instance", "State") == "running"
    end(ccpd, jobs(ccpd)[0][1])


def test_a_copy_by_hand_and_back(ccpd):
    running(ccpd, "alpha")
    backup = make_backup(ccpd, "alpha")
    path = str(ccpd.manager("ReplicateBackup", backup, NONE))
    assert job_row(ccpd, path) == ["replicate", "alpha", f'{{"backup": "{backup}"}}']
    assert error(ccpd, "ReplicateBackup", backup, NONE)[0] == "Busy"
    name, message = error(ccpd, "DeleteBackup", backup, dbus.Dictionary({"last": True}, "sv"))
    assert name == "Busy" and path.rpartition("/")[2] in message
    finish(ccpd, path, "failed")
    wait_for(lambda: ccpd.get(path, "Job", "State") == "failed", what="its end")
    again = str(ccpd.call("Job", "Retry", NONE, path=path))
    assert job_row(ccpd, again)[0] == "replicate"
    finish(ccpd, again)
    path = str(ccpd.manager("FetchBackup", backup, NONE))
    assert job_row(ccpd, path) == ["fetch", "alpha", f'{{"backup": "{backup}"}}']
    wait_for(lambda: f"ccp-transfer@{path.rpartition('/')[2]}.service" in ccpd.starts(), what="the worker")
    # That writes, and is alone on the instance.
    assert error(ccpd, "VerifyBackup", backup, NONE)[0] == "Busy"
    for method in ("ReplicateBackup", "FetchBackup"):
        assert error(ccpd, method, "999", NONE)[0] == "NoSuchBackup"
        assert error(ccpd, method, "x", NONE)[0] == "InvalidArgument"


def test_what_is_not_copied_in_time_is_told(ccpd):
    def rules():
        return {str(alert["Rule"]) for alert in ccpd.manager("ListAlerts", options(state="firing"), *PAGE)}

    running(ccpd, "alpha")
    backup = make_backup(ccpd, "alpha")
    ccpd.postgres.sql("UPDATE backups SET copy_wanted_at = now() - interval '25 hours'")
    time.sleep(1)
    assert "backup-unreplicated" not in rules()
    set_storage(ccpd)
    wait_for(lambda: len(jobs(ccpd)) == 1, what="the copy")
    # Of a storage that is new nothing is late.
    assert "backup-unreplicated" not in rules()
    ccpd.postgres.sql("UPDATE backups SET copy_wanted_at = now() - interval '25 hours'")
    wait_for(lambda: "backup-unreplicated" in rules(), what="the alert")
    ccpd.manager("SetSettings", dbus.Dictionary({"alert_copy_hours": dbus.UInt64(0)}, "sv"))
    wait_for(lambda: "backup-unreplicated" not in rules(), what="its end by the setting")
    ccpd.manager("SetSettings", dbus.Dictionary({"alert_copy_hours": dbus.UInt64(24)}, "sv"))
    wait_for(lambda: "backup-unreplicated" in rules(), what="the alert again")
    end(ccpd, jobs(ccpd)[0][1])
    wait_for(lambda: "backup-unreplicated" not in rules(), what="its end")
    assert backup


def test_copies_of_deleted_backups_are_removed(ccpd, worker):
    running(ccpd, "alpha")
    set_storage(ccpd)
    make_backup(ccpd, "alpha")
    wait_for(lambda: len(jobs(ccpd)) == 1, what="the copy")
    end(ccpd, jobs(ccpd)[0][1])
    time.sleep(1)
    assert worker.asked("sweep") == []
    ccpd.postgres.sql("DELETE FROM backups")
    wait_for(lambda: worker.asked("sweep"), what="the removal")
    assert worker.asked("sweep")[0] == {"do": "sweep", "seconds": 598}
    ccpd.postgres.sql("DELETE FROM doomed_copies")
    time.sleep(1)
    worker.requests.clear()
    time.sleep(1)
    assert worker.requests == []


def test_copies_are_looked_for_once_a_day(ccpd, worker):
    set_storage(ccpd)
    time.sleep(1)
    assert worker.asked("compare") == []
    assert storage(ccpd)["ComparedAt"] >= storage(ccpd)["SetAt"] > 0
    # What fails is tried again, but not at once.
    worker.answers["compare"] = {"error": {"name": f"{NAME}.Error.StorageFailed", "message": "It is so."}}
    ccpd.postgres.sql("UPDATE storage SET compared_at = now() - interval '25 hours'")
    wait_for(lambda: worker.asked("compare"), what="the look")
    assert worker.asked("compare") == [{"do": "compare", "seconds": 3598}]
    wait_for(lambda: "tried again: It is so." in (ccpd.folder / "ccpd.log").read_text(errors="replace"), what="the line of the journal")
    time.sleep(1)
    assert len(worker.asked("compare")) == 1
    # With what was changed it may go well.
    worker.answers["compare"] = {}
    set_storage(ccpd)
    ccpd.postgres.sql("UPDATE storage SET compared_at = now() - interval '25 hours'")
    # The stand-in notes nothing, so that more follow.
    wait_for(lambda: len(worker.asked("compare")) >= 2, what="another look")


def test_it_is_tried(ccpd, worker):
    assert error(ccpd, "TestStorage", NONE)[0] == "WrongState"
    set_storage(ccpd)
    finding = {"check": "write", "verdict": "ok", "message": "Fine.", "advice": ""}
    worker.answers["test"] = {"findings": [finding]}
    assert [tuple(map(str, row)) for row in ccpd.manager("TestStorage", NONE)] == [("write", "ok", "Fine.", "")]
    worker.answers["test"] = {"error": {"name": f"{NAME}.Error.StorageFailed", "message": "It is so."}}
    assert error(ccpd, "TestStorage", NONE) == ("StorageFailed", "It is so.")
    for nonsense in (b"", b"{", b"[]", b"{}", b"x" * 100000):
        worker.answers["test"] = nonsense
        assert error(ccpd, "TestStorage", NONE)[0] == "Internal"
    # The doctor asks, too.
    worker.answers["check"] = {"findings": [finding | {"check": "storage"}]}
    assert ("storage", "ok", "Fine.", "") in [tuple(map(str, row)) for row in ccpd.manager("Doctor")]
    assert worker.asked("check") == [{"do": "check", "seconds": 18}]
    worker.answers["check"] = {"error": {"name": f"{NAME}.Error.KeyMissing", "message": "No key."}}
    assert ("storage", "failed", "No key.", "See: ccpctl storage test") in [tuple(map(str, row)) for row in ccpd.manager("Doctor")]


def test_what_it_has_is_listed(ccpd, worker):
    assert error(ccpd, "ListStorage", NONE, *PAGE)[0] == "WrongState"
    set_storage(ccpd)
    worker.answers["list"] = {"copies": [{
        "key": KEY, "instance": "oslo", "instance_id": KEY[:36], "archive": KEY[-41:-5], "created_at": 5, "modified_at": 6, "size": 7,
        "backup": backup} for backup in (0, 12)]}
    rows = [{str(k): v for k, v in row.items()} for row in ccpd.manager("ListStorage", options(instance="oslo"), *PAGE)]
    assert [str(row["Backup"]) for row in rows] == ["", "12"]
    assert rows[0] == {"Key": KEY, "Instance": "oslo", "InstanceId": KEY[:36], "Archive": KEY[-41:-5], "Backup": "", "CreatedAt": 5,
                       "CopiedAt": 6, "Size": 7}
    # How long it has comes with the question: it gives up before ccpd does, and ccpd before its caller.
    assert worker.requests[-1] == {"do": "list", "instance": "oslo", "offset": 0, "limit": 10, "seconds": 20}
    assert error(ccpd, "ListStorage", NONE, dbus.UInt64(0), dbus.UInt64(0))[0] == "InvalidArgument"
    assert error(ccpd, "ListStorage", options(x="y"), *PAGE)[0] == "InvalidArgument"


def test_a_copy_is_handed_out(ccpd, worker):
    assert error(ccpd, "OpenCopy", KEY, NONE)[0] == "WrongState"
    set_storage(ccpd)
    worker.answers["get"] = b'{"size":5}\nhello'
    with os.fdopen(ccpd.manager("OpenCopy", KEY, NONE).take(), "rb") as f:
        os.set_blocking(f.fileno(), True)
        assert f.read() == b'{"size":5}\nhello'
    assert worker.requests[-1] == {"do": "get", "key": KEY}
    assert ccpd.postgres.sql("SELECT details FROM ccpd_audit.entries WHERE action = 'BACKUP_EXPORT'") == [[f'{{"copy":"{KEY}"}}']]
    for key in ("", "x", "../" + KEY, KEY + "x", "/" + KEY):
        assert error(ccpd, "OpenCopy", key, NONE)[0] == "InvalidArgument"


def test_so_many_copies_are_handed_out_at_a_time(ccpd):
    """Each as long as ccp-storage is at work on it, whatever becomes of who took it: nothing else waits for that."""
    set_storage(ccpd)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{ccpd.folder}/storage")
        listener.listen(16)
        working = []
        for _ in range(4):
            ccpd.manager("OpenCopy", KEY, NONE).take()
            connection, _ = listener.accept()
            data, held, _, _ = socket.recv_fds(connection, 65536, 4)
            assert json.loads(data) == {"do": "get", "key": KEY} and len(held) == 1
            working.append((connection, held[0]))
        name, message = error(ccpd, "OpenCopy", KEY, NONE)
        assert name == "Busy" and "4 copies" in message
        # Nothing is recorded of what was not handed out.
        assert ccpd.postgres.sql("SELECT count(*) FROM ccpd_audit.entries WHERE action = 'BACKUP_EXPORT'") == [["4"]]
        for left in (3, 2, 1, 0):
            connection, held = working.pop()
            connection.close()
            os.close(held)
            assert len(working) == left
        wait_for(lambda: error_or_none(ccpd, "OpenCopy", KEY, NONE) is None, what="a place")
        connection, _ = listener.accept()
        connection.close()
    # Nor does one that could not be begun keep its place.
    os.unlink(f"{ccpd.folder}/storage")
    for _ in range(6):
        assert error(ccpd, "OpenCopy", KEY, NONE)[0] == "Internal"


def test_without_the_worker(ccpd):
    set_storage(ccpd)
    assert error(ccpd, "TestStorage", NONE)[0] == "Internal"
    assert error(ccpd, "ListStorage", NONE, *PAGE)[0] == "Internal"
    assert error(ccpd, "OpenCopy", KEY, NONE)[0] == "Internal"
    assert "storage" in [str(row[0]) for row in ccpd.manager("Doctor")]


@pytest.mark.parametrize("action, calls", [
    ("manage-storage", [("SetStorage", "a{sv}", {}), ("ForgetStorage", "a{sv}", {}), ("TestStorage", "a{sv}", {})]),
    ("view-configuration", [("GetStorage", "a{sv}", {}), ("ListStorage", "a{sv}tt", {}, 0, 10)]),
    ("restore", [("OpenCopy", "sa{sv}", KEY, {})]),
    ("operate", [("ReplicateBackup", "sa{sv}", "1", {}), ("FetchBackup", "sa{sv}", "1", {})]),
])
def test_what_each_call_takes(ccpd, action, calls):
    """Who may do what is the rules' business (check-polkit.py): here, that they are asked about the right thing."""
    grant(ccpd, "admin", "user", "nobody")
    nobody = ccpd.person("nobody")
    for call in calls:
        assert nobody.call(*call).get("error") != f"{NAME}.Error.NotAuthorized"
    ccpd.polkit("Answer", action, "no")
    for call in calls:
        assert nobody.error(*call) == "NotAuthorized"
