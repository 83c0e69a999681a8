#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpctl logs: through a descriptor, and in pages where none can come."""

import sys

from harness import *

TIME = 1795176000000000  # 2026-11-20 12:00:00 UTC


class Logs(BusTest):
    def setUp(self):
        super().setUp()
        self.create("alpha", "--set=owner=Ann")
        self.n = 0

    def write(self, *messages, service="app", source="container", **more):
        with open(self.state + ".logs", "a") as f:
            for message in messages:
                self.n += 1
                row = {"time": TIME + self.n * 1000000, "source": source, "priority": 6, "message": message}
                f.write(json.dumps({**row, **({"service": service} if service else {}), **more}) + "\n")

    def touch(self, suffix):
        open(self.state + suffix, "w").close()

    def messages(self, *args, **kwargs):
        return [line.split(": ", 1)[1] for line in self.ctl("logs", "alpha", *args, **kwargs).out.splitlines()]

    def follow(self, *args):
        p = self.popen("logs", "alpha", "--follow", *args)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        return p

    def line(self, p):
        return p.stdout.readline().rstrip("\n").split(": ", 1)[1]


class Here(Logs):
    def test_lines_have_time_service_and_message(self):
        self.write("ready")
        self.write("SELECT 1", service="postgres")
        self.write("Job 1: create", source="job", service=None)
        self.assertEqual(self.ctl("logs", "alpha").out, "Nov 20 12:00:01 app: ready\nNov 20 12:00:02 postgres: SELECT 1\n")
        self.assertEqual(self.ctl("logs", "alpha", "--all", "-n1").out, "Nov 20 12:00:03 job: Job 1: create\n")
        self.assertEqual(self.messages("postgres"), ["SELECT 1"])
        self.assertEqual(self.messages("postgres", "app"), ["ready", "SELECT 1"])

    def test_no_lines_are_no_failure(self):
        self.assertEqual(self.ctl("logs", "alpha").out, "")

    def test_how_many(self):
        self.write(*map(str, range(250)))
        self.assertEqual(self.messages(), list(map(str, range(150, 250))))
        self.assertEqual(self.messages("-n", "3"), ["247", "248", "249"])
        self.assertEqual(len(self.messages("-n", "all")), 250)
        self.assertEqual(self.messages("-n", "0"), [])
        # Who says from when on wants all since then.
        self.assertEqual(len(self.messages("--since", "@%d" % (TIME // 1000000))), 250)
        self.assertEqual(self.messages("--since", "2026-11-20 12:04:10 UTC"), ["249"])
        self.assertEqual(self.messages("--until", "2026-11-20 12:00:02 UTC"), ["0", "1"])

    def test_grep(self):
        self.write("one", "two", "three")
        self.assertEqual(self.messages("-g", "t"), ["two", "three"])
        self.assertEqual(self.calls("open-logs")[-1][3]["pattern"], "t")

    def test_json_is_one_object_a_line(self):
        self.write("a\tb\u0007", "ü", truncated=True)
        rows = [json.loads(line) for line in self.ctl("logs", "alpha", "--json=short").out.splitlines()]
        self.assertEqual(rows[0], {"time": TIME + 1000000, "source": "container", "priority": 6, "message": "a\tb\u0007",
                                   "service": "app", "truncated": True, "cursor": "n=1"})
        self.assertEqual(rows[1]["message"], "ü")
        self.assertIn('    "message": "ü"', self.ctl("logs", "alpha", "--json=pretty", "-n1").out)

    def test_nothing_steers_the_terminal(self):
        self.write("\u001b[31mred\u001b[0m", "\u001b]0;title\u0007", "\u009b2J", "tab\there")
        self.assertEqual(self.messages(), ["red", "\\x1b]0;title\\x07", "\\x9b2J", "tab\there"])
        for args in ([], ["--json=short"]):
            t = self.terminal("logs", "alpha", *args)
            self.assertEqual(t.wait(), 0)
            self.assertFalse({"\x07", "\x9b"} & set(t.text), t.text)
            self.assertNotIn("\x1b]", t.text)

    def test_services_have_colours_and_a_cut_line_says_so(self):
        self.write("whole")
        self.write("long", truncated=True)
        out = self.ctl("logs", "alpha", env={"CCP_COLORS": "1"}).out
        self.assertRegex(out, "\x1b\\[[0-9;]+mapp\x1b\\[0m: whole\n")
        self.assertTrue(self.messages()[1].endswith("[cut]"))

    def test_follow_shows_what_comes_and_ends_with_success(self):
        self.write("old")
        p = self.follow()
        self.assertEqual(self.line(p), "old")
        self.write("new")
        self.assertEqual(self.line(p), "new")
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(), 0)
        self.assertEqual(p.stderr.read(), "")
        # Whoever writes learns that nobody reads any more.
        self.write("newer")
        self.wait_for(lambda: self.calls("closed"))

    def test_follow_from_now_on(self):
        self.write("old")
        p = self.follow("-n0")
        self.wait_for(lambda: self.calls("open-logs"))
        self.write("new")
        self.assertEqual(self.line(p), "new")

    def test_follow_goes_on_where_it_was_cut(self):
        self.write("one")
        p = self.follow()
        self.assertEqual(self.line(p), "one")
        for suffix, message in ((".cut", "two"), (".again", "three")):
            self.touch(suffix)
            self.wait_for(lambda: not os.path.exists(self.state + suffix))
            self.write(message)
            self.assertEqual(self.line(p), message)
        self.assertEqual([c[3].get("cursor") for c in self.calls("open-logs")], [None, "n=1", "n=2"])

    def test_what_ended_before_anything_was_read_is_asked_for_as_before(self):
        self.write("one", "two")
        self.touch(".early")
        self.assertEqual(self.messages("-n1", "-g", "o"), ["two"])
        first, second = self.calls("open-logs")
        self.assertEqual(first[3], second[3])
        self.touch(".early")
        p = self.follow("-n1")
        self.assertEqual(self.line(p), "two")

    def test_follow_outlives_a_restart_of_ccpd_without_starting_it(self):
        self.write("one")
        p = self.follow()
        self.assertEqual(self.line(p), "one")
        self.stop_mock()
        self.assertIn("ccpd has stopped; waiting", p.stderr.readline())
        self.write("two")
        self.start_mock()
        self.assertEqual(self.line(p), "two")

    def test_what_is_refused_ends_it(self):
        self.write("one")
        p = self.follow()
        self.assertEqual(self.line(p), "one")
        with open(self.state + ".deny", "w") as f:
            f.write("OpenLogs")
        self.touch(".again")
        self.assertEqual(p.wait(), 4)
        self.assertIn("You may not do this", p.stderr.read())

    def test_wrong_usage(self):
        self.assertIn("postgres, app", self.ctl("logs", "alpha", "ap", code=3).err)
        self.ctl("logs", "nobody", code=3)
        for args, hint in ((["-f", "--until=now"], "--until"), (["--since=tomorrow", "--until=today"], "Nothing can be found"),
                           (["--since=whenever"], "--since"), (["-n", "x"], "takes a number"), (["-g", ""], "--grep=PATTERN"),
                           (["--user=ann"], "--user")):
            self.assertIn(hint, self.ctl("logs", "alpha", *args, code=2).err)
        self.ctl("logs", code=2)


class Elsewhere(Logs):
    """Over ssh no descriptor comes."""

    def setUp(self):
        super().setUp()
        # ssh hands bytes on, nothing else.
        self.pretend_ssh("%s -c 'import os; os.set_blocking(0, True); os.set_blocking(1, True)'; "
                         "cat | systemd-stdio-bridge -p '%s' | cat" % (sys.executable, self.address))

    def ctl(self, *args, **kwargs):
        return super().ctl(*(["-H", "there", *args] if args[0] == "logs" else args), **kwargs)

    def popen(self, *args, **kwargs):
        return super().popen("-H", "there", *args, **kwargs)

    def test_lines_come_in_pages(self):
        self.stop_mock()
        self.start_mock(MOCK_LOGS_PAGE="7")
        self.write(*map(str, range(250)))
        self.assertEqual(self.messages(), list(map(str, range(150, 250))))
        self.assertEqual(self.calls("open-logs"), [])
        self.assertEqual([c[3].get("cursor") for c in self.calls("read-logs")][:3], [None, "n=157", "n=164"])
        self.assertEqual(len(self.messages("-n", "all")), 250)
        self.assertEqual(self.messages("-n", "0"), [])

    def test_json_is_the_same(self):
        self.write("a", truncated=True)
        self.write("b", source="ccpd", service=None)
        there = self.ctl("logs", "alpha", "--json=short", "--all").out.splitlines()
        here = super().ctl("logs", "alpha", "--json=short", "--all").out.splitlines()
        self.assertEqual(list(map(json.loads, there)), list(map(json.loads, here)))

    def test_follow_waits_for_what_comes(self):
        self.write("old")
        p = self.follow()
        self.assertEqual(self.line(p), "old")
        self.write("new", "newer")
        self.assertEqual([self.line(p), self.line(p)], ["new", "newer"])
        self.assertTrue(all(0 < c[3]["timeout"] <= 60000000 for c in self.calls("read-logs")))
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(), 0)

    def test_follow_outlives_a_restart_of_ccpd(self):
        self.write("one")
        p = self.follow()
        self.assertEqual(self.line(p), "one")
        self.stop_mock()
        self.assertIn("ccpd has stopped; waiting", p.stderr.readline())
        self.write("two")
        self.start_mock()
        self.assertEqual(self.line(p), "two")

    def test_what_ended_before_anything_was_read_is_asked_for_as_before(self):
        self.write("one", "two")
        self.touch(".early")
        self.assertEqual(self.messages("-n1", "-g", "o"), ["two"])

    def test_no_such_service(self):
        self.assertIn("postgres, app", self.ctl("logs", "alpha", "ap", code=3).err)


if __name__ == "__main__":
    unittest.main()
