#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpctl storage …, and what it has, run for real against a mock of ccpd on a private bus."""

from harness import *

PLACE = ("--endpoint=https://s3.example.org", "--bucket=backups")


class Storage(BusTest):
    def known(self):
        return self.saved().get("storage") if os.path.exists(self.state) else None

    def test_credentials_come_from_standard_input_or_a_file(self):
        self.ctl("storage", "set", *PLACE, "--prefix=fleet", "--path-style", "--credentials-file=-", input="AK\nS/K+\n")
        self.assertEqual(self.known(), {"endpoint": "https://s3.example.org", "bucket": "backups", "prefix": "fleet",
                                        "path-style": True, "access-key": "AK", "secret-key": "S/K+"})
        path = os.path.join(self.folder.name, "credentials")
        with open(path, "w", encoding="utf-8") as f:
            f.write("  AK2 \r\n\n\tSK2\n\n")
        self.ctl("storage", "set", *PLACE, "--region=eu-west-1", "--ca-file=/etc/ca.pem", f"--credentials-file={path}")
        self.assertEqual(self.known(), {"endpoint": "https://s3.example.org", "bucket": "backups", "region": "eu-west-1",
                                        "ca-file": "/etc/ca.pem", "access-key": "AK2", "secret-key": "SK2"})
        # Those that are known stay.
        self.ctl("storage", "set", *PLACE)
        self.assertEqual(self.known(), {"endpoint": "https://s3.example.org", "bucket": "backups"})

    def test_what_is_no_credentials(self):
        for text in ("", "AK", "AK\n", "AK\nSK\nmore\n"):
            r = self.ctl("storage", "set", *PLACE, "--credentials-file=-", input=text, code=2)
            self.assertIn("two lines", r.err)
        self.assertIn("Cannot open", self.ctl("storage", "set", *PLACE, "--credentials-file=/nowhere", code=1).err)
        # Nobody can be asked, and none are known.
        self.assertIn("no terminal", self.ctl("storage", "set", *PLACE, code=2).err)
        for half in PLACE:
            self.assertIn("an endpoint and a bucket", self.ctl("storage", "set", half, code=2).err)
        self.assertIsNone(self.known())

    def test_it_is_shown_and_forgotten(self):
        self.assertIn("copied nowhere", self.ctl("storage", "show").out)
        self.assertEqual(self.ctl("storage", "show", "--json=short").json(), {})
        self.ctl("storage", "set", *PLACE, "--credentials-file=-", input="AK\nSK\n")
        r = self.ctl("storage", "show")
        for text in ("Endpoint: https://s3.example.org", "Bucket: backups", "Addresses: BUCKET.HOST", "Copied: 12", "Missing: 1"):
            self.assertIn(text, r.out)
        self.assertNotIn("\x1b[31m", r.out)
        self.assertNotIn("SK", r.out + self.ctl("storage", "show", "--json=short").out)
        self.assertIn("--yes", self.ctl("storage", "forget", code=2).err)
        self.assertIsNotNone(self.known())
        self.assertIn("stays there", self.ctl("storage", "forget", "--yes").out)
        self.assertIsNone(self.known())

    def test_it_is_tried(self):
        r = self.ctl("storage", "test")
        self.assertIn("It answered.", r.out)
        self.assertIn("can be copied there", r.out)
        self.assertEqual(self.ctl("storage", "test", "--json=short").json()[0]["verdict"], "ok")

    def test_what_it_has(self):
        r = self.ctl("backup", "list", "--storage")
        self.assertRegex(r.out, r"(?m)^ID +INSTANCE +CREATED +SIZE +KEY")
        self.assertRegex(r.out, r"(?m)^ 7 +alpha .* id/alpha-20261120T031507Z\.archive\.ccpb")
        self.assertRegex(r.out, r"(?m)^ - +elsewhere ")
        self.assertIn("2 copied backups listed.", r.out)
        self.assertEqual([c["backup"] for c in self.ctl("backup", "list", "--storage", "--json=short").json()], ["7", ""])
        self.assertEqual(len(self.ctl("backup", "list", "--storage", "--instance=alpha", "--json=short").json()), 1)


class FailedStorage(BusTest):
    mock_environment = {"MOCK_STORAGE": "failed"}

    def test_a_failure_is_one(self):
        r = self.ctl("storage", "test", code=1)
        self.assertIn("Mend it.", r.out)
        self.assertNotIn("can be copied there", r.out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
