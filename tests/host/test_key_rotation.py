# SPDX-License-Identifier: LGPL-2.1-or-later
"""The master key of a booted server is replaced, with systemd's credentials: while jobs run, over kills and a power cut."""

import json

import pytest

from fleet import query
from instances import settled
from recovery import make_recovery_key
from workers import pausing_at, resume_worker

# systemd-creds says each time that the key of the host lies on a disk like all others.
pytestmark = pytest.mark.allow_journal(r'not located on encrypted media')

FAILS = pytest.mark.allow_journal(r'Turning back: ', r'The job failed: ')
KEYS = '/etc/credstore.encrypted'
IN_USE = ('SELECT DISTINCT key_id FROM (SELECT key_id FROM secrets UNION ALL SELECT key_id FROM alert_secrets '
          'UNION ALL SELECT key_id FROM backup_keys UNION ALL SELECT key_id FROM storage WHERE key_id IS NOT NULL) s')


@pytest.fixture(scope='module')
def fleet(server):
    """Two instances, a secret of each, and a backup with the key that opens it."""
    for slug in ('oslo', 'bergen'):
        server.ccpctl('create', slug, '--blueprint', 'hello', '--domain', f'{slug}.example.org', '--quiet')
        settled(server, slug)
    server.ccpctl('alert', 'secret')
    secret, _ = make_recovery_key()
    server.ccpctl('key', 'enroll-recovery', '--recovery-key-file=-', '--quiet', input=secret)
    server.ccpctl('backup', 'create', 'oslo', '--quiet', timeout=300)
    return [slug_secrets(server, slug) for slug in ('oslo', 'bergen')], server.ccpctl('alert', 'secret').stdout


def slug_secrets(server, slug):
    return {row['name']: server.ccpctl('secret', 'reveal', slug, row['name']).stdout for row in server.json('secret', 'list', slug)}


def master_key(server):
    return server.json('key', 'status')['master_key']


def master_key_if_there(server):
    """The same, or what is nobody's while ccpd is started anew."""
    result = server.ccpctl('key', 'status', '--json=short', check=False)
    return json.loads(result.stdout)['master_key'] if result.returncode == 0 else {'former': None, 'id': None}


def wait_replaced(server, before):
    def replaced():
        key = master_key_if_there(server)
        return key['former'] == '' and key['id'] != before
    server.wait(replaced, 240, 'the end')


def assert_replaced(server, fleet, before):
    after = master_key(server)
    assert after['former'] == after['error'] == '' and after['id'] != before
    assert set(query(server, IN_USE).split()) == {after['id']}
    assert [slug_secrets(server, slug) for slug in ('oslo', 'bergen')] == fleet[0]
    assert server.ccpctl('alert', 'secret').stdout == fleet[1]
    # Workers have it, too; and who is started from now on has it alone.
    server.ccpctl('backup', 'create', 'oslo', '--quiet', timeout=300)
    server.ccpctl('restart', 'bergen', '--quiet')
    server.sh('systemctl restart ccpd')
    server.wait(lambda: master_key_if_there(server) == after, what='ccpd')
    assert set(query(server, IN_USE).split()) == {after['id']}
    return after['id']


def files(server):
    return set(server.sh(f'ls {KEYS}').split())


def test_a_new_server_has_one_key_and_no_next_one(server, fleet):
    """That it may be missing is what the units rest on."""
    assert files(server) == {'ccpd.master-key'}
    key = master_key(server)
    assert key['id'] and (key['former'], key['left'], key['error']) == ('', 0, '')


def test_it_is_replaced(server, fleet):
    before = master_key(server)['id']
    since = server.cursor()
    old = server.sh(f'sha256sum <{KEYS}/ccpd.master-key')
    result = server.ccpctl('key', 'rotate', timeout=180)
    assert 'was replaced' in result.stdout
    assert_replaced(server, fleet, before)
    (retired,) = [name for name in files(server) if 'retired' in name]
    assert server.sh(f'sha256sum <{KEYS}/{retired}') == old
    assert server.sh(f'stat -c %a:%U {KEYS}/*').split() == ['600:root'] * 3
    # Each is a key, the two that are in use are the same.
    hashes = [server.sh(f'systemd-creds decrypt --name={name} {KEYS}/{file} - | sha256sum') for name, file in (
        ('ccpd.master-key', 'ccpd.master-key'), ('ccpd.master-key-next', 'ccpd.master-key-next'), ('ccpd.master-key', retired))]
    assert hashes[0] == hashes[1] != hashes[2]
    entries = server.json('audit', '--action=KEY_ROTATE')
    assert [(entry['outcome'], entry['user']) for entry in entries] == [('accepted', 'root'), ('succeeded', 'ccpd')]
    # It is no failure of ccpd's unit that it wants to be started anew.
    assert not [e for e in server.journal(since=since, unit='ccpd.service') if 'Failed with result' in e['MESSAGE']]
    for slug in ('oslo', 'bergen'):
        assert server.json('show', slug)['state'] == 'running'


def test_a_worker_that_runs_is_waited_for(server, fleet):
    before = master_key(server)['id']
    with pausing_at(server, 'write') as paused:
        server.ccpctl('backup', 'create', 'bergen', '--no-wait')
        paused()
    server.ccpctl('key', 'rotate', '--no-wait')
    server.wait(lambda: master_key_if_there(server)['former'] == before, what='both keys')
    # Whatever else there is to do works with both.
    assert [slug_secrets(server, slug) for slug in ('oslo', 'bergen')] == fleet[0]
    server.ccpctl('restart', 'oslo', '--quiet')
    assert query(server, IN_USE).split() == [before]
    job = server.json('job', 'list', '--kind=backup', '--lines=1')[0]['id']
    resume_worker(server)
    server.wait(lambda: server.json('job', 'show', job)['state'] == 'succeeded', 120, 'the backup')
    wait_replaced(server, before)
    assert_replaced(server, fleet, before)


@pytest.mark.allow_journal(r'ccpd\.service: (Main process exited|Failed with result)', r'Assertion failed for ccp-', r'Dependency failed for docker-',
                           r'Failed to start ccpd', r'Failed to send handoff timestamp', r'Failed at step EXEC')
def test_kills_and_a_power_cut_do_not_stop_it(server, fleet):
    before = master_key(server)['id']
    # As many rows as keep it busy: copies of a secret under other versions would not open, so the moments are tried one by one.
    server.sh('''ccpctl key rotate --no-wait
                 for n in 1 2 3 4 5; do sleep 0.$n; systemctl kill --signal=KILL ccpd || true; done''')
    server.reboot(hard=True)
    wait_replaced(server, before)
    server.wait(lambda: query(server, "SELECT ended_at IS NOT NULL FROM recoveries WHERE reason = 'boot' ORDER BY id DESC LIMIT 1") == 't',
                what='that the instances are back')
    # They are back when they are healthy: the last job may be about to end.
    server.wait(lambda: {server.json('show', slug)['job'] for slug in ('oslo', 'bergen')} == {'/'}, what='that all jobs have ended')
    for slug in ('oslo', 'bergen'):
        settled(server, slug)
    assert_replaced(server, fleet, before)
    outcomes = [entry['outcome'] for entry in server.json('audit', '--action=KEY_ROTATE', '--lines=2')]
    assert outcomes == ['accepted', 'succeeded']


def test_the_root_part_can_be_repeated(server, fleet):
    """Each step finds what an earlier one did, and leaves it."""
    before = files(server), server.sh(f'cat {KEYS}/* | sha256sum'), master_key(server)
    server.run(['/usr/lib/ccpd/ccp-setup', '--retire-key'])
    server.run(['/usr/lib/ccpd/ccp-setup', '--key'])
    assert (files(server), server.sh(f'cat {KEYS}/* | sha256sum'), master_key(server)) == before
    server.run(['/usr/lib/ccpd/ccp-setup', '--next-key'])
    made = server.sh(f'sha256sum <{KEYS}/ccpd.master-key-next')
    server.run(['/usr/lib/ccpd/ccp-setup', '--next-key'])
    assert server.sh(f'sha256sum <{KEYS}/ccpd.master-key-next') == made
    # Then it is on its way, and ccpd goes on with it when it is started.
    server.sh('systemctl restart ccpd')
    wait_replaced(server, before[2]['id'])
    assert_replaced(server, fleet, before[2]['id'])


@pytest.mark.allow_journal(r'ccp-master-key@next', r'root tried to replace', r'Failed with result', r'Main process exited')
def test_without_the_key_of_the_host_nothing_is_changed(server, fleet):
    before = files(server), master_key(server)
    server.sh('mv /var/lib/systemd/credential.secret /root/')
    try:
        result = server.ccpctl('key', 'rotate', check=False)
        assert result.returncode == 1 and 'ccp-master-key@next' in result.stderr, result
    finally:
        server.sh('mv /root/credential.secret /var/lib/systemd/')
    assert (files(server), master_key(server)) == before
    # The answer does not wait for the record.
    server.wait(lambda: server.json('audit', '--action=KEY_ROTATE', '--lines=1')[0]['outcome'] == 'failed', what='its entry')


# --- another key, or none ---

# PID 1 says so in the names of our units.
KEYLESS = pytest.mark.allow_journal(r'ccp(d|-job@\d+)\.service', r"Job \d+.*(exit-code|can't be run)", r'is sealed with the master key',
                                    r'CREDENTIALS')


def kept(server):
    """What no call may change that finds no key, or another one."""
    rows = [query(server, f'SELECT md5(t::text) FROM {table} t ORDER BY 1') for table in ('secrets', 'backup_keys', 'alert_secrets', 'backups', 'revisions')]
    return rows, server.sh('docker ps --quiet --no-trunc | sort; find /var/lib/ccpd -type f | sort')


@pytest.fixture
def key(server, fleet):
    """The file of the only key: what becomes of it in the test is mended after it."""
    file = f'{KEYS}/ccpd.master-key'
    server.sh(f'rm -f {KEYS}/ccpd.master-key-next; cp -p {file} /root/right-key')
    before = kept(server), master_key(server)
    yield file
    assert kept(server) == before[0]
    server.sh(f'mv /root/right-key {file}; systemctl reset-failed ccpd; systemctl restart ccpd')
    server.wait(lambda: server.ccpctl('key', 'status', check=False).returncode == 0, what='ccpd')
    assert (kept(server), master_key(server)) == before
    assert [slug_secrets(server, slug) for slug in ('oslo', 'bergen')] == fleet[0]


@KEYLESS
def test_without_a_key_nothing_of_ccpd_runs(server, fleet, key):
    for make in (f'echo nonsense >{key}', f'head -c 32 /dev/urandom | systemd-creds encrypt --name=other - {key}', f'rm {key}'):
        server.sh(make)
        # ccpd has its own since it began; a worker gets none, and is not made without.
        result = server.ccpctl('restart', 'oslo', check=False)
        assert result.returncode != 0 and 'journalctl -u ccp-job@' in result.stderr, result
    assert server.sh('systemctl restart ccpd >&2 || echo $?') == '1'
    # It is tried again each second; while it is, there is no status.
    server.wait(lambda: server.sh('systemctl show -P ExecMainStatus ccpd') == '243', what='the status of the credentials')
    # Nobody has to know what that number means. The bus waits for ccpd as long as it does for any service.
    result = server.ccpctl('doctor', check=False)
    assert result.returncode == 5 and f'{key},' in result.stdout and 'systemd could not give it the master key' in result.stdout, result


@KEYLESS
@FAILS
def test_with_another_key_nothing_is_sealed_or_opened(server, fleet, key):
    right = master_key(server)['id']
    server.sh(f'head -c 32 /dev/urandom | systemd-creds encrypt --name=ccpd.master-key - {key}; systemctl restart ccpd')
    server.wait(lambda: server.ccpctl('key', 'status', check=False).returncode == 0, what='ccpd')
    other = master_key(server)['id']
    assert other != right
    for command in (['create', 'voss', '--blueprint', 'hello', '--domain', 'voss.example.org'], ['backup', 'create', 'oslo'], ['alert', 'secret'],
                    ['secret', 'reveal', 'oslo', 'ADMIN_TOKEN'], ['restart', 'oslo'], ['key', 'rotate']):
        result = server.ccpctl(*command, check=False)
        assert result.returncode != 0 and right in result.stderr and other in result.stderr, (command, result)
    assert any(f['check'] == 'key' and f['verdict'] == 'failed' and right in f['message'] and key in f['advice']
               for f in server.json('doctor', check=False))
    # All else goes on.
    server.ccpctl('stop', 'bergen', '--quiet')
    result = server.ccpctl('start', 'bergen', check=False)
    assert result.returncode == 6 and 'Bring the right key back; nothing is lost' in result.stderr
    server.sh(f'cp -p /root/right-key {key}')
    server.sh('systemctl restart ccpd')
    server.wait(lambda: server.ccpctl('key', 'status', check=False).returncode == 0, what='ccpd')
    server.ccpctl('start', 'bergen', '--quiet')
