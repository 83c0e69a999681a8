# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many clients at once, blueprints by content, and what is on the bus and in the records, as host tests need them."""

import io
import json
import pathlib
import subprocess
import tarfile
import threading

NAME = 'org.changemaker.ccp1'
ROOT = '/org/changemaker/ccp1'
BLUEPRINTS = pathlib.Path(__file__).parents[1] / 'blueprints'

# Starts all commands, and only then waits for them.
AT_ONCE = '''
import json, subprocess, sys
pipe = subprocess.PIPE
running = [subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) for argv in json.load(sys.stdin)]
json.dump([[*process.communicate(), process.returncode] for process in running], sys.stdout)
'''


def put_blueprints(server, *names, **own):
    """Those of tests/host/blueprints by name; others as name={file: content}."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode='w') as archive:
        for name in names:
            archive.add(BLUEPRINTS / name, name)
        for name, files in own.items():
            for path, content in files.items():
                member = tarfile.TarInfo(f'{name.replace("_", "-")}/{path}')
                member.size = len(content.encode())
                archive.addfile(member, io.BytesIO(content.encode()))
    server.run(['sh', '-euc', 'mkdir -p /etc/ccpd/templates && tar -xC /etc/ccpd/templates --no-same-owner && '
                'systemctl reload ccpd'], input=data.getvalue(), text=False)


def at_once(server, commands, timeout=120):
    """Runs commands in the server at the same time; returns (stdout, stderr, status) of each."""
    output = server.run(['python3', '-c', AT_ONCE], input=json.dumps([list(map(str, argv)) for argv in commands]), timeout=timeout)
    return [tuple(result) for result in json.loads(output.stdout)]


def create_call(slug, blueprint, domain=None, call='CreateInstance'):
    """The argv of a client that creates an instance and does not wait for the job."""
    return ['busctl', '--timeout=300', '--json=short', 'call', NAME, ROOT, f'{NAME}.Manager', call, 'ssa{sv}', slug, blueprint, '1', 'domain', 's',
            domain or f'{slug}.example.org']


def query(server, sql):
    """What the records say. Debian's psql is a script that looks for the cluster first: many tests ask many times."""
    script = ('cd /; exec setpriv --reuid=postgres --regid=postgres --clear-groups '
              '/usr/lib/postgresql/*/bin/psql -h /var/run/postgresql -tAX -d ccpd -c "$0"')
    return server.run(['sh', '-euc', script, sql], timeout=30).stdout.strip()


def get(server, path, interface, name):
    """A property, from the bus."""
    output = server.run(['busctl', '--json=short', 'get-property', NAME, path, f'{NAME}.{interface}', name]).stdout
    return json.loads(output)['data']


def managed(server):
    """What GetManagedObjects returns, by path."""
    output = server.run(['busctl', '--json=short', 'call', NAME, ROOT, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects'])
    return json.loads(output.stdout)['data'][0]


def answers(server):
    return server.ccpctl('list', '--quiet', check=False).returncode == 0


def wait_job(server, slug, timeout=240):
    """Waits for the end of the last job of an instance; returns its row."""
    def row():
        text = query(server, f"SELECT row_to_json(j) FROM jobs j WHERE slug = '{slug}' ORDER BY id DESC LIMIT 1")
        found = json.loads(text)
        return found if found['finished_at'] else None
    return server.wait(row, timeout, f'the end of the job of {slug}', interval=0.3)


def main_pid(server, unit):
    return server.sh(f'systemctl show -P MainPID {unit}')


class Monitor:
    """What goes over the bus from and to ccpd while the block runs, as dicts of busctl."""

    def __init__(self, server):
        self.server = server
        self.messages = []
        self.marks = 0

    def __enter__(self):
        self.process = self.server.start(['busctl', 'monitor', '--json=short', NAME], stderr=subprocess.DEVNULL)
        self.thread = threading.Thread(target=self.read)
        self.thread.start()
        # It does not say when it has become a monitor.
        self.server.wait(lambda: self.mark() and self.marks, what='the monitor')
        # Signals go to subscribers only: this is one, and what it gets is looked at.
        self.follower = self.server.start(['ccpctl', 'audit', '--follow'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.subscriber = self.server.wait(lambda: next(
            (m['sender'] for m in list(self.messages) if m.get('member') == 'Subscribe'), None), what='the subscriber')
        self.messages.clear()
        return self

    def __exit__(self, *_):
        # All that went before precedes it.
        before = self.marks
        try:
            self.mark()
            self.server.wait(lambda: self.marks > before, what='the last message')
        finally:
            self.follower.kill()
            self.follower.wait()
            self.process.kill()
            self.thread.join()
            self.process.wait()

    def mark(self):
        return self.server.run(['busctl', 'call', NAME, ROOT, 'org.freedesktop.DBus.Peer', 'GetMachineId'])

    def read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            if message.get('member') == 'GetMachineId':
                self.marks += 1
            else:
                self.messages.append(message)

    def signals(self, member, path=None):
        return [m for m in self.messages if m['type'] == 'signal' and m['member'] == member and path in (None, m['path'])
                and m.get('destination') == self.subscriber]

    def changes(self, path, name):
        """The values of a property, in turn, each with the time that it was announced at (µs)."""
        found = []
        for message in self.signals('PropertiesChanged', path):
            value = message['payload']['data'][1].get(name)
            if value is not None and (not found or found[-1][1] != value['data']):
                found.append((message['timestamp-realtime'], value['data']))
        return found
