# SPDX-License-Identifier: LGPL-2.1-or-later
"""PostgreSQL, Docker, ccpd and the whole server go away and come back: what callers see meanwhile, and that afterwards all is as
before without anybody's help. What jobs do in such a case is in test_jobs.py."""

import json

import pytest

from fleet import ROOT, answers, get, main_pid, managed, put_blueprints, query, wait_job
from instances import containers, settled

# What goes away is missed, and what comes back is welcomed.
pytestmark = pytest.mark.allow_journal(
    r'PostgreSQL is not available', r'[Tt]he Docker Engine', r'Paused at ', r'Failed to read the records',
    # After a power cut Docker tries to start what ran, and systemd says that it does not let it.
    r'ccp.*\.slice', r'ccpd\.service: (Main process exited|Failed with result)')

INSTANCES = '/var/lib/ccpd/instances'
RECORDS = ('instances', 'ports', 'subnets', 'secrets', 'revisions', 'jobs', 'job_steps')


@pytest.fixture(scope='module', autouse=True)
def blueprints(server):
    put_blueprints(server, 'slow', 'trivial')


@pytest.fixture(scope='module')
def hello(server):
    """An instance that runs all the time, whatever happens to ccpd."""
    server.ccpctl('create', 'hello', '--blueprint', 'hello', '--domain', 'hello.example.org', '--quiet')
    return settled(server, 'hello')


@pytest.fixture(autouse=True)
def clean(server, hello):
    yield
    server.sh('systemctl start postgresql docker.socket docker ccpd')
    server.wait(lambda: get(server, ROOT, 'Manager', 'StoreState') == 'available', what='the records')
    server.wait(lambda: query(server, 'SELECT count(*) FROM jobs WHERE finished_at IS NULL') == '0', what='the end of all jobs')
    for slug in query(server, "SELECT slug FROM instances WHERE slug <> 'hello'").split():
        server.ccpctl('delete', slug, '--yes', '--quiet')
    server.wait(lambda: server.json('show', 'hello')['health'] == 'healthy', what='the health of hello')


def serves(server, hello):
    url = f'http://127.0.0.1:{hello["ports"]["web"]}/'
    return server.run(['curl', '-fsS', '--max-time', '10', url], check=False).returncode == 0


def records(server):
    """All rows, as the database has them."""
    return {table: query(server, f'SELECT t::text FROM {table} t ORDER BY 1') for table in RECORDS}


def lasting_records(server):
    """The rows that no start changes, without the time of the last change."""
    return {table: query(server, f"SELECT to_jsonb(t) - 'updated_at' FROM {table} t ORDER BY 1")
            for table in RECORDS if table not in ('jobs', 'job_steps')}


def unavailable(server, *argv):
    """The sentence of a call that finds something away."""
    result = server.ccpctl(*argv, check=False, timeout=30)
    assert result.returncode == 5 and result.stdout == '', (argv, result)
    return result.stderr


def create_call(slug='alpha', *options):
    return ['create', slug, '--blueprint', 'trivial', '--domain', f'{slug}.example.org', *options]


def create_slowly(server, seconds):
    """A ccpctl that creates an instance and waits until it is done, beside the test."""
    client = server.start(['ccpctl', 'create', 'alpha', '--blueprint', 'slow', '--domain', 'a.example.org', '--set',
                           f'seconds={seconds}'])
    server.wait(lambda: query(server, "SELECT state FROM job_steps WHERE name = 'infrastructure' AND job = "
                              "(SELECT max(id) FROM jobs WHERE slug = 'alpha')") == 'running', what='the infrastructure step')
    return client


def assert_done(server, client):
    stdout, stderr = client.communicate(timeout=240)
    assert client.returncode == 0 and 'alpha was created and is running' in stdout + stderr, (stdout, stderr)
    assert server.json('show', 'alpha')['state'] == 'running'


# --- PostgreSQL ---


def test_records_that_are_away_refuse_changes_and_nothing_else(server, hello):
    before, pid = records(server), main_pid(server, 'ccpd')
    server.sh('systemctl stop postgresql')
    server.wait(lambda: get(server, ROOT, 'Manager', 'StoreState') == 'unavailable', what='the notice')
    # Reads go on from memory.
    assert server.json('show', 'hello')['health'] == 'healthy'
    assert [instance['slug'] for instance in server.json('list')] == ['hello']
    assert server.ccpctl('status', 'hello').returncode == 0
    assert 'unavailable' in server.ccpctl().stdout
    for argv in (create_call(), create_call('beta', '--dry-run'), ['stop', 'hello'], ['delete', 'hello', '--yes'],
                 ['settings', 'set', 'job_concurrency=2']):
        assert 'postgresql' in unavailable(server, *argv).lower()
    assert serves(server, hello)
    # A container that dies is seen without records too.
    server.sh('docker stop --time 0 hello_ccp-web-1 >&2')
    server.wait(lambda: server.json('show', 'hello')['health'] == 'unhealthy', what='the news of the death')
    server.sh('docker start hello_ccp-web-1 >&2')

    server.sh('systemctl start postgresql')
    server.wait(lambda: get(server, ROOT, 'Manager', 'StoreState') == 'available', what='the reconnection')
    assert records(server) == before and main_pid(server, 'ccpd') == pid
    server.ccpctl(*create_call(), '--quiet')


def test_records_that_are_away_when_ccpd_starts(server, hello):
    server.sh('systemctl stop postgresql; systemctl restart ccpd')
    assert server.sh('systemctl is-active ccpd') == 'active'
    for argv in (['list'], ['show', 'hello'], create_call(), []):
        assert 'postgresql' in unavailable(server, *argv).lower()
    assert serves(server, hello)
    pid = main_pid(server, 'ccpd')
    server.sh('systemctl start postgresql')
    server.wait(lambda: answers(server), what='the records')
    # What the containers do was told while there were no records yet to put it to.
    server.wait(lambda: server.json('show', 'hello')['health'] == 'healthy', what='the health')
    assert main_pid(server, 'ccpd') == pid
    server.ccpctl(*create_call(), '--quiet')


def test_records_that_crash_in_the_middle_of_a_job(server):
    client = create_slowly(server, 8)
    server.sh('systemctl kill -s KILL postgresql@17-main.service || true; systemctl stop postgresql')
    server.wait(lambda: get(server, ROOT, 'Manager', 'StoreState') == 'unavailable', what='the notice')
    # How it goes on is still told.
    assert get(server, f'{ROOT}/instance/alpha', 'Instance', 'State') == 'provisioning'
    server.sh('systemctl reset-failed; systemctl start postgresql')
    assert_done(server, client)
    assert wait_job(server, 'alpha')['attempt'] == 1


# --- Docker ---


def test_an_engine_that_is_away_refuses_what_needs_it(server, hello):
    before = records(server)
    server.sh('systemctl stop docker.socket docker')
    server.wait(lambda: get(server, ROOT, 'Manager', 'EngineState') == 'unavailable', what='the notice')
    for argv in (create_call(), ['stop', 'hello'], ['restart', 'hello'], ['delete', 'hello', '--yes']):
        assert 'docker' in unavailable(server, *argv).lower()
    assert records(server) == before and server.sh(f'ls {INSTANCES}') == 'hello'
    # Nobody knows, and nobody says that they do.
    shown = server.json('show', 'hello')
    assert (shown['state'], shown['health']) == ('running', 'unknown')
    assert 'unavailable' in server.ccpctl().stdout

    server.sh('systemctl start docker.socket docker')
    server.wait(lambda: server.json('show', 'hello')['health'] == 'healthy', what='the health')
    assert get(server, ROOT, 'Manager', 'EngineState') == 'available' and serves(server, hello)
    server.ccpctl(*create_call(), '--quiet')


def test_an_engine_that_restarts_in_the_middle_of_a_job(server):
    client = create_slowly(server, 3)
    server.sh('systemctl stop docker.socket docker; systemctl start docker.socket docker')
    assert_done(server, client)


# --- ccpd ---


def test_a_restart_in_the_middle_of_a_job_changes_nothing(server, hello):
    before = containers(server, 'hello')['web']
    client = create_slowly(server, 20)
    worker = server.sh("systemctl list-units --plain --no-legend 'ccp-job@*' | cut -d' ' -f1")
    pid = main_pid(server, worker)
    server.sh('systemctl restart ccpd')
    server.sh(f'systemctl kill -s KILL ccpd; sleep 0.5')
    server.wait(lambda: answers(server), what='ccpd')
    # The worker, the client that waits for it, and the other instance saw nothing of it.
    assert main_pid(server, worker) == pid
    assert_done(server, client)
    assert wait_job(server, 'alpha')['attempt'] == 1
    after = containers(server, 'hello')['web']
    assert (after['Id'], after['State']['StartedAt']) == (before['Id'], before['State']['StartedAt']) and serves(server, hello)


# --- the server ---


@pytest.mark.parametrize('hard', [False, True], ids=['in-order', 'power-cut'])
def test_a_reboot_keeps_instances_and_records(server, hello, hard):
    server.ccpctl('create', 'resting', '--blueprint', 'hello', '--domain', 'r.example.org', '--quiet')
    server.ccpctl('stop', 'resting', '--quiet')
    objects, rows = managed(server), lasting_records(server)
    shown = {slug: server.json('show', slug) for slug in ('hello', 'resting')}
    files = server.sh(f'cd {INSTANCES} && find . -type f -exec sha256sum {{}} + | sort')

    server.reboot(hard=hard)
    server.wait(lambda: answers(server), what='ccpd after the reboot')
    server.wait(lambda: server.json('show', 'hello')['health'] == 'healthy', what='the health after the reboot')
    # What should run was started again, by jobs of ccpd's own.
    server.wait(lambda: query(server, 'SELECT count(*) FROM jobs WHERE finished_at IS NULL') == '0', what='the end of all jobs')
    assert lasting_records(server) == rows and set(managed(server)) >= set(objects)
    for slug, was in shown.items():
        now = server.json('show', slug)
        # Its containers are others' runs, and it is healthy since then.
        other = ('services', 'health_since')
        assert {key: now[key] for key in now if key not in other} == {key: was[key] for key in was if key not in other}
        assert slug != 'hello' or now['health_since'] > was['health_since']
    assert server.sh(f'cd {INSTANCES} && find . -type f -exec sha256sum {{}} + | sort') == files
    assert serves(server, hello)
    # The secrets are opened with the same key: an instance starts, and its job reads them.
    server.ccpctl('start', 'resting', '--quiet')
    assert json.loads(server.ccpctl('show', 'resting', '--json=short').stdout)['state'] == 'running'
