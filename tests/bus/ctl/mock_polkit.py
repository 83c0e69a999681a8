#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A polkit that takes the agents that register, and asks the latest one for every authorization. The answer
is yes as soon as there is a file FOLDER/yes; what agents did is in FOLDER/agents, one JSON array a line.

The agent is the real one: what it does when it asks, and when it ends, is not ours to imagine.
"""

import json
import os
import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

NAME = "org.freedesktop.PolicyKit1"
AUTHORITY = NAME + ".Authority"


class Authority(dbus.service.Object):
    def __init__(self, bus, folder):
        super().__init__(bus, "/org/freedesktop/PolicyKit1/Authority")
        self.bus, self.folder, self.agent = bus, folder, None

    def log(self, *what):
        with open(os.path.join(self.folder, "agents"), "a") as f:
            f.write(json.dumps(what) + "\n")

    def register(self, subject, sender, options):
        self.agent = sender
        self.log("registered", int(subject[1]["pid"]), {k: bool(v) for k, v in options.items()})
        self.bus.watch_name_owner(sender, lambda owner: owner or self.log("gone"))

    @dbus.service.method(AUTHORITY, in_signature="(sa{sv})ss", sender_keyword="sender")
    def RegisterAuthenticationAgent(self, subject, locale, path, sender=None):
        self.path = path
        self.register(subject, sender, {})

    @dbus.service.method(AUTHORITY, in_signature="(sa{sv})ssa{sv}", sender_keyword="sender")
    def RegisterAuthenticationAgentWithOptions(self, subject, locale, path, options, sender=None):
        self.path = path
        self.register(subject, sender, options)

    @dbus.service.method(AUTHORITY, in_signature="(sa{sv})s")
    def UnregisterAuthenticationAgent(self, subject, path):
        self.log("unregistered")

    @dbus.service.method(AUTHORITY, in_signature="(sa{sv})sa{ss}us", out_signature="(bba{ss})",
                         async_callbacks=("reply", "fail"))
    def CheckAuthorization(self, subject, action, details, flags, cancellation, reply, fail):
        if not flags & 1 or not self.agent:
            reply((False, bool(self.agent is None), dbus.Dictionary({}, signature="ss")))
            return
        agent = dbus.Interface(self.bus.get_object(self.agent, self.path, introspect=False),
                               NAME + ".AuthenticationAgent")
        identity = ("unix-user", dbus.Dictionary({"uid": dbus.UInt32(0)}, signature="sv"))
        agent.BeginAuthentication(action, "Authentication is needed to go on", "", details, "cookie",
                                  dbus.Array([identity], signature="(sa{sv})"),
                                  reply_handler=lambda: None, error_handler=lambda e: None, timeout=60)

        def look():
            if os.path.exists(os.path.join(self.folder, "yes")):
                reply((True, False, dbus.Dictionary({}, signature="ss")))
                return False
            return True
        GLib.timeout_add(50, look)

    @dbus.service.method("org.freedesktop.DBus.Properties", in_signature="s", out_signature="a{sv}")
    def GetAll(self, interface):
        return dbus.Dictionary({"BackendName": "mock", "BackendVersion": "1", "BackendFeatures": dbus.UInt32(1)},
                               signature="sv")

    @dbus.service.signal(AUTHORITY, signature="")
    def Changed(self):
        pass


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    name = dbus.service.BusName(NAME, bus, do_not_queue=True)
    authority = Authority(bus, sys.argv[1])
    print("ready", flush=True)
    GLib.MainLoop().run()
    del name, authority


if __name__ == "__main__":
    main()
