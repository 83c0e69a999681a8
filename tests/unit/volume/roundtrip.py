#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Generated trees go through ccp-vol: pack, unpack, inventory. What is packed is read by Python's tarfile too, which must find
what was generated, and whose reading must give the same inventory, calculated here once more from its definition in
volume-format.h. A tree that fails is told by its seed: roundtrip.py CCP-VOL SEED."""

import concurrent.futures
import hashlib
import io
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile

TREES = 200
BLOCK = 1 << 20
MAGIC = b'ccp-vol inventory 1'

NAMES = [b'a', b'a.b', b'a0', b'A', b'-rf', b'BZhello', b'\x1f\x8b\x08', b'\xfd7zXZ', b'new\nline', b' ', b'...', b'\\',
         b'%25', b'a=b', b'\xc3\xa4', b'a\xcc\x88', b'\xff\xfe', b'\xed\xa0\x80', b'PaxHeader', b'PaxName', b'\x7f\x01', b'"',
         b'n' * 255, b'\xe2\x82\xac' * 85, b'm' * 97, b'm' * 98, b'm' * 99, b'GNUSparseFile.0', b'*', b'~']

ACL = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in [
    (1, 6, 0xffffffff), (2, 4, 1234), (4, 4, 0xffffffff), (0x10, 6, 0xffffffff), (0x20, 4, 0xffffffff)])
DEFAULT_ACL = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in [
    (1, 7, 0xffffffff), (2, 5, 4321), (4, 5, 0xffffffff), (0x10, 5, 0xffffffff), (0x20, 0, 0xffffffff)])
CAPABILITY = struct.pack('<IIIII', 0x02000001, 1 << 10, 0, 0, 0)


class Tree:
    """A tree on the disk, made by a seed; self.files has the content of each file by its name in the stream."""

    def __init__(self, top, seed):
        self.random = random.Random(seed)
        self.files, self.others, self.hard = {}, {}, {}
        self.left = self.random.randrange(5, 25)
        self.seed = seed
        fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        self.fill(fd, b'./', 0)
        if seed % 10 == 0:
            self.deep(fd)
        self.finish(fd, True)
        os.close(fd)

    def fill(self, fd, path, depth):
        names = self.random.sample(NAMES, self.random.randrange(1, 8))
        for name in names:
            if self.left == 0:
                return
            self.left -= 1
            kind = self.random.choices(['file', 'folder', 'symlink', 'hard', 'fifo', 'sparse'], [8, 4, 2, 3, 1, 1])[0]
            getattr(self, 'make_' + kind)(fd, path, name, depth)

    def content(self):
        size = self.random.choice([0, 1, 511, 512, 513, 4096, self.random.randrange(20000)])
        if self.random.randrange(40) == 0:
            size = BLOCK + self.random.randrange(5 * BLOCK)
        return bytes(size) if self.random.randrange(4) == 0 else self.random.randbytes(size)

    def make_file(self, fd, path, name, depth, content=None, size=0):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=fd)
        content = self.content() if content is None else content
        if size:
            at = self.random.randrange(max(1, size - len(content)))
            os.ftruncate(file, size)
            os.pwrite(file, content, at)
            content = (bytes(at) + content).ljust(size, b'\0')
        else:
            os.write(file, content)
        self.finish(file, False)
        os.close(file)
        self.files[path + name] = content

    def make_sparse(self, fd, path, name, depth):
        content = self.random.choice([b'', b'x', b'data' * 2000])
        self.make_file(fd, path, name, depth, content, self.random.choice([1, 100, 8192, 65536, 100001, 5 * BLOCK]) + len(content))

    def make_folder(self, fd, path, name, depth):
        os.mkdir(name, 0o700, dir_fd=fd)
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        self.others[path + name] = 'folder'
        if depth < 5:
            self.fill(folder, path + name + b'/', depth + 1)
        self.finish(folder, True)
        os.close(folder)

    def make_symlink(self, fd, path, name, depth):
        target = self.random.choice([b'a', b'..', b'/etc/passwd', b'\xff', b't' * 101, b't' * 4095, b'x\ny'])
        os.symlink(target, name, dir_fd=fd)
        self.own(name, fd)
        os.utime(name, ns=self.times(), dir_fd=fd, follow_symlinks=False)
        self.others[path + name] = target

    def make_hard(self, fd, path, name, depth):
        """To a file of the same folder: those above may be closed for us by then."""
        here = [file for file in self.files if file.rpartition(b'/')[0] + b'/' == path]
        if here:
            first = self.random.choice(here)
            os.link(first.rpartition(b'/')[2], name, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
            self.files[path + name] = self.files[first]

    def make_fifo(self, fd, path, name, depth):
        os.mkfifo(name, 0o600, dir_fd=fd)
        fifo = os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=fd)
        self.finish(fifo, False, fifo=True)
        os.close(fifo)
        self.others[path + name] = 'fifo'

    def deep(self, fd):
        """Beyond PATH_MAX, and beyond the folders that ccp-vol keeps open."""
        fd, path = os.dup(fd), b'./'
        for i in range(self.random.choice([20, 40, 80])):
            name = b'%03d' % i + b'd' * self.random.choice([0, 97, 252])
            os.mkdir(name, 0o700, dir_fd=fd)
            self.others[path + name] = 'folder'
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd, path = below, path + name + b'/'
        self.make_file(fd, path, b'bottom', 0)
        self.make_hard(fd, path, b'zz', 0)
        os.close(fd)

    def times(self):
        ns = self.random.choice([0, 1, 10**9, -1, -10**9, -1500000000, 1700000000123456789, 4102444800 * 10**9,
                                 self.random.randrange(2**31 * 10**9)])
        return (ns, ns)

    def own(self, name, fd):
        if os.geteuid() == 0:
            owner = self.random.choice([0, 33, 100000, 2097151, 2097152, 4294967294])
            os.chown(name, owner, self.random.choice([0, 999, owner]), dir_fd=fd, follow_symlinks=False)

    def finish(self, fd, is_folder, fifo=False):
        if os.geteuid() == 0 and self.random.randrange(3) == 0:
            owner = self.random.choice([0, 33, 100000, 2097151, 2097152, 4294967294])
            os.fchown(fd, owner, self.random.choice([0, 999, owner]))
        wanted = []
        if self.random.randrange(3) == 0:
            if not fifo:
                wanted += self.random.sample([('user.a', b''), ('user.b=%', b'=\n\0%'), ('user.\udcff', self.random.randbytes(900)),
                                              ('user.text', b'value')], 2)
            wanted.append(('system.posix_acl_access', ACL))
            if is_folder:
                wanted.append(('system.posix_acl_default', DEFAULT_ACL))
            elif not fifo:
                wanted.append(('security.capability', CAPABILITY))
        for name, value in wanted:
            try:
                os.setxattr(fd, name, value)
            except OSError:
                pass
        # Without root, a folder that is closed to its owner can't be read.
        modes = [0o755, 0o555, 0o700, 0o2775, 0o1777] if is_folder else [0o644, 0o600, 0o444, 0o755, 0o6755]
        os.fchmod(fd, self.random.choice(modes + [0] if os.geteuid() == 0 else modes))
        os.utime(fd, ns=self.times())


def field(data):
    return struct.pack('<Q', len(data)) + data


def number(n):
    return field(struct.pack('<Q', n & (2**64 - 1)))


def blake(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def content_hash(data):
    records, zeros = [], 0
    for i in range(0, len(data), BLOCK):
        block = data[i:i + BLOCK]
        if block.count(0) == len(block):
            zeros += 1
            continue
        if zeros:
            records.append(b'\0' + struct.pack('<Q', zeros))
            zeros = 0
        records.append(b'\1' + blake(block))
    if zeros:
        records.append(b'\0' + struct.pack('<Q', zeros))
    return blake(struct.pack('<Q', len(data)) + b''.join(records))


def encode(text):
    return text.encode('utf-8', 'surrogateescape')


def mtime(member):
    """Seconds and nanoseconds, out of the text: a float has not enough digits."""
    text = member.pax_headers.get('mtime', str(int(member.mtime)))
    seconds, _, fraction = text.partition('.')
    ns = int(fraction.ljust(9, '0')) if fraction else 0
    total = -(-int(seconds) * 10**9 + ns) if text.startswith('-') else int(seconds) * 10**9 + ns
    return divmod(total, 10**9)


def xattrs(member):
    prefix = 'SCHILY.xattr.'
    found = {}
    for key, value in member.pax_headers.items():
        if key.startswith(prefix):
            name = encode(key[len(prefix):]).replace(b'%3D', b'=').replace(b'%25', b'%')
            found[name] = encode(value)
    return sorted(found.items())


def record(member, content):
    name = encode(member.name) + (b'/' if member.isdir() else b'')
    if member.name == '.':
        name = b'./'
    attributes = xattrs(member)
    yield field(name)
    yield field(member.type)
    yield number(member.mode) + number(member.uid) + number(member.gid)
    yield number(len(content) if member.isreg() else 0)
    for part in mtime(member):
        yield number(part)
    yield field(encode(member.linkname))
    yield number(len(attributes))
    for key, value in attributes:
        yield field(key) + field(value)
    yield field(content_hash(content) if member.isreg() else b'')


def read_stream(stream):
    """Names and contents as tarfile finds them, and the inventory of them."""
    files, others, inventory = {}, {}, [field(MAGIC)]
    with tarfile.open(fileobj=io.BytesIO(stream), mode='r:', encoding='utf-8', errors='surrogateescape') as tar:
        for member in tar:
            content = tar.extractfile(member).read() if member.isreg() else b''
            inventory += record(member, content)
            name = encode(member.name)
            if member.isreg():
                files[name] = content
            elif member.islnk():
                files[name] = files[encode(member.linkname)]
            elif member.issym():
                others[name] = encode(member.linkname)
            elif name != b'.':
                others[name] = 'folder' if member.isdir() else 'fifo'
    return files, others, blake(b''.join(inventory)).hex()


def run(program, *args, **more):
    done = subprocess.run([program, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **more)
    last = done.stderr.decode('ascii').splitlines()[-1]
    return done.returncode, json.loads(last), done.stdout


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def try_seed(program, top, seed):
    source, target = os.path.join(top, f'{seed}.from'), os.path.join(top, f'{seed}.to')
    os.mkdir(source)
    os.mkdir(target)
    tree = Tree(source, seed)

    status, packed, stream = run(program, 'pack', source)
    check(status == 0, packed)
    check(packed['n_changed'] == 0 and packed['n_skipped'] == 0, packed)
    check(packed.pop('stream') == len(stream), 'it wrote another number of bytes')
    check(stream.endswith(bytes(1024)), 'the end is missing')
    files, others, inventory = read_stream(stream)
    check(files == tree.files, 'tarfile reads other files')
    check(others == tree.others, 'tarfile reads other names')
    check(inventory == packed['inventory'], 'tarfile reads another inventory')

    status, unpacked, _ = run(program, 'unpack', target, input=stream)
    check(status == 0, unpacked)
    check(unpacked == packed, f'{unpacked} instead of {packed}')
    status, found, _ = run(program, 'inventory', target)
    check(status == 0, found)
    check(found == packed, f'{found} instead of {packed}')

    # The stream is the same for what was unpacked, but for where holes are; GNU tar too makes that of it.
    if seed % 20 == 1 and os.geteuid() == 0 and shutil.which('tar'):
        again = os.path.join(top, f'{seed}.tar')
        os.mkdir(again)
        subprocess.run(['tar', '--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', '-', '-C', again], input=stream,
                       check=True, stderr=subprocess.DEVNULL)
        status, found, _ = run(program, 'inventory', again)
        check(found == packed, f'tar: {found} instead of {packed}')


def try_commands(program, top):
    """What is no matter of the tree."""
    folder = os.path.join(top, 'commands')
    os.mkdir(folder)
    for args in [], ['pack'], ['unpack'], ['inventory'], ['unpack', folder, 'more'], ['remove', folder], ['--more'], \
            ['pack', folder, ''], ['pack', folder, '/a'], ['pack', folder, 'a/../b'], ['pack', folder, './a']:
        status, report, stdout = run(program, *args)
        check(status == 2 and report['error'] == 'Usage' and not stdout, f'{args}: {report}')
    status, report, _ = run(program, 'pack', folder + '/missing\n')
    check(status == 1 and report['error'] == 'Failed' and report['path'].endswith('missing\\x0a'), report)
    for option in '--help', '--version':
        done = subprocess.run([program, option], stdout=subprocess.PIPE, check=True)
        check(b'ccp-vol' in done.stdout, done.stdout)

    # A terabyte of nothing takes no time.
    with open(os.path.join(folder, 'sparse'), 'wb') as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b'x')
    with open(os.path.join(folder, '\udcff'), 'wb') as file:
        file.write(b'x' * 3 * BLOCK)
    status, report, stream = run(program, 'pack', folder, timeout=60)
    check(status == 0 and report['bytes'] == (1 << 40) + 3 * BLOCK, report)
    check(len(stream) < 4 * BLOCK, len(stream))
    status, report, stream = run(program, 'pack', folder, 'sparse', os.fsdecode(b'\xff'))
    check(status == 0 and report['entries'] == 1, report)

    status, report, _ = run(program, 'unpack', folder, input=stream)
    check(status == 1 and report['error'] == 'Failed', report)
    os.mkdir(os.path.join(folder, 'to'))
    status, report, _ = run(program, 'unpack', os.path.join(folder, 'to'), input=stream[:-512])
    check(status == 1 and report['error'] == 'Damaged', report)

    # Nobody reads what is packed.
    there, here = os.pipe()
    os.close(there)
    done = subprocess.run([program, 'pack', folder], stdout=here, stderr=subprocess.PIPE, check=False)
    os.close(here)
    check(done.returncode == 1 and json.loads(done.stderr)['error'] == 'Failed', done)


def attempt(function, name, *args):
    try:
        function(*args)
        return None
    except Exception as e:  # pylint: disable=broad-except
        return f'{name}: {type(e).__name__}: {e}'


def main():
    program = os.path.abspath(sys.argv[1])
    seeds = [int(seed) for seed in sys.argv[2:]] or range(1, TREES + 1)
    memory = '/dev/shm'
    top = tempfile.mkdtemp(prefix='test-volume.', dir=memory if os.access(memory, os.W_OK) else None)
    try:
        with concurrent.futures.ProcessPoolExecutor() as pool:
            jobs = [pool.submit(attempt, try_commands, 'commands', program, top)]
            jobs += [pool.submit(attempt, try_seed, f'seed {seed}', program, top, seed) for seed in seeds]
            failures = [job.result() for job in jobs if job.result()]
    finally:
        # Deeper than Python can remove. Without root, folders that may not be written to must be made so.
        subprocess.run(['chmod', '-R', 'u+rwX', top], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(['rm', '-rf', top], check=True)
    for failure in failures:
        print(failure)
    print(f'{len(seeds)} trees, {len(failures)} failures')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
