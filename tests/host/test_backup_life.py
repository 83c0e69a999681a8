# SPDX-License-Identifier: LGPL-2.1-or-later
"""What becomes of backups: they are read again, found damaged, deleted, and go on being what they are when a worker is killed."""

import json

import pytest

from instances import settled
from recovery import make_recovery_key
from users import add_user, grant
from workers import kill_worker, pausing_at, resume_worker

BACKUPS = '/var/lib/ccpd/backups'
SLUG = 'oslo'
KILLED = pytest.mark.allow_journal(r'ccp-job', r'Main process exited', r'Failed with result')
DAMAGED = pytest.mark.allow_journal(r'Turning back: ', r'The job failed: ')


@pytest.fixture(scope='module')
def instance(server):
    server.ccpctl('create', SLUG, '--blueprint', 'hello', '--domain', f'{SLUG}.example.org')
    return settled(server, SLUG)


def make(server, slug=SLUG):
    """A backup more; its row."""
    server.ccpctl('backup', 'create', slug, '--quiet', timeout=120)
    return backups(server, slug)[0]


def backups(server, slug=SLUG):
    return [row for row in server.json('backup', 'list') if row['instance'] == slug]


def path(backup):
    return f'{BACKUPS}/{backup["instance_id"]}/{backup["file"]}'


def files(server):
    return set(server.sh(f'cd {BACKUPS} && find . -type f').split())


def expected_files(server):
    """One for each row, and no other."""
    return {f'./{row["instance_id"]}/{row["file"]}' for row in server.json('backup', 'list')}


def last_job(server):
    return server.json('job', 'list', '--lines=1')[0]


def wait_last_job(server):
    """Until ccpd knows that it has succeeded: the records know before, but nobody else is let at its instance."""
    job = last_job(server)['id']
    server.wait(lambda: server.json('job', 'show', job)['state'] == 'succeeded', what=f'ccpd to hear of the end of job {job}')


def entries(server, action, lines=1):
    return json.loads(server.ccpctl('audit', f'--action={action}', f'--lines={lines}', '--json=short').stdout)


def test_a_backup_is_read_again(server, instance):
    backup = make(server)
    server.ccpctl('backup', 'verify', backup['id'])
    assert (last_job(server)['kind'], last_job(server)['state']) == ('verify', 'succeeded')
    again = backups(server)[0]
    assert again['verified_at'] > backup['verified_at'] and again['state'] == 'verified' and again['error'] == ''
    assert {entry['outcome'] for entry in entries(server, 'BACKUP_VERIFY', 2)} == {'accepted', 'succeeded'}
    assert server.ccpctl('backup', 'verify', '999999', check=False).returncode == 3


@DAMAGED
def test_a_damaged_file_is_found(server, instance):
    good, backup = make(server), make(server)
    server.sh(f'cp -p {path(backup)} /srv/whole; printf X | dd of={path(backup)} bs=1 seek=1500 conv=notrunc status=none')
    result = server.ccpctl('backup', 'verify', good['id'], backup['id'], check=False)
    assert result.returncode == 6 and 'damaged at byte' in result.stderr
    assert last_job(server)['error']['name'].endswith('BackupDamaged')
    newest, older = backups(server)[:2]
    assert (newest['state'], older['state']) == ('damaged', 'verified')
    assert 'damaged at byte' in newest['error'] and newest['error'] in server.ccpctl('backup', 'show', backup['id']).stdout
    # A copy of it is no backup.
    result = server.ccpctl('backup', 'export', backup['id'], '--output=/srv/damaged.ccpb', check=False)
    assert result.returncode == 1 and f'Backup {backup["id"]} is damaged' in result.stderr
    assert server.sh('stat -c %s /srv/damaged.ccpb; rm /srv/damaged.ccpb') == str(newest['size'])
    assert server.json('show', SLUG)['error']['name'] == ''

    # Cut off, and gone.
    server.sh(f'truncate -s -1 {path(backup)}')
    assert server.ccpctl('backup', 'verify', backup['id'], check=False).returncode == 6
    server.sh(f'rm {path(backup)}')
    assert 'is gone' in server.ccpctl('backup', 'verify', backup['id'], check=False).stderr
    # Another good one in its place is not this one.
    server.sh(f'cp -p {path(good)} {path(backup)}')
    assert 'Another file' in server.ccpctl('backup', 'verify', backup['id'], check=False).stderr
    # As it was again.
    server.sh(f'cp -p /srv/whole {path(backup)}')
    server.ccpctl('backup', 'verify', backup['id'])
    assert (backups(server)[0]['state'], backups(server)[0]['error']) == ('verified', '')


def test_backups_of_what_does_not_run_are_read_too(server, instance):
    server.ccpctl('stop', SLUG, '--quiet')
    backup = backups(server)[0]
    server.ccpctl('backup', 'verify', backup['id'])
    assert "the databases' tools were not asked" in json.dumps(last_job(server)['steps'])
    assert server.json('show', SLUG)['state'] == 'stopped'
    server.ccpctl('start', SLUG, '--quiet')


def test_deleting_takes_file_and_record(server, instance):
    before = backups(server)
    server.ccpctl('backup', 'delete', before[0]['id'], '--yes')
    assert [row['id'] for row in backups(server)] == [row['id'] for row in before[1:]]
    assert files(server) == expected_files(server)
    assert server.ccpctl('backup', 'show', before[0]['id'], check=False).returncode == 3
    accepted, done = sorted(entries(server, 'BACKUP_DELETE', 2), key=lambda entry: int(entry['seq']))
    assert (accepted['outcome'], done['outcome']) == ('accepted', 'succeeded')
    assert accepted['details'] == {'backup': before[0]['id']}
    # Its number is not given again.
    assert make(server)['sequence'] == before[0]['sequence'] + 1


def test_the_last_one_stays(server, instance):
    server.ccpctl('backup', 'delete', *[row['id'] for row in backups(server)[1:]], '--yes')
    [backup] = backups(server)
    result = server.ccpctl('backup', 'delete', backup['id'], '--yes', check=False)
    assert result.returncode == 1 and '--last' in result.stderr
    assert backups(server) == [backup] and files(server) == expected_files(server)
    # Without a terminal nobody can be asked.
    assert server.ccpctl('backup', 'delete', backup['id'], check=False).returncode == 2
    server.ccpctl('backup', 'delete', backup['id'], '--yes', '--last')
    assert backups(server) == [] and files(server) == set()
    make(server)


def test_what_is_in_use_is_not_deleted(server, instance):
    backup, _ = make(server), make(server)
    with pausing_at(server, 'read') as paused:
        server.ccpctl('backup', 'verify', backup['id'], '--no-wait')
        paused()
        result = server.ccpctl('backup', 'delete', backup['id'], '--yes', check=False)
        assert result.returncode == 1 and f'job {last_job(server)["id"]}' in result.stderr
        resume_worker(server)
        wait_last_job(server)
    assert backup['id'] in [row['id'] for row in backups(server)]


@KILLED
@pytest.mark.parametrize('step', ['choose', 'files', 'records'])
def test_a_killed_deletion_goes_on(server, instance, step):
    backup = make(server)
    with pausing_at(server, step) as paused:
        server.ccpctl('backup', 'delete', backup['id'], '--yes', '--no-wait')
        paused()
        # What is listed has its file, at any time.
        assert expected_files(server) <= files(server)
        kill_worker(server)
        wait_last_job(server)
    assert last_job(server)['attempt'] == 2
    assert files(server) == expected_files(server)
    assert backup['id'] not in [row['id'] for row in backups(server)]


@DAMAGED
def test_what_cannot_be_deleted_stays_in_the_list(server, instance):
    backup = make(server)
    folder = f'{BACKUPS}/{backup["instance_id"]}'
    server.sh(f'chown root {folder}; chmod 555 {folder}')
    try:
        result = server.ccpctl('backup', 'delete', backup['id'], '--yes', check=False)
        assert result.returncode == 6 and 'Cannot remove the backup' in result.stderr
        assert backups(server)[0]['id'] == backup['id'] and files(server) == expected_files(server)
    finally:
        server.sh(f'chmod 700 {folder}; chown ccpd {folder}')
    server.ccpctl('job', 'retry', last_job(server)['id'])
    assert files(server) == expected_files(server) and backups(server)[0]['id'] != backup['id']


def test_the_folder_is_there_as_long_as_a_backup_is_on_record(server, instance):
    """Without it there is no telling whether its file system is mounted."""
    lost = backups(server)
    newest = make(server)
    server.sh('rm ' + ' '.join(path(backup) for backup in lost))
    server.ccpctl('backup', 'delete', newest['id'], '--yes')
    assert files(server) == set() and server.exists(f'{BACKUPS}/{newest["instance_id"]}')
    make(server)
    server.ccpctl('backup', 'delete', *[backup['id'] for backup in lost], '--yes', '--quiet')
    assert files(server) == expected_files(server)


def test_imports_that_wait_for_their_turn_are_left_alone(server, instance):
    """Also by others that begin meanwhile; and what is refused is not kept."""
    server.write('/root/key', make_recovery_key()[0], mode='0600')
    server.ccpctl('key', 'enroll-recovery', '--recovery-key-file=/root/key')
    slugs = (SLUG, 'tromso', 'molde')
    for slug in slugs[1:]:
        server.ccpctl('create', slug, '--blueprint', 'hello', '--domain', f'{slug}.example.org', '--quiet')
    made = {slug: make(server, slug) for slug in slugs}
    for slug in slugs:
        server.ccpctl('backup', 'export', made[slug]['id'], f'--output=/srv/{slug}.ccpb')
        server.ccpctl('backup', 'delete', *[row['id'] for row in backups(server, slug)], '--last', '--yes', '--quiet')

    def bring(slug, **options):
        return server.ccpctl('backup', 'import', f'/srv/{slug}.ccpb', '--recovery-key-file=/root/key', '--no-wait', **options)

    server.ccpctl('settings', 'set', 'job_concurrency=1')
    with pausing_at(server, 'copy') as paused:
        bring(SLUG)
        paused()
        bring('tromso')
        result = bring(SLUG, check=False)
        assert result.returncode != 0 and 'here already' in result.stderr, result.stderr
        bring('molde')
        assert len(server.sh(f'ls -A {BACKUPS} | grep import-').split()) == 3
    resume_worker(server)
    server.wait(lambda: all(job['finished_at'] for job in server.json('job', 'list')), what='the end of all jobs')
    assert {slug: [row['state'] for row in backups(server, slug)] for slug in slugs} == {slug: ['verified'] for slug in slugs}
    assert files(server) == expected_files(server)

    # One whose instance has another job.
    server.ccpctl('backup', 'delete', backups(server)[0]['id'], '--last', '--yes', '--quiet')
    with pausing_at(server, 'containers') as paused:
        server.ccpctl('restart', SLUG, '--no-wait')
        paused()
        result = bring(SLUG, check=False)
        assert result.returncode != 0 and 'is at work on' in result.stderr, result.stderr
        assert files(server) == expected_files(server)
    resume_worker(server)
    server.wait(lambda: all(job['finished_at'] for job in server.json('job', 'list')), what='the end of the restart')
    wait_last_job(server)
    server.ccpctl('settings', 'set', 'job_concurrency=')
    bring(SLUG)
    server.wait(lambda: [row['state'] for row in backups(server)] == ['verified'], what='the import')
    wait_last_job(server)
    for slug in slugs[1:]:
        server.ccpctl('delete', slug, '--yes', '--quiet')
        server.ccpctl('backup', 'delete', *[row['id'] for row in backups(server, slug)], '--last', '--yes', '--quiet')


@pytest.mark.allow_journal(r'tried to (verify|delete) a backup( of \w+)?: denied')
def test_who_may(server, instance):
    add_user(server, 'carol')
    grant(server, 'operator', user='carol', instance=SLUG)
    add_user(server, 'vera')
    grant(server, 'viewer', user='vera')
    backup = make(server)
    server.ccpctl('backup', 'verify', backup['id'], user='carol')
    assert server.ccpctl('backup', 'verify', backup['id'], user='vera', check=False).returncode == 4
    for user in ('carol', 'vera'):
        assert server.ccpctl('backup', 'delete', backup['id'], '--yes', user=user, check=False).returncode == 4
    # That there is one is told to nobody who has no role on its instance.
    server.ccpctl('create', 'other', '--blueprint', 'hello', '--domain', 'other.example.org', '--quiet')
    other = make(server, 'other')
    for number in (other['id'], '999999'):
        assert server.ccpctl('backup', 'verify', number, user='carol', check=False).returncode == 4


@DAMAGED
def test_backups_of_what_is_gone(server, instance):
    [backup] = backups(server, 'other')
    server.ccpctl('delete', 'other', '--yes')
    server.ccpctl('backup', 'verify', backup['id'])
    assert 'the instance is gone' in json.dumps(last_job(server)['steps'])
    # What needs the instance says so, and what to do.
    for verb in ('drill', 'restore'):
        result = server.ccpctl('backup', verb, backup['id'], check=False)
        assert result.returncode == 3 and f"ccpctl backup restore {backup['id']} --as=" in result.stderr, result
    # It is all that is left.
    result = server.ccpctl('backup', 'delete', backup['id'], '--yes', check=False)
    assert result.returncode == 1 and 'no such instance here' in result.stderr and '--last' in result.stderr, result
    server.sh(f'printf X | dd of={path(backup)} bs=1 seek=1500 conv=notrunc status=none')
    assert server.ccpctl('backup', 'verify', backup['id'], check=False).returncode == 6
    assert backups(server, 'other')[0]['state'] == 'damaged'
    # What is damaged brings nothing back. Another instance of that name has nothing to do with it.
    server.ccpctl('create', 'other', '--blueprint', 'hello', '--domain', 'other.example.org', '--quiet')
    server.ccpctl('backup', 'delete', backup['id'], '--yes')
    assert backups(server, 'other') == [] and files(server) == expected_files(server)
    assert not server.exists(f'{BACKUPS}/{backup["instance_id"]}')
    assert server.json('show', 'other')['state'] == 'running'
