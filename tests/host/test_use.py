# SPDX-License-Identifier: LGPL-2.1-or-later
"""What instances use, as the kernel and Docker count it, and the metrics: with real containers.

The control groups of the test server have no controller for memory and processor shares: what is read of memory is tested with made-up
groups (tests/unit/test-use-cgroup.c, tests/bus/daemon/test_use.py); processor time, tasks and networks are real here."""

import json
import os
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from fleet import put_blueprints
from instances import containers
from terminal import Terminal

SLUG = 'my-shop'
NAME = 'A "quoted" \\ näme'
MEBIBYTE = 1024 * 1024
KEEPER = {
    'blueprint.yaml': '''
name: keeper
title: Keeper
version: "1.0"
ports: { web: nginx }
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
  - { template: env.hbs, target: .env, format: dotenv, mode: "0600" }
services:
  web: { stage: application, timeout: 30s, health: { type: container } }
  idle: { stage: application, timeout: 30s, health: { type: container } }
limits: { memory: 64M, pids: 64 }
''',
    'docker-compose.yml.hbs': '''
services:
  web:
    image: busybox:1.37
    command: [httpd, -f, -p, "80", -h, /data]
    init: true
    ports: ["${BIND_ADDRESS:?}:${WEB_PORT:?}:80"]
    volumes: ["data:/data"]
  idle:
    image: busybox:1.37
    command: [sleep, infinity]
    init: true
volumes:
  data: {}
''',
}
# Sends what is on standard input, and prints all that is answered.
SPEAK = '''
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect('/run/ccpd/metrics')
s.sendall(sys.stdin.buffer.read())
while data := s.recv(65536):
    sys.stdout.buffer.write(data)
'''


@pytest.fixture(scope='module')
def shop(server):
    env = server.file('/usr/share/ccpd/templates/hello/env.hbs')
    put_blueprints(server, keeper=KEEPER | {'env.hbs': '\n'.join(x for x in env.splitlines() if 'ADMIN_TOKEN' not in x) + '\n'})
    server.ccpctl('create', SLUG, '--blueprint', 'keeper', '--domain', 'shop.example.org', '--name', NAME, '--limit', 'memory=32M',
                  '--limit', 'pids=48')
    server.ccpctl('create', 'other', '--blueprint', 'keeper', '--domain', 'other.example.org')
    return server.json('show', SLUG)


def get_use(server, slug=SLUG):
    path = server.sh(f'busctl call --json=short org.changemaker.ccp1 /org/changemaker/ccp1 org.changemaker.ccp1.Manager GetInstance s {slug}')
    output = server.run(['busctl', 'call', '--json=short', 'org.changemaker.ccp1', json.loads(path)['data'][0],
                         'org.changemaker.ccp1.Instance', 'GetUse', 'a{sv}', '0']).stdout
    return plain(json.loads(output)['data'][0])


def use_now(server, slug=SLUG):
    """Read after this call: who asks sooner than ccpd reads anew gets what the one before got."""
    asked = server.run(['date', '+%s%6N']).stdout
    return server.wait(lambda: (u := get_use(server, slug))['Time'] > int(asked) and u, what='another reading')


def plain(value):
    """What busctl prints, without the types of variants."""
    if isinstance(value, dict) and set(value) == {'type', 'data'}:
        return plain(value['data'])
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def service(use, name):
    return next(s for s in use['Services'] if s['Name'] == name)


def scrape(server, *args, **options):
    return server.run(['curl', '-sS', '--max-time', '10', '--unix-socket', '/run/ccpd/metrics', *args, 'http://localhost/metrics'], **options)


def samples(text, parse=parse_openmetrics):
    """(name, labels) → value. The parser refuses what the format does not allow."""
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in parse(text) for s in family.samples}


def of(found, metric, /, **labels):
    return found.get((metric, tuple(sorted(labels.items()))))


def test_a_busy_container_takes_processor_time(server, shop):
    before = use_now(server)
    container = containers(server, SLUG)['web']['Id']
    # Two seconds of it, however long that takes.
    server.sh(f'docker exec {container} sh -c "ulimit -t 2; while :; do :; done" || true')
    after = use_now(server)
    grown = after['CPUUsec'] - before['CPUUsec']
    assert 1000000 < grown < 4000000
    assert abs(service(after, 'web')['CPUUsec'] - service(before, 'web')['CPUUsec'] - grown) < 200000
    assert service(after, 'idle')['CPUUsec'] - service(before, 'idle')['CPUUsec'] < 100000
    # What the kernel of this server does not count is not there.
    groups = server.sh('cat /sys/fs/cgroup/ccp.slice/cgroup.controllers').split()
    assert ('Memory' in after) == ('memory' in groups) and ('Tasks' in after) == ('pids' in groups)


def test_networks_are_counted_by_instance_and_container(server, shop):
    container = containers(server, SLUG)['web']['Id']
    server.sh(f'docker exec {container} dd if=/dev/zero of=/data/page bs=1M count=5 2>/dev/null')
    before, other = use_now(server), use_now(server, 'other')
    server.sh(f'curl -sSf -o /dev/null http://127.0.0.1:{shop["ports"]["web"]}/page')
    after = use_now(server)
    assert 5 * MEBIBYTE <= after['NetworkSent'] - before['NetworkSent'] < 6 * MEBIBYTE
    assert 0 < after['NetworkReceived'] - before['NetworkReceived'] < MEBIBYTE
    assert service(after, 'web')['NetworkSent'] - service(before, 'web')['NetworkSent'] >= 5 * MEBIBYTE
    assert service(after, 'idle')['NetworkSent'] - service(before, 'idle')['NetworkSent'] < 100000
    assert use_now(server, 'other')['NetworkSent'] - other['NetworkSent'] < 100000


def test_disk_is_there_after_it_was_measured(server, shop):
    container = containers(server, SLUG)['web']['Id']
    server.sh(f'docker exec {container} dd if=/dev/zero of=/data/ten bs=1M count=10 2>/dev/null')
    server.sh(f'docker exec {container} dd if=/dev/zero of=/layer bs=1M count=3 2>/dev/null')
    server.sh('systemctl start ccp-measure.service')
    found = server.wait(lambda: (u := get_use(server)) and u.get('DiskVolumes', {}).get('data', 0) > 10 * MEBIBYTE and u, what='the disk')
    assert 10 * MEBIBYTE <= found['DiskVolumes']['data'] < 17 * MEBIBYTE
    assert 3 * MEBIBYTE <= found['DiskServices']['web'] < 4 * MEBIBYTE and found['DiskServices']['idle'] < MEBIBYTE
    # The files of the revision.
    assert 4096 <= found['DiskFolder'] < MEBIBYTE
    assert found['Disk'] == found['DiskFolder'] + sum(found['DiskVolumes'].values()) + sum(found['DiskServices'].values())
    assert abs(found['DiskMeasuredAt'] / 1e6 - time.time()) < 60 and found['DiskComplete']
    assert service(found, 'web')['Disk'] == found['DiskServices']['web']
    assert server.sh('systemctl is-enabled ccp-measure.timer ccp-metrics.socket') == 'enabled\nenabled'
    assert server.run(['systemctl', 'is-enabled', 'ccp-metrics-file.timer'], check=False).stdout.strip() == 'disabled'


@pytest.mark.allow_journal('Docker')
def test_without_docker_the_folders_are_measured_all_the_same(server, shop):
    before = get_use(server)
    path = f'/var/lib/ccpd/instances/{SLUG}/large'
    server.sh(f'dd if=/dev/zero of={path} bs=1M count=7 2>/dev/null; systemctl stop docker.socket docker.service')
    try:
        server.sh('systemctl start ccp-measure.service')
        found = server.wait(lambda: (u := get_use(server)) and u['DiskFolder'] > 7 * MEBIBYTE and u, what='the folder')
        assert found['DiskVolumes'] == before['DiskVolumes']
    finally:
        server.sh(f'rm {path}; systemctl start docker.socket docker.service')
        server.wait(lambda: server.json()['engine_state'] == 'available', what='Docker')
        for slug in (SLUG, 'other'):
            server.ccpctl('start', slug, check=False)
        # Where that was refused ccpd itself is about to start it.
        server.wait(lambda: all((shown['state'], shown['health'], shown['job']) == ('running', 'healthy', '/')
                                for shown in (server.json('show', slug) for slug in (SLUG, 'other'))), what='the health of both')
        server.sh('systemctl start ccp-measure.service')
        server.wait(lambda: len(containers(server, SLUG)) == 2, what='the containers')


def test_limits_reach_the_containers(server, shop):
    assert shop['limits'] == {'memory': '32M', 'pids': '48'}
    override = server.file(f'/var/lib/ccpd/instances/{SLUG}/current/ccp.override.yml')
    assert override.count('33554432') == 2 and override.count('pids_limit: 48') == 2
    config = containers(server, SLUG)['web']['HostConfig']
    # The Engine leaves out, with a warning, what this kernel cannot do.
    controllers = server.sh('cat /sys/fs/cgroup/cgroup.controllers').split()
    assert config['Memory'] == (32 * MEBIBYTE if 'memory' in controllers else 0)
    assert config['PidsLimit'] == (48 if 'pids' in controllers else None)
    assert server.file('/var/lib/ccpd/instances/other/current/ccp.override.yml').count('pids_limit: 64') == 2
    assert server.json('show', 'other')['limits'] == {}
    assert 'Limits: ' in server.ccpctl('status', SLUG).stdout
    for limit in ('memory=1', 'disk=1G', 'cpus=none', 'memory'):
        assert server.ccpctl('create', 'x', '--blueprint', 'keeper', '--domain', 'x.example.org', '--limit', limit,
                             check=False).returncode in (1, 2)


def test_top_as_table_and_json(server, shop):
    table = server.ccpctl('top').stdout.splitlines()
    assert table[0].split() == ['INSTANCE', 'CPU%', 'MEMORY', 'MEM%', 'TASKS', 'READ/S', 'WRITE/S', 'RX/S', 'TX/S', 'DISK']
    assert {line.split()[0] for line in table[1:]} == {SLUG, 'other'}
    rows = server.json('top', '--sort=name')
    assert [r['slug'] for r in rows] == [SLUG, 'other']
    assert all(0 <= r['cpu_percent'] < 1000 and r['network_sent_rate'] >= 0 and r['disk'] > 0 for r in rows)
    assert [r['slug'] for r in server.json('top', 'other', SLUG, '--sort', 'disk')] == [SLUG, 'other']

    services = server.json('top', SLUG)
    assert {r['name'] for r in services} == {'web', 'idle'} and {r['state'] for r in services} == {'running'}
    assert server.ccpctl('top', SLUG, '--once').stdout.split()[:2] == ['SERVICE', 'STATE']
    assert server.ccpctl('top', 'nobody', check=False).returncode == 3
    assert server.ccpctl('top', '--sort=size', check=False).returncode == 2


def test_top_draws_on_a_terminal_until_ctrl_c(server, shop):
    with Terminal(server, 'ccpctl', 'top') as terminal:
        terminal.expect('2 instances, CPU ')
        terminal.expect(SLUG)
        terminal.expect('2 instances, CPU ')
        os.write(terminal.fd, b'\x03')
        assert terminal.end() == 0


def test_metrics_on_the_socket(server, shop):
    result = scrape(server, '-D', '/dev/stderr')
    assert result.stderr.splitlines()[0] == 'HTTP/1.1 200 OK'
    assert 'Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8' in result.stderr
    found = samples(result.stdout)
    assert of(found, 'ccpd_up') == of(found, 'ccpd_store_available') == of(found, 'ccpd_engine_available') == 1
    assert of(found, 'ccpd_instances', state='running') == 2
    assert of(found, 'ccpd_instance_info', slug=SLUG, name=NAME, domain='shop.example.org', blueprint='keeper', blueprint_version='1.0') == 1
    assert of(found, 'ccpd_instance_health', slug=SLUG, ccpd_instance_health='healthy') == 1
    assert of(found, 'ccpd_service_running', slug=SLUG, service='web') == 1
    assert of(found, 'ccpd_instance_cpu_seconds_total', slug=SLUG) > 1
    assert of(found, 'ccpd_instance_disk_bytes', slug=SLUG, kind='volume', name='data') > 10 * MEBIBYTE
    assert of(found, 'ccpd_jobs_total', kind='create', result='succeeded') == 2
    use = get_use(server)
    again = samples(scrape(server).stdout)
    assert of(again, 'ccpd_instance_cpu_seconds_total', slug=SLUG) >= use['CPUUsec'] / 1e6
    assert of(again, 'ccpd_instance_network_sent_bytes_total', slug=SLUG) >= use['NetworkSent']


def test_the_socket_is_for_its_group(server, shop):
    assert server.sh('stat -c "%a %U:%G" /run/ccpd/metrics') == '660 root:ccpd-metrics'
    server.sh('useradd mona; useradd -G ccpd-metrics scraper')
    assert scrape(server, user='mona', check=False).returncode == 7
    assert SLUG in scrape(server, user='scraper').stdout
    # Who hands the metrics on may do nothing else.
    denied = server.run(['ccpctl', 'list'], user='ccpd-metrics', check=False)
    assert denied.returncode == 4
    assert server.run(['docker', 'ps'], user='ccpd-metrics', check=False).returncode != 0


@pytest.mark.parametrize('request_text, status', [
    ('GET / HTTP/1.1\r\n\r\n', '404'), ('POST /metrics HTTP/1.1\r\n\r\n', '405'), ('nonsense\r\n\r\n', '400'),
    ('GET /metrics HTTP/1.1\r\nX: ' + 'x' * 9000, '431'), ('HEAD /metrics HTTP/1.1\r\n\r\n', '200')],
    ids=['path', 'method', 'nonsense', 'large', 'head'])
def test_other_requests_are_refused(server, shop, request_text, status):
    answer = server.run(['python3', '-c', SPEAK], input=request_text.encode(), text=False).stdout.decode()
    assert answer.split()[1] == status and 'Connection: close' in answer
    if status == '200':
        assert answer.endswith('\r\n\r\n')


def test_who_says_nothing_is_left(server, shop):
    began = time.monotonic()
    # It hears the end after five seconds, and nothing else.
    assert server.run(['python3', '-c', SPEAK], input='GET /metr').stdout == ''
    assert 4 < time.monotonic() - began < 20
    assert SLUG in scrape(server).stdout


def test_a_scrape_leaves_no_trace_in_the_journal(server, shop):
    cursor = server.cursor()
    for _ in range(3):
        scrape(server)
    assert [e for e in server.journal(since=cursor) if 'ccp-metrics' in e.get('UNIT', '') + e.get('_SYSTEMD_UNIT', '')] == []


def test_the_file_is_replaced_each_time(server, shop):
    path = '/run/ccpd-metrics/ccpd.prom'
    assert not server.exists(path)
    server.sh('systemctl start ccp-metrics-file.timer')
    server.wait(lambda: server.exists(path), what='the file')
    assert server.sh(f'stat -c "%a %U:%G" {path}') == '640 ccpd-metrics:ccpd-metrics'
    assert server.run(['cat', path], user='scraper').stdout and server.run(['cat', path], user='mona', check=False).returncode != 0
    found = samples(server.file(path), parse_prometheus)
    assert of(found, 'ccpd_instance_info', slug=SLUG, name=NAME, domain='shop.example.org', blueprint='keeper', blueprint_version='1.0') == 1
    assert of(found, 'ccpd_instance_cpu_seconds_total', slug=SLUG) > 1
    inode = server.sh(f'stat -c %i {path}')
    server.sh('systemctl start ccp-metrics-file.service')
    # A new file in place of the old one, and nothing left beside it.
    assert server.sh(f'stat -c %i {path}') != inode and server.sh('ls /run/ccpd-metrics') == 'ccpd.prom'


def test_a_reader_does_not_start_a_ccpd_that_was_stopped(server, shop):
    server.sh('systemctl stop ccpd.service')
    try:
        result = scrape(server, '-o', '/dev/null', '-w', '%{http_code}')
        assert result.stdout == '503'
        server.sh('systemctl start ccp-metrics-file.service')
        assert samples(server.file('/run/ccpd-metrics/ccpd.prom'), parse_prometheus) == {('ccpd_up', ()): 0}
        assert server.run(['systemctl', 'is-active', 'ccpd.service'], check=False).stdout.strip() == 'inactive'
        # What is measured meanwhile is in the records.
        server.sh('systemctl start ccp-measure.service')
        assert server.run(['systemctl', 'is-active', 'ccpd.service'], check=False).stdout.strip() == 'inactive'
    finally:
        server.sh('systemctl stop ccp-metrics-file.timer; systemctl start ccpd.service')
    assert server.wait(lambda: get_use(server).get('Disk'), what='the disk')
    assert samples(scrape(server).stdout)[('ccpd_up', ())] == 1
