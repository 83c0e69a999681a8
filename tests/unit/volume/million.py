#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A volume of a million names goes through ccp-vol, as the package has it: one folder of very many files, other names for
most of these far from them, so that they have to be remembered until then, and many folders with names of one file each.
It comes back the same, and neither end takes much memory.

million.py CCP-VOL

File systems in memory count each name as an inode and have not enough of them, so this mounts one of its own, where it may.
That is gone with its namespace, whatever ends this."""

import json
import os
import resource
import subprocess
import sys
import tempfile

FILES, AGAIN, FOLDERS, NAMES = 350_000, 250_000, 400, 1000
ENTRIES = 1 + 1 + FILES + 1 + AGAIN + 1 + FOLDERS * (1 + NAMES)
MEMORY_MAX = 256 * 1024  # KiB


def make_wide(top):
    """Those in the one come first in the stream, and are remembered until those in the other."""
    for name in 'again', 'wide':
        os.mkdir(os.path.join(top, name))
    wide, again = (os.open(os.path.join(top, name), os.O_RDONLY | os.O_DIRECTORY) for name in ('wide', 'again'))
    for i in range(FILES):
        name = f'file-{i:07}'
        os.mknod(name, 0o100644, dir_fd=wide)
        if i < AGAIN:
            os.link(name, f'name-{i:07}', src_dir_fd=wide, dst_dir_fd=again)


def make_spread(top):
    for i in range(FOLDERS):
        path = os.path.join(top, 'spread', f'{i:03}')
        os.makedirs(path)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        os.mknod('0', 0o100600, dir_fd=folder)
        for k in range(1, NAMES):
            os.link('0', str(k), src_dir_fd=folder, dst_dir_fd=folder)
        os.close(folder)


def in_child(function, *args):
    """So that this process stays small: what it forks begins as large as it is."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function(*args)
            status = 0
        finally:
            os._exit(status)
    return pid


def finish(process):
    """Its report; that it ended well, and took not too much memory."""
    report = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, report
    print(f'{process.args[1]}: {usage.ru_maxrss // 1024} MiB, {usage.ru_utime + usage.ru_stime:.1f} s')
    assert usage.ru_maxrss <= MEMORY_MAX, usage
    report = json.loads(report)
    assert report['entries'] == ENTRIES and report['n_changed'] == report['n_skipped'] == 0, report
    return report


def compare_names(source, target):
    for name in 'wide', 'again', 'spread/000', f'spread/{FOLDERS - 1:03}':
        here, there = (sorted(os.listdir(os.path.join(top, name))) for top in (source, target))
        assert here == there, name
    assert os.stat(os.path.join(target, 'spread/000/0')).st_nlink == NAMES
    assert os.path.samefile(os.path.join(target, 'wide/file-0000007'), os.path.join(target, 'again/name-0000007'))


def run(program, top):
    source, target = os.path.join(top, 'from'), os.path.join(top, 'to')
    os.mkdir(source)
    os.mkdir(target)
    for pid in [in_child(make_wide, source), in_child(make_spread, source)]:
        assert os.waitpid(pid, 0)[1] == 0

    pack = subprocess.Popen([program, 'pack', source], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    unpack = subprocess.Popen([program, 'unpack', target], stdin=pack.stdout, stderr=subprocess.PIPE)
    pack.stdout.close()
    packed, unpacked = finish(pack), finish(unpack)
    del packed['stream']
    found = finish(subprocess.Popen([program, 'inventory', target], stderr=subprocess.PIPE))
    assert packed == unpacked == found, (packed, unpacked, found)
    compare_names(source, target)


def inside(program, top):
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=0700,size=64m,nr_inodes=0', 'tmpfs', top], check=True)
    run(program, top)


def main():
    if sys.argv[1] == '--inside':
        inside(*sys.argv[2:])
        return
    program = os.path.abspath(sys.argv[1])
    unshare = ['unshare', '--mount', '--propagation=private'] + ([] if os.geteuid() == 0 else ['--user', '--map-root-user'])
    with tempfile.TemporaryDirectory(prefix='test-volume-million.') as top:
        if subprocess.run(unshare + ['true'], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            subprocess.run(unshare + [sys.executable, __file__, '--inside', program, top], check=True)
        else:
            run(program, top)
    print(f'{ENTRIES} entries, {resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime:.0f} s')


if __name__ == '__main__':
    main()
