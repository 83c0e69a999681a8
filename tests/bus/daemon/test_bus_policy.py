# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the bus itself lets through, by the rules that are installed: nobody but root learns of an instance."""

import pathlib
import subprocess
import sys

import pytest

from conftest import NAME, ROOT, wait_for

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

SENDER = """
import sys, dbus.bus, dbus.lowlevel
bus = dbus.bus.BusConnection(sys.argv[1])
bus.request_name(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
message = dbus.lowlevel.SignalMessage(sys.argv[3], sys.argv[2] + ".Manager", "JobNew")
bus.send_message(message)
bus.flush()
print("sent", flush=True)
sys.stdin.readline()
"""

# Its own name is lost after the signal was sent: what comes then, comes last.
LISTENER = """
import sys, dbus.bus, dbus.mainloop.glib
from gi.repository import GLib
bus = dbus.bus.BusConnection(sys.argv[1], mainloop=dbus.mainloop.glib.DBusGMainLoop())
loop = GLib.MainLoop()
bus.add_signal_receiver(lambda *a: print("heard", flush=True), "JobNew", sys.argv[2] + ".Manager")
bus.add_signal_receiver(lambda name, old, new: new or loop.quit(), "NameOwnerChanged", arg0=sys.argv[2])
print("ready", flush=True)
loop.run()
print("end", flush=True)
"""


@pytest.fixture
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o711)
    (folder / "rules.conf").write_text(RULES.read_text().replace('user="ccpd"', f'user="{OWNER}"'))
    (folder / "bus.conf").write_text(CONFIG.format(folder=folder))
    bus = subprocess.Popen(["dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork"])
    wait_for(lambda: (folder / "bus").exists(), what="the bus")
    yield f"unix:path={folder}/bus"
    bus.terminate()
    bus.wait()


def start(code, user, *args):
    process = subprocess.Popen([sys.executable, "-c", code, *args], user=user, cwd="/", text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    return process


def test_only_root_hears_signals(address):
    sender = start(SENDER, OWNER, address, NAME, ROOT)
    listeners = {user: start(LISTENER, user, address, NAME) for user in ("root", "nobody")}
    sender.stdin.write("\n")
    sender.stdin.flush()
    assert sender.stdout.readline() == "sent\n"
    sender.communicate("\n")
    heard = {user: listener.communicate()[0] for user, listener in listeners.items()}
    assert heard == {"root": "heard\nend\n", "nobody": "end\n"}


def test_only_root_may_call(address):
    sender = start(SENDER, OWNER, address, NAME, ROOT)
    code = "import sys, dbus.bus\nprint('ready', flush=True)\n" \
           "try: dbus.bus.BusConnection(sys.argv[1]).call_blocking(sys.argv[2], '/', sys.argv[3], 'Ping', '', (), timeout=2)\n" \
           "except dbus.DBusException as e: print(e.get_dbus_name().rpartition('.')[2])"
    answers = {user: start(code, user, address, NAME, "org.freedesktop.DBus.Peer").communicate()[0] for user in ("root", "nobody")}
    sender.communicate("\n\n")
    assert answers["nobody"] == "AccessDenied\n"
    assert answers["root"] != "AccessDenied\n"
