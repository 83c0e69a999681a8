# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the bus itself lets through, by the rules that are installed: everybody may call ccpd, and no signal of its goes to all."""

import pathlib
import subprocess
import sys

import pytest

from conftest import NAME, ROOT

RULES = pathlib.Path(__file__).parents[3] / "dbus" / f"{NAME}.conf"
OWNER = "daemon"

# The rules of /usr/share/dbus-1/system.conf, which every system has before ours.
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>{folder}/rules.conf</include>
</busconfig>
"""

# Owns the name, answers calls, and sends what it is told to: a destination for one signal a line, "" for none.
SENDER = """
import sys, threading, dbus.bus, dbus.lowlevel, dbus.mainloop.glib, dbus.service
from gi.repository import GLib
bus = dbus.bus.BusConnection(sys.argv[1], mainloop=dbus.mainloop.glib.DBusGMainLoop())
bus.request_name(sys.argv[2])
loop = GLib.MainLoop()
def send():
    for line in sys.stdin:
        message = dbus.lowlevel.SignalMessage(sys.argv[3], sys.argv[2] + ".Manager", "JobNew")
        if line.strip():
            message.set_destination(line.strip())
        bus.send_message(message)
        bus.flush()
        print("sent", flush=True)
    GLib.idle_add(loop.quit)
print("ready", flush=True)
threading.Thread(target=send).start()
loop.run()
"""

# Its own name is lost after the signals were sent: what comes then, comes last.
LISTENER = """
import sys, dbus.bus, dbus.mainloop.glib
from gi.repository import GLib
bus = dbus.bus.BusConnection(sys.argv[1], mainloop=dbus.mainloop.glib.DBusGMainLoop())
loop = GLib.MainLoop()
bus.add_signal_receiver(lambda *a: print("heard", flush=True), "JobNew", sys.argv[2] + ".Manager")
bus.add_signal_receiver(lambda name, old, new: new or loop.quit(), "NameOwnerChanged", arg0=sys.argv[2])
print("ready", flush=True)
print(bus.get_unique_name(), flush=True)
loop.run()
print("end", flush=True)
"""

CALLER = """
import sys, dbus.bus
bus = dbus.bus.BusConnection(sys.argv[1])
print("ready", flush=True)
try:
    print(bus.call_blocking(sys.argv[2], "/", "org.freedesktop.DBus.Peer", "Ping", "", (), timeout=5))
    bus.request_name(sys.argv[2])
    print("owns the name")
except dbus.DBusException as e:
    print(e.get_dbus_name().rpartition(".")[2])
"""


@pytest.fixture
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o711)
    (folder / "rules.conf").write_text(RULES.read_text().replace('user="ccpd"', f'user="{OWNER}"'))
    (folder / "bus.conf").write_text(CONFIG.format(folder=folder))
    bus = subprocess.Popen(["dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork", "--print-address"],
                           stdout=subprocess.PIPE, text=True)
    # Its socket is there before it listens.
    assert bus.stdout.readline(), "the bus"
    yield f"unix:path={folder}/bus"
    bus.terminate()
    bus.wait()


def start(code, user, *args):
    process = subprocess.Popen([sys.executable, "-c", code, *args], user=user, cwd="/", text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    return process


def send(sender, destination):
    sender.stdin.write(f"{destination}\n")
    sender.stdin.flush()
    assert sender.stdout.readline() == "sent\n"


def test_a_signal_goes_to_one_or_to_nobody(address):
    sender = start(SENDER, OWNER, address, NAME, ROOT)
    listeners = {user: start(LISTENER, user, address, NAME) for user in ("root", "nobody", "bin")}
    names = {user: listener.stdout.readline().strip() for user, listener in listeners.items()}
    send(sender, "")
    send(sender, names["nobody"])
    send(sender, "")
    sender.stdin.close()
    sender.wait(10)
    # Not communicate(): it would pass over what readline() has read ahead.
    heard = {user: listener.stdout.read() for user, listener in listeners.items()}
    assert heard == {"root": "end\n", "nobody": "heard\nend\n", "bin": "end\n"}


def test_everybody_may_call_and_only_ccpd_answers(address):
    sender = start(SENDER, OWNER, address, NAME, ROOT)
    answers = {user: start(CALLER, user, address, NAME).stdout.read() for user in ("root", "nobody")}
    sender.stdin.close()
    sender.wait(10)
    # The call arrived, and the name can't be had.
    assert answers == {user: "None\nAccessDenied\n" for user in ("root", "nobody")}


def test_no_call_brings_descriptors(address):
    sender = start(SENDER, OWNER, address, NAME, ROOT)
    code = CALLER.replace('"Ping", "", ()', '"Ping", "h", (0,)')
    answers = {user: start(code, user, address, NAME).stdout.read() for user in ("root", "nobody")}
    sender.stdin.close()
    sender.wait(10)
    assert answers == {user: "AccessDenied\n" for user in ("root", "nobody")}
