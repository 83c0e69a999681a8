# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs that do the work of jobs, as host tests hold them: they stop at a step, where tests do something to them."""

import contextlib
import subprocess

from fleet import query


@contextlib.contextmanager
def pausing_at(server, step, unit='ccp-job'):
    """A worker that is started in the block stops before this step acts, on the first attempt of its job; for as long as a test
    takes, which PID 1 would take for a worker that hangs. What it gives waits for that."""
    folder = f'/run/systemd/system/{unit}@.service.d'
    server.write(f'{folder}/pause.conf', f'[Service]\nWatchdogSec=0\nExecStart=\nExecStart=/usr/lib/ccpd/ccp-job --pause-at={step} run %i\n')
    server.sh('systemctl daemon-reload')
    try:
        yield lambda: server.wait(lambda: 'T' in server.sh('ps -o stat= -C ccp-job || true'), 180, 'the worker to stand still')
    finally:
        server.sh(f'rm -r {folder}; systemctl daemon-reload')


def resume_worker(server):
    """Lets it go on, if it did not by itself: PID 1 sends SIGCONT after SIGTERM (systemd.kill(5))."""
    server.sh('pkill -CONT -x ccp-job || true')


def kill_worker(server):
    server.sh('pkill -KILL -x ccp-job')


@contextlib.contextmanager
def holding(server, rows):
    """Nobody else can write these rows meanwhile: a worker that is about to stands still."""
    psql = server.start(['runuser', '-u', 'postgres', '--', 'psql', '-qtAX', '-d', 'ccpd'], stdin=subprocess.PIPE)
    psql.stdin.write(f"BEGIN; SELECT count(*) FROM (SELECT 1 FROM {rows} FOR UPDATE) AS held;\n")
    psql.stdin.flush()
    assert psql.stdout.readline().strip() == '1'
    try:
        yield
    finally:
        psql.communicate()


def stands_still(server):
    """Waits until a worker is about to write a row that is held."""
    server.wait(lambda: query(server, "SELECT count(*) FROM pg_stat_activity w WHERE w.usename = 'ccpd' AND w.wait_event_type = 'Lock' "
                              "AND EXISTS (SELECT FROM pg_stat_activity h WHERE h.usename = 'postgres' "
                              "AND h.pid = ANY (pg_blocking_pids(w.pid)))") != '0',
                what='the worker to stand still')


@contextlib.contextmanager
def engine_that_loses(server, stream, verb, times):
    """Of what ccp-vol writes to this stream, when it runs in a container, nothing comes, so many times: the Engine can lose it."""
    server.write('/usr/local/bin/docker', f'''#!/bin/sh
case " $* " in
*" container run "*" {verb} "*)
    left=$(cat /var/lib/ccpd/to-lose)
    [ "$left" = 0 ] || {{ echo $((left - 1)) >/var/lib/ccpd/to-lose; exec {stream}>/dev/null; }};;
esac
exec /usr/bin/docker "$@"
''', mode='0755')
    server.write('/var/lib/ccpd/to-lose', f'{times}\n', mode='0666')
    try:
        yield
        assert server.file('/var/lib/ccpd/to-lose') != f'{times}\n', 'nothing was lost'
    finally:
        server.sh('rm /usr/local/bin/docker /var/lib/ccpd/to-lose')
