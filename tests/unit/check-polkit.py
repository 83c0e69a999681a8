#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Asks the rules for polkit what they answer, in the engine that polkitd has, and compares them with the actions, with names.h,
with the bus interfaces and with the tables and examples of org.changemaker.ccp1(5).

Usage: check-polkit.py SOURCE-ROOT POLICY, the latter with its translations
"""

import ctypes
import ctypes.util
import json
import pathlib
import re
import sys
import xml.etree.ElementTree

root, policy = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path.insert(0, str(root / "tests/host/lib"))
sys.dont_write_bytecode = True
import manual  # noqa: E402

OPERATE, DELETE = f"{manual.NAME}.operate", f"{manual.NAME}.delete"
ROLES = ("admin", "operator", "viewer", "client")
DETAILS = {"instance", "role", "owner", "verb"}
LANGUAGES = [line for line in (root / "po/LINGUAS").read_text().split("\n") if line and not line.startswith("#")]
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

faults = []


def check(condition, fault):
    if not condition:
        faults.append(fault)


def compare(what, expected, found):
    check(expected == found, f"{what}: {found!r} instead of {expected!r}")


# What polkitd puts around the rules (polkit(8), AUTHORIZATION RULES).
POLKIT = """
var polkit = { Result: { NO: "no", YES: "yes", AUTH_SELF: "auth_self", AUTH_SELF_KEEP: "auth_self_keep", AUTH_ADMIN: "auth_admin",
                         AUTH_ADMIN_KEEP: "auth_admin_keep", NOT_HANDLED: null }, rules: [] };
polkit.addRule = function(rule) { polkit.rules.push(rule); };
function ask(id, details, user, groups) {
    var action = { id: id, lookup: function(key) { return details.hasOwnProperty(key) ? details[key] : undefined; } };
    var subject = { user: user, isInGroup: function(group) { return groups.indexOf(group) >= 0; } };
    for (var n = 0; n < polkit.rules.length; n++) {
        var answer = polkit.rules[n](action, subject);
        if (answer)
            return answer;
    }
    return null;
}
"""


class Rules:
    """Rules of polkit in Duktape, asked in the order in which they are given."""

    def __init__(self, *texts):
        name = ctypes.util.find_library("duktape")
        assert name, "libduktape is not installed; polkitd needs it too"
        self.library = ctypes.CDLL(name)
        self.library.duk_create_heap.restype = ctypes.c_void_p
        self.library.duk_create_heap.argtypes = [ctypes.c_void_p] * 5
        self.library.duk_eval_raw.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint]
        self.library.duk_safe_to_lstring.restype = ctypes.c_char_p
        self.library.duk_safe_to_lstring.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        self.library.duk_pop.argtypes = [ctypes.c_void_p]
        self.library.duk_destroy_heap.argtypes = [ctypes.c_void_p]
        self.context = self.library.duk_create_heap(None, None, None, None, None)
        for text in (POLKIT, *texts):
            self.evaluate(text + "\n'';")

    def __del__(self):
        self.library.duk_destroy_heap(self.context)

    def evaluate(self, text):
        # As duk_peval_string(): evaluate, safely, without source, by strlen(), without a file's name.
        failed = self.library.duk_eval_raw(self.context, text.encode(), 0, 1 << 3 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 11)
        result = self.library.duk_safe_to_lstring(self.context, -1, None).decode()
        self.library.duk_pop(self.context)
        if failed:
            raise AssertionError(f"{result} in:\n{text}")
        return result

    def ask(self, action, user="somebody", groups=(), **details):
        arguments = json.dumps([action, details, user, list(groups)])
        return json.loads(self.evaluate(f"JSON.stringify(ask.apply(null, {arguments}))"))


def file(name):
    return (root / "polkit" / name).read_text(encoding="utf-8")


def read_policy():
    """Checks the actions; returns their names."""
    actions = {action.get("id"): action for action in xml.etree.ElementTree.parse(policy).getroot().findall("action")}
    names = (root / "include/ccp/names.h").read_text()
    compare("the actions of names.h",
            {manual.NAME + name for name in re.findall(r'#define CCP_ACTION_\w+ CCP_BUS_NAME "(\.[a-z-]+)"', names)}, set(actions))
    for name, action in actions.items():
        compare(f"the defaults of {name}", {"allow_any": "no", "allow_inactive": "no", "allow_active": "no"},
                {child.tag: child.text for child in action.find("defaults")})
        # Without it polkitd lets only root ask.
        compare(f"the annotations of {name}", {"org.freedesktop.policykit.owner": "unix-user:ccpd"},
                {child.get("key"): child.text for child in action.findall("annotate")})
        for tag in ("description", "message"):
            texts = {child.get(XML_LANG): child.text for child in action.findall(tag)}
            compare(f"the languages of the {tag} of {name}", {None, *LANGUAGES}, set(texts))
            shown = {language: re.findall(r"\$\((.*?)\)", text) for language, text in texts.items()}
            for language, variables in shown.items():
                compare(f"what the {tag} of {name} shows in {language}", shown[None], variables)
                check(set(variables) <= DETAILS, f"the {tag} of {name} shows what ccpd does not tell: {variables}")
    return set(actions)


def check_defaults_have_reasons():
    source = file(f"{manual.NAME}.policy").splitlines()
    for above, line in zip(source, source[1:]):
        check("<defaults>" not in line or above.endswith("-->"), f"defaults without a reason, after: {above}")


def check_shipped(actions):
    rules = Rules(file("50-ccpd.rules"))
    words = {"yes": "yes", "no": "no", "auth_self": "asks", "auth_self_keep": "asks"}
    page = manual.actions()
    compare("the actions of the manual page", actions, set(page))
    for action in sorted(actions):
        found = {role: words[rules.ask(action, role=role, instance="a", verb="get", owner="")] for role in ROLES}
        compare(f"the answers to {action}", page[action][0], found)
        for role in ("", "ADMIN", "root", "constructor", "__proto__", "hasOwnProperty", "toString"):
            compare(f"the answer to {action} for the role '{role}'", "no", rules.ask(action, role=role, instance="a"))
        compare(f"the answer to {action} without a role", "no", rules.ask(action))
        # The socket of the metrics has a user of its own.
        compare(f"the answer to {action} for ccpd-metrics", "yes" if action.endswith(".view-metrics") else "no",
                rules.ask(action, user="ccpd-metrics", role=""))
        # But for that nothing but the role counts.
        compare(f"the answer to {action} for a user of a role's name", "no",
                rules.ask(action, user="admin", groups=["admin", "root"], role=""))
    # The password is asked for each time, but for what takes two calls.
    compare("the actions that ask once", {f"{manual.NAME}.manage-keys"},
            {action for action in actions if rules.ask(action, role="admin") == "auth_self_keep"})
    for other in ("org.freedesktop.systemd1.manage-units", manual.NAME, f"{manual.NAME}.erase", f"{manual.NAME}0.view", "view",
                  "__proto__", "constructor", ""):
        compare(f"the answer to '{other}'", None, rules.ask(other, role="admin"))


def check_units():
    rules = Rules(file("60-ccpd.rules"), file("50-ccpd.rules"))
    manage = "org.freedesktop.systemd1.manage-units"
    for verb in ("start", "stop", "reset-failed"):
        for unit in ("ccp-job@12.service", "ccp-transfer@12.service", "ccp-health@30s.timer", "ccp-health@5min.timer", "ccp-health@1h.timer",
                     "ccp-schedule@daily.timer", "ccp-schedule@Mon..Fri\\x2000-2:00.timer", "ccp-schedule@" + "\\x2a" * 59 + ".timer",
                     "ccp-health.service", "ccp-alert-webhook.service", "ccp-alert-mail.service", "ccp-master-key@next.service",
                     "ccp-master-key@retire.service"):
            compare(f"{verb} {unit}", "yes", rules.ask(manage, user="ccpd", verb=verb, unit=unit))
    for user, verb, unit in (("other", "start", "ccp-job@12.service"), ("ccpd", "restart", "ccp-job@12.service"),
                             ("ccpd", "set-property", "ccp-job@12.service"), ("ccpd", "start", "docker.service"),
                             ("ccpd", "start", "ccp-transfer@0.service"), ("ccpd", "start", "ccp-transfer@.service"),
                             ("ccpd", "start", "ccp-storage@1.service"), ("ccpd", "start", "ccp-job@0.service"), ("ccpd", "start", "ccp-job@x.service"),
                             ("ccpd", "start", "ccp-job@1.service.d"), ("ccpd", "start", "a-ccp-job@1.service"),
                             ("ccpd", "start", "ccp-health@0s.timer"), ("ccpd", "start", "ccp-health@30.timer"),
                             ("ccpd", "start", "ccp-health@30s.service"), ("ccpd", "start", "ccp-health@30s.timer\n"),
                             ("ccpd", "start", "ccp-health@30s.timer.d"), ("ccpd", "start", "ccp-health@.timer"),
                             ("ccpd", "start", "ccp-schedule@.timer"), ("ccpd", "start", "ccp-schedule@daily.service"),
                             ("ccpd", "start", "ccp-schedule@daily.timer\n"), ("ccpd", "start", "ccp-schedule@a b.timer"),
                             ("ccpd", "start", "ccp-schedule@a/b.timer"), ("ccpd", "start", "ccp-schedule@a\\xZZ.timer"),
                             ("ccpd", "start", "ccp-schedule@" + "a" * 237 + ".timer"),
                             ("ccpd", "start", "a-ccp-health.service"), ("ccpd", "start", "ccp-healthxservice"),
                             ("ccpd", "start", "ccp-master-key@.service"), ("ccpd", "start", "ccp-master-key@other.service"),
                             ("ccpd", "start", "ccp-master-key@next.service\n"), ("ccpd", "start", "a-ccp-master-key@next.service"),
                             ("ccpd", "start", "ccp-alert-other.service"), ("ccpd", "start", "ccp-alert-mail.service.d"),
                             ("ccpd", "start", "ccp-alert-mail.socket"), ("ccpd", "restart", "ccp-alert-mail.service"),
                             ("ccpd", "start", "ccp-job@1.service\n"), ("ccpd", "start", "ccp-job@" + "1" * 20 + ".service")):
        compare(f"{user}, {verb}, {unit!r}", None, rules.ask(manage, user=user, verb=verb, unit=unit))
    compare("a question without a unit", None, rules.ask(manage, user="ccpd"))


def check_examples():
    nightshift, sundays = manual.site_rules()
    for order in ((nightshift, sundays), (sundays, nightshift)):
        rules = Rules(*order, file("50-ccpd.rules"))
        may = {"role": "client", "instance": "edmonton", "verb": "restart"}
        for groups, details, answer in ((["nightshift"], {}, "yes"), ([], {}, "no"), (["nightshift"], {"instance": "calgary"}, "no"),
                                        (["nightshift"], {"instance": ""}, "no"), (["nightshift"], {"verb": "stop"}, "no")):
            compare(f"the nightshift example for {groups}, {details}", answer, rules.ask(OPERATE, groups=groups, **may | details))
        compare("the nightshift example for a delete", "no", rules.ask(DELETE, groups=["nightshift"], **may))
        for day in range(7):
            rules.evaluate(f"Date.prototype.getDay = function() {{ return {day}; }}; ''")
            compare(f"the Sunday example on day {day}", "no" if day == 0 else "yes",
                    rules.ask(DELETE, role="admin", instance="edmonton", verb="delete"))
            compare(f"the Sunday example for a stop on day {day}", "yes",
                    rules.ask(OPERATE, role="admin", instance="edmonton", verb="stop"))


def check_calls():
    """The table of calls agrees with that of the actions, and has all that the bus interfaces have."""
    page, calls = manual.actions(), manual.calls()
    for call in calls:
        if not call.action:
            continue
        for role in ROLES:
            answer = page[call.action][0][role]
            check(call.answers[role] in ({"yes", "own"} if answer == "yes" else {answer}),
                  f"{call.member} says {call.answers[role]} for {role}, but {call.action} {answer}")
        client = call.answers["client"]
        check(call.answers["other"] == ("own" if client == "own" else "no") and call.answers["none"] == "no",
              f"{call.member} tells others of an instance")
    compare("the actions of the calls", set(page), {call.action for call in calls if call.action})
    listed = {(call.interface, call.member) for call in calls}
    check(len(listed) == len(calls), "a call is in the table twice")
    for interface in root.glob(f"dbus/{manual.NAME}.*.xml"):
        for element in xml.etree.ElementTree.parse(interface).getroot().find("interface"):
            member = {"method": element.get("name"), "property": "*"}.get(element.tag)
            check(not member or (interface.stem, member) in listed, f"{interface.stem}.{element.get('name')} is not in the table")


check_defaults_have_reasons()
check_shipped(read_policy())
check_units()
check_examples()
check_calls()
for text in faults:
    print(text)
sys.exit(1 if faults else 0)
