# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers by the hundred, straight through the Engine's API, and what becomes of them. Runs outside of the server, whose root
is the first argument: the small Python in it has no json.

make COUNT IMAGE            reads lines "SLUG UUID"; makes and starts COUNT containers of each, which sleep
deaths COUNT                kills one of them at a time and starts it again; a line each: milliseconds from the Engine's own event, and
                            from the call that kills, to the signal of ccpd
storm SOCKET RATE SECONDS   stands for the Engine: that many events a second, of the containers that the real one has"""

import http.client
import json
import os
import socket
import sys
import threading
import time

from bus import CCP, Bus

ROOT = sys.argv[1]
DOCKER = f'{ROOT}/run/docker.sock'


class Engine(http.client.HTTPConnection):
    def __init__(self):
        super().__init__('localhost', timeout=120)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(DOCKER)

    def call(self, method, path, body=None):
        self.request(method, f'/v1.44{path}', json.dumps(body) if body is not None else None, {'Content-Type': 'application/json'})
        answer = self.getresponse()
        data = answer.read()
        assert answer.status < 400, (path, answer.status, data)
        return json.loads(data) if data else None


def ours(engine):
    return engine.call('GET', '/containers/json?all=1&filters={"label":["ccp.instance"]}')


def make(count, image):
    engine = Engine()
    for line in sys.stdin:
        slug, uuid = line.split()
        for n in range(int(count)):
            service = f'service{n}'
            made = engine.call('POST', f'/containers/create?name={slug}_ccp-{service}-1', {
                'Image': image, 'Entrypoint': ['sleep'], 'Cmd': ['1000000'], 'HostConfig': {'NetworkMode': 'none', 'Init': True},
                'Labels': {'ccp.instance': slug, 'ccp.id': uuid, 'ccp.service': service, 'ccp.revision': '1',
                           'com.docker.compose.project': f'{slug}_ccp', 'com.docker.compose.service': service,
                           'com.docker.compose.oneoff': 'False', 'com.docker.compose.container-number': '1',
                           'com.docker.compose.config-hash': '0' * 64}})
            engine.call('POST', f'/containers/{made["Id"]}/start')


class Deaths(threading.Thread):
    """The Engine's own times of its events."""

    def __init__(self):
        super().__init__(daemon=True)
        self.times = {}
        engine = Engine()
        engine.request('GET', '/v1.44/events?filters={"type":["container"],"event":["die"]}')
        self.answer = engine.getresponse()
        self.start()

    def run(self):
        while line := self.answer.readline():
            event = json.loads(line)
            self.times[event['Actor']['ID']] = event['timeNano']


def deaths(count):
    engine, events, bus = Engine(), Deaths(), Bus(ROOT)
    containers = sorted(ours(engine), key=lambda c: c['Names'])
    bus.call(*CCP, 'Subscribe')
    for n in range(int(count)):
        victim = containers[n * 7 % len(containers)]['Id']
        # The signal names the container; those that tell of its start are over by then.
        time.sleep(0.2)
        bus.socket.setblocking(False)
        try:
            while bus.socket.recv(1 << 20):
                pass
        except BlockingIOError:
            pass
        bus.socket.setblocking(True)
        bus.buffer.clear()
        killed = time.time_ns()
        threading.Thread(target=Engine().call, args=('POST', f'/containers/{victim}/kill')).start()
        while b'exited' not in bus.buffer or victim.encode() not in bus.buffer:
            bus.buffer += bus.socket.recv(1 << 20)
        seen = time.time_ns()
        while victim not in events.times:
            time.sleep(0.001)
        print(f'{(seen - events.times.pop(victim)) / 1e6:.3f} {(seen - killed) / 1e6:.3f}')
        bus.buffer.clear()
        engine.call('POST', f'/containers/{victim}/start')


def storm(path, rate, seconds):
    containers = ours(Engine())
    listing = json.dumps(containers).encode()
    per_write = int(rate) // 100
    # All of them die, one after the other, then all start, and so on.
    events = [json.dumps({'Type': 'container', 'Action': action, 'Actor': {
        'ID': container['Id'], 'Attributes': {**container['Labels'], 'exitCode': '137', 'image': 'busybox'}},
        'timeNano': time.time_ns()}).encode() + b'\n' for action in ('die', 'start') for container in containers]
    blocks = [b''.join(events[n:n + per_write]) for n in range(0, len(events), per_write)]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(ROOT + path)
    os.chmod(ROOT + path, 0o666)
    listener.listen()

    # Somebody who is told of it all.
    bus, signals = Bus(ROOT), [0]
    bus.call(*CCP, 'Subscribe')

    def count():
        while True:
            signals[0] += bus.receive()[0] == 4

    threading.Thread(target=count, daemon=True).start()

    def answer(connection):
        head = b'HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Type: application/json\r\n'
        while data := connection.recv(65536):
            if b' /_ping' in data:
                connection.sendall(head + b'Content-Length: 2\r\n\r\nOK')
            elif b'/containers/json' in data:
                connection.sendall(head + b'Content-Length: %d\r\n\r\n' % len(listing) + listing)
            elif b'/events' in data:
                connection.sendall(head + b'Transfer-Encoding: chunked\r\n\r\n')
                begin, sent = time.monotonic(), 0
                while (passed := time.monotonic() - begin) < float(seconds):
                    if sent < passed * 100:
                        block = blocks[sent % len(blocks)]
                        connection.sendall(b'%x\r\n' % len(block) + block + b'\r\n')
                        sent += 1
                    else:
                        time.sleep(0.002)
                print(sent * per_write, signals[0], flush=True)
                # Silence, until who listens goes.
                connection.recv(1)
                return

    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


if __name__ == '__main__':
    {'make': make, 'deaths': deaths, 'storm': storm}[sys.argv[2]](*sys.argv[3:])
