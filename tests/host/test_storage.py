# SPDX-License-Identifier: LGPL-2.1-or-later
"""Copies of backups in storage that speaks S3: made by themselves, made again until they are there, removed, and brought back."""

import json
import shlex

import pytest

from fleet import query
from instances import settled
from recovery import make_recovery_key
from storage import ACCESS_KEY, ENDPOINT, FOLDER, SECRET_KEY, Storage
from workers import kill_worker, pausing_at, resume_worker

BACKUPS = '/var/lib/ccpd/backups'
SLUG = 'oslo'
FAILS = pytest.mark.allow_journal(r'Turning back: ', r'The job failed: ')
KILLED = pytest.mark.allow_journal(r'ccp-job', r'Main process exited', r'Failed with result')
CANCELLED = pytest.mark.allow_journal(r'Turning back: ', r'The job was cancelled')


@pytest.fixture(scope='module')
def instance(server):
    secret, _ = make_recovery_key()
    server.write('/root/key', secret, mode='0600')
    server.ccpctl('key', 'enroll-recovery', '--recovery-key-file=/root/key', '--quiet')
    server.ccpctl('create', SLUG, '--blueprint', 'hello', '--domain', f'{SLUG}.example.org', '--quiet')
    return settled(server, SLUG)


@pytest.fixture(scope='module')
def storage(server, instance):
    made = Storage(server)
    made.up()
    made.set()
    yield made
    made.down()


@pytest.fixture(autouse=True)
def well(storage):
    storage.mode()
    storage.forget()
    yield
    storage.mode()
    if not storage.process:
        storage.up()


def backups(server, slug=SLUG):
    return [row for row in server.json('backup', 'list') if row['instance'] == slug]


def make(server, slug=SLUG):
    """A backup more; its row."""
    server.ccpctl('backup', 'create', slug, '--quiet', timeout=120)
    return backups(server, slug)[0]


def row(server, backup):
    return next(b for b in server.json('backup', 'list') if b['id'] == backup['id'])


def copied(server, backup):
    # An attempt that fails is made again half a minute after it began, then a minute, then two.
    server.wait(lambda: row(server, backup)['replicated_at'] > 0, 300, 'the copy')
    # That is on record before its job is at its end.
    server.wait(lambda: all(job['state'] in ('succeeded', 'failed', 'cancelled') for job in jobs(server, backup)), what='the end of its job')
    return row(server, backup)


def make_copied(server):
    return copied(server, make(server))


def path(backup):
    return f'{BACKUPS}/{backup["instance_id"]}/{backup["file"]}'


def same(server, storage, backup):
    """Whether file and object are equal, byte by byte."""
    return server.run(['cmp', path(backup), storage.file(backup['copy'])], check=False).returncode == 0


def jobs(server, backup, kind='replicate'):
    """Those about a backup, the newest first."""
    ids = query(server, f"SELECT string_agg(id::text, ' ' ORDER BY id DESC) FROM jobs WHERE kind = '{kind}' AND "
                f"spec ->> 'backup' = '{backup['id']}'").split()
    return [server.json('job', 'show', number) for number in ids]


def stored(server, *options):
    return server.json('backup', 'list', '--storage', *options)


def test_what_the_storage_lets_us_do(server, storage):
    result = server.ccpctl('storage', 'test')
    assert 'may write' in result.stdout and 'can be copied there' in result.stdout
    assert 'remove them all' in result.stdout
    assert storage.keys() == []
    storage.mode(delete='deny')
    findings = server.json('storage', 'test')
    assert [(f['check'], f['verdict']) for f in findings] == [('write', 'ok'), ('read', 'ok'), ('list', 'ok'), ('delete', 'ok')]
    assert 'that is good' in findings[3]['message']
    server.sh(f'rm {FOLDER}/objects/*')

    shown = server.json('storage', 'show')
    assert (shown['endpoint'], shown['bucket'], shown['path_style']) == (ENDPOINT, 'backups', True)
    assert any(f['check'] == 'storage' and f['verdict'] == 'ok' for f in server.json('doctor', check=False))
    # With other credentials, and with nobody there.
    storage.set(secret='wrong')
    result = server.ccpctl('storage', 'test', check=False)
    assert result.returncode == 1 and 'SignatureDoesNotMatch' in result.stdout
    assert 'Correct the secret key' in server.ccpctl('doctor', check=False).stdout
    storage.set()
    storage.down()
    result = server.ccpctl('storage', 'test', check=False)
    assert result.returncode == 1 and 'can be reached' in result.stdout
    assert server.ccpctl('storage', 'set', '--endpoint=ftp://x', '--bucket=b', check=False).returncode == 2
    assert server.ccpctl('storage', 'set', f'--endpoint={ENDPOINT}', check=False).returncode == 2


def test_a_backup_gets_its_copy_by_itself(server, storage):
    backup = make_copied(server)
    assert backup['state'] == 'verified' and same(server, storage, backup)
    assert storage.keys() == [backup['copy']]
    assert backup['copy'].startswith(f'{backup["instance_id"]}/{SLUG}-2') and backup['copy'].endswith(f'.{backup["archive"]}.ccpb')
    [job] = jobs(server, backup)
    assert (job['state'], job['started_by'], job['unit']) == ('succeeded', 'ccpd', f'ccp-transfer@{job["id"]}.service')
    assert 'replicated' in server.ccpctl('backup', 'list').stdout
    assert server.json('storage', 'show')['copied'] == 1
    server.wait(lambda: server.json('show', SLUG)['last_replicated_at'] > 0, what='the time of the copy')
    assert {e['outcome'] for e in server.json('audit', '--action=BACKUP_REPLICATE')} == {'accepted', 'succeeded'}
    [copy] = stored(server)
    assert (copy['key'], copy['backup'], copy['instance'], copy['size']) == (backup['copy'], backup['id'], SLUG, backup['size'])
    # Nothing of it is done twice.
    storage.forget()
    server.ccpctl('backup', 'replicate', backup['id'])
    assert storage.accepted('PUT') == [] and len(jobs(server, backup)) == 2


def test_who_speaks_to_the_network_has_nothing_of_docker(server, storage):
    folder = '/run/systemd/system/ccp-transfer@4242.service.d'
    probe = ('id -nG; for f in /run/docker.sock /run/dbus /var/lib/ccpd/instances /run/ccpd/storage; do '
             'test -r $f && echo reads $f; done; touch /var/lib/ccpd/backups/.probe && rm /var/lib/ccpd/backups/.probe && echo writes; '
             'touch /etc/x 2>/dev/null && echo everywhere; '
             f'bash -c ": </dev/tcp/127.0.0.1/{ENDPOINT.rpartition(":")[2]}" && echo network')
    server.write(f'{folder}/probe.conf', '[Service]\nType=exec\nExecStart=\nExecStopPost=\nRestart=no\n'
                 f'ExecStart=/bin/sh -c {shlex.quote(probe)}\n')
    server.sh('systemctl daemon-reload; systemctl start ccp-transfer@4242.service')
    server.wait(lambda: server.run(['systemctl', 'is-active', 'ccp-transfer@4242'], check=False).returncode != 0, what='the end')
    lines = [e['MESSAGE'] for e in server.journal(unit='ccp-transfer@4242.service') if e.get('SYSLOG_IDENTIFIER') == 'ccp-job']
    server.sh(f'rm -r {folder}; systemctl daemon-reload')
    assert lines == ['ccpd', 'writes', 'network']


def test_other_jobs_go_on_beside_it(server, storage):
    with pausing_at(server, 'upload', 'ccp-transfer') as paused:
        backup = make(server)
        paused()
        server.ccpctl('restart', SLUG, '--quiet', timeout=120)
        result = server.ccpctl('backup', 'delete', backup['id'], '--yes', check=False)
        assert result.returncode == 1 and f'job {jobs(server, backup)[0]["id"]}' in result.stderr
        # What it was given is in no command line, and no environment.
        server.write('/root/credentials', f'{ACCESS_KEY}\n{SECRET_KEY}\n', mode='0600')
        assert server.sh('cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | grep -c -a -F -f /root/credentials || true') == '0'
        resume_worker(server)
        copied(server, backup)


def test_the_credentials_are_nowhere(server, storage):
    make_copied(server)
    server.ccpctl('storage', 'test')
    for text in (SECRET_KEY, ACCESS_KEY):
        assert text not in server.sh('journalctl --no-pager --all -o export', timeout=300)
        assert text not in server.sh('su postgres -c "pg_dump ccpd"', timeout=300)
        assert text not in server.ccpctl('storage', 'show').stdout + server.ccpctl('storage', 'show', '--json=pretty').stdout
        assert text not in server.ccpctl('audit', '--lines=all', '--json=short').stdout


@FAILS
def test_while_it_is_down_it_is_tried_again_and_told(server, storage):
    server.ccpctl('settings', 'set', 'alert_copy_hours=1', '--quiet')
    storage.down()
    backup = make(server)
    server.wait(lambda: [job['state'] for job in jobs(server, backup)][-1:] == ['failed'], 120, 'the failure')
    assert row(server, backup)['state'] == 'verified' and row(server, backup)['replicated_at'] == 0
    assert server.json('show', SLUG)['error']['name'] == ''
    assert 'can be reached' in server.json('storage', 'show')['error']
    assert server.json('alert', 'list') == []
    query(server, f"UPDATE backups SET copy_wanted_at = now() - interval '2 hours' WHERE id = {backup['id']}")
    server.wait(lambda: [a['rule'] for a in server.json('alert', 'list')] == ['backup-unreplicated'], what='the alert')
    assert 'can be reached' in server.json('alert', 'list')[0]['message']
    # What is recorded outlives the daemon, and the server.
    server.reboot()
    storage.up()
    copied(server, backup)
    assert len(jobs(server, backup)) >= 2 and same(server, storage, row(server, backup))
    server.wait(lambda: server.json('alert', 'list') == [], what='the end of the alert')


def test_requests_that_fail_are_made_again(server, storage):
    storage.afresh(fail=[['PUT', 0, 2], ['HEAD', 0, 1], ['GET', 1, 3]])
    backup = copied(server, make(server))
    [job] = jobs(server, backup)
    assert job['attempt'] == 1 and same(server, storage, backup)
    assert len([line for line in storage.requests('PUT') if line.endswith(' 503')]) == 2


@KILLED
@pytest.mark.parametrize('step', ['upload', 'compare'])
def test_a_killed_worker_goes_on(server, storage, step):
    with pausing_at(server, step, 'ccp-transfer') as paused:
        backup = make(server)
        paused()
        assert row(server, backup)['replicated_at'] == 0
        kill_worker(server)
        copied(server, backup)
    [job] = jobs(server, backup)
    assert (job['state'], job['attempt']) == ('succeeded', 2)
    assert [key for key in storage.keys() if backup['archive'] in key] == [backup['copy'] or row(server, backup)['copy']]


# --- in parts ---


@pytest.fixture
def large(server, storage):
    """Backups are sent in three parts."""
    file = f'/var/lib/ccpd/instances/{SLUG}/large'
    server.sh(f'head -c 40000000 /dev/urandom >{file}; chown ccpd: {file}')
    yield
    server.sh(f'rm -f {file}')


def parts(storage):
    return [line for line in storage.accepted('PUT') if 'partNumber=' in line]


@FAILS
@pytest.mark.parametrize('code, advice', [('InvalidAccessKeyId', 'Correct the access key'), ('ExpiredToken', 'a key that does not expire')])
def test_credentials_that_go_bad_in_the_middle_of_an_upload(server, storage, large, code, advice):
    bad = [403, code]
    storage.afresh(fail=[['PUT', 1, 99, *bad], ['DELETE', 0, 99, *bad], ['GET', 1, 99, *bad], ['HEAD', 1, 99, *bad], ['POST', 1, 99, *bad]])
    storage.forget()
    backup = make(server)
    # The first one: half a minute after it began another one may.
    server.wait(lambda: [job['state'] for job in jobs(server, backup)][-1:] == ['failed'], 120, 'the failure')
    error = jobs(server, backup)[-1]['error']
    assert len(parts(storage)) == 1 and len(storage.uploads()) == 1 and backup['archive'] in storage.uploads()[0]
    assert error['name'].endswith('StorageFailed') and ENDPOINT in error['message'] and "'backups'" in error['message'], error
    assert f'403 ({code}' in error['message'] and advice in error['message'], error
    # What is here is what it was, and nobody is told of a copy.
    assert (row(server, backup)['state'], row(server, backup)['replicated_at']) == ('verified', 0)
    assert not [key for key in storage.keys() if backup['archive'] in key]
    assert code in server.json('storage', 'show')['error']
    query(server, f"UPDATE backups SET copy_wanted_at = now() - interval '3 days' WHERE id = {backup['id']}")
    server.wait(lambda: [a['rule'] for a in server.json('alert', 'list')] == ['backup-unreplicated'], what='the alert')
    assert code in server.json('alert', 'list')[0]['message']
    server.ccpctl('backup', 'verify', backup['id'], '--quiet')

    # With good ones it goes on by itself, once it is its turn.
    storage.mode()
    query(server, f"UPDATE backups SET copy_due_at = now() WHERE id = {backup['id']}")
    assert same(server, storage, copied(server, backup))
    assert storage.uploads() == [] and [key for key in storage.keys() if backup['archive'] in key] == [row(server, backup)['copy']]
    server.wait(lambda: server.json('alert', 'list') == [], what='the end of the alert')


@KILLED
def test_a_worker_that_is_killed_in_the_middle_of_an_upload(server, storage, large):
    storage.afresh(hold=[['PUT', 1, 2]])
    storage.forget()
    backup = make(server)
    server.wait(lambda: parts(storage), what='the first part')
    [left] = storage.uploads()
    kill_worker(server)
    storage.mode()
    backup = copied(server, backup)
    [job] = jobs(server, backup)
    assert (job['state'], job['attempt']) == ('succeeded', 2) and same(server, storage, backup)
    assert left.endswith(backup['copy']) and storage.uploads() == []
    assert [key for key in storage.keys() if backup['archive'] in key] == [backup['copy']]
    # The part that was there belonged to an upload that was ended: all were sent again.
    assert len([line for line in storage.accepted('DELETE') if 'uploadId=' in line]) == 1
    assert len([line for line in parts(storage) if 'partNumber=1&' in line]) == 2


def test_parts_that_are_refused_for_a_while(server, storage, large):
    # The end of an upload is answered by 200, and is none.
    storage.afresh(fail=[['PUT', 1, 3], ['POST', 1, 2, 200, 'InternalError']])
    storage.forget()
    backup = copied(server, make(server))
    [job] = jobs(server, backup)
    assert (job['state'], job['attempt']) == ('succeeded', 1) and same(server, storage, backup)
    assert len(storage.accepted('POST')) == 3 and storage.uploads() == [] and len(parts(storage)) == 3


@CANCELLED
def test_a_copy_can_be_cancelled(server, storage):
    with pausing_at(server, 'upload', 'ccp-transfer') as paused:
        backup = make(server)
        paused()
        job = jobs(server, backup)[0]['id']
        server.ccpctl('job', 'cancel', job, '--quiet')
        server.wait(lambda: server.json('job', 'show', job)['state'] == 'cancelled', what='the end')
        # Half a minute after it began there is another one, which may be soon: in here that stands still, too.
        assert (row(server, backup)['state'], row(server, backup)['replicated_at']) == ('verified', 0)
    # That is put off, not given up.
    server.wait(lambda: resume_worker(server) or row(server, backup)['replicated_at'] > 0, 300, 'the copy')
    copied(server, backup)
    assert len(jobs(server, backup)) == 2


@FAILS
def test_what_lies_there_already_is_never_replaced(server, storage):
    with pausing_at(server, 'upload', 'ccp-transfer') as paused:
        backup = make(server)
        paused()
        key = f'{backup["instance_id"]}/{SLUG}-{backup["file"].split("-")[-2]}.{backup["archive"]}.ccpb'
        server.sh(f'head -c {backup["size"]} /dev/zero >{storage.file(key)}')
        # This one: half a minute after it began there is another one.
        job = jobs(server, backup)[0]['id']
        resume_worker(server)
        server.wait(lambda: server.json('job', 'show', job)['state'] == 'failed', what='the failure')
    assert 'another one near byte 0' in server.json('job', 'show', job)['error']['message']
    assert row(server, backup)['replicated_at'] == 0
    server.sh(f'rm {storage.file(key)}')
    storage.set()
    server.wait(lambda: resume_worker(server) or row(server, backup)['replicated_at'] > 0, 300, 'the copy')
    assert copied(server, backup)['copy'] == key and same(server, storage, row(server, backup))


def test_a_copy_goes_with_its_backup(server, storage):
    backup = make_copied(server)
    make_copied(server)
    server.ccpctl('backup', 'delete', backup['id'], '--yes')
    server.wait(lambda: backup['copy'] not in storage.keys(), what='the end of the copy')
    server.wait(lambda: query(server, 'SELECT count(*) FROM doomed_copies') == '0', what='the end of its record')


def test_a_storage_that_keeps_everything(server, storage):
    backup = make_copied(server)
    make_copied(server)
    storage.mode(delete='deny')
    since = server.cursor()
    server.ccpctl('backup', 'delete', backup['id'], '--yes')
    server.wait(lambda: server.journal('SYSLOG_IDENTIFIER=ccp-storage', since=since), what='the word of it')
    server.wait(lambda: query(server, 'SELECT count(*) FROM doomed_copies') == '0', what='the end of it')
    assert [c['backup'] for c in stored(server) if c['key'] == backup['copy']] == ['']
    assert len(storage.requests('DELETE')) == 1 and server.json('alert', 'list') == []
    server.sh(f'rm {storage.file(backup["copy"])}')


def test_a_storage_that_is_away_is_cleaned_later(server, storage):
    backup = make_copied(server)
    make_copied(server)
    storage.down()
    server.ccpctl('backup', 'delete', backup['id'], '--yes')
    server.wait(lambda: query(server, 'SELECT attempts > 0 FROM doomed_copies') == 't', what='an attempt')
    storage.up()
    # It is tried at once.
    storage.set()
    server.wait(lambda: backup['copy'] not in storage.keys(), what='the end of the copy')


@FAILS
def test_a_file_comes_back(server, storage):
    backup = make_copied(server)
    server.sh(f'cp -p {path(backup)} /srv/whole; rm {path(backup)}')
    result = server.ccpctl('backup', 'verify', backup['id'], check=False)
    assert result.returncode == 6 and 'ccpctl backup fetch' in result.stderr
    assert row(server, backup)['state'] == 'damaged'
    # That it is damaged here makes neither record nor copy go, as long as it would be kept if it was not.
    server.ccpctl('backup', 'create', SLUG, '--quiet', timeout=300)
    server.ccpctl('backup', 'prune', SLUG, '--yes', timeout=300)
    assert row(server, backup)['state'] == 'damaged' and backup['copy'] in storage.keys()
    server.ccpctl('backup', 'fetch', backup['id'])
    assert (row(server, backup)['state'], row(server, backup)['error']) == ('verified', '')
    assert server.sh(f'cmp {path(backup)} /srv/whole && echo same') == 'same'
    server.ccpctl('backup', 'restore', backup['id'], '--quiet', timeout=300)
    server.ccpctl('backup', 'drill', backup['id'], '--quiet', timeout=300)

    # Nothing that is damaged there takes the place of what is here.
    server.sh(f'printf X | dd of={storage.file(backup["copy"])} bs=1 seek=1500 conv=notrunc status=none')
    result = server.ccpctl('backup', 'fetch', backup['id'], check=False)
    assert result.returncode == 6 and 'The copy in the storage' in result.stderr
    assert server.sh(f'cmp {path(backup)} /srv/whole && echo same; ls {BACKUPS}/{backup["instance_id"]} | grep -c fetched || true'
                     ) == 'same\n0'
    # What is gone there is copied anew.
    server.sh(f'rm {storage.file(backup["copy"])}')
    result = server.ccpctl('backup', 'fetch', backup['id'], check=False)
    assert result.returncode == 6 and "There is no '" in result.stderr
    assert copied(server, backup) and same(server, storage, backup)


@FAILS
def test_a_file_that_has_no_room_stays_there(server, storage):
    backup = make_copied(server)
    folder = f'{BACKUPS}/{backup["instance_id"]}'
    server.sh(f'mv {path(backup)} /srv/whole; mount -t tmpfs -o size=64k,mode=0700 tmpfs {folder}; chown ccpd: {folder}; head -c 60000 /dev/zero >{folder}/full')
    try:
        result = server.ccpctl('backup', 'fetch', backup['id'], check=False)
        assert result.returncode == 6 and f'There is no room for 1 MiB more in {BACKUPS}: 0 MiB are free' in result.stderr, result.stderr
        assert server.sh(f'ls -A {folder}') == 'full'
        assert jobs(server, backup, 'fetch')[0]['error']['name'].endswith('NoSpace')
    finally:
        server.sh(f'umount {folder}; mv /srv/whole {path(backup)}')
    assert (row(server, backup)['state'], row(server, backup)['replicated_at'] > 0) == ('verified', True)


@KILLED
def test_a_killed_fetch_goes_on(server, storage):
    backup = make_copied(server)
    server.sh(f'cp -p {path(backup)} /srv/whole; rm {path(backup)}')
    with pausing_at(server, 'verify', 'ccp-transfer') as paused:
        server.ccpctl('backup', 'fetch', backup['id'], '--no-wait')
        paused()
        assert not server.exists(path(backup))
        kill_worker(server)
        server.wait(lambda: jobs(server, backup, 'fetch')[0]['state'] == 'succeeded', what='the end')
    assert server.sh(f'cmp {path(backup)} /srv/whole && echo same') == 'same'
    assert server.sh(f'ls {BACKUPS}/{backup["instance_id"]} | grep -c fetched || true') == '0'


@FAILS
def test_with_nothing_but_the_storage_and_the_recovery_key(server, storage):
    """As on an empty server: the records know neither the instance nor its backups, nor any key of theirs."""
    backup = make_copied(server)
    storage.mode(delete='deny')
    server.ccpctl('delete', SLUG, '--yes', '--quiet', timeout=120)
    query(server, 'DELETE FROM backups; DELETE FROM backup_keys')
    server.sh(f'rm -r {BACKUPS}/*')
    storage.set()
    assert server.json('backup', 'list') == []
    copy = next(c for c in stored(server, f'--instance={SLUG}') if c['archive'] == backup['archive'])
    assert copy['backup'] == '' and copy['key'] == backup['copy']

    server.write('/root/other-key', make_recovery_key()[0], mode='0600')
    result = server.ccpctl('backup', 'import', '--storage', copy['key'], '--recovery-key-file=/root/other-key', check=False)
    assert result.returncode != 0 and 'sealed for' in result.stderr
    result = server.ccpctl('backup', 'import', '--storage', copy['key'].replace('-', '0'), '--recovery-key-file=/root/key', check=False)
    assert result.returncode == 2
    missing = copy['key'].replace(backup['archive'], '00000000' + backup['archive'][8:])
    result = server.ccpctl('backup', 'import', '--storage', missing, '--recovery-key-file=/root/key', check=False)
    assert result.returncode == 3, result.stderr
    server.ccpctl('backup', 'import', '--storage', copy['key'], '--recovery-key-file=/root/key', '--quiet')
    [taken] = server.json('backup', 'list')
    assert (taken['instance'], taken['state'], taken['archive']) == (SLUG, 'verified', backup['archive'])
    assert '.import-' not in server.sh(f'find {BACKUPS} -name ".*"')
    server.ccpctl('backup', 'restore', taken['id'], f'--as={SLUG}', f'--domain={SLUG}.example.org', '--quiet', timeout=300)
    assert settled(server, SLUG)['health'] == 'healthy'
    # Its copy is the one that is there.
    assert copied(server, taken)['copy'] == copy['key']
    assert [key for key in storage.keys() if backup['archive'] in key] == [copy['key']]
    entry = next(e for e in server.json('audit', '--action=BACKUP_EXPORT') if e['details'].get('copy') == copy['key'])
    assert entry['outcome'] == 'succeeded'
    # What is on its way out would go with the storage's refusal.
    server.wait(lambda: query(server, 'SELECT count(*) FROM doomed_copies') == '0', what='that all others stay there')


def test_forgetting(server, storage):
    keys = storage.keys()
    assert server.ccpctl('storage', 'forget', check=False).returncode == 2
    server.ccpctl('storage', 'forget', '--yes', '--quiet')
    assert server.json('storage', 'show') == {} and storage.keys() == keys
    assert {b['replicated_at'] for b in server.json('backup', 'list')} == {0}
    assert server.ccpctl('backup', 'list', '--storage', check=False).returncode == 1
    # Named again, what is there is found, and not sent.
    storage.set()
    for backup in server.json('backup', 'list'):
        copied(server, backup)
    assert storage.keys() == keys and storage.accepted('PUT') == []
    assert json.loads(server.ccpctl('audit', '--action=STORAGE_FORGET', '--json=short').stdout)[0]['outcome'] == 'succeeded'


def look_for_copies(server):
    """ccpd looks whether all are there, as it does once a day."""
    query(server, "UPDATE storage SET compared_at = now() - interval '25 hours'")
    server.wait(lambda: query(server, "SELECT compared_at > now() - interval '1 hour' FROM storage") == 't', what='the look')


def test_a_copy_that_is_gone_is_made_anew(server, storage):
    kept, gone = make_copied(server), make_copied(server)
    look_for_copies(server)
    assert server.json('storage', 'show')['compared_at'] > gone['replicated_at']
    assert [len(jobs(server, backup)) for backup in (kept, gone)] == [1, 1]
    # As the rules of the storage do, or somebody who has the credentials.
    server.sh(f'rm {storage.file(gone["copy"])}')
    assert row(server, gone)['replicated_at'] > 0
    since = server.cursor()
    look_for_copies(server)
    again = server.wait(lambda: (b := row(server, gone))['replicated_at'] > gone['replicated_at'] and b, what='the copy')
    assert same(server, storage, again) and row(server, kept) == kept
    assert any(f'has not the copy of backup {gone["id"]}' in line['MESSAGE'] for line in server.journal(since=since))
