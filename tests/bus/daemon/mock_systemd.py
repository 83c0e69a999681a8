# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for PID 1 on a private bus: StartUnit and StopUnit as ccpd uses them.

How it answers is set by SetMode: "done" (the unit's start succeeds), "fail" (the start job fails), "hang" (no answer),
"refuse" (an error at once), "away" (no answer, and the bus says so), "stopping" (the unit is still being stopped),
"off" (the server goes down, and polkit is not started any more),
"no-list" (starts succeed, the units are not listed). A timer whose name has "bad" in it is no unit. SetNext(unit, time) says when
a timer elapses. Hold(unit) leaves jobs of that unit without an end until
Finish(unit, result). Calls() tells what was asked for; EndUnit(name) lets a unit end."""

import fnmatch
import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

MANAGER = "org.freedesktop.systemd1.Manager"
CONTROL = "org.changemaker.ccp1.Test"
LATER = {
    "away": "org.freedesktop.DBus.Error.NoReply",
    "stopping": "org.freedesktop.systemd1.TransactionIsDestructive",
    "off": "org.freedesktop.systemd1.ShuttingDown",
}


def bus_path(unit):
    """As sd_bus_path_encode() writes it."""
    return "/org/freedesktop/systemd1/unit/" + "".join(
        c if c.isascii() and c.isalnum() and not (i == 0 and c.isdigit()) else f"_{ord(c):02x}" for i, c in enumerate(unit))


class Timer(dbus.service.Object):
    def __init__(self, bus, unit):
        super().__init__(bus, bus_path(unit))
        self.next = 0

    @dbus.service.method("org.freedesktop.DBus.Properties", "ss", "v")
    def Get(self, interface, name):
        assert (interface, name) == ("org.freedesktop.systemd1.Timer", "NextElapseUSecRealtime")
        return dbus.UInt64(self.next)


class Manager(dbus.service.Object):
    def __init__(self, bus):
        super().__init__(bus, "/org/freedesktop/systemd1")
        self.mode = "done"
        self.calls = []
        self.units = []
        self.jobs = 0
        self.held, self.waiting = set(), {}
        self.timers = {}

    def finish(self, unit, path, result):
        self.JobRemoved(self.jobs, path, unit, result)
        return False

    def job(self, verb, unit, reply, error):
        self.calls.append(f"{verb} {unit}")
        if self.mode == "hang":
            return
        if "bad" in unit and unit.endswith(".timer"):
            error(dbus.DBusException(f"Unit {unit} has a bad unit file setting.", name="org.freedesktop.systemd1.BadUnitSetting"))
            return
        if self.mode == "refuse":
            error(dbus.DBusException("No.", name="org.freedesktop.DBus.Error.AccessDenied"))
            return
        if self.mode in LATER:
            error(dbus.DBusException("No.", name=LATER[self.mode]))
            return
        self.jobs += 1
        path = f"/org/freedesktop/systemd1/job/{self.jobs}"
        if self.mode == "early":
            # The signal overtakes the answer, as it may with the real one.
            self.finish(unit, path, "done")
        # As PID 1 does with a second start of a unit that is being started.
        path = self.waiting.get(unit, path)
        reply(dbus.ObjectPath(path))
        if unit in self.held:
            self.waiting[unit] = path
            return
        if unit == "ccp-health.service":
            GLib.idle_add(self.finish, unit, path, "failed" if self.mode == "fail" else "done",
                          priority=GLib.PRIORITY_HIGH)
            return
        if self.mode in ("done", "early", "no-list") and verb == "start":
            self.units.append(unit)
        if self.mode != "early":
            # Before anything else is answered: PID 1 never forgets a unit that still has a job.
            GLib.idle_add(self.finish, unit, path, "failed" if self.mode == "fail" else "done",
                          priority=GLib.PRIORITY_HIGH)
        if verb == "stop" or self.mode == "fail":
            GLib.idle_add(self.EndUnit, unit)

    @dbus.service.method(MANAGER, "ss", "o", async_callbacks=("reply", "error"))
    def StartUnit(self, unit, _mode, reply, error):
        self.job("start", str(unit), reply, error)

    @dbus.service.method(MANAGER, "ss", "o", async_callbacks=("reply", "error"))
    def StopUnit(self, unit, _mode, reply, error):
        self.job("stop", str(unit), reply, error)

    @dbus.service.method(MANAGER, "", "")
    def Subscribe(self):
        self.calls.append("subscribe")

    @dbus.service.method(MANAGER, "asas", "a(ssssssouso)")
    def ListUnitsByPatterns(self, _states, patterns):
        none = dbus.ObjectPath("/")
        if self.mode == "no-list":
            raise dbus.DBusException("No.", name="org.freedesktop.DBus.Error.NoReply")
        return [(u, "", "loaded", "active", "running", "", none, dbus.UInt32(0), "", none) for u in self.units
                if any(fnmatch.fnmatch(u, str(p)) for p in patterns)]

    @dbus.service.signal(MANAGER, "uoss")
    def JobRemoved(self, number, path, unit, result):
        pass

    @dbus.service.signal(MANAGER, "so")
    def UnitRemoved(self, unit, path):
        pass

    @dbus.service.method(CONTROL, "s", "")
    def SetMode(self, mode):
        self.mode = str(mode)

    @dbus.service.method(CONTROL, "st", "")
    def SetNext(self, unit, time):
        if str(unit) not in self.timers:
            self.timers[str(unit)] = Timer(self.connection, str(unit))
        self.timers[str(unit)].next = time

    @dbus.service.method(CONTROL, "s", "")
    def Hold(self, unit):
        self.held.add(str(unit))

    @dbus.service.method(CONTROL, "ss", "")
    def Finish(self, unit, result):
        self.finish(str(unit), self.waiting.pop(str(unit)), str(result))

    @dbus.service.method(CONTROL, "", "as")
    def Calls(self):
        return dbus.Array(self.calls, signature="s")

    @dbus.service.method(CONTROL, "", "")
    def Reload(self):
        """daemon-reload: all units are forgotten and found again."""
        for unit in self.units:
            self.UnitRemoved(unit, "/org/freedesktop/systemd1/unit/x")

    @dbus.service.method(CONTROL, "s", "")
    def EndUnit(self, unit):
        if unit in self.units:
            self.units.remove(unit)
        self.UnitRemoved(unit, "/org/freedesktop/systemd1/unit/x")


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.SystemBus()
    name = dbus.service.BusName("org.freedesktop.systemd1", bus)
    manager = Manager(bus)
    print("ready", flush=True)
    GLib.MainLoop().run()
    del name, manager


if __name__ == "__main__":
    sys.exit(main())
