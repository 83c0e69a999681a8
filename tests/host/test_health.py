# SPDX-License-Identifier: LGPL-2.1-or-later
"""Health: sweeps by the timer and on demand, over services that do everything that they should not, and what is left of it when
Docker or PostgreSQL are away."""

import json
import re
import time

import pytest

from fleet import get, put_blueprints, query, wait_job
from instances import containers

pytestmark = pytest.mark.allow_journal(r'PostgreSQL is not available', r'Docker does not answer', r'[Tt]he Docker Engine',
                                       r'The instances could not be looked at')

HOUR = 3_600_000_000

# What listens on these ports is a program beside the instance, which does what a file says.
PORTS = {name: 22000 + n for n, name in enumerate(('web', 'hang', 'flood', 'redirect', 'closes', 'tcp', 'tls'))}
LISTENER = '''
import socket, sys, threading, time

def answer(status, *headers):
    return '\\r\\n'.join([f'HTTP/1.1 {status}', *headers, '', '']).encode()

def serve(name, port, connection):
    with open(f'/run/odd/{name}') as file:
        mode = file.read().strip()
    if mode == 'closes':
        return
    if name == 'tcp':
        time.sleep(2)
        return
    connection.recv(65536)
    if mode == 'good':
        connection.sendall(answer('200 OK', 'Content-Length: 0'))
    elif mode == 'hang':
        time.sleep(600)
    elif mode == 'redirect':
        connection.sendall(answer('302 Found', f'Location: http://127.0.0.1:{port}/', 'Content-Length: 0'))
    elif mode == 'flood':
        connection.sendall(answer('200 OK', 'Content-Length: 10485760'))
        for _ in range(10):
            connection.sendall(b'x' * 1048576)
    else:
        connection.sendall(answer('502 Bad Gateway', 'Content-Length: 0'))

def handle(*arguments):
    try:
        serve(*arguments)
    except OSError:
        pass
    arguments[-1].close()

def listen(name, port):
    listener = socket.create_server(('127.0.0.1', port), backlog=128)
    while True:
        threading.Thread(target=handle, args=(name, port, listener.accept()[0]), daemon=True).start()

for argument in sys.argv[1:]:
    name, port = argument.split('=')
    threading.Thread(target=listen, args=(name, int(port))).start()
print('ready', flush=True)
'''
COMPOSE = '''services:
{services}'''
SLEEPER = '''  {name}:
    image: "busybox:1.37"
    command: ["sleep", "infinity"]
    stop_signal: SIGKILL
'''
ODD = {
    'blueprint.yaml': '''name: odd
title: Odd
version: "1"
ports:
''' + ''.join(f'  {name}: "{port}-{port}"\n' for name, port in PORTS.items()) + '''
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
services:
''' + ''.join(f'  {name}: {{ timeout: 30s, health: {{ type: http, port: {name} }} }}\n' for name in PORTS if name not in ('tcp', 'tls', 'web'))
    + '''  web: { timeout: 30s, health: { type: http, port: web } }
  tcp: { timeout: 30s, health: { type: tcp, port: tcp } }
  tls: { timeout: 30s, health: { type: https, port: tls, host: "{{domain}}" } }
''',
    'docker-compose.yml.hbs': COMPOSE.format(services=''.join(SLEEPER.format(name=name) for name in PORTS)),
}
MIXED = {
    'blueprint.yaml': '''name: mixed
title: Mixed
version: "1"
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
services:
  main: { stage: application, timeout: 30s, health: { type: command, command: [sh, /tmp/health], failures: 2 } }
  migrate: { kind: oneshot, stage: infrastructure, timeout: 30s }
  mail: { kind: optional, timeout: 30s, health: { type: command, command: [test, "!", -e, /tmp/ill], failures: 1 } }
''',
    'docker-compose.yml.hbs': '''services:
  main:
    image: "busybox:1.37"
    command: ["sh", "-c", "echo true >/tmp/health; exec sleep infinity"]
    stop_signal: SIGKILL
  migrate:
    image: "busybox:1.37"
    command: ["true"]
  mail:
    image: "busybox:1.37"
    command: ["sleep", "infinity"]
    stop_signal: SIGKILL
''',
}


def sweep(server, timeout=60):
    """One look; returns how long it took."""
    begin = time.monotonic()
    server.run(['systemctl', 'start', 'ccp-health.service'], timeout=timeout)
    return time.monotonic() - begin


def show(server, slug):
    return server.json('show', slug)


def wait_health(server, slug, health, timeout=120):
    server.wait(lambda: show(server, slug)['health'] == health, timeout, f'{health} of {slug}: {show(server, slug)["health_reason"]}')
    return show(server, slug)


def mode(server, name, what):
    server.write(f'/run/odd/{name}', what)


def last(server, slug):
    """What the last sweep that could tell found. Not each is a sample: soon after another one they are not counted."""
    return query(server, f"SELECT c.health FROM health_current c JOIN instances i ON i.id = c.instance WHERE i.slug = '{slug}'")


def n_sweeps(server):
    return int(query(server, 'SELECT count(*) FROM health_sweeps'))


def timers(server):
    return server.sh("systemctl list-units --plain --no-legend 'ccp-health@*.timer' | cut -d' ' -f1").split()


@pytest.fixture(scope='module', autouse=True)
def quiet(server):
    """Sweeps come when a test wants them."""
    server.ccpctl('settings', 'set', 'health_interval=3600')
    put_blueprints(server, odd=ODD, mixed=MIXED)


@pytest.fixture(scope='module')
def odd(server, quiet):
    """It listens as soon as it has its ports: until then nobody may have them."""
    for name in PORTS:
        mode(server, name, 'good')
    server.sh('''cd /run/odd
        openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=odd.example.org \\
            -addext subjectAltName=DNS:odd.example.org 2>/dev/null
        cp cert.pem /usr/local/share/ca-certificates/odd.crt && update-ca-certificates >/dev/null 2>&1''')
    server.ccpctl('create', 'odd', '--blueprint', 'odd', '--domain', 'odd.example.org', '--no-wait', '--quiet')
    tls = server.start(['openssl', 's_server', '-quiet', '-www', '-accept', f'127.0.0.1:{PORTS["tls"]}', '-cert', '/run/odd/cert.pem',
                        '-key', '/run/odd/key.pem'])
    process = server.start(['python3', '-c', LISTENER, *(f'{name}={port}' for name, port in PORTS.items() if name != 'tls')])
    assert process.stdout.readline() == 'ready\n', process.stderr.read()
    assert wait_job(server, 'odd')['state'] == 'succeeded'
    # The first look that knows that the job has ended.
    yield server.wait(lambda: (shown := show(server, 'odd'))['state'] == 'running' and shown, what='the news of its end')
    for one in (process, tls):
        one.kill()
        one.wait()


@pytest.fixture(scope='module')
def mixed(server, quiet):
    server.ccpctl('create', 'mixed', '--blueprint', 'mixed', '--domain', 'mixed.example.org', '--quiet', timeout=180)
    # What its containers are comes from ccp-watch, in its own time.
    return server.wait(lambda: (shown := show(server, 'mixed'))['health'] == 'healthy' and shown, what='the health of mixed')


# --- the timer ---

def test_the_timer_of_the_setting_sweeps(server, mixed):
    try:
        server.ccpctl('settings', 'set', 'health_interval=10')
        server.wait(lambda: timers(server) == ['ccp-health@10s.timer'], what='the timer')
        before = n_sweeps(server)
        server.wait(lambda: n_sweeps(server) >= before + 2, what='two sweeps', interval=1)
        assert last(server, 'mixed') == 'healthy'
        # It goes on without ccpd, and does not bring it back.
        server.sh('systemctl stop ccpd')
        before = n_sweeps(server)
        server.wait(lambda: n_sweeps(server) > before, what='a sweep without ccpd', interval=1)
        assert server.run(['systemctl', 'is-active', 'ccpd'], check=False).stdout.strip() == 'inactive'
        assert timers(server) == ['ccp-health@10s.timer']
    finally:
        server.sh('systemctl start ccpd')
        server.ccpctl('settings', 'set', 'health_interval=3600')
    server.wait(lambda: timers(server) == ['ccp-health@3600s.timer'], what='the other timer')


def test_no_line_of_the_journal_for_a_sweep_that_finds_nothing_new(server, mixed):
    cursor = server.cursor()
    sweep(server)
    assert [e.get('MESSAGE') for e in server.journal(since=cursor, unit='ccp-health.service')] == []


# --- what sweeps see ---

def test_it_is_healthy_as_soon_as_its_job_has_proven_it(server, odd):
    # Without a moment in which it is still starting: the fixture has asked once, at once.
    assert (odd['state'], odd['health'], odd['health_reason']) == ('running', 'healthy', '')
    assert int(query(server, "SELECT count(*) FROM health_probes WHERE verdict = 'healthy'")) >= len(PORTS)


def test_one_lost_probe_does_not_flap_and_three_do(server, odd):
    sweep(server)
    for lost in (1, 2):
        mode(server, 'web', 'bad')
        for _ in range(lost):
            sweep(server)
            assert last(server, 'odd') == 'healthy'
        assert show(server, 'odd')['health'] == 'healthy'
        mode(server, 'web', 'good')
        sweep(server)
    mode(server, 'web', 'bad')
    for n in range(3):
        assert show(server, 'odd')['health'] == 'healthy', n
        sweep(server)
    shown = wait_health(server, 'odd', 'degraded')
    assert shown['health_reason'] == f'web: answers 502 instead of 200 to GET / on port {PORTS["web"]}'
    assert last(server, 'odd') == 'degraded'
    assert abs(shown['health_since'] / 1e6 - time.time()) < 60
    mode(server, 'web', 'good')
    sweep(server)
    assert wait_health(server, 'odd', 'healthy')['health_reason'] == ''


def test_whatever_an_endpoint_does_the_sweep_ends_and_says_it(server, odd):
    for name in ('hang', 'redirect', 'closes', 'flood'):
        mode(server, name, name)
    mode(server, 'tcp', 'closes')
    for _ in range(3):
        # All at once: five seconds for the one that hangs.
        assert 4 < sweep(server) < 15
    try:
        server.wait(lambda: show(server, 'odd')['health'] == 'degraded', what='degraded')
        rows = dict(line.strip().split('|') for line in query(
            server, "SELECT service, trim(verdict || ' ' || coalesce(reason, '')) FROM health_probes p JOIN instances i ON i.id = p.instance "
            "WHERE slug = 'odd'").splitlines())
        assert rows['hang'].startswith(f'failed does not answer HTTP on port {PORTS["hang"]}')
        assert rows['redirect'] == f'failed answers 302 instead of 200 to GET / on port {PORTS["redirect"]}'
        assert rows['closes'].startswith(f'failed does not answer HTTP on port {PORTS["closes"]}')
        assert rows['tcp'].startswith(f'failed does not listen on port {PORTS["tcp"]}')
        # What begins well and is too long is well, and no more of it is read.
        assert rows['flood'] == rows['web'] == rows['tls'] == 'healthy'
    finally:
        for name in PORTS:
            mode(server, name, 'good')
    sweep(server)
    wait_health(server, 'odd', 'healthy')


def test_a_bad_certificate_is_said(server, odd):
    try:
        server.sh('rm /usr/local/share/ca-certificates/odd.crt; update-ca-certificates --fresh >/dev/null 2>&1')
        for _ in range(3):
            sweep(server)
        reason = wait_health(server, 'odd', 'degraded')['health_reason']
        assert reason.startswith(f'tls: has a bad certificate on port {PORTS["tls"]} ('), reason
    finally:
        server.sh('cp /run/odd/cert.pem /usr/local/share/ca-certificates/odd.crt && update-ca-certificates >/dev/null 2>&1')
    sweep(server)
    wait_health(server, 'odd', 'healthy')


def test_a_dead_container_is_seen_at_once_and_a_new_run_is_proven_anew(server, odd):
    container = containers(server, 'odd')['web']['Id']
    server.run(['docker', 'kill', container])
    # At once: there is no sweep that could tell.
    shown = wait_health(server, 'odd', 'degraded')
    assert shown['health_reason'].startswith('web: ')
    mode(server, 'web', 'bad')
    time.sleep(1.1)
    server.run(['docker', 'start', container])
    assert wait_health(server, 'odd', 'starting')['health_reason'] == 'web: has not answered yet'
    sweep(server)
    server.wait(lambda: show(server, 'odd')['health_reason'].startswith('web: answers 502'), what='the reason')
    assert show(server, 'odd')['health'] == 'starting'
    mode(server, 'web', 'good')
    sweep(server)
    wait_health(server, 'odd', 'healthy')


# --- commands, optional services, one-shots ---

def health_script(server, script):
    container = containers(server, 'mixed')['main']['Id']
    server.run(['docker', 'exec', '-i', container, 'sh', '-c', 'cat >/tmp/health'], input=script)
    return container


def test_a_command_is_judged_by_its_exit_code_and_an_ended_one_shot_is_well(server, mixed):
    assert (mixed['health'], mixed['health_reason']) == ('healthy', '')
    health_script(server, 'echo the password is hunter22; exit 7')
    sweep(server)
    assert show(server, 'mixed')['health'] == 'healthy'
    sweep(server)
    assert wait_health(server, 'mixed', 'unhealthy')['health_reason'] == 'main: fails its health command (exit code 7)'
    # What it says is the tenant's: it is not recorded.
    assert 'hunter22' not in query(server, 'SELECT p::text FROM health_probes p') + json.dumps(show(server, 'mixed'))
    health_script(server, 'true')
    sweep(server)
    wait_health(server, 'mixed', 'healthy')


def test_a_command_that_hangs_is_not_started_again(server, mixed):
    container = health_script(server, 'exec sleep 600.5')
    for _ in range(3):
        assert sweep(server) < 30
    shown = wait_health(server, 'mixed', 'unhealthy')
    assert shown['health_reason'] == 'main: has a health command that does not end'
    processes = [line.split(None, 1) for line in server.sh(f'docker top {container} -o pid,args').splitlines()]
    hanging = [pid for pid, command in processes if command == 'sleep 600.5']
    assert len(hanging) == 1, processes
    health_script(server, 'true')
    server.run(['kill', *hanging])
    # Docker hears of its end in its own time.
    server.wait(lambda: sweep(server) and show(server, 'mixed')['health'] == 'healthy', what='the health of mixed', interval=1)


def test_an_optional_service_degrades(server, mixed):
    mail = containers(server, 'mixed')['mail']['Id']
    server.run(['docker', 'exec', mail, 'touch', '/tmp/ill'])
    sweep(server)
    assert wait_health(server, 'mixed', 'degraded')['health_reason'] == 'mail: fails its health command (exit code 1)'
    server.run(['docker', 'exec', mail, 'rm', '/tmp/ill'])
    sweep(server)
    wait_health(server, 'mixed', 'healthy')


# --- on demand ---

def test_ccpctl_health_looks_now(server, odd, mixed):
    before = n_sweeps(server)
    assert server.ccpctl('health').returncode == 0
    assert n_sweeps(server) == before
    answer = server.json('health', 'odd')
    assert n_sweeps(server) == before + 1
    assert answer['health'] == 'healthy' and abs(answer['checked_at'] / 1e6 - time.time()) < 30
    assert {s['service']: s['verdict'] for s in answer['services']} == dict.fromkeys(PORTS, 'healthy')
    assert all(s['latency'] > 0 for s in answer['services'])
    shown = server.ccpctl('health', 'odd', 'mixed').stdout
    assert '● odd - healthy since' in shown and '● mixed - healthy since' in shown

    server.run(['docker', 'stop', '-t', '0', containers(server, 'mixed')['mail']['Id']])
    result = server.ccpctl('health', 'odd', 'mixed', check=False)
    assert result.returncode == 1 and re.search(r'(?m)^mail +optional +failed +- +has ended$', result.stdout), result.stdout
    assert server.ccpctl('health', check=False).returncode == 1
    server.run(['docker', 'start', containers(server, 'mixed')['mail']['Id']])
    assert server.ccpctl('health', 'mixed', check=False).returncode == 0


# --- Docker and PostgreSQL away ---

def assert_nobody_is_ill(server):
    assert last(server, 'odd') == 'healthy' and last(server, 'mixed') == 'healthy'
    assert query(server, "SELECT count(*) FROM health_probes WHERE verdict = 'failed'") == '0'
    assert query(server, 'SELECT error_name FROM health_sweeps ORDER BY number DESC LIMIT 1').endswith('.EngineUnavailable')


def test_a_docker_that_hangs_makes_nobody_ill(server, odd, mixed):
    sweep(server)
    pid = server.sh('systemctl show -P MainPID docker')
    server.sh(f'kill -STOP {pid}')
    try:
        assert sweep(server) < 45
        assert_nobody_is_ill(server)
        result = server.ccpctl('health', 'odd', check=False, timeout=90)
        assert result.returncode == 5 and 'Docker Engine did not answer' in result.stderr, result
    finally:
        server.sh(f'kill -CONT {pid}')
    # It has a lot to answer first.
    server.wait(lambda: sweep(server) and {show(server, slug)['health'] for slug in ('odd', 'mixed')} == {'healthy'}, what='their health',
                interval=1)


def test_a_docker_that_is_stopped_makes_nobody_ill(server, odd, mixed):
    server.sh('systemctl stop docker.socket docker')
    try:
        assert sweep(server) < 20
        assert_nobody_is_ill(server)
        assert wait_health(server, 'odd', 'unknown')['health_reason'] == ''
        cursor = server.cursor()
        sweep(server)
        assert not server.journal(since=cursor, unit='ccp-health.service'), 'the same again is no news'
    finally:
        server.sh('systemctl start docker.socket docker')
    # A stopped Docker ends its containers, and ccpd starts them again.
    for slug in ('odd', 'mixed'):
        wait_health(server, slug, 'healthy', 300)
    server.wait(lambda: server.json()['recovery'].get('ended_at'), what='the end of the recovery')


def test_without_the_records_nothing_is_looked_at_and_health_goes_on(server, odd, mixed):
    server.sh('systemctl stop postgresql')
    try:
        assert sweep(server) < 20
        assert server.sh('systemctl show -P Result ccp-health.service') == 'success'
        result = server.ccpctl('health', 'mixed', check=False)
        assert result.returncode == 5 and 'PostgreSQL' in result.stderr
        assert server.ccpctl('health', 'history', 'mixed', check=False).returncode == 5
        assert show(server, 'mixed')['health'] == 'healthy'
        server.run(['docker', 'kill', containers(server, 'mixed')['mail']['Id']])
        wait_health(server, 'mixed', 'degraded')
    finally:
        server.sh('systemctl start postgresql')
        server.wait(lambda: get(server, '/org/changemaker/ccp1', 'Manager', 'StoreState') == 'available', what='the records')
        server.run(['docker', 'start', containers(server, 'mixed')['mail']['Id']])
    sweep(server)
    wait_health(server, 'mixed', 'healthy')


# --- history ---

def test_history_is_drawn(server, mixed):
    now = int(time.time() * 1e6) // HOUR * HOUR
    query(server, f'''
        INSERT INTO health_hours SELECT id, {now} - n::bigint * {HOUR}, 0, 0, CASE WHEN n BETWEEN 50 AND 73 THEN 60 ELSE 120 END, 0,
            CASE WHEN n BETWEEN 50 AND 73 THEN 60 ELSE 0 END, '{{20}}', '{{100}}'
        FROM generate_series(1, 400) n, instances WHERE slug = 'mixed' ON CONFLICT DO NOTHING;
        UPDATE health_rolled_up SET until = {now}''')
    answer = server.json('health', 'history', 'mixed')
    assert len(answer['last_30d']['periods']) in (30, 31)
    assert 0.80 < answer['last_7d']['uptime'] < 0.95 < answer['last_30d']['uptime'] < 0.98
    # Before the first hour nothing is known, which is no downtime.
    assert 'uptime' not in answer['last_30d']['periods'][0] and answer['last_30d']['periods'][20]['uptime'] == 1
    drawn = server.ccpctl('health', 'history', 'mixed').stdout
    assert re.search(r'(?m)^ +7d  .*██.*▂', drawn) and re.search(r'(?m)^ +7d +9\d\.\d\d% ', drawn), drawn
    assert server.run(['env', 'LC_ALL=C', 'ccpctl', 'health', 'history', 'mixed']).stdout.isascii()
    [row] = [r for r in server.json('health', 'history') if r['slug'] == 'mixed']
    assert abs(row['last_7d']['uptime'] - answer['last_7d']['uptime']) < 0.001


def test_an_hour_that_is_over_is_rolled_up_by_the_next_sweep(server, mixed):
    # Not the one that ends while this is looked at.
    server.wait(lambda: time.time() % 3600 < 3540, what='another hour', interval=1)
    now = int(time.time() * 1e6) // HOUR * HOUR
    # The module itself may have begun in that hour.
    query(server, f"UPDATE health_rolled_up SET until = {now - 2 * HOUR}; DELETE FROM health_hours; DELETE FROM health_samples; INSERT INTO health_samples "
                  f"SELECT id, {now - HOUR} + n::bigint * 60000000, CASE n % 4 WHEN 0 THEN 'unhealthy' ELSE 'healthy' END, 2000 "
                  "FROM generate_series(0, 39) n, instances WHERE slug = 'mixed'")
    sweep(server)
    assert query(server, f'SELECT n_healthy, n_unhealthy, latency_counts FROM health_hours WHERE hour = {now - HOUR}') == '30|10|{40}'
    assert query(server, 'SELECT until FROM health_rolled_up') == str(now)


def test_what_is_deleted_leaves_no_history(server, mixed, odd):
    assert int(query(server, 'SELECT count(*) FROM health_samples')) > 0
    for slug in ('odd', 'mixed'):
        server.ccpctl('delete', slug, '--yes', '--quiet', timeout=120)
    sweep(server)
    for table in ('health_samples', 'health_hours', 'health_probes', 'health_current'):
        assert query(server, f'SELECT count(*) FROM {table}') == '0'
