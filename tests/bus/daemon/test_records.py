# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ccpd leaves on record, and what it does where it can not."""

import subprocess

import dbus
import pytest

from conftest import ROOT, wait_for


def entries(ccpd):
    return ["|".join(row) for row in ccpd.postgres.sql(
        "SELECT action, outcome, instance, uid, job FROM ccpd_audit.entries ORDER BY seq")]


def test_a_job_that_another_process_works_on_is_not_given_up_yet(ccpd):
    _, job = ccpd.create("edmonton")
    number = job.rsplit("/", 1)[1]
    unit = f"ccp-job@{number}.service"
    worker = subprocess.Popen(["psql", "-Xq", "-d", ccpd.postgres.conninfo, "-c",
                               f"SELECT pg_advisory_lock(1129136244, {number}), pg_sleep(120)"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: ccpd.postgres.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND "
                                           "classid = 1129136244") == [["1"]], what="the lock")
        for n in range(1, 6):
            wait_for(lambda n=n: ccpd.starts().count(unit) == n, what=f"start {n}")
            ccpd.systemd("EndUnit", unit)
        # It is tried again, and that is when it may succeed.
        wait_for(lambda: ccpd.starts().count(unit) == 6, what="one more start", seconds=30)
        assert ccpd.get(job, "Job", "State") == "queued"
        assert len(entries(ccpd)) == 1
    finally:
        ccpd.postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)%' "
                          "AND pid <> pg_backend_pid()")
        worker.wait()
    ccpd.systemd("EndUnit", unit)
    wait_for(lambda: ccpd.get(job, "Job", "State") == "failed", what="the end")
    assert entries(ccpd) == [f"INSTANCE_CREATE|accepted|edmonton|0|{number}", f"INSTANCE_CREATE|failed|edmonton|0|{number}"]


def test_nothing_is_done_that_is_not_on_record(ccpd):
    ccpd.postgres.sql("REVOKE EXECUTE ON FUNCTION ccpd_audit.append FROM ccpd")
    with pytest.raises(dbus.DBusException) as e:
        ccpd.create("edmonton")
    assert e.value.get_dbus_name().endswith(".StoreUnavailable")
    assert "ccp-setup --database" in e.value.get_dbus_message()
    assert ccpd.postgres.sql("SELECT count(*) FROM instances") == [["0"]]
    ccpd.postgres.psql("-f", str(ccpd.postgres.SETUP / "privileges.sql"))
    ccpd.create("edmonton")


def test_without_the_record_the_store_is_away(ccpd):
    ccpd.stop()
    ccpd.postgres.sql("ALTER SCHEMA ccpd_audit RENAME TO elsewhere")
    ccpd.start()
    with pytest.raises(dbus.DBusException) as e:
        ccpd.create("edmonton")
    assert e.value.get_dbus_name().endswith(".StoreUnavailable")
    assert "no audit record" in e.value.get_dbus_message()
    ccpd.postgres.sql("ALTER SCHEMA elsewhere RENAME TO ccpd_audit")
    wait_for(lambda: ccpd.get(ROOT, "Manager", "StoreState") == "available")
    ccpd.create("edmonton")
