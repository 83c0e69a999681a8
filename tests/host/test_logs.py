# SPDX-License-Identifier: LGPL-2.1-or-later
"""What instances say, read back: by ccpctl, over the bus, and by whom. Real containers, Docker and journald."""

import json
import os
import select
import signal
import time

import pytest

from fleet import put_blueprints
from terminal import Terminal
from users import Caller, add_user, enable_ssh, grant, instance_path, revoke

SERVICES = ('api', 'web')


def create(server, slug):
    server.ccpctl('create', slug, '--blueprint', 'talk', '--domain', f'{slug}.example.org')
    return server.json('show', slug)


@pytest.fixture(scope='module')
def talk(server):
    put_blueprints(server, 'talk')
    return create(server, 'talk')


@pytest.fixture(scope='module')
def other(server, talk):
    return create(server, 'other')


def write(server, data, service='api', slug='talk', stream=1, taken=True):
    """Has the first process of a service's container write this, to its standard output or error; until all its lines are in the
    journal, which Docker gives them to in its own time."""
    data = data if isinstance(data, bytes) else data.encode()
    container, since = f'{slug}_ccp-{service}-1', server.cursor()
    server.run(['docker', 'exec', '-i', container, 'sh', '-c', f'cat >/proc/1/fd/{stream}'], input=data, text=False)
    if taken:
        server.wait(lambda: sum('CONTAINER_PARTIAL_MESSAGE' not in entry for entry in server.journal(f'CONTAINER_NAME={container}', since=since))
                    >= data.count(b'\n'), what='its lines in the journal')


def logs(server, *args, slug='talk', **options):
    """The entries that ccpctl logs prints."""
    server.run(['journalctl', '--sync'])
    return [json.loads(line) for line in server.ccpctl('logs', slug, '--json=short', *args, **options).stdout.splitlines()]


def messages(server, *args, **options):
    return [entry['message'] for entry in logs(server, *args, **options)]


def readers(server):
    """How many processes read, besides the one that starts them."""
    return server.sh('cat /sys/fs/cgroup/system.slice/ccp-logs.service/cgroup.procs 2>/dev/null | sed 1d | wc -l')


def wait_readers(server, number, timeout=120):
    try:
        server.wait(lambda: readers(server) == str(number), timeout, f'the number of {number} readers')
    except AssertionError:
        print(server.sh('systemctl status -n 50 --no-pager ccp-logs.service; ps -eo pid,ppid,etimes,times,args | grep [c]cp', check=False))
        raise


class Following:
    """`ccpctl logs --follow` of a server, or the same as somebody else."""

    def __init__(self, server, *args, slug='talk', user=None, before=()):
        wait_readers(server, 0)
        self.process = server.start([*before, 'ccpctl', 'logs', slug, '--follow', '--json=short', '-n', '0', *args], user)

        def begun():
            # What is in the journal before the reader has come to its end is not shown.
            write(server, 'begin\n', slug=slug)
            return select.select([self.process.stdout], [], [], 1)[0]
        server.wait(begun, what='a reader')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self):
        """The next one but those that it began with; None at its end."""
        for line in iter(self.process.stdout.readline, ''):
            message = json.loads(line)['message']
            if message != 'begin':
                return message
        return None


def test_lines_bear_the_instance_and_its_service(server, talk):
    write(server, 'hello from api\n')
    write(server, 'trouble at web\n', 'web', stream=2)
    server.run(['journalctl', '--sync'])
    [entry] = server.journal('MESSAGE=hello from api')
    assert (entry['CCP_INSTANCE'], entry['CCP_SERVICE'], entry['CCP_ID']) == ('talk', 'api', talk['id'])
    first, second = logs(server)
    assert {key: first[key] for key in ('source', 'service', 'priority', 'message')} == {
        'source': 'container', 'service': 'api', 'priority': 6, 'message': 'hello from api'}
    assert first['cursor'] == entry['__CURSOR'] and first['time'] == int(entry['__REALTIME_TIMESTAMP'])
    assert (second['service'], second['priority'], second['message']) == ('web', 3, 'trouble at web')
    lines = server.ccpctl('logs', 'talk').stdout.splitlines()
    assert [line.split(' ', 3)[3] for line in lines] == ['api: hello from api', 'web: trouble at web']
    assert messages(server, 'web') == ['trouble at web']
    assert messages(server, 'api', 'web') == ['hello from api', 'trouble at web']


def test_a_service_that_there_is_not_is_said(server, talk):
    result = server.ccpctl('logs', 'talk', 'wbe', check=False)
    assert result.returncode == 3 and "'wbe', only: api, web" in result.stderr
    assert server.ccpctl('logs', 'nobody', check=False).returncode == 3


def test_they_outlive_the_containers(server, talk):
    write(server, 'before\n')
    server.sh('docker rm -f talk_ccp-api-1')
    server.ccpctl('start', 'talk')
    write(server, 'after\n')
    assert messages(server, '-n2') == ['before', 'after']
    server.ccpctl('stop', 'talk')
    assert messages(server, '-n2') == ['before', 'after']
    server.ccpctl('start', 'talk')


def test_a_line_of_a_megabyte_is_whole(server, talk):
    long = ''.join(f'{n:07x} ' for n in range(1 << 17))
    assert len(long) == 1 << 20
    write(server, f'{long}\nnext\n')
    first, second = logs(server, '-n2')
    assert first['message'] == long and 'truncated' not in first
    assert second['message'] == 'next'
    # One more is cut, and says so; in front of it the count of lines is right.
    write(server, f'{long}x\nlast\n')
    cut = logs(server, '-n2')[0]
    assert cut['message'] == long and cut['truncated'] is True
    assert [entry['message'][:4] for entry in logs(server, '-n4')] == ['0000', 'next', '0000', 'last']
    assert server.ccpctl('logs', 'talk', '-n2').stdout.splitlines()[0].endswith(' [cut]')


def test_parts_of_lines_of_two_streams_are_not_mixed(server, talk):
    out, error = 'o' * 100000, 'e' * 100000
    server.run(['docker', 'exec', 'talk_ccp-web-1', 'sh', '-c',
                'for n in 0 1 2 3 4; do for s in o e; do head -c 20000 /dev/zero | tr "\\0" $s >/proc/1/fd/$([ $s = o ] && echo 1 || echo 2);'
                ' done; done; echo >/proc/1/fd/1; echo >/proc/1/fd/2'])
    server.wait(lambda: sorted(messages(server, 'web', '-n2')) == sorted([out, error]), what='both lines')


def test_what_has_no_newline_is_shown_when_the_container_ends(server, talk):
    write(server, 'last words')
    server.run(['journalctl', '--sync'])
    server.sh('docker restart -t0 talk_ccp-api-1')
    assert messages(server, 'api', '-n1') == ['last words']


def test_any_bytes_are_shown_and_steer_nothing(server, talk):
    write(server, b'\xff\xfe broken \xc3( \xed\xa0\x80 \xef\xbf\xbe \xf0\x9f\x90\xb3\n')
    write(server, b'\x1b]0;title\x07\x1b[2J a\rb\x00c\xc2\x9b2J\n')
    write(server, b'\x1b[1;31mred\x1b[0m\ttab\r\n')
    raw = server.ccpctl('logs', 'talk', '-n3', '--json=short', text=False).stdout
    broken, evil, red = [json.loads(line)['message'] for line in raw.decode().splitlines()]
    assert broken == '\ufffd\ufffd broken \ufffd( \ufffd\ufffd\ufffd \ufffd \U0001f433'
    assert evil == '\x1b]0;title\x07\x1b[2J a\rb\ufffdc\x9b2J'
    assert red == '\x1b[1;31mred\x1b[0m\ttab\r'
    with Terminal(server, 'ccpctl', 'logs', 'talk', '-n3', '--no-pager') as terminal:
        assert terminal.end() == 0
        assert '\\x1b]0;title\\x07\\x1b[2J a\\x0db\ufffdc\\x9b2J' in terminal.text
        assert 'red\ttab\r\n' in terminal.text
        assert not set('\x07\x9b') & set(terminal.text) and '\x1b]' not in terminal.text and '\x1b[2J' not in terminal.text
    # What the bus cannot carry would have ended the caller's connection.
    with Caller(server) as root:
        rows, _ = root.instance('talk', 'ReadLogs', 'asa{sv}', [], {'lines': ['t', 3]})
        assert [row['Message'] for row in rows] == [broken, evil, red]


def test_since_until_and_grep(server, talk):
    write(server, 'early Bird\n')
    server.run(['journalctl', '--sync'])
    time.sleep(1.1)
    between = server.sh('date +%s.%6N')
    second = between.partition('.')[0]
    time.sleep(1.1)
    write(server, 'late bird\n')
    assert messages(server, '--since', f'@{second}')[-1] == 'late bird'
    assert 'early Bird' not in messages(server, '--since', f'@{second}')
    assert messages(server, '--until', f'@{second}')[-1] == 'early Bird'
    assert messages(server, '--until', f'@{second}', '-n1') == ['early Bird']
    assert messages(server, '--since', f'@{second}', '-n5') == ['late bird']
    assert messages(server, '-g', 'bird$', '-n', 'all') == ['early Bird', 'late bird']
    assert messages(server, '-g', 'Bird', '-n', 'all') == ['early Bird']
    assert messages(server, '-g', 'bird', '-n1') == ['late bird']
    assert messages(server, '-g', 'nothing like this') == []
    result = server.ccpctl('logs', 'talk', '-g', '(', check=False)
    assert result.returncode == 2 and 'pattern' in result.stderr


def test_following_shows_a_line_at_once_and_ends_well(server, talk):
    with Following(server) as following:
        for n in range(3):
            write(server, f'now {n}\n')
            begin = time.monotonic()
            assert following.line() == f'now {n}'
            assert time.monotonic() - begin < 2
        following.process.send_signal(signal.SIGINT)
    with Terminal(server, 'ccpctl', 'logs', 'talk', '-f', '-n1') as terminal:
        terminal.expect('now 2')
        os.write(terminal.fd, b'\x03')
        assert terminal.end() == 0
    server.wait(lambda: readers(server) == '0', what='the end of the readers')


def test_following_goes_on_over_restarts(server, talk):
    with Following(server) as following:
        write(server, 'first\n')
        assert following.line() == 'first'
        server.ccpctl('restart', 'talk')
        write(server, 'second\n')
        assert following.line() == 'second'
        server.run(['systemctl', 'restart', 'ccpd.service'])
        write(server, 'third\n')
        assert following.line() == 'third'
        server.run(['systemctl', 'restart', 'systemd-journald.service'])
        write(server, 'fourth\n')
        assert following.line() == 'fourth'
        server.run(['journalctl', '--rotate'])
        write(server, 'fifth\n')
        assert following.line() == 'fifth'


def test_a_reader_ends_when_nobody_reads(server, talk):
    with Following(server):
        wait_readers(server, 1)
    server.wait(lambda: readers(server) == '0', what='the end of the reader')
    with Caller(server) as root:
        root.instance('talk', 'OpenLogs', 'asa{sv}', [], {'follow': ['b', True]})
        # The client has closed what it got.
        server.wait(lambda: readers(server) == '0', what='the end of the reader')


def test_pages_and_long_polls(server, talk):
    with Caller(server) as root:
        def read(**options):
            return root.instance('talk', 'ReadLogs', 'asa{sv}', [], options, timeout=40)

        write(server, 'one\ntwo\nthree\n')
        server.run(['journalctl', '--sync'])
        rows, cursor = read(lines=['t', 3], limit=['t', 2])
        assert [row['Message'] for row in rows] == ['one', 'two'] and cursor == rows[-1]['Cursor']
        rows, cursor = read(cursor=['s', cursor])
        assert [row['Message'] for row in rows] == ['three']
        rows, cursor = read(cursor=['s', cursor])
        assert rows == []
        # Nothing comes: it waits, and not much longer.
        begin = time.monotonic()
        rows, cursor = read(cursor=['s', cursor], timeout=['t', 1000000])
        assert rows == [] and 1 <= time.monotonic() - begin < 5
        # What comes ends the wait at once.
        writer = server.start(['sh', '-c', "sleep 2; docker exec talk_ccp-api-1 sh -c 'echo four >/proc/1/fd/1'"])
        begin = time.monotonic()
        rows, cursor = read(cursor=['s', cursor], timeout=['t', 30000000])
        assert [row['Message'] for row in rows] == ['four'] and time.monotonic() - begin < 15
        writer.wait()
        # A cursor of nowhere is an error, or a place; never a crash.
        assert root.error(instance_path('talk'), 'Instance', 'ReadLogs', 'asa{sv}', [], {'cursor': ['s', 'nonsense']}).short in (
            'Internal', 'InvalidArgument')


def test_others_cannot_be_read_and_nobody_can_pretend(server, talk, other):
    write(server, 'mine\n')
    write(server, 'of the other\n', slug='other')
    add_user(server, 'eve')
    forged = (f'MESSAGE=forged\nCCP_ID={talk["id"]}\nCCP_INSTANCE=talk\nCCP_SERVICE=api\nCONTAINER_ID_FULL=x\n'
              '_SYSTEMD_UNIT=docker.service\n_UID=0\n_SYSTEMD_SLICE=ccp-jobs.slice\n')
    for user in ('eve', 'nobody', None):
        server.run(['logger', '--journald'], user=user, input=forged)
    suppressed = 'MESSAGE=Suppressed 5 messages\nMESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e\nN_DROPPED=5\nOBJECT_SYSTEMD_UNIT=docker.service\n'
    server.run(['logger', '--journald'], user='eve', input=suppressed)
    server.run(['journalctl', '--sync'])
    assert len(server.journal('MESSAGE=forged')) == 3
    shown = messages(server, '-n', 'all', '--all')
    assert 'mine' in shown and not {'forged', 'of the other'} & set(shown)
    assert not [entry for entry in logs(server, '-n', 'all') if entry['source'] == 'journal']
    assert messages(server, slug='other') == ['of the other']


def test_what_jobs_and_the_daemon_say_is_there_on_request(server, talk):
    write(server, 'before the job\n')
    since = server.cursor()
    server.ccpctl('restart', 'talk')
    # It says so when that is on record already, by which ccpctl knows of it.
    server.wait(lambda: server.journal('MESSAGE=The job succeeded.', since=since), what='the last word of the job')
    write(server, 'after the job\n')
    entries = logs(server, '--all', '-n', '50')
    at = {entry['message']: n for n, entry in enumerate(entries)}
    begin, end = at['before the job'], at['after the job']
    between = [(entry['source'], entry['message']) for entry in entries[begin + 1:end]]
    assert ('job', 'The job succeeded.') in between
    assert [text for source, text in between if source == 'ccpd' and text.startswith('root restarted talk: accepted')]
    assert [entry['time'] for entry in entries] == sorted(entry['time'] for entry in entries)
    assert {entry['source'] for entry in logs(server, '-n', '50')} == {'container'}


def test_a_client_reads_what_is_his_and_not_who_did_what(server, talk, other):
    add_user(server, 'carol')
    grant(server, 'client', user='carol', instance='talk')
    write(server, 'for carol\n')
    assert messages(server, '-n1', user='carol') == ['for carol']
    result = server.ccpctl('logs', 'other', user='carol', check=False)
    assert result.returncode == 4 and 'of the other' not in result.stdout
    everything = [entry['message'] for entry in logs(server, '--all', '-n', 'all', user='carol')]
    assert 'The job succeeded.' in everything
    assert not [text for text in everything if 'root ' in text]
    with Following(server, user='carol') as following:
        write(server, 'again\n')
        assert following.line() == 'again'
        revoke(server, user='carol', instance='talk')
        # What is written from now on is none of her business.
        write(server, 'secret\n')
        assert following.line() is None
        assert following.process.wait(60) == 4
    assert server.ccpctl('logs', 'talk', user='carol', check=False).returncode == 4
    # The socket itself is ccpd's alone.
    assert server.run(['python3', '-c', 'import socket; socket.socket(socket.AF_UNIX).connect("/run/ccpd/logs")'], user='eve',
                      check=False).returncode != 0


# Tries hours for a line of some KiB, and is ended each time.
HOSTILE = '.{0,1000}.{0,1000}[\\x01\\x02]'
TAKES_LONG = 400


@pytest.fixture(scope='module')
def slow(server, talk):
    """An instance with lines that a hostile pattern takes long for, all together more than anybody gets."""
    create(server, 'slow')
    write(server, ('a' * 16000 + '\n') * TAKES_LONG, slug='slow')
    server.wait(lambda: len(messages(server, '-n', 'all', slug='slow')) == TAKES_LONG, what='the lines')
    add_user(server, 'mallory')
    grant(server, 'client', user='mallory', instance='slow')


@pytest.fixture
def searching(server, slow):
    """Eight searches without an end: they print nothing before they have found all."""
    argv = ['ccpctl', 'logs', 'slow', '-n', TAKES_LONG, '-g', HOSTILE]
    processes = [server.start(argv, 'mallory') for _ in range(8)]
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_a_hostile_pattern_takes_nothing_from_others(server, other, searching):
    write(server, 'in time\n', slug='other')
    wait_readers(server, 8)
    for _ in range(3):
        begin = time.monotonic()
        assert messages(server, '-n1', slug='other') == ['in time']
        assert time.monotonic() - begin < 10
    with Caller(server, 'mallory') as mallory:
        options = {'lines': ['t', TAKES_LONG], 'pattern': ['s', HOSTILE]}
        begin = time.monotonic()
        error = mallory.error(instance_path('slow'), 'Instance', 'ReadLogs', 'asa{sv}', [], options, timeout=60)
        assert error.short == 'LimitExceeded' and 'simpler pattern' in error.message
        assert 15 < time.monotonic() - begin < 40
    # Who leaves ends what is done for him, in the middle of a match.
    for process in searching[:4]:
        process.kill()
        process.communicate()
    # Their time would be over later: all together have one processor, and not much of it.
    wait_readers(server, 4, timeout=30)
    revoke(server, user='mallory', instance='slow')
    for process in searching[4:]:
        assert process.wait(60) == 4
    wait_readers(server, 0)


def test_a_search_that_takes_too_long_is_ended(server, slow):
    result = server.ccpctl('logs', 'slow', '-n', 'all', '-g', HOSTILE, check=False, timeout=600)
    assert result.returncode != 0 and 'takes too much time' in result.stderr


def test_a_search_goes_on_when_roles_change(server, slow):
    process = server.start(['ccpctl', 'logs', 'slow', '-n', '25', '-g', HOSTILE])
    wait_readers(server, 1)
    grant(server, 'client', user='mallory', instance='slow')
    revoke(server, user='mallory', instance='slow')
    output, _ = process.communicate()
    assert process.returncode == 0 and len(output.splitlines()) == 25


def test_a_long_line_is_cut_where_answers_are_collected(server, slow):
    write(server, b'\x01' * (1 << 20) + b'\n', slug='slow')
    [whole] = logs(server, '-n1', slug='slow')
    assert len(whole['message']) == 1 << 20 and 'truncated' not in whole
    with Caller(server) as root:
        [row], _ = root.instance('slow', 'ReadLogs', 'asa{sv}', [], {'lines': ['t', 1]})
        assert row['Truncated'] and row['Message'] == '\x01' * ((1 << 18) // 6)


def test_over_ssh_they_come_in_pages(server, talk):
    enable_ssh(server)
    write(server, ''.join(f'page {n}\n' for n in range(2500)))
    server.run(['journalctl', '--sync'])
    lines = server.ccpctl('-H', 'root@127.0.0.1', 'logs', 'talk', '-n', '2500', '--json=short').stdout.splitlines()
    assert [json.loads(line)['message'] for line in lines] == [f'page {n}' for n in range(2500)]
    process = server.start(['ccpctl', '-H', 'root@127.0.0.1', 'logs', 'talk', '-f', '-n1'])
    assert process.stdout.readline().endswith('api: page 2499\n')
    write(server, 'and on\n')
    assert process.stdout.readline().endswith('api: and on\n')
    process.kill()
    process.communicate()


def test_a_slug_that_is_taken_again_has_no_past(server, talk):
    create(server, 'tenant')
    write(server, 'of the first tenant\n', slug='tenant')
    assert messages(server, slug='tenant') == ['of the first tenant']
    server.ccpctl('delete', 'tenant', '--yes')
    create(server, 'tenant')
    write(server, 'of the second tenant\n', slug='tenant')
    everything = messages(server, '-n', 'all', '--all', slug='tenant')
    assert 'of the second tenant' in everything and 'of the first tenant' not in everything
    assert len([text for text in everything if text == 'The job succeeded.']) == 1
    with Following(server, slug='tenant') as following:
        server.ccpctl('delete', 'tenant', '--yes')
        assert following.process.wait(120) in (3, 4)


def test_readers_are_shut_in(server, talk):
    """What a reader may: see the journal, and nothing of ccpd, of Docker or of the network."""
    with Following(server):
        pid = server.sh('tail -n 1 /sys/fs/cgroup/system.slice/ccp-logs.service/cgroup.procs')
        status = server.sh(f"grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/{pid}/status")
        fields = dict(line.split(':', 1) for line in status.splitlines())
        assert int(fields['Uid'].split()[0]) >= 61184
        assert fields['CapEff'].strip() == fields['CapBnd'].strip() == '0' * 16
        assert (fields['NoNewPrivs'].strip(), fields['Seccomp'].strip()) == ('1', '2')
        groups = server.sh(f"sed -n 's/^Groups:\\s*//p' /proc/{pid}/status").split()
        known = {server.sh(f'getent group {gid} | cut -d: -f1') for gid in groups}
        assert 'systemd-journal' in known and not known & {'docker', 'ccpd', 'adm', 'root'}
        assert server.sh(f'ls /proc/{pid}/net/dev >/dev/null && nsenter -t {pid} -n ip -o link').count('\n') == 0


def test_a_storm_is_taken_whole(server, talk):
    """More in a moment than journald's own limit allows a unit in half a minute, which all containers share."""
    server.sh('docker exec talk_ccp-web-1 sh -c "seq 1 80000 | sed s/^/storm-/ >/proc/1/fd/1"', timeout=300)
    write(server, 'calm\n')
    server.wait(lambda: messages(server, 'api', '-n1') == ['calm'], timeout=300)
    server.wait(lambda: messages(server, 'web', '-n1') == ['storm-80000'], timeout=300)
    assert messages(server, 'web', '-g', '^storm-', '-n', 'all', timeout=300) == [f'storm-{n}' for n in range(1, 80001)]
    assert not [entry for entry in logs(server, '-n', 'all', timeout=300) if entry['source'] == 'journal']


@pytest.mark.allow_journal(r'.*')
def test_lines_that_journald_leaves_out_are_missed_aloud(server, talk):
    server.write('/etc/systemd/system/docker.service.d/50-ccpd-logs.conf',
                 '[Service]\nLogRateLimitIntervalSec=3s\nLogRateLimitBurst=50\n')
    server.sh('systemctl daemon-reload; systemctl restart docker', timeout=300)
    server.wait(lambda: server.ccpctl('start', 'talk', check=False, timeout=120).returncode == 0, timeout=180, interval=2)
    server.sh('docker exec talk_ccp-web-1 sh -c "seq 1 5000 | sed s/^/flood-/ >/proc/1/fd/1"', timeout=300)

    def missed():
        # journald says so with the next line that it takes.
        write(server, 'next\n', taken=False)
        return [entry for entry in logs(server, '-n', '2000') if entry['source'] == 'journal']

    def shown():
        return [text for text in messages(server, 'web', '-n', 'all') if text.startswith('flood-')]

    def left_out():
        return sum(int(entry['message'].split('left out ')[1].split()[0]) for entry in missed())

    # It says so for each interval, after it.
    server.wait(lambda: left_out() >= 5000 - len(shown()), interval=1, what='all that is missing to be told')
    assert 0 < len(shown()) < 5000
    entry = missed()[0]
    assert 'left out' in entry['message'] and 'ccpd(8)' in entry['message']
    assert 'journal: journald left out' in server.ccpctl('logs', 'talk', '-n', '2000').stdout
