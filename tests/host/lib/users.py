# SPDX-License-Identifier: LGPL-2.1-or-later
"""Users of a server, and what they may: each with a connection to the bus."""

import json
import pathlib
import shlex
import subprocess

NAME = 'org.changemaker.ccp1'
ROOT = '/org/changemaker/ccp1'
CLIENT = (pathlib.Path(__file__).parent / 'bus_client.py').read_text()
# Reads the program before its input.
START = 'import sys; exec(sys.stdin.read(int(sys.argv[1])))'


class BusError(Exception):
    """A call was answered by an error. `short` is the last part of its name."""

    def __init__(self, name, message):
        self.name, self.short, self.message = name, name.rpartition('.')[2], message
        super().__init__(f'{name}: {message}')


class Caller:
    """A user's connection to the bus, from a process of the server."""

    def __init__(self, server, user=None):
        self.user = user or 'root'
        self.process = server.start(['python3', '-c', START, len(CLIENT)], user, stdin=subprocess.PIPE)
        self.process.stdin.write(CLIENT)
        self.name = self.request({'name': None})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def request(self, request):
        try:
            self.process.stdin.write(json.dumps(request) + '\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        assert line, f'the connection of {self.user} ended: {self.process.stderr.read()}'
        return json.loads(line)

    def call(self, path, interface, member, signature='', *arguments, destination=NAME, interactive=False, timeout=25):
        """The values of the reply. An interface without a dot is one of ours."""
        interface = interface if '.' in interface else f'{NAME}.{interface}'
        answer = self.request({'call': [destination, path, interface, member, signature, arguments], 'interactive': interactive,
                               'timeout': timeout})
        if 'error' in answer:
            raise BusError(answer['error'], answer['message'])
        return answer['reply']

    def manager(self, member, signature='', *arguments, **options):
        """The value of the reply, or the list of its values if it has more or fewer than one."""
        reply = self.call(ROOT, 'Manager', member, signature, *arguments, **options)
        return reply[0] if len(reply) == 1 else reply

    def instance(self, slug, member, signature='', *arguments, **options):
        reply = self.call(instance_path(slug), 'Instance', member, signature, *arguments, **options)
        return reply[0] if len(reply) == 1 else reply

    def get(self, path, interface, name):
        interface = interface if '.' in interface else f'{NAME}.{interface}'
        return self.call(path, 'org.freedesktop.DBus.Properties', 'Get', 'ss', interface, name)[0]

    def error(self, *arguments, **options):
        """The error that a call is answered by, as BusError; None if it succeeds."""
        try:
            self.call(*arguments, **options)
        except BusError as error:
            return error
        return None

    def signals(self, seconds=1.0):
        """What came until now and comes within that time: lists of sender, path, interface, member and arguments."""
        return [signal for signal in self.request({'signals': seconds}) if not signal[2].endswith('.DBus')]


def instance_path(slug):
    return f'{ROOT}/instance/' + ''.join(c if c.isalnum() and (n or not c.isdigit()) else f'_{ord(c):02x}' for n, c in enumerate(slug))


def add_user(server, name, groups=(), password=None, uid=None):
    server.run(['useradd', '--create-home', '--shell', '/bin/sh', *(['--groups', ','.join(groups)] if groups else []),
                *(['--uid', uid] if uid else []), name])
    if password:
        server.run(['chpasswd'], input=f'{name}:{password}\n')


def enable_ssh(server, *users):
    """Lets root of the server log in there, as itself and as these."""
    server.run(['sh', '-euc', '''
        mkdir -p /run/sshd /root/.ssh
        ssh-keygen -A >/dev/null
        ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
        for user in root "$@"; do
            home=$(getent passwd "$user" | cut -d: -f6)
            install -d -m 0700 -o "$user" "$home/.ssh"
            install -m 0600 -o "$user" /root/.ssh/id_ed25519.pub "$home/.ssh/authorized_keys"
        done
        systemctl start ssh
        ssh-keyscan 127.0.0.1 >/root/.ssh/known_hosts 2>/dev/null''', 'sh', *users])


def by_ssh(server, user, *argv, **options):
    """Runs a command in a new session of the user, which comes from 127.0.0.1."""
    return server.run(['ssh', f'{user}@127.0.0.1', shlex.join(argv)], **options)


def grant(server, role, user=None, group=None, instance=None):
    server.ccpctl('role', 'grant', role, *whom(user, group, instance), '--quiet')


def revoke(server, user=None, group=None, instance=None):
    server.ccpctl('role', 'revoke', *whom(user, group, instance), '--quiet')


def whom(user, group, instance):
    return [*(['--user', user] if user else ['--group', group]), *(['--instance', instance] if instance else [])]
