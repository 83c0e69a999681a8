# SPDX-License-Identifier: LGPL-2.1-or-later
"""Faults while a job runs: its worker killed at each step, cancels, services that go away, full disks, reboots. Whatever happens,
a job ends by itself, with an instance that is whole or with nothing left of it."""

import json
import time

import pytest

from fleet import query

# A job that fails says so in the journal, and so does PID 1 of a worker that is killed.
pytestmark = pytest.mark.allow_journal(
    r'ccp-job@\d+\.service: (Main process exited|Failed with result|Watchdog|Killing process|Unit process|A process of|State )',
    r'The job (failed|was cancelled): ', r'Turning back: ', r'Undoing \w+ failed', r'Going on with undoing', r'Paused at ',
    r'Job \d+, attempt \d+: the worker ended with', r'ccpd\.service: (Main process exited|Failed with result)',
    r'PostgreSQL is not available', r'Could not record that the worker ended', r"containers can't be watched",
    r'The instances could not be looked at',
    r'Job \d+ .*(failed|cancelled)', r'Optional services|optional services', r'ccp.*\.slice')

INSTANCES = '/var/lib/ccpd/instances'
STEPS = ['folder', 'source', 'context', 'render', 'static', 'pull', 'build', 'infrastructure', 'application']
FINAL = {'succeeded', 'failed', 'cancelled'}
TOKEN = 'Tok3n-that-nobody-may-read'

# Has something of everything: a source tree that is built, a static file, secrets, a port, a volume, a one-shot, both stages.
EVERYTHING = {
    'blueprint.yaml': '''
name: everything
title: Everything
version: "1.0"
parameters:
  greeting: { type: string, default: 'hello "$world" # 1' }
  token: { type: string, default: "none", secret: true }
  delay: { type: integer, default: 0 }
secrets:
  PASSWORD: {}
ports:
  web: nginx
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
  - { template: env.hbs, target: .env, format: dotenv, mode: "0600" }
static:
  - { file: page.txt, target: www/page.txt, mode: "0644" }
source: { path: /srv/everything, target: source, required: true }
services:
  data: { stage: infrastructure, timeout: 60s }
  migrate: { kind: oneshot, stage: application, timeout: 60s }
  web: { stage: application, timeout: 60s, health: { type: http, port: web, path: /page.txt } }
  extra: { kind: optional, stage: rest, timeout: 60s }
''',
    'docker-compose.yml.hbs': '''
services:
  data:
    image: busybox:1.37
    init: true
    command: [sleep, infinity]
    healthcheck: { test: [CMD, "true"], interval: 1s }
    volumes: ["data:/data"]
  migrate:
    image: busybox:1.37
    command: [sh, -c, "echo done >> /data/migrations; exit 0"]
    volumes: ["data:/data"]
  web:
    build: "{{source}}"
    init: true
    command: [sh, -c, "sleep {{parameters.delay}}; exec httpd -f -p 8080 -h /www"]
    environment:
      GREETING: "{{parameters.greeting}}"
      PASSWORD: ${PASSWORD}
      TOKEN: ${TOKEN}
    volumes: ["./www:/www:ro"]
    ports: ["{{bind}}:{{ports.web}}:8080"]
  extra:
    image: busybox:1.37
    init: true
    command: [sleep, infinity]
volumes:
  data: {}
''',
    'env.hbs': "PASSWORD='{{secrets.PASSWORD}}'\nTOKEN='{{parameters.token}}'\n",
    'page.txt': 'It works.\n',
}
SOURCE = {
    'Dockerfile': 'FROM busybox:1.37\nCOPY app /app\nCMD ["httpd", "-f", "-p", "8080", "-h", "/www"]\n',
    'app': 'the application\n',
    '.env': 'MUST_NOT=be copied\n',
}


@pytest.fixture(scope='module', autouse=True)
def blueprints(server):
    for name, content in EVERYTHING.items():
        server.write(f'/etc/ccpd/templates/everything/{name}', content)
    for name, content in SOURCE.items():
        server.write(f'/srv/everything/{name}', content)
    put_blueprints(server)
    # These tests stop and start it more often than PID 1 would put up with.
    server.write('/etc/systemd/system/docker.service.d/limit.conf', '[Unit]\nStartLimitIntervalSec=0\n')
    server.sh('systemctl daemon-reload; systemctl reload ccpd')


def put_blueprints(server):
    """Those of this folder."""
    import io
    import pathlib
    import tarfile
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode='w') as archive:
        for folder in sorted((pathlib.Path(__file__).parent / 'blueprints').iterdir()):
            archive.add(folder, folder.name)
    server.run(['sh', '-euc', 'mkdir -p /etc/ccpd/templates && tar -xC /etc/ccpd/templates --no-same-owner'],
               input=data.getvalue(), text=False)


@pytest.fixture(autouse=True)
def clean(server):
    """Each test begins with no instance, and leaves none."""
    yield
    unpause(server)
    server.sh('systemctl start postgresql docker')
    # As long as ccpd does not know that both are back, it refuses to delete and to create.
    states = 'busctl get-property org.changemaker.ccp1 /org/changemaker/ccp1 org.changemaker.ccp1.Manager StoreState EngineState'
    server.wait(lambda: server.sh(f'{states} || true') == 's "available"\ns "available"', what='ccpd to have both again')
    for slug in query(server, 'SELECT slug FROM instances').split():
        for job in query(server, f"SELECT id FROM jobs WHERE slug = '{slug}' AND finished_at IS NULL").split():
            server.sh(f'systemctl kill -s CONT ccp-job@{job}.service || true')
            server.ccpctl('job', 'cancel', job, check=False)
            wait_end(server, job)
        # After a restart of Docker ccpd itself may be at it.
        server.wait(lambda: ' is at work on ' not in server.ccpctl('delete', slug, '--yes', check=False, timeout=300).stderr,
                    what=f'the turn of the deletion of {slug}')


# --- looking ---


def job_row(server, job):
    text = query(server, f'SELECT row_to_json(j) FROM jobs j WHERE id = {job}')
    return json.loads(text)


def steps(server, job):
    """The states of a job's steps, by name."""
    text = query(server, f"SELECT coalesce(json_object_agg(name, state), '{{}}') FROM job_steps WHERE job = {job}")
    return json.loads(text)


def create(server, slug, blueprint='everything', *options):
    """Begins to create an instance; returns its job."""
    server.ccpctl('create', slug, '--blueprint', blueprint, '--domain', f'{slug}.example.org', '--no-wait', '--quiet', *options)
    return query(server, f"SELECT max(id) FROM jobs WHERE slug = '{slug}'")


def knows_end(server, job):
    result = server.ccpctl('job', 'show', job, '--json=short', check=False)
    return result.returncode == 0 and json.loads(result.stdout)['state'] in FINAL


def wait_end(server, job, timeout=300):
    server.wait(lambda: query(server, f'SELECT state FROM jobs WHERE id = {job}') in FINAL, timeout, f'the end of job {job}')
    # ccpd reads that a moment later, or once it has its records again, and lets nobody else at the instance before.
    server.wait(lambda: knows_end(server, job), what=f'ccpd to hear of the end of job {job}')
    return job_row(server, job)


def wait_step(server, job, step, state='running', timeout=180):
    server.wait(lambda: steps(server, job)[step] == state, timeout, f'step {step} {state}')


def unit_gone(server, job):
    state = server.sh(f'systemctl show -P ActiveState ccp-job@{job}.service')
    return state in ('inactive', 'failed')


def status_text(server, job):
    return server.sh(f'systemctl show -P StatusText ccp-job@{job}.service')


def answers(server, slug):
    port = query(server, f"SELECT number FROM ports JOIN instances i ON i.id = instance WHERE slug = '{slug}'")
    return server.run(['curl', '-fsS', '--max-time', '5', f'http://127.0.0.1:{port}/page.txt'], check=False).stdout


def assert_whole(server, slug):
    """The instance of 'everything' runs, answers, and its one-shot ran once."""
    assert query(server, f"SELECT state, revision, error_name FROM instances WHERE slug = '{slug}'") == 'running|1|'
    assert answers(server, slug) == 'It works.\n'
    services = server.sh(f"docker ps --filter label=ccp.instance={slug} --format '{{{{.Label \"ccp.service\"}}}}'")
    assert sorted(services.split()) == ['data', 'extra', 'web']
    assert server.sh(f'docker exec {slug}_ccp-data-1 cat /data/migrations') == 'done'
    assert not server.exists(f'{INSTANCES}/{slug}/source/.env')
    assert server.sh(f'ls -A {INSTANCES}/{slug}/revisions') == '1'
    assert query(server, f"SELECT r.state FROM revisions r JOIN instances i ON i.id = r.instance WHERE slug = '{slug}'") == 'active'


def assert_nothing_left(server, slug):
    """No container, network, volume, image, folder or record is left of the instance; the job stays."""
    label = f'--filter label=ccp.instance={slug}'
    assert server.sh(f'docker ps --all --quiet {label}') == ''
    assert server.sh(f'docker network ls --quiet {label}') == ''
    assert server.sh(f'docker volume ls --quiet {label}') == ''
    assert server.sh(f'docker image ls --quiet --filter label=com.docker.compose.project={slug}_ccp') == ''
    assert server.sh(f'docker image ls --quiet "{slug}_ccp-*"') == ''
    assert server.sh(f'ls -A {INSTANCES}') == ''
    for table in ('instances', 'ports', 'subnets', 'secrets', 'revisions'):
        assert query(server, f'SELECT count(*) FROM {table}') == '0', table
    # ccpd hears of it after the records have it.
    server.wait(lambda: server.ccpctl('show', slug, check=False).returncode == 3, what=f'ccpd to forget {slug}')
    assert query(server, f"SELECT count(*) FROM jobs WHERE slug = '{slug}'") != '0'


def assert_undone(server, slug, job, state, name):
    row = wait_end(server, job)
    assert (row['state'], row['error_name']) == (state, f'org.changemaker.ccp1.Error.{name}'), row
    assert_nothing_left(server, slug)
    assert set(steps(server, job).values()) <= {'done', 'undone', 'skipped', 'failed'}
    return row['error_message']


# --- doing ---


def pause_at(server, step):
    """Workers stop at a step from now on, on a job's first attempt."""
    server.write('/run/systemd/system/ccp-job@.service.d/pause.conf',
                 f'[Service]\nExecStart=\nExecStart=/usr/lib/ccpd/ccp-job --pause-at={step} run %i\n')
    server.sh('systemctl daemon-reload')


def unpause(server):
    server.sh('rm -rf /run/systemd/system/ccp-job@.service.d; systemctl daemon-reload')


def wait_paused(server, job, timeout=180):
    def paused():
        pid = server.sh(f'systemctl show -P MainPID ccp-job@{job}.service')
        return pid != '0' and server.run(['grep', '-q', '^State:.T', f'/proc/{pid}/status'], check=False).returncode == 0
    server.wait(paused, timeout, 'the worker to pause')


def create_paused(server, slug, step, blueprint='everything', *options):
    pause_at(server, step)
    job = create(server, slug, blueprint, *options)
    wait_paused(server, job)
    unpause(server)
    return job


def resume(server, job, may_be_gone=False):
    server.sh(f'systemctl kill -s CONT ccp-job@{job}.service', check=not may_be_gone)


def kill(server, job):
    server.sh(f'systemctl kill -s KILL --kill-whom=main ccp-job@{job}.service')


# --- kill -9 ---


@pytest.mark.parametrize('step', STEPS)
def test_a_worker_killed_at_a_step_goes_on_there(server, step):
    job = create_paused(server, 'alpha', step)
    assert steps(server, job)[step] == 'running'
    kill(server, job)
    row = wait_end(server, job)
    assert (row['state'], row['attempt'], row['error_name']) == ('succeeded', 2, None), row
    assert_whole(server, 'alpha')
    server.ccpctl('delete', 'alpha', '--yes')
    assert_nothing_left(server, 'alpha')


@pytest.mark.parametrize('delay', [0.1, 0.3, 0.6, 1, 1.5, 2, 3, 4])
def test_a_worker_killed_at_any_moment_goes_on(server, delay):
    # So long it takes at least, where all else takes no time.
    job = create(server, 'alpha', 'everything', '--set', f'delay={int(delay)}')
    time.sleep(delay)
    kill(server, job)
    row = wait_end(server, job)
    assert (row['state'], row['error_name']) == ('succeeded', None), row
    assert_whole(server, 'alpha')


@pytest.mark.parametrize('delay', [0, 0.02, 0.1])
def test_the_daemon_killed_during_the_first_four_steps_leaves_a_whole_instance_or_nothing(server, delay):
    call = server.start(['ccpctl', 'create', 'alpha', '--blueprint', 'trivial', '--domain', 'a.example.org', '--no-wait'])
    time.sleep(delay)
    server.sh('systemctl kill -s KILL ccpd.service')
    call.wait(150)
    server.wait(lambda: server.ccpctl('list', check=False).returncode == 0, what='ccpd to answer again')
    if query(server, 'SELECT count(*) FROM instances') == '0':
        assert server.sh(f'ls -A {INSTANCES}') == ''
        return
    job = query(server, "SELECT max(id) FROM jobs WHERE slug = 'alpha'")
    assert wait_end(server, job)['state'] == 'succeeded'
    assert query(server, "SELECT state FROM instances WHERE slug = 'alpha'") == 'running'


def test_a_worker_that_dies_again_and_again_is_undone(server):
    job = create(server, 'alpha', 'slow', '--set', 'seconds=60')
    for attempt in (1, 2, 3):
        server.wait(lambda: job_row(server, job)['attempt'] == attempt and steps(server, job)['infrastructure'] == 'running',
                    what=f'attempt {attempt}')
        kill(server, job)
    message = assert_undone(server, 'alpha', job, 'failed', 'Internal')
    assert 'died 3 times' in message and 'KILL' in message


@pytest.mark.parametrize('step', ['folder', 'render', 'build', 'infrastructure', 'application'])
def test_a_worker_killed_while_it_undoes_goes_on_with_undoing(server, step):
    pause_at(server, f'undo-{step}')
    job = create(server, 'alpha', 'everything', '--set', 'delay=30')
    wait_step(server, job, 'application')
    server.ccpctl('job', 'cancel', job, '--no-wait')
    wait_paused(server, job)
    kill(server, job)
    # A stop that was asked for is not followed by a start: ccpd sees that the job is not at its end.
    assert_undone(server, 'alpha', job, 'cancelled', 'Cancelled')


@pytest.mark.parametrize('step', ['containers', 'folder', 'record'])
def test_a_delete_that_is_killed_goes_on(server, step):
    server.ccpctl('create', 'alpha', '--blueprint', 'everything', '--domain', 'a.example.org', '--quiet')
    pause_at(server, step)
    server.ccpctl('delete', 'alpha', '--yes', '--no-wait', '--quiet')
    job = query(server, 'SELECT max(id) FROM jobs')
    wait_paused(server, job)
    unpause(server)
    kill(server, job)
    assert wait_end(server, job)['state'] == 'succeeded'
    assert_nothing_left(server, 'alpha')


def test_what_a_worker_died_of_is_recorded(server):
    job = create_paused(server, 'alpha', 'render', 'trivial')
    kill(server, job)
    server.wait(lambda: job_row(server, job)['attempt'] == 2, what='the second attempt')
    notes = [entry['MESSAGE'] for entry in server.journal(f'CCP_JOB={job}')]
    assert any('the worker ended with signal (killed KILL)' in note for note in notes), notes
    wait_end(server, job)


# --- cancel ---


@pytest.mark.parametrize('step', STEPS)
def test_a_cancel_at_a_step_leaves_nothing(server, step):
    job = create_paused(server, 'alpha', step)
    server.ccpctl('job', 'cancel', job, '--no-wait')
    # PID 1 resumes what it stops, too.
    resume(server, job, may_be_gone=True)
    assert_undone(server, 'alpha', job, 'cancelled', 'Cancelled')
    server.wait(lambda: unit_gone(server, job), what='the end of the unit')


@pytest.mark.parametrize('step', ['infrastructure', 'application'])
def test_a_cancel_ends_a_wait_for_health(server, step):
    job = create(server, 'alpha', 'slow', '--set', 'seconds=10' if step == 'application' else 'seconds=300')
    wait_step(server, job, step)
    time.sleep(1)
    began = time.monotonic()
    server.ccpctl('job', 'cancel', job, '--no-wait')
    wait_end(server, job)
    assert time.monotonic() - began < 30
    # To look at all that takes its time, too.
    assert_undone(server, 'alpha', job, 'cancelled', 'Cancelled')


def test_a_cancelled_start_stops_what_it_started(server):
    server.ccpctl('create', 'alpha', '--blueprint', 'slow', '--domain', 'a.example.org', '--set', 'seconds=2', '--quiet')
    server.ccpctl('stop', 'alpha', '--quiet')
    pause_at(server, 'application')
    server.ccpctl('start', 'alpha', '--no-wait', '--quiet')
    job = query(server, 'SELECT max(id) FROM jobs')
    wait_paused(server, job)
    unpause(server)
    server.ccpctl('job', 'cancel', job, '--no-wait')
    resume(server, job, may_be_gone=True)
    assert wait_end(server, job)['state'] == 'cancelled'
    assert query(server, "SELECT state FROM instances WHERE slug = 'alpha'") == 'stopped'
    assert server.sh('docker ps --quiet --filter label=ccp.instance=alpha') == ''
    server.ccpctl('start', 'alpha', '--quiet')


def test_a_delete_is_not_cancelled_once_it_has_begun(server):
    server.ccpctl('create', 'alpha', '--blueprint', 'trivial', '--domain', 'a.example.org', '--quiet')
    pause_at(server, 'folder')
    server.ccpctl('delete', 'alpha', '--yes', '--no-wait', '--quiet')
    job = query(server, 'SELECT max(id) FROM jobs')
    wait_paused(server, job)
    unpause(server)
    # To stop it PID 1 sends SIGTERM and SIGCONT (systemd.kill(5)): nothing else has to resume it.
    server.ccpctl('job', 'cancel', job, '--no-wait', check=False)
    assert wait_end(server, job)['state'] == 'succeeded'
    assert_nothing_left(server, 'alpha')


# --- what a job relies on goes away ---


def test_a_job_outlives_a_restart_of_the_daemon(server):
    job = create_paused(server, 'alpha', 'infrastructure')
    server.sh('systemctl restart ccpd')
    resume(server, job)
    row = wait_end(server, job)
    assert (row['state'], row['attempt']) == ('succeeded', 1)
    assert_whole(server, 'alpha')
    assert server.json('show', 'alpha')['state'] == 'running'


@pytest.mark.parametrize('step', ['folder', 'render', 'infrastructure', 'application'])
def test_a_job_waits_for_records_that_are_away(server, step):
    job = create_paused(server, 'alpha', step)
    server.sh('systemctl stop postgresql')
    resume(server, job)
    server.wait(lambda: 'records' in status_text(server, job), what='the worker to say what it waits for')
    time.sleep(3)
    assert not unit_gone(server, job)
    server.sh('systemctl start postgresql')
    row = wait_end(server, job)
    assert (row['state'], row['attempt']) == ('succeeded', 1), row
    assert_whole(server, 'alpha')


def test_a_worker_killed_while_the_records_are_away_comes_back_with_them(server):
    job = create_paused(server, 'alpha', 'infrastructure')
    server.sh('systemctl stop postgresql')
    kill(server, job)
    time.sleep(10)
    server.sh('systemctl start postgresql')
    assert wait_end(server, job)['state'] == 'succeeded'
    assert_whole(server, 'alpha')


@pytest.mark.parametrize('step', ['render', 'build', 'infrastructure', 'application'])
def test_a_job_waits_for_an_engine_that_is_away(server, step):
    job = create_paused(server, 'alpha', step)
    server.sh('systemctl stop docker.socket docker.service')
    resume(server, job)
    if step != 'render':
        server.wait(lambda: 'engine' in status_text(server, job), what='the worker to say what it waits for')
    time.sleep(3)
    server.sh('systemctl start docker.socket docker.service')
    row = wait_end(server, job)
    assert row['state'] == 'succeeded', row
    assert_whole(server, 'alpha')


def test_an_engine_that_restarts_while_health_is_waited_for(server):
    job = create(server, 'alpha', 'slow', '--set', 'seconds=8')
    wait_step(server, job, 'infrastructure')
    time.sleep(3)
    server.sh('systemctl restart docker.service')
    row = wait_end(server, job)
    assert row['state'] == 'succeeded', row


def test_an_engine_whose_pid_file_is_elsewhere_is_found_again(server):
    def state():
        return server.sh('busctl get-property org.changemaker.ccp1 /org/changemaker/ccp1 org.changemaker.ccp1.Manager EngineState')
    server.wait(lambda: state() == 's "available"', what='the engine to be watched')
    server.sh('cp /etc/docker/daemon.json /root/daemon.json 2>/dev/null || echo "{}" >/root/daemon.json; mkdir -p /etc/docker; '
              "jq '.pidfile = \"/run/elsewhere.pid\"' /root/daemon.json >/etc/docker/daemon.json")
    try:
        # The socket stays, it is PID 1's; and the file that went away never comes back.
        server.sh('systemctl stop docker.service')
        server.wait(lambda: state() != 's "available"', what='the engine to be missed')
        # Nor does a sweep start what somebody stopped, or a look at the disk.
        server.sh('systemctl start ccp-health.service ccp-measure.service')
        time.sleep(2)
        assert server.sh('systemctl is-active docker.service || true') == 'inactive'
        server.sh('systemctl start docker.service; test ! -e /run/docker.pid')
        server.wait(lambda: state() == 's "available"', what='the engine to be found')
    finally:
        server.sh('cp /root/daemon.json /etc/docker/daemon.json; systemctl restart docker.service')
    server.wait(lambda: state() == 's "available"', what='the engine to be found')


def test_an_engine_that_is_restarted_while_the_gate_opens(server):
    slow = '/run/systemd/system/ccp-gate.service.d/slow.conf'
    server.write(slow, '[Service]\nExecStart=\nExecStart=/usr/bin/sleep infinity\n')
    since = server.cursor()
    try:
        server.sh('systemctl daemon-reload; systemctl restart docker.service')
        server.wait(lambda: server.sh('systemctl show --value -p ActiveState ccp-gate.service') == 'activating', what='the gate')
        server.sh('systemctl restart docker.service')
    finally:
        server.sh(f'rm {slow}; systemctl daemon-reload; systemctl restart docker.service')
    server.wait(lambda: server.sh('systemctl is-active ccp-gate.service || true') == 'active', what='the gate to be open')
    server.sh('test -e /run/ccp-gate/open')
    assert not [e for e in server.journal('UNIT=ccp-gate.service', since=since) if int(e['PRIORITY']) <= 4]


def test_an_engine_that_stays_away_ends_the_job_and_is_waited_for_to_undo(server):
    job = create_paused(server, 'alpha', 'application')
    server.sh('systemctl stop docker.socket docker.service')
    resume(server, job)
    # It waits for two minutes.
    wait_step(server, job, 'application', 'undoing', timeout=360)
    time.sleep(5)
    assert job_row(server, job)['state'] == 'undoing'
    server.sh('systemctl start docker.socket docker.service')
    assert_undone(server, 'alpha', job, 'failed', 'EngineUnavailable')


# --- the source tree ---


@pytest.mark.parametrize('spoil, named', [
    ('chmod 700 /srv/tree', '/srv/tree'),
    ('chmod 700 /srv/tree/app', '/srv/tree/app'),
    ('chmod 600 /srv/tree/app/code', '/srv/tree/app/code'),
    ('chmod 700 /srv/tree && mkdir /srv/tree/app/deep', '/srv/tree'),
    ('mount -t tmpfs small /srv/tree/app', '/srv/tree/app'),
])
def test_a_source_that_cannot_be_read_is_named(server, spoil, named):
    server.sh('mkdir -p /srv/tree/app && echo x >/srv/tree/app/code && chmod 755 /srv/tree /srv/tree/app && ' + spoil)
    try:
        job = create(server, 'alpha', 'everything', '--source', '/srv/tree')
        message = assert_undone(server, 'alpha', job, 'failed', 'InvalidArgument')
    finally:
        server.sh('umount /srv/tree/app 2>/dev/null || true; rm -r /srv/tree')
    assert f'{named} ' in message.replace('.', ' ') and ('setfacl' in message or 'Unmount' in message), message


def test_a_source_is_copied_though_the_blueprint_has_none(server):
    server.sh('mkdir -p /srv/tree/.git && echo x >/srv/tree/code && echo x >/srv/tree/.git/code && echo x >/srv/tree/.env')
    try:
        job = create(server, 'alpha', 'trivial', '--source', '/srv/tree')
        assert wait_end(server, job)['state'] == 'succeeded'
        assert server.sh(f'cd {INSTANCES}/alpha/source && find . -type f') == './code'
    finally:
        server.sh('rm -r /srv/tree')


# --- disk full ---


@pytest.fixture
def small_disk(server):
    server.sh(f'mount -t tmpfs -o size=2m,mode=700,uid=$(id -u ccpd),gid=$(id -g ccpd) small {INSTANCES}')
    yield
    server.sh(f'umount -l {INSTANCES}')


def test_a_disk_that_is_full_while_the_source_is_copied(server, small_disk):
    server.sh('head -c 8M /dev/urandom >/srv/everything/big')
    try:
        job = create(server, 'alpha')
        message = assert_undone(server, 'alpha', job, 'failed', 'NoSpace')
    finally:
        server.sh('rm /srv/everything/big')
    assert f'{INSTANCES}/alpha' in message and 'room' in message
    job = create(server, 'alpha')
    assert wait_end(server, job)['state'] == 'succeeded'


def test_a_disk_that_is_full_while_files_are_rendered(server, small_disk):
    server.sh(f'head -c 2088960 /dev/zero >{INSTANCES}/.ballast || true')
    server.sh(f'df {INSTANCES} >&2')
    job = create(server, 'alpha', 'trivial')
    row = wait_end(server, job)
    server.sh(f'rm {INSTANCES}/.ballast')
    assert (row['state'], row['error_name']) == ('failed', 'org.changemaker.ccp1.Error.NoSpace'), row
    assert_nothing_left(server, 'alpha')


# --- what is wrong with an application ---


def test_a_container_that_never_becomes_healthy(server):
    job = create(server, 'alpha', 'never-healthy')
    message = assert_undone(server, 'alpha', job, 'failed', 'Unhealthy')
    assert 'main' in message


def test_the_last_lines_of_a_service_that_fails_are_in_the_error(server):
    server.write('/etc/ccpd/templates/talker/blueprint.yaml', '''
name: talker
title: Talker
version: "1.0"
secrets: { PASSWORD: {} }
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
services:
  main: { stage: application, timeout: 5s }
''')
    server.write('/etc/ccpd/templates/talker/docker-compose.yml.hbs', '''
services:
  main:
    image: busybox:1.37
    command: [sh, -c, "echo no such database: customers >&2; echo my password is $$PASSWORD; exit 7"]
    environment: { PASSWORD: "{{secrets.PASSWORD}}" }
''')
    server.sh('systemctl reload ccpd')
    job = create(server, 'alpha', 'talker')
    message = assert_undone(server, 'alpha', job, 'failed', 'Unhealthy')
    assert 'main' in message and 'no such database: customers' in message
    assert 'my password is ********' in message


@pytest.mark.parametrize('blueprint', ['wants-etc', 'wants-privileged', 'wants-socket'])
def test_what_the_policy_refuses_never_runs(server, blueprint):
    job = create(server, 'alpha', blueprint)
    message = assert_undone(server, 'alpha', job, 'failed', 'PolicyViolation')
    assert 'main' in message
    assert steps(server, job)['infrastructure'] == 'skipped'


def test_an_image_that_is_nowhere(server):
    server.write('/etc/ccpd/templates/nowhere/blueprint.yaml', '''
name: nowhere
title: Nowhere
version: "1.0"
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
services:
  main: { stage: application, timeout: 5s }
''')
    server.write('/etc/ccpd/templates/nowhere/docker-compose.yml.hbs', 'services: { main: { image: "127.0.0.1:1/nowhere:1" } }\n')
    server.sh('systemctl reload ccpd')
    job = create(server, 'alpha', 'nowhere')
    message = assert_undone(server, 'alpha', job, 'failed', 'EngineFailed')
    assert '127.0.0.1:1/nowhere:1' in message
    assert steps(server, job)['infrastructure'] == 'skipped'


def test_a_port_that_somebody_else_took_meanwhile(server):
    job = create_paused(server, 'alpha', 'infrastructure')
    port = query(server, 'SELECT number FROM ports')
    server.sh(f'systemd-run --quiet --unit=thief busybox httpd -f -p 127.0.0.1:{port}')
    server.wait(lambda: f':{port} ' in server.sh('ss -Hltn'), what='the thief')
    try:
        resume(server, job)
        message = assert_undone(server, 'alpha', job, 'failed', 'EngineFailed')
    finally:
        server.sh('systemctl stop thief')
    assert port in message


# --- files of a revision ---


def failed(server, job, name):
    row = wait_end(server, job)
    assert (row['state'], row['error_name']) == ('failed', f'org.changemaker.ccp1.Error.{name}'), row
    return row['error_message']


def begin(server, verb, slug='alpha'):
    server.ccpctl(verb, slug, '--no-wait', '--quiet')
    return query(server, f"SELECT max(id) FROM jobs WHERE slug = '{slug}'")


def test_a_file_that_was_changed_is_not_run(server):
    server.ccpctl('create', 'alpha', '--blueprint', 'everything', '--domain', 'a.example.org', '--quiet')
    for name in ('docker-compose.yml', 'ccp.override.yml', '.env', '.ccp-blueprint.yaml', 'www/page.txt'):
        path = f'{INSTANCES}/alpha/revisions/1/{name}'
        server.sh(f'cp -p {path} /root/kept && echo "# changed" >>{path}')
        message = failed(server, begin(server, 'restart'), 'WrongState')
        assert path in message and 'changed' in message
        assert query(server, "SELECT state FROM instances WHERE slug = 'alpha'") == 'running'
        server.sh(f'cp -p /root/kept {path}')
    server.ccpctl('stop', 'alpha', '--quiet')
    server.sh(f'echo "IMAGE=x" >>{INSTANCES}/alpha/revisions/1/.env')
    assert '/.env' in failed(server, begin(server, 'start'), 'WrongState')
    assert server.sh('docker ps -q') == ''
    assert query(server, "SELECT state FROM instances WHERE slug = 'alpha'") == 'stopped'
    server.sh(f"sed -i '/^IMAGE=x$/d' {INSTANCES}/alpha/revisions/1/.env")
    server.ccpctl('start', 'alpha', '--quiet')
    assert_whole(server, 'alpha')


WRITER = {
    'blueprint.yaml': '''
name: writer
title: Writer
version: "1.0"
allow: [host-network, bind-writable]
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
  - { template: note.txt.hbs, target: data/note.txt, format: text }
services:
  main: { stage: application, timeout: 30s }
''',
    'docker-compose.yml.hbs': '''
services:
  main:
    image: busybox:1.37
    init: true
    command: [sleep, infinity]
    network_mode: host
    volumes: ["./data:/data"]
''',
    'note.txt.hbs': 'rendered\n',
}


@pytest.fixture
def writer(server):
    """An instance whose container can write a folder, of a blueprint with an exception from the policy."""
    for name, content in WRITER.items():
        server.write(f'/etc/ccpd/templates/writer/{name}', content)
    server.sh('systemctl reload ccpd')
    server.ccpctl('create', 'alpha', '--blueprint', 'writer', '--domain', 'a.example.org', '--quiet')
    return server.sh("docker ps -q --filter label=ccp.instance=alpha")


def test_what_a_container_wrote_hinders_no_start(server, writer):
    server.sh(f'docker exec {writer} sh -c "echo changed >/data/note.txt; echo new >/data/more"')
    server.ccpctl('restart', 'alpha', '--quiet')
    server.ccpctl('stop', 'alpha', '--quiet')
    server.ccpctl('start', 'alpha', '--quiet')
    assert server.file(f'{INSTANCES}/alpha/current/data/note.txt') == 'changed\n'


LEAVE = ('mkdir -p /data/locked/deep /data/open; mkdir -m 1777 /data/sticky; touch /data/locked/deep/f /data/sticky/f /data/open/f; '
         'ln -s /etc/passwd /data/locked/link; chmod 700 /data/locked; d=/data/open; i=0; '
         'while [ $i -lt 600 ]; do mkdir $d/d; cd $d/d; d=.; i=$((i + 1)); done')


def test_what_a_container_left_is_removed(server, writer):
    images, containers = server.sh('docker image ls --all --quiet'), server.sh('docker ps --all --quiet')
    server.sh(f"docker exec {writer} sh -c '{LEAVE}'")
    server.ccpctl('delete', 'alpha', '--yes', '--quiet')
    assert_nothing_left(server, 'alpha')
    assert server.sh('docker image ls --all --quiet') == images
    assert server.sh('docker ps --all --quiet') == containers.replace(writer, '').strip()
    assert server.sh('grep -c ^root: /etc/passwd') == '1'


def test_what_a_container_left_is_removed_from_a_create_that_fails(server):
    for name, content in WRITER.items():
        # Until it has ended, however long that takes: one that goes on for some seconds would be as good as started.
        content = content.replace('name: writer', 'name: leaver').replace('timeout: 30s', 'kind: oneshot, timeout: 2min')
        content = content.replace('[sleep, infinity]', json.dumps(['sh', '-c', LEAVE.replace('$', '$$') + '; exit 7']))
        server.write(f'/etc/ccpd/templates/leaver/{name}', content)
    server.sh('systemctl reload ccpd')
    job = create(server, 'alpha', 'leaver')
    assert_undone(server, 'alpha', job, 'failed', 'Unhealthy')


def test_what_a_container_left_waits_for_the_engine(server, writer):
    server.sh(f"docker exec {writer} sh -c '{LEAVE}'")
    pause_at(server, 'folder')
    server.ccpctl('delete', 'alpha', '--yes', '--no-wait', '--quiet')
    job = query(server, 'SELECT max(id) FROM jobs')
    wait_paused(server, job)
    unpause(server)
    server.sh('systemctl stop docker.socket docker.service')
    resume(server, job)
    server.wait(lambda: 'engine' in status_text(server, job), what='the worker to say what it waits for')
    server.sh('systemctl start docker.socket docker.service')
    assert wait_end(server, job)['state'] == 'succeeded'
    assert_nothing_left(server, 'alpha')


def test_the_policy_is_asked_again_before_a_start(server, writer):
    server.ccpctl('stop', 'alpha', '--quiet')
    server.sh(f'cd {INSTANCES}/alpha/revisions/1 && mv data kept && ln -s /etc data')
    try:
        assert 'symbolic link' in failed(server, begin(server, 'start'), 'PolicyViolation')
        assert server.sh('docker ps -q') == ''
    finally:
        server.sh(f'cd {INSTANCES}/alpha/revisions/1 && rm data && mv kept data')
    server.ccpctl('start', 'alpha', '--quiet')


# --- what is not ours ---


def test_a_project_of_the_same_name_that_is_not_ours_is_left_alone(server):
    server.write('/root/foreign/compose.yml', '''
services: { main: { image: "busybox:1.37", init: true, command: [sleep, infinity], volumes: ["data:/data"] } }
volumes: { data: {} }
''')
    server.sh('cd /root/foreign && docker compose -p alpha_ccp up -d')
    try:
        before = server.sh('docker ps -aq --no-trunc')
        job = create(server, 'alpha', 'trivial')
        message = assert_undone(server, 'alpha', job, 'failed', 'SlugTaken')
        assert 'alpha_ccp' in message
        assert server.sh('docker ps -aq --no-trunc') == before
        assert server.sh('docker volume ls -q') == 'alpha_ccp_data'
    finally:
        server.sh('cd /root/foreign && docker compose -p alpha_ccp down -v')


def test_a_folder_of_the_same_name_that_is_not_ours_is_left_alone(server):
    server.sh(f'install -d -o ccpd -m 700 {INSTANCES}/alpha && echo precious >{INSTANCES}/alpha/file')
    try:
        job = create(server, 'alpha', 'trivial')
        row = wait_end(server, job)
        assert (row['state'], row['error_name']) == ('failed', 'org.changemaker.ccp1.Error.SlugTaken')
        assert server.file(f'{INSTANCES}/alpha/file') == 'precious\n'
        assert query(server, 'SELECT count(*) FROM instances') == '0'
    finally:
        server.sh(f'rm -r {INSTANCES}/alpha')


def test_instances_of_one_blueprint_do_not_touch_each_other(server):
    jobs = [create(server, slug) for slug in ('alpha', 'alpha-two', 'beta')]
    assert [wait_end(server, job)['state'] for job in jobs] == ['succeeded'] * 3
    server.ccpctl('delete', 'alpha', '--yes', '--quiet')
    assert_whole(server, 'alpha-two')
    assert_whole(server, 'beta')


def test_instances_whose_names_meet_do_not_touch_each_other(server):
    """A project's name and a service's are joined by a dash: the first service of the one would be called like that of the other."""
    for blueprint, service in (('meet-one', 'b-main'), ('meet-two', 'main')):
        server.write(f'/etc/ccpd/templates/{blueprint}/blueprint.yaml', f'''
name: {blueprint}
title: Meets
version: "1.0"
files:
  - {{ template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }}
source: {{ path: /srv/everything }}
services:
  {service}: {{ stage: application, timeout: 30s }}
''')
        server.write(f'/etc/ccpd/templates/{blueprint}/docker-compose.yml.hbs', f'''
services:
  {service}:
    build: "{{{{source}}}}"
    init: true
    command: [sleep, infinity]
    volumes: ["{service.replace('-', '_')}:/data"]
volumes:
  {service.replace('-', '_')}: {{}}
''')
    server.sh('systemctl reload ccpd')
    jobs = [create(server, 'a', 'meet-one'), create(server, 'a-b', 'meet-two')]
    assert [wait_end(server, job)['state'] for job in jobs] == ['succeeded'] * 2
    server.ccpctl('delete', 'a', '--yes', '--quiet')
    assert server.sh("docker ps --format '{{.Names}}'") == 'a-b_ccp-main-1'
    assert server.sh('docker volume ls -q') == 'a-b_ccp_main'
    assert server.sh("docker image ls --format '{{.Repository}}'").split().count('a-b_ccp-main') == 1
    server.ccpctl('restart', 'a-b', '--quiet')


# --- secrets ---


def test_a_secret_is_nowhere_to_be_read(server):
    server.write('/root/token', TOKEN, mode='0600')
    cursor = server.cursor()
    job = create_paused(server, 'alpha', 'application', 'everything', '--set-file', 'token=/root/token')
    resume(server, job)
    seen = set()
    while job_row(server, job)['state'] not in FINAL:
        # What runs for the job runs as ccpd; the containers, which have the secret, do not.
        seen.add(server.sh('for p in $(pgrep -u ccpd); do cat /proc/$p/cmdline /proc/$p/environ; done 2>/dev/null | '
                           'tr "\\0" "\\n" | grep -cf /root/token || true'))
    assert_whole(server, 'alpha')
    password = server.sh(f'sed -n "s/^PASSWORD=.\\(.*\\).$/\\1/p" {INSTANCES}/alpha/current/.env')
    assert len(password) == 32
    for secret in (TOKEN, password):
        # The container itself has it in its environment; it is the only one.
        assert server.sh(f'docker exec alpha_ccp-web-1 env | grep -c "{secret}"') == '1'
        assert not any(secret in json.dumps(entry) for entry in server.journal(since=cursor))
        assert secret not in query(server, 'SELECT j::text FROM jobs j') + query(server, 'SELECT s::text FROM job_steps s')
        assert secret not in query(server, 'SELECT i::text FROM instances i') + query(server, 'SELECT r::text FROM revisions r')
        assert secret not in json.dumps(server.json('show', 'alpha')) + json.dumps(server.json('job', 'show', job))
        readable = server.sh(f'runuser -u nobody -- grep -rl "{secret}" /var/lib/ccpd /run/ccpd /tmp 2>/dev/null || true')
        assert readable == ''
    assert seen == {'0'}


# --- the machine ---


@pytest.mark.parametrize('hard', [False, True], ids=['in-order', 'power-cut'])
def test_a_job_goes_on_after_a_reboot(server, hard):
    job = create_paused(server, 'alpha', 'infrastructure')
    unpause(server)
    if not hard:
        # PID 1 would have to wait for a process that is stopped.
        resume(server, job)
    server.reboot(hard=hard)
    server.wait(lambda: server.ccpctl('list', check=False).returncode == 0, what='ccpd after the reboot')
    row = wait_end(server, job)
    assert row['state'] == 'succeeded', row
    server.wait(lambda: answers(server, 'alpha') == 'It works.\n', what='the instance to answer')


def test_shutting_down_leaves_a_job_as_it_is(server):
    job = create(server, 'alpha', 'slow', '--set', 'seconds=60')
    # More often than a worker may die.
    for _ in range(4):
        server.wait(lambda: job_row(server, job)['attempt'] == 1, what='the worker')
        wait_step(server, job, 'infrastructure')
        server.reboot()
        server.wait(lambda: server.ccpctl('list', check=False).returncode == 0, what='ccpd after the reboot')
    row = wait_end(server, job, timeout=400)
    assert (row['state'], row['attempt']) == ('succeeded', 1), row
