# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpd under valgrind on a real server, with the real bus, PostgreSQL, PID 1 and Docker: it loses no memory, and touches none that
is not its own."""

import re

import pytest

from fleet import NAME, ROOT, at_once, create_call, put_blueprints, query

LOG = '/var/lib/valgrind'
# Only what valgrind itself needs is loosened: it makes code as it goes, and opens files.
DROP_IN = f'''[Service]
ExecStart=
ExecStart=/usr/bin/valgrind --leak-check=full --show-leak-kinds=definite,indirect,possible --errors-for-leak-kinds=definite,indirect \\
        --num-callers=30 --log-file={LOG}/%%p.log /usr/lib/ccpd/ccpd
MemoryDenyWriteExecute=no
SystemCallFilter=
LimitMEMLOCK=64M
ReadWritePaths={LOG}
TimeoutStartSec=3min
TimeoutStopSec=3min
WatchdogSec=0
'''

pytestmark = pytest.mark.allow_journal(r'PostgreSQL is not available', r'ccp-job.*(The job (failed|was cancelled)|Turning back)')


@pytest.fixture(scope='module')
def watched(server):
    put_blueprints(server, 'slow', 'trivial', 'tiny-range', 'wants-privileged', broken={'blueprint.yaml': 'name: [broken\n'})
    server.write('/run/systemd/system/ccpd.service.d/valgrind.conf', DROP_IN)
    server.sh(f'install -d -o ccpd {LOG}; systemctl daemon-reload; systemctl restart ccpd')
    assert server.sh('cat /proc/$(systemctl show -P MainPID ccpd)/comm').startswith('memcheck')
    return server


def test_all_that_is_usual(watched):
    for slug in ('alpha', 'beta'):
        watched.ccpctl('create', slug, '--blueprint', 'tiny-range', '--domain', f'{slug}.example.org', '--quiet')
    for argv in ([], ['list'], ['list', '--json=short', '*a*'], ['show', 'alpha'], ['status', 'alpha', 'beta'], ['port', 'list'],
                 ['settings', 'show'], ['job', 'list'], ['job', 'show', '1'], ['blueprint', 'list'], ['blueprint', 'show', 'slow'],
                 ['create', 'gamma', '--blueprint', 'slow', '--domain', 'g.example.org', '--dry-run'],
                 ['settings', 'set', 'job_concurrency=2', 'port_range_debug=20000-20009'],
                 ['stop', 'alpha', '--quiet'], ['start', 'alpha', '--quiet'], ['restart', 'beta', '--quiet']):
        watched.ccpctl(*argv)
    watched.sh(f'busctl introspect {NAME} {ROOT}; busctl tree {NAME}; systemctl service-log-level ccpd debug; '
               f'busctl call {NAME} {ROOT} org.freedesktop.DBus.ObjectManager GetManagedObjects; systemctl reload ccpd')


def test_all_that_is_wrong(watched):
    for argv in (['show', 'nothing'], ['create', '../x', '--blueprint', 'slow', '--domain', 'x.example.org'],
                 ['create', 'alpha', '--blueprint', 'slow', '--domain', 'x.example.org'],
                 ['create', 'x', '--blueprint', 'slow', '--domain', 'alpha.example.org'],
                 ['create', 'x', '--blueprint', 'broken', '--domain', 'x.example.org'],
                 ['create', 'x', '--blueprint', 'slow', '--domain', 'x.example.org', '--set', 'seconds=many'],
                 ['create', 'x', '--blueprint', 'wants-privileged', '--domain', 'x.example.org', '--quiet'],
                 ['job', 'show', '4711'], ['job', 'cancel', '1'], ['settings', 'set', 'subnet_pool=8.8.8.0/24']):
        assert watched.ccpctl(*argv, check=False).returncode != 0, argv
    for argv in (['CreateInstance', 'ssa{sv}', 'x', 'slow', '1', 'nonsense', 's', 'x'], ['Nonsense'],
                 ['ListJobs', 'a{sv}tt', '1', 'x', 'u', '1', '0', '9'], ['GetInstance', 's', ''], ['SetSettings', 'a{sv}', '1', 'job_concurrency', 's', 'x']):
        assert watched.run(['busctl', 'call', NAME, ROOT, f'{NAME}.Manager', *argv], check=False).returncode != 0, argv
    assert watched.ccpctl('list', user='nobody', check=False).returncode == 4
    # One port is left: a race for it, and callers that are gone before the answer.
    results = at_once(watched, [create_call(f'racer-{n}', 'tiny-range') for n in range(10)])
    assert [status for _, _, status in results].count(0) == 1
    at_once(watched, [['timeout', '0.05', *create_call(f'gone-{n}', 'trivial')] for n in range(5)])


def test_what_goes_away_and_comes_back(watched):
    # It must not end before it is cancelled.
    watched.ccpctl('create', 'delta', '--blueprint', 'slow', '--domain', 'd.example.org', '--set', 'seconds=900', '--no-wait',
                   '--quiet')
    watched.sh('systemctl stop postgresql')
    # Not by what makes a job: it would be waited for, if the connection lasts for a moment more.
    watched.wait(lambda: watched.ccpctl('settings', 'set', 'job_concurrency=4', check=False).returncode == 5, what='the notice')
    watched.sh('systemctl start postgresql; systemctl restart ccp-watch')
    watched.wait(lambda: watched.ccpctl('settings', 'set', 'job_concurrency=4', check=False).returncode == 0, what='the records')
    job = query(watched, "SELECT max(id) FROM jobs WHERE slug = 'delta'")
    watched.ccpctl('job', 'cancel', job)
    watched.wait(lambda: query(watched, 'SELECT count(*) FROM jobs WHERE finished_at IS NULL') == '0', 240, 'the end of all jobs')
    for slug in query(watched, 'SELECT slug FROM instances').split():
        watched.ccpctl('delete', slug, '--yes', '--quiet')


def test_it_loses_nothing(watched):
    # In the middle of something, too.
    watched.ccpctl('create', 'omega', '--blueprint', 'slow', '--domain', 'o.example.org', '--no-wait', '--quiet')
    # With its socket: the next datagram of the worker would start it again.
    watched.sh('systemctl stop ccpd-notify.socket ccpd')
    reports = watched.sh(f'for log in {LOG}/*.log; do cat "$log"; echo END; done').split('END')[:-1]
    assert len(reports) == 1, 'it ran once, without a crash'
    summary = re.search(r'ERROR SUMMARY: (\d+) errors', reports[0])
    assert summary and summary[1] == '0', reports[0]
    assert 'All heap blocks were freed' in reports[0] or re.search(r'definitely lost: 0 bytes', reports[0]), reports[0]
