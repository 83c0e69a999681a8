#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpctl health and its history, against a mock of ccpd."""

from harness import *

HOUR = 3600 * 1000000


class Health(BusTest):
    def setUp(self):
        super().setUp()
        for slug in ("alpha", "sick-one", "beta"):
            self.create(slug, "--quiet")

    def test_the_fleet_is_shown_as_it_is_known(self):
        r = self.ctl("health", code=1)
        lines = [line.split() for line in r.out.splitlines()]
        self.assertEqual(lines[0], ["SLUG", "STATE", "HEALTH", "SINCE", "REASON"])
        self.assertEqual([(line[0], line[2]) for line in lines[1:4]],
                         [("alpha", "healthy"), ("beta", "healthy"), ("sick-one", "degraded")])
        # What a tenant's service says can't steer the terminal.
        self.assertIn("mail: does not \\x1b[31manswer", r.out)
        self.assertEqual(self.calls("check-health"), [])
        rows = self.ctl("health", "--json=short", code=1).json()
        self.assertEqual({k: rows[0][k] for k in ("slug", "state", "health", "health_reason")},
                         {"slug": "alpha", "state": "running", "health": "healthy", "health_reason": ""})
        self.assertGreater(rows[0]["health_since"], 0)

    def test_what_does_not_run_is_not_ill(self):
        self.ctl("stop", "sick-one", "--quiet")
        r = self.ctl("health")
        self.assertIn("stopped", r.out)

    def test_what_is_named_is_looked_at_now(self):
        r = self.ctl("health", "alpha")
        self.assertRegex(r.out, r"● alpha - healthy since ")
        self.assertRegex(r.out, r"(?m)^app +service +healthy +2\.3ms +-$")
        self.assertEqual(self.calls("check-health"), [["check-health", "alpha"]])
        r = self.ctl("health", "sick-one", code=1)
        self.assertRegex(r.out, r"(?m)^mail +optional +failed +120ms +does not \\x1b\[31manswer$")
        answer = self.ctl("health", "sick-one", "--json=short", code=1).json()
        self.assertEqual((answer["slug"], answer["health"], len(answer["services"])), ("sick-one", "degraded", 3))
        self.assertEqual(answer["services"][2]["latency"], 120000)

    def test_the_exit_status_is_that_of_the_first_that_is_not_well(self):
        self.ctl("health", "alpha", "beta")
        self.ctl("health", "alpha", "sick-one", "beta", code=1)
        r = self.ctl("health", "absent", "alpha", code=3)
        self.assertIn("● alpha", r.out)
        self.ctl("stop", "beta", "--quiet")
        r = self.ctl("health", "beta", code=1)
        self.assertIn("is stopped", r.err)
        answers = self.ctl("health", "alpha", "sick-one", "--json=short", code=1).json()
        self.assertEqual([a["slug"] for a in answers], ["alpha", "sick-one"])

    def test_history_of_one(self):
        r = self.ctl("health", "history", "alpha")
        rows = {line.split()[0]: line.split()[1] for line in r.out.splitlines() if len(line.split()) == 2}
        # A bar for each period, a gap where nothing is known.
        self.assertEqual((len(rows["24h"]), len(rows["7d"]), len(rows["30d"])), (24, 28, 30))
        self.assertTrue(rows["24h"].startswith("▇▇·▇▇·"))
        self.assertRegex(r.out, r"(?m)^ +24h +99\.99% +1\.2ms +45ms +4\.[56]s +10 ")
        r = self.ctl("health", "history", "sick-one", "--no-legend")
        self.assertIn("▂▂·", r.out)
        self.assertNotIn("all up", r.out)
        asked = [c[2] for c in self.calls("health")]
        self.assertEqual([round((c["until"] - c["since"]) / HOUR) for c in asked[:6]], [24, 24, 168, 168, 720, 720])
        self.assertEqual([c.get("step", 0) // HOUR for c in asked[:6]], [1, 0, 6, 0, 24, 0])

    def test_without_utf8_the_bars_are_ascii(self):
        r = self.ctl("health", "history", "alpha", env={"LC_ALL": "C"})
        self.assertTrue(r.out.isascii())
        self.assertIn("**.**.", r.out)

    def test_history_as_json(self):
        answer = self.ctl("health", "history", "sick-one", "--json=short").json()
        self.assertEqual(answer["slug"], "sick-one")
        self.assertEqual(answer["last_24h"]["uptime"], 0.5)
        self.assertEqual(len(answer["last_30d"]["periods"]), 30)
        self.assertEqual(answer["last_24h"]["p99"], 4567890)
        self.assertNotIn("uptime", answer["last_24h"]["periods"][2])

    def test_a_period_that_was_asked_for(self):
        self.ctl("health", "history", "alpha", "--since=2026-01-01", "--until=2026-01-11")
        first, second = [c[2] for c in self.calls("health")]
        self.assertEqual((first["since"], first["until"], first["step"]),
                         (1767225600 * 1000000, 1768089600 * 1000000, 6 * HOUR))
        self.assertNotIn("step", second)
        r = self.ctl("health", "history", "--since=2026-01-01", "--until=2026-01-11")
        self.assertRegex(r.out, r"(?m)^SLUG +UPTIME$")
        self.ctl("health", "history", "alpha", "--since=2026-01-11", "--until=2026-01-01", code=2)
        self.ctl("health", "history", "alpha", "--since=nonsense", code=2)
        self.ctl("health", "history", "alpha", "beta", code=2)
        self.ctl("health", "history", "absent", code=3)

    def test_history_of_the_fleet(self):
        r = self.ctl("health", "history")
        self.assertRegex(r.out, r"(?m)^SLUG +24H +7D +30D$")
        self.assertRegex(r.out, r"(?m)^sick-one +50\.00% +50\.00% +50\.00%$")
        self.assertRegex(r.out, r"(?m)^alpha +99\.99% ")
        self.assertEqual(len(self.calls("fleet-health")), 3)
        rows = self.ctl("health", "history", "--json=short").json()
        self.assertEqual([row["slug"] for row in rows], ["alpha", "beta", "sick-one"])
        self.assertEqual(rows[2]["last_7d"]["unhealthy"], 10)

    def test_colours_on_a_terminal(self):
        t = self.terminal("--no-pager", "health", "history", "sick-one")
        self.assertEqual(t.wait(), 0)
        self.assertIn("\x1b[0;1;31m▂", t.text)
        self.assertIn("50.00%", plain(t.text))


if __name__ == "__main__":
    unittest.main(verbosity=1)
