# SPDX-License-Identifier: LGPL-2.1-or-later
"""The record of what happened: who is in it, that each change is, once, that nothing is changed that cannot be put on it, and that
a chain somebody tampered with is found out. The same in the journal, with an explanation."""

import json
import pathlib
import re
import time

import pytest

import manual
from fleet import get, main_pid, put_blueprints, query, wait_job
from instances import containers, settled
from recovery import make_recovery_key, text
from state import state
from users import NAME, ROOT, BusError, Caller, add_user, by_ssh, enable_ssh, grant, instance_path, revoke

# Whoever is refused is written down, jobs fail here, and so does PostgreSQL.
pytestmark = pytest.mark.allow_journal(
    r' tried to .*: (denied|lost from the audit record)', r'The audit record is broken', r'The job (failed|was cancelled)',
    r'Turning back: ', r'Job \d+.*(failed|cancelled|ended)', r'PostgreSQL is not available', r'Paused at ', r'Could not record',
    r'ccp(d|-job@\d+)\.service: (Main process exited|Failed with result)')

NAMES = pathlib.Path(__file__).parents[2] / 'include/ccp/names.h'
MESSAGE_IDS = {name.lower(): number for name, number in
               re.findall(r'#define CCP_MESSAGE_AUDIT_(\w+) "([0-9a-f]{32})"', NAMES.read_text())}
OUTCOMES = ('accepted', 'succeeded', 'failed', 'cancelled', 'denied')
SECRET = 'ADMIN_TOKEN'
TOKEN = 'Tok3n-that-nobody-may-read'
STORAGE = {'endpoint': ['s', 'https://s3.example.org'], 'bucket': ['s', 'backups'], 'access-key': ['s', 'AK'], 'secret-key': ['s', 'SK']}
WHO = ('UID', 'User', 'LoginUID', 'PID', 'Process', 'Unit', 'Session', 'RemoteHost')

# A secret parameter; the container needs no time.
WITH_TOKEN = {
    'blueprint.yaml': '''
name: with-token
title: With a token
version: "1.0"
parameters:
  token: { type: string, default: "none", secret: true }
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
services:
  main: { stage: application, timeout: 30s, health: { type: command, command: ["true"] } }
''',
    'docker-compose.yml.hbs': '''
services:
  main:
    image: busybox:1.37
    init: true
    command: [sleep, infinity]
    environment: { TOKEN: "{{parameters.token}}" }
''',
}


class Record:
    """What is on record since the object was made, or since mark()."""

    def __init__(self, server, root):
        self.server, self.root = server, root
        self.mark()

    def mark(self):
        newest = self.query(limit=1)
        self.last = int(newest[0]['Seq']) if newest else 0

    def query(self, limit=1000, **filters):
        kinds = {'since': 't', 'until': 't', 'before': 't', 'after': 't', 'oldest-first': 'b'}
        options = {key: [kinds.get(key, 's'), value] for key, value in filters.items()}
        return self.root.manager('QueryAudit', 'a{sv}t', options, limit)

    def since(self, **filters):
        """Oldest first."""
        return self.query(**{'after': self.last, 'oldest-first': True} | filters)

    def of_job(self, job):
        return [entry for entry in self.query(**{'oldest-first': True}) if entry['Job'] == str(job)]

    def verify(self):
        verdict = self.root.manager('VerifyAudit')
        return verdict['Fault'], int(verdict['Seq'])


@pytest.fixture(scope='module')
def root(server):
    put_blueprints(server, 'slow', 'never-healthy', 'trivial', with_token=WITH_TOKEN)
    with Caller(server) as caller:
        yield caller


@pytest.fixture(scope='module')
def hello(server, root):
    """An instance that runs, and somebody of each kind."""
    server.ccpctl('create', 'edmonton', '--blueprint', 'hello', '--domain', 'edmonton.example.org', '--quiet')
    for name, role in (('alice', 'admin'), ('olga', 'operator'), ('vera', 'viewer')):
        add_user(server, name)
        grant(server, role, user=name)
    add_user(server, 'nora')
    enable_ssh(server, 'alice')
    return settled(server, 'edmonton')


@pytest.fixture
def record(server, root, hello):
    return Record(server, root)


def last_job(server, slug):
    return query(server, f"SELECT max(id) FROM jobs WHERE slug = '{slug}'")


# --- who ---


def test_an_entry_says_who_did_it_from_where(server, record, hello):
    uid = server.sh('id -u alice')
    script = 'ccpctl restart edmonton --quiet; ccpctl list >/dev/null; loginctl show-session self -P Id'
    session = by_ssh(server, 'alice', 'sh', '-euc', script).stdout.strip()
    job = last_job(server, 'edmonton')
    accepted, succeeded = record.of_job(job)
    expected = {'Action': 'INSTANCE_RESTART', 'Outcome': 'accepted', 'Instance': 'edmonton', 'InstanceId': hello['id'], 'UID': int(uid),
                'User': 'alice', 'LoginUID': uid, 'Process': 'ccpctl', 'Unit': f'session-{session}.scope', 'Session': session,
                'RemoteHost': '127.0.0.1', 'Job': job, 'ErrorName': ''}
    assert {key: accepted[key] for key in expected} == expected and accepted['PID'] > 0
    assert isinstance(json.loads(accepted['Details']), dict)
    # The end is put down to the same caller, though a worker did it.
    assert succeeded['Outcome'] == 'succeeded' and [succeeded[key] for key in WHO] == [accepted[key] for key in WHO]
    # That the session began to use ccpd, once.
    logins = record.since(action='USER_LOGIN')
    assert [(entry['User'], entry['Session'], entry['Outcome']) for entry in logins] == [('alice', session, 'succeeded')]


def test_who_became_somebody_else_is_told_by_the_login(server, record):
    by_ssh(server, 'root', 'runuser', '-u', 'alice', '--', 'ccpctl', 'restart', 'edmonton', '--quiet')
    entry = record.since(action='INSTANCE_RESTART')[0]
    assert (entry['User'], entry['LoginUID'], entry['RemoteHost']) == ('alice', '0', '127.0.0.1')
    # Outside of a session there is none, and nothing is made up.
    record.mark()
    server.ccpctl('restart', 'edmonton', '--quiet', user='olga')
    entry = record.since(action='INSTANCE_RESTART')[0]
    assert (entry['User'], entry['Process'], entry['Session'], entry['RemoteHost']) == ('olga', 'ccpctl', '', '')
    assert record.since(action='USER_LOGIN') == []


# --- each change, once ---


def create(server, slug, blueprint='hello', *options, check=True):
    return server.ccpctl('create', slug, '--blueprint', blueprint, '--domain', f'{slug}.example.org', '--quiet', *options, check=check)


def enroll_key(server):
    """A recovery key that is not kept; gives its id."""
    secret, _ = make_recovery_key()
    server.ccpctl('key', 'enroll-recovery', '--recovery-key-file=-', '--quiet', input=secret)
    return server.json('key', 'list')[-1]['id']


def begin_slow(server):
    """A create that takes longer than the module, with its first container."""
    create(server, 'slow', 'slow', '--set', 'seconds=3600', '--no-wait')
    server.wait(lambda: 'data' in containers(server, 'slow'), what='the first container')


@pytest.fixture(scope='module')
def history(server, root, hello):
    """Jobs that ended in each way, and a refusal: what is on record of them, oldest first."""
    record = Record(server, root)
    create(server, 'calgary')
    for verb in ('stop', 'start', 'restart'):
        server.ccpctl(verb, 'calgary', '--quiet')
    server.ccpctl('delete', 'calgary', '--yes', '--quiet')
    create(server, 'sick', 'never-healthy', check=False)
    server.ccpctl('job', 'retry', last_job(server, 'sick'), '--quiet', check=False)
    begin_slow(server)
    server.ccpctl('job', 'cancel', last_job(server, 'slow'), '--quiet', check=False)
    wait_job(server, 'slow')
    with Caller(server, 'vera') as vera:
        vera.error(instance_path('edmonton'), 'Instance', 'Start', 'asa{sv}', [], {})
    return record.since()


def test_each_job_has_one_beginning_and_one_end_on_record(record, history):
    first = int(history[0]['Seq'])
    assert [int(entry['Seq']) for entry in history] == list(range(first, first + len(history)))
    jobs = {}
    for entry in history:
        if entry['Job'] and entry['Action'] != 'JOB_CANCEL':
            jobs.setdefault(entry['Job'], []).append((entry['Action'], entry['Outcome'], entry['ErrorName'].rpartition('.')[2]))
    assert list(jobs.values()) == [
        [('INSTANCE_CREATE', 'accepted', ''), ('INSTANCE_CREATE', 'succeeded', '')],
        [('INSTANCE_STOP', 'accepted', ''), ('INSTANCE_STOP', 'succeeded', '')],
        [('INSTANCE_START', 'accepted', ''), ('INSTANCE_START', 'succeeded', '')],
        [('INSTANCE_RESTART', 'accepted', ''), ('INSTANCE_RESTART', 'succeeded', '')],
        [('INSTANCE_DELETE', 'accepted', ''), ('INSTANCE_DELETE', 'succeeded', '')],
        [('INSTANCE_CREATE', 'accepted', ''), ('INSTANCE_CREATE', 'failed', 'Unhealthy')],
        [('INSTANCE_CREATE', 'accepted', ''), ('INSTANCE_CREATE', 'failed', 'Unhealthy')],
        [('INSTANCE_CREATE', 'accepted', ''), ('INSTANCE_CREATE', 'cancelled', 'Cancelled')],
    ]
    assert [(entry['Action'], entry['Outcome'], entry['Instance']) for entry in history if entry['Action'] == 'JOB_CANCEL'] == [
        ('JOB_CANCEL', 'succeeded', 'slow')]
    # An instance is known by its UUID when it is gone.
    assert len({entry['InstanceId'] for entry in history if entry['Instance'] == 'calgary'} - {''}) == 1
    assert record.verify() == ('none', 0)


def test_each_other_change_has_one_entry(server, root, record):
    steps = [
        ('SETTINGS_UPDATE', lambda: server.ccpctl('settings', 'set', 'job_concurrency=3', '--quiet')),
        ('ALERT_SILENCE', lambda: server.ccpctl('alert', 'silence', '--instance', 'edmonton', '--for', '1h', '--quiet')),
        ('ALERT_UNSILENCE', lambda: root.manager('UnsilenceAlerts', 's', root.manager('ListSilences')[0]['Id'])),
        ('KEY_ENROLL', lambda: enroll_key(server)),
        ('KEY_FORGET', lambda: server.ccpctl('key', 'forget', '--last', server.json('key', 'list')[0]['id'], '--quiet')),
        ('SECRET_ROTATE', lambda: server.ccpctl('alert', 'rotate', '--quiet')),
        ('BLUEPRINTS_RELOAD', lambda: root.manager('Reload')),
        ('USER_CREATE', lambda: grant(server, 'viewer', user='nora')),
        ('USER_UPDATE', lambda: grant(server, 'operator', user='nora')),
        ('USER_DELETE', lambda: revoke(server, user='nora')),
        ('SECRET_REVEAL', lambda: root.instance('edmonton', 'RevealSecret', 'sa{sv}', SECRET, {})),
    ]
    for action, step in steps:
        record.mark()
        step()
        entries = record.since()
        assert [(entry['Action'], entry['Outcome'], entry['User']) for entry in entries] == [(action, 'succeeded', 'root')], action
    assert json.loads(entries[0]['Details'])['secret'] == SECRET
    # What changes nothing leaves none: the same once more, something that fails.
    grant(server, 'viewer', user='nora')
    record.mark()
    grant(server, 'viewer', user='nora')
    assert server.ccpctl('role', 'grant', 'viewer', '--user', 'nobody-there', check=False).returncode == 2
    assert create(server, 'edmonton', check=False).returncode == 1
    assert record.since() == []
    revoke(server, user='nora')


def test_a_job_that_is_disturbed_still_has_one_end(server, record):
    create(server, 'shaken', 'slow', '--set', 'seconds=10', '--no-wait')
    job = last_job(server, 'shaken')
    unit = f'ccp-job@{job}.service'
    server.wait(lambda: main_pid(server, unit) != '0', what='the worker')
    server.sh(f'kill -KILL {main_pid(server, "ccpd")}')
    server.wait(lambda: server.ccpctl('list', '--quiet', check=False).returncode == 0, what='ccpd')
    server.sh(f'systemctl kill --signal=KILL --kill-whom=main {unit}; systemctl restart ccpd')
    assert wait_job(server, 'shaken')['state'] == 'succeeded'
    assert [(entry['Action'], entry['Outcome']) for entry in record.of_job(job)] == [
        ('INSTANCE_CREATE', 'accepted'), ('INSTANCE_CREATE', 'succeeded')]
    # ccpd hears of the end after the records have it, and lets nobody else at the instance before.
    server.wait(lambda: get(server, instance_path('shaken'), 'Instance', 'Job') == '/', what='ccpd to hear of the end')
    server.ccpctl('delete', 'shaken', '--yes', '--quiet')
    assert record.verify() == ('none', 0)


# --- refusals ---


def test_a_refused_change_is_on_record_and_a_refused_look_is_not(server, record, hello):
    with Caller(server, 'vera') as vera, Caller(server, 'nora') as nora:
        for path, interface, member, signature, arguments in (
                (instance_path('edmonton'), 'Instance', 'Stop', 'asa{sv}', [[], {}]),
                (instance_path('hamilton'), 'Instance', 'Delete', 'a{sv}', [{}]),
                (instance_path('edmonton'), 'Instance', 'RevealSecret', 'sa{sv}', [SECRET, {}]),
                (ROOT, 'Manager', 'CreateInstance', 'ssa{sv}', ['hamilton', 'hello', {}]),
                (ROOT, 'Manager', 'SetSettings', 'a{sv}', [{}]),
                (ROOT, 'Manager', 'GrantRole', 'ssssa{sv}', ['admin', 'user', 'vera', '', {}])):
            assert vera.error(path, interface, member, signature, *arguments).short == 'NotAuthorized', member
        for member, signature, arguments in (('GetInstance', 's', ['edmonton']), ('ListRoles', '', []), ('GetSettings', '', [])):
            assert nora.error(ROOT, 'Manager', member, signature, *arguments).short == 'NotAuthorized', member

    entries = record.since()
    assert [(entry['Action'], entry['Instance'], entry['InstanceId']) for entry in entries] == [
        ('INSTANCE_STOP', 'edmonton', hello['id']), ('INSTANCE_DELETE', 'hamilton', ''), ('SECRET_REVEAL', 'edmonton', hello['id']),
        ('INSTANCE_CREATE', 'hamilton', ''), ('SETTINGS_UPDATE', '', ''), ('USER_CREATE', '', '')]
    assert {(entry['Outcome'], entry['User'], entry['ErrorName'], entry['Job']) for entry in entries} == {
        ('denied', 'vera', f'{NAME}.Error.NotAuthorized', '')}
    assert {json.loads(entry['Details'])['role'] for entry in entries} == {'viewer'}
    assert server.json('show', 'edmonton')['state'] == 'running'


# --- the journal ---


def test_the_journal_has_the_same_with_an_explanation(server, record, history):
    lines = {}
    for outcome in OUTCOMES:
        for line in server.journal(f'MESSAGE_ID={MESSAGE_IDS[outcome]}'):
            assert line['CCP_OUTCOME'] == outcome and int(line['PRIORITY']) == (4 if outcome == 'denied' else 5), line
            assert line['CCP_AUDIT_SEQ'] not in lines, line
            lines[line['CCP_AUDIT_SEQ']] = line
    entries = record.query()
    assert {entry['Outcome'] for entry in entries} == set(OUTCOMES)
    assert set(lines) == {entry['Seq'] for entry in entries}
    for entry in entries:
        line = lines[entry['Seq']]
        for key, field in manual.audit_fields().items():
            if field != '-':
                assert str(line.get(field, '')) == str(entry[key]), (entry, field)
        assert entry['User'] in line['MESSAGE'] and (not entry['Instance'] or entry['Instance'] in line['MESSAGE'])

    for outcome in OUTCOMES:
        text = server.run(['journalctl', '--no-pager', '--catalog', '-n', '1', f'MESSAGE_ID={MESSAGE_IDS[outcome]}']).stdout
        assert re.search(rf'Subject: A change by \w+ (was )?{outcome}: [A-Z_]+', text), text
        # No field is left unknown.
        assert '@' not in text.replace('mailto:maintainers@', '') and not re.search(r'\bCCP_', text), text


# --- what cannot be put on record is not done ---


def named(actions):
    """Actions of the record; whether a role is new or another one is known only by those who get to see the roles."""
    return {action.partition(' ')[0].replace('USER_UPDATE', 'USER_CREATE') for action in actions}


class Changes:
    """One valid call of each kind that changes something, on objects that are in the right state for it."""

    def __init__(self, server):
        self.server = server
        for slug in ('resting', 'doomed'):
            create(server, slug, 'trivial')
        server.ccpctl('stop', 'resting', '--quiet')
        begin_slow(server)
        running, failed = last_job(server, 'slow'), last_job(server, 'sick')
        server.ccpctl('backup', 'create', 'edmonton', '--quiet')
        backup = server.json('backup', 'list')[0]['id']
        server.ccpctl('backup', 'restore', backup, '--quiet')
        server.ccpctl('alert', 'silence', '--instance', 'resting', '--for', '8h', '--quiet')
        silence = server.json('alert', 'silences')[0]['id']
        key = enroll_key(server)
        domain = {'domain': ['s', 'hamilton.example.org']}
        tomorrow = (int(time.time()) + 86400) * 1_000_000
        self.calls = {
            'INSTANCE_CREATE': (ROOT, 'Manager', 'CreateInstance', 'ssa{sv}', 'hamilton', 'hello', domain),
            'INSTANCE_START': (instance_path('resting'), 'Instance', 'Start', 'asa{sv}', [], {}),
            'INSTANCE_STOP': (instance_path('edmonton'), 'Instance', 'Stop', 'asa{sv}', [], {}),
            'INSTANCE_RESTART': (instance_path('edmonton'), 'Instance', 'Restart', 'asa{sv}', [], {}),
            'BACKUP_CREATE': (instance_path('edmonton'), 'Instance', 'Backup', 'a{sv}', {}),
            'BACKUP_VERIFY': (ROOT, 'Manager', 'VerifyBackup', 'sa{sv}', backup, {}),
            'BACKUP_DRILL': (ROOT, 'Manager', 'DrillBackup', 'sa{sv}', backup, {}),
            'BACKUP_REPLICATE': (ROOT, 'Manager', 'ReplicateBackup', 'sa{sv}', backup, {}),
            'BACKUP_FETCH': (ROOT, 'Manager', 'FetchBackup', 'sa{sv}', backup, {}),
            'STORAGE_SET': (ROOT, 'Manager', 'SetStorage', 'a{sv}', STORAGE),
            'BACKUP_EXPORT': (ROOT, 'Manager', 'ExportBackup', 'sa{sv}', backup, {}),
            'INSTANCE_CREATE of a backup': (ROOT, 'Manager', 'RestoreInstance', 'ssa{sv}', 'copied', backup,
                                            {'domain': ['s', 'copied.example.org']}),
            'INSTANCE_RESTORE': (instance_path('edmonton'), 'Instance', 'Restore', 'sa{sv}', backup, {}),
            'RESTORE_UNDO': (instance_path('edmonton'), 'Instance', 'UndoRestore', 'a{sv}', {}),
            'RESTORE_DISCARD': (instance_path('edmonton'), 'Instance', 'DiscardRestore', 'a{sv}', {}),
            'BACKUP_DELETE': (ROOT, 'Manager', 'DeleteBackup', 'sa{sv}', backup, {'last': ['b', True]}),
            'INSTANCE_DELETE': (instance_path('doomed'), 'Instance', 'Delete', 'a{sv}', {}),
            'JOB_CANCEL': (f'{ROOT}/job/{running}', 'Job', 'Cancel', 'a{sv}', {}),
            'INSTANCE_CREATE again': (f'{ROOT}/job/{failed}', 'Job', 'Retry', 'a{sv}', {}),
            'SECRET_REVEAL': (instance_path('edmonton'), 'Instance', 'RevealSecret', 'sa{sv}', SECRET, {}),
            'SETTINGS_UPDATE': (ROOT, 'Manager', 'SetSettings', 'a{sv}', {'job_concurrency': ['t', 7]}),
            'ALERT_SILENCE': (ROOT, 'Manager', 'SilenceAlerts', 'sa{sv}', 'edmonton', {'until': ['t', tomorrow]}),
            'ALERT_UNSILENCE': (ROOT, 'Manager', 'UnsilenceAlerts', 's', silence),
            'KEY_ENROLL': self.enroll,
            'KEY_FORGET': (ROOT, 'Manager', 'ForgetRecoveryKey', 'sa{sv}', key, {'last': ['b', True]}),
            'KEY_ROTATE': (ROOT, 'Manager', 'RotateMasterKey', 'a{sv}', {}),
            'SECRET_ROTATE': (ROOT, 'Manager', 'RotateAlertSecret', 'a{sv}', {}),
            'BLUEPRINTS_RELOAD': (ROOT, 'Manager', 'Reload'),
            'USER_CREATE': (ROOT, 'Manager', 'GrantRole', 'ssssa{sv}', 'admin', 'user', 'nora', '', {}),
            'USER_UPDATE': (ROOT, 'Manager', 'GrantRole', 'ssssa{sv}', 'admin', 'user', 'vera', '', {}),
            'USER_DELETE': (ROOT, 'Manager', 'RevokeRole', 'sssa{sv}', 'user', 'olga', '', {}),
        }
        self.actions = named(self.calls)
        # To see that nobody read it.
        server.write('/etc/ccpd/templates/unread/blueprint.yaml', WITH_TOKEN['blueprint.yaml'].replace('with-token', 'unread'))
        server.write('/etc/ccpd/templates/unread/docker-compose.yml.hbs', WITH_TOKEN['docker-compose.yml.hbs'])

    def enroll(self, root):
        """It takes two calls, of which the first one changes nothing, but is refused as well where nothing can be on record."""
        secret, public = make_recovery_key()
        try:
            challenge, question = root.manager('EnrollRecoveryKey', 'sa{sv}', text('CCPP1', bytes.fromhex(public)), {})
        except BusError as error:
            return error
        answer = self.server.run(['ccp-backup-extract', 'answer', '--key=-', question], input=secret).stdout.strip()
        return root.error(ROOT, 'Manager', 'ConfirmRecoveryKey', 'ssa{sv}', challenge, answer, {})

    def refused(self, root, *errors):
        """All of them, each by one of these errors."""
        found = {action: call(root) if callable(call) else root.error(*call) for action, call in self.calls.items()}
        assert all(error and error.short in errors for error in found.values()), {key: str(error) for key, error in found.items()}

    def lost(self, since):
        """The actions that the journal says could not be put on record."""
        return named(line['CCP_ACTION'] for line in self.server.journal(f'MESSAGE_ID={MESSAGE_IDS["lost"]}', since=since))

    def is_read(self, root):
        """Whether somebody read the blueprints; to list them would do so."""
        objects = root.call(ROOT, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')[0]
        assert f'{ROOT}/blueprint/hello' in objects
        return f'{ROOT}/blueprint/unread' in objects


@pytest.fixture(scope='module')
def changes(server, history):
    """For several tests: after each they are still to be made."""
    return Changes(server)


def test_without_postgresql_nothing_is_changed(server, root, record, changes):
    record.mark()
    before, since = state(server), server.cursor()
    server.sh('systemctl stop postgresql')
    try:
        server.wait(lambda: get(server, ROOT, 'Manager', 'StoreState') == 'unavailable', what='the notice')
        changes.refused(root, 'StoreUnavailable')
        with Caller(server, 'vera') as vera:
            assert vera.error(instance_path('edmonton'), 'Instance', 'Stop', 'asa{sv}', [], {}).short == 'NotAuthorized'
        # To read the record needs it too, and to see what is running does not.
        assert root.error(ROOT, 'Manager', 'QueryAudit', 'a{sv}t', {}, 1).short == 'StoreUnavailable'
        assert root.error(ROOT, 'Manager', 'VerifyAudit').short == 'StoreUnavailable'
        assert root.get(instance_path('edmonton'), 'Instance', 'State') == 'running'
        assert not changes.is_read(root)
        during = state(server, records=False)
        assert changes.lost(since) == changes.actions
        denied = [line for line in server.journal(f'MESSAGE_ID={MESSAGE_IDS["lost"]}', since=since) if line['CCP_OUTCOME'] == 'denied']
        assert [line['CCP_USER'] for line in denied] == ['vera']
    finally:
        server.sh('systemctl start postgresql')
    server.wait(lambda: get(server, ROOT, 'Manager', 'StoreState') == 'available', what='the reconnection')
    assert during == {part: before[part] for part in during} and state(server) == before
    assert record.since() == [] and record.verify() == ('none', 0)


@pytest.fixture
def no_append(server):
    """Makes the function away that puts an entry on record, and brings it back."""
    rename = 'runuser -u postgres -- psql -qX -d ccpd -c "ALTER FUNCTION ccpd_audit.{} RENAME TO {}"'
    away = []

    def remove():
        server.sh(f'cd /; {rename.format("append", "append_away")}')
        away.append(True)

    def restore():
        if away:
            server.sh(f'cd /; {rename.format("append_away", "append")}')
            away.clear()

    yield remove, restore
    restore()


def test_without_the_means_to_append_nothing_is_changed(server, root, record, changes, no_append):
    remove, restore = no_append
    record.mark()
    before, since = state(server), server.cursor()
    remove()
    changes.refused(root, 'StoreUnavailable', 'Internal')
    assert not changes.is_read(root)
    assert state(server) == before
    assert changes.lost(since) == changes.actions
    restore()
    assert record.since() == [] and record.verify() == ('none', 0)
    # Nothing is left behind that stands in the way.
    root.manager('Reload')
    assert [entry['Action'] for entry in record.since()] == ['BLUEPRINTS_RELOAD']
    assert changes.is_read(root)


# --- the chain ---


def psql(server, sql, user='postgres', check=True):
    return server.run(['sh', '-euc', 'cd /; exec runuser -u "$0" -- psql -tAqX -v ON_ERROR_STOP=1 -d ccpd', user], input=sql, check=check)


def test_ccpd_itself_can_only_append(server, record):
    """What its role in PostgreSQL may do, whoever has got hold of it."""
    before = psql(server, 'SELECT * FROM ccpd_audit.entries ORDER BY seq').stdout
    for sql in ("UPDATE ccpd_audit.entries SET details = '{}'", 'DELETE FROM ccpd_audit.entries', 'TRUNCATE ccpd_audit.entries',
                'INSERT INTO ccpd_audit.entries SELECT * FROM ccpd_audit.entries LIMIT 1', 'UPDATE ccpd_audit.head SET seq = 1',
                'UPDATE ccpd_audit.checkpoint SET seq = 1', 'DROP TABLE ccpd_audit.entries', 'DROP SCHEMA ccpd_audit CASCADE',
                'ALTER TABLE ccpd_audit.entries ADD x int', 'DROP FUNCTION ccpd_audit.append', 'SET ROLE ccpd_audit', 'SET ROLE postgres',
                'CREATE FUNCTION ccpd_audit.f() RETURNS int LANGUAGE sql AS $$SELECT 1$$', 'CREATE TABLE ccpd_audit.t (x int)',
                'ALTER SCHEMA ccpd_audit RENAME TO gone', 'BEGIN; LOCK ccpd_audit.head IN ACCESS EXCLUSIVE MODE',
                'ALTER DATABASE ccpd RENAME TO gone', "SET session_replication_role = 'replica'"):
        result = psql(server, f'{sql};', user='ccpd', check=False)
        assert result.returncode != 0 and re.search('permission denied|must be owner', result.stderr), (sql, result)
    # Nothing of the last 30 days can be pruned, whatever is asked for.
    psql(server, 'SELECT ccpd_audit.prune(9000000000000000);', user='ccpd')
    assert psql(server, 'SELECT * FROM ccpd_audit.entries ORDER BY seq').stdout == before
    assert record.verify() == ('none', 0)


COPY = 'CREATE TEMP TABLE t AS SELECT * FROM ccpd_audit.entries WHERE seq = {n}; '
APPEND = 'UPDATE t SET seq = {last} + 1; '
LINK = 'UPDATE t SET previous = (SELECT hash FROM ccpd_audit.head); '
HASH = 'UPDATE t SET hash = ccpd_audit.entry_hash(ROW(t.*)::ccpd_audit.entries); '
INSERT = 'INSERT INTO ccpd_audit.entries SELECT * FROM t'
REPLACE = 'DELETE FROM ccpd_audit.entries WHERE seq = {n}; '
SWAP = ('UPDATE ccpd_audit.entries SET seq = 1000000000 WHERE seq = {n}; UPDATE ccpd_audit.entries SET seq = {n} WHERE seq = {n} + 1; '
        'UPDATE ccpd_audit.entries SET seq = {n} + 1 WHERE seq = 1000000000')
# What a superuser does to the record, the fault that is found, and the entry that is named: n, the first or the last one.
TAMPERING = {
    'a detail changed': ("UPDATE ccpd_audit.entries SET details = '{{\"x\":1}}' WHERE seq = {n}", 'changed', '{n}'),
    'a user changed': ("UPDATE ccpd_audit.entries SET user_name = 'nobody', uid = 65534 WHERE seq = {n}", 'changed', '{n}'),
    'a time changed': ('UPDATE ccpd_audit.entries SET time = time - 1 WHERE seq = {n}', 'changed', '{n}'),
    'nothing made something': ("UPDATE ccpd_audit.entries SET remote_host = '' WHERE seq = {n} AND remote_host IS NULL", 'changed', '{n}'),
    'the last one changed': ("UPDATE ccpd_audit.entries SET user_name = user_name || 'x' WHERE seq = {last}", 'changed', '{last}'),
    'changed, with its hash': (f"{COPY}UPDATE t SET user_name = 'nobody'; {HASH}{REPLACE}{INSERT}", 'moved', '{n} + 1'),
    'one removed': ('DELETE FROM ccpd_audit.entries WHERE seq = {n}', 'removed', '{n}'),
    'the first removed': ('DELETE FROM ccpd_audit.entries WHERE seq = {first}', 'removed', '{first}'),
    'the last removed': ('DELETE FROM ccpd_audit.entries WHERE seq = {last}', 'removed', '{last}'),
    'several removed': ('DELETE FROM ccpd_audit.entries WHERE seq BETWEEN {n} AND {n} + 2', 'removed', '{n}'),
    'all removed': ('DELETE FROM ccpd_audit.entries', 'removed', '{first}'),
    'one inserted': (f'{COPY}{APPEND}{INSERT}', 'inserted', '{last} + 1'),
    'one inserted with its hash': (f'{COPY}{APPEND}{LINK}{HASH}{INSERT}', 'inserted', '{last} + 1'),
    'two swapped': (SWAP, 'moved', '{n}'),
}


@pytest.mark.parametrize('what', TAMPERING)
def test_tampering_is_found_and_named(server, record, history, what):
    sql, fault, named = TAMPERING[what]
    first, last = map(int, psql(server, 'SELECT min(seq), max(seq) FROM ccpd_audit.entries').stdout.split('|'))
    assert last - first > 10 and record.verify() == ('none', 0)
    place = {'first': first, 'last': last, 'n': psql(
        server, f'SELECT seq FROM ccpd_audit.entries WHERE remote_host IS NULL AND seq > {first} + 3 ORDER BY seq LIMIT 1').stdout.strip()}
    psql(server, 'CREATE TABLE ccpd_audit.saved AS TABLE ccpd_audit.entries')
    try:
        psql(server, f'BEGIN; {sql.format(**place)}; COMMIT;')
        number = eval(named.format(**place))
        assert record.verify() == (fault, number)
        result = server.ccpctl('audit', 'verify', check=False)
        assert result.returncode == 1 and re.search(rf'\b{number}\b', result.stdout + result.stderr), result
    finally:
        psql(server, 'BEGIN; DELETE FROM ccpd_audit.entries; INSERT INTO ccpd_audit.entries SELECT * FROM ccpd_audit.saved; '
             'DROP TABLE ccpd_audit.saved; COMMIT;')
    assert record.verify() == ('none', 0)
    assert server.ccpctl('audit', 'verify').returncode == 0


def test_a_clock_that_goes_back_breaks_nothing(server, root, record):
    """The time of an entry is the database's, so that its clock is the one to be set back: by libfaketime, for it alone."""
    environment = '/etc/postgresql/17/main/environment'
    library = f'/usr/lib/{server.sh("uname -m")}-linux-gnu/faketime/libfaketime.so.1'
    before = server.file(environment)
    root.manager('Reload')
    server.write(environment, f"{before}LD_PRELOAD = '{library}'\nFAKETIME = '-3600'\nDONT_FAKE_MONOTONIC = '1'\n")

    def restart():
        server.sh('systemctl restart postgresql@17-main.service')
        server.wait(lambda: get(server, ROOT, 'Manager', 'StoreState') == 'available', what='the reconnection')

    try:
        restart()
        root.manager('Reload')
        server.ccpctl('restart', 'edmonton', '--quiet')
    finally:
        server.write(environment, before)
        restart()
    root.manager('Reload')

    entries = record.since()
    assert [entry['Action'] for entry in entries] == [
        'BLUEPRINTS_RELOAD', 'BLUEPRINTS_RELOAD', 'INSTANCE_RESTART', 'INSTANCE_RESTART', 'BLUEPRINTS_RELOAD']
    times = [entry['Time'] for entry in entries]
    assert times[1] < times[0] - 3_000_000_000 and times[4] > times[0]
    # The numbers are the order, and newest first means them.
    assert [int(entry['Seq']) for entry in entries] == list(range(record.last + 1, record.last + 6))
    assert [entry['Seq'] for entry in record.query(limit=5)] == [entry['Seq'] for entry in reversed(entries)]
    assert [entry['Seq'] for entry in record.since(until=times[0])] == [entry['Seq'] for entry in entries[1:4]]
    assert record.verify() == ('none', 0)


# --- reading it ---


def test_the_record_can_be_searched_and_exported(server, record, history):
    entries = record.query()
    oldest = list(reversed(entries))
    assert record.query(**{'oldest-first': True}) == oldest
    for name, key in (('user', 'User'), ('action', 'Action'), ('outcome', 'Outcome'), ('instance', 'Instance')):
        for value in {entry[key] for entry in entries} - {''}:
            assert record.query(**{name: value}) == [entry for entry in entries if entry[key] == value], (name, value)
    middle = entries[len(entries) // 2]
    assert record.query(before=int(middle['Seq'])) == [entry for entry in entries if int(entry['Seq']) < int(middle['Seq'])]
    assert record.query(since=middle['Time'], limit=3) == [entry for entry in entries if entry['Time'] >= middle['Time']][:3]
    # Page by page.
    pages, before = [], {}
    while page := record.query(limit=7, **before):
        pages += page
        before = {'before': int(page[-1]['Seq'])}
    assert pages == entries
    for wrong in ({'limit': 0}, {'limit': 1001}, {'nonsense': 'x'}):
        with pytest.raises(BusError, match='InvalidArgument'):
            record.query(**wrong)

    exported = [json.loads(line) for line in server.ccpctl('audit', 'export').stdout.splitlines()]
    assert [str(line['seq']) for line in exported] == [entry['Seq'] for entry in oldest]
    assert [line['hash'] for line in exported] == [entry['Hash'] for entry in oldest]
    shown = server.ccpctl('audit', '-n', '5').stdout
    assert all(entry['User'] in shown for entry in entries[:5])


def test_no_secret_gets_into_it(server, root, record):
    since = server.cursor()
    server.write('/root/token', TOKEN, mode='0600')
    create(server, 'secretive', 'with-token', '--set-file', 'token=/root/token')
    assert create(server, 'edmonton', 'with-token', '--set-file', 'token=/root/token', check=False).returncode == 1
    revealed = root.instance('edmonton', 'RevealSecret', 'sa{sv}', SECRET, {})['content']
    server.ccpctl('delete', 'secretive', '--yes', '--quiet')
    kept = psql(server, 'SELECT * FROM ccpd_audit.entries').stdout + json.dumps(server.journal(since=since))
    assert 'secretive' in kept and TOKEN not in kept and revealed not in kept
