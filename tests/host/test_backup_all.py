# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backups of all wait for their turn; meanwhile their instances are used, and brought back, as if they were not there."""

import pytest

from instances import containers, settled
from test_backup_life import backups, expected_files, files
from workers import pausing_at, resume_worker

SLUGS = ('oslo', 'bergen', 'tromso')
AWAY = pytest.mark.allow_journal(r'[Tt]he Docker Engine', r'Docker does not answer', r'after a restart of the engine',
                                 r'PostgreSQL is not available', r'Failed to read the records', r'ccp.*\.slice',
                                 r'Cannot stop (all|the) instances')


@pytest.fixture(scope='module')
def fleet(server):
    server.write('/etc/systemd/system/docker.service.d/limit.conf', '[Unit]\nStartLimitIntervalSec=0\n')
    # A worker stands still here for as long as all others take, which PID 1 would take for one that hangs.
    server.write('/etc/systemd/system/ccp-job@.service.d/watchdog.conf', '[Service]\nWatchdogSec=0\n')
    server.sh('systemctl daemon-reload')
    server.ccpctl('settings', 'set', 'backup_concurrency=1')
    for slug in SLUGS:
        server.ccpctl('create', slug, '--blueprint', 'hello', '--domain', f'{slug}.example.org', '--quiet')
    for slug in SLUGS:
        settled(server, slug)


def job(server, number):
    return server.json('job', 'show', number)


def states(server, jobs):
    return [job(server, jobs[slug])['state'] for slug in jobs]


def begin(server, paused):
    """The numbers of the jobs by their instances: the first one is at work and stands still, the others wait."""
    before = {row['id'] for row in server.json('job', 'list', '--lines=500')}
    server.ccpctl('backup', 'create', '--all', '--no-wait', '--quiet')
    paused()
    jobs = sorted((row for row in server.json('job', 'list', '--lines=500') if row['id'] not in before), key=lambda row: int(row['id']))
    assert sorted(row['instance'] for row in jobs) == sorted(SLUGS) and {row['kind'] for row in jobs} == {'backup'}
    jobs.sort(key=lambda row: row['state'] == 'waiting')
    assert [row['state'] for row in jobs] == ['running', 'waiting', 'waiting']
    return {row['instance']: row['id'] for row in jobs}


def finish(server, jobs):
    """All are backed up, never two at a time; nothing else is there."""
    server.wait(lambda: states(server, jobs) == ['succeeded'] * len(SLUGS), 600, 'all backups')
    rows = sorted((job(server, number) for number in jobs.values()), key=lambda row: row['started_at'])
    assert all(a['finished_at'] <= b['started_at'] for a, b in zip(rows, rows[1:])), rows
    for slug, number in jobs.items():
        assert (backups(server, slug)[0]['job'], backups(server, slug)[0]['state']) == (number, 'verified')
        settled(server, slug)
    assert files(server) == expected_files(server)


def started(server, slug):
    return {name: c['State']['StartedAt'] for name, c in containers(server, slug).items()}


def later(times, than):
    return set(times) == set(than) and all(times[name] > than[name] for name in than)


def runs(server, slug):
    found = containers(server, slug).values()
    return bool(found) and all(c['State']['Status'] == 'running' for c in found)


def test_an_instance_is_used_while_its_backup_waits(server, fleet):
    with pausing_at(server, 'write') as paused:
        jobs = begin(server, paused)
    first, second, third = jobs
    assert server.ccpctl('restart', first, check=False).returncode != 0, 'that one is at work'
    before = started(server, second)
    server.ccpctl('restart', second, '--quiet')
    assert later(started(server, second), before)
    server.ccpctl('stop', third, '--quiet')
    server.ccpctl('start', third, '--quiet')
    assert states(server, jobs) == ['running', 'waiting', 'waiting']
    assert 'waiting for its turn' in server.ccpctl('job', 'show', jobs[second]).stdout
    resume_worker(server)
    finish(server, jobs)


def test_what_is_stopped_or_cancelled_meanwhile_is_not_backed_up(server, fleet):
    with pausing_at(server, 'write') as paused:
        jobs = begin(server, paused)
    first, second, third = jobs
    known = {slug: [row['id'] for row in backups(server, slug)] for slug in SLUGS}
    server.ccpctl('job', 'cancel', jobs[second])
    assert job(server, jobs[second])['state'] == 'cancelled' and runs(server, second)
    server.ccpctl('stop', third, '--quiet')
    resume_worker(server)
    result = server.ccpctl('job', 'follow', jobs[third], check=False, timeout=300)
    assert result.returncode == 6 and f"'{third}' was stopped before its turn came." in result.stderr, result.stderr
    assert job(server, jobs[first])['state'] == 'succeeded'
    assert server.json('show', third)['state'] == 'stopped'
    server.ccpctl('start', third, '--quiet')
    settled(server, third)
    assert [len(backups(server, slug)) - len(known[slug]) for slug in jobs] == [1, 0, 0]


@AWAY
def test_a_restart_of_docker_does_not_keep_them_down(server, fleet):
    with pausing_at(server, 'write') as paused:
        jobs = begin(server, paused)
    first, *others = jobs
    before = {slug: started(server, slug) for slug in SLUGS}
    server.sh('systemctl restart docker.service')
    # The first backup stands still, and so no other can have its turn.
    for slug in others:
        server.wait(lambda: runs(server, slug) and later(started(server, slug), before[slug]), 180, f'{slug} to be brought back')
        settled(server, slug)
    assert states(server, jobs) == ['running', 'waiting', 'waiting']
    resume_worker(server)
    finish(server, jobs)
    assert runs(server, first)


@AWAY
def test_a_start_of_the_server_brings_them_back_first(server, fleet):
    with pausing_at(server, 'write') as paused:
        jobs = begin(server, paused)
    first, *others = jobs
    server.reboot()
    server.wait(lambda: server.ccpctl('settings', 'show', check=False).returncode == 0, what='ccpd')
    finish(server, jobs)
    # Each of them was started before it was backed up.
    starts = {row['instance']: row for row in server.json('job', 'list', '--lines=500') if row['kind'] == 'start' and row['reason'] == 'boot'}
    for slug in others:
        assert starts[slug]['state'] == 'succeeded' and starts[slug]['finished_at'] <= job(server, jobs[slug])['started_at']
    assert runs(server, first)
