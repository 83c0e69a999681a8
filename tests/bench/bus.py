# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls over the system bus with as little as possible in between: for measuring others, not ourselves. Runs in the server.

objects COUNT               milliseconds of each GetManagedObjects of ccpd, and the size of the answer, which is not parsed
latency DESTINATION PATH INTERFACE MEMBER SECONDS [ARG…]    milliseconds of each call, a line each, one call after the other
flood RATE SECONDS ARG      as many calls of GetInstance a second, that want no answer; prints how many were sent
large SECONDS               one call of 30 MB after the other
park COUNT SECONDS ARG      that many connections, each with a call that asks for a password"""

import os
import socket
import struct
import sys
import time

CCP = ('org.changemaker.ccp1', '/org/changemaker/ccp1', 'org.changemaker.ccp1.Manager')
NO_REPLY, INTERACTIVE = 1, 4


def pad_size(size, to):
    return size + -size % to


def pad(data, size):
    return data + b'\0' * (-len(data) % size)


def string(text):
    text = text.encode()
    return struct.pack('<I', len(text)) + text + b'\0'


def message(serial, destination, path, interface, member, signature='', body=b'', flags=0):
    """A method call, as the D-Bus specification lays it out, little-endian."""
    fields = b''
    for code, kind, value in ((1, 'o', path), (2, 's', interface), (3, 's', member), (6, 's', destination)):
        fields = pad(fields, 8) + bytes((code, 1)) + kind.encode() + b'\0' + string(value)
    if signature:
        fields = pad(fields, 8) + b'\x08\x01g\0' + bytes((len(signature),)) + signature.encode() + b'\0'
    head = struct.pack('<4BIII', ord('l'), 1, flags, 1, len(body), serial, len(fields))
    return pad(head + fields, 8) + body


class Bus:
    def __init__(self, root=''):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f'{root}/run/dbus/system_bus_socket')
        self.socket.sendall(b'\0AUTH EXTERNAL ' + str(os.getuid()).encode().hex().encode() + b'\r\n')
        self.buffer = bytearray()
        self.line()
        self.socket.sendall(b'BEGIN\r\n')
        self.serial = 0
        self.call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'Hello')

    def line(self):
        while b'\r\n' not in self.buffer:
            self.buffer += self.socket.recv(4096)
        line = bytes(self.buffer).split(b'\r\n', 1)[0]
        del self.buffer[:len(line) + 2]
        assert line.startswith(b'OK'), line

    def need(self, size):
        while len(self.buffer) < size:
            data = self.socket.recv(1 << 20)
            assert data, 'the bus closed the connection'
            self.buffer += data

    def receive(self):
        """Of the next message: its type, the serial of the call that it answers (REPLY_SERIAL, field 5), the size of its body."""
        self.need(16)
        kind, (body, _, fields) = self.buffer[1], struct.unpack_from('<III', self.buffer, 4)
        size = pad_size(16 + fields, 8) + body
        self.need(size)
        data = bytes(self.buffer[:pad_size(16 + fields, 8)])
        del self.buffer[:size]
        at = data.find(b'\x05\x01u\0', 16, 16 + fields)
        return kind, struct.unpack_from('<I', data, at + 4)[0] if at >= 0 else 0, body

    def send(self, *args, **kwargs):
        self.serial += 1
        self.socket.sendall(message(self.serial, *args, **kwargs))
        return self.serial

    def call(self, *args, **kwargs):
        serial = self.send(*args, **kwargs)
        while True:
            kind, answered, size = self.receive()
            if answered == serial:
                return kind, size


def objects(count):
    bus = Bus()
    for _ in range(int(count)):
        begin = time.monotonic()
        kind, size = bus.call(*CCP[:2], 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')
        assert kind == 2
        print(f'{(time.monotonic() - begin) * 1000:.3f} {size}')


def latency(destination, path, interface, member, seconds, *args):
    bus = Bus()
    body = b''
    for a in args:
        body = pad(body, 4) + string(a)
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        begin = time.monotonic()
        kind, _ = bus.call(destination, path, interface, member, 's' * len(args), body)
        print(f'{(time.monotonic() - begin) * 1000:.3f} {"ok" if kind == 2 else "error"}')
        # Below what one user may call.
        time.sleep(0.02)


def flood(rate, seconds, slug):
    bus = Bus()
    rate, sent, begin = float(rate), 0, time.monotonic()
    call = message(7, *CCP, 'GetInstance', 's', string(slug), flags=NO_REPLY)
    while (passed := time.monotonic() - begin) < float(seconds):
        due = int(rate * passed) - sent
        if due > 0:
            bus.socket.sendall(call * due)
            sent += due
        time.sleep(0.005)
    print(sent)


def large(seconds):
    end, sent = time.monotonic() + float(seconds), 0
    bus = Bus()
    while time.monotonic() < end:
        bus.call(*CCP, 'GetInstance', 's', string('x' * 30_000_000))
        sent += 1
    print(sent)


def park(count, seconds, path):
    buses = []
    for _ in range(int(count)):
        try:
            buses.append(Bus())
        except (AssertionError, OSError):
            break
    for bus in buses:
        bus.send('org.changemaker.ccp1', path, 'org.changemaker.ccp1.Instance', 'Stop', 'asa{sv}', struct.pack('<II', 0, 0),
                 flags=INTERACTIVE)
    time.sleep(float(seconds))
    print(len(buses))


if __name__ == '__main__':
    {'objects': objects, 'latency': latency, 'flood': flood, 'large': large, 'park': park}[sys.argv[1]](*sys.argv[2:])
