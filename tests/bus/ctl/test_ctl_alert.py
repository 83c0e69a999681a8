#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpctl alert …, run for real against a mock of ccpd on a private bus."""

from harness import *


class Alerts(BusTest):
    def test_what_fires_why_it_is_not_told_and_what_to_do(self):
        r = self.ctl("alert", "list")
        self.assertRegex(r.out, r"(?m)^ID +RULE +ABOUT +SEVERITY +STATE +SINCE +TOLD +DELIVERY")
        self.assertRegex(r.out, r"(?m)^12 +instance-unhealthy +alpha +error +firing +10min ago +2 +mail delivered, webhook queued")
        self.assertRegex(r.out, r"(?m)^11 +disk-space +/var/lib/docker +error +silenced ")
        self.assertNotIn("beta", r.out)
        self.assertIn("2 alerts listed.", r.out)
        self.assertRegex(r.out, r"Alert 12: alpha is unhealthy: db \\x1b\[31mhas ended")
        self.assertRegex(r.out, r"Webhook: firing, attempt 4 failed, the next is in [\d.]+s: hooks.example.org answered 500\.")
        self.assertRegex(r.out, r"Next: ccpctl status alpha")
        self.assertNotIn("\x1b[31mhas", r.out)
        # For scripts the table alone.
        self.assertEqual(len(self.ctl("alert", "list", "--no-legend").out.splitlines()), 2)

    def test_all_and_filters(self):
        self.assertEqual([a["id"] for a in self.ctl("alert", "list", "--all", "--json=short").json()], ["12", "11", "9"])
        self.assertEqual([a["id"] for a in self.ctl("alert", "list", "--instance=alpha", "--json=short").json()], ["12"])
        self.assertEqual([a["id"] for a in self.ctl("alert", "list", "--rule=disk-space", "--json=short").json()], ["11"])
        self.assertEqual(len(self.ctl("alert", "list", "--all", "-n", "1", "--json=short").json()), 1)
        first = self.ctl("alert", "list", "--json=pretty").json()[0]
        self.assertEqual(first["deliveries"][1]["error"], "hooks.example.org answered 500.")
        self.assertEqual((first["rule"], first["instance"], first["notifications"]), ("instance-unhealthy", "alpha", 2))

    def test_one(self):
        r = self.ctl("alert", "show", "12")
        for text in ("Rule: instance-unhealthy", "State: firing", "Instance: alpha", "Told: 2 times, last 10min ago",
                     "Mail: firing, delivered 1", "Webhook: firing, attempt 4 failed", "Next: ccpctl status alpha"):
            self.assertIn(text, r.out)
        r = self.ctl("alert", "show", "9")
        self.assertIn("given up", r.out)
        self.assertNotIn("Next:", r.out)
        self.assertEqual(self.ctl("alert", "show", "12", "--json=short").json()["id"], "12")
        self.assertEqual(self.ctl("alert", "show", "4711", code=3).out, "")

    def test_silence(self):
        before = time.time()
        r = self.ctl("alert", "silence", "--instance=alpha", "--rule=instance-unhealthy", "--for=2h", "--reason=we move")
        self.assertIn("ccpctl alert unsilence 1", r.out)
        [s] = self.ctl("alert", "silences", "--json=short").json()
        self.assertEqual((s["instance"], s["rule"], s["reason"]), ("alpha", "instance-unhealthy", "we move"))
        self.assertTrue(before + 7199 < s["until"] / 1e6 < time.time() + 7201)
        self.ctl("alert", "silence", "--until=tomorrow", "--quiet")
        r = self.ctl("alert", "silences")
        self.assertRegex(r.out, r"(?m)^ *2 +\(all\) +\(all\) ")
        self.assertIn("2 silences listed.", r.out)
        self.ctl("alert", "unsilence", "1")
        self.assertEqual([s["id"] for s in self.ctl("alert", "silences", "--json=short").json()], ["2"])
        self.ctl("alert", "unsilence", "1", code=3)

    def test_silences_that_cannot_be(self):
        for options, advice in (([], "ccpctl alert silence"), (["--for=2h", "--until=tomorrow"], "ccpctl alert silence"),
                                (["--for=nonsense"], "--for takes"), (["--for=-2h"], "--for takes"), (["--for="], "--for takes"),
                                (["--until=yesterday"], "ccpctl alert silence"), (["--until=nonsense"], "--until takes")):
            self.assertIn(advice, self.ctl("alert", "silence", *options, code=2).err)
        self.assertEqual(self.ctl("alert", "silences", "--json=short").json(), [])

    def test_a_channel_is_tried(self):
        self.assertIn("The test was delivered.", self.ctl("alert", "test", "webhook").out)
        self.assertIn("ccpctl alert show 77", self.ctl("alert", "test", "webhook", "--no-wait").out)
        self.ctl("alert", "test", "pigeon", code=2)

    def test_the_secret(self):
        self.assertEqual(self.ctl("alert", "secret").out, "hook-s3cret")
        self.assertEqual(self.ctl("alert", "secret", "--json=short").json(), {"instance": "", "name": "ALERT_WEBHOOK",
                                                                              "value": "hook-s3cret"})
        self.assertIn("ccpctl alert secret", self.ctl("alert", "rotate").out)
        self.assertIn("ssh", self.ctl("alert", "secret", "-H", "host", code=2).err)


class FailingTest(BusTest):
    mock_environment = {"MOCK_TEST": "failed"}

    def test_a_test_that_is_not_delivered_says_why(self):
        self.assertIn("The test was not delivered: example.org answered 500.", self.ctl("alert", "test", "mail", code=1).err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
