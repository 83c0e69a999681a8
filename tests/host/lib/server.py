# SPDX-License-Identifier: LGPL-2.1-or-later
"""A booted server, as host tests see it: a thin layer over ./dev host."""

import json
import os
import pathlib
import signal
import subprocess
import time

DEV = os.environ.get('CCPD_DEV') or str(pathlib.Path(__file__).resolve().parents[3] / 'dev')


class Failed(AssertionError):
    """A command ended with another status than 0; its text is the command and what it wrote."""

    def __init__(self, result):
        self.result = result
        super().__init__(
            f'{" ".join(result.args)}\nended with status {result.returncode}\n{result.stdout or ""}\n{result.stderr or ""}')


def run(argv, input=None, check=True, timeout=120, text=True, pass_fds=()):
    """Runs a command of the outer machine; when it takes too long, it and all its children are killed."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL if input is None else subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=text, start_new_session=True, pass_fds=pass_fds)
    try:
        stdout, stderr = process.communicate(input, timeout)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise AssertionError(f'{" ".join(map(str, argv))}\ntook more than {timeout} s\n{stdout}\n{stderr}') from None
        raise
    result = subprocess.CompletedProcess([str(arg) for arg in argv], process.returncode, stdout, stderr)
    if check and result.returncode != 0:
        raise Failed(result)
    return result


def dev(*args, **options):
    return run([DEV, *map(str, args)], **options)


class Server:
    def __init__(self, name, images='busybox', packages=True):
        self.name = name
        self.images = images
        self.packages = packages
        self._life = None
        # The place in the journal up to which it was checked for warnings; None is the boot.
        self.checked = None

    def up(self):
        # The server ends when the last writer of this pipe is gone: with this process, however that ends.
        reader, self._life = os.pipe()
        try:
            options = ['--until-eof', reader]
            options += ['--images', self.images] if self.images else []
            options += [] if self.packages else ['--bare']
            dev('host', 'up', *options, self.name, timeout=1800, pass_fds=[reader])
        except BaseException:
            self.down()
            raise
        finally:
            os.close(reader)
        return self

    def down(self):
        if self._life is not None:
            os.close(self._life)
            self._life = None
            dev('host', 'down', self.name, check=False)

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()

    def argv(self, argv, user=None):
        """The command of the outer machine that runs argv in the server."""
        return [DEV, 'host', 'exec', *(['-u', user] if user else []), '-n', self.name, '--', *map(str, argv)]

    def run(self, argv, user=None, input=None, check=True, timeout=120, text=True):
        """Runs argv in the server; returns a CompletedProcess with its output. Raises Failed, unless check is False."""
        return run(self.argv(argv, user), input=input, check=check, timeout=timeout, text=text)

    def start(self, argv, user=None, **options):
        """Starts argv in the server and returns its Popen, for what runs beside the test. Kill it with .kill()."""
        options = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True} | options
        return subprocess.Popen(self.argv(argv, user), **options)

    def sh(self, script, **options):
        """Runs a shell script in the server and returns its output without the last newline."""
        return self.run(['sh', '-euc', script], **options).stdout.rstrip('\n')

    def ccpctl(self, *args, **options):
        return self.run(['ccpctl', *args], **options)

    def json(self, *args, **options):
        """The JSON that ccpctl prints."""
        return json.loads(self.ccpctl(*args, '--json=short', **options).stdout)

    def cursor(self):
        """A place in the journal, for `since`."""
        output = self.run(['journalctl', '--no-pager', '--quiet', '-n', '0', '--show-cursor']).stdout
        return output.rpartition('-- cursor: ')[2].strip() or None

    def journal(self, *matches, since=None, priority=None, unit=None):
        """The entries of the journal as dicts: of this boot, or since a cursor."""
        self.run(['journalctl', '--sync'])
        argv = ['journalctl', '--no-pager', '--quiet', '--all', '--output=json']
        argv += [f'--after-cursor={since}'] if since else ['--boot']
        argv += [f'--priority={priority}'] if priority else []
        argv += [f'--unit={unit}'] if unit else []
        output = self.run([*argv, *matches], text=False).stdout
        return [json.loads(text) for text in output.decode(errors='replace').splitlines()]

    def file(self, path):
        """The content of a file of the server."""
        return self.run(['cat', '--', path]).stdout

    def write(self, path, content, mode='0644', user=None):
        """Writes a file in the server, with its folders."""
        self.run(['sh', '-euc', 'mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1"', 'sh', path, mode], input=content, user=user)

    def exists(self, path):
        return self.run(['test', '-e', path], check=False).returncode == 0

    def reboot(self, hard=False):
        """Starts the server again with the same disk; hard is a power cut."""
        dev('host', 'reboot', *(['--hard'] if hard else []), self.name, timeout=180)

    def wait(self, condition, timeout=120, what='the condition', interval=None):
        """Waits until condition() is true, and returns what it returned. Without an interval it asks less often the longer it
        waits: each question is a program that takes time from what is waited for."""
        began = time.monotonic()
        while True:
            value = condition()
            if value:
                return value
            waited = time.monotonic() - began
            assert waited < timeout, f'{what} did not come true within {timeout} s'
            time.sleep(interval or min(0.1 + waited / 50, 0.4))
