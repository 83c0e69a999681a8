# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backups of Changemaker Lite: a real PostgreSQL, Redis and nginx, real volumes; opened again without ccpd, and spoiled."""

import contextlib
import json

import pytest

from fleet import query
from instances import containers, settled
from recovery import make_recovery_key
from test_changemaker import put_source, state
from users import add_user, grant
from workers import engine_that_loses, kill_worker, pausing_at, resume_worker

IMAGES = 'changemaker-lite'
SLUG = 'oslo'
PROJECT = f'{SLUG}_ccp'
BACKUPS = '/var/lib/ccpd/backups'
SECRETS = ('POSTGRES_PASSWORD', 'REDIS_PASSWORD', 'JWT_ACCESS_SECRET')


@pytest.fixture(scope='module')
def instance(server):
    put_source(server)
    server.ccpctl('create', SLUG, '--blueprint', 'changemaker-lite', '--domain', f'{SLUG}.example.org', '--source', '/srv/campaign',
                  timeout=600)
    docker = ['docker', 'exec', '-i', f'{PROJECT}-v2-postgres-1', 'psql', '-qU', 'changemaker', 'changemaker']
    server.run(docker, input='CREATE TABLE signatures AS SELECT n, md5(n::text) AS name FROM generate_series(1, 50000) AS n;')
    server.sh(f'''cd "$(docker volume inspect -f '{{{{.Mountpoint}}}}' {PROJECT}_uploads)"
                  mkdir -p deep/er; printf 'odd' >'deep/a
b'; ln -s ../x deep/er/link; ln 'deep/a
b' deep/hard; head -c 3000000 /dev/urandom >noise; truncate -s 5G hole; chown -R 1234:5678 deep; python3 -c 'import os; os.setxattr("noise", "user.note", b"yes")';
                  mkfifo pipe; touch -d '1999-12-31 23:59:59.123456789' deep/er''')
    return settled(server, SLUG)


@pytest.fixture(scope='module')
def recovery_key(server):
    """A key whose public half every backup from now on is sealed for."""
    secret, public = make_recovery_key()
    server.run(['runuser', '-u', 'ccpd', '--', 'psql', '-Xq', 'ccpd', '-c',
                f"INSERT INTO recovery_keys (id, public, enrolled_by) VALUES ('test', decode('{public}', 'hex'), 'root')"])
    server.write('/root/recovery-key', secret, mode='0600')
    return '/root/recovery-key'


def backups(server, **options):
    return server.json('backup', 'list', **options)


def files(server):
    return set(server.sh(f'cd {BACKUPS} 2>/dev/null && find . -type f || true').split())


def helpers(server):
    return server.sh("docker ps -a --filter name=ccp-helper --format '{{.Names}}'; docker image ls -q ccp-helper; "
                     'docker image ls -q --filter dangling=true')


def paused(server):
    return server.sh("docker ps --filter status=paused --format '{{.Names}}'")


def test_a_backup_is_verified_and_says_what_is_in_it(server, instance, recovery_key):
    server.ccpctl('backup', 'create', SLUG, timeout=300)
    [listed] = backups(server)
    assert (listed['instance'], listed['state'], listed['blueprint']) == (SLUG, 'verified', 'changemaker-lite')
    assert listed['verified_at'] >= listed['created_at'] > 0
    names = {entry['name']: entry for entry in listed['contents']}
    assert set(names) == {'databases/v2-postgres/changemaker.dump', 'volumes/uploads.tar', 'volumes/redis-data.tar', 'folder.tar',
                          'secrets.json'}
    assert names['databases/v2-postgres/changemaker.dump']['size'] > 50000 * 32
    assert 3000000 < names['volumes/uploads.tar']['size'] < 4000000
    assert files(server) == {f'./{instance["id"]}/{listed["file"]}'}
    assert server.sh(f'stat -c "%U %a" {BACKUPS}/{instance["id"]}/{listed["file"]}') == 'ccpd 600'
    assert (helpers(server), paused(server)) == ('', '')
    assert server.json('show', SLUG)['state'] == 'running'
    shown = server.ccpctl('backup', 'show', listed['id']).stdout
    assert 'verified' in shown and 'volumes/uploads.tar' in shown


def test_it_is_opened_without_ccpd(server, instance, recovery_key):
    [listed] = backups(server)
    file = f'{BACKUPS}/{instance["id"]}/{listed["file"]}'
    everything = '/srv/opened'
    # Nothing of what it holds can be read in it.
    for secret in SECRETS:
        value = server.ccpctl('secret', 'reveal', SLUG, secret).stdout.strip()
        assert server.run(['grep', '-qaF', value, file], check=False).returncode == 1
    assert 'Signed by' in server.run(['ccp-backup-extract', 'info', file]).stdout
    server.run(['ccp-backup-extract', 'extract', '-k', recovery_key, '-C', everything, file], timeout=120)
    assert json.loads(server.file(f'{everything}/secrets.json'))['POSTGRES_PASSWORD'] == server.ccpctl(
        'secret', 'reveal', SLUG, 'POSTGRES_PASSWORD').stdout.strip()
    assert json.loads(server.file(f'{everything}/manifest.json'))['instance']['slug'] == SLUG

    # A volume is what it was, by rsync's account and by tar's.
    server.sh(f'''mkdir {everything}/uploads; tar -C {everything}/uploads --xattrs --acls --numeric-owner -xpf {everything}/volumes/uploads.tar
                  test "$(stat -c %b {everything}/uploads/hole)" -lt 100''')
    volume = server.sh(f"docker volume inspect -f '{{{{.Mountpoint}}}}' {PROJECT}_uploads")
    differences = server.sh(f'rsync --archive --acls --xattrs --hard-links --numeric-ids --checksum --delete --dry-run --itemize-changes '
                            f'--exclude=/hole {volume}/ {everything}/uploads/')
    assert differences == ''

    # And so is the database.
    server.run(['docker', 'exec', '-i', f'{PROJECT}-v2-postgres-1', 'createdb', '-U', 'changemaker', 'again'])
    server.sh(f'''docker exec -i {PROJECT}-v2-postgres-1 pg_restore --exit-on-error --single-transaction -U changemaker -d again \\
                      <{everything}/databases/v2-postgres/changemaker.dump
                  for db in changemaker again; do
                      docker exec {PROJECT}-v2-postgres-1 pg_dump --inserts -U changemaker $db | grep -v restrict | sort >/srv/$db.sql
                  done
                  cmp /srv/changemaker.sql /srv/again.sql; test "$(wc -l </srv/again.sql)" -gt 50000
                  docker exec {PROJECT}-v2-postgres-1 dropdb -U changemaker again''')


def test_a_damaged_file_is_found_out(server, instance, recovery_key):
    [listed] = backups(server)
    file = f'{BACKUPS}/{instance["id"]}/{listed["file"]}'
    server.sh(f'cp {file} /srv/spoiled; printf X | dd of=/srv/spoiled bs=1 seek=2000000 conv=notrunc status=none')
    for arguments in (['verify'], ['verify', '-k', recovery_key], ['extract', '-k', recovery_key, '-C', '/srv/nothing']):
        result = server.run(['ccp-backup-extract', *arguments, '/srv/spoiled'], check=False, timeout=120)
        assert result.returncode == 1 and 'damaged at byte' in result.stderr
    assert not server.exists('/srv/nothing')


def test_a_file_that_changes_is_read_again_with_the_containers_paused(server, instance):
    volume = server.sh(f"docker volume inspect -f '{{{{.Mountpoint}}}}' {PROJECT}_uploads")
    # It grows for as long as it is read, but for when the containers are paused.
    container = server.sh(f"docker ps -q --filter volume={PROJECT}_uploads | head -n1")
    mounted = server.sh(f"docker inspect -f '{{{{range .Mounts}}}}{{{{.Name}}}} {{{{.Destination}}}}{{{{println}}}}{{{{end}}}}' {container} | "
                        f"sed -n 's/^{PROJECT}_uploads //p'")
    server.sh(f'docker exec -d -u 0 {container} sh -c "echo \\$\\$ >/tmp/writer; head -c 200000000 /dev/zero >{mounted}/log; while :; do echo more >>{mounted}/log; done"')
    try:
        server.wait(lambda: int(server.sh(f'stat -c %s {volume}/log 2>/dev/null || echo 0')) > 200000000, 120, 'the log')
        server.ccpctl('backup', 'create', SLUG, timeout=300)
    finally:
        server.sh(f'docker exec -u 0 {container} sh -c \'kill "$(cat /tmp/writer)"; rm {mounted}/log\'')
    assert backups(server)[0]['consistency'] == 'paused'
    assert (helpers(server), paused(server)) == ('', '')
    assert len(files(server)) == 2
    # They serve as before.
    assert state(server, instance)


def test_what_changed_while_it_was_read_is_said_of_a_live_backup(server, instance):
    volume = server.sh(f"docker volume inspect -f '{{{{.Mountpoint}}}}' {PROJECT}_uploads")
    server.sh(f'head -c 200000000 /dev/zero >{volume}/log; touch /run/growing; '
              f'(while [ -e /run/growing ]; do echo more >>{volume}/log; done) </dev/null >/dev/null 2>&1 & echo $! >/run/grower')
    try:
        server.ccpctl('backup', 'create', SLUG, '--consistency=live', timeout=300)
    finally:
        server.sh(f'rm /run/growing; while kill -0 "$(cat /run/grower)" 2>/dev/null; do sleep 0.1; done; rm {volume}/log')
    backup = backups(server)[0]
    assert backup['consistency'] == 'live'
    entry = next(entry for entry in backup['contents'] if entry['name'] == 'volumes/uploads.tar')
    assert (entry['n_changed'], entry['n_skipped']) == (1, 0)
    shown = server.ccpctl('backup', 'show', backup['id']).stdout
    assert [line for line in shown.splitlines() if 'uploads.tar' in line][0].endswith('with files that changed while they were read')
    server.ccpctl('backup', 'delete', backup['id'], '--yes', timeout=60)


def assert_nothing_left(server, before, job_state, error=None):
    job = server.json('job', 'list', '--lines=1')[0]
    assert (job['kind'], job['state']) == ('backup', job_state)
    if error:
        assert job['error']['name'].endswith(error)
    assert (backups(server), files(server)) == before
    assert (helpers(server), paused(server)) == ('', '')
    assert server.json('show', SLUG)['state'] == 'running'


FAILS = pytest.mark.allow_journal(r'(Turning back|The job failed): ')


DATABASE = f'{PROJECT}-v2-postgres-1'


@contextlib.contextmanager
def pg_dump_is(server, script):
    """The tool of the database is this script meanwhile, and the real one is pg_dump.real. It also has a folder /tmp/test."""
    server.run(['docker', 'exec', '-i', DATABASE, 'sh', '-euc', '''mv "$(command -v pg_dump)" /usr/local/bin/pg_dump.real
                mkdir /tmp/test; cat >/usr/local/bin/pg_dump; chmod 755 /usr/local/bin/pg_dump'''], input=f'#!/bin/sh\ncase $1 in --version) exec pg_dump.real "$@" ;; esac\n{script}\n')
    try:
        yield
    finally:
        server.wait(lambda: server.run(['docker', 'exec', DATABASE, 'true'], check=False).returncode == 0, what='the container')
        server.sh(f"docker exec {DATABASE} sh -c 'mv /usr/local/bin/pg_dump.real /usr/local/bin/pg_dump; rm -r /tmp/test'")


def there(server, path):
    """Waits for a file in the container of the database."""
    server.wait(lambda: server.run(['docker', 'exec', DATABASE, 'test', '-e', path], check=False).returncode == 0, 180, path)


@FAILS
@pytest.mark.parametrize('script, words', [
    ('pg_dump.real "$@" | head -c 100000; exit 1', 'ended with 1:'),
    ('pg_dump.real "$@" >/tmp/test/dump; head -c $(($(stat -c %s /tmp/test/dump) * 9 / 10)) /tmp/test/dump; kill -KILL $$',
     'ended with 137: it was killed'),
    # Those end well.
    (':', 'no whole dump'), ('echo nothing', 'no whole dump'),
    ('pg_dump.real "$@" | head -c 100000', 'cannot be read'), ('pg_dump.real "$@" | head -c 1000000', 'cannot be read'),
], ids=['fails', 'is-killed', 'writes-nothing', 'writes-something-else', 'breaks-off', 'breaks-off-later'])
def test_a_dump_whose_tool_fails_is_no_backup(server, instance, script, words):
    before = backups(server), files(server)
    with pg_dump_is(server, script):
        result = server.ccpctl('backup', 'create', SLUG, check=False, timeout=300)
    assert result.returncode == 6 and "'v2-postgres'" in result.stderr and words in result.stderr, result.stderr
    assert_nothing_left(server, before, 'failed', 'EngineFailed')


@pytest.mark.parametrize('stream', [1, 2], ids=['data', 'report'])
def test_what_the_engine_loses_is_read_again(server, instance, stream):
    since = server.cursor()
    with engine_that_loses(server, stream, 'pack', 2):
        server.ccpctl('backup', 'create', SLUG, timeout=300)
    job = server.json('job', 'list', '--lines=1')[0]
    assert (job['state'], job['attempt']) == ('succeeded', 1)
    said = [entry['MESSAGE'] for entry in server.journal(f'CCP_JOB={job["id"]}', since=since)]
    assert sum('the Docker Engine lost a part of what ccp-vol wrote' in line for line in said) == 2, said
    assert backups(server)[0]['state'] == 'verified' and helpers(server) == ''


@FAILS
def test_an_engine_that_loses_all_makes_no_backup(server, instance):
    before = backups(server), files(server)
    with engine_that_loses(server, 2, 'pack', 1000):
        result = server.ccpctl('backup', 'create', SLUG, check=False, timeout=300)
    assert result.returncode == 6 and 'Is the server overloaded?' in result.stderr, result.stderr
    assert_nothing_left(server, before, 'failed', 'EngineFailed')


@contextlib.contextmanager
def little_memory(server, container):
    """What this gives, called, has the programs of a container live with 64 MiB. A server without a controller for memory of its
    own borrows the one of the outer machine, which is of the former kind."""
    if 'memory' in server.file('/sys/fs/cgroup/cgroup.controllers').split():
        yield lambda: server.sh(f'docker update --memory=64m --memory-swap=64m {container}')
        server.sh(f'docker update --memory=4g --memory-swap=-1 {container}')
        return
    server.sh('''mkdir -p /run/memory; mount -t cgroup -o memory memory /run/memory
                 mkdir /run/memory/ccp-test; echo 64M >/run/memory/ccp-test/memory.limit_in_bytes''')
    try:
        yield lambda: server.sh(f'''for pid in $(docker top {container} -eo pid,comm | sed -n 's/ *\\([0-9]*\\) pg_dump$/\\1/p'); do
                                       echo $pid >/run/memory/ccp-test/cgroup.procs; done; grep -q . /run/memory/ccp-test/cgroup.procs''')
    finally:
        server.sh('''for pid in $(cat /run/memory/ccp-test/cgroup.procs); do echo $pid >/run/memory/cgroup.procs; done
                     rmdir /run/memory/ccp-test; umount /run/memory''')


@FAILS
def test_a_tool_that_takes_too_much_memory_makes_no_backup(server, instance):
    before = backups(server), files(server)
    # A text without a line's end is held in memory until it ends.
    hog = 'pg_dump.real "$@" | head -c 1000000; touch /tmp/test/half; until [ -e /tmp/test/go ]; do sleep 0.1; done; exec tail -n 1 /dev/zero'
    with pg_dump_is(server, hog), little_memory(server, DATABASE) as limit:
        server.ccpctl('backup', 'create', SLUG, '--no-wait')
        job = server.json('job', 'list', '--lines=1')[0]['id']
        there(server, '/tmp/test/half')
        limit()
        server.sh(f'docker exec {DATABASE} touch /tmp/test/go')
        # The list is what the records say; ccpd itself, whom the next one asks for a job, knows a moment later.
        server.wait(lambda: server.json('job', 'show', job)['state'] == 'failed', 300, 'the end')
    assert_nothing_left(server, before, 'failed', 'EngineFailed')
    message = server.json('job', 'list', '--lines=1')[0]['error']['message']
    assert "'v2-postgres'" in message and 'ended with 137: it was killed: with its container, or for want of memory' in message


AWAY = pytest.mark.allow_journal(r'[Tt]he Docker Engine', r'Docker does not answer', r'after a restart of the engine')


@AWAY
@pytest.mark.parametrize('act', ['restart', 'kill'])
def test_an_engine_that_ends_in_the_middle_of_a_dump(server, instance, act):
    """The dump is none, whatever of it came; the database runs again, and is dumped again."""
    known, ran, since = files(server), running(server), server.cursor()
    with pg_dump_is(server, '''pg_dump.real "$@" >/tmp/test/dump
            head -c 100000 /tmp/test/dump
            [ -e /tmp/test/half ] || { touch /tmp/test/half; sleep 60; }
            tail -c +100001 /tmp/test/dump'''):
        server.ccpctl('backup', 'create', SLUG, '--no-wait')
        number = server.json('job', 'list', '--lines=1')[0]['id']
        there(server, '/tmp/test/half')
        assert [file for file in files(server) - known if file.endswith('.part')]
        server.sh('systemctl restart docker.service' if act == 'restart' else 'systemctl kill --signal=KILL --kill-whom=main docker.service')
        server.wait(lambda: server.json('job', 'show', number)['state'] != 'running', 300, 'the end')
    # What ccpd starts after that is a job, too.
    job = server.json('job', 'show', number)
    assert (job['kind'], job['state'], job['attempt']) == ('backup', 'succeeded', 1), job
    said = [entry['MESSAGE'] for entry in server.journal(f'CCP_JOB={job["id"]}', since=since)]
    assert any(line.startswith("write: waiting for the engine: Cannot dump the database of 'v2-postgres'") for line in said), said
    # Of what came first nothing is in it.
    [new] = files(server) - known
    assert not new.endswith('.part') and backups(server)[0]['file'] == new.rpartition('/')[2]
    assert backups(server)[0]['state'] == 'verified'
    assert {entry['name']: entry for entry in backups(server)[0]['contents']}['databases/v2-postgres/changemaker.dump']['size'] > 50000 * 32
    assert (helpers(server), paused(server), running(server)) == ('', '', ran)
    well(server)


@FAILS
@pytest.mark.parametrize('step', ['write', 'verify'])
def test_a_cancelled_backup_leaves_nothing(server, instance, step):
    before = backups(server), files(server)
    with pausing_at(server, step) as stands_still:
        server.ccpctl('backup', 'create', SLUG, '--no-wait')
        job = server.json('job', 'list', '--lines=1')[0]['id']
        stands_still()
        server.ccpctl('job', 'cancel', job, '--no-wait')
        server.wait(lambda: server.json('job', 'show', job)['state'] == 'cancelled', 120, 'the end')
        assert_nothing_left(server, before, 'cancelled')


@pytest.mark.allow_journal(r'ccp-job', r'Main process exited', r'Failed with result')
@pytest.mark.parametrize('step', ['write', 'verify'])
def test_a_killed_backup_begins_again_and_leaves_one_file(server, instance, step):
    before = files(server)
    with pausing_at(server, step) as stands_still:
        server.ccpctl('backup', 'create', SLUG, '--no-wait')
        job = server.json('job', 'list', '--lines=1')[0]['id']
        stands_still()
        kill_worker(server)
        server.wait(lambda: server.json('job', 'show', job)['state'] == 'succeeded', 180, 'the end')
    new = files(server) - before
    assert len(new) == 1 and not new.pop().endswith('.part')
    assert backups(server)[0]['state'] == 'verified'
    assert (helpers(server), paused(server)) == ('', '')


@pytest.mark.allow_journal(r'ccp-job', r'Main process exited', r'Failed with result')
def test_a_backup_that_is_killed_while_containers_are_paused_goes_on(server, instance):
    volume = server.sh(f"docker volume inspect -f '{{{{.Mountpoint}}}}' {PROJECT}_uploads")
    server.sh(f'head -c 1000000000 /dev/zero >{volume}/large')
    try:
        server.ccpctl('backup', 'create', SLUG, '--consistency=paused', '--no-wait')
        job = server.json('job', 'list', '--lines=1')[0]['id']
        server.wait(lambda: paused(server) != '', 120, 'the pause', interval=0.02)
        # What reads volumes takes its share from the jobs', not from an instance's.
        parent = "docker ps -q --filter name=ccp-helper | xargs -r docker inspect -f '{{.HostConfig.CgroupParent}}'"

        def reads():
            # Of one volume after the other; between two there is none. The worker, who takes what is read, waits for these looks.
            server.sh('pkill -STOP -x ccp-job')
            seen = (server.sh(parent, check=False) == 'ccp-jobs.slice' and
                    '--memory=1g --memory-swap=1g --pids-limit=64' in server.sh('pgrep -af "docker .*container run" || true'))
            if not seen:
                resume_worker(server)
            return seen

        server.wait(reads, what='the program that reads the volume, and its limits', interval=0.02)
        kill_worker(server)
        server.wait(lambda: server.json('job', 'show', job)['state'] == 'succeeded', 300, 'the end')
    finally:
        server.sh(f'rm {volume}/large')
    assert server.json('job', 'show', job)['attempt'] == 2
    assert backups(server)[0]['consistency'] == 'paused'
    assert (helpers(server), paused(server)) == ('', '')
    assert not [file for file in files(server) if file.endswith('.part')]


def running(server):
    return set(server.sh(f"docker ps --filter label=ccp.instance={SLUG} --format '{{{{.Label \"com.docker.compose.service\"}}}}'").split())


def well(server):
    """Real probes take their time."""
    server.wait(lambda: server.json('show', SLUG)['health'] == 'healthy', 180, f'the health of {SLUG}')


def begin_cold_with_much_to_read(server):
    """Gives the job, and what ends it, once nothing runs any more."""
    volume = server.sh(f"docker volume inspect -f '{{{{.Mountpoint}}}}' {PROJECT}_uploads")
    server.sh(f'head -c 1500000000 /dev/zero >{volume}/large')
    server.ccpctl('backup', 'create', SLUG, '--consistency=cold', '--no-wait')
    server.wait(lambda: not running(server), 120, 'that nothing runs')
    # The database was left alone while it was dumped: it was ended after all others.
    ended = {service: container['State']['FinishedAt'] for service, container in containers(server, SLUG).items()}
    assert max(ended, key=ended.get) == 'v2-postgres', ended
    return server.json('job', 'list', '--lines=1')[0]['id'], lambda: server.sh(f'rm {volume}/large')


def test_a_cold_backup_stops_all_and_starts_it_again(server, instance):
    before = running(server)
    job, clean_up = begin_cold_with_much_to_read(server)
    # Nobody takes that for a crash.
    assert server.ccpctl('backup', 'create', SLUG, check=False).returncode == 1
    assert server.json('show', SLUG)['drift'] == []
    try:
        server.wait(lambda: server.json('job', 'show', job)['state'] != 'running', 300, 'the end')
    finally:
        clean_up()
    assert server.json('job', 'show', job)['state'] == 'succeeded'
    assert backups(server)[0]['consistency'] == 'cold'
    assert running(server) == before and helpers(server) == ''
    well(server)
    assert 'cold' in server.json('job', 'show', job)['steps'][0]['detail']


@FAILS
def test_a_cold_backup_that_is_cancelled_starts_all_again(server, instance):
    before, known = running(server), (backups(server), files(server))
    job, clean_up = begin_cold_with_much_to_read(server)
    try:
        server.ccpctl('job', 'cancel', job, timeout=300)
    finally:
        clean_up()
    assert_nothing_left(server, known, 'cancelled')
    assert running(server) == before
    well(server)


@pytest.mark.allow_journal(r'ccp-job', r'Main process exited', r'Failed with result')
def test_a_cold_backup_that_is_killed_goes_on_and_starts_all_again(server, instance):
    before, n = running(server), len(backups(server))
    job, clean_up = begin_cold_with_much_to_read(server)
    try:
        kill_worker(server)
        server.wait(lambda: server.json('job', 'show', job)['state'] == 'succeeded', 300, 'the end')
    finally:
        clean_up()
    assert server.json('job', 'show', job)['attempt'] == 2
    assert backups(server)[0]['consistency'] == 'cold' and len(backups(server)) == n + 1
    assert running(server) == before and helpers(server) == ''
    well(server)


def test_what_is_stopped_is_backed_up_cold_and_stays_stopped(server, instance):
    server.ccpctl('stop', SLUG)
    n_containers = len(server.sh(f'docker ps -aq --filter label=ccp.instance={SLUG}').split())
    server.ccpctl('backup', 'create', SLUG, '--consistency=live', timeout=300)
    [backup, *_] = backups(server)
    assert (backup['state'], backup['consistency']) == ('verified', 'cold')
    entries = {entry['name']: entry for entry in backup['contents']}
    assert entries['databases/v2-postgres/changemaker.dump']['size'] > 50000 * 32
    assert running(server) == set() and helpers(server) == ''
    assert server.json('show', SLUG)['state'] == 'stopped'
    assert len(server.sh(f'docker ps -aq --filter label=ccp.instance={SLUG}').split()) == n_containers
    # A backup of all is one of those that run.
    assert server.ccpctl('backup', 'create', '--all', check=False).returncode == 0
    assert backups(server)[0]['id'] == backup['id']
    server.ccpctl('start', SLUG, timeout=300)
    well(server)


@FAILS
def test_a_setting_says_how_still_it_is_kept(server, instance):
    for value in ('lukewarm', ''):
        assert server.ccpctl('set', SLUG, f'backup_consistency={value}', check=False).returncode == 2
    server.ccpctl('set', SLUG, 'backup_consistency=paused')
    server.ccpctl('backup', 'create', SLUG, '--quiet', timeout=300)
    assert backups(server)[0]['consistency'] == 'paused'
    server.ccpctl('backup', 'create', SLUG, '--quiet', '--consistency=live', timeout=300)
    assert backups(server)[0]['consistency'] == 'live'
    server.ccpctl('set', SLUG, 'backup_consistency=default')
    # One that failed would have to be started again, of which nobody knows how much ran.
    query(server, f"UPDATE instances SET state = 'failed' WHERE slug = '{SLUG}'")
    server.sh('systemctl restart ccpd')
    server.wait(lambda: server.json('show', SLUG)['state'] == 'failed', what='the state')
    try:
        before = running(server)
        result = server.ccpctl('backup', 'create', SLUG, '--consistency=cold', check=False)
        assert result.returncode != 0 and f"ccpctl backup create {SLUG}" in result.stderr
        assert running(server) == before
    finally:
        server.ccpctl('start', SLUG, timeout=300)


@FAILS
@pytest.mark.parametrize('size,more,words', [
    ('1m', 0, 'There is no room for'),   # As large as the last one: nothing is begun.
    ('6m', 6, 'No space left'),
    ('40m', 100, 'MiB are kept for others'),  # It ends before the disk is full.
])
def test_a_full_disk_is_said_and_leaves_nothing(server, instance, size, more, words):
    volume = server.sh(f"docker volume inspect -f '{{{{.Mountpoint}}}}' {PROJECT}_uploads")
    before = backups(server), files(server)
    server.sh(f'''head -c {more}000000 /dev/urandom >{volume}/more
                  mkdir -p /srv/real; mount --bind {BACKUPS} /srv/real
                  mount -t tmpfs -o size={size},mode=0700 tmpfs {BACKUPS}; chown ccpd: {BACKUPS}
                  install -d -o ccpd -g ccpd -m 700 {BACKUPS}/{instance['id']}''')
    try:
        result = server.ccpctl('backup', 'create', SLUG, check=False, timeout=300)
        assert result.returncode == 6 and words in result.stderr, result.stderr
        assert files(server) == set()
    finally:
        # The worker ends a moment after its job, and has the folder open until then.
        server.wait(lambda: server.run(['pgrep', '-x', 'ccp-job'], check=False).returncode == 1, what='the end of the worker')
        server.sh(f'umount {BACKUPS} /srv/real; rm {volume}/more')
    assert_nothing_left(server, before, 'failed', 'NoSpace')


@FAILS
@pytest.mark.parametrize('call', ['fsync', 'renameat2'])
def test_a_disk_that_fails_makes_no_backup(server, instance, call):
    before = backups(server), files(server)
    server.sh('mkdir -p /run/systemd/system/ccp-job@.service.d; '
              f'printf "[Service]\nSystemCallFilter=~{call}:EIO\n" >/run/systemd/system/ccp-job@.service.d/fail.conf; systemctl daemon-reload')
    try:
        result = server.ccpctl('backup', 'create', SLUG, check=False, timeout=300)
        assert result.returncode == 6 and 'Input/output error' in result.stderr, result.stderr
    finally:
        server.sh('rm -r /run/systemd/system/ccp-job@.service.d; systemctl daemon-reload')
    assert_nothing_left(server, before, 'failed')
    server.ccpctl('backup', 'create', SLUG, '--quiet', timeout=300)


@pytest.mark.allow_journal(r'carol tried to back up oslo: denied')
def test_who_may(server, instance):
    add_user(server, 'carol')
    grant(server, 'client', user='carol', instance=SLUG)
    assert len(backups(server, user='carol')) == len(backups(server))
    assert server.ccpctl('backup', 'create', SLUG, user='carol', check=False).returncode == 4
    add_user(server, 'oscar')
    grant(server, 'operator', user='oscar')
    server.ccpctl('backup', 'create', SLUG, '--consistency=live', user='oscar', timeout=300)
    assert server.ccpctl('backup', 'create', SLUG, '--consistency=lukewarm', check=False).returncode == 2
    add_user(server, 'eve')
    assert server.ccpctl('backup', 'list', user='eve', check=False).returncode == 4
    assert server.ccpctl('backup', 'show', '999999', check=False).returncode == 3
    entry = json.loads(server.ccpctl('audit', '--action=BACKUP_CREATE', '--user=oscar', '--lines=1', '--json=short').stdout)[0]
    assert entry['outcome'] == 'succeeded'


def test_backups_outlive_the_instance(server, instance):
    before = backups(server), files(server)
    server.ccpctl('delete', SLUG, '--yes', timeout=300)
    assert (backups(server), files(server)) == before
