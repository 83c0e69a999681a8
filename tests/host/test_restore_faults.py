# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ends a restore, or its undoing, at the moments that count: an instance has all of its former data or all of the backup's,
and no volume more than it should. The instance is a small one; test_restore.py has a real application."""

import pytest

from fleet import put_blueprints, query
from instances import containers, settled
from workers import engine_that_loses, holding, kill_worker, pausing_at, resume_worker, stands_still

SLUG = 'bergen'
INSTANCES = '/var/lib/ccpd/instances'
KILLED = pytest.mark.allow_journal(r'ccp-job', r'Main process exited', r'Failed with result')
FAILS = pytest.mark.allow_journal(r'(Turning back|The job failed): ')
AWAY = pytest.mark.allow_journal(r'Docker does not answer', r'after a restart of the engine', r'[Tt]he Docker Engine')
# Two services, of two stages, with a volume each; what lies in the one makes the other sick.
SHELF = {
    'blueprint.yaml': '''
name: shelf
title: Shelf
version: "1.0"
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
services:
  store: { stage: infrastructure, timeout: 20s, health: { type: container } }
  front: { stage: application, timeout: 15s, health: { type: container } }
state:
  volumes: [{ name: books }, { name: index }]
''',
    'docker-compose.yml.hbs': '''
services:
  store:
    image: busybox:1.37
    command: [sleep, infinity]
    init: true
    restart: unless-stopped
    volumes: ["books:/data"]
  front:
    image: busybox:1.37
    command: [sleep, infinity]
    init: true
    restart: unless-stopped
    volumes: ["index:/data"]
    healthcheck: { test: [CMD-SHELL, "! test -e /data/sick"], interval: 1s, retries: 1 }
volumes:
  books: {}
  index: {}
''',
}


def execute(server, service, script):
    return server.run(['docker', 'exec', f'{SLUG}_ccp-{service}-1', 'sh', '-euc', script]).stdout.strip()


def put(server, which):
    """The data of both volumes."""
    for service in ('store', 'front'):
        execute(server, service, f'echo {which} >/data/which')


@pytest.fixture(scope='module')
def instance(server):
    put_blueprints(server, shelf=SHELF)
    server.ccpctl('create', SLUG, '--blueprint', 'shelf', '--domain', f'{SLUG}.example.org', '--quiet')
    return settled(server, SLUG)


def make_backup(server):
    server.ccpctl('backup', 'create', SLUG, '--quiet')
    return server.json('backup', 'list')[0]['id']


@pytest.fixture(scope='module')
def backup(server, instance):
    put(server, 'former')
    return make_backup(server)


@pytest.fixture(scope='module')
def sick_backup(server, instance, backup):
    """With it the application does not get well."""
    put(server, 'sick')
    execute(server, 'front', 'touch /data/sick')
    try:
        return make_backup(server)
    finally:
        execute(server, 'front', 'rm /data/sick')
        server.wait(lambda: server.json('show', SLUG)['health'] == 'healthy', what='the health')


@pytest.fixture
def present(server, backup):
    """Data that is not the backup's, and nothing that is kept."""
    server.ccpctl('restore', 'discard', SLUG, '--yes', '--quiet', check=False)
    put(server, 'present')
    assert_whole(server, 'present')


@pytest.fixture
def restored(server, backup):
    """After a restore, or after one was undone: the data that the instance has, and the data that are kept."""
    if not server.json('show', SLUG)['restores']:
        put(server, 'present')
        server.ccpctl('backup', 'restore', backup, '--quiet', timeout=120)
    which = execute(server, 'store', 'cat /data/which')
    assert_whole(server, which, kept=2)
    return which, {'present': 'former', 'former': 'present'}[which]


def last_job(server, kind=None):
    """Of that kind: ccpd may have begun one of another meanwhile."""
    return next(job for job in server.json('job', 'list', '--lines=20') if kind in (None, job['kind']))


def step_state(server, name):
    steps = server.json('job', 'show', last_job(server)['id'])['steps']
    return next(step['state'] for step in steps if step['name'] == name)


def assert_whole(server, which, kept=0):
    """All containers run with the data of one time, and there are no other volumes than theirs and those that are kept."""
    found = containers(server, SLUG)
    assert set(found) == {'store', 'front'} and all(c['State']['Running'] for c in found.values()), found
    assert [execute(server, service, 'cat /data/which') for service in found] == [which, which]
    used = {mount['Name'] for c in found.values() for mount in c['Mounts']}
    volumes = set(server.sh(f'docker volume ls -q --filter label=ccp.instance={SLUG}').split())
    assert len(used) == 2 and used <= volumes and len(volumes) == 2 + kept, volumes
    assert set(server.sh('docker volume ls -q').split()) == volumes
    # After a restart of the Engine ccpd may have something to start, too; and what is kept it reads after the end of the job.
    unfinished = "SELECT count(*) FROM jobs WHERE finished_at IS NULL; SELECT count(*) FROM restores WHERE state = 'building'"
    server.wait(lambda: query(server, unfinished) == '0\n0', what='the end of all jobs')
    shown = server.wait(lambda: (s := settled(server, SLUG))['job'] == '/' and (len(s['restores']) > 0) == (kept > 0) and s,
                        what='the news of the end')
    assert (shown['state'], shown['health'], len(shown['restores']) > 0) == ('running', 'healthy', kept > 0)
    # The records, the folder and the containers speak of the same revision.
    revision = query(server, f"SELECT revision FROM instances WHERE slug = '{SLUG}'")
    assert {c['Config']['Labels']['ccp.revision'] for c in found.values()} == {revision}
    assert server.sh(f'readlink {INSTANCES}/{SLUG}/current') == f'revisions/{revision}'
    assert server.sh("docker ps -aq --filter name=^ccp-; docker network ls -q --filter name=^ccp-job; docker image ls -q ccp-helper; "
                     f'ls -A {INSTANCES}/{SLUG} | grep aside || true') == ''


def assert_ended(server, kind, state, attempt):
    server.wait(lambda: last_job(server, kind)['state'] in ('succeeded', 'failed', 'cancelled'), 180, 'the end')
    job = last_job(server, kind)
    assert (job['kind'], job['state'], job['attempt']) == (kind, state, attempt), job


def restore_row(server):
    return f'restores WHERE job = {last_job(server)["id"]}'


def step_row(server, name):
    return f"job_steps WHERE job = {last_job(server)['id']} AND name = '{name}'"


def restore_state(server):
    return query(server, f'SELECT state FROM {restore_row(server)}')


def runs(server):
    return {service for service, c in containers(server, SLUG).items() if c['State']['Running']}


# The containers are stopped, and the record of the instance is the former one, or names the other volumes already.
IN_SWITCH = {'before-the-record': (restore_row, 'building'), 'after-the-record': (lambda server: step_row(server, 'switch'), 'kept')}


def kill_in_switch(server, moment):
    """The worker, which stands before the switch."""
    rows, state = IN_SWITCH[moment]
    with holding(server, rows(server)):
        resume_worker(server)
        stands_still(server)
        assert restore_state(server) == state and runs(server) == set()
        kill_worker(server)


@KILLED
@pytest.mark.parametrize('moment', list(IN_SWITCH))
def test_a_restore_that_is_killed_while_it_switches_over(server, present, backup, moment):
    with pausing_at(server, 'switch') as paused:
        server.ccpctl('backup', 'restore', backup, '--no-wait')
        paused()
        kill_in_switch(server, moment)
    assert_ended(server, 'restore', 'succeeded', 2)
    assert_whole(server, 'former', kept=2)


def test_a_volume_whose_report_the_engine_loses_is_filled_again(server, present, backup):
    with engine_that_loses(server, 2, 'unpack', 2):
        server.ccpctl('backup', 'restore', backup, '--quiet', timeout=120)
    assert_ended(server, 'restore', 'succeeded', 1)
    assert_whole(server, 'former', kept=2)


@KILLED
@FAILS
def test_the_way_back_is_killed_at_each_of_its_steps(server, present, sick_backup):
    put(server, 'present')
    with pausing_at(server, 'undo-switch') as paused:
        server.ccpctl('backup', 'restore', sick_backup, '--no-wait')
        paused()
        assert (step_state(server, 'application'), restore_state(server)) == ('failed', 'kept')
    with holding(server, step_row(server, 'volumes')):
        with holding(server, step_row(server, 'render')):
            with holding(server, restore_row(server)):
                kill_worker(server)
                # What was switched over is gone, and its record is not.
                stands_still(server)
                assert restore_state(server) == 'kept' and containers(server, SLUG) == {}
                kill_worker(server)
            # How much runs by then depends on how soon that is seen.
            server.wait(lambda: restore_state(server) == 'building', what='the record of the way back', interval=0.02)
            kill_worker(server)
            # It may have come to the row that is held: PostgreSQL would keep its place there, where it is taken for the next one
            # until it is gone.
            query(server, "SELECT count(pg_terminate_backend(pid, 20000)) FROM pg_stat_activity WHERE usename = 'ccpd' "
                  "AND wait_event_type = 'Lock'")
            stands_still(server)
            assert step_state(server, 'switch') == 'undone' and runs(server) == {'store', 'front'}
            kill_worker(server)
        server.wait(lambda: step_state(server, 'render') == 'undone', what='the end of the revision')
        stands_still(server)
        kill_worker(server)
    assert_ended(server, 'restore', 'failed', 6)
    assert last_job(server)['error']['name'].endswith('Unhealthy') and "'front'" in last_job(server)['error']['message']
    assert_whole(server, 'present')


@KILLED
@pytest.mark.parametrize('moment', ['find', 'render', *IN_SWITCH, 'infrastructure', 'application'])
def test_an_undo_that_is_killed_goes_on(server, restored, moment):
    with pausing_at(server, 'switch' if moment in IN_SWITCH else moment) as paused:
        server.ccpctl('restore', 'undo', SLUG, '--no-wait')
        paused()
        if moment in IN_SWITCH:
            kill_in_switch(server, moment)
        else:
            kill_worker(server)
    assert_ended(server, 'undo-restore', 'succeeded', 2)
    assert_whole(server, restored[1], kept=2)


@KILLED
@FAILS
def test_an_undo_that_is_cancelled_and_killed_on_its_way_back(server, restored):
    with pausing_at(server, 'infrastructure') as paused:
        server.ccpctl('restore', 'undo', SLUG, '--no-wait')
        paused()
        with holding(server, restore_row(server)):
            server.ccpctl('job', 'cancel', last_job(server)['id'], '--no-wait')
            resume_worker(server)
            stands_still(server)
            assert step_state(server, 'switch') == 'undoing'
            kill_worker(server)
    assert_ended(server, 'undo-restore', 'cancelled', 2)
    assert_whole(server, restored[0], kept=2)
    # What was kept is kept.
    server.ccpctl('restore', 'undo', SLUG, '--quiet', timeout=120)
    assert_whole(server, restored[1], kept=2)


@AWAY
def test_an_instance_serves_again_though_the_engine_is_restarted_beneath_its_restore(server, present, backup):
    with pausing_at(server, 'volumes') as paused:
        server.ccpctl('backup', 'restore', backup, '--no-wait')
        paused()
        server.sh('systemctl restart docker.service')
        assert runs(server) == set()
        with holding(server, step_row(server, 'switch')):
            resume_worker(server)
            stands_still(server)
            assert runs(server) == {'store', 'front'} and execute(server, 'front', 'cat /data/which') == 'present'
    assert_ended(server, 'restore', 'succeeded', 1)
    assert_whole(server, 'former', kept=2)


@AWAY
def test_what_cannot_be_started_again_after_the_engine_is_tried_again(server, present, backup):
    place = containers(server, SLUG)['front']['Mounts'][0]['Source']
    with pausing_at(server, 'volumes') as paused:
        server.ccpctl('backup', 'restore', backup, '--no-wait')
        paused()
        server.sh(f'systemctl stop docker.socket docker.service; mv {place} {place}.away; systemctl start docker.service')
        with holding(server, step_row(server, 'switch')):
            with holding(server, step_row(server, 'databases')):
                resume_worker(server)
                stands_still(server)
                assert runs(server) == {'store'}
                server.sh(f'mv {place}.away {place}')
            server.wait(lambda: step_state(server, 'databases') == 'skipped', what='the next step')
            stands_still(server)
            assert runs(server) == {'store', 'front'} and execute(server, 'front', 'cat /data/which') == 'present'
    assert_ended(server, 'restore', 'succeeded', 1)
    assert_whole(server, 'former', kept=2)


@FAILS
@pytest.mark.allow_journal(r'is not well with it: ')
def test_an_instance_that_was_sick_has_what_it_had_when_its_restore_fails(server, present, sick_backup):
    """As often where a restore is tried: nothing of it is left, and the instance is neither failed nor to be deleted."""
    put(server, 'present')
    execute(server, 'front', 'touch /data/sick')
    server.wait(lambda: server.json('show', SLUG)['health'] != 'healthy', what='the sickness')
    volumes = server.sh('docker volume ls -q | sort')
    result = server.ccpctl('backup', 'restore', sick_backup, check=False, timeout=300)
    assert result.returncode == 6 and 'delete' not in result.stderr, result.stderr
    assert_ended(server, 'restore', 'failed', 1)
    assert [execute(server, service, 'cat /data/which') for service in ('store', 'front')] == ['present', 'present']
    assert server.sh('docker volume ls -q | sort') == volumes and server.json('restore', 'list', SLUG) == []
    assert query(server, 'SELECT count(*) FROM restores WHERE state = \'building\'') == '0'
    [detail] = [step['detail'] for step in server.json('job', 'show', last_job(server)['id'])['steps'] if step['name'] == 'switch']
    assert 'It has what it had before, and is not well with it: ' in detail
    assert server.json('show', SLUG)['state'] == 'running'
    execute(server, 'front', 'rm /data/sick')
    assert_whole(server, 'present')


def test_what_somebody_stopped_stays_so_and_has_the_same_data_later(server, present, backup):
    server.ccpctl('stop', SLUG, 'front', '--quiet')
    server.ccpctl('backup', 'restore', backup, '--quiet')
    # Not even a container is left that could be started with the other volume.
    assert set(containers(server, SLUG)) == runs(server) == {'store'} and execute(server, 'store', 'cat /data/which') == 'former'
    assert server.json('show', SLUG)['stopped_services'] == ['front']
    server.ccpctl('restore', 'undo', SLUG, '--quiet')
    assert runs(server) == {'store'} and execute(server, 'store', 'cat /data/which') == 'present'
    server.ccpctl('start', SLUG, 'front', '--quiet')
    assert_whole(server, 'present', kept=2)


# --- one upon another ---


def test_what_the_first_of_two_restores_replaced_comes_back_by_its_number(server, backup, present):
    """Two wrong backups in haste, one after the other, do not put what was there before out of reach."""
    other = make_backup(server)
    put(server, 'newest')
    server.ccpctl('backup', 'restore', backup, '--quiet')
    server.ccpctl('backup', 'restore', other, '--quiet')
    assert_whole(server, 'present', kept=4)
    last, first = server.json('restore', 'list', SLUG)
    assert (last['backup'], first['backup']) == (other, backup)
    assert f'ccpctl restore list {SLUG}\n' in server.ccpctl('status', SLUG).stdout

    server.ccpctl('restore', 'undo', SLUG, first['id'], '--quiet')
    assert_whole(server, 'newest', kept=4)
    result = server.ccpctl('restore', 'undo', SLUG, first['id'], check=False)
    assert result.returncode == 1 and 'ccpctl restore list' in result.stderr
    # What the second one replaced is there as before, and so is what was undone.
    server.ccpctl('restore', 'undo', SLUG, last['id'], '--quiet')
    assert_whole(server, 'former', kept=4)

    # One of them goes alone.
    newest, older = server.json('restore', 'list', SLUG)
    server.ccpctl('restore', 'discard', SLUG, older['id'], '--yes', '--quiet')
    assert_whole(server, 'former', kept=2)
    result = server.ccpctl('restore', 'discard', SLUG, older['id'], '--yes', check=False)
    assert result.returncode == 1 and 'ccpctl restore list' in result.stderr
    assert [row['id'] for row in server.json('restore', 'list', SLUG)] == [newest['id']]
    server.ccpctl('restore', 'undo', SLUG, '--quiet')
    assert_whole(server, 'newest', kept=2)
    server.ccpctl('restore', 'discard', SLUG, '--yes', '--quiet')
    assert_whole(server, 'newest')


# --- no room ---


def assert_refused(server, *command):
    result = server.ccpctl('backup', *command, check=False, timeout=120)
    assert result.returncode == 6, result.stderr
    job = server.json('job', 'show', last_job(server)['id'])
    assert (job['state'], job['error']['name'].rpartition('.')[2]) == ('failed', 'NoSpace'), job
    return job


@FAILS
def test_where_there_is_no_room_nothing_is_begun(server, present):
    execute(server, 'store', 'head -c 3000000 /dev/urandom >/data/noise')
    backup = make_backup(server)
    execute(server, 'store', 'rm /data/noise')
    # Workers see a disk that has less than the backup's three million bytes and what databases take beyond them.
    folder = '/run/systemd/system/ccp-job@.service.d'
    server.sh(f'mkdir -p {folder}; printf "[Service]\nTemporaryFileSystem=/var/lib/docker:size=3m\n" >{folder}/small.conf; systemctl daemon-reload')
    try:
        for command in (['restore', backup], ['drill', backup], ['restore', backup, '--as=voss', '--domain=voss.example.org']):
            job = assert_refused(server, *command)
            assert 'no room for 4 MiB more in /var/lib/docker: 3 MiB are free' in job['error']['message'], job
            assert {step['name']: step['state'] for step in job['steps'] if step['state'] not in ('skipped', 'undone')} == {'open': 'failed'}
    finally:
        server.sh(f'rm -r {folder}; systemctl daemon-reload')
    assert server.ccpctl('show', 'voss', check=False).returncode == 3 and server.sh(f'ls {INSTANCES}') == SLUG
    assert_whole(server, 'present')


@FAILS
def test_a_disk_that_fills_while_a_volume_is_unpacked(server, present):
    execute(server, 'store', 'head -c 3000000 /dev/urandom >/data/noise')
    backup = make_backup(server)
    execute(server, 'store', 'rm /data/noise')
    volumes = '/var/lib/docker/volumes'
    with pausing_at(server, 'volumes') as paused:
        server.ccpctl('backup', 'restore', backup, '--no-wait')
        paused()
        # New volumes lie on a small disk, the others stay where they are.
        server.sh(f'''mkdir -p /srv/small; mount -t tmpfs -o size=2m tmpfs /srv/small; cd {volumes}
                      for v in *; do [ ! -d $v ] || {{ mkdir /srv/small/$v; mount --bind $v /srv/small/$v; }}; done
                      mount --rbind /srv/small {volumes}''')
        try:
            resume_worker(server)
            assert_ended(server, 'restore', 'failed', 1)
        finally:
            server.sh(f'umount -R {volumes} /srv/small')
    error = last_job(server)['error']
    assert error['name'].endswith('NoSpace') and f'{SLUG}_ccp_books.r' in error['message'], error
    assert_whole(server, 'present')
