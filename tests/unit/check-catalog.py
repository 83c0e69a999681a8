#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares the message catalog with the MESSAGE_IDs of names.h and with the fields that entries have, and has journalctl read it.

Usage: check-catalog.py SOURCE-ROOT
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

root = pathlib.Path(sys.argv[1])
catalog = root / "systemd/ccpd.catalog"
sys.path.insert(0, str(root / "tests/host/lib"))
sys.dont_write_bytecode = True
import manual  # noqa: E402

# A field that an entry has not shows up as its bare name: only those that all of an outcome have will do.
ALWAYS = {"CCP_ACTION", "CCP_OUTCOME", "CCP_USER", "CCP_UID"}
OF_ALERTS = {"CCP_RULE", "CCP_SEVERITY"}
OF_OUTCOME = {"ACCEPTED": {"CCP_AUDIT_SEQ"}, "SUCCEEDED": {"CCP_AUDIT_SEQ"}, "CANCELLED": {"CCP_AUDIT_SEQ"},
              "FAILED": {"CCP_AUDIT_SEQ", "CCP_ERROR"}, "DENIED": {"CCP_AUDIT_SEQ", "CCP_ERROR"}, "LOST": set()}
# Of lines that are no entries of the audit record.
OF_OTHERS = {"FLEET_RECOVERED": {"CCP_REASON", "CCP_TOTAL", "CCP_HEALTHY"}}
HEADER = ["Subject", "Defined-By", "Support", "Documentation"]

faults = []


def check(condition, fault):
    if not condition:
        faults.append(fault)


def journalctl(*args):
    return subprocess.run(["journalctl", *args], capture_output=True, text=True, check=False)


names = {number: name for name, number in re.findall(r'#define CCP_MESSAGE_(\w+) "([0-9a-f]{32})"',
                                                     (root / "include/ccp/names.h").read_text())}
text = catalog.read_text(encoding="utf-8")
entries = re.findall(r"(?ms)^-- ([0-9a-f]{32})\n(.*?)\n\n(.*?)(?=^-- |\Z)", text)

check(names, "names.h has no MESSAGE_ID")
check(text.count("\n-- ") == len(entries), "an entry has another form than the others")
check(sorted(names) == sorted(number for number, _, _ in entries),
      f"names.h has {sorted(names)}, the catalog {sorted(number for number, _, _ in entries)}")
for number, header, body in entries:
    name = names.get(number, number)
    check([line.partition(": ")[0] for line in header.splitlines()] == HEADER, f"{name} has no header of {HEADER}")
    check(body.strip(), f"{name} has no text")
    fields = set(re.findall(r"@(\w+)@", header + body))
    if name in OF_OTHERS:
        check(fields <= OF_OTHERS[name], f"{name} may come without one of {fields}")
        continue
    if name.startswith("ALERT_"):
        check(fields <= OF_ALERTS, f"{name} may come without one of {fields}")
        check(all(f"Va {field}" in manual.PAGE.with_name("ccpd.8").read_text(encoding="utf-8") for field in fields),
              f"ccpd(8) does not know one of {fields}")
        continue
    check(fields <= ALWAYS | OF_OUTCOME.get(name.removeprefix("AUDIT_"), set()), f"{name} may come without one of {fields}")
    check(fields <= set(manual.audit_fields().values()), f"org.changemaker.ccp1(5) does not know one of {fields}")

with tempfile.TemporaryDirectory() as folder:
    (pathlib.Path(folder) / "usr/lib/systemd/catalog").mkdir(parents=True)
    (pathlib.Path(folder) / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(catalog, pathlib.Path(folder) / "usr/lib/systemd/catalog")
    update = journalctl(f"--root={folder}", "--update-catalog")
    check(update.returncode == 0 and not update.stderr, f"journalctl --update-catalog: {update.stderr}")
    for number, header, body in entries:
        shown = journalctl(f"--root={folder}", "--dump-catalog", number)
        check(shown.returncode == 0 and body.strip() in shown.stdout,
              f"journalctl does not show {number}: {shown.stdout}{shown.stderr}")

for fault in faults:
    print(fault)
sys.exit(1 if faults else 0)
