# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private bus, the mock on it, and ways to run ccpctl there: with pipes, or on a terminal."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
CCPCTL = os.environ.get("CCPCTL", "ccpctl")
PATIENCE = 90
NOBODY = 65534

# Everybody may talk to everybody, as on the system bus: what is refused, ccpd refuses.
BUS_CONFIG = """<busconfig>
  <type>custom</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"""


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return "exit %d\n--- stdout\n%s\n--- stderr\n%s" % (self.code, self.out, self.err)

    def json(self):
        return json.loads(self.out)


def become(uid):
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


class Terminal:
    """ccpctl on a pseudo-terminal of its own, which it has for all three streams, but for 'output'."""

    def __init__(self, args, env, rows=40, columns=100, uid=None, output=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                if output:
                    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
                become(uid)
                os.execve(CCPCTL, [CCPCTL] + list(args), env)
            finally:
                os._exit(127)
        self.text, self.seen = "", 0

    def read(self, timeout):
        ready, _, _ = select.select([self.fd], [], [], timeout)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def expect(self, text):
        """Waits for a text after what was expected last."""
        end = time.monotonic() + PATIENCE
        while text not in self.text[self.seen:]:
            if time.monotonic() > end or not self.read(0.1) and text not in self.text[self.seen:]:
                raise AssertionError("did not see %r in %r" % (text, self.text[self.seen:][-2000:]))
        self.seen = self.text.index(text, self.seen) + len(text)

    def type(self, text):
        os.write(self.fd, text.encode())

    def answer(self, question, text):
        self.expect(question)
        self.type(text + "\n")

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def wait(self):
        while self.read(PATIENCE):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


class BusTest(unittest.TestCase):
    mock_environment = {}

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        config = os.path.join(self.folder.name, "bus.conf")
        with open(config, "w") as f:
            f.write(BUS_CONFIG)
        self.bus = subprocess.Popen(["dbus-daemon", "--config-file=" + config, "--print-address", "--nofork",
                                     "--nopidfile"],
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self.bus.stdout.readline().strip()
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ("NO_COLOR", "CCP_COLORS", "SYSTEMD_COLORS", "PAGER", "LESS")}
        self.env.update(DBUS_SYSTEM_BUS_ADDRESS=self.address, LC_ALL="C.UTF-8", TERM="xterm", TZ="UTC",
                        SYSTEMD_PAGERSECURE="1", PAGER="cat")
        self.state = os.path.join(self.folder.name, "state.json")
        self.mock = None
        self.start_mock()

    def tearDown(self):
        self.stop_mock()
        self.bus.terminate()
        self.bus.wait()
        self.bus.stdout.close()
        self.folder.cleanup()

    def start(self, script, *args, **environment):
        p = subprocess.Popen([sys.executable, os.path.join(HERE, script), *args], env=dict(self.env, **environment),
                             stdout=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline().strip(), "ready")
        return p

    def start_mock(self, **environment):
        self.mock = self.start("mock_ccpd.py", self.state, **{**self.mock_environment, **environment})

    def stop_mock(self):
        if self.mock:
            self.mock.kill()
            self.mock.wait()
            self.mock.stdout.close()
        self.mock = None

    def pretend_ssh(self, command=None):
        """The other host is this one."""
        command = command or "exec systemd-stdio-bridge -p '%s'" % self.address
        folder = os.path.join(self.folder.name, "ssh")
        os.mkdir(folder)
        with open(os.path.join(folder, "ssh"), "w") as f:
            f.write("#!/bin/sh\n%s\n" % command)
        os.chmod(os.path.join(folder, "ssh"), 0o755)
        self.env["PATH"] = folder + ":" + self.env["PATH"]

    def saved(self):
        with open(self.state) as f:
            return json.load(f)

    def calls(self, what):
        return [c for c in self.saved()["calls"] if c[0] == what]

    def run_ctl(self, *args, input="", env={}, uid=None):
        p = subprocess.run([CCPCTL, *args], input=input, capture_output=True, text=True, timeout=PATIENCE,
                           env=dict(self.env, **env), errors="surrogateescape", user=uid)
        return Result(p.returncode, p.stdout, p.stderr)

    def popen(self, *args, **kwargs):
        return subprocess.Popen([CCPCTL, *args], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, **kwargs)

    def wait_for(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def ctl(self, *args, code=0, **kwargs):
        r = self.run_ctl(*args, **kwargs)
        self.assertEqual(r.code, code, r)
        return r

    def terminal(self, *args, **kwargs):
        return Terminal(args, self.env, **kwargs)

    def change_state(self, change):
        """Has the mock begin anew with what change() makes of its state."""
        self.stop_mock()
        state = self.saved()
        change(state)
        with open(self.state, "w") as f:
            json.dump(state, f)
        self.start_mock()

    def have_backups(self, *rows):
        """Backups, the newest first, as ListBackups has them; what is not said is that of one that is well."""
        self.change_state(lambda state: state.update(backups=[
            {"Id": "17", "Instance": "alpha", "InstanceId": "0b0e7c5a-0000-4000-8000-000000000001", "State": "verified", "Job": "",
             "CreatedAt": 1795176000000000, "Size": 12 << 20, **row} for row in rows]))

    def create(self, slug, *args, code=0):
        return self.ctl("create", slug, "--blueprint=web", "--domain=%s.example.org" % slug, *args, code=code)


def plain(text):
    """A terminal's text without its control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


__all__ = ["BusTest", "Terminal", "Result", "plain", "signal", "time", "unittest", "os", "json", "subprocess",
           "CCPCTL", "NOBODY"]
