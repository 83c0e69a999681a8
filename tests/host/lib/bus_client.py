# SPDX-License-Identifier: LGPL-2.1-or-later
"""A connection to the system bus that does what it is told to, for callers of any user: users.py runs it in the server, where there
is no library for it. One request in JSON a line on standard input, one answer a line on standard output:
    {"call": [destination, path, interface, member, signature, arguments], "interactive": false, "timeout": 25}
        -> {"reply": […]}, {"error": name, "message": text}
    {"signals": seconds}  what has come so far and comes within that time -> [[sender, path, interface, member, arguments], …]
    {"name": null}        -> the unique name
    {"signal": [destination or null, path, interface, member, signature, arguments]} -> true
A variant is [signature, value] on its way out and the mere value on its way in; a dict of text is an object, any other a list of
pairs; a descriptor is what is in its memory file: {"content": text, "seals": bits, "offset": bytes}, null for any other."""

import fcntl
import json
import os
import socket
import struct
import sys
import time

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
ALLOW_INTERACTIVE = 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE, UNIX_FDS = range(1, 10)
HEADER = {PATH: 'o', INTERFACE: 's', MEMBER: 's', ERROR_NAME: 's', REPLY_SERIAL: 'u', DESTINATION: 's', SENDER: 's',
          SIGNATURE: 'g', UNIX_FDS: 'u'}
FIXED = {'y': 'B', 'b': 'I', 'n': 'h', 'q': 'H', 'i': 'i', 'u': 'I', 'x': 'q', 't': 'Q', 'd': 'd', 'h': 'I'}
ALIGNMENT = {'y': 1, 'n': 2, 'q': 2, 'x': 8, 't': 8, 'd': 8, 'g': 1, 'v': 1, '(': 8, '{': 8}
MESSAGE_MAX = 128 * 1024 * 1024


def split(signature):
    """The complete types that a signature is made of."""
    while signature:
        end, depth = 0, 0
        while True:
            depth += {'(': 1, '{': 1, ')': -1, '}': -1}.get(signature[end], 0)
            end += 1
            if depth == 0 and signature[end - 1] != 'a':
                break
        yield signature[:end]
        signature = signature[end:]


def pad(data, alignment):
    data.extend(bytes(-len(data) % alignment))


def write(data, kind, value):
    pad(data, ALIGNMENT.get(kind[0], 4))
    if kind in FIXED:
        data.extend(struct.pack(f'<{FIXED[kind]}', value))
    elif kind in 'so':
        text = value.encode()
        data.extend(struct.pack('<I', len(text)) + text + b'\0')
    elif kind == 'g':
        data.extend(bytes([len(value)]) + value.encode() + b'\0')
    elif kind == 'v':
        write(data, 'g', value[0])
        write(data, *value)
    elif kind[0] == 'a':
        at = len(data)
        data.extend(bytes(4))
        pad(data, ALIGNMENT.get(kind[1], 4))
        start = len(data)
        for item in value.items() if isinstance(value, dict) else value:
            write(data, kind[1:], item)
        data[at:at + 4] = struct.pack('<I', len(data) - start)
    else:
        for part, item in zip(split(kind[1:-1]), value, strict=True):
            write(data, part, item)


class Reader:
    def __init__(self, data, offset=0, fds=()):
        self.data, self.offset, self.fds = data, offset, fds

    def align(self, alignment):
        self.offset += -self.offset % alignment

    def take(self, size):
        self.offset += size
        return self.data[self.offset - size:self.offset]

    def read(self, kind):
        self.align(ALIGNMENT.get(kind[0], 4))
        if kind == 'h':
            return content(self.fds[self.read('u')])
        if kind in FIXED:
            value, = struct.unpack(f'<{FIXED[kind]}', self.take(struct.calcsize(f'<{FIXED[kind]}')))
            return bool(value) if kind == 'b' else value
        if kind in 'so':
            return self.take(self.read('u') + 1)[:-1].decode()
        if kind == 'g':
            return self.take(self.read('y') + 1)[:-1].decode()
        if kind == 'v':
            return self.read(self.read('g'))
        if kind[0] == 'a':
            size = self.read('u')
            self.align(ALIGNMENT.get(kind[1], 4))
            end, items = self.offset + size, []
            while self.offset < end:
                items.append(self.read(kind[1:]))
            return dict(items) if kind.startswith(('a{s', 'a{o')) else items
        return [self.read(part) for part in split(kind[1:-1])]


def content(fd):
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        return None
    return {'content': os.pread(fd, 1 << 20, 0).decode('latin1'), 'seals': seals, 'offset': os.lseek(fd, 0, os.SEEK_CUR)}


class Bus:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect('/run/dbus/system_bus_socket')
        self.buffer, self.fds, self.serial, self.signals = b'', [], 0, []
        self.socket.sendall(b'\0')
        for line in (f'AUTH EXTERNAL {str(os.getuid()).encode().hex()}', 'NEGOTIATE_UNIX_FD'):
            self.socket.sendall(f'{line}\r\n'.encode())
            answer = self.socket.recv(4096)
            if not answer.startswith((b'OK', b'AGREE')):
                sys.exit(f'The bus answers to {line}: {answer}')
        self.socket.sendall(b'BEGIN\r\n')
        self.name = self.driver('Hello')[0]
        # All that comes: what is not meant for this one must not come.
        self.driver('AddMatch', 's', "type='signal'")

    def driver(self, member, signature='', *arguments):
        name = 'org.freedesktop.DBus'
        answer = self.call([name, '/org/freedesktop/DBus', name, member, signature, arguments])
        if 'reply' not in answer:
            sys.exit(f'The bus answers to {member}: {answer}')
        return answer['reply']

    def send(self, kind, flags, fields, signature, arguments):
        self.serial += 1
        body, message = bytearray(), bytearray()
        write(body, f'({signature})', arguments)
        fields = {key: value for key, value in fields.items() if value} | ({SIGNATURE: signature} if signature else {})
        write(message, '(yyyyuua(yv))', [ord('l'), kind, flags, 1, len(body), self.serial,
                                         [[key, [HEADER[key], value]] for key, value in fields.items()]])
        pad(message, 8)
        self.socket.sendall(message + body)
        return self.serial

    def call(self, request, interactive=False, timeout=25):
        destination, path, interface, member, signature, arguments = request
        fields = {PATH: path, INTERFACE: interface, MEMBER: member, DESTINATION: destination}
        serial = self.send(CALL, ALLOW_INTERACTIVE if interactive else 0, fields, signature, arguments)
        end = time.monotonic() + timeout
        while message := self.receive(end):
            kind, fields, body = message
            if fields.get(REPLY_SERIAL) != serial:
                continue
            if kind == RETURN:
                return {'reply': body}
            return {'error': fields[ERROR_NAME], 'message': body[0] if body else ''}
        return {'error': 'timeout', 'message': f'no answer within {timeout} s'}

    def receive(self, end):
        """The next message, or None when the time is over."""
        while not (message := self.take()):
            self.socket.settimeout(max(end - time.monotonic(), 0.001))
            try:
                data, fds, _, _ = socket.recv_fds(self.socket, 65536, 16)
            except TimeoutError:
                return None
            if not data:
                sys.exit('The bus closed the connection.')
            self.buffer += data
            self.fds += fds
        return message

    def take(self):
        """The first message of what was received, if all of it is there."""
        if len(self.buffer) < 16:
            return None
        order, kind, _, _, size, _, fields_size = struct.unpack_from('<BBBBIII', self.buffer)
        start = 16 + fields_size + -fields_size % 8
        if order != ord('l') or start + size > MESSAGE_MAX:
            sys.exit('The bus sent what this client does not understand.')
        if len(self.buffer) < start + size:
            return None
        fields = dict(Reader(self.buffer, 12).read('a(yv)'))
        n_fds = fields.get(UNIX_FDS, 0)
        fds, self.fds = self.fds[:n_fds], self.fds[n_fds:]
        body = Reader(self.buffer[start:start + size], 0, fds).read(f'({fields.get(SIGNATURE, "")})')
        for fd in fds:
            os.close(fd)
        self.buffer = self.buffer[start + size:]
        if kind == SIGNAL:
            self.signals.append([fields.get(key) for key in (SENDER, PATH, INTERFACE, MEMBER)] + [body])
        return kind, fields, body

    def answer(self, request):
        if 'call' in request:
            return self.call(request['call'], request.get('interactive', False), request.get('timeout', 25))
        if 'signals' in request:
            end = time.monotonic() + request['signals']
            while self.receive(end):
                pass
            found, self.signals = self.signals, []
            return found
        if 'signal' in request:
            destination, path, interface, member, signature, arguments = request['signal']
            fields = {PATH: path, INTERFACE: interface, MEMBER: member, DESTINATION: destination}
            self.send(SIGNAL, 0, fields, signature, arguments)
            return True
        return self.name


def main():
    bus = Bus()
    for line in sys.stdin:
        print(json.dumps(bus.answer(json.loads(line))), flush=True)


main()
