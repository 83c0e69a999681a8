# SPDX-License-Identifier: LGPL-2.1-or-later
"""The master key is replaced: with both keys, all is sealed anew, whatever ends ccpd meanwhile; nothing is passed over."""

import json
import os
import pathlib
import subprocess

import dbus
import pytest
from conftest import NAME, ROOT, instance_path, wait_for
from test_authorization import ASK, PROPERTIES, grant
from test_daemon import error_of
from watcher import finish, running

CCPCTL = os.environ.get("CCPCTL") or str(pathlib.Path(os.environ["CCPD"]).parents[1] / "ctl/ccpctl")
NEXT, RETIRE = "ccp-master-key@next.service", "ccp-master-key@retire.service"
RESTART = 75
NONE = dbus.Dictionary({}, "sv")
STORAGE = {"endpoint": "https://s3.example.org", "bucket": "backups"}
SEALED = ("SELECT key_id, count(*) FROM (SELECT key_id FROM secrets UNION ALL SELECT key_id FROM alert_secrets "
          "UNION ALL SELECT key_id FROM backup_keys UNION ALL SELECT key_id FROM storage WHERE key_id IS NOT NULL) s GROUP BY 1")


def status(ccpd):
    key = ccpd.get(ROOT, "Manager", "MasterKey")
    return str(key["Id"]), str(key["Former"])


def reveal(ccpd, slug):
    fd = ccpd.call("Instance", "RevealSecret", "PASSWORD", NONE, path=instance_path(slug))
    with open(fd.take(), encoding="ascii") as f:
        return f.read()


def reveal_alert(ccpd):
    with open(ccpd.manager("RevealAlertSecret", NONE).take(), encoding="ascii") as f:
        return f.read()


def put_next_key(ccpd):
    """What the unit of root's does, and PID 1."""
    (ccpd.folder / "ccpd.master-key-next").write_bytes(os.urandom(32))


def begin(ccpd):
    """As far as ccpd comes by itself: it wants to be started anew."""
    put_next_key(ccpd)
    ccpd.manager("RotateMasterKey", NONE)
    assert ccpd.process.wait(20) == RESTART


def start(ccpd):
    ccpd.start()
    wait_for(lambda: ccpd.get(ROOT, "Manager", "StoreState") == "available", what="the records")


def rotated(ccpd, before):
    return wait_for(lambda: status(ccpd)[1] == "" and status(ccpd)[0] != before and status(ccpd)[0], what="the end of the rotation")


def keys_in_use(ccpd):
    return {key for key, _ in ccpd.postgres.sql(SEALED)}


def entries(ccpd):
    rows = ccpd.postgres.sql("SELECT outcome, user_name, details FROM ccpd_audit.entries WHERE action = 'KEY_ROTATE' ORDER BY seq")
    return [(outcome, user, json.loads(details)) for outcome, user, details in rows]


@pytest.fixture
def fleet(ccpd):
    """More secrets than are sealed anew at once, one of the webhook, and the credentials of a storage; their jobs have ended."""
    for n in range(36):
        _, job = ccpd.create(f"i{n}")
        finish(ccpd, job)
    reveal_alert(ccpd)
    ccpd.manager("SetStorage", dbus.Dictionary(STORAGE | {"access-key": "AK", "secret-key": "SK"}, "sv"))
    return ccpd


def test_all_is_sealed_anew_and_reads_as_before(fleet):
    before, former = status(fleet)
    assert former == "" and keys_in_use(fleet) == {before}
    secrets = {n: reveal(fleet, f"i{n}") for n in (0, 20, 35)}
    alert = reveal_alert(fleet)
    begin(fleet)
    start(fleet)
    after = rotated(fleet, before)
    assert keys_in_use(fleet) == {after}
    assert {n: reveal(fleet, f"i{n}") for n in secrets} == secrets and reveal_alert(fleet) == alert
    assert entries(fleet) == [("accepted", "root", {"former": before}), ("succeeded", entries(fleet)[1][1], {"key": after, "former": before})]
    assert fleet.systemd("Calls").count(f"start {RETIRE}") == 1
    # With the next one in its place it is the only one; what is new is sealed with it.
    (fleet.folder / "ccpd.master-key").write_bytes((fleet.folder / "ccpd.master-key-next").read_bytes())
    fleet.stop()
    start(fleet)
    assert status(fleet) == (after, "") and reveal(fleet, "i0") == secrets[0]
    # To name the storage anew, its credentials are opened.
    fleet.manager("SetStorage", dbus.Dictionary(STORAGE | {"region": "eu-west-1"}, "sv"))
    fleet.create("late")
    assert keys_in_use(fleet) == {after}


def test_it_waits_for_workers_that_have_the_former_key_alone(fleet):
    before, _ = status(fleet)
    _, job = fleet.create("slow")
    sealed = fleet.postgres.sql(SEALED)
    begin(fleet)
    start(fleet)
    wait_for(lambda: status(fleet)[1] == before, what="both keys")
    # What is made meanwhile is sealed with the next one, what is there can be read.
    _, new_job = fleet.create("meanwhile")
    assert len(reveal(fleet, "slow")) == 32 and len(reveal(fleet, "meanwhile")) == 32
    assert len(keys_in_use(fleet)) == 2 and fleet.get(ROOT, "Manager", "MasterKey")["Left"] == 0
    assert [row for row in fleet.postgres.sql(SEALED) if row[0] == before] == sealed
    # Not for one that has both.
    finish(fleet, job)
    rotated(fleet, before)
    assert len(keys_in_use(fleet)) == 1
    finish(fleet, new_job)


def test_what_a_late_worker_sealed_is_sealed_anew(fleet):
    before, _ = status(fleet)
    row = "instance = (SELECT id FROM instances WHERE slug = 'i5') AND name = 'PASSWORD'"
    ((sealed,),) = fleet.postgres.sql(f"SELECT encode(sealed, 'hex') FROM secrets WHERE {row}")
    secret = reveal(fleet, "i5")
    fleet.systemd("Hold", RETIRE)
    begin(fleet)
    start(fleet)
    wait_for(lambda: f"start {RETIRE}" in fleet.systemd("Calls"), what="the end")
    assert before not in keys_in_use(fleet)
    fleet.stop(9)
    fleet.postgres.sql(f"UPDATE secrets SET key_id = '{before}', sealed = decode('{sealed}', 'hex') WHERE {row}")
    start(fleet)
    wait_for(lambda: fleet.systemd("Calls").count(f"start {RETIRE}") == 2, what="the second attempt")
    fleet.systemd("Finish", RETIRE, "done")
    assert keys_in_use(fleet) == {rotated(fleet, before)} and reveal(fleet, "i5") == secret
    # It is on record once, though it was come to twice.
    assert [entry[0] for entry in entries(fleet)] == ["accepted", "succeeded"]


@pytest.mark.parametrize("when", [0.0, 0.02, 0.05, 0.1])
def test_whenever_ccpd_is_killed_it_goes_on(fleet, when):
    before, _ = status(fleet)
    secret = reveal(fleet, "i7")
    begin(fleet)
    for _ in range(3):
        fleet.start()
        wait_for(lambda: fleet.bus.name_has_owner(NAME))
        try:
            wait_for(lambda: False, seconds=when)
        except AssertionError:
            pass
        fleet.stop(9)
    start(fleet)
    after = rotated(fleet, before)
    assert keys_in_use(fleet) == {after} and reveal(fleet, "i7") == secret
    assert [entry[0] for entry in entries(fleet)] == ["accepted", "succeeded"]


def test_postgresql_that_goes_away_is_waited_for(fleet):
    before, _ = status(fleet)
    begin(fleet)
    fleet.postgres.kill()
    fleet.start()
    wait_for(lambda: status(fleet)[1] == before, what="both keys")
    fleet.postgres.start()
    rotated(fleet, before)


def test_what_cannot_be_opened_is_not_passed_over(fleet):
    before, _ = status(fleet)
    fleet.postgres.sql("UPDATE secrets SET sealed = set_byte(sealed, 30, get_byte(sealed, 30) # 1) "
                       "WHERE instance = (SELECT id FROM instances WHERE slug = 'i13')")
    begin(fleet)
    start(fleet)
    error = wait_for(lambda: str(fleet.get(ROOT, "Manager", "MasterKey")["Error"]), what="the error")
    assert "'PASSWORD'" in error and "is damaged" in error
    assert status(fleet)[1] == before and f"start {RETIRE}" not in fleet.systemd("Calls")
    assert [verdict for check, verdict, message, _ in fleet.manager("Doctor") if check == "key" and before in message] == ["failed"]
    # All else can be read.
    assert len(reveal(fleet, "i1")) == 32 and len(reveal(fleet, "i35")) == 32
    assert error_of(fleet.manager, "RotateMasterKey", NONE)[0] == "Busy"
    # Once it is gone, and ccpd tries again, it comes to its end.
    fleet.postgres.sql("DELETE FROM jobs WHERE slug = 'i13'; DELETE FROM instances WHERE slug = 'i13'")
    fleet.stop()
    start(fleet)
    rotated(fleet, before)


def test_a_next_key_that_cannot_be_made_changes_nothing(fleet):
    before, _ = status(fleet)
    fleet.systemd("SetMode", "fail")
    name, message = error_of(fleet.manager, "RotateMasterKey", NONE)
    assert NEXT in message and fleet.process.poll() is None, name
    assert status(fleet) == (before, "")
    assert wait_for(lambda: len(entries(fleet)) == 2 and [entry[0] for entry in entries(fleet)]) == ["accepted", "failed"]
    fleet.systemd("SetMode", "done")
    begin(fleet)
    start(fleet)
    rotated(fleet, before)


def test_it_does_not_begin_where_a_key_is_missing(fleet):
    fleet.postgres.sql(f"INSERT INTO backup_keys (name, id, key_id, sealed) VALUES ('signing', 'x', '{'c' * 16}', 'x')")
    name, message = error_of(fleet.manager, "RotateMasterKey", NONE)
    assert name == "KeyMissing" and "c" * 16 in message
    assert error_of(fleet.manager, "RotateMasterKey", dbus.Dictionary({"nonsense": "x"}, "sv"))[0] == "InvalidArgument"
    assert entries(fleet) == [] and f"start {NEXT}" not in fleet.systemd("Calls")


def test_with_another_key_than_that_of_the_records_nothing_is_sealed(ccpd):
    path = running(ccpd, "alpha")
    reveal_alert(ccpd)
    before, _ = status(ccpd)
    secret = reveal(ccpd, "alpha")
    ccpd.manager("SetSettings", dbus.Dictionary({"backup_schedule": "daily"}, "sv"))
    right = (ccpd.folder / "ccpd.master-key").read_bytes()
    (ccpd.folder / "ccpd.master-key").write_bytes(os.urandom(32))
    ccpd.stop()
    start(ccpd)
    sealed, other = ccpd.postgres.sql(SEALED), status(ccpd)[0]
    assert other != before

    def refused(call, *args, **kwargs):
        name, message = error_of(call, *args, **kwargs)
        assert name == "KeyMissing" and before in message and other in message and "credstore.encrypted" in message, (name, message)

    [(verdict, message, advice)] = [tuple(map(str, f[1:])) for f in ccpd.manager("Doctor") if f[0] == "key"]
    assert verdict == "failed" and before in message and "/etc/credstore.encrypted/ccpd.master-key" in advice
    refused(ccpd.create, "beta")
    refused(ccpd.call, "Instance", "Backup", NONE, path=path)
    refused(ccpd.manager, "BackupAll", NONE)
    refused(ccpd.manager, "RotateAlertSecret", NONE)
    ccpd.postgres.sql("SELECT nextval('schedule_knocks'); INSERT INTO schedules (expression, knock, knocked_at) VALUES ('daily', "
                      "currval('schedule_knocks'), now()) ON CONFLICT (expression) DO UPDATE SET knock = excluded.knock, "
                      "knocked_at = excluded.knocked_at")
    # All else goes on, and what is sealed stays as it is.
    job = str(ccpd.call("Instance", "Restart", dbus.Array([], "s"), NONE, path=path))
    finish(ccpd, job)
    assert error_of(ccpd.call, "Instance", "RevealSecret", "PASSWORD", NONE, path=path)[0] == "KeyMissing"
    assert ccpd.postgres.sql(SEALED) == sealed
    assert ccpd.postgres.sql("SELECT count(*) FROM jobs WHERE kind IN ('backup', 'create')") == [["1"]]

    # With the right one back, what was due is made.
    (ccpd.folder / "ccpd.master-key").write_bytes(right)
    ccpd.stop()
    start(ccpd)
    assert [str(f[1]) for f in ccpd.manager("Doctor") if f[0] == "key"] != ["failed"] and reveal(ccpd, "alpha") == secret
    wait_for(lambda: ccpd.postgres.sql("SELECT count(*) FROM jobs WHERE kind = 'backup'") == [["1"]], what="the backup")
    ccpd.create("beta")
    assert keys_in_use(ccpd) == {before}


def test_a_former_key_that_cannot_be_put_away_is_no_loss(fleet):
    before, _ = status(fleet)
    begin(fleet)
    fleet.systemd("Hold", RETIRE)
    start(fleet)
    wait_for(lambda: f"start {RETIRE}" in fleet.systemd("Calls"), what="the attempt")
    fleet.systemd("Finish", RETIRE, "failed")
    wait_for(lambda: "could not be put away" in (fleet.folder / "ccpd.log").read_text(errors="replace"), what="the warning")
    assert status(fleet)[1] == before and len(reveal(fleet, "i0")) == 32
    wait_for(lambda: fleet.systemd("Calls").count(f"start {RETIRE}") == 2, what="the second attempt")
    fleet.systemd("Finish", RETIRE, "done")
    rotated(fleet, before)


def test_who_may(ccpd):
    grant(ccpd, "admin", "user", "daemon")
    grant(ccpd, "viewer", "user", "bin")
    ccpd.create("alpha")
    grant(ccpd, "client", "user", "sys", "alpha")
    ccpd.polkit("Answer", "manage-keys", "ask")
    assert ccpd.person("daemon").error("RotateMasterKey", "a{sv}", {}) == ASK
    ccpd.polkit("Answer", "manage-keys", "no")
    assert ccpd.person("bin").error("RotateMasterKey", "a{sv}", {}) == "NotAuthorized"
    assert [entry[0] for entry in entries(ccpd)] == ["denied", "denied"]

    def seen_by(user):
        return ccpd.person(user).value("Get", "ss", f"{NAME}.Manager", "MasterKey", interface=PROPERTIES)

    assert seen_by("bin")["Id"] == status(ccpd)[0]
    # It is nothing that a client needs.
    assert seen_by("sys") == {}


def ccpctl(ccpd, *args):
    return subprocess.Popen([CCPCTL, "key", *args], env=ccpd.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_ccpctl_waits_until_it_is_done(fleet):
    before, _ = status(fleet)
    assert json.loads(ccpctl(fleet, "status", "--json=short").communicate(timeout=60)[0])["master_key"] == {
        "id": before, "former": "", "left": 0, "error": ""}
    _, job = fleet.create("slow")
    put_next_key(fleet)
    rotation = ccpctl(fleet, "rotate")
    assert fleet.process.wait(20) == RESTART
    start(fleet)
    wait_for(lambda: status(fleet)[1] == before, what="both keys")
    shown, _ = ccpctl(fleet, "status").communicate(timeout=60)
    assert f"{status(fleet)[0]}, replaces {before}" in shown
    assert rotation.poll() is None
    finish(fleet, job)
    out, err = rotation.communicate(timeout=60)
    assert rotation.returncode == 0 and "was replaced" in out, err
    assert status(fleet)[1] == ""


def test_ccpctl_says_what_went_wrong(fleet):
    # PID 1 does not hand the next key over.
    rotation = ccpctl(fleet, "rotate")
    assert fleet.process.wait(20) == RESTART
    start(fleet)
    _, err = rotation.communicate(timeout=60)
    assert rotation.returncode == 1 and "was not given the next master key" in err
    # Nothing is lost by that.
    assert len(reveal(fleet, "i0")) == 32
    put_next_key(fleet)
    rotation = ccpctl(fleet, "rotate", "--no-wait")
    assert fleet.process.wait(20) == RESTART
    assert rotation.wait(60) == 0
    start(fleet)
