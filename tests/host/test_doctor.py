# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpctl doctor on a real server: that it finds what is wrong, names it, and does not mend or break anything by looking."""

import json
import re

import pytest

from instances import containers

pytestmark = pytest.mark.allow_journal(r'PostgreSQL is not available', r'[Tt]he Docker Engine', r'Docker does not answer')


def findings(server, code=None):
    """Check → [(verdict, message, advice)]. The control groups of the server that tests run in are not whole."""
    result = server.ccpctl('doctor', '--json=short', check=False)
    if code is not None:
        assert result.returncode == code, result
    found = {}
    for row in json.loads(result.stdout):
        found.setdefault(row['check'], []).append((row['verdict'], row['message'], row['advice']))
    return found


def verdicts(server, **options):
    return {check: {verdict for verdict, _, _ in rows} for check, rows in findings(server, **options).items()}


def test_a_new_server_has_no_failure(server):
    server.wait(lambda: findings(server)['watch'][0][0] == 'ok', what='the first list of containers')
    found = verdicts(server, code=0)
    assert set(found) >= {'store', 'key', 'watch', 'blueprints', 'pools', 'engine', 'compose', 'engine-slices', 'disk', 'journal',
                          'control-groups', 'clock', 'units', 'bus', 'polkit'}
    for check in ('store', 'key', 'watch', 'blueprints', 'pools', 'engine', 'compose', 'engine-slices', 'disk', 'units', 'bus', 'polkit'):
        assert found[check] == {'ok'}, (check, findings(server)[check])
    version = server.sh('docker version --format "{{.Server.Version}}"').strip()
    assert f'Docker Engine {version} answers' in findings(server)['engine'][0][1]


def test_control_groups_are_what_the_kernel_offers(server):
    offered = set(server.file('/sys/fs/cgroup/cgroup.controllers').split())
    (verdict, message, _), = findings(server)['control-groups']
    missing = {'cpu', 'io', 'memory', 'pids'} - offered
    assert verdict == ('warning' if missing else 'ok')
    assert all(name in message for name in missing)


def test_a_stopped_docker_is_found_and_not_started(server):
    server.sh('systemctl stop docker.socket docker')
    server.sh('systemctl start docker.socket')
    (verdict, message, advice), = findings(server, code=1)['engine']
    assert (verdict, advice) == ('failed', 'To start it: systemctl start docker')
    assert server.sh('systemctl is-active docker || true').strip() == 'inactive'
    server.sh('systemctl start docker')
    server.wait(lambda: findings(server)['engine'][0][0] == 'ok', what='Docker')


def test_a_hung_docker_is_found_in_time(server):
    server.sh('kill -STOP $(cat /run/docker.pid)')
    try:
        (verdict, message, advice), = findings(server, code=1)['engine']
        assert verdict == 'failed' and 'systemctl status docker' in advice, message
    finally:
        server.sh('kill -CONT $(cat /run/docker.pid)')


def test_a_postgresql_that_is_away_is_found(server):
    server.sh('systemctl stop postgresql')
    server.wait(lambda: findings(server)['store'][0][0] == 'failed', what='the finding')
    assert 'systemctl status postgresql' in findings(server)['store'][0][1]
    server.sh('systemctl start postgresql')
    server.wait(lambda: findings(server)['store'][0][0] == 'ok', what='PostgreSQL')


def test_a_full_disk_is_found(server):
    """Of a file system of its own, so that nothing else suffers."""
    server.sh('mount -t tmpfs -o size=10M tmpfs /var/lib/postgresql')
    try:
        server.sh('head -c 9700000 /dev/zero >/var/lib/postgresql/fill')
        rows = [row for row in findings(server)['disk'] if '/var/lib/postgresql' in row[1]]
        assert rows and rows[0][0] in ('warning', 'failed') and 'Make room' in rows[0][2], rows
    finally:
        server.sh('umount /var/lib/postgresql')


def test_ports_that_run_out_are_found(server):
    server.ccpctl('settings', 'set', 'port_range_small=11000-11001')
    try:
        assert verdicts(server)['pools'] == {'ok'}
    finally:
        server.ccpctl('settings', 'set', 'port_range_small=')
    server.ccpctl('create', 'one', '--blueprint', 'hello', '--domain', 'one.example.org', '--quiet')
    port = server.json('show', 'one')['ports']['web']
    server.ccpctl('settings', 'set', f'port_range_small={port}-{port}')
    (verdict, message, advice), = findings(server, code=1)['pools']
    assert message == "1 of 1 ports of the range 'small' are taken." and 'port_range_small=' in advice
    server.ccpctl('settings', 'set', 'port_range_small=')


def test_a_container_that_docker_lost_track_of_is_found_and_can_be_ended(server):
    """What an Engine leaves behind that was killed within a health check, made by hand: it hits one in ten."""
    if 'one' not in server.sh('ccpctl list --json=short'):
        server.ccpctl('create', 'one', '--blueprint', 'hello', '--domain', 'one.example.org', '--quiet')
    assert [verdict for verdict, _, _ in findings(server)['containers']] == ['ok']
    known = next(iter(containers(server, 'one').values()))['Id']
    server.ccpctl('stop', 'one', '--quiet')
    # Docker may say that it has ended before PID 1 is done with its scope, whose name is taken until then.
    server.wait(lambda: server.sh(f'systemctl show -P LoadState docker-{known}.scope') == 'not-found', what='the scope to go')
    for one in (known, 'ab' * 32):
        server.sh(f'systemd-run --quiet --scope --slice=ccp-one.slice --unit=docker-{one}.scope sleep infinity >/dev/null 2>&1 &')
    server.wait(lambda: len(findings(server)['containers']) == 2, what='what runs')
    rows = {message: (verdict, advice) for verdict, message, advice in findings(server, code=1)['containers']}
    assert {verdict for verdict, _ in rows.values()} == {'failed'}
    lost = next(advice for message, (_, advice) in rows.items() if "in 'one' runs, and Docker says that it does not" in message)
    gone = next(advice for message, (_, advice) in rows.items() if 'Docker knows no more still runs in ccp-one.slice' in message)
    server.sh(gone.rpartition(': ')[2])
    server.sh(lost.partition(': ')[2])
    assert [verdict for verdict, _, _ in findings(server)['containers']] == ['ok']
    assert server.json('show', 'one')['state'] == 'running'


def test_a_watch_that_is_stopped_is_found(server):
    server.sh('systemctl stop ccp-watch')
    (verdict, message, advice), = findings(server, code=1)['units']
    assert verdict == 'failed' and 'ccp-watch.service is not active' in message and 'systemctl status' in advice
    server.sh('systemctl start ccp-watch')


def test_without_ccpd_it_says_how_its_unit_is(server):
    server.sh('systemctl stop ccpd; systemctl mask --runtime ccpd')
    try:
        result = server.ccpctl('doctor', check=False)
        assert result.returncode == 5 and re.search(r'Its unit is (inactive|failed)', result.stdout), result
    finally:
        server.sh('systemctl unmask --runtime ccpd; systemctl start ccpd')


def test_who_has_no_role_is_refused(server):
    server.sh('useradd nobody1 || true')
    assert server.ccpctl('doctor', user='nobody1', check=False).returncode == 4
