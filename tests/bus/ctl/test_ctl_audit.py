#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpctl's face of the audit record: showing, following, verifying and exporting it."""

import dbus.lowlevel

from harness import *


class Audit(BusTest):
    mock_environment = {"MOCK_AUDIT": "2500"}

    def seqs(self, *args, **kwargs):
        return [int(r["seq"]) for r in self.ctl("audit", "--json=short", *args, **kwargs).json()]

    def queries(self):
        return [c[1:] for c in self.calls("query")]

    def test_the_newest_are_shown_oldest_first(self):
        self.assertEqual(self.seqs(), list(range(2401, 2501)))
        self.assertEqual(self.seqs("-n", "3"), [2498, 2499, 2500])
        out = self.ctl("audit", "-n3").out
        self.assertRegex(out, r"^TIME +USER +ACTION +INSTANCE +OUTCOME +JOB +ERROR +FROM\n"
                              r"2026-11-20 12:41:38 +root \(1000\) +INSTANCE_STOP +alpha +succeeded +2497 +- +-\n"
                              r"2026-11-20 12:41:39 +bob +INSTANCE_DELETE +beta +denied +- +NotAuthorized +-\n"
                              r"2026-11-20 12:41:40 +ann +INSTANCE_STOP +alpha +accepted +2500 +- +192\.0\.2\.7\n")
        self.assertIn("\n3 entries listed.\nThere may be older ones: --lines=all.\n", out)
        self.assertIn("\n1 entry listed.\n", self.ctl("audit", "-n1").out)
        self.assertEqual(len(self.ctl("audit", "-n3", "--no-legend").out.splitlines()), 3)

    def test_json_has_the_names_of_the_bus_and_the_details_as_an_object(self):
        rows = self.ctl("audit", "-n2", "--json=pretty").json()
        self.assertEqual(list(rows[1]), ["seq", "time", "action", "outcome", "instance", "instance_id", "uid", "user",
                                         "login_uid", "pid", "process", "unit", "session", "remote_host", "job",
                                         "error_name", "details", "previous", "hash"])
        self.assertEqual(rows[1]["details"], {"services": ["app"], "n": 1})
        self.assertEqual(rows[0]["details"], "not JSON")
        self.assertEqual(rows[1]["time"], 1795178500000000)

    def test_more_than_a_page_is_paged(self):
        self.assertEqual(self.seqs("-n", "2400"), list(range(101, 2501)))
        self.assertEqual([q[1] for q in self.queries()], [1000, 1000, 400])
        self.assertEqual([q[0].get("before") for q in self.queries()], [None, 1501, 501])
        self.assertEqual(self.seqs("-n", "all"), list(range(1, 2501)))

    def test_pages_that_are_smaller_than_asked_for_are_not_the_end(self):
        self.stop_mock()
        self.start_mock(MOCK_AUDIT_PAGE="7")
        self.assertEqual(self.seqs("-n", "30"), list(range(2471, 2501)))

    def test_filters(self):
        self.assertEqual(self.seqs("--user=bob", "-n2"), [2496, 2499])
        self.assertEqual(self.seqs("--instance=alpha", "--outcome=succeeded", "-n1"), [2498])
        self.assertEqual(self.seqs("--action=INSTANCE_DELETE", "-n1"), [2499])
        self.assertEqual(self.seqs("--action=instance-delete", "-n1"), [2499])
        self.assertEqual(self.seqs("--since=2026-11-20 12:41:39"), [2499, 2500])
        self.assertEqual(self.seqs("--until=2026-11-20 12:00:03"), [1, 2])
        self.assertEqual(self.seqs("--since", "@1795176003", "--until", "@1795176005"), [3, 4])
        self.assertEqual(self.ctl("audit", "--user=carol").out, "0 entries listed.\n")

    def test_what_cannot_be_asked_for(self):
        for args, hint in ((["-n", "0"], "above 0"), (["--lines=many"], "takes a number"), (["--instance"], "--instance=SLUG"),
                           (["--instance="], "--instance=SLUG"), (["--user="], "--user=USER"),
                           (["--action=INSTANCE_DELTE"], "Did you mean 'INSTANCE_DELETE'?"),
                           (["--action=dance"], "only: INSTANCE_CREATE, "),
                           (["--outcome=fine"], "only: accepted, succeeded, failed, cancelled, denied"),
                           (["--since=soon"], "yesterday, now or -2h, not 'soon'"), (["--since="], "--since takes a time"),
                           (["--until=2026-02-30"], "--until takes a time"), (["--since=-100y"], "before 1970"),
                           (["--since=today", "--until=yesterday"], "is not before"),
                           (["--follow", "--until=now"], "--follow"), (["veryfi"], "Did you mean 'audit verify'?"),
                           (["verify", "--user=ann"], "no option --user"), (["export", "all"], "Too many"),
                           (["--group=west"], "no option --group")):
            with self.subTest(args=args):
                self.assertIn(hint, self.ctl("audit", *args, code=2).err)
        self.assertEqual(self.queries(), [])

    def test_export_is_everything_as_json_lines(self):
        lines = self.ctl("audit", "export").out.splitlines()
        self.assertEqual([int(json.loads(line)["seq"]) for line in lines], list(range(1, 2501)))
        self.assertEqual(json.loads(lines[0])["details"], {"services": ["app"], "n": 1})
        self.assertEqual([q[0].get("after") for q in self.queries()], [None, 1000, 2000, 2500])
        self.assertTrue(all(q[0]["oldest-first"] for q in self.queries()))

    def test_export_needs_no_more_memory_for_more_entries(self):
        # Freed memory that the sanitizer keeps is not ours.
        self.env["ASAN_OPTIONS"] = "quarantine_size_mb=1"

        def peak(n):
            self.stop_mock()
            os.unlink(self.state)
            self.start_mock(MOCK_AUDIT=n)
            with open(os.devnull, "w") as null:
                p = subprocess.Popen([CCPCTL, "audit", "export"], env=self.env, stdout=null)
                _, status, usage = os.wait4(p.pid, 0)
                p.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(p.returncode, 0)
            return usage.ru_maxrss

        # Each takes more than 2 KiB.
        self.assertLess(peak("12000") - peak("2000"), 10000)

    def test_export_ends_when_its_reader_does(self):
        p = self.popen("audit", "export")
        p.stdout.readline()
        p.stdout.close()
        p.stderr.read()
        p.stderr.close()
        self.assertEqual(p.wait(), -signal.SIGPIPE)
        with open("/dev/full", "w") as full:
            p = subprocess.run([CCPCTL, "audit", "export"], env=self.env, stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(p.returncode, 1)
        self.assertIn("Cannot write", p.stderr)
        self.assertLess(len(self.queries()), 4)

    def test_verify(self):
        self.assertEqual(self.ctl("audit", "verify").out, "2,500 entries verified (1 to 2,500), head %064x\n" % 2500)
        self.assertEqual(self.ctl("audit", "verify", "--json=short").json(), {
            "fault": "none", "seq": "", "first": "1", "last": "2500", "verified": "2500", "head": "%064x" % 2500})
        self.assertEqual(self.ctl("audit", "verify", "--quiet").out, "")

    def test_verify_says_what_is_broken_and_what_to_do(self):
        for fault, sentence in (("changed", "changed after"), ("removed", "not there any more"), ("inserted", "put in"),
                                ("moved", "does not follow"), ("melted", "melted")):
            self.stop_mock()
            self.start_mock(MOCK_FAULT=fault + " 1234")
            r = self.ctl("audit", "verify", code=1)
            self.assertEqual(r.out, "")
            self.assertIn("The record is broken at entry 1,234: ", r.err)
            self.assertIn(sentence, r.err.splitlines()[0])
            self.assertIn("The 1,233 before it are as they were written.", r.err)
            self.assertIn("journalctl CCP_AUDIT_SEQ=1234\n", r.err)
            self.assertEqual(self.ctl("audit", "verify", "--json=short", code=1).json()["fault"], fault)
        self.stop_mock()
        self.start_mock(MOCK_FAULT="changed 1")
        self.assertIn("No entry before it could be verified.", self.ctl("audit", "verify", code=1).err)

    def test_who_may_not_see_it(self):
        self.stop_mock()
        self.start_mock(MOCK_DENY="QueryAudit,VerifyAudit")
        for args in ((), ("--follow",), ("verify",), ("export",)):
            self.ctl("audit", *args, code=4)


class EmptyAudit(BusTest):
    def test_nothing_is_no_failure(self):
        self.assertEqual(self.ctl("audit").out, "0 entries listed.\n")
        self.assertEqual(self.ctl("audit", "--json=short").json(), [])
        self.assertEqual(self.ctl("audit", "export").out, "")
        self.assertEqual(self.ctl("audit", "verify").out, "There are no entries yet.\n")


class Following(BusTest):
    mock_environment = {"MOCK_AUDIT": "50"}

    def follow(self, *args):
        p = self.popen("audit", "--follow", *args)
        self.addCleanup(lambda: (p.kill(), p.communicate()))
        return p

    def lines(self, p, n):
        return [p.stdout.readline() for _ in range(n)]

    def grant(self, name):
        self.ctl("role", "grant", "viewer", "--user=" + name)

    def test_new_entries_come_below_the_last_ones(self):
        p = self.follow()
        lines = self.lines(p, 11)
        self.assertTrue(lines[0].startswith("TIME "))
        self.assertIn("12:00:41", lines[1])
        self.grant("ann")
        self.grant("bob")
        for line in self.lines(p, 2):
            self.assertRegex(line, r" root +USER_CREATE +- +succeeded ")
            self.assertEqual(line.index("USER_CREATE"), lines[0].index("ACTION"))

    def test_json_is_one_object_a_line(self):
        p = self.follow("--json=short", "-n", "1")
        self.assertEqual(json.loads(p.stdout.readline())["seq"], "50")
        self.grant("ann")
        self.assertEqual(json.loads(p.stdout.readline())["details"], {"role": "viewer", "user": "ann"})

    def test_filters_hold_for_what_comes(self):
        p = self.follow("--json=short", "-n1", "--action=USER_DELETE")
        self.grant("ann")
        self.ctl("role", "revoke", "--user=ann")
        self.grant("bob")
        self.ctl("role", "revoke", "--user=bob")
        self.assertEqual([json.loads(line)["seq"] for line in self.lines(p, 2)], ["52", "54"])

    def test_a_restart_of_ccpd_misses_nothing(self):
        p = self.follow("--json=short", "-n1")
        self.assertEqual(json.loads(p.stdout.readline())["seq"], "50")
        self.stop_mock()
        self.assertEqual(p.stderr.readline(), "ccpd has stopped; waiting for it to come back.\n")
        with open(self.state) as f:
            data = json.load(f)
        data["audit"].append(dict(data["audit"][-1], Seq="51"))
        with open(self.state, "w") as f:
            json.dump(data, f)
        self.start_mock()
        self.assertEqual(json.loads(p.stdout.readline())["seq"], "51")
        self.grant("ann")
        self.assertEqual(json.loads(p.stdout.readline())["seq"], "52")

    def test_a_store_that_is_away_is_waited_for(self):
        p = self.follow("--json=short", "-n1")
        p.stdout.readline()
        # It is subscribed and has caught up.
        self.wait_for(lambda: len(self.calls("query")) == 2)
        open(self.state + ".nostore", "w").close()
        self.grant("ann")
        self.assertEqual(p.stderr.readline(), "PostgreSQL is away; waiting for it to come back.\n")
        os.unlink(self.state + ".nostore")
        self.assertEqual(json.loads(p.stdout.readline())["seq"], "51")

    def test_ctrl_c_ends_it(self):
        p = self.follow()
        self.lines(p, 11)
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(), -signal.SIGINT)

    def test_the_bus_going_away_ends_it(self):
        p = self.follow()
        self.lines(p, 11)
        self.bus.kill()
        self.assertEqual(p.wait(), 5)

    def test_a_role_that_is_lost_ends_it(self):
        p = self.follow("--json=short", "-n1")
        p.stdout.readline()
        with open(self.state + ".deny", "w") as f:
            f.write("QueryAudit")
        self.grant("ann")
        self.assertEqual(p.wait(), 4)

    def test_a_ccpd_that_still_reads_its_records_may_refuse(self):
        p = self.follow("--json=short", "-n1")
        p.stdout.readline()
        self.stop_mock()
        with open(self.state + ".deny", "w") as f:
            f.write("Subscribe,QueryAudit")
        self.start_mock()
        time.sleep(0.5)
        self.assertIsNone(p.poll())
        os.unlink(self.state + ".deny")
        self.grant("ann")
        self.assertEqual(json.loads(p.stdout.readline())["seq"], "51")

    def test_signals_of_others_cost_nothing(self):
        p = self.follow()
        self.lines(p, 11)
        self.wait_for(lambda: len(self.calls("query")) == 2)
        bus = dbus.bus.BusConnection(self.address)
        for name in bus.list_names():
            if name.startswith(":") and name != bus.get_unique_name():
                m = dbus.lowlevel.SignalMessage("/org/changemaker/ccp1", "org.changemaker.ccp1.Manager", "AuditAppended")
                m.append(dbus.UInt64(99))
                m.set_destination(name)
                bus.send_message(m)
        bus.flush()
        time.sleep(0.3)
        self.assertEqual(len(self.calls("query")), 2)
        bus.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
