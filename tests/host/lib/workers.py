# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs that do the work of jobs, as host tests hold them: they stop at a step, where tests do something to them."""

import contextlib
import subprocess

from fleet import query


@contextlib.contextmanager
def pausing_at(server, step, unit='ccp-job'):
    """A worker that is started in the block stops before this step acts, on the first attempt of its job. What it gives waits
    for that."""
    folder = f'/run/systemd/system/{unit}@.service.d'
    server.write(f'{folder}/pause.conf', f'[Service]\nExecStart=\nExecStart=/usr/lib/ccpd/ccp-job --pause-at={step} run %i\n')
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
    server.wait(lambda: query(server, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'ccpd' AND wait_event_type = 'Lock'") != '0',
                what='the worker to stand still')
