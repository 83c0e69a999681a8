# SPDX-License-Identifier: LGPL-2.1-or-later
"""A caller who is not root: runs as somebody else, keeps one connection, and does what it is told on standard input.

Each line is a JSON object with "path", "interface" and "member", "args",
"signature", "interactive". Each answer is one line: {"value": …} or {"error": NAME, "message": …}. With "repeat" the call is made so
often at once, and answered with how many ended with which error ("" for none).
{"signals": true} gives what was received since."""

import json
import sys

import dbus
import dbus.lowlevel
import dbus.mainloop.glib
from gi.repository import GLib

NAME = "org.changemaker.ccp1"


def plain(value):
    """D-Bus values as JSON has them."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dbus.Boolean):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, dbus.types.UnixFd):
        with open(value.take(), "rb") as f:
            return f.read().decode()
    return str(value)


class Person:
    def __init__(self):
        dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
        self.bus = dbus.SystemBus()
        self.loop = GLib.MainLoop()
        self.signals, self.waiting = [], 0
        self.bus.add_match_string(f"type='signal',sender='{NAME}'")
        self.bus.add_message_filter(self.on_message)
        GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, self.on_line)

    def on_message(self, _bus, message):
        if isinstance(message, dbus.lowlevel.SignalMessage) and (message.get_path() or "").startswith("/org/changemaker/ccp1"):
            self.signals.append([message.get_member(), message.get_path(), plain(message.get_args_list())])
            return dbus.lowlevel.HANDLER_RESULT_HANDLED
        return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED

    @staticmethod
    def say(answer):
        print(json.dumps(answer), flush=True)

    def on_reply(self, message):
        if isinstance(message, dbus.lowlevel.ErrorMessage):
            self.say({"error": message.get_error_name(), "message": plain((message.get_args_list() or [""])[0])})
        else:
            values = plain(message.get_args_list())
            self.say({"value": values[0] if len(values) == 1 else values})

    def on_line(self, _fd, _condition):
        line = sys.stdin.readline()
        if not line:
            self.loop.quit()
            return False
        order = json.loads(line)
        if "signals" in order:
            self.say(self.signals)
            self.signals = []
            return True
        if "repeat" in order:
            self.repeat(order, order["repeat"])
        else:
            self.bus.send_message_with_reply(self.message(order), self.on_reply, 60)
        return True

    @staticmethod
    def message(order):
        message = dbus.lowlevel.MethodCallMessage(NAME, order["path"], order["interface"], order["member"])
        if order.get("interactive"):
            message.set_allow_interactive_authorization(True)
        message.append(*order["args"], signature=order["signature"])
        return message

    def repeat(self, order, n):
        counts = {}

        def on_reply(message):
            name = message.get_error_name() if isinstance(message, dbus.lowlevel.ErrorMessage) else ""
            counts[name] = counts.get(name, 0) + 1
            if sum(counts.values()) == n:
                self.say({"value": counts})

        for _ in range(n):
            self.bus.send_message_with_reply(self.message(order), on_reply, 60)


person = Person()
print(json.dumps(person.bus.get_unique_name()), flush=True)
person.loop.run()
