# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rules and actions as polkitd understands them, asked by the user ccpd about others, as ccpd does. What ccpd makes of the
answers is in test_roles.py."""

import threading

import pytest

import manual
from terminal import Terminal
from users import Caller, add_user

IMAGES = None

POLKIT = 'org.freedesktop.PolicyKit1'
AUTHORITY = '/org/freedesktop/PolicyKit1/Authority'
ROLES = ('admin', 'operator', 'viewer', 'client')
ACTIONS = sorted(manual.actions())
OPERATE, DELETE, REVEAL = (f'{manual.NAME}.{action}' for action in ('operate', 'delete', 'reveal-secret'))
PASSWORD = 'correct horse battery'
# A Sunday and the Monday after it, as libfaketime takes them.
SUNDAY, MONDAY = '@2026-11-22 12:00:00', '@2026-11-23 12:00:00'


class People:
    """Connections of users, and the questions of ccpd about them."""

    def __init__(self, server):
        self.server = server
        add_user(server, 'mary', password=PASSWORD)
        self.callers = {name: Caller(server, name) for name in ('ccpd', 'mary')}
        self.callers['root'] = Caller(server)

    def join(self, name, *groups):
        add_user(self.server, name, groups=groups)
        self.callers[name] = Caller(self.server, name)

    def authority(self, member, signature, *arguments, by='ccpd', **options):
        return self.callers[by].call(AUTHORITY, f'{POLKIT}.Authority', member, signature, *arguments, destination=POLKIT, **options)[0]

    def ask(self, action, whom='mary', by='ccpd', interactive=False, **details):
        """What polkit answers, in the words of the manual page."""
        subject = ['system-bus-name', {'name': ['s', self.callers[whom].name]}]
        allowed, challenge, _ = self.authority('CheckAuthorization', '(sa{sv})sa{ss}us', subject, action, details, int(interactive), '',
                                               by=by, timeout=60)
        return 'yes' if allowed else 'asks' if challenge else 'no'


@pytest.fixture(scope='module')
def people(server):
    people = People(server)
    yield people
    for caller in people.callers.values():
        caller.__exit__()


@pytest.fixture
def rules(server):
    """Puts rules into a file of /etc or another folder, for one test."""
    written = []

    def put(text, file='/etc/polkit-1/rules.d/10-site.rules'):
        written.append(file)
        server.write(file, text)
        server.sh('systemctl reload polkit')

    yield put
    server.run(['rm', '-f', *written])
    server.sh('systemctl reload polkit')


def answer(action, result):
    return (f'polkit.addRule(function(action, subject) {{ if (action.id === "{action}") '
            f'return polkit.Result.{result}; }});\n')


@pytest.mark.parametrize('action', ACTIONS)
def test_a_role_gets_what_the_page_says(people, action):
    expected, verbs = manual.actions()[action]
    for verb in verbs:
        for instance in ('', 'edmonton'):
            found = {role: people.ask(action, instance=instance, role=role, owner='', verb=verb) for role in ROLES}
            assert found == expected
    for role in ('', 'root', 'constructor', '__proto__'):
        assert people.ask(action, instance='edmonton', role=role, owner='', verb=verbs[0]) == 'no'
    assert people.ask(action) == 'no'
    assert people.ask(action, 'root', instance='edmonton', role='', owner='', verb=verbs[0]) == 'yes'


def test_nobody_can_tell_polkit_a_role_but_ccpd(people):
    with pytest.raises(Exception, match='Only trusted callers'):
        people.ask(OPERATE, by='mary', role='admin')
    with pytest.raises(Exception, match='Only trusted callers'):
        people.ask(OPERATE, 'root', by='mary')
    assert people.ask(OPERATE, by='mary') == 'no'


def test_without_the_rules_nobody_may_do_anything(server, people):
    file = '/usr/share/polkit-1/rules.d/50-ccpd.rules'
    server.sh(f'mv {file} {file}.away; systemctl reload polkit')
    try:
        answers = {action: people.ask(action, instance='edmonton', role='admin', owner='', verb='get') for action in ACTIONS}
    finally:
        server.sh(f'mv {file}.away {file}; systemctl reload polkit')
    assert answers == dict.fromkeys(ACTIONS, 'no')


def test_the_first_file_by_name_answers(people, rules):
    details = {'instance': 'edmonton', 'role': 'viewer', 'owner': '', 'verb': 'stop'}
    assert people.ask(OPERATE, **details) == 'no'
    # After the shipped ones, in whichever folder.
    rules(answer(OPERATE, 'YES'), '/etc/polkit-1/rules.d/51-site.rules')
    assert people.ask(OPERATE, **details) == 'no'
    # Of the same name: /etc comes before /usr, and the shipped file is asked what it leaves open.
    rules(answer(OPERATE, 'AUTH_SELF'), '/etc/polkit-1/rules.d/50-ccpd.rules')
    assert people.ask(OPERATE, **details) == 'asks'
    assert people.ask(DELETE, **details) == 'no' and people.ask(DELETE, **details | {'role': 'admin'}) == 'yes'
    # Before them, in whichever folder.
    rules(answer(OPERATE, 'YES'), '/run/polkit-1/rules.d/10-site.rules')
    assert people.ask(OPERATE, **details) == 'yes'
    rules(answer(OPERATE, 'NO'), '/etc/polkit-1/rules.d/10-site.rules')
    assert people.ask(OPERATE, **details) == 'no'
    # It says no to an admin too, but not to root.
    assert people.ask(OPERATE, **details | {'role': 'admin'}) == 'no'
    assert people.ask(OPERATE, 'root', **details) == 'yes'


def test_a_rule_holds_as_soon_as_its_file_is_there(server, people):
    details = {'instance': 'edmonton', 'role': 'viewer', 'owner': '', 'verb': 'stop'}
    file = '/etc/polkit-1/rules.d/10-site.rules'
    server.write(file, answer(OPERATE, 'YES'))
    server.wait(lambda: people.ask(OPERATE, **details) == 'yes', what='the rule')
    server.run(['rm', file])
    server.wait(lambda: people.ask(OPERATE, **details) == 'no', what='the end of the rule')


def test_a_rule_with_a_mistake_allows_nothing(people, rules):
    details = {'instance': 'edmonton', 'role': 'client', 'owner': '', 'verb': 'stop'}
    # polkitd leaves the file out, …
    rules('polkit.addRule(function(action, subject) { return polkit.Result.YES;')
    assert people.ask(OPERATE, **details) == 'no'
    # … and answers no itself if a rule fails.
    rules('polkit.addRule(function(action, subject) { throw "no"; });')
    assert people.ask(OPERATE, **details) == 'no'


def test_the_example_of_the_nightshift(people, rules):
    server = people.server
    server.sh('groupadd nightshift')
    people.join('nina', 'nightshift')
    rules(manual.site_rules()[0])
    may = {'instance': 'edmonton', 'role': 'client', 'owner': '', 'verb': 'restart'}
    assert people.ask(OPERATE, 'nina', **may) == 'yes'
    for change in ({'verb': 'stop'}, {'instance': 'calgary'}, {'instance': ''}):
        assert people.ask(OPERATE, 'nina', **may | change) == 'no'
    assert people.ask(DELETE, 'nina', **may) == 'no'
    assert people.ask(OPERATE, 'mary', **may) == 'no'
    assert people.ask(OPERATE, 'mary', **may | {'role': 'operator'}) == 'yes'


@pytest.mark.parametrize('day, expected', [(SUNDAY, 'no'), (MONDAY, 'yes')], ids=['sunday', 'monday'])
def test_the_example_of_the_sunday(people, rules, day, expected):
    server = people.server
    rules(manual.site_rules()[1])
    server.write('/run/systemd/system/polkit.service.d/day.conf', '[Service]\nEnvironment=LD_PRELOAD=libfaketime.so.1 '
                 f'LD_LIBRARY_PATH=/usr/lib/{server.sh("uname -m")}-linux-gnu/faketime DONT_FAKE_MONOTONIC=1 "FAKETIME={day}"\n')
    server.sh('systemctl daemon-reload; systemctl restart polkit')
    try:
        details = {'instance': 'edmonton', 'role': 'admin', 'owner': ''}
        assert people.ask(DELETE, verb='delete', **details) == expected
        assert people.ask(OPERATE, verb='stop', **details) == 'yes'
    finally:
        server.sh('rm -r /run/systemd/system/polkit.service.d; systemctl daemon-reload; systemctl restart polkit')


def texts(people, locale):
    """Description and message of each action."""
    return {action[0]: action[1:3] for action in people.authority('EnumerateActions', 's', locale) if action[0] in ACTIONS}


def test_texts_come_in_the_language_of_who_reads_them(people):
    english, german = texts(people, ''), texts(people, 'de_DE.UTF-8')
    assert sorted(english) == sorted(german) == ACTIONS
    assert english[REVEAL] == ['See secrets of instances', "Authentication is required to see secrets of the instance '$(instance)'."]
    assert all(english[action][n] != german[action][n] for action in ACTIONS for n in (0, 1))
    assert texts(people, 'tlh') == english


@pytest.mark.parametrize('language, question', [
    ('C.UTF-8', "Authentication is required to see secrets of the instance 'edmonton'."),
    ('de_DE.UTF-8', 'Um Geheimnisse der Instanz »edmonton« zu sehen, ist eine Authentifizierung erforderlich.')])
@pytest.mark.parametrize('password, expected', [(PASSWORD, 'yes'), ('wrong', 'no')], ids=['right', 'wrong'])
def test_the_own_password_is_asked_for(people, language, question, password, expected):
    server = people.server
    since = server.cursor()
    pid = people.callers['mary'].call('/org/freedesktop/DBus', 'org.freedesktop.DBus', 'GetConnectionUnixProcessID', 's',
                                      people.callers['mary'].name, destination='org.freedesktop.DBus')[0]
    answers = []
    details = {'instance': 'edmonton', 'role': 'admin', 'owner': '', 'verb': 'reveal-secret'}
    with Terminal(server, 'env', f'LANG={language}', 'pkttyagent', '--process', str(pid), user='mary') as agent:
        # It does not say when it has become an agent.
        server.wait(lambda: any(f'Agent for unix-process:{pid}:' in entry['MESSAGE'] for entry in
                                server.journal(since=since, unit='polkit')), what='the agent')
        asking = threading.Thread(target=lambda: answers.append(people.ask(REVEAL, interactive=True, **details)))
        asking.start()
        shown = agent.expect('assword: ')
        assert question in shown and REVEAL in shown
        # What is typed before the agent has switched the echo off is thrown away, so somebody types it again.
        for _ in range(25):
            agent.type(password)
            asking.join(2)
            if not asking.is_alive():
                break
    assert answers == [expected]
    # A password is good for one question.
    assert people.ask(REVEAL, **details) == 'asks'
