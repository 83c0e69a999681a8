# SPDX-License-Identifier: LGPL-2.1-or-later
"""A storage of backups in a server, and ccpd that copies to it."""

import json
import pathlib

PROGRAM = (pathlib.Path(__file__).parent / 's3_server.py').read_text()
FOLDER, PORT = '/srv/s3', 8333
ENDPOINT = f'http://127.0.0.1:{PORT}'
ACCESS_KEY, SECRET_KEY = 'ACCESSKEYOFCCPD', 'secret/key+of/ccpd'
PREFIX = 'fleet'


class Storage:
    def __init__(self, server):
        self.server = server
        self.process = None
        server.write(f'{FOLDER}/s3_server.py', PROGRAM)
        server.write(f'{FOLDER}/requests', '')
        self.mode()

    def up(self):
        self.process = self.server.start(['python3', f'{FOLDER}/s3_server.py', FOLDER, PORT])
        self.server.wait(lambda: f':{PORT} ' in self.server.sh('ss -ltn'), what='the storage')

    def down(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.server.wait(lambda: f':{PORT} ' not in self.server.sh('ss -ltn'), what='the end of the storage')

    def mode(self, **mode):
        # In one step: it reads this with each request.
        self.server.write(f'{FOLDER}/mode.new', json.dumps(mode))
        self.server.sh(f'mv {FOLDER}/mode.new {FOLDER}/mode')

    def afresh(self, **mode):
        """A mode by which requests are counted from now on. What was begun in parts is forgotten."""
        self.down()
        self.mode(**mode)
        self.up()

    def forget(self):
        """The requests up to now."""
        self.server.write(f'{FOLDER}/requests', '')

    def requests(self, method):
        return [line for line in self.server.file(f'{FOLDER}/requests').splitlines() if line.startswith(method + ' ')]

    def accepted(self, method):
        """Those that did something."""
        return [line for line in self.requests(method) if line.rpartition(' ')[2].startswith('2')]

    def keys(self):
        """Of all objects, without the prefix."""
        names = self.server.sh(f'ls {FOLDER}/objects').split()
        return sorted(name.replace(':', '/').removeprefix(PREFIX + '/') for name in names)

    def uploads(self):
        """The keys of those in parts that were begun and not ended."""
        return self.server.file(f'{FOLDER}/uploads').split()

    def file(self, key):
        return f'{FOLDER}/objects/' + f'{PREFIX}/{key}'.replace('/', ':')

    def set(self, *options, access=ACCESS_KEY, secret=SECRET_KEY, **more):
        """Names it to ccpd."""
        return self.server.ccpctl('storage', 'set', f'--endpoint={ENDPOINT}', '--bucket=backups', f'--prefix={PREFIX}', '--path-style',
                                  '--credentials-file=-', '--quiet', *options, input=f'{access}\n{secret}\n', **more)
