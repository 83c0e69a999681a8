#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what with ccpctl: roles, secrets, asking for authentication, and seeing a part only."""

from harness import *


class LittleToSee(BusTest):
    """Callers whose role does not let them see everything get the rest."""

    def setUp(self):
        super().setUp()
        self.create("alpha", "--quiet")

    def refuse(self, *members):
        self.stop_mock()
        self.start_mock(MOCK_DENY=",".join(members))

    def test_overview_leaves_out_what_is_refused(self):
        self.refuse("Manager")
        out = self.ctl().out
        self.assertRegex(out, r"(?m)^alpha +running")
        self.assertNotIn("store", out)
        self.assertEqual(list(self.ctl("--json=short").json()), ["instances", "jobs"])
        self.refuse("ListJobs")
        self.assertIn("1 instance, 1 running", self.ctl().out)
        self.assertNotIn("jobs", self.ctl("--json=short").json())
        self.refuse("ListInstances")
        self.assertIn("1 instance, 1 running", self.ctl().out)
        self.assertNotIn("There are no instances", self.ctl().out)

    def test_overview_fails_where_nothing_may_be_seen(self):
        self.refuse("Manager", "ListInstances", "ListJobs")
        r = self.ctl(code=4)
        self.assertEqual(r.out, "")
        self.assertRegex(r.err, r"^You may not do this \(Manager\)\. .*ccpctl role grant ROLE")

    def test_an_empty_list_may_be_due_to_the_role(self):
        self.ctl("delete", "alpha", "--yes")
        self.assertIn("To make one: ccpctl create", self.ctl().out)
        self.assertIn("There are no instances that you may see.", self.ctl(uid=NOBODY).out)

    def test_status_leaves_out_addresses_and_job(self):
        self.refuse("GetBlueprint", "Blueprint", "ListJobs")
        out = self.ctl("status", "alpha").out
        self.assertIn("https://alpha.example.org/", out)
        self.assertNotIn("http://127.0.0.1", out)
        self.assertNotIn("Job:", out)
        self.assertRegex(out, r"(?m)^postgres +service +running")

    def test_list_leaves_out_the_ports(self):
        self.refuse("ListPorts")
        self.assertNotIn("ports", self.ctl("list", "--json=short").json()[0])
        self.ctl("port", "list", code=4)

    def test_what_is_asked_for_alone_is_refused(self):
        self.refuse("GetSettings", "ListBlueprints", "GetInstance")
        for args in (("settings", "show"), ("blueprint", "list"), ("show", "alpha"), ("status", "alpha")):
            self.assertIn("ccpctl role grant", self.ctl(*args, code=4).err)


class Asking(BusTest):
    def flags_of(self, member, *args):
        """The flags in the header of the call of this method, as it went over the bus."""
        path = os.path.join(self.folder.name, "traffic")

        def seen(member):
            with open(path) as f:
                calls = [json.loads(line) for line in f.read().split("\n")[:-1]]
            return [c["flags"] for c in calls if c["member"] == member]

        with open(path, "w") as traffic:
            monitor = subprocess.Popen(["busctl", "--address=" + self.address, "--json=short", "monitor",
                                        "--match=type='method_call'"], stdout=traffic, stderr=subprocess.DEVNULL)
        self.wait_for(lambda: self.ctl("port", "list") and seen("ListPorts"))
        self.run_ctl(*args)
        self.wait_for(lambda: seen(member))
        monitor.terminate()
        monitor.wait()
        return seen(member)[-1]

    def test_calls_allow_polkit_to_ask_unless_told_otherwise(self):
        allow_interactive_authorization = 4
        self.create("alpha")
        for args, expected in (((), allow_interactive_authorization), (("--no-ask-password",), 0)):
            self.assertEqual(self.flags_of("Stop", "stop", "alpha", *args) & allow_interactive_authorization, expected)
        self.pretend_ssh()
        self.assertIn("alpha", self.ctl("-H", "ann@server", "list").out)
        self.assertEqual(self.flags_of("Stop", "-H", "server", "stop", "alpha") & allow_interactive_authorization, 0)

    def test_a_host_that_cannot_be_reached(self):
        self.pretend_ssh(command="sleep $DELAY; exit 255")
        for delay, words in (("0", ("list",)), ("0.3", ("stop", "alpha"))):
            self.env["DELAY"] = delay
            r = self.ctl("-H", "ann@server", *words, code=5)
            self.assertIn("Cannot connect to the system bus of ann@server: No route to host. Does ssh alone get there", r.err)


class Roles(BusTest):
    def setUp(self):
        super().setUp()
        self.create("alpha", "--quiet")

    def test_granting_says_to_whom_and_for_what(self):
        self.assertEqual(self.ctl("role", "grant", "operator", "--user=ann").out,
                         "The user ann is operator of the fleet now.\n")
        self.assertEqual(self.ctl("role", "grant", "client", "--group", "west", "--instance", "alpha").out,
                         "The group west is client of alpha now.\n")
        self.assertEqual(self.calls("grant"), [["grant", "operator", "user", "ann", ""],
                                               ["grant", "client", "group", "west", "alpha"]])
        r = self.ctl("role", "grant", "admin", "--user=bob", "--quiet")
        self.assertEqual((r.out, r.err), ("", ""))

    def test_list(self):
        self.ctl("role", "grant", "operator", "--user=ann")
        self.ctl("role", "grant", "client", "--group=west", "--instance=alpha")
        out = self.ctl("role", "list").out
        self.assertRegex(out, r"(?m)^ROLE +KIND +NAME +ID +INSTANCE +GRANTED +BY\noperator +user +ann +1000  \(fleet\) .* root$")
        self.assertRegex(out, r"(?m)^client +group +west +1001  alpha ")
        self.assertIn("2 roles listed.", out)
        self.assertEqual(len(self.ctl("role", "list", "--no-legend").out.splitlines()), 2)
        rows = self.ctl("role", "list", "--json=short").json()
        self.assertEqual(list(rows[0]), ["role", "kind", "name", "id", "instance", "granted_at", "granted_by"])
        self.assertEqual((rows[0]["id"], rows[0]["instance"], rows[1]["instance"]), ("1000", "", "alpha"))
        self.assertIsInstance(rows[0]["granted_at"], int)

    def test_list_of_one_instance(self):
        self.create("beta", "--quiet")
        self.ctl("role", "grant", "operator", "--user=ann")
        self.ctl("role", "grant", "viewer", "--user=ann", "--instance=alpha")
        rows = self.ctl("role", "list", "--instance=alpha", "--json=short").json()
        self.assertEqual([r["role"] for r in rows], ["viewer"])
        self.assertEqual(self.ctl("role", "list", "--instance=beta", "--json=short").json(), [])
        self.ctl("role", "list", "--instance=nobody", code=3)

    def test_revoking(self):
        self.ctl("role", "grant", "operator", "--user=ann")
        self.assertEqual(self.ctl("role", "revoke", "--user=ann").out,
                         "The user ann has no role for the fleet any more.\n")
        self.assertEqual(self.ctl("role", "list", "--json=short").json(), [])
        self.assertIn("no role there", self.ctl("role", "revoke", "--user=ann", code=3).err)
        self.ctl("role", "revoke", "--group=west", "--instance=nobody", code=3)

    def test_what_cannot_be_granted(self):
        for args, hint in ((["grant", "boss", "--user=ann"], "only: admin, operator, viewer, client"),
                           (["grant", "admin"], "--user=USER or --group=GROUP"),
                           (["grant", "admin", "--user=ann", "--group=west"], "not to both"),
                           (["revoke"], "--user=USER or --group=GROUP"),
                           (["revoke", "--user=ann", "--group=west"], "not to both"),
                           (["grant", "client", "--user=ann"], "--instance=SLUG"),
                           (["grant", "admin", "--user=ann", "--instance"], "--instance=SLUG"),
                           (["grant", "admin", "--user=ann", "--instance="], "--instance=SLUG"),
                           (["grant", "admin", "--user="], "--user=USER"),
                           (["grant", "--user=ann"], "ccpctl role grant ROLE"),
                           (["grant", "admin", "ann"], "Too many"),
                           (["revoke", "admin", "--user=ann"], "Too many"),
                           (["grant", "admin", "--user=no-such"], "no user 'no-such'"),
                           (["list", "--user=ann"], "no option --user")):
            with self.subTest(args=args):
                self.assertIn(hint, self.ctl("role", *args, code=2).err)
        self.assertEqual(self.calls("grant") + self.calls("revoke"), [])

    def test_who_may_not_is_told_whom_to_ask(self):
        self.stop_mock()
        self.start_mock(MOCK_DENY="GrantRole,ListRoles")
        self.assertIn("ccpctl role grant ROLE", self.ctl("role", "grant", "admin", "--user=ann", code=4).err)
        self.ctl("role", "list", code=4)


class Secrets(BusTest):
    def setUp(self):
        super().setUp()
        self.create("alpha", "--quiet")

    def reveal(self, name, *args, code=0):
        p = subprocess.run([CCPCTL, "secret", "reveal", "alpha", name, *args], env=self.env, capture_output=True)
        self.assertEqual(p.returncode, code, p)
        return p.stdout if code == 0 else p.stderr.decode()

    def test_list(self):
        out = self.ctl("secret", "list", "alpha").out
        self.assertRegex(out, r"^NAME +VERSION +CREATED\nPOSTGRES_PASSWORD +1  Fri 2026-11-20 12:00:00 UTC\n")
        self.assertIn("4 secrets listed.", out)
        self.assertNotIn("s3cret", out)
        self.assertEqual(self.ctl("secret", "list", "alpha", "--json=short").json()[0],
                         {"name": "POSTGRES_PASSWORD", "version": 1, "created_at": 1795176000000000})

    def test_revealing_writes_the_bytes_and_nothing_else(self):
        self.assertEqual(self.reveal("POSTGRES_PASSWORD"), b"s3cret of alpha")
        self.assertEqual(self.reveal("TWO_LINES"), b"one\ntwo\n")
        self.assertEqual(self.reveal("JWT_SECRET"), b"")
        self.assertEqual(self.reveal("RAW"), b"\xff\x00")
        self.assertEqual(self.reveal("POSTGRES_PASSWORD", "--quiet"), b"s3cret of alpha")

    def test_revealing_as_json(self):
        self.assertEqual(json.loads(self.reveal("TWO_LINES", "--json=short")),
                         {"instance": "alpha", "name": "TWO_LINES", "value": "one\ntwo\n"})
        self.assertEqual(json.loads(self.reveal("JWT_SECRET", "--json=pretty"))["value"], "")
        self.assertIn("Leave --json out", self.reveal("RAW", "--json=short", code=1))

    def test_a_descriptor_that_is_not_sealed_is_not_read(self):
        self.assertIn("does not understand", self.reveal("UNSEALED", code=1))

    def test_what_is_not_there(self):
        self.assertIn("no secret 'NOTHING'", self.reveal("NOTHING", code=3))
        self.ctl("secret", "reveal", "nobody", "X", code=3)
        self.ctl("secret", "list", "nobody", code=3)
        self.assertIn("ccpctl secret reveal SLUG NAME", self.ctl("secret", "reveal", "alpha", code=2).err)

    def test_a_full_disk_is_a_failure(self):
        with open("/dev/full", "w") as full:
            p = subprocess.run([CCPCTL, "secret", "reveal", "alpha", "POSTGRES_PASSWORD"], env=self.env, stdout=full,
                               stderr=subprocess.PIPE, text=True)
        self.assertEqual((p.returncode, p.stderr), (1, "Cannot write the secret: No space left on device.\n"))

    def test_over_ssh_it_cannot_be_had(self):
        self.pretend_ssh()
        r = self.ctl("-H", "ann@server", "secret", "reveal", "alpha", "JWT_SECRET", code=2)
        self.assertIn("ssh -t ann@server ccpctl secret reveal alpha JWT_SECRET", r.err)
        self.assertIn("JWT_SECRET", self.ctl("-H", "server", "secret", "list", "alpha").out)

    def test_who_may_not(self):
        self.stop_mock()
        self.start_mock(MOCK_DENY="RevealSecret,ListSecrets")
        self.assertIn("ccpctl role grant", self.reveal("JWT_SECRET", code=4))
        self.ctl("secret", "list", "alpha", code=4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
