# SPDX-License-Identifier: LGPL-2.1-or-later
"""What org.changemaker.ccp1(5) says of authorization, as tests compare it with what is."""

import collections
import pathlib
import re

NAME = 'org.changemaker.ccp1'
PAGE = pathlib.Path(__file__).parents[3] / 'man' / f'{NAME}.5'

# The interfaces that the page calls by a short name.
INTERFACES = {
    'ObjectManager': 'org.freedesktop.DBus.ObjectManager',
    'Introspectable': 'org.freedesktop.DBus.Introspectable',
    'Peer': 'org.freedesktop.DBus.Peer',
    'LogControl1': 'org.freedesktop.LogControl1',
}

# A line of the table of calls: `answers` by column.
Call = collections.namedtuple('Call', 'interface member action answers')


def page():
    return PAGE.read_text(encoding='utf-8')


def section(title):
    return re.search(rf'(?ms)^\.S[sh] {title}\n(.*?)(?=^\.S[sh] |\Z)', page()).group(1)


def rows(title):
    """The rows of the first table of a section, as lists of words; the first is the heading."""
    table = re.search(r'(?ms)^\.Bl -column .*?\n(.*?)^\.El', section(title)).group(1)
    found = []
    for item in re.findall(r'(?m)^\.It (.*)', table):
        cells = [re.sub(r'\b(Em|Sy|Fn|Va|No)\b ?', '', cell).strip() for cell in item.split(' Ta')]
        found.append(cells)
    assert all(len(cells) == len(found[0]) for cells in found), found
    return found


def calls():
    """The table of calls: a list of Call. The member is a method, '*' for all properties, and for Retry, whose action depends on
    the job, 'Retry', 'Retry of a create' and 'Retry of a delete'."""
    heading, *body = rows('What each role may do')
    found, interface, method = [], None, None
    for first, action, *answers in body:
        if not action:
            interface = INTERFACES.get(first, f'{NAME}.{first}')
            continue
        if first == 'all properties':
            member = '*'
        elif first.startswith('of '):
            member = f'{method} {first}'
        else:
            member = method = first
        found.append(Call(interface, member, None if action == '-' else f'{NAME}.{action}', dict(zip(heading[2:], answers))))
    return found


def actions():
    """The table of polkit's actions: the answers by role, and the verbs, of each."""
    heading, *body = rows('Actions of polkit')
    return {f'{NAME}.{action}': (dict(zip(heading[1:-1], answers)), verbs.split()) for action, *answers, verbs in body}


def site_rules():
    """The two examples of a site's own rules: nightshift, Sundays."""
    return re.findall(r'(?ms)^\.Bd -literal[^\n]*\n(polkit\.addRule.*?)^\.Ed', section('How a site answers differently'))


def audit_fields():
    """The journal's field of each of QueryAudit's keys, '-' for none."""
    return {key: field for key, field, _ in rows('Fields of an entry')[1:]}
