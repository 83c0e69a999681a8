"""Applies each migration once, makes the first administrator, counts the boots."""

import hashlib
import os
import pathlib
import re

from store import psql

LOCK = 'SELECT pg_advisory_xact_lock(4000);'


def migrate():
    psql(f'{LOCK} CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());')
    for file in sorted(pathlib.Path('migrations').glob('*.sql')):
        if psql(f'SELECT count(*) FROM migrations WHERE name = \'{file.stem}\'') == '0':
            psql(f"{LOCK} {file.read_text()} INSERT INTO migrations (name) VALUES ('{file.stem}');")
            print(f'applied {file.stem}')


def seed():
    password = os.environ['INITIAL_ADMIN_PASSWORD']
    if len(password) < 12 or not all(re.search(kind, password) for kind in ('[A-Z]', '[a-z]', '[0-9]')):
        raise SystemExit('INITIAL_ADMIN_PASSWORD needs 12 characters, with capitals, small letters and digits')
    salt = os.urandom(16)
    hashed = salt.hex() + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1).hex()
    psql("INSERT INTO users VALUES (:'email', :'hash', 'SUPER_ADMIN') ON CONFLICT DO NOTHING; INSERT INTO boots DEFAULT VALUES;",
         email=os.environ['INITIAL_ADMIN_EMAIL'], hash=hashed)


if __name__ == '__main__':
    if len(bytes.fromhex(os.environ['ENCRYPTION_KEY'])) != 32:
        raise SystemExit('ENCRYPTION_KEY needs 32 bytes in hexadecimal')
    migrate()
    seed()
