# SPDX-License-Identifier: LGPL-2.1-or-later
"""The server is lost: what is left is the file of a backup and the recovery key. A second, empty server brings the instance back."""

import pytest

import test_restore
from instances import settled
from recovery import make_recovery_key
from test_changemaker import put_source, state
from test_restore import differences
from users import add_user, grant
from workers import kill_worker, pausing_at

IMAGES = 'changemaker-lite'
SLUG = test_restore.SLUG
FILE = '/srv/bergen.ccpb'
FAILS = pytest.mark.allow_journal(r'(Turning back|The job failed): ')
instance = test_restore.instance


@pytest.fixture(scope='module')
def lost(server, instance):
    """A backup and a recovery key, as somebody carried them away, and what was in the instance."""
    secret, public = make_recovery_key()
    server.write('/root/key', secret, mode='0600')
    server.ccpctl('key', 'enroll-recovery', '--recovery-key-file=/root/key')
    server.ccpctl('backup', 'create', SLUG, '--consistency=paused', timeout=300)
    [listed] = server.json('backup', 'list')
    server.sh(f'ccpctl backup export {listed["id"]} >{FILE}')
    assert server.ccpctl('backup', 'export', listed['id'], f'--output={FILE}', check=False).returncode != 0
    assert server.sh(f'cmp {FILE} /var/lib/ccpd/backups/{instance["id"]}/{listed["file"]} && echo same') == 'same'
    entry = server.json('audit', '--action=BACKUP_EXPORT')[-1]
    assert entry['outcome'] == 'succeeded'
    return {'created_at': listed['created_at'], 'file': server.sh(f'base64 -w0 {FILE}'), 'key': secret, 'data': test_restore.data(server),
            'signer': server.sh(f"ccp-backup-extract info {FILE} | sed -n 's/.*Signed by: //p'"),
            'encryption': server.ccpctl('secret', 'reveal', SLUG, 'ENCRYPTION_KEY').stdout}


def put(server, lost):
    server.run(['sh', '-c', f'base64 -d >{FILE}'], input=lost['file'])
    server.write('/root/key', lost['key'], mode='0600')


def imports(server):
    return server.sh('find /var/lib/ccpd/backups -type f 2>/dev/null || true')


@FAILS
def test_an_empty_server_brings_it_back(server, instance, lost, new_server):
    other = new_server('empty', images=IMAGES)
    put(other, lost)
    assert other.json('list') == []

    # With another key, another signer, or none, nothing is taken in.
    other.write('/root/other-key', make_recovery_key()[0], mode='0600')
    assert other.ccpctl('backup', 'import', FILE, check=False).returncode == 2
    result = other.ccpctl('backup', 'import', FILE, '--recovery-key-file=/root/other-key', check=False)
    assert result.returncode != 0 and 'sealed for' in result.stderr
    result = other.ccpctl('backup', 'import', FILE, '--recovery-key-file=/root/key', f'--signer={"0" * 64}', check=False)
    assert result.returncode == 2 and lost['signer'] in result.stderr
    assert other.json('backup', 'list') == []

    # Nor what is damaged.
    other.sh(f'cp {FILE} /srv/spoiled; printf X | dd of=/srv/spoiled bs=1 seek=1000000 conv=notrunc status=none')
    result = other.ccpctl('backup', 'import', '/srv/spoiled', '--recovery-key-file=/root/key', check=False, timeout=300)
    assert result.returncode == 6 and 'damaged' in result.stderr
    assert other.json('backup', 'list') == []

    # Whose it is on a server that knows nothing of it is told, and on record.
    assert lost['signer'] in other.ccpctl('backup', 'import', FILE, '--recovery-key-file=/root/key', timeout=300).stdout
    [row] = other.json('backup', 'list')
    assert row['signer'] == lost['signer'] and row['created_at'] == lost['created_at']
    assert [e['details'].get('signer') for e in other.json('audit', '--action=BACKUP_IMPORT') if e['outcome'] == 'accepted'][-1] == lost['signer']
    assert f'signed by {lost["signer"]}' in other.ccpctl('job', 'show', other.json('job', 'list', '--lines=1')[0]['id']).stdout
    assert (row['instance'], row['state'], row['blueprint']) == (SLUG, 'verified', 'changemaker-lite')
    assert '.import-' not in imports(other)
    result = other.ccpctl('backup', 'import', FILE, '--recovery-key-file=/root/key', check=False)
    assert result.returncode != 0 and 'already' in result.stderr

    # There is neither its source tree nor anything else of the other server.
    other.ccpctl('backup', 'restore', row['id'], f'--as={SLUG}', f'--domain={SLUG}.example.org', timeout=600)
    assert settled(other, SLUG)['health'] == 'healthy'
    assert differences(other, lost['data']) == []
    assert state(other, other.json('show', SLUG))
    assert other.ccpctl('secret', 'reveal', SLUG, 'ENCRYPTION_KEY').stdout == lost['encryption']

    # It is verified and drilled as its own are.
    other.ccpctl('backup', 'verify', row['id'], timeout=300)
    other.ccpctl('backup', 'create', SLUG, timeout=300)


@FAILS
def test_a_killed_import_goes_on(server, instance, lost):
    put(server, lost)
    server.ccpctl('backup', 'delete', server.json('backup', 'list')[0]['id'], '--last', '--yes')
    with pausing_at(server, 'verify') as paused:
        server.ccpctl('backup', 'import', FILE, '--recovery-key-file=/root/key', '--no-wait')
        paused()
        kill_worker(server)
        server.wait(lambda: server.json('job', 'list', '--lines=1')[0]['state'] == 'succeeded', 180, 'the end')
    [row] = server.json('backup', 'list')
    assert row['state'] == 'verified'
    assert imports(server).split() == [f'/var/lib/ccpd/backups/{instance["id"]}/{row["file"]}']
    # It is the instance's own again.
    server.ccpctl('backup', 'restore', row['id'], timeout=600)
    assert differences(server, lost['data']) == []


test_a_killed_import_goes_on = pytest.mark.allow_journal(r'ccp-job', r'Main process exited', r'Failed with result')(test_a_killed_import_goes_on)


@FAILS
def test_nobody_else_signs_for_an_instance_of_this_server(server, instance, lost):
    """The server signs with another key since: so the file is what somebody with the public half of the recovery key makes."""
    put(server, lost)
    server.ccpctl('backup', 'delete', *[row['id'] for row in server.json('backup', 'list')], '--last', '--yes')
    server.sh("cd /; runuser -u postgres -- psql -qX -d ccpd -c \"DELETE FROM backup_keys WHERE name = 'signing'\"")
    server.ccpctl('backup', 'create', SLUG, timeout=300)
    [own] = server.json('backup', 'list')
    server.wait(lambda: server.json('show', SLUG)['last_backup_at'] == own['created_at'], what='the time of the backup')

    result = server.ccpctl('backup', 'import', FILE, '--recovery-key-file=/root/key', check=False)
    assert result.returncode == 2 and lost['signer'] in result.stderr and 'an instance of this server' in result.stderr
    assert server.json('backup', 'list') == [own] and '.import-' not in imports(server)
    server.ccpctl('backup', 'import', FILE, '--recovery-key-file=/root/key', f'--signer={lost["signer"]}', timeout=300)

    # It is older than what was made here, whenever it came: it takes nobody's place.
    [imported] = [row for row in server.json('backup', 'list') if row['id'] != own['id']]
    assert imported['created_at'] == lost['created_at'] < own['created_at']
    assert server.json('show', SLUG)['last_backup_at'] == own['created_at']
    server.ccpctl('set', SLUG, 'backup_keep_last=1', 'backup_keep_daily=0', 'backup_keep_weekly=0', 'backup_keep_monthly=0')
    plan = {row['id']: (row['kept'], row['reason']) for row in server.json('backup', 'prune', SLUG, '--dry-run')}
    assert plan[own['id']][0] and plan[imported['id']] == (True, 'imported')
    server.ccpctl('backup', 'verify', imported['id'], timeout=300)
    assert server.ccpctl('backup', 'delete', own['id'], '--yes', check=False).returncode != 0
    server.ccpctl('backup', 'delete', imported['id'], '--yes')


@pytest.mark.allow_journal(r'olga tried to (import|export)')
def test_who_may(server, instance, lost):
    add_user(server, 'olga')
    grant(server, 'operator', user='olga')
    [row] = server.json('backup', 'list')
    assert server.ccpctl('backup', 'export', row['id'], '--output=/tmp/x', user='olga', check=False).returncode == 4
    server.sh(f'cp /root/key /tmp/key; cp {FILE} /tmp/file; chmod 644 /tmp/key /tmp/file')
    assert server.ccpctl('backup', 'import', '/tmp/file', '--recovery-key-file=/tmp/key', user='olga', check=False).returncode == 4
