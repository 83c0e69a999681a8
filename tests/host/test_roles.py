# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what, and who learns what: each method and property of the running daemon, called by somebody of each role, against
the table of org.changemaker.ccp1(5). Calls that are allowed have arguments that fail afterwards, so that nothing changes."""

import json
import re
import time
import xml.etree.ElementTree

import pytest

import manual
from fleet import Monitor, query
from instances import settled
from state import state
from terminal import Terminal
from test_recovery_keys import echo_is_off
from users import NAME, ROOT, BusError, Caller, add_user, enable_ssh, grant, instance_path, revoke

# Whoever is refused a change is written down.
pytestmark = pytest.mark.allow_journal(r' tried to .*: denied ')

# Somebody for each column of the table.
COLUMNS = {'admin': 'adam', 'operator': 'olga', 'viewer': 'vera', 'client': 'cleo', 'other': 'otto', 'none': 'nora'}
PASSWORD = 'correct horse battery'
PROPERTIES = 'org.freedesktop.DBus.Properties'
SECRET = 'ADMIN_TOKEN'
RULES = '/etc/polkit-1/rules.d/10-site.rules'
DROP_IN = '/run/systemd/system/polkit.service.d/test.conf'
SUNDAY, MONDAY = '@2026-11-22 12:00:00', '@2026-11-23 12:00:00'
F_SEAL_ALL = 0xf  # against new seals, shrinking, growing and writing

UNKNOWN = {'no_such_option': ['s', 'x']}
# How each method is called here: signature, arguments, and the error that an allowed call ends with, '' for none. {job} is the id
# of the job that is looked at, {backup} that of a backup.
CALLS = {
    'Manager': {
        'CreateInstance': ('ssa{sv}', ['hamilton', 'hello', UNKNOWN], 'InvalidArgument'),
        'RestoreInstance': ('ssa{sv}', ['hamilton', '{backup}', UNKNOWN], 'InvalidArgument'),
        'PlanInstance': ('ssa{sv}', ['hamilton', 'hello', UNKNOWN], 'InvalidArgument'),
        'GetInstance': ('s', ['edmonton'], ''),
        'GetJob': ('s', ['{job}'], ''),
        'GetBlueprint': ('s', ['hello'], ''),
        'ListInstances': ('a{sv}tt', [{}, 0, 10], ''),
        'ListJobs': ('a{sv}tt', [{}, 0, 10], ''),
        'ListBlueprints': ('', [], ''),
        'GetUse': ('a{sv}', [{}], ''),
        'GetMetrics': ('a{sv}', [{}], ''),
        'QueryHealth': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'Doctor': ('', [], ''),
        'ListBackups': ('a{sv}tt', [{}, 0, 10], ''),
        'VerifyBackup': ('sa{sv}', ['{backup}', UNKNOWN], 'InvalidArgument'),
        'ExportBackup': ('sa{sv}', ['{backup}', UNKNOWN], 'InvalidArgument'),
        'BeginImport': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'ImportBackup': ('sa{sv}', ['0', {}], 'InvalidArgument'),
        'DrillBackup': ('sa{sv}', ['{backup}', UNKNOWN], 'InvalidArgument'),
        'ReplicateBackup': ('sa{sv}', ['{backup}', UNKNOWN], 'InvalidArgument'),
        'FetchBackup': ('sa{sv}', ['{backup}', UNKNOWN], 'InvalidArgument'),
        'SetStorage': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'ForgetStorage': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'GetStorage': ('a{sv}', [{}], ''),
        'TestStorage': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'ListStorage': ('a{sv}tt', [UNKNOWN, 0, 10], 'InvalidArgument'),
        'OpenCopy': ('sa{sv}', ['0', {}], 'InvalidArgument'),
        'DeleteBackup': ('sa{sv}', ['{backup}', UNKNOWN], 'InvalidArgument'),
        'BackupAll': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'PlanRetention': ('sa{sv}', ['edmonton', {}], ''),
        'PruneBackups': ('sa{sv}', ['edmonton', UNKNOWN], 'InvalidArgument'),
        'ListPorts': ('', [], ''),
        'EnrollRecoveryKey': ('sa{sv}', ['CCPP1', {}], 'InvalidArgument'),
        'ConfirmRecoveryKey': ('ssa{sv}', ['0', 'CCPA1', {}], 'NoSuchChallenge'),
        'ForgetRecoveryKey': ('sa{sv}', ['0', UNKNOWN], 'InvalidArgument'),
        'ListRecoveryKeys': ('', [], ''),
        'RotateMasterKey': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'GetSettings': ('', [], ''),
        'SetSettings': ('a{sv}', [{'no_such_setting': ['s', 'x']}], 'InvalidArgument'),
        'Reload': ('', [], ''),
        'GrantRole': ('ssssa{sv}', ['emperor', 'user', 'nora', '', {}], 'InvalidArgument'),
        'RevokeRole': ('sssa{sv}', ['user', 'nora', '', UNKNOWN], 'InvalidArgument'),
        'ListRoles': ('', [], ''),
        'ListAlerts': ('a{sv}tt', [{}, 0, 10], ''),
        'ListSilences': ('', [], ''),
        'SilenceAlerts': ('sa{sv}', ['edmonton', UNKNOWN], 'InvalidArgument'),
        'UnsilenceAlerts': ('s', ['0'], 'NoSuchAlert'),
        'TestAlert': ('s', ['pigeon'], 'InvalidArgument'),
        'RevealAlertSecret': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'RotateAlertSecret': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'QueryAudit': ('a{sv}t', [{}, 1], ''),
        'VerifyAudit': ('', [], ''),
        'Subscribe': ('', [], ''),
        'Unsubscribe': ('', [], ''),
    },
    'Instance': {
        'Start': ('asa{sv}', [[], UNKNOWN], 'InvalidArgument'),
        'Stop': ('asa{sv}', [[], UNKNOWN], 'InvalidArgument'),
        'Restart': ('asa{sv}', [[], UNKNOWN], 'InvalidArgument'),
        'Backup': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'Restore': ('sa{sv}', ['{backup}', UNKNOWN], 'InvalidArgument'),
        'UndoRestore': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'DiscardRestore': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'CheckHealth': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'QueryHealth': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'Delete': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'OpenLogs': ('asa{sv}', [[], UNKNOWN], 'InvalidArgument'),
        'ReadLogs': ('asa{sv}', [[], UNKNOWN], 'InvalidArgument'),
        'SetSettings': ('a{sv}', [{'no_such_setting': ['s', 'x']}], 'InvalidArgument'),
        'SetRetention': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'GetUse': ('a{sv}', [{}], ''),
        'ListServices': ('', [], ''),
        'ListSecrets': ('', [], ''),
        'RevealSecret': ('sa{sv}', [SECRET, UNKNOWN], 'InvalidArgument'),
    },
    'Job': {
        'Cancel': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
        'Retry': ('a{sv}', [UNKNOWN], 'InvalidArgument'),
    },
    'ObjectManager': {'GetManagedObjects': ('', [], '')},
    'Introspectable': {'Introspect': ('', [], '')},
    'Peer': {'Ping': ('', [], ''), 'GetMachineId': ('', [], '')},
}


def short(interface):
    return interface.rpartition('.')[2]


class Fleet:
    """Two instances, and the jobs of one that was deleted."""

    def __init__(self, server, root):
        self.root = root
        for slug in ('edmonton', 'calgary', 'gone'):
            server.ccpctl('create', slug, '--blueprint', 'hello', '--domain', f'{slug}.example.org', '--quiet')
        server.ccpctl('restart', 'edmonton', '--quiet')
        server.ccpctl('restart', 'calgary', '--quiet')
        server.ccpctl('delete', 'gone', '--yes', '--quiet')
        for slug in ('edmonton', 'calgary'):
            settled(server, slug)
        for _ in range(2):
            server.ccpctl('backup', 'create', 'edmonton', '--quiet', timeout=120)
        latest, self.backup = [backup['id'] for backup in server.json('backup', 'list')]
        server.ccpctl('backup', 'delete', latest, '--yes', '--quiet')
        server.ccpctl('backup', 'restore', self.backup, '--quiet', timeout=300)
        settled(server, 'edmonton')
        self.all_jobs = [line.split('|') for line in query(server, 'SELECT slug, kind, id FROM jobs ORDER BY id').splitlines()]
        # The last of each kind.
        self.jobs = {(slug, kind): number for slug, kind, number in self.all_jobs}

    def job(self, slug='edmonton', kind='restart'):
        return self.jobs[slug, kind]

    def path(self, interface, kind='restart'):
        """The object that an interface is looked at on."""
        job = self.job('gone' if kind == 'delete' else 'edmonton', kind)
        return {'Instance': instance_path('edmonton'), 'Job': f'{ROOT}/job/{job}', 'Blueprint': f'{ROOT}/blueprint/hello',
                'LogControl1': '/org/freedesktop/LogControl1'}.get(short(interface), ROOT)


@pytest.fixture(scope='module')
def users(server):
    """The users, none of whom has a role yet, and a connection for each."""
    server.sh('groupadd crew; groupadd nightshift')
    for name in COLUMNS.values():
        add_user(server, name, password=PASSWORD)
    callers = {name: Caller(server, None if name == 'root' else name) for name in ('root', *COLUMNS.values())}
    yield callers
    for caller in callers.values():
        caller.__exit__()


@pytest.fixture(scope='module')
def fleet(server, users):
    return Fleet(server, users['root'])


@pytest.fixture(scope='module')
def callers(server, users, fleet):
    """The same connections, once everybody has a role."""
    for role in ('admin', 'operator', 'viewer'):
        grant(server, role, user=COLUMNS[role])
    grant(server, 'client', user='cleo', instance='edmonton')
    grant(server, 'client', user='otto', instance='calgary')
    return users


@pytest.fixture
def rules(server):
    """Puts a site's own rules into place for one test, and lines into the unit of polkitd."""
    def put(text, *service):
        server.write(RULES, text)
        # It may be restarted as often as these tests like.
        server.write(DROP_IN, '\n'.join(['[Unit]', 'StartLimitIntervalSec=0', '[Service]', *service, '']))
        server.sh('systemctl daemon-reload; systemctl restart polkit')

    yield put
    server.sh(f'rm -f {RULES} {DROP_IN}; systemctl restart polkit; systemctl daemon-reload')


def short_error(caller, *arguments, **options):
    """The last part of the name of the error, '' for none. Waits when it was too many calls."""
    for _ in range(20):
        error = caller.error(*arguments, **options)
        if not error or error.short != 'LimitExceeded':
            break
        time.sleep(0.5)
    return error.short if error else ''


def outcome(caller, path, interface, member, signature, arguments, expected):
    """What came of a call, in the words of the table; an error that no allowed call should have by its name."""
    error = short_error(caller, path, interface, member, signature, *arguments)
    return {'NotAuthorized': 'no', 'InteractiveAuthorizationRequired': 'asks', expected: 'yes'}.get(error, error or 'succeeded')


def refused(caller, *arguments, **options):
    return short_error(caller, *arguments, **options) == 'NotAuthorized'


def introspect(caller, path):
    return xml.etree.ElementTree.fromstring(caller.call(path, 'org.freedesktop.DBus.Introspectable', 'Introspect')[0])


def children(caller, path):
    return {node.get('name') for node in introspect(caller, path).findall('node')}


def walk(caller, path=ROOT):
    """The interfaces of all objects below a path: (path, interface, methods, properties)."""
    node = introspect(caller, path)
    for interface in node.findall('interface'):
        yield (path, interface.get('name'), [method.get('name') for method in interface.findall('method')],
               [prop.get('name') for prop in interface.findall('property')])
    for child in node.findall('node'):
        yield from walk(caller, f'{path.rstrip("/")}/{child.get("name")}')


# --- the installation ---


def test_after_the_installation_root_alone_may_do_anything(server, users, fleet):
    assert users['root'].manager('ListRoles') == []
    for name in COLUMNS.values():
        for interface in ('Manager', 'Instance', 'Job', 'ObjectManager', 'Introspectable'):
            full = manual.INTERFACES.get(interface, f'{NAME}.{interface}')
            for member, (signature, arguments, _) in CALLS[interface].items():
                assert refused(users[name], fleet.path(interface), full, member, signature, *arguments), (name, member)
    assert server.ccpctl('list', user='nora', check=False).returncode == 4
    assert server.ccpctl('stop', 'edmonton', '--no-ask-password', user='adam', check=False).returncode == 4


# --- the table ---


def test_the_table_has_each_call_that_there_is_and_no_other(users, fleet):
    listed = {(call.interface, call.member.partition(' ')[0]) for call in manual.calls()}
    found = set()
    for _, interface, methods, properties in walk(users['root'], '/'):
        if interface == PROPERTIES:
            continue
        found |= {(interface, method) for method in methods} | ({(interface, '*')} if properties else set())
    assert found == listed
    # Whatever is in the table is called below.
    assert {(short(interface), member) for interface, member in listed if member != '*'} == {
        (interface, member) for interface, members in CALLS.items() for member in members}


def answers(caller, fleet, column):
    """What each call of the table comes to: by interface and member, the answer that is expected and the one that came."""
    properties = {}
    for path, interface, _, names in walk(fleet.root, '/'):
        if path == fleet.path(interface):
            properties[interface] = names
    for call in manual.calls():
        method, _, kind = call.member.partition(' of a ')
        path = fleet.path(call.interface, kind or 'restart')
        # Nobody is a client of the instance that is gone.
        cell = 'other' if kind == 'delete' and column == 'client' else column
        expected = 'yes' if column == 'root' or call.answers[cell] == 'own' else call.answers[cell]
        if method != '*':
            signature, arguments, error = CALLS[short(call.interface)][method]
            arguments = [{'{job}': fleet.job(), '{backup}': fleet.backup}.get(argument, argument) if isinstance(argument, str) else argument
                         for argument in arguments]
            yield call.interface, call.member, expected, outcome(caller, path, call.interface, method, signature, arguments, error)
            continue
        for name in properties[call.interface]:
            yield call.interface, name, expected, outcome(caller, path, PROPERTIES, 'Get', 'ss', [call.interface, name], '')
        yield call.interface, 'GetAll', expected, outcome(caller, path, PROPERTIES, 'GetAll', 's', [call.interface], '')
        if call.interface.startswith(NAME):
            value = [call.interface, properties[call.interface][0], ['s', 'x']]
            yield call.interface, 'Set', expected, outcome(caller, path, PROPERTIES, 'Set', 'ssv', value, 'PropertyReadOnly')


@pytest.mark.parametrize('column', ['root', *COLUMNS])
def test_each_call_is_answered_as_the_table_says(server, fleet, callers, column):
    before = state(server)
    wrong = [line for line in answers(callers[COLUMNS.get(column, 'root')], fleet, column) if line[2] != line[3]]
    assert wrong == []
    assert state(server) == before


# --- what exists ---


def probes(slug, job):
    """The same questions about an instance and a job, there or not."""
    instance, job_path = instance_path(slug), f'{ROOT}/job/{job}'
    yield ROOT, 'Manager', 'GetInstance', 's', slug
    yield ROOT, 'Manager', 'GetJob', 's', job
    yield ROOT, 'Manager', 'ListInstances', 'a{sv}tt', {'pattern': ['s', slug]}, 0, 10
    yield ROOT, 'Manager', 'ListJobs', 'a{sv}tt', {'instance': ['s', slug]}, 0, 10
    yield ROOT, 'Manager', 'QueryAudit', 'a{sv}t', {'instance': ['s', slug]}, 10
    yield ROOT, 'Manager', 'ListAlerts', 'a{sv}tt', {'instance': ['s', slug]}, 0, 10
    yield ROOT, 'Manager', 'ListBackups', 'a{sv}tt', {'instance': ['s', slug]}, 0, 10
    yield ROOT, 'Manager', 'PlanRetention', 'sa{sv}', slug, {}
    yield ROOT, 'Manager', 'PruneBackups', 'sa{sv}', slug, {}
    yield ROOT, 'Manager', 'SilenceAlerts', 'sa{sv}', slug, {'until': ['t', 1]}
    yield ROOT, 'Manager', 'GrantRole', 'ssssa{sv}', 'client', 'user', 'nora', slug, {}
    yield ROOT, 'Manager', 'RevokeRole', 'sssa{sv}', 'user', 'cleo', slug, {}
    for call in ('CreateInstance', 'PlanInstance'):
        yield ROOT, 'Manager', call, 'ssa{sv}', slug, 'hello', {'domain': ['s', 'x.example.org']}
        yield ROOT, 'Manager', call, 'ssa{sv}', 'brand-new', 'hello', {'domain': ['s', f'{slug}.example.org']}
    for path, interface in ((instance, 'Instance'), (job_path, 'Job')):
        for member, (signature, arguments, _) in CALLS[interface].items():
            yield path, interface, member, signature, *arguments
        yield path, interface, 'NoSuchMethod', ''
        yield path, 'NoSuchInterface', 'NoSuchMethod', ''
        yield path, PROPERTIES, 'GetAll', 's', f'{NAME}.{interface}'
        yield path, PROPERTIES, 'GetAll', 's', ''
        yield path, PROPERTIES, 'Get', 'ss', f'{NAME}.{interface}', 'State'
        yield path, PROPERTIES, 'Get', 'ss', f'{NAME}.{interface}', 'NoSuchProperty'
        yield path, PROPERTIES, 'Set', 'ssv', f'{NAME}.{interface}', 'State', ['s', 'failed']
        yield path, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects', ''
        for below in (path, f'{path}/child'):
            yield below, 'org.freedesktop.DBus.Introspectable', 'Introspect', ''
    # Other ways to write the same path.
    yield f'{ROOT}/instance/_{ord(slug[0]):02x}{slug[1:]}', PROPERTIES, 'GetAll', 's', ''
    yield f'{ROOT}/job/0{job}', PROPERTIES, 'GetAll', 's', ''


def answer(caller, question, slug, job):
    """What comes back, without the names that were asked about."""
    other = f'_{ord(slug[0]):02x}{slug[1:]}'
    try:
        text = json.dumps(caller.call(*question))
    except BusError as error:
        if error.short == 'LimitExceeded':
            time.sleep(1)
            return answer(caller, question, slug, job)
        text = f'{error.name}: {error.message}'
    return re.sub(rf'\b0?{job}\b', 'JOB', text.replace(slug, 'SLUG').replace(other, 'SLUG'))


@pytest.mark.parametrize('name', ['nora', 'otto'])
def test_what_is_hidden_cannot_be_told_from_what_does_not_exist(server, fleet, callers, name):
    before = state(server)
    there, not_there = ('edmonton', fleet.job()), ('hamilton', '987654')
    told = []
    for question, same in zip(probes(*there), probes(*not_there), strict=True):
        answers_to = answer(callers[name], question, *there), answer(callers[name], same, *not_there)
        if answers_to[0] != answers_to[1]:
            told.append((question, *answers_to))
    assert told == []
    assert state(server) == before


def test_a_client_sees_the_own_instance_alone(fleet, callers):
    for name, slug in (('cleo', 'edmonton'), ('otto', 'calgary')):
        caller, jobs = callers[name], {number for owner, _, number in fleet.all_jobs if owner == slug}
        own = {instance_path(slug), *(f'{ROOT}/job/{job}' for job in jobs)}
        assert set(caller.call(ROOT, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')[0]) - {ROOT} == own
        assert [row['Slug'] for row in caller.manager('ListInstances', 'a{sv}tt', {}, 0, 1000)] == [slug]
        assert caller.manager('ListInstances', 'a{sv}tt', {}, 1, 1000) == []
        assert {row['Id'] for row in caller.manager('ListJobs', 'a{sv}tt', {}, 0, 1000)} == jobs
        assert {row['Instance'] for row in caller.manager('ListJobs', 'a{sv}tt', {}, 0, 1)} == {slug}
        assert {row[0] for row in caller.manager('ListPorts')} == {slug}
        counts = caller.call(ROOT, PROPERTIES, 'GetAll', 's', f'{NAME}.Manager')[0]
        assert {key: counts[key] for key in counts if re.match('N[A-Z]', key)} == {
            'NInstances': 1, 'NRunning': 1, 'NStopped': 0, 'NFailed': 0, 'NHealthy': 1, 'NDegraded': 0, 'NUnhealthy': 0, 'NJobs': 0, 'NAlerts': 0}
        assert caller.get(ROOT, 'Manager', 'NInstances') == 1
        assert children(caller, f'{ROOT}/instance') == {slug}
        assert children(caller, f'{ROOT}/job') == jobs
        seen = {path for path, *_ in walk(caller)}
        assert own <= seen
        assert not [path for path in seen - own if path.startswith((f'{ROOT}/instance/', f'{ROOT}/job/', f'{ROOT}/blueprint/'))]
    # The same calls show everything to who has a role for the fleet.
    paths = set(callers['vera'].call(ROOT, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')[0])
    assert {instance_path('edmonton'), instance_path('calgary'), f'{ROOT}/blueprint/hello'} <= paths
    assert callers['vera'].get(ROOT, 'Manager', 'NInstances') == 2


# --- signals ---


def heard(caller, daemon, seconds=1.0):
    return [signal for signal in caller.signals(seconds) if signal[0] == daemon]


def owner(caller):
    driver = 'org.freedesktop.DBus'
    return caller.call('/org/freedesktop/DBus', driver, 'GetNameOwner', 's', NAME, destination=driver)[0]


def test_signals_tell_each_subscriber_what_he_may_see(server, callers):
    daemon = owner(callers['root'])
    subscribers = [callers[name] for name in ('root', 'vera', 'cleo', 'otto')]
    for caller in subscribers:
        caller.manager('Subscribe')
    assert refused(callers['nora'], ROOT, 'Manager', 'Subscribe')
    for caller in callers.values():
        caller.signals(0)
    with Monitor(server) as monitor:
        server.ccpctl('restart', 'calgary', '--quiet')
        news = {name: heard(caller, daemon) for name, caller in callers.items()}
    # Nothing goes to all.
    sent = [message for message in monitor.messages if message['type'] == 'signal' and message['sender'] == daemon]
    assert sent and all(message.get('destination') for message in sent)

    for name in ('root', 'vera', 'otto'):
        members = {(signal[1].split('/')[-2], signal[3]) for signal in news[name]}
        assert ('instance', 'PropertiesChanged') in members and ('job', 'PropertiesChanged') in members, name
        assert {'JobNew', 'JobRemoved'} <= {signal[3] for signal in news[name]}, name
    assert 'AuditAppended' in {signal[3] for signal in news['vera']} and 'AuditAppended' in {signal[3] for signal in news['root']}
    assert 'AuditAppended' not in {signal[3] for signal in news['otto']}
    # Not even that something happened.
    assert news['cleo'] == []
    # They may see it, but did not subscribe; or did, and may not.
    assert (news['adam'], news['olga'], news['nora']) == ([], [], [])

    for caller in subscribers:
        caller.manager('Unsubscribe')
        caller.signals(0)
    server.ccpctl('restart', 'calgary', '--quiet')
    assert [heard(caller, daemon) for caller in subscribers] == [[]] * len(subscribers)


def test_a_new_instance_is_announced_to_who_may_see_it(server, callers):
    daemon = owner(callers['root'])
    for name in ('vera', 'cleo'):
        callers[name].manager('Subscribe')
        callers[name].signals(0)
    server.ccpctl('create', 'brief', '--blueprint', 'hello', '--domain', 'brief.example.org', '--quiet')
    server.ccpctl('delete', 'brief', '--yes', '--quiet')
    news = heard(callers['vera'], daemon)
    for member in ('InterfacesAdded', 'InterfacesRemoved'):
        assert instance_path('brief') in [signal[4][0] for signal in news if signal[3] == member]
    assert heard(callers['cleo'], daemon) == []
    for name in ('vera', 'cleo'):
        callers[name].manager('Unsubscribe')


# --- roles come and go ---


def test_a_role_holds_at_once_for_who_is_connected(server, callers):
    nora, daemon = callers['nora'], owner(callers['root'])

    def sees():
        return short_error(nora, ROOT, 'Manager', 'GetInstance', 's', 'calgary') == ''

    def operates():
        return short_error(nora, instance_path('calgary'), 'Instance', 'Stop', 'asa{sv}', [], UNKNOWN) == 'InvalidArgument'

    for role, expected in (('client', (True, False)), ('viewer', (True, False)), ('operator', (True, True)), ('admin', (True, True))):
        assert not sees() and not operates()
        instance = 'calgary' if role == 'client' else None
        grant(server, role, user='nora', instance=instance)
        assert (sees(), operates()) == expected, role
        revoke(server, user='nora', instance=instance)
    assert not sees() and not operates()

    # Whoever loses the role hears no more, though still subscribed.
    grant(server, 'viewer', user='nora')
    nora.manager('Subscribe')
    server.ccpctl('restart', 'calgary', '--quiet')
    assert heard(nora, daemon)
    revoke(server, user='nora')
    nora.signals(0.5)
    server.ccpctl('restart', 'calgary', '--quiet')
    assert heard(nora, daemon) == []


def test_a_group_gives_its_role_to_its_members(server, callers):
    add_user(server, 'gina', groups=['crew'])
    with Caller(server, 'gina') as gina:
        assert refused(gina, ROOT, 'Manager', 'ListInstances', 'a{sv}tt', {}, 0, 10)
        grant(server, 'viewer', group='crew')
        assert len(gina.manager('ListInstances', 'a{sv}tt', {}, 0, 10)) == 2
        assert refused(gina, instance_path('edmonton'), 'Instance', 'Stop', 'asa{sv}', [], UNKNOWN)
        # The most powerful counts.
        grant(server, 'operator', user='gina', instance='edmonton')
        assert short_error(gina, instance_path('edmonton'), 'Instance', 'Stop', 'asa{sv}', [], UNKNOWN) == 'InvalidArgument'
        assert refused(gina, instance_path('calgary'), 'Instance', 'Stop', 'asa{sv}', [], UNKNOWN)
        revoke(server, group='crew')
        assert [row['Slug'] for row in gina.manager('ListInstances', 'a{sv}tt', {}, 0, 10)] == ['edmonton']
        revoke(server, user='gina', instance='edmonton')
        assert refused(gina, ROOT, 'Manager', 'ListInstances', 'a{sv}tt', {}, 0, 10)
    # The group of the same number has another name now.
    grant(server, 'viewer', group='crew')
    with Caller(server, 'gina') as gina:
        assert short_error(gina, ROOT, 'Manager', 'ListPorts') == ''
    server.sh('groupmod --new-name gang crew')
    with Caller(server, 'gina') as gina:
        assert refused(gina, ROOT, 'Manager', 'ListPorts')
    # What is left of it can be taken away.
    revoke(server, group='crew')


def test_a_role_for_one_instance_is_a_clients_for_the_fleet(server, callers):
    add_user(server, 'iris')
    grant(server, 'admin', user='iris', instance='edmonton')
    with Caller(server, 'iris') as iris:
        for member in ('Start', 'Delete'):
            signature, arguments, expected = CALLS['Instance'][member]
            assert short_error(iris, instance_path('edmonton'), 'Instance', member, signature, *arguments) == expected
            assert refused(iris, instance_path('calgary'), 'Instance', member, signature, *arguments)
        assert short_error(iris, instance_path('edmonton'), 'Instance', 'ListSecrets') == 'InteractiveAuthorizationRequired'
        for member in ('CreateInstance', 'SetSettings', 'GrantRole', 'ListRoles', 'QueryAudit', 'ListBlueprints', 'GetSettings'):
            signature, arguments, _ = CALLS['Manager'][member]
            assert refused(iris, ROOT, 'Manager', member, signature, *arguments), member
        assert [row['Slug'] for row in iris.manager('ListInstances', 'a{sv}tt', {}, 0, 10)] == ['edmonton']
    revoke(server, user='iris', instance='edmonton')


def test_a_role_goes_with_its_instance(server, callers):
    def create():
        server.ccpctl('create', 'brief', '--blueprint', 'hello', '--domain', 'brief.example.org', '--quiet')

    create()
    grant(server, 'client', user='nora', instance='brief')
    assert callers['nora'].get(instance_path('brief'), 'Instance', 'Slug') == 'brief'
    server.ccpctl('delete', 'brief', '--yes', '--quiet')
    assert not [row for row in callers['root'].manager('ListRoles') if row[4] == 'brief']
    create()
    assert refused(callers['nora'], ROOT, 'Manager', 'GetInstance', 's', 'brief')
    server.ccpctl('delete', 'brief', '--yes', '--quiet')


def test_a_role_belongs_to_name_and_number(server, callers):
    add_user(server, 'pat', uid=4001)
    grant(server, 'viewer', user='pat')
    with Caller(server, 'pat') as pat:
        assert short_error(pat, ROOT, 'Manager', 'ListPorts') == ''
    # The same number, another name; the same name, another number.
    until_free(server, 'usermod --login quinn pat && groupmod --new-name quinn pat')
    add_user(server, 'pat', uid=4002)
    for name in ('quinn', 'pat'):
        with Caller(server, name) as caller:
            assert refused(caller, ROOT, 'Manager', 'ListPorts'), name
    # ListRoles tells what was granted, and it can be taken away after its user is gone.
    assert [row[:5] for row in callers['root'].manager('ListRoles') if row[2] == 'pat'] == [['viewer', 'user', 'pat', '4001', '']]
    until_free(server, 'userdel quinn && userdel pat')
    revoke(server, user='pat')
    assert 'pat' not in {row[2] for row in callers['root'].manager('ListRoles')}


def until_free(server, script):
    """Changes a user, as soon as the processes of connections that ended are gone."""
    server.wait(lambda: server.run(['sh', '-c', script], check=False).returncode == 0, what=script, interval=0.3)


def test_a_name_that_nobody_has_gets_no_role(server, callers):
    before = callers['root'].manager('ListRoles')
    for kind in ('user', 'group'):
        for name in ('nobody-there', 'root' if kind == 'user' else '', 'a b', '1000', '-x', 'n' * 300):
            error = callers['root'].error(ROOT, 'Manager', 'GrantRole', 'ssssa{sv}', 'viewer', kind, name, '', {})
            assert error and error.short == 'InvalidArgument', (kind, name, error)
    result = server.ccpctl('role', 'grant', 'viewer', '--user', 'nobody-there', check=False)
    assert result.returncode == 2 and 'nobody-there' in result.stderr
    for wrong in (['emperor', 'user', 'nora', ''], ['viewer', 'robot', 'nora', ''], ['client', 'user', 'nora', '']):
        assert callers['root'].error(ROOT, 'Manager', 'GrantRole', 'ssssa{sv}', *wrong, {}).short == 'InvalidArgument', wrong
    for member, signature, arguments, expected in (
            ('GrantRole', 'ssssa{sv}', ['viewer', 'user', 'nora', 'hamilton', {}], 'NoSuchInstance'),
            ('RevokeRole', 'sssa{sv}', ['user', 'nora', '', {}], 'NoSuchRole'),
            ('RevokeRole', 'sssa{sv}', ['user', 'nobody-there', '', {}], 'NoSuchRole')):
        assert callers['root'].error(ROOT, 'Manager', member, signature, *arguments).short == expected
    assert callers['root'].manager('ListRoles') == before


def test_a_number_without_a_name_may_do_nothing(server, callers):
    add_user(server, 'zoe', uid=4003)
    grant(server, 'admin', user='zoe')
    with Caller(server, 'zoe') as zoe:
        # The bus lets in nobody without a name, but who loses it stays.
        server.sh('userdel --force zoe 2>&1')
        for member in ('ListInstances', 'GetInstance', 'Subscribe', 'ListRoles'):
            signature, arguments, _ = CALLS['Manager'][member]
            assert refused(zoe, ROOT, 'Manager', member, signature, *arguments)
        assert refused(zoe, instance_path('edmonton'), 'Instance', 'Stop', 'asa{sv}', [], {})
    assert callers['root'].manager('QueryAudit', 'a{sv}t', {'user': ['s', '4003']}, 1)[0]['User'] == '4003'
    assert server.json('show', 'edmonton')['state'] == 'running'
    revoke(server, user='zoe')


# --- polkit ---


def test_a_site_lets_its_nightshift_restart_one_instance(server, callers, rules):
    add_user(server, 'nina', groups=['nightshift'])
    grant(server, 'client', group='nightshift', instance='edmonton')

    def restarts(caller, slug='edmonton'):
        return short_error(caller, instance_path(slug), 'Instance', 'Restart', 'asa{sv}', [], UNKNOWN)

    with Caller(server, 'nina') as nina:
        assert restarts(nina) == 'NotAuthorized'
        rules(manual.site_rules()[0])
        # The same connection.
        server.wait(lambda: restarts(nina) == 'InvalidArgument', what='the rule')
        assert restarts(nina, 'calgary') == restarts(nina, 'hamilton') == 'NotAuthorized'
        for member in ('Start', 'Stop', 'Delete'):
            signature, arguments, _ = CALLS['Instance'][member]
            assert refused(nina, instance_path('edmonton'), 'Instance', member, signature, *arguments)
        assert restarts(callers['cleo']) == 'NotAuthorized' and restarts(callers['olga']) == 'InvalidArgument'
        assert server.ccpctl('restart', 'edmonton', '--quiet', user='nina').returncode == 0
        server.sh(f'rm {RULES}')
        server.wait(lambda: restarts(nina) == 'NotAuthorized', what='the end of the rule')
    revoke(server, group='nightshift', instance='edmonton')


@pytest.mark.parametrize('day, expected', [(SUNDAY, 'NotAuthorized'), (MONDAY, 'InvalidArgument')], ids=['sunday', 'monday'])
def test_a_site_deletes_nothing_on_sundays(server, callers, rules, day, expected):
    rules(manual.site_rules()[1], 'Environment=LD_PRELOAD=libfaketime.so.1 DONT_FAKE_MONOTONIC=1 '
          f'LD_LIBRARY_PATH=/usr/lib/{server.sh("uname -m")}-linux-gnu/faketime "FAKETIME={day}"')
    for name, answered in (('adam', expected), ('root', 'InvalidArgument')):
        assert short_error(callers[name], instance_path('edmonton'), 'Instance', 'Delete', 'a{sv}', UNKNOWN) == answered, name
    assert short_error(callers['adam'], instance_path('edmonton'), 'Instance', 'Stop', 'asa{sv}', [], UNKNOWN) == 'InvalidArgument'


LOGGING = '''polkit.addRule(function(action, subject) {
    if (action.id.indexOf("org.changemaker.ccp1.") === 0)
        polkit.log("ASKED " + [action.id, action.lookup("verb"), action.lookup("instance"), action.lookup("role"),
                               action.lookup("owner"), subject.user].join("|"));
});
'''


def test_rules_are_told_what_the_page_promises(server, fleet, callers, rules):
    # With --no-debug, as the unit has it, what rules log goes nowhere.
    rules(LOGGING, 'ExecStart=', 'ExecStart=/usr/lib/polkit-1/polkitd --log-level=notice')
    since = server.cursor()
    for call in manual.calls():
        if call.member == '*' or not call.action:
            continue
        method, _, kind = call.member.partition(' of a ')
        signature, arguments, _ = CALLS[short(call.interface)][method]
        arguments = [fleet.job() if argument == '{job}' else argument for argument in arguments]
        short_error(callers['adam'], fleet.path(call.interface, kind or 'restart'), call.interface, method, signature, *arguments)
    for path in (ROOT, instance_path('edmonton'), f'{ROOT}/blueprint/hello'):
        callers['adam'].call(path, PROPERTIES, 'GetAll', 's', '')
        callers['adam'].call(path, 'org.freedesktop.DBus.Introspectable', 'Introspect')
    asked = {tuple(entry['MESSAGE'].partition('ASKED ')[2].split('|')) for entry in server.journal(since=since, unit='polkit')
             if 'ASKED ' in entry['MESSAGE']}
    assert {fields[:2] for fields in asked} == {(action, verb) for action, (_, verbs) in manual.actions().items() for verb in verbs}
    assert {fields[3:] for fields in asked} == {('admin', '', 'adam')}
    about = {(fields[0].rpartition('.')[2], fields[1]): fields[2] for fields in asked}
    assert about['operate', 'stop'] == about['operate', 'cancel'] == about['view', 'get'] == about['view', 'get-job'] == 'edmonton'
    assert about['create', 'create'] == 'hamilton' and about['delete', 'retry'] == 'gone'
    assert about['view', 'list'] == about['manage-roles', 'grant-role'] == about['view-audit', 'query-audit'] == ''


def test_a_rule_may_decide_by_the_verb(callers, rules):
    rules('polkit.addRule(function(action, subject) { if (action.lookup("verb") === "list-ports") return polkit.Result.NO; });')
    # What was just allowed says nothing about another verb of the same action.
    assert short_error(callers['vera'], ROOT, 'Manager', 'ListJobs', 'a{sv}tt', {}, 0, 10) == ''
    assert refused(callers['vera'], ROOT, 'Manager', 'ListPorts')
    assert short_error(callers['vera'], ROOT, 'Manager', 'ListInstances', 'a{sv}tt', {}, 0, 10) == ''


@pytest.mark.allow_journal(r'[Pp]olkit')
def test_without_polkit_root_alone_may_do_anything(server, callers):
    server.sh('systemctl mask --runtime --now polkit 2>&1')
    try:
        for name in ('adam', 'olga', 'vera', 'cleo'):
            assert refused(callers[name], ROOT, 'Manager', 'GetInstance', 's', 'edmonton'), name
        assert callers['root'].manager('GetInstance', 's', 'edmonton') == instance_path('edmonton')
        assert server.sh('systemctl is-active ccpd') == 'active'
    finally:
        server.sh('systemctl unmask --runtime polkit 2>&1; systemctl start polkit')
    server.wait(lambda: short_error(callers['adam'], ROOT, 'Manager', 'GetInstance', 's', 'edmonton') == '', what='polkit')


# --- secrets ---


def secret_of(server, slug):
    """The secret as the instance has it."""
    return re.search(rf'(?m)^{SECRET}=["\']?([^"\'\n]*)', server.file(f'/var/lib/ccpd/instances/{slug}/current/.env')).group(1)


def test_a_secret_comes_in_a_sealed_file(server, callers):
    found = callers['root'].instance('edmonton', 'RevealSecret', 'sa{sv}', SECRET, {})
    assert found == {'content': secret_of(server, 'edmonton'), 'seals': F_SEAL_ALL, 'offset': 0}
    assert [row[:2] for row in callers['root'].instance('edmonton', 'ListSecrets')] == [[SECRET, 1]]
    error = callers['root'].error(instance_path('edmonton'), 'Instance', 'RevealSecret', 'sa{sv}', 'NO_SUCH', {})
    assert error.short == 'NoSuchSecret'


def test_an_admin_reveals_a_secret_with_the_own_password(server, callers):
    secret = secret_of(server, 'edmonton')
    for argv in (['list', 'edmonton'], ['reveal', 'edmonton', SECRET]):
        result = server.ccpctl('secret', *argv, '--no-ask-password', user='adam', check=False)
        assert result.returncode == 4 and secret not in result.stdout + result.stderr
    # polkit heeds an agent of last resort, which is what ccpctl starts, only in a session.
    enable_ssh(server, 'adam')
    for password, status in (('wrong', 4), (PASSWORD, 0)):
        with Terminal(server, 'ssh', '-tt', 'adam@127.0.0.1', f'ccpctl secret reveal edmonton {SECRET}') as terminal:
            shown = terminal.expect('assword: ')
            assert "'edmonton'" in shown and 'reveal-secret' in shown
            server.wait(lambda: echo_is_off(server), what='the end of the echo')
            terminal.type(password)
            if status == 0:
                terminal.expect(re.escape(secret))
            assert terminal.end() == status
            assert status == 0 or secret not in terminal.text
    # Nobody else is even asked.
    for name in ('olga', 'vera', 'cleo', 'nora'):
        assert short_error(callers[name], instance_path('edmonton'), 'Instance', 'RevealSecret', 'sa{sv}', SECRET, {},
                           interactive=True) == 'NotAuthorized', name
