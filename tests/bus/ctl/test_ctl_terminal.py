#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpctl on a terminal: colours, fitting tables, the live display, questions."""

from harness import *

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Display(BusTest):
    def test_tables_fit_the_terminal(self):
        self.create("alpha", "--name=" + "A very long name " * 5)
        t = self.terminal("list", columns=70)
        self.assertEqual(t.wait(), 0)
        lines = plain(t.text).splitlines()
        self.assertTrue(all(len(line) <= 70 for line in lines), lines)
        self.assertIn("…", t.text)
        self.assertIn("\x1b[0;1;32mrunning", t.text)
        self.assertIn("A very long name A very long name A very", self.ctl("list").out)

    def test_the_record_fits_the_terminal(self):
        self.stop_mock()
        os.unlink(self.state)
        self.start_mock(MOCK_AUDIT="30")
        for columns, heading in ((80, "ERROR"), (110, "ERROR          FROM")):
            t = self.terminal("audit", columns=columns)
            self.assertEqual(t.wait(), 0)
            lines = plain(t.text).splitlines()
            self.assertTrue(lines[0].endswith(heading), lines[0])
            self.assertTrue(all(len(line) <= columns for line in lines), lines)
            self.assertRegex(lines[3], r"^2026-11-20 12:00:03  bob +INSTANCE_DELETE +beta +denied ")

    def test_no_color(self):
        self.create("alpha")
        self.env["NO_COLOR"] = "1"
        t = self.terminal("list")
        t.wait()
        self.assertNotIn("\x1b", t.text)
        self.assertIn("\x1b[0;1;32mrunning", self.ctl("list", env={"CCP_COLORS": "1"}).out)
        self.assertNotIn("\x1b", self.ctl("list", env={"SYSTEMD_COLORS": "0"}).out)

    def test_the_pager_is_used(self):
        self.create("alpha")
        self.env["PAGER"] = "sed s/alpha/PAGED/"
        t = self.terminal("list")
        t.wait()
        self.assertIn("PAGED", t.text)
        t = self.terminal("list", "--no-pager")
        t.wait()
        self.assertNotIn("PAGED", t.text)

    def test_the_pager_is_told_to_be_secure(self):
        self.create("alpha")
        self.env["PAGER"] = "env"
        t = self.terminal("list")
        t.wait()
        self.assertIn("LESSSECURE=1", t.text)

    def test_steps_are_drawn_in_place(self):
        t = self.terminal("create", "slow-a", "--blueprint=web", "--domain=a.example.org")
        self.assertEqual(t.wait(), 0)
        self.assertIn(HIDE, t.text)
        self.assertGreater(t.text.index("slow-a was created"), t.text.rindex(SHOW))
        self.assertIn("\x1b[14A", t.text)
        self.assertIn("100%", t.text)
        self.assertIn("pulling postgres", t.text)

    def test_many_steps_fit_few_rows(self):
        t = self.terminal("create", "slow-a", "--blueprint=web", "--domain=a.example.org", rows=8, columns=40)
        self.assertEqual(t.wait(), 0)
        self.assertIn("\x1b[6A", t.text)
        self.assertNotIn("\x1b[14A", t.text)

    def test_the_cursor_comes_back_on_interruption(self):
        t = self.terminal("create", "slow-a", "--blueprint=web", "--domain=a.example.org")
        t.expect("Validate it")
        t.type("\x03")
        t.expect(SHOW)
        t.expect("ccpctl job cancel 1")
        self.assertEqual(t.wait(), -signal.SIGINT)
        self.ctl("job", "follow", "1")

    def test_a_restart_is_noted(self):
        t = self.terminal("create", "slow-a", "--blueprint=web", "--domain=a.example.org")
        t.expect("Validate it")
        self.stop_mock()
        t.expect("waiting for ccpd to come back")
        self.start_mock()
        t.expect("was created and is running")
        self.assertEqual(t.wait(), 0)


class Watching(BusTest):
    ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"

    def setUp(self):
        super().setUp()
        self.create("alpha", "--quiet")

    def stop(self, t):
        t.type("\x03")
        t.expect(self.LEAVE)
        self.assertEqual(t.wait(), 0)

    def test_the_overview_is_drawn_anew_when_something_changes(self):
        t = self.terminal("--watch")
        t.expect(self.ENTER)
        t.expect("alpha")
        self.create("beta", "--quiet")
        t.expect("beta")
        self.stop(t)

    def test_a_status_too(self):
        t = self.terminal("status", "alpha", "-w")
        t.expect("running")
        self.ctl("stop", "alpha", "--quiet")
        t.expect("ccpctl start alpha")
        self.stop(t)

    def test_it_stays_on_the_screen(self):
        for n in range(12):
            self.create("more%d" % n, "--quiet")
        t = self.terminal("--watch", rows=6, columns=40)
        t.expect("alpha")
        t.expect("\x1b[J")
        # What was read beyond may be a part of the next one.
        picture = t.text[t.text.rindex("\x1b[H", 0, t.seen):t.seen]
        self.assertEqual(picture.count("\n"), 5)
        self.stop(t)

    def test_it_outlives_ccpd(self):
        t = self.terminal("--watch")
        t.expect("alpha")
        self.stop_mock()
        t.expect("systemctl status ccpd")
        self.start_mock()
        t.expect("alpha")
        self.create("beta", "--quiet")
        t.expect("beta")
        self.stop(t)

    def test_an_instance_that_is_gone_ends_it(self):
        t = self.terminal("status", "alpha", "--watch")
        t.expect("running")
        self.ctl("delete", "alpha", "--yes", "--quiet")
        t.expect(self.LEAVE)
        self.assertEqual(t.wait(), 3)

    def test_json_is_a_line_for_each_change(self):
        p = self.popen("status", "alpha", "--watch", "--json=short")
        self.assertEqual(json.loads(p.stdout.readline())["state"], "running")
        self.ctl("stop", "alpha", "--quiet")
        while json.loads(p.stdout.readline())["state"] != "stopped":
            pass
        p.send_signal(signal.SIGINT)
        p.communicate()
        self.assertEqual(p.returncode, 0)

    def test_without_a_terminal_it_is_wrong_usage(self):
        self.assertIn("needs a terminal", self.ctl("--watch", code=2).err)


class Authentication(BusTest):
    """polkit's own agent for terminals, in front of a mock of polkit."""

    mock_environment = {"MOCK_ASK": "1"}

    def setUp(self):
        super().setUp()
        self.create("alpha")
        self.polkit = self.start("mock_polkit.py", self.folder.name)

    def tearDown(self):
        self.polkit.kill()
        self.polkit.wait()
        self.polkit.stdout.close()
        super().tearDown()

    def agents(self):
        try:
            with open(os.path.join(self.folder.name, "agents")) as f:
                return [json.loads(line) for line in f]
        except FileNotFoundError:
            return []

    def agree(self):
        open(os.path.join(self.folder.name, "yes"), "w").close()

    def test_the_agent_asks_on_the_terminal_and_ends_with_us(self):
        t = self.terminal("delete", "alpha", "--yes", uid=NOBODY)
        t.expect("AUTHENTICATING FOR org.changemaker.ccp1.delete")
        self.assertEqual(self.agents(), [["registered", t.pid, {"fallback": True}]])
        self.agree()
        t.expect("alpha was deleted")
        self.assertEqual(t.wait(), 0)
        self.wait_for(lambda: self.agents()[-1] == ["gone"])

    def test_ctrl_c_ends_the_agent_too_and_the_terminal_echoes_again(self):
        t = self.terminal("delete", "alpha", "--yes", uid=NOBODY)
        t.expect("AUTHENTICATING FOR org.changemaker.ccp1.delete")
        t.type("\x03")
        t.expect("ccpctl job list")
        self.wait_for(lambda: self.agents()[-1] == ["gone"])
        self.assertTrue(t.echoes())
        self.assertEqual(t.wait(), -signal.SIGINT)

    def test_reading_starts_no_agent(self):
        for args in (("status", "alpha"), ("list",), ("job", "list"), ("settings", "show")):
            self.assertEqual(self.terminal(*args, uid=NOBODY).wait(), 0)
        self.assertEqual(self.agents(), [])

    def test_no_agent_is_started_where_nobody_is_to_be_asked(self):
        self.agree()
        self.assertEqual(self.terminal("delete", "alpha", "--yes").wait(), 4)  # root
        self.assertEqual(self.terminal("delete", "alpha", "--yes", "--no-ask-password", uid=NOBODY).wait(), 4)
        self.ctl("delete", "alpha", "--yes", uid=NOBODY, code=4)  # no terminal
        self.assertEqual(self.agents(), [])

    def test_a_secret_has_a_line_of_its_own_on_a_terminal_only(self):
        self.agree()
        self.env["PAGER"] = "sed s/s3cret/PAGED/"
        t = self.terminal("secret", "reveal", "alpha", "POSTGRES_PASSWORD", uid=NOBODY)
        t.expect("AUTHENTICATING FOR org.changemaker.ccp1.reveal-secret")
        t.expect("s3cret of alpha\r\n")
        self.assertEqual(t.wait(), 0)
        out = os.path.join(self.folder.name, "out")
        t = self.terminal("secret", "reveal", "alpha", "POSTGRES_PASSWORD", uid=NOBODY, output=out)
        self.assertEqual(t.wait(), 0)
        with open(out) as f:
            self.assertEqual(f.read(), "s3cret of alpha")

    def test_output_that_goes_elsewhere_does_not_matter(self):
        self.agree()
        out = os.path.join(self.folder.name, "out")
        t = self.terminal("delete", "alpha", "--yes", uid=NOBODY, output=out)
        t.expect("AUTHENTICATING FOR")
        self.assertEqual(t.wait(), 0)
        with open(out) as f:
            self.assertRegex(f.read(), r"^alpha was deleted")


class Deleting(BusTest):
    def test_the_slug_has_to_be_typed(self):
        self.create("alpha")
        t = self.terminal("delete", "alpha")
        t.expect("2 containers")
        t.answer("Type the slug", "alpha")
        t.expect("alpha was deleted")
        self.assertEqual(t.wait(), 0)

    def test_anything_else_deletes_nothing(self):
        self.create("alpha")
        for keys in ("y\n", "\n", "\x04", "\x03"):
            t = self.terminal("delete", "alpha")
            t.expect("Type the slug")
            t.type(keys)
            t.expect("Nothing was deleted.")
            self.assertEqual(t.wait(), 1)
        self.assertIn("alpha", self.saved()["instances"])

    def told(self, slug="alpha"):
        """What is said before an instance is deleted."""
        t = self.terminal("delete", slug, columns=200)
        t.expect("Type the slug")
        t.type("\n")
        t.expect("Nothing was deleted.")
        t.wait()
        return plain(t.text)

    def test_what_remains_is_told(self):
        self.create("alpha")
        self.assertIn("There is no backup of it on this server. To make one first: ccpctl backup create alpha\n", self.told())
        # Of one that had the name before, of another one, imported though older, and damaged.
        self.have_backups({"Id": "23", "InstanceId": "another"}, {"Id": "22", "Instance": "beta"},
                          {"Id": "21", "CreatedAt": 1700000000000000, "Signer": "abab"}, {"Id": "20"}, {"Id": "19", "State": "damaged"})
        text = self.told()
        self.assertRegex(text, r"Its backups stay: 3\. The newest verified one is backup 20, of\n\w{3} 2026-11-20 12:00:00 UTC; .*\.\n")
        self.assertIn("To come back to that: ccpctl backup restore 20 --as=alpha --domain=alpha.example.org\n", text)
        self.assertNotIn("backup create", text)
        # The clock was wrong.
        self.have_backups({"Id": "21", "CreatedAt": 1700000000000000}, {"Id": "20"})
        self.assertIn("The newest verified one is backup 21, of\n", self.told())
        self.have_backups({"Id": "19", "State": "damaged"})
        self.assertIn("There is no verified backup of it on this server. To make one first: ccpctl backup create alpha\n", self.told())

    def test_nothing_is_told_of_backups_that_cannot_be_seen(self):
        self.create("alpha")
        self.have_backups({})
        with open(self.state + ".deny", "w") as f:
            f.write("ListBackups")
        text = self.told()
        self.assertIn("The list of its backups could not be read.\n", text)
        for other in ("backup 17", "backup create", "no backup of it", "You may not"):
            self.assertNotIn(other, text)


class DeletingBackups(BusTest):
    def setUp(self):
        super().setUp()
        self.create("alpha")
        self.have_backups({"Id": "18", "State": "damaged", "Size": 5 << 30}, {"Id": "17", "Instance": "beta", "ReplicatedAt": 1})

    def test_what_the_numbers_are_is_told_before_it_is_asked(self):
        t = self.terminal("backup", "delete", "17", "18", columns=200)
        t.expect("Delete for good the backups 17, 18 [y/N] ")
        told = plain(t.text)
        self.assertRegex(told, r"(?m)^Backup 17 of beta, replicated, \w{3} 2026-11-20 12:00:00 UTC; .* ago, 12M$")
        self.assertRegex(told, r"(?m)^Backup 18 of alpha, damaged, \w{3} 2026-11-20 12:00:00 UTC; .* ago, 5\.0G$")
        t.type("n\n")
        t.expect("Nothing was deleted.")
        self.assertEqual(t.wait(), 1)
        self.assertEqual(self.calls("delete-backup"), [])

    def test_what_is_not_there_is_refused_before_it_is_asked(self):
        t = self.terminal("backup", "delete", "17", "99")
        t.expect("There is no backup 99.")
        self.assertEqual(t.wait(), 3)
        self.assertNotIn("Delete for good", t.text)
        self.assertNotIn("Backup 17 of", t.text)

    def test_who_says_yes_already_is_told_nothing(self):
        t = self.terminal("backup", "delete", "17", "--yes")
        t.expect("beta's backup 17 was deleted (job ")
        self.assertEqual(t.wait(), 0)
        self.assertNotIn("Backup 17 of", t.text)
        self.assertEqual(self.calls("list-backups"), [])


class Wizard(BusTest):
    def test_five_pages_lead_to_an_instance(self):
        self.create("taken")
        t = self.terminal("create")
        t.expect("Step 1 of 5: Basic information")
        t.expect("Blueprint: web")
        t.answer("Name: ", "")
        t.expect("character")
        t.answer("Name: ", "Zürich Chapter")
        t.answer("Slug [zurich-chapter]: ", "Bad Slug")
        t.expect("cannot be a slug")
        t.answer("Slug [zurich-chapter]: ", "taken")
        t.expect("There is an instance 'taken' already.")
        t.answer("Slug [zurich-chapter]: ", "")
        t.answer("Domain: ", "taken.example.org")
        t.expect("has the domain taken.example.org already")
        t.answer("Domain: ", "Zurich.example.org")
        t.answer("Owner: ", "")
        t.expect("may not be empty")
        t.answer("Owner: ", "Ann")
        t.expect("Step 2 of 5: Features")
        t.expect("Photos and films")
        t.answer("Media Manager [y/N] ", "perhaps")
        t.expect("Please answer yes or no.")
        t.answer("Media Manager [y/N] ", "y")
        t.answer("Chat [Y/n] ", "n")
        t.expect("Step 3 of 5: E-mail")
        t.answer("Use MailHog [Y/n] ", "n")
        t.answer("SMTP port [587]: ", "70000")
        t.expect("from 1 to 65535")
        t.answer("SMTP port [587]: ", "25")
        t.answer("SMTP security (none tls) [tls]: ", "ssl")
        t.expect("one of: none, tls")
        t.answer("SMTP security (none tls) [tls]: ", "")
        t.answer("SMTP password: ", "s3cret")
        t.expect("Step 4 of 5: Tunnel")
        t.answer("Set up a tunnel? [y/N] ", "")
        t.expect("Step 5 of 5: Review")
        t.expect("Domain: zurich.example.org")
        t.expect("(secret)")
        t.expect("web=10007")
        t.answer("Create it? [Y/n] ", "")
        t.expect("zurich-chapter was created and is running")
        self.assertEqual(t.wait(), 0)
        self.assertNotIn("s3cret", t.text)

        _, slug, blueprint, options = self.calls("create")[1]
        self.assertEqual((slug, blueprint), ("zurich-chapter", "web"))
        self.assertEqual(options, {
            "name": "Zürich Chapter", "domain": "zurich.example.org", "features": ["media", "chat=no"],
            "parameters": {"owner": "Ann", "use_mailhog": "no", "smtp_port": "25", "smtp_password": "s3cret"}})

    def basics(self, t, domain):
        t.answer("Name", "Alpha")
        t.answer("Slug", "")
        t.answer("Domain", domain)
        t.answer("Owner", "Ann")
        t.answer("Media Manager", "")
        t.answer("Chat", "")
        t.answer("Use MailHog", "")
        t.answer("SMTP port", "")
        t.answer("SMTP security", "")
        t.answer("SMTP password", "")
        t.answer("Set up a tunnel?", "")

    def test_what_ccpd_refuses_is_asked_again(self):
        t = self.terminal("create")
        self.basics(t, "refused.example.org")
        t.expect("is reserved")
        t.expect("Step 1 of 5")
        t.answer("Name [Alpha]: ", "")
        t.answer("Slug [alpha]: ", "")
        t.answer("Domain [refused.example.org]: ", "alpha.example.org")
        t.answer("Owner [Ann]: ", "")
        for _ in range(7):
            t.expect(": " if _ in (3, 4, 5) else "] ")
            t.type("\n")
        t.expect("Create it?")
        t.type("\n")
        t.expect("alpha was created")
        self.assertEqual(t.wait(), 0)
        self.assertEqual(self.calls("create")[0][3], {"name": "Alpha", "domain": "alpha.example.org",
                                                      "features": ["chat"], "parameters": {"owner": "Ann"}})

    def test_leaving_creates_nothing(self):
        for keys in ("\x04", "\x03"):
            for stop in ("Name: ", "SMTP password: ", "Create it?"):
                t = self.terminal("create")
                if stop == "Name: ":
                    t.expect(stop)
                elif stop == "Create it?":
                    self.basics(t, "alpha.example.org")
                    t.expect(stop)
                else:
                    for question, answer in (("Name", "Alpha"), ("Slug", ""), ("Domain", "alpha.example.org"),
                                             ("Owner", "Ann"), ("Media", ""), ("Chat", ""), ("MailHog", ""),
                                             ("port", ""), ("security", "")):
                        t.answer(question, answer)
                    t.expect(stop)
                t.type(keys)
                t.expect("Nothing was created.")
                self.assertTrue(t.echoes())
                self.assertEqual(t.wait(), 1)
        self.assertEqual(self.calls("create"), [])

    def test_answering_no_creates_nothing(self):
        t = self.terminal("create")
        self.basics(t, "alpha.example.org")
        t.answer("Create it?", "n")
        t.expect("Nothing was created.")
        self.assertEqual(t.wait(), 1)

    def test_arguments_are_not_mixed_with_questions(self):
        t = self.terminal("create", "--domain=x.example.org")
        self.assertEqual(t.wait(), 2)


class Choosing(BusTest):
    mock_environment = {"MOCK_TWO_BLUEPRINTS": "1"}

    def test_the_blueprint_is_asked_for_when_there_are_more(self):
        t = self.terminal("create", "--dry-run")
        self.assertEqual(t.wait(), 2)
        t = self.terminal("create")
        t.expect("2. empty - Nothing")
        t.answer("Blueprint [web]: ", "7")
        t.expect("There is no blueprint '7'.")
        t.answer("Blueprint [web]: ", "2")
        t.answer("Name: ", "Alpha")
        t.answer("Slug [alpha]: ", "")
        t.answer("Domain: ", "alpha.example.org")
        t.expect("This blueprint has none.")
        t.expect("no settings for e-mail")
        t.expect("no settings for a tunnel")
        t.answer("Create it?", "y")
        t.expect("was created")
        self.assertEqual(t.wait(), 0)
        self.assertEqual(self.calls("create")[0][2], "empty")


if __name__ == "__main__":
    unittest.main(verbosity=2)
