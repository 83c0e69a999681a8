# SPDX-License-Identifier: LGPL-2.1-or-later
"""A command on a terminal of the server, as a person sees it."""

import os
import pty
import re
import select
import shlex
import signal
import time


class Terminal:
    """Runs a command until its end, or until the end of the block."""

    def __init__(self, server, *args, user=None):
        # The outer terminal is where this end types; the command has one of the server.
        argv = server.argv(['script', '-qec', shlex.join(args), '/dev/null'], user)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(argv[0], argv)
        self.text = ''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.end()

    def expect(self, pattern, seconds=60):
        """Waits until the pattern was shown, and returns what was shown up to its end."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < end, f'{pattern!r} did not come; there was:\n{self.text}'
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self.fd, 4096).decode(errors='replace')
                except OSError:
                    assert re.search(pattern, self.text), f'{pattern!r} did not come before the end:\n{self.text}'
        shown, self.text = self.text[:found.end()], self.text[found.end():]
        return shown

    def type(self, line):
        os.write(self.fd, line.encode() + b'\n')

    def end(self):
        """Waits for the end of the command, and returns its status; what it still shows is in `text`."""
        try:
            while data := os.read(self.fd, 4096):
                self.text += data.decode(errors='replace')
        except OSError:
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        self.pid = None
        return status
