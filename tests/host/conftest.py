# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the host tests: they run on the outer machine and drive booted servers.

A test module takes the fixture `server`: a fresh server of its own, with ccpd installed, that lives as long as the module. Module
variables choose what it has:
    IMAGES = 'busybox'      the set of container images (./dev images), None for none
    PACKAGES = True         False: without ccpd
A test fails, whatever it asserts, when a unit of ours wrote a warning or an error to the journal since the test before it (or
since the boot, for the first one) that the test does not expect:
    @pytest.mark.allow_journal(r'regular expression', …)
`pytestmark = pytest.mark.allow_journal(…)` does so for a whole module.
"""

import os
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / 'lib'))

from server import Server  # noqa: E402

# What belongs to us in a journal, by unit or by identifier.
OURS = re.compile(r'(ccp-|ccpd|ccpctl)')


def pytest_configure(config):
    config.addinivalue_line('markers', 'allow_journal(pattern, …): warnings of our units that this test expects')


# Modules that take minutes, the longest first: a worker that comes to one last keeps all others waiting.
LONG = ['restore', 'restore_faults', 'recovery', 'databases', 'jobs', 'alert', 'logs', 'storage', 'backup', 'roles', 'backup_life', 'audit', 'health']


def pytest_collection_modifyitems(config, items):
    names = [f'test_{name}' for name in LONG]
    items.sort(key=lambda item: names.index(item.module.__name__) if item.module.__name__ in names else len(names))
    for item in items:
        for marker in item.iter_markers('allow_journal'):
            for pattern in marker.args:
                re.compile(pattern)


@pytest.fixture(scope='module')
def server(request):
    """A fresh booted server for this module."""
    module = request.module
    name = re.sub('[^a-z0-9]+', '-', module.__name__.rpartition('.')[2].removeprefix('test_').lower())
    with Server(f'test-{name}-{os.getpid()}'[-40:].lstrip('-'), images=getattr(module, 'IMAGES', 'busybox'),
                packages=getattr(module, 'PACKAGES', True)) as booted:
        yield booted


@pytest.fixture
def new_server():
    """Makes further servers, by name: new_server('other', images=…, packages=…). They end with the test."""
    booted = []

    def make(name='extra', **options):
        booted.append(Server(f'test-{name}-{os.getpid()}', **options).up())
        return booted[-1]

    yield make
    for one in booted:
        one.down()


def is_ours(entry):
    # What a container writes to its standard error has the priority of errors, and its tag begins with ccp-; an alert is news of
    # what a test did.
    if 'CONTAINER_ID' in entry or 'CCP_RULE' in entry:
        return False
    return any(OURS.match(entry.get(field, '')) for field in ('_SYSTEMD_UNIT', 'UNIT', 'SYSLOG_IDENTIFIER'))


def line(entry):
    message = entry.get('MESSAGE')
    if isinstance(message, list):
        message = bytes(message).decode(errors='replace')
    unit = entry.get('UNIT') or entry.get('_SYSTEMD_UNIT') or ''
    return f"<{entry.get('PRIORITY', '?')}> {unit} {entry.get('SYSLOG_IDENTIFIER', '')}[{entry.get('_PID', '')}]: {message}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    booted = item.funcargs.get('server') if hasattr(item, 'funcargs') else None
    if report.failed and booted is not None:
        try:
            entries = booted.journal(since=getattr(item, 'journal_cursor', None))
        except Exception as error:  # the report of the failure must not hide the failure
            report.sections.append(('journal', f'could not be read: {error}'))
            return
        shown = [line(entry) for entry in entries if is_ours(entry) or int(entry.get('PRIORITY', 6)) <= 4]
        report.sections.append((f'journal of {booted.name}', '\n'.join(shown[-300:])))


@pytest.fixture(autouse=True)
def quiet_journal(request):
    """Fails a test whose server's journal has warnings of ours that the test did not announce."""
    if 'server' not in request.fixturenames:
        yield
        return
    booted = request.getfixturevalue('server')
    # What fixtures of the module did since the last test counts for this one, so that nothing is overlooked.
    request.node.journal_cursor = booted.checked
    yield
    # What was sent until now belongs to this test, also if journald has yet to take it in.
    booted.run(['journalctl', '--sync'])
    booted.checked = booted.cursor()
    allowed = [pattern for marker in request.node.iter_markers('allow_journal') for pattern in marker.args]
    unexpected = [
        line(entry) for entry in booted.journal(since=request.node.journal_cursor, priority='warning')
        if is_ours(entry) and not any(re.search(pattern, line(entry)) for pattern in allowed)
    ]
    if unexpected:
        pytest.fail('unexpected in the journal (see @pytest.mark.allow_journal):\n' + '\n'.join(unexpected), pytrace=False)
