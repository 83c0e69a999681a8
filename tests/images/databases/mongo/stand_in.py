# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stands in for MongoDB and its tools, which Debian has not: stand_in.py PROGRAM ARGUMENT…

The tools have the options that the documentation of MongoDB's has, as far as they are used: passwords come from a file that --config
names, never from the arguments; archives have the format that is specified beside their source. What the "server" keeps is a file of BSON
documents for each collection. `insert DATABASE COLLECTION [NUMBER TEXT]` puts a document into one, `list DATABASE` prints all."""

import argparse
import os
import pathlib
import random
import re
import signal
import struct
import sys
import time

DATA = pathlib.Path('/data/db')
MAGIC, STOP = struct.pack('<I', 0x8199E26D), b'\xff' * 4


def bson(document):
    body = b''
    for key, value in document.items():
        kind, data = {
            bool: lambda v: (b'\x08', bytes([v])),
            int: lambda v: (b'\x12', struct.pack('<Q', v)),
            str: lambda v: (b'\x02', struct.pack('<i', len(v.encode()) + 1) + v.encode() + b'\0'),
        }[type(value)](value)
        body += kind + key.encode() + b'\0' + data
    return struct.pack('<i', len(body) + 5) + body + b'\0'


def text_of(document, key):
    """A text of a document."""
    at = document.index(b'\x02' + key.encode() + b'\0') + len(key) + 2
    size = struct.unpack_from('<i', document, at)[0]
    return document[at + 4:at + 3 + size].decode()


def documents(data):
    while data:
        size = struct.unpack_from('<i', data)[0]
        yield data[:size]
        data = data[size:]


def crc64(data):
    """ECMA's, as Go computes it."""
    crc = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xC96C5795D7870F42 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFFFFFFFFFF


def options(program, argv, *more):
    parser = argparse.ArgumentParser(program, allow_abbrev=False)
    for name in ('--config', '--username', '--authenticationDatabase', *more):
        parser.add_argument(name)
    parser.add_argument('--archive', action='store_true', required=True)
    if program == 'mongorestore':
        parser.add_argument('--dryRun', action='store_true')
        parser.add_argument('--drop', action='store_true')
    o = parser.parse_args(argv)
    password = ''
    if o.config:
        given = re.fullmatch(r'password: "([^"\\]*)"\s*', pathlib.Path(o.config).read_text())
        password = given.group(1) if given else sys.exit('Failed: error parsing config file')
    if (o.username, password) != tuple((DATA / 'user').read_text().split(':', 1)):
        sys.exit(f"{program}: Failed: can't create session: could not connect to server: auth error: sasl conversation error: "
                 'unable to authenticate using mechanism "SCRAM-SHA-256": (AuthenticationFailed) Authentication failed.')
    return o


def mongod(argv):
    if argv == ['--version']:
        sys.exit(print('db version v7.0.5\nBuild Info: {\n    "version": "7.0.5"\n}'))
    if not (DATA / 'user').exists():
        (DATA / 'user').write_text(f'{os.environ["MONGO_INITDB_ROOT_USERNAME"]}:{os.environ["MONGO_INITDB_ROOT_PASSWORD"]}')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    pathlib.Path('/run/mongod.up').touch()
    while True:
        time.sleep(60)


def mongosh(argv):
    if argv[:2] != ['--quiet', '--host'] or argv[2] in ('127.0.0.1', 'localhost') or not pathlib.Path('/run/mongod.up').exists():
        sys.exit('MongoNetworkError: connect ECONNREFUSED')
    print(1)


def mongodump(argv):
    o = options('mongodump', argv, '--db')
    out = sys.stdout.buffer
    collections = {path.name.removesuffix('.bson').split('.', 1)[1]: list(documents(path.read_bytes())) for path in DATA.glob(f'{o.db}.*.bson')}
    out.write(MAGIC + bson({'concurrent_collections': 4, 'version': '0.1', 'server_version': '7.0.0', 'tool_version': '100.9.0'}))
    for name, all in collections.items():
        metadata = '{"indexes":[],"uuid":"%032x","collectionName":"%s","type":"collection"}' % (random.getrandbits(128), name)
        out.write(bson({'db': o.db, 'collection': name, 'metadata': metadata, 'size': sum(map(len, all)), 'type': 'collection'}))
    out.write(STOP)
    # In parts, and those of the collections by turns.
    for part in (0, 1):
        for name, all in collections.items():
            some = all[part::2]
            if some:
                out.write(bson({'db': o.db, 'collection': name, 'EOF': False, 'CRC': 0}) + b''.join(some) + STOP)
    for name, all in collections.items():
        out.write(bson({'db': o.db, 'collection': name, 'EOF': True, 'CRC': crc64(b''.join(all[0::2] + all[1::2]))}) + STOP)


def read_document(stream):
    """None is the end of a list."""
    size = stream.read(4)
    if size == STOP:
        return None
    if len(size) < 4:
        raise EOFError
    return size + stream.read(struct.unpack('<i', size)[0] - 4)


def read_list(stream):
    found = []
    while (document := read_document(stream)) is not None:
        found.append(document)
    return found


def mongorestore(argv):
    o = options('mongorestore', argv)
    stream = sys.stdin.buffer
    if stream.read(4) != MAGIC:
        sys.exit('Failed: stream or file does not appear to be a mongodump archive')
    prelude = read_list(stream)
    if o.dryRun:
        print('dry run completed', file=sys.stderr)
        return
    collections = {(text_of(d, 'db'), text_of(d, 'collection')): [] for d in prelude[1:]}
    ended = set()
    while True:
        try:
            header, *some = read_list(stream)
        except EOFError:
            break
        key = text_of(header, 'db'), text_of(header, 'collection')
        collections[key] += some
        if b'\x08EOF\0\x01' in header:
            if struct.unpack('<Q', header[-9:-1])[0] != crc64(b''.join(collections[key])):
                sys.exit('Failed: CRC mismatch')
            ended.add(key)
    if ended != set(collections):
        sys.exit('Failed: archive io error: EOF')
    for (database, name), all in collections.items():
        path = DATA / f'{database}.{name}.bson'
        former = b'' if o.drop or not path.exists() else path.read_bytes()
        path.write_bytes(former + b''.join(reversed(all)))


def insert(argv):
    database, collection, *document = argv
    with open(DATA / f'{database}.{collection}.bson', 'ab') as file:
        file.write(bson({'_id': int(document[0]), 'text': document[1]}) if document else b'')


def list_all(argv):
    for path in sorted(DATA.glob(f'{argv[0]}.*.bson')):
        print(path.name, sorted(documents(path.read_bytes())))


PROGRAMS = {'mongod': mongod, 'mongosh': mongosh, 'mongodump': mongodump, 'mongorestore': mongorestore, 'insert': insert, 'list': list_all}
PROGRAMS[sys.argv[1]](sys.argv[2:])
