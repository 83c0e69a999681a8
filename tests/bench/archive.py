# SPDX-License-Identifier: LGPL-2.1-or-later
"""archive.py BUILD FOLDER: what a backup file takes to be written, verified and restored from, beside restic, borg and a pipe of
zstd and openssl, on the same data in the same run. Prints JSON: data → tool → {write, verify, restore: [seconds…], size, resident}."""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

ROUNDS = 3
SIZE = 192 << 20
BUILD, FOLDER = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
ARCHIVE, VOL = BUILD / 'tests/unit/archive/bench-archive', BUILD / 'src/volume/ccp-vol'
ENVIRONMENT = {'PATH': '/usr/bin:/bin', 'HOME': str(FOLDER), 'RESTIC_PASSWORD': 'bench', 'BORG_PASSPHRASE': 'bench', 'BENCH': 'bench',
               'BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK': 'yes', 'BORG_RELOCATED_REPO_ACCESS_IS_OK': 'yes'}
OPENSSL = 'openssl enc -aes-256-ctr -pbkdf2 -pass env:BENCH'

# A tool: how it makes what it stores into, and its three commands for a stream and for a folder. {s} is where it stores, {d} the
# data, {o} where it is restored to: a file, or an empty folder that is the current one.
TOOLS = {
    'ccpd': {
        'prepare': 'mkdir {s}',
        'stream': (f'{ARCHIVE} write {{s}}/file <{{d}}', f'{ARCHIVE} verify {{s}}/file', f'{ARCHIVE} extract {{s}}/file >{{o}}'),
        'folder': (f'{VOL} pack {{d}} | {ARCHIVE} write {{s}}/file', f'{ARCHIVE} verify {{s}}/file',
                   f'{ARCHIVE} extract {{s}}/file | {VOL} unpack {{o}}'),
    },
    'restic': {
        'prepare': 'restic -q init -r {s}',
        'stream': ('restic -q --no-cache -r {s} backup --stdin --stdin-filename data <{d}', 'restic -q --no-cache -r {s} check --read-data',
                   'restic -q --no-cache -r {s} dump latest data >{o}'),
        'folder': ('cd {d} && restic -q --no-cache -r {s} backup .', 'restic -q --no-cache -r {s} check --read-data',
                   'restic -q --no-cache -r {s} restore latest --target {o}'),
    },
    'borg': {
        'prepare': 'borg init -e repokey-blake2 {s}',
        'stream': ('borg create --compression zstd,3 {s}::x - <{d}', 'borg check --verify-data {s}', 'borg extract --stdout {s}::x >{o}'),
        'folder': ('cd {d} && borg create --compression zstd,3 {s}::x .', 'borg check --verify-data {s}',
                   'cd {o} && borg extract {s}::x'),
    },
    'zstd | openssl': {
        'prepare': 'mkdir {s}',
        'stream': (f'zstd -q -3 -T0 <{{d}} | {OPENSSL} >{{s}}/file', f'{OPENSSL} -d <{{s}}/file | zstd -q -t',
                   f'{OPENSSL} -d <{{s}}/file | zstd -q -d >{{o}}'),
        'folder': (f'tar -C {{d}} -c . | zstd -q -3 -T0 | {OPENSSL} >{{s}}/file', f'{OPENSSL} -d <{{s}}/file | zstd -q -t',
                   f'{OPENSSL} -d <{{s}}/file | zstd -q -d | tar -C {{o}} -x'),
    },
}


def make_dump(path):
    """Text as databases write it: numbers, dates, words that come again."""
    r = random.Random(1)
    words = [''.join(r.choices('abcdefghijklmnopqrstuvwxyz', k=r.randint(3, 11))) for _ in range(5000)]
    with path.open('w') as file:
        while file.tell() < SIZE:
            file.write(''.join(
                f'{r.randint(1, 10**9)}\t{" ".join(r.choices(words, k=9))}\t2026-{r.randint(1, 12):02}-{r.randint(1, 28):02} '
                f'{r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}.{r.randint(0, 999999):06}\t{r.random():.6f}\t\\N\tt\n'
                for _ in range(2000)))


def make_volume(path):
    """What lies in volumes: many small texts, some pictures, a few large files of either kind."""
    r = random.Random(2)
    total, n = 0, 0
    while total < SIZE:
        folder = path / f'{n // 200}'
        folder.mkdir(parents=True, exist_ok=True)
        kind = r.random()
        size = r.randint(100, 20000) if kind < 0.9 else r.randint(50000, 2000000) if kind < 0.995 else r.randint(5000000, 20000000)
        data = r.randbytes(size) if kind > 0.9 and r.random() < 0.7 else (b'%d some line of a log or of a page\n' % n * (size // 30))[:size]
        (folder / f'{n}').write_bytes(data)
        total += size
        n += 1


def make_noise(path):
    r = random.Random(3)
    with path.open('wb') as file:
        for _ in range(SIZE >> 20):
            file.write(r.randbytes(1 << 20))


def measure(command):
    """Seconds, and the KiB that the largest process of it had in memory."""
    os.sync()
    begin = time.monotonic()
    # pipefail: what fails in the middle is no result.
    process = subprocess.Popen(['bash', '-euo', 'pipefail', '-c', command], env=ENVIRONMENT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f'{command}: status {status}\n{errors.decode()}')
    return time.monotonic() - begin, usage.ru_maxrss


def digest(path):
    """Of contents and names."""
    command = f'sha256sum <{path}' if path.is_file() else f'cd {path} && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum'
    return subprocess.run(['bash', '-euc', command], capture_output=True, check=True).stdout


def size_of(path):
    return sum(file.stat().st_size for file in path.rglob('*') if file.is_file())


def run_tool(tool, data, expected, into):
    store, output = FOLDER / 'store', FOLDER / 'output'
    kind = 'folder' if data.is_dir() else 'stream'
    for path in (store, output):
        shutil.rmtree(path, ignore_errors=True)
    output.mkdir()
    target = output if data.is_dir() else output / 'data'
    names = {'s': store, 'd': data, 'o': target}
    measure(TOOLS[tool]['prepare'].format(**names))
    for operation, command in zip(('write', 'verify', 'restore'), TOOLS[tool][kind]):
        seconds, resident = measure(command.format(**names))
        into.setdefault(operation, []).append(seconds)
        into['resident'] = max(into.get('resident', 0), resident)
    into['size'] = size_of(store)
    if digest(target) != expected:
        sys.exit(f'{tool}: what was restored of {data} is not what was stored')


def main():
    results = {}
    sets = {'a dump': (FOLDER / 'dump', make_dump), 'a volume': (FOLDER / 'volume', make_volume), 'noise': (FOLDER / 'noise', make_noise)}
    for name, (path, make) in sets.items():
        make(path)
        expected = digest(path)
        results[name] = {'size': size_of(path) if path.is_dir() else path.stat().st_size, 'tools': {tool: {} for tool in TOOLS}}
        # In turn, so that a drift of the machine favours nobody.
        for _ in range(ROUNDS):
            for tool in TOOLS:
                run_tool(tool, path, expected, results[name]['tools'][tool])
    json.dump(results, sys.stdout)


main()
