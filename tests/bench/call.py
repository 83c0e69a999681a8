# SPDX-License-Identifier: LGPL-2.1-or-later
"""call.py COUNT: calls GetManagedObjects of ccpd over the system bus, and prints how many milliseconds each call took until its
whole answer was there. The answer is not parsed: busctl takes longer for that than ccpd for giving it."""

import socket
import struct
import sys
import time

BUS = ('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'Hello')
CALL = ('org.changemaker.ccp1', '/org/changemaker/ccp1', 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')
# Field, type and place in the tuples above.
FIELDS = ((1, 'o', 1), (2, 's', 2), (3, 's', 3), (6, 's', 0))


def message(serial, call):
    fields = b''
    for code, kind, place in FIELDS:
        fields += b'\0' * (-len(fields) % 8)
        text = call[place].encode()
        fields += struct.pack('<BBsBI', code, 1, kind.encode(), 0, len(text)) + text + b'\0'
    head = struct.pack('<cBBBIII', b'l', 1, 0, 1, 0, serial, len(fields)) + fields
    return head + b'\0' * (-len(head) % 8)


def read(stream, size):
    data = bytearray()
    while len(data) < size:
        part = stream.recv(min(size - len(data), 1 << 20))
        if not part:
            sys.exit('the bus closed the connection')
        data += part
    return data


def answer(stream, serial):
    """Reads messages up to the answer to that call; returns its size."""
    while True:
        head = read(stream, 16)
        _, kind, _, _, body, _, fields = struct.unpack('<cBBBIII', head)
        rest = read(stream, fields + -fields % 8 + body)
        # REPLY_SERIAL is field 5, an unsigned number.
        place = rest.find(b'\x05\x01u\0' + struct.pack('<I', serial), 0, fields)
        if place >= 0:
            if kind != 2:
                sys.exit(f'the call failed: {bytes(rest)!r}')
            return body


def main():
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect('/run/dbus/system_bus_socket')
        stream.sendall(b'\0AUTH EXTERNAL 30\r\nBEGIN\r\n')
        while not read(stream, 1) == b'\n':
            pass
        stream.sendall(message(1, BUS))
        answer(stream, 1)
        for serial in range(2, 2 + int(sys.argv[1])):
            begin = time.monotonic()
            stream.sendall(message(serial, CALL))
            size = answer(stream, serial)
            print(f'{(time.monotonic() - begin) * 1000:.3f} {size}')


main()
