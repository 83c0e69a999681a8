# SPDX-License-Identifier: LGPL-2.1-or-later
"""The last 1,000 lines of one instance among a million entries of the journal: ccpctl logs against journalctl with the same
matches, and docker logs.

The lines are real: containers write them, dockerd hands them to journald. One instance writes while all others do, so that its
lines are spread over the journal; a quiet one wrote before them, so that a million entries lie above its lines."""

import statistics

from fleet import put_blueprints
from server import Server

WRITERS = 10
LINES_OF_EACH = 100000
LINES = 1000
ROUNDS = 9

# Ends the program that starts the readers, as when nobody has asked for a while.
STOP = 'systemctl stop ccp-logs.service; '

# Nanoseconds of each run of a command, and how many lines it prints.
TIME = '''
for n in $(seq {rounds}); do
    {before} t=$(date +%s%N); {command} >/tmp/bench.out 2>/dev/null; echo $(( $(date +%s%N) - t ))
done
wc -l </tmp/bench.out'''


def measure(server, command, before=''):
    *times, lines = server.sh(TIME.format(rounds=ROUNDS, command=command, before=before), timeout=600).split()
    assert int(lines) == LINES, f'{command} printed {lines} lines'
    return statistics.median(map(int, times)) / 1e6


def write_lines(server, slugs, count):
    """Has the containers of these instances write at the same time, and waits until journald has all of it."""
    line = 'GET /campaigns/42/emails?page=7 HTTP/1.1 200 5120 Mozilla/5.0'
    commands = [f"docker exec {slug}_ccp-api-1 sh -c 'seq 1 {count} | sed \"s|$| {line}|\" >/proc/1/fd/1' &" for slug in slugs]
    server.sh('\n'.join([*commands, 'wait']), timeout=1800)
    for slug in slugs:
        server.wait(lambda slug=slug: server.sh(f'journalctl --sync; docker logs --tail 1 {slug}_ccp-api-1').startswith(f'{count} '),
                    timeout=600, what='the last line')


def bench(result):
    with Server('bench-logs') as server:
        put_blueprints(server, 'talk')
        slugs = [f'bench{n}' for n in range(WRITERS)]
        for slug in ('quiet', *slugs):
            server.ccpctl('create', slug, '--blueprint', 'talk', '--domain', f'{slug}.example.org')
        write_lines(server, ['quiet'], LINES)
        write_lines(server, slugs, LINES_OF_EACH)
        size = server.sh('journalctl --disk-usage')
        print(f'{WRITERS * LINES_OF_EACH:,} lines of {WRITERS} instances. {size}')
        for what, slug in (('spread over all', 'bench3'), ('under all others', 'quiet')):
            uuid = server.json('show', slug)['id']
            times = {
                'ccpctl logs': measure(server, f'ccpctl logs {slug} api -n {LINES}'),
                'ccpctl logs, the first after a while': measure(server, f'ccpctl logs {slug} api -n {LINES}', STOP),
                'journalctl': measure(server, f'journalctl --no-pager -q -n {LINES} _SYSTEMD_UNIT=docker.service CCP_ID={uuid} '
                                              'CCP_SERVICE=api'),
                'docker logs': measure(server, f'docker logs --tail {LINES} {slug}_ccp-api-1'),
            }
            for program, time in times.items():
                result(f'last {LINES:,} lines, {what}: {program}', time, 'ms')
            result(f'{what}: ratio to journalctl with the same matches', times['ccpctl logs'] / times['journalctl'], 'times', 1.5)
            result(f'{what}: ratio to docker logs', times['ccpctl logs'] / times['docker logs'], 'times', 1)
