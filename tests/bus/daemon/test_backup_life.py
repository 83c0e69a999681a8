# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ccpd does about backups that are there, and when it makes others; the files are the workers' business."""

import time

import dbus
import pytest
from conftest import NAME, ROOT, instance_path, wait_for
from test_daemon import error_of
from watcher import finish, running

NONE = dbus.Dictionary({}, "sv")


def make_backup(ccpd, slug, state="verified", created="now()", job=None, signer="NULL"):
    """A record as a worker leaves it; its id."""
    rows = ccpd.postgres.sql(
        "INSERT INTO backups (instance, slug, job, sequence, state, consistency, blueprint, blueprint_version, file, archive, size, "
        f"created_at, verified_at, signer) SELECT id, slug, {job or 'coalesce((SELECT max(job) FROM backups), 1000) + 1'}, "
        "coalesce((SELECT max(sequence) FROM backups b WHERE b.instance = i.id), 0) + 1, "
        f"'{state}', 'live', 'trivial', '1', slug || '.ccpb', gen_random_uuid(), 4096, {created}, {created}, {signer} "
        f"FROM instances i WHERE slug = '{slug}' RETURNING id")
    return rows[0][0]


def ids(ccpd, slug):
    return ccpd.postgres.sql(f"SELECT array_agg(id) FROM backups WHERE slug = '{slug}'")


def known(ccpd, slug, name, value):
    wait_for(lambda: ccpd.get(instance_path(slug), "Instance", name) == value, what=f"{name} {value}")


def error(ccpd, method, *args):
    with pytest.raises(dbus.DBusException) as e:
        ccpd.manager(method, *args)
    return e.value.get_dbus_name().removeprefix(f"{NAME}.Error."), e.value.get_dbus_message()


def job_row(ccpd, path):
    return ccpd.postgres.sql(f"SELECT kind, slug, spec FROM jobs WHERE id = {path.rpartition('/')[2]}")[0]


def test_what_there_is_is_told_of_the_instance(ccpd):
    running(ccpd, "alpha")
    known(ccpd, "alpha", "LastBackupAt", 0)
    make_backup(ccpd, "alpha", created="'2026-01-01 00:00:00Z'")
    known(ccpd, "alpha", "LastBackupAt", 1767225600000000)
    known(ccpd, "alpha", "LastVerifiedAt", 1767225600000000)
    ccpd.postgres.sql("DELETE FROM backups")
    known(ccpd, "alpha", "LastBackupAt", 0)


def test_a_backup_is_verified_by_a_job(ccpd):
    running(ccpd, "alpha")
    backup = make_backup(ccpd, "alpha")
    path = str(ccpd.manager("VerifyBackup", backup, NONE))
    assert job_row(ccpd, path) == ["verify", "alpha", f'{{"backup": "{backup}"}}']
    assert error(ccpd, "VerifyBackup", backup, NONE)[0] == "Busy"
    finish(ccpd, path, "failed")
    wait_for(lambda: ccpd.get(path, "Job", "State") == "failed", what="its end")
    # Once more, by the job.
    again = str(ccpd.call("Job", "Retry", NONE, path=path))
    assert job_row(ccpd, again)[2] == f'{{"backup": "{backup}"}}'
    assert ccpd.get(instance_path("alpha"), "Instance", "State") == "running"


def test_an_import_is_begun_anew_and_not_tried_again(ccpd):
    running(ccpd, "alpha")
    path = str(ccpd.manager("VerifyBackup", make_backup(ccpd, "alpha"), NONE))
    finish(ccpd, path, "failed")
    ccpd.stop()
    ccpd.postgres.sql(f"UPDATE jobs SET kind = 'import' WHERE id = {path.rpartition('/')[2]}")
    ccpd.start()
    name, message = error_of(ccpd.call, "Job", "Retry", NONE, path=path)
    assert name == "WrongState" and "ccpctl backup import" in message


@pytest.mark.parametrize("method", ["VerifyBackup", "DeleteBackup"])
def test_what_is_no_backup(ccpd, method):
    assert error(ccpd, method, "7", NONE)[0] == "NoSuchBackup"
    for text in ("", "x", "-1", "0", "07", "99999999999999999999"):
        assert error(ccpd, method, text, NONE)[0] == "InvalidArgument"
    assert error(ccpd, method, "7", dbus.Dictionary({"x": "y"}, "sv"))[0] == "InvalidArgument"


def test_the_last_one_is_deleted_only_when_that_is_said(ccpd):
    running(ccpd, "alpha")
    backup = make_backup(ccpd, "alpha")
    name, message = error(ccpd, "DeleteBackup", backup, NONE)
    assert name == "WrongState" and "--last" in message
    path = str(ccpd.manager("DeleteBackup", backup, dbus.Dictionary({"last": True}, "sv")))
    assert job_row(ccpd, path)[0] == "delete-backup" and '"last": true' in job_row(ccpd, path)[2]


def test_backups_outlive_their_instance(ccpd):
    running(ccpd, "alpha")
    backup = make_backup(ccpd, "alpha")
    ccpd.postgres.sql("DELETE FROM instances")
    wait_for(lambda: len(ccpd.manager("ListInstances", NONE, dbus.UInt64(0), dbus.UInt64(9))) == 0, what="the end of it")
    # A role on it says nothing any more; one for the fleet does.
    assert error(ccpd, "VerifyBackup", str(int(backup) + 1), NONE)[0] == "NoSuchBackup"
    path = str(ccpd.manager("VerifyBackup", backup, NONE))
    assert ccpd.get(path, "Job", "Instance") == "alpha"
    wait_for(lambda: f"ccp-job@{path.rpartition('/')[2]}.service" in ccpd.starts(), what="the worker")
    # It is all that is left.
    finish(ccpd, path)
    name, message = error(ccpd, "DeleteBackup", backup, NONE)
    assert name == "WrongState" and "no such instance here" in message and "--last" in message
    path = str(ccpd.manager("DeleteBackup", backup, dbus.Dictionary({"last": True}, "sv")))
    assert job_row(ccpd, path)[0] == "delete-backup"


def plan(ccpd, slug=""):
    return {str(row["Id"]): (bool(row["Kept"]), str(row["Reason"])) for row in ccpd.manager("PlanRetention", slug, NONE)}


def test_what_is_kept_is_told_and_done(ccpd):
    for slug in ("alpha", "beta"):
        running(ccpd, slug)
    ccpd.manager("SetSettings", dbus.Dictionary({
        f"backup_keep_{what}": dbus.UInt64(0) for what in ("daily", "weekly", "monthly")} | {"backup_keep_last": dbus.UInt64(1)}, "sv"))
    old, new = make_backup(ccpd, "alpha"), make_backup(ccpd, "alpha")
    other = make_backup(ccpd, "beta")
    assert plan(ccpd) == {old: (False, "more than are to be kept"), new: (True, "the newest that is verified, one of the last 1"),
                          other: (True, "the newest that is verified, one of the last 1")}
    assert set(plan(ccpd, "beta")) == {other}
    assert error(ccpd, "PlanRetention", "gamma", NONE)[0] == "NoSuchInstance"

    def set_retention(**settings):
        ccpd.call("Instance", "SetRetention", dbus.Dictionary(settings, "sv"), path=instance_path("alpha"))

    set_retention(backup_keep_last="2")
    assert dict(ccpd.get(instance_path("alpha"), "Instance", "BackupSettings")) == {"backup_keep_last": "2"}
    assert plan(ccpd)[old] == (True, "one of the last 2")
    assert ccpd.manager("PruneBackups", "", NONE) == []
    set_retention(backup_keep_last="default")
    assert dict(ccpd.get(instance_path("alpha"), "Instance", "BackupSettings")) == {}
    for bad in ("-1", "1001", "x", "", "1x"):
        with pytest.raises(dbus.DBusException) as e:
            set_retention(backup_keep_last=bad)
        assert e.value.get_dbus_name().endswith("InvalidArgument")
    with pytest.raises(dbus.DBusException):
        set_retention()

    [path] = ccpd.manager("PruneBackups", "", NONE)
    assert job_row(ccpd, path) == ["delete-backup", "alpha", '{"retention": {"last": 1, "daily": 0, "weekly": 0, "monthly": 0}}']
    # What is left of an instance that is gone is not touched.
    finish(ccpd, path)
    ccpd.postgres.sql("DELETE FROM instances WHERE slug = 'alpha'")
    wait_for(lambda: plan(ccpd)[old] == (True, "everything is kept"), what="the end of it")


def test_what_is_damaged_is_not_thrown_away(ccpd):
    running(ccpd, "alpha")
    ccpd.manager("SetSettings", dbus.Dictionary({
        f"backup_keep_{what}": dbus.UInt64(0) for what in ("daily", "weekly", "monthly")} | {"backup_keep_last": dbus.UInt64(2)}, "sv"))
    old, damaged, copied, new = (make_backup(ccpd, "alpha", state) for state in ("verified", "damaged", "damaged", "verified"))
    ccpd.postgres.sql(f"UPDATE backups SET replicated_at = now(), copy_key = 'key' WHERE id = {copied}")
    # As long as it would be kept if it was whole, and in nobody's place.
    assert plan(ccpd) == {old: (True, "one of the last 2"), damaged: (False, "more than are to be kept"),
                          copied: (True, "one of the last 2"), new: (True, "the newest that is verified, one of the last 2")}
    ccpd.postgres.sql(f"UPDATE backups SET replicated_at = NULL, copy_key = NULL WHERE id = {copied}")
    assert plan(ccpd)[copied] == (True, "one of the last 2")
    # Nor is the last one that has a copy, unless that is said.
    ccpd.postgres.sql(f"UPDATE backups SET replicated_at = now(), copy_key = 'key' WHERE id = {copied}")
    ccpd.postgres.sql(f"DELETE FROM backups WHERE id <> {copied}")
    name, message = error(ccpd, "DeleteBackup", copied, NONE)
    assert name == "WrongState" and "--last" in message


def test_what_was_imported_is_not_the_last_one(ccpd):
    running(ccpd, "alpha")
    ccpd.manager("SetSettings", dbus.Dictionary({
        f"backup_keep_{what}": dbus.UInt64(0) for what in ("daily", "weekly", "monthly")} | {"backup_keep_last": dbus.UInt64(1)}, "sv"))
    own = make_backup(ccpd, "alpha", created="'2026-01-01 00:00:00Z'")
    known(ccpd, "alpha", "LastBackupAt", 1767225600000000)
    imported = make_backup(ccpd, "alpha", created="'2025-01-01 00:00:00Z'", signer="decode(repeat('ab', 32), 'hex')")
    assert plan(ccpd) == {own: (True, "the newest that is verified, one of the last 1"), imported: (True, "imported")}
    assert ccpd.manager("PruneBackups", "", NONE) == []
    assert ccpd.get(instance_path("alpha"), "Instance", "LastBackupAt") == 1767225600000000
    rows = {str(row["Id"]): row for row in ccpd.manager("ListBackups", NONE, dbus.UInt64(0), dbus.UInt64(9))}
    assert {number: str(row["Signer"]) for number, row in rows.items()} == {own: "", imported: "ab" * 32}
    assert rows[imported]["CreatedAt"] == 1735689600000000
    # By its number it is as any other.
    assert error(ccpd, "DeleteBackup", own, NONE)[0] == "WrongState"
    path = str(ccpd.manager("VerifyBackup", imported, NONE))
    finish(ccpd, path)
    assert job_row(ccpd, str(ccpd.manager("DeleteBackup", imported, NONE)))[0] == "delete-backup"


def test_a_clock_that_jumps_does_not_discard_what_a_restore_keeps(ccpd):
    running(ccpd, "alpha")
    # What a row looks like from ten years ahead: its time is long over.
    ccpd.postgres.sql("INSERT INTO restores (instance, job, state, revision_before, revision_after, volumes_before, volumes_after, "
                      "switched_at, keep_until, keep_hours) SELECT id, 4711, 'kept', 1, 2, '{}', '{}', now() - interval '10 years', "
                      "now() - interval '10 years' + interval '72 hours', 72 FROM instances")

    def start_anew():
        """ccpd looks when it starts, and every hour."""
        ccpd.stop()
        before = ccpd.postgres.sql("SELECT counted_at FROM restores")
        wait_for(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) > float(before[0][0] or 0) + 1, what="another second")
        ccpd.start()
        wait_for(lambda: ccpd.postgres.sql("SELECT counted_at FROM restores") != before, what="the count")

    def jobs():
        return ccpd.postgres.sql("SELECT spec FROM jobs WHERE kind = 'discard-restore'")

    start_anew()
    start_anew()
    assert 1 <= int(ccpd.postgres.sql("SELECT kept_seconds FROM restores")[0][0]) < 100
    assert jobs() == []
    ccpd.postgres.sql("UPDATE restores SET kept_seconds = 72 * 3600")
    start_anew()
    wait_for(lambda: jobs() == [['{"due": true}']], what="the job")


def test_what_restores_replaced_is_told_and_chosen_by_its_number(ccpd):
    running(ccpd, "alpha")
    path = instance_path("alpha")

    def call(method, **options):
        return job_row(ccpd, str(ccpd.call("Instance", method, dbus.Dictionary(options, "sv"), path=path)))

    def refused(method="UndoRestore", **options):
        with pytest.raises(dbus.DBusException) as e:
            call(method, **options)
        return e.value.get_dbus_name().removeprefix(f"{NAME}.Error."), e.value.get_dbus_message()

    assert refused() == ("WrongState", "Nothing is kept of what 'alpha' had before a restore.")
    rows = ccpd.postgres.sql(
        "INSERT INTO restores (instance, job, backup, state, revision_before, revision_after, volumes_before, volumes_after, switched_at, "
        "keep_until, keep_hours) SELECT id, 4711 + n, 7, CASE n WHEN 2 THEN 'discarded' ELSE 'kept' END, 1, 2, '{}', '{}', to_timestamp(n), "
        "to_timestamp(n + 9), 72 FROM instances, generate_series(1, 3) n RETURNING id")
    first, discarded, last = (row[0] for row in rows)
    ccpd.postgres.sql("UPDATE instances SET name = 'Alpha'")
    known(ccpd, "alpha", "Restores", [(last, "7", 3000000, 12000000), (first, "7", 1000000, 10000000)])

    for method in ("UndoRestore", "DiscardRestore"):
        assert [refused(method, restore=text)[0] for text in ("x", "0", "")] == ["InvalidArgument"] * 3
        for other in (discarded, "4711"):
            name, message = refused(method, restore=other)
            assert (name, f"before a restore {other}. See: ccpctl restore list alpha" in message) == ("WrongState", True), message
    assert call("UndoRestore", restore=first) == ["undo-restore", "alpha", f'{{"restore": {first}, "keep_hours": 72}}']
    assert refused(restore="4711")[0] == "Busy"


@pytest.mark.parametrize("named", [True, False])
def test_what_is_kept_is_discarded_alone_or_with_all_others(ccpd, named):
    running(ccpd, "alpha")
    [[first], _] = ccpd.postgres.sql(
        "INSERT INTO restores (instance, job, backup, state, revision_before, revision_after, volumes_before, volumes_after, switched_at, "
        "keep_until, keep_hours) SELECT id, 4711 + n, 7, 'kept', 1, 2, '{}', '{}', to_timestamp(n), to_timestamp(n + 9), 72 "
        "FROM instances, generate_series(1, 2) n RETURNING id")
    ccpd.postgres.sql("UPDATE instances SET name = 'Alpha'")
    wait_for(lambda: len(ccpd.get(instance_path("alpha"), "Instance", "Restores")) == 2, what="what is kept")
    options = {"restore": first} if named else {}
    path = str(ccpd.call("Instance", "DiscardRestore", dbus.Dictionary(options, "sv"), path=instance_path("alpha")))
    assert job_row(ccpd, path) == ["discard-restore", "alpha", f'{{"restore": {first}}}' if named else "{}"]


def test_a_backup_of_all(ccpd):
    for slug in ("alpha", "beta", "gamma", "delta"):
        running(ccpd, slug)
    ccpd.postgres.sql("UPDATE instances SET state = 'stopped' WHERE slug = 'delta'")
    known(ccpd, "delta", "State", "stopped")
    one = str(ccpd.call("Instance", "Backup", NONE, path=instance_path("alpha")))
    ccpd.call("Instance", "Restart", dbus.Array([], "s"), NONE, path=instance_path("beta"))
    paths = [str(path) for path in ccpd.manager("BackupAll", dbus.Dictionary({"consistency": "live"}, "sv"))]
    assert one in paths and len(paths) == 3
    # What another job is at work on is backed up after that.
    assert sorted(job_row(ccpd, path) for path in set(paths) - {one}) == [
        ["backup", slug, '{"consistency": "live"}'] for slug in ("beta", "gamma")]
    assert error(ccpd, "BackupAll", dbus.Dictionary({"consistency": "lukewarm"}, "sv"))[0] == "InvalidArgument"
