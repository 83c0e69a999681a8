# SPDX-License-Identifier: LGPL-2.1-or-later
"""What all other host tests stand on: the servers themselves, and that ./dev leaves nothing behind."""

import contextlib
import os
import pathlib
import pty
import signal
import subprocess
import sys
import time

import pytest

import server as lib
from server import Failed, Server, dev

PACKAGES = False


def test_everything_is_started(server):
    assert server.run(['systemctl', 'is-system-running']).stdout.strip() == 'running'
    assert server.sh('. /etc/os-release; echo $VERSION_CODENAME') == 'trixie'
    assert int(server.sh("systemctl --version | sed -n '1s/systemd \\([0-9]*\\).*/\\1/p'")) >= 252


def test_postgresql_answers(server):
    assert server.run(['psql', '-XAtqc', 'SHOW server_encoding'], user='postgres').stdout.strip() == 'UTF8'


def test_docker_runs_a_container(server):
    assert server.sh('docker run --rm --network none busybox:1.37 echo it runs') == 'it runs'
    assert server.sh('docker info --format "{{.CgroupVersion}} {{.CgroupDriver}} {{.Driver}}"') == '2 systemd overlay2'
    assert server.sh('docker compose version --short').split('.')[0].lstrip('v') == '2'


def test_published_ports_answer(server):
    server.sh('docker run -d --name web -p 127.0.0.1:8080:80 busybox:1.37 '
              'sh -c "echo hello >/var/www/index.html; exec httpd -f -h /var/www"')
    assert server.sh('curl -fsS --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:8080/') == 'hello'
    server.sh('docker rm -f web')


def test_exec_passes_input_output_and_status(server):
    assert server.run(['cat'], input='through\n').stdout == 'through\n'
    result = server.run(['sh', '-c', 'echo out; echo err >&2; exit 7'], check=False)
    assert (result.stdout, result.stderr, result.returncode) == ('out\n', 'err\n', 7)
    with pytest.raises(Failed):
        server.run(['false'])


def test_exec_as_another_user_has_no_privileges(server):
    assert server.run(['id', '-un'], user='nobody').stdout.strip() == 'nobody'
    assert server.sh("sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status", user='nobody') == '0' * 16
    assert server.run(['true'], user='nosuchuser', check=False).returncode == 125


def test_exec_dies_with_its_caller(server):
    sleeper = server.start(['sleep', '4711'])
    server.wait(lambda: server.run(['pgrep', '-fx', 'sleep 4711'], check=False).returncode == 0, what='the sleeper')
    sleeper.kill()
    sleeper.wait()
    server.wait(lambda: server.run(['pgrep', '-fx', 'sleep 4711'], check=False).returncode != 0, what="the sleeper's end")


def test_reboots_keep_the_disk(server):
    for hard in (False, True):
        boot = server.file('/proc/sys/kernel/random/boot_id') and server.sh('journalctl --list-boots -q | wc -l')
        server.write(f'/var/lib/kept-{hard}', 'kept')
        server.reboot(hard=hard)
        assert server.file(f'/var/lib/kept-{hard}') == 'kept'
        assert int(server.sh('journalctl --list-boots -q | wc -l')) == int(boot) + 1
        assert server.sh('docker run --rm --network none busybox:1.37 echo still') == 'still'


def leftovers(name):
    """What is left of a server on the outer machine."""
    found = [line for line in pathlib.Path('/proc/self/mounts').read_text().splitlines() if f'/{name}/' in line]
    for process in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            text = process.read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            continue
        if f'packaging/dev/server --inside {name} ' in text or f'--machine={name} ' in text:
            found.append(text)
    return found


def wait_for_nothing(name):
    limit = time.monotonic() + 60
    while leftovers(name):
        assert time.monotonic() < limit, leftovers(name)
        time.sleep(0.1)


def test_two_at_once_do_not_meet(new_server):
    names = [f'test-both{number}-{os.getpid()}' for number in (1, 2)]
    starters = [subprocess.Popen([lib.DEV, 'host', 'up', '--bare', name], stderr=subprocess.DEVNULL) for name in names]
    try:
        assert [starter.wait(180) for starter in starters] == [0, 0]
        for name in names:
            dev('host', 'exec', '-n', name, '--', 'sh', '-c', f'echo {name} >/etc/name; docker network create --subnet 10.200.0.0/26 n')
            # Each binds the same port on its own loopback.
            dev('host', 'exec', '-n', name, '--', 'systemd-run', '--quiet', '--unit=listener',
                'systemd-socket-activate', '--listen=127.0.0.1:14000', 'cat')
            dev('host', 'exec', '-n', name, '--', 'sh', '-euc', 'until ss -Hltn | grep -q ":14000 "; do '
                'systemctl is-active listener; sleep 0.1; done; systemctl is-active listener')
        for name in names:
            assert dev('host', 'exec', '-n', name, '--', 'cat', '/etc/name').stdout.strip() == name
            assert dev('host', 'exec', '-n', name, '--', 'systemctl', 'is-system-running').stdout.strip() == 'running'
    finally:
        for name in names:
            dev('host', 'down', name, check=False)
    for name in names:
        wait_for_nothing(name)


def test_a_name_that_is_taken_is_refused(server):
    result = dev('host', 'up', server.name, check=False)
    assert result.returncode == 1
    assert 'is up already' in result.stderr and 'host reset' in result.stderr


@pytest.mark.parametrize('victim', ['outermost', 'first process', 'leader'])
def test_a_killed_server_leaves_nothing(victim):
    name = f'test-killed-{os.getpid()}'
    dev('host', 'up', '--bare', name, timeout=180)
    outermost = int(pathlib.Path(f'/run/ccpd-dev/{name}/pid').read_text().split()[0])
    first = int(pathlib.Path(f'/proc/{outermost}/task/{outermost}/children').read_text().split()[0])
    leader = next(int(line.split()[-1]) for line in dev('host', 'list').stdout.splitlines() if line.startswith(f'{name} '))
    os.kill({'outermost': outermost, 'first process': first, 'leader': leader}[victim], signal.SIGKILL)
    wait_for_nothing(name)
    # The next one of that name boots over what is left on the disk.
    dev('host', 'up', '--bare', name, timeout=180)
    assert dev('host', 'exec', '-n', name, '--', 'systemctl', 'is-system-running').stdout.strip() == 'running'
    dev('host', 'down', name)
    wait_for_nothing(name)
    assert not pathlib.Path(f'/run/ccpd-dev/{name}').exists()


def test_servers_die_with_a_killed_test_run(tmp_path):
    name = f'test-orphan-{os.getpid()}'
    script = (f'import sys; sys.path.insert(0, {str(pathlib.Path(lib.__file__).parent)!r}); import server, time\n'
              f'server.Server({name!r}, packages=False, images=None).up()\n'
              'print("up", flush=True); time.sleep(600)')
    runner = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE, text=True)
    assert runner.stdout.readline() == 'up\n'
    assert leftovers(name)
    runner.kill()
    runner.wait()
    wait_for_nothing(name)
    dev('host', 'down', name)


def test_a_killed_build_leaves_nothing():
    marker = f'4712.{os.getpid()}'
    builder = subprocess.Popen([lib.DEV, 'shell', 'sh', '-c', f'echo in; sleep {marker}'], stdout=subprocess.PIPE, text=True)
    assert builder.stdout.readline() == 'in\n'
    builder.kill()
    builder.wait()
    limit = time.monotonic() + 60
    while subprocess.run(['pgrep', '-fx', f'sleep {marker}'], stdout=subprocess.DEVNULL, check=False).returncode == 0:
        assert time.monotonic() < limit, 'the build lives on'
        time.sleep(0.1)


def test_wrong_usage_says_what_to_do():
    for args in (['nonsense'], ['host', 'nonsense'], ['host', 'up', '--nonsense'], ['host', 'up', 'Bad_Name'], ['test', 'nonsense'],
                 ['host', 'up', '--images'], ['host', 'exec', '-n'], ['test', '-k'], ['host', 'down', 'one', 'two'],
                 ['host', 'list', 'one'], ['lint', 'x'], ['fuzz', 'x'], ['fuzz', '0'], ['install', 'x'], ['demo', 'x']):
        result = dev(*args, check=False)
        assert result.returncode == 2, args
        assert result.stderr.startswith('dev: ') and './dev --help' in result.stderr, args
    for args in (['host', 'up', '--help'], ['install', '--help'], ['host', '-h']):
        assert dev(*args).stdout.startswith('./dev COMMAND'), args
    result = dev('host', 'exec', '-n', 'no-such-server', '--', 'true', check=False)
    assert result.returncode == 1 and './dev host up' in result.stderr
    # Nothing is booted for a slip of the pen.
    result = dev('host', 'reset', 'no-such-server', check=False)
    assert result.returncode == 1 and './dev host up' in result.stderr
    assert 'no-such-server' not in dev('host', 'list').stdout


def test_ctrl_c_reaches_the_command_and_waits_for_it(server):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(lib.DEV, [lib.DEV, 'host', 'exec', '-n', server.name, '--', 'sh', '-c',
                           'trap "sleep 0.3; echo farewell; exit 3" INT; echo ready; while :; do sleep 0.1; done'])
    output = b''
    try:
        while b'ready' not in output:
            output += os.read(terminal, 1024)
        os.write(terminal, b'\x03')
        # A terminal whose other side is closed ends in an error.
        with contextlib.suppress(OSError):
            while True:
                output += os.read(terminal, 1024)
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    assert b'farewell' in output
    assert os.waitstatus_to_exitcode(status) == 3


def test_the_servers_class_ends_what_did_not_boot(monkeypatch):
    monkeypatch.setenv('CCPD_DEV_BOOT_LIMIT', '0')
    name = f'test-slow-{os.getpid()}'
    with pytest.raises(Failed, match='did not come up'):
        Server(name, packages=False, images=None).up()
    wait_for_nothing(name)
