# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for polkit on a private bus: CheckAuthorization as ccpd uses it.

Without more said it answers by the role among the details, as the shipped rules do for reading: whoever has one may. Answer(action,
answer) sets another answer for an action: "yes", "no", "challenge", "ask" (the person is being asked: no answer until Release(answer)),
"error", "lose" (none to the next question, "yes" from then on). Questions() tells what was asked, Cancelled() which dialogues were closed."""

import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

AUTHORITY = "org.freedesktop.PolicyKit1.Authority"
CONTROL = "org.changemaker.ccp1.Test"


class Authority(dbus.service.Object):
    def __init__(self, bus):
        super().__init__(bus, "/org/freedesktop/PolicyKit1/Authority")
        self.answers, self.questions, self.held, self.cancelled = {}, [], [], []

    @dbus.service.method(AUTHORITY, "(sa{sv})sa{ss}us", "(bba{ss})", async_callbacks=("reply", "error"))
    def CheckAuthorization(self, subject, action, details, flags, cancellation, reply, error):
        kind, about = subject
        assert kind == "system-bus-name"
        self.questions.append([str(about["name"]), str(action), str(details["instance"]), str(details["role"]),
                               str(details["verb"]), str(flags)])
        answer = self.answers.get(str(action), "yes" if details["role"] else "no")
        if answer == "lose":
            # As if the bus had dropped the answer: to the next question there is one.
            self.answers[str(action)] = "yes"
        elif answer == "ask" and flags & 1 or answer == "hang":
            self.held.append((reply, str(cancellation)))
        elif answer == "error":
            error(dbus.DBusException("No.", name="org.freedesktop.PolicyKit1.Error.Failed"))
        else:
            reply((answer == "yes", answer in ("challenge", "ask"), {}))

    @dbus.service.method(AUTHORITY, "s", "")
    def CancelCheckAuthorization(self, cancellation):
        self.cancelled.append(str(cancellation))

    @dbus.service.signal(AUTHORITY, "")
    def Changed(self):
        pass

    @dbus.service.method(CONTROL, "ss", "")
    def Answer(self, action, answer):
        self.answers[f"org.changemaker.ccp1.{action}"] = str(answer)
        self.Changed()

    @dbus.service.method(CONTROL, "b", "u")
    def Release(self, allowed):
        n, held = len(self.held), self.held
        self.held = []
        for reply, _ in held:
            reply((bool(allowed), False, {}))
        return n

    @dbus.service.method(CONTROL, "", "aas")
    def Questions(self):
        questions, self.questions = self.questions, []
        return dbus.Array([dbus.Array(q, signature="s") for q in questions], signature="as")

    @dbus.service.method(CONTROL, "", "as")
    def Cancelled(self):
        return dbus.Array(self.cancelled, signature="s")


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.SystemBus()
    # Both live as long as the loop.
    name = dbus.service.BusName("org.freedesktop.PolicyKit1", bus)
    authority = Authority(bus)
    assert name and authority
    print("ready")
    sys.stdout.flush()
    GLib.MainLoop().run()


main()
