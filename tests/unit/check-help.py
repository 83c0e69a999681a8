#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares what describes the same thing in several places: ccpctl's help, its man page and its completion;
the bus API of ccpd's vtables and its man page; and asks mandoc about the pages.

Usage: check-help.py CCPCTL SOURCE-ROOT CCP-BACKUP-EXTRACT
"""

import pathlib
import re
import shutil
import subprocess
import sys

ccpctl, root, extract = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
faults = []


def compare(what, a, in_a, b, in_b):
    for x in sorted(a - b):
        faults.append(f"{what} '{x}' is in {in_a}, but not in {in_b}")
    for x in sorted(b - a):
        faults.append(f"{what} '{x}' is in {in_b}, but not in {in_a}")


def help_of(*words, program=ccpctl):
    return subprocess.run([program, *words, "--help"], check=True, capture_output=True, text=True,
                          env={"LC_ALL": "C.UTF-8"}).stdout


def options_in(text):
    return set(re.findall(r"(?m)^  (?:-\w|  ) --([a-z-]+)", text)), set(re.findall(r"(?m)^  -(\w) --", text))


def check_ccpctl():
    text = help_of()
    nouns = "job|backup|storage|restore|key|health|blueprint|port|role|alert|audit|secret|settings"
    verbs = set(re.findall(rf"(?m)^  ((?:(?:{nouns}) )?[a-z][a-z-]*)\b", text))
    options, letters = options_in(text)
    of_verb = {}
    for verb in verbs:
        own = help_of(*verb.split())
        section = re.search(r"(?ms)^Options of this verb:\n(.*?)(?:\n\n|\Z)", own)
        of_verb[verb] = options_in(section.group(1))[0] if section else set()

    page = (root / "man/ccpctl.1").read_text()
    items = re.findall(r"(?m)^\.It (.*)", page)
    compare("the verb", verbs, "the help",
            {re.match(rf"Cm ((?:(?:{nouns}) )?[a-z][a-z-]*)", i).group(1) for i in items if i.startswith("Cm ")},
            "the man page")
    flags = " ".join(i for i in items if i.startswith("Fl "))
    compare("the option", options, "the help", set(re.findall(r"Fl Fl ([a-z-]+)", flags)), "the man page")
    compare("the letter", letters, "the help", set(re.findall(r"Fl (\w)\b", flags)), "the man page")

    completion = (root / "src/ctl/ccpctl.bash-completion").read_text()
    table = dict((k.strip('"'), set(re.findall(r"--([a-z-]+)", v)))
                 for k, v in re.findall(r'(?m)^\s+\[("?[a-z -]+"?)\]="([^"]*)"', completion))
    compare("the verb", verbs, "the help", set(table), "the completion")
    for verb in sorted(verbs & set(table)):
        compare(f"of '{verb}' the option", of_verb[verb], "the help", table[verb], "the completion")
    actions = set(re.findall(r'\[AUDIT_\w+\] = "([A-Z_]+)"', (root / "src/core/audit.c").read_text()))
    compare("the action", actions, "the record", set(re.findall(r"\b[A-Z]+_[A-Z]+\b", re.search(
        r"--action\)(.*?);;", completion, re.S).group(1))), "the completion")
    compare("the action", actions, "the record", set(re.findall(r"\b[A-Z]+_[A-Z]+\b", re.search(
        r"\n\.It Fl Fl action.*?\n\.It ", page, re.S).group(0))), "the man page")
    everywhere = set(re.findall(r"--([a-z-]+)", re.search(r'everywhere="([^"]*)"', completion).group(1)))
    compare("the option", options - set().union(*of_verb.values()), "the help", everywhere, "the completion")
    valued = {o for o in re.findall(r"--([a-z-]+)=", text)}
    compare("the option with a value", valued, "the help",
            set(re.findall(r"--([a-z-]+)", re.search(r'with_value="([^"]*)"', completion).group(1))),
            "the completion")


def check_extract():
    text = help_of(program=extract)
    options, letters = options_in(text)
    page = (root / "man/ccp-backup-extract.1").read_text()
    flags = " ".join(re.findall(r"(?m)^\.It (Fl .*)", page))
    compare("of ccp-backup-extract the verb", set(re.findall(r"(?m)^  ([a-z]+)\b", text)), "the help",
            set(re.findall(r"(?m)^\.It Cm ([a-z]+)$", page)), "the man page")
    compare("of ccp-backup-extract the option", options, "the help", set(re.findall(r"Fl Fl ([a-z-]+)", flags)), "the man page")
    compare("of ccp-backup-extract the letter", letters, "the help", set(re.findall(r"Fl (\w)\b", flags)), "the man page")


def page_names(page, section, macro):
    """What the items of a section (.Sh) describe, by the macro that names them: Fn, Va or Sy."""
    body = re.search(rf"(?ms)^\.Sh {section}\n(.*?)(?=^\.Sh |\Z)", page).group(1)
    names = set()
    for item in re.findall(rf"(?m)^\.It ({macro} .*)", body):
        if macro == "Fn":
            names.add(item.split()[1])
            continue
        item = re.sub(r"P[oq] Sy \S+( Pc)?", "", item)
        names |= set(re.findall(r"[A-Z]\w+", re.sub(rf"\b{macro} ", "", item)))
    return names


def check_bus():
    page = (root / "man/org.changemaker.ccp1.5").read_text()
    for section in ("MANAGER", "INSTANCE", "JOB", "BLUEPRINT"):
        source = (root / f"src/daemon/ccpd-{section.lower()}-bus.c").read_text()
        compare(f"the method or signal of {section.lower()}",
                set(re.findall(r'SD_BUS_(?:METHOD|SIGNAL)\w*\(\s*"(\w+)"', source)), "the vtable",
                page_names(page, section, "Fn"), "the man page")
        compare(f"the property of {section.lower()}", set(re.findall(r'SD_BUS_PROPERTY\("(\w+)"', source)),
                "the vtable", page_names(page, section, "Va"), "the man page")

    names = (root / "include/ccp/names.h").read_text()
    compare("the error", set(re.findall(r'CCP_ERROR\("(\w+)"\)', names)), "names.h",
            page_names(page, "ERROR NAMES", "Sy"), "the man page")


def check_pages():
    if not shutil.which("mandoc"):
        return
    for page in sorted((root / "man").glob("*.[1-8]")):
        out = subprocess.run(["mandoc", "-Tlint", page], capture_output=True, text=True,
                             check=False).stdout
        # Which other manuals are installed here says nothing about the page.
        faults.extend(line for line in out.splitlines() if "referenced manual not found" not in line)


check_ccpctl()
check_extract()
check_bus()
check_pages()
for fault in faults:
    print(fault)
sys.exit(1 if faults else 0)
