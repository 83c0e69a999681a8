# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many instances and many callers on one server: nothing is given out twice, races have one winner. And what systemd, the bus and
Docker see of ccpd while it works, is killed, or is asked by somebody who may not ask."""

import json
import re
import time

import pytest

from fleet import (NAME, ROOT, Monitor, answers, at_once, create_call, get, main_pid, managed, put_blueprints, query, wait_job)
from instances import settled

MANY = 200
RACERS = 20
POOL = '10.200.0.0/15'

# Four ports, none of which is used; a probe that succeeds at once, so that a job is short.
FOUR_PORTS = {
    'blueprint.yaml': '''
name: four-ports
title: Four ports
version: "1.0"
ports: { api: api, admin: admin, postgres: postgres, web: nginx }
secrets: { PASSWORD: {} }
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
services:
  main: { stage: application, timeout: 30s, health: { type: command, command: ["true"] } }
''',
    'docker-compose.yml.hbs': '''
services:
  main:
    image: busybox:1.37
    init: true
    command: [sleep, infinity]
    healthcheck: { test: [CMD, "true"], interval: 1s, start_period: 10s, start_interval: 100ms }
''',
}


def with_range(name, ports):
    """As FOUR_PORTS, with one port of this range."""
    text = FOUR_PORTS['blueprint.yaml'].replace('four-ports', name)
    return FOUR_PORTS | {'blueprint.yaml': re.sub(r'ports: \{.*\}', f'ports: {{ web: "{ports}" }}', text)}


@pytest.fixture(scope='module', autouse=True)
def blueprints(server):
    put_blueprints(server, 'slow', four_ports=FOUR_PORTS, one_port=with_range('one-port', '22000-22000'),
                   few_ports=with_range('few-ports', '23000-23003'))


@pytest.fixture
def alpha(server):
    """An instance that runs."""
    server.ccpctl('create', 'alpha', '--blueprint', 'four-ports', '--domain', 'alpha.example.org', '--quiet')
    return settled(server, 'alpha')


@pytest.fixture(autouse=True)
def clean(server, request):
    """Each test begins with no instance; what the last one leaves goes with the server."""
    yield
    if 'two_hundred' in request.node.name:
        return
    server.wait(lambda: query(server, 'SELECT count(*) FROM jobs WHERE finished_at IS NULL') == '0', what='the end of all jobs')
    slugs = query(server, 'SELECT slug FROM instances').split()
    at_once(server, [['ccpctl', 'delete', slug, '--yes', '--quiet'] for slug in slugs])
    assert query(server, 'SELECT count(*) FROM instances') == '0'


def race(server, calls):
    """Runs the calls at once; returns how many won and what the others were told."""
    results = at_once(server, calls)
    return len([status for _, _, status in results if status == 0]), [stderr for _, stderr, status in results if status != 0]


# --- races ---


def test_a_race_for_a_slug_has_one_winner(server):
    won, errors = race(server, [create_call('racer', 'four-ports', f'{n}.example.org') for n in range(RACERS)])
    assert won == 1 and len(errors) == RACERS - 1
    assert all("'racer'" in error for error in errors), errors
    assert query(server, 'SELECT count(*), min(slug) FROM instances') == '1|racer'
    # Whoever lost left nothing reserved.
    assert query(server, 'SELECT (SELECT count(*) FROM ports), (SELECT count(*) FROM subnets), (SELECT count(*) FROM jobs)') == '4|1|1'
    assert server.ccpctl('create', 'racer', '--blueprint', 'four-ports', '--domain', 'x.example.org', check=False).returncode == 1
    assert wait_job(server, 'racer')['state'] == 'succeeded'


def test_a_race_for_a_domain_has_one_winner(server):
    won, errors = race(server, [create_call(f'racer-{n}', 'four-ports', 'One.example.org') for n in range(RACERS)])
    assert won == 1 and len(errors) == RACERS - 1
    assert all('one.example.org' in error for error in errors), errors
    assert query(server, 'SELECT (SELECT count(*) FROM instances), (SELECT count(*) FROM ports)') == '1|4'


def test_a_race_for_the_last_port_has_one_winner(server):
    won, errors = race(server, [create_call(f'racer-{n}', 'one-port') for n in range(RACERS)])
    assert won == 1 and len(errors) == RACERS - 1
    assert all('22000' in error for error in errors), errors
    result = server.ccpctl('create', 'late', '--blueprint', 'one-port', '--domain', 'late.example.org', check=False)
    assert result.returncode == 1 and '22000' in result.stderr
    assert query(server, 'SELECT (SELECT count(*) FROM instances), (SELECT count(*) FROM ports)') == '1|1'


# --- what else is on the host ---


def listen(server, unit, family, address, port):
    server.sh(f'systemd-run --quiet --unit={unit} python3 -c "import socket, time; s = socket.socket(socket.{family}); '
              f's.bind((\'{address}\', {port})); s.listen(); time.sleep(600)"')
    server.wait(lambda: f':{port} ' in server.sh('ss -Hltn'), what=f'the listener on port {port}')


def test_ports_that_anything_listens_on_are_skipped(server):
    listeners = {'one': ('AF_INET', '0.0.0.0', 23000), 'two': ('AF_INET', '127.0.0.1', 23001), 'three': ('AF_INET6', '::', 23002)}
    for unit, where in listeners.items():
        listen(server, unit, *where)
    try:
        plan = server.json('create', 'alpha', '--blueprint', 'few-ports', '--domain', 'a.example.org', '--dry-run')
        assert plan['ports'] == {'web': 23003}
        server.ccpctl('create', 'alpha', '--blueprint', 'few-ports', '--domain', 'a.example.org', '--no-wait', '--quiet')
        assert server.json('show', 'alpha')['ports'] == {'web': 23003}
        result = server.ccpctl('create', 'beta', '--blueprint', 'few-ports', '--domain', 'b.example.org', check=False)
        assert result.returncode == 1 and '23000-23003' in result.stderr
    finally:
        server.sh(f'systemctl stop {" ".join(listeners)}')
    plan = server.json('create', 'beta', '--blueprint', 'few-ports', '--domain', 'b.example.org', '--dry-run')
    assert plan['ports'] == {'web': 23000}


def test_subnets_that_are_routed_on_this_host_are_skipped(server):
    server.sh('ccpctl settings set subnet_pool=10.201.0.0/24 --quiet; ip link add name foreign type bridge; '
              'ip address add 10.201.0.1/25 dev foreign; ip link set foreign up; '
              'docker network create --subnet 10.201.0.128/26 foreign >&2')
    try:
        server.ccpctl('create', 'alpha', '--blueprint', 'four-ports', '--domain', 'a.example.org', '--quiet')
        assert server.json('show', 'alpha')['subnet'] == '10.201.0.192/26'
        assert server.sh('docker network inspect alpha_ccp_default --format "{{(index .IPAM.Config 0).Subnet}}"') == '10.201.0.192/26'
        result = server.ccpctl('create', 'beta', '--blueprint', 'four-ports', '--domain', 'b.example.org', check=False)
        assert result.returncode == 1 and '10.201.0.0/24' in result.stderr
        assert query(server, 'SELECT count(*) FROM instances') == '1'
    finally:
        server.sh('docker network rm foreign >&2; ip link del foreign')
    plan = server.json('create', 'beta', '--blueprint', 'four-ports', '--domain', 'b.example.org', '--dry-run')
    assert plan['subnet'] == '10.201.0.0/26'
    server.sh(f'ccpctl settings set subnet_pool={POOL} --quiet')


# --- the bus ---


def test_busctl_creates_what_ccpctl_creates(server, alpha):
    reply = json.loads(server.run(create_call('alphb', 'four-ports')).stdout)
    assert reply['type'] == 'oo' and reply['data'][0] == f'{ROOT}/instance/alphb'
    assert wait_job(server, 'alphb')['state'] == 'succeeded'
    server.wait(lambda: server.json('show', 'alphb')['state'] == 'running' and get(server, reply['data'][1], 'Job', 'State') == 'succeeded',
                what='the news of its end')
    other = settled(server, 'alphb')
    assert set(other) == set(alpha)
    same = ('blueprint', 'blueprint_version', 'engine', 'state', 'health', 'features', 'parameters', 'revision', 'bind_address', 'error')
    assert {key: other[key] for key in same} == {key: alpha[key] for key in same}
    assert {name: port - 1 for name, port in other['ports'].items()} == alpha['ports']


def test_the_objects_can_be_listed_and_introspected(server, alpha):
    objects = managed(server)
    instance = objects[f'{ROOT}/instance/alpha'][f'{NAME}.Instance']
    assert (instance['Slug']['data'], instance['State']['data'], instance['Health']['data']) == ('alpha', 'running', 'healthy')
    assert {name for path in objects for name in objects[path] if name.startswith(NAME)} == {
        f'{NAME}.{name}' for name in ('Instance', 'Job', 'Blueprint')}
    tree = server.sh(f'busctl tree --list {NAME}').split()
    assert {f'{ROOT}/instance/alpha', f'{ROOT}/blueprint/four_2dports', ROOT} <= set(tree) and set(objects) <= set(tree)
    for path, interface in ((ROOT, 'Manager'), (f'{ROOT}/instance/alpha', 'Instance')):
        assert f'{NAME}.{interface}' in server.sh(f'busctl introspect {NAME} {path}')
    # Names are escaped both ways: this one's unit of the bus is not its slug.
    assert json.loads(server.sh(f'busctl --json=short call {NAME} {ROOT} {NAME}.Manager GetBlueprint s four-ports'))['data'] == [
        f'{ROOT}/blueprint/four_2dports']


def test_the_bus_tells_what_a_job_does_while_it_does_it(server):
    with Monitor(server) as monitor:
        server.ccpctl('create', 'alpha', '--blueprint', 'slow', '--domain', 'a.example.org', '--set', 'seconds=2', '--quiet')
        job = wait_job(server, 'alpha')
        # The counts are told no more often than every so often.
        server.wait(lambda: [value for _, value in monitor.changes(ROOT, 'NRunning')][-1:] == [1], what='the count of what runs')
    path = f'{ROOT}/job/{job["id"]}'
    assert [m['payload']['data'] for m in monitor.signals('JobNew')] == [[str(job['id']), path]]
    assert [m['payload']['data'] for m in monitor.signals('JobRemoved')] == [[str(job['id']), path, 'succeeded']]
    added = [m['payload']['data'][0] for m in monitor.signals('InterfacesAdded')]
    assert {path, f'{ROOT}/instance/alpha'} <= set(added)

    assert [value for _, value in monitor.changes(path, 'State')][-2:] == ['running', 'succeeded']
    running = [value for _, value in monitor.changes(path, 'Step') if value]
    assert running == sorted(running) and {8, 12, 13} <= set(running)
    progress = [value for _, value in monitor.changes(path, 'Progress')]
    assert progress == sorted(progress) and progress[-1] == 1 and len({value for value in progress if 0 < value < 1}) >= 5
    # The messages of the worker itself, which are in no record: which service it waits for.
    messages = [value for _, value in monitor.changes(path, 'Message')]
    assert any('data' in message for message in messages) and any('web' in message for message in messages), messages
    # While it happened: spread over the seconds that both stages take.
    times = [when for when, _ in monitor.changes(path, 'Progress') + monitor.changes(path, 'Message')]
    assert max(times) - min(times) > 3_000_000
    [first] = [m['payload']['data'][1] for m in monitor.signals('InterfacesAdded')
               if m['payload']['data'][0] == f'{ROOT}/instance/alpha']
    assert first[f'{NAME}.Instance']['State']['data'] == 'provisioning'
    # What does not change is not told again.
    assert [value for _, value in monitor.changes(f'{ROOT}/instance/alpha', 'State')] == ['running']
    counts = [value for _, value in monitor.changes(ROOT, 'NRunning')]
    assert counts[-1] == counts[0] + 1 if len(counts) > 1 else counts == [1]


def test_who_is_not_root_learns_nothing(server):
    # An ordinary client that asks the bus for all signals, and a caller.
    ccpd = json.loads(server.run(['busctl', '--json=short', 'call', 'org.freedesktop.DBus', '/', 'org.freedesktop.DBus',
                                  'GetNameOwner', 's', NAME]).stdout)['data'][0]
    listener = server.start(['timeout', '300', 'dbus-monitor', '--system', 'type=signal'], user='nobody')
    server.wait(lambda: 'NameAcquired' in listener.stdout.readline(), what='the listener to be connected')
    try:
        server.ccpctl('create', 'alpha', '--blueprint', 'four-ports', '--domain', 'a.example.org', '--quiet')
        server.run(['dbus-send', '--system', '/', 'org.example.Test.Marker'])
        heard = []
        for line in listener.stdout:
            heard.append(line)
            if 'Marker' in line:
                break
    finally:
        listener.kill()
        listener.wait()
    # It hears systemd say that units come and go, but nothing of ccpd.
    assert 'Marker' in heard[-1] and any('JobNew' in line for line in heard)
    assert not [line for line in heard if f'sender={ccpd} ' in line or 'ccp1' in line]

    for argv in (['list'], ['show', 'alpha'], ['show', 'nothing'], ['job', 'list'], ['delete', 'alpha', '--yes'],
                 ['create', 'beta', '--blueprint', 'four-ports', '--domain', 'b.example.org'], ['settings', 'show']):
        result = server.ccpctl(*argv, user='nobody', check=False)
        assert result.returncode == 4 and result.stdout == '' and 'sudo' in result.stderr, (argv, result)
    for argv in (['introspect', NAME, ROOT], ['introspect', NAME, f'{ROOT}/instance/alpha'], ['tree', NAME], ['monitor', NAME],
                 ['get-property', NAME, f'{ROOT}/instance/alpha', f'{NAME}.Instance', 'Slug'],
                 ['call', NAME, ROOT, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects'],
                 ['call', NAME, '/org/freedesktop/LogControl1', 'org.freedesktop.DBus.Properties', 'GetAll', 's', ''],
                 ['set-property', NAME, '/org/freedesktop/LogControl1', 'org.freedesktop.LogControl1', 'LogLevel', 's', 'debug']):
        result = server.run(['busctl', *argv], user='nobody', check=False)
        # The bus itself refuses a monitor, ccpd all others.
        refusal = 'denied' if argv[0] == 'monitor' else 'may not'
        assert refusal in (result.stdout + result.stderr).lower() and 'alpha' not in result.stdout, (argv, result)
    assert server.json('show', 'alpha')['state'] == 'running'


# --- systemd ---


def test_the_units_are_watched_and_notify(server):
    for unit in ('ccpd', 'ccp-watch'):
        shown = dict(line.split('=', 1) for line in server.sh(
            f'systemctl show {unit} -p Type -p WatchdogUSec -p NotifyAccess -p Restart -p User -p ActiveState').splitlines())
        assert shown['Type'] == 'notify' and shown['WatchdogUSec'] != '0' and shown['WatchdogUSec'] != 'infinity'
        assert (shown['NotifyAccess'], shown['User'], shown['ActiveState']) == ('main', 'ccpd', 'active')
        assert shown['Restart'] in ('always', 'on-failure')
    # It is kept: a ping within each half of it, also when nothing happens.
    server.write('/run/systemd/system/ccpd.service.d/short.conf', '[Service]\nWatchdogSec=6\n')
    server.sh('systemctl daemon-reload; systemctl restart ccpd')
    before = main_pid(server, 'ccpd')
    time.sleep(8)
    assert main_pid(server, 'ccpd') == before and answers(server)


@pytest.mark.allow_journal(r'ccpd\.service: (Watchdog timeout|Killing process|Main process exited|Failed with result)')
def test_a_daemon_that_hangs_is_restarted(server, alpha):
    before = main_pid(server, 'ccpd')
    server.sh(f'kill -STOP {before}')
    server.wait(lambda: main_pid(server, 'ccpd') not in ('0', before), what='the watchdog to act')
    server.wait(lambda: answers(server), what='ccpd to answer')
    server.wait(lambda: server.json('show', 'alpha')['health'] == 'healthy', what='the health')
    server.sh('rm -r /run/systemd/system/ccpd.service.d; systemctl daemon-reload; systemctl restart ccpd')


def test_a_call_starts_a_stopped_daemon(server, alpha):
    server.sh('systemctl stop ccpd')
    assert server.sh('systemctl is-active ccpd || true') == 'inactive'
    assert server.json('show', 'alpha')['state'] == 'running'
    assert server.sh('systemctl is-active ccpd') == 'active'
    # At once, several callers: the daemon starts once.
    server.sh('systemctl stop ccpd')
    results = at_once(server, [['ccpctl', 'show', 'alpha', '--property', 'Slug', '--value']] * 10)
    assert {(stdout, status) for stdout, _, status in results} == {('alpha\n', 0)}, results
    server.wait(lambda: server.json('show', 'alpha')['health'] == 'healthy', what='the health')


def test_systemctl_sets_the_level_of_the_log(server):
    before = server.sh('systemctl service-log-level ccpd')
    server.sh('systemctl service-log-level ccpd debug')
    assert server.sh('systemctl service-log-level ccpd') == 'debug'
    assert server.sh('systemctl service-log-target ccpd') != ''
    cursor = server.cursor()
    server.ccpctl('list', '--quiet')
    assert [entry for entry in server.journal(since=cursor, unit='ccpd') if entry['PRIORITY'] == '7']
    server.sh(f'systemctl service-log-level ccpd {before}')
    assert server.run(['systemctl', 'service-log-level', 'ccpd', 'loud'], check=False).returncode != 0
    assert server.sh('systemctl service-log-level ccpd') == before


@pytest.mark.allow_journal(r'ccpd\.service: (Main process exited|Failed with result)')
def test_a_daemon_that_is_killed_comes_back_with_all_objects(server, alpha):
    before, pid = managed(server), main_pid(server, 'ccpd')
    server.sh(f'kill -KILL {pid}')
    server.wait(lambda: main_pid(server, 'ccpd') not in ('0', pid), what='the restart')
    server.wait(lambda: answers(server), what='ccpd to answer')
    server.wait(lambda: get(server, f'{ROOT}/instance/alpha', 'Instance', 'Health') == 'healthy', what='the health')
    after = managed(server)
    assert set(after) == set(before)
    instance = f'{ROOT}/instance/alpha'
    for objects in (before, after):
        # The Engine's list tells only roughly since when a container is as it is.
        services = objects[instance][f'{NAME}.Instance']['Services']['data']
        services[:] = [service[:5] + service[7:] for service in services]
    # Until a sweep has written down how it is, nobody knows since when.
    since = [objects[instance][f'{NAME}.Instance'].pop('HealthSince')['data'] for objects in (before, after)]
    assert abs(since[0] - since[1]) < 60_000_000
    assert after[instance][f'{NAME}.Instance'] == before[instance][f'{NAME}.Instance']
    job = max((path for path in after if '/job/' in path), key=lambda path: int(path.rpartition('/')[2]))
    assert after[job][f'{NAME}.Job'] == before[job][f'{NAME}.Job']


# --- Docker ---


@pytest.mark.allow_journal(r'ccp-watch\.service: (Main process exited|Failed with result)')
def test_a_watcher_that_is_killed_knows_all_again(server, alpha):
    path = f'{ROOT}/instance/alpha'
    pid = main_pid(server, 'ccp-watch')
    # What happens while nobody watches is not missed.
    server.sh(f'systemctl kill -s STOP ccp-watch; docker kill alpha_ccp-main-1 >&2; kill -KILL {pid}')
    server.wait(lambda: get(server, path, 'Instance', 'Health') == 'unhealthy', what='the news of the death')
    server.wait(lambda: main_pid(server, 'ccp-watch') not in ('0', pid), what='the watcher')
    server.sh('docker start alpha_ccp-main-1 >&2')
    server.wait(lambda: get(server, path, 'Instance', 'Health') == 'healthy', what='the health')
    assert get(server, ROOT, 'Manager', 'EngineState') == 'available'


def test_the_death_of_a_container_is_on_the_bus_at_once(server, alpha):
    path = f'{ROOT}/instance/alpha'
    with Monitor(server) as monitor:
        began = server.sh('date +%s.%N; docker kill alpha_ccp-main-1 >&2')
        server.wait(lambda: get(server, path, 'Instance', 'Health') == 'unhealthy', what='the health on the bus')
    event = server.sh(f'docker events --since {began} --until $(date +%s.%N) --filter event=die --format "{{{{.TimeNano}}}}"')
    announced = next(when for when, value in monitor.changes(path, 'Health') if value == 'unhealthy')
    services = [value for _, value in monitor.changes(path, 'Services')]
    assert [service[:3] for service in services[-1]] == [['main', 'service', 'exited']], services
    delay = announced - int(event) // 1000
    print(f'{delay} µs from the Engine\'s event to the bus')
    assert delay < 1_000_000
    assert get(server, ROOT, 'Manager', 'NUnhealthy') == 1 and server.json('list', '--health', 'unhealthy')[0]['slug'] == 'alpha'
    server.sh('docker start alpha_ccp-main-1 >&2')
    server.wait(lambda: get(server, path, 'Instance', 'Health') == 'healthy', what='the health')


# --- two hundred; the last test, since their jobs go on to the end of the server ---


def test_two_hundred_creates_at_once_share_nothing(server):
    server.ccpctl('settings', 'set', 'job_concurrency=1', '--quiet')
    results = at_once(server, [create_call(f'many-{n}', 'four-ports') for n in range(MANY)], timeout=300)
    assert [stderr for _, stderr, status in results if status != 0] == []
    replies = [json.loads(stdout)['data'] for stdout, _, _ in results]
    assert len({instance for instance, _ in replies}) == len({job for _, job in replies}) == MANY

    ports = server.json('port', 'list')
    assert len(ports) == 4 * MANY == len({port['number'] for port in ports})
    ranges = {'api': (14000, 14999), 'admin': (13000, 13999), 'postgres': (15400, 16399), 'web': (10000, 10999)}
    assert all(ranges[port['name']][0] <= port['number'] <= ranges[port['name']][1] for port in ports)
    listed = server.json('list')
    assert len(listed) == MANY == len({instance['subnet'] for instance in listed})
    assert all(re.fullmatch(r'10\.20[01]\.\d+\.(0|64|128|192)/26', instance['subnet']) for instance in listed)
    assert {number for instance in listed for number in instance['ports'].values()} == {port['number'] for port in ports}

    counts = query(server, 'SELECT (SELECT count(*) FROM instances), (SELECT count(DISTINCT number) FROM ports), '
                   '(SELECT count(DISTINCT subnet) FROM subnets), (SELECT count(*) FROM secrets), (SELECT count(DISTINCT sealed) '
                   "FROM secrets), (SELECT count(*) FROM ports WHERE host <> 'local')")
    assert counts == f'{MANY}|{4 * MANY}|{MANY}|{MANY}|{MANY}|0'
    # One after the other, as the setting says.
    assert int(query(server, "SELECT count(*) FROM jobs WHERE state = 'running'")) <= 1
    assert server.ccpctl('list', '--state', 'provisioning', '--quiet').returncode == 0
