# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpd on a private system bus, with a real PostgreSQL, and a stand-in for PID 1."""

import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import dbus
import pytest

HERE = pathlib.Path(__file__).parent
NAME = "org.changemaker.ccp1"
ROOT = "/org/changemaker/ccp1"

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


def wait_for(condition, seconds=60, what="the condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")


def is_alive(pid):
    """Nobody may have waited for it yet: that is no life."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Postgres:
    """A cluster of its own in a folder of its own, with what ccp-setup makes: ccpd is no superuser."""

    SETUP = HERE.parents[2] / "src/store/database"

    def __init__(self, folder):
        self.folder = folder
        self.process = None
        self.bin = pathlib.Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
        shutil.chown(folder, "postgres")
        self.run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8")
        self.start()
        self.run("createuser", "-h", str(folder), "-U", "postgres", "ccpd")
        self.run("createdb", "-h", str(folder), "-U", "postgres", "ccpd")

    def command(self, program, *args):
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", str(self.bin / program), *args]

    def run(self, program, *args):
        subprocess.run(self.command(program, *args), check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self):
        self.process = subprocess.Popen(
            self.command("postgres", "-D", str(self.folder / "data"), "-k", str(self.folder), "-c", "listen_addresses=",
                         "-c", "fsync=off"),
            cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: subprocess.run(self.command("pg_isready", "-q", "-h", str(self.folder)), cwd="/",
                                        check=False).returncode == 0, what="PostgreSQL")

    def kill(self):
        # Stopped, it can't start further ones meanwhile.
        self.process.send_signal(signal.SIGSTOP)
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], stdout=subprocess.PIPE, text=True,
                                  check=False).stdout.split()
        self.process.kill()
        self.process.wait()
        # Its children, whose command lines do not name the folder, end when they notice; the next start would find their shared
        # memory in use.
        wait_for(lambda: not any(map(is_alive, children)), what="the end of PostgreSQL's processes")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def conninfo(self):
        return f"host={self.folder} dbname=ccpd user=ccpd"

    def psql(self, *args):
        return subprocess.run(["psql", "-X", "-A", "-t", "-q", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                               "-d", f"{self.conninfo} user=postgres", *args],
                              check=True, stdout=subprocess.PIPE, text=True).stdout

    def sql(self, statement):
        """The rows of a statement of the superuser, as lists of strings."""
        return [line.split("\t") for line in self.psql("-c", statement).splitlines()]

    @contextlib.contextmanager
    def holding(self, statement):
        """A transaction of the superuser that has run a statement, and does not end before what is done meanwhile."""
        session = subprocess.Popen(["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", f"{self.conninfo} user=postgres"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        session.stdin.write(f"BEGIN; {statement}; SELECT 'held';\n")
        session.stdin.flush()
        assert session.stdout.readline() == "held\n"
        try:
            yield
        finally:
            session.communicate("ROLLBACK;\n", timeout=20)

    def reset(self):
        """An empty database, as after an installation."""
        self.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS ccpd_audit CASCADE")
        for path in ["roles.sql", *sorted(self.SETUP.glob("[0-9]*.sql")), "privileges.sql"]:
            self.psql("-f", str(self.SETUP / path))


class Daemon:
    """The program under test and what surrounds it."""

    def __init__(self, folder, postgres):
        self.folder, self.postgres = folder, postgres
        self.address = f"unix:path={folder}/bus"
        (folder / "bus.conf").write_text(BUS_CONFIG.format(path=folder / "bus"))
        self.process = self.bus_process = self.systemd_process = self.polkit_process = None
        self.people = []
        self.environment = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.address, CCP_STORE=postgres.conninfo,
                                CREDENTIALS_DIRECTORY=str(folder), CCP_TEMPLATES=f"{HERE}/blueprints",
                                CCP_LOG_LEVEL="debug", CCP_LOGS_SOCKET=str(folder / "logs"),
                                CCP_STORAGE_SOCKET=str(folder / "storage"),
                                CCP_CGROUP=str(folder / "cgroup"), CCP_GATE="/")
        (folder / "ccpd.master-key").write_bytes(os.urandom(32))
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.notify.bind(str(folder / "notify"))
        (folder / "notify").chmod(0o777)
        self.log = open(folder / "ccpd.log", "w+", encoding="utf-8", errors="replace")

    def up(self):
        folder = self.folder
        self.bus_process = subprocess.Popen(["dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork", "--print-address"],
                                            stdout=subprocess.PIPE, text=True)
        # Its socket is there before it listens, and may be that of the one before.
        assert self.bus_process.stdout.readline(), "the bus"
        self.systemd_process = subprocess.Popen([sys.executable, str(HERE / "mock_systemd.py")], env=self.environment,
                                                stdout=subprocess.PIPE, text=True)
        assert self.systemd_process.stdout.readline() == "ready\n"
        self.start_polkit()
        self.bus = dbus.bus.BusConnection(self.address)
        self.start()

    def start_polkit(self):
        self.polkit_process = subprocess.Popen([sys.executable, str(HERE / "mock_polkit.py")], env=self.environment,
                                               stdout=subprocess.PIPE, text=True)
        assert self.polkit_process.stdout.readline() == "ready\n"

    def person(self, user, groups=()):
        """Somebody who is not root, on a connection of his own."""
        person = Person(self, user, groups)
        self.people.append(person)
        return person

    def start(self, wait=True):
        # The launcher becomes the daemon: LISTEN_PID must be its own.
        launcher = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\nos.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
                    "os.execv(sys.argv[2], sys.argv[2:])")
        self.process = subprocess.Popen(
            [sys.executable, "-c", launcher, str(self.notify.fileno()), os.environ["CCPD"]],
            env=self.environment, pass_fds=[self.notify.fileno()], stderr=self.log)
        if wait:
            wait_for(lambda: self.bus.name_has_owner(NAME), what="ccpd's name on the bus")

    def stop(self, signal=15):
        self.process.send_signal(signal)
        return self.process.wait(20)

    def close(self):
        code = None
        for person in self.people:
            person.leave()
        if self.process:
            code = self.stop() if self.process.poll() is None else self.process.returncode
        for process in (self.polkit_process, self.systemd_process, self.bus_process):
            if process:
                process.terminate()
                process.wait()
        self.notify.close()
        self.log.seek(0)
        text = self.log.read()
        self.log.close()
        return code, text

    def call(self, interface, method, *args, path=ROOT, timeout=20, bus=None):
        proxy = (bus or self.bus).get_object(NAME, path, introspect=False)
        return proxy.get_dbus_method(method, interface if "." in interface else f"{NAME}.{interface}")(
            *args, timeout=timeout)

    def manager(self, method, *args, **kwargs):
        return self.call("Manager", method, *args, **kwargs)

    def get(self, path, interface, prop):
        return self.call("org.freedesktop.DBus.Properties", "Get", f"{NAME}.{interface}", prop, path=path)

    def create(self, slug, blueprint="trivial", **options):
        options.setdefault("domain", f"{slug}.example.org")
        return self.manager("CreateInstance", slug, blueprint, dbus.Dictionary(options, signature="sv"))

    def systemd(self, method, *args):
        proxy = self.bus.get_object("org.freedesktop.systemd1", "/org/freedesktop/systemd1", introspect=False)
        return proxy.get_dbus_method(method, f"{NAME}.Test")(*args)

    def polkit(self, method, *args):
        proxy = self.bus.get_object("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
                                    introspect=False)
        return proxy.get_dbus_method(method, f"{NAME}.Test")(*args)

    def starts(self):
        """The units of jobs that were started."""
        return [c.removeprefix("start ") for c in self.systemd("Calls") if c.startswith(("start ccp-job@", "start ccp-transfer@"))]


class Person:
    """A caller with an account of his own: user and groups by name or number."""

    def __init__(self, daemon, user, groups):
        groups = [f"--groups={','.join(str(g) for g in groups)}"] if groups else ["--clear-groups"]
        self.process = subprocess.Popen(
            ["setpriv", f"--reuid={user}", f"--regid={'nogroup'}", *groups, "/usr/bin/python3", str(HERE / "person.py")],
            env=daemon.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.name = json.loads(self.process.stdout.readline())

    def order(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def send(self, member, signature="", *args, path=ROOT, interface=f"{NAME}.Manager", **more):
        """Calls, and leaves the answer for answer()."""
        self.order(path=path, interface=interface, member=member, signature=signature, args=args, **more)

    def call(self, *args, **kwargs):
        self.send(*args, **kwargs)
        return self.answer()

    def value(self, *args, **kwargs):
        answer = self.call(*args, **kwargs)
        assert "value" in answer, answer
        return answer["value"]

    def error(self, *args, **kwargs):
        answer = self.call(*args, **kwargs)
        assert "error" in answer, answer
        return answer["error"].removeprefix(f"{NAME}.Error.")

    def instance(self, slug, member, signature="", *args, **kwargs):
        return self.call(member, signature, *args, path=instance_path(slug), interface=f"{NAME}.Instance", **kwargs)

    def signals(self):
        self.order(signals=True)
        return self.answer()

    def leave(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def instance_path(slug):
    """As sd_bus_path_encode() writes it."""
    return f"{ROOT}/instance/" + "".join(c if c.isalnum() and not (i == 0 and c.isdigit()) else f"_{ord(c):02x}"
                                          for i, c in enumerate(slug))


@pytest.fixture(scope="session")
def cluster():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ccpd-test-pg."))
    folder.chmod(0o755)
    postgres = Postgres(folder)
    yield postgres
    postgres.stop()
    shutil.rmtree(folder)


@pytest.fixture
def ccpd(cluster):
    cluster.reset()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ccpd-test."))
    folder.chmod(0o755)
    daemon = Daemon(folder, cluster)
    try:
        daemon.up()
        yield daemon
    finally:
        code, log = daemon.close()
        print(log)
        shutil.rmtree(folder)
    assert code == 0, "ccpd did not end cleanly"
    assert "ERROR: AddressSanitizer" not in log and "runtime error" not in log and "LeakSanitizer" not in log
