#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpctl doctor: what it says and what it ends with, whether ccpd is there or not."""

from harness import *


class Doctor(BusTest):
    def test_a_warning_is_no_failure(self):
        r = self.ctl("doctor")
        self.assertRegex(r.out, r"(?m)^\S+ store +PostgreSQL answers")
        self.assertRegex(r.out, r"(?m)^ +Make room\.$")
        self.assertIn("0 problems, 1 warning, 0 not known.", r.out)

    def test_what_failed_makes_the_exit_status(self):
        self.stop_mock()
        self.start_mock(MOCK_SICK="1")
        r = self.ctl("doctor", code=1)
        self.assertRegex(r.out, r"(?m)^\S+ engine +Docker does not answer\.\n +See: systemctl status docker$")
        self.assertIn("1 problem, 1 warning", r.out)

    def test_sequences_of_a_terminal_are_shown_not_sent(self):
        self.assertIn(r"\x1b[31m", self.ctl("doctor").out)
        self.assertNotIn("\x1b[31mccpd", self.ctl("doctor").out)

    def test_json(self):
        rows = self.ctl("doctor", "--json=short").json()
        self.assertEqual(rows[0], {"check": "store", "verdict": "ok", "message": "PostgreSQL answers, all records were read.",
                                   "advice": ""})

    def test_without_ccpd_it_says_so_and_ends_with_5(self):
        self.stop_mock()
        r = self.ctl("doctor", code=5)
        self.assertRegex(r.out, r"(?m)^\S+ ccpd +ccpd does not run")
        self.assertIn("journalctl -u ccpd", r.out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
