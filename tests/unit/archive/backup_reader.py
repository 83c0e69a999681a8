#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads backup files of ccpd as ccp-backup(5) describes them, with nothing but Python and zstd.

It shares no line with the C reader, so that a file that both of them read is one that the manual describes. It is meant to
be read beside the manual, not to be fast, and holds the whole file in memory.

Usage: backup_reader.py FILE [--recovery-key FILE]
"""

import argparse
import dataclasses
import datetime
import hashlib
import hmac
import json
import pathlib
import struct
import subprocess
import sys
import uuid

PRELUDE_SIZE, MAC_SIZE, FRAME_SIZE, TRAILER_SIZE, TAG_SIZE = 64, 32, 16, 160, 16
MAX_HEADER_SIZE = 65536
CHUNK_SIZE_LOG2 = 20
CHUNK_SIZE = 1 << CHUNK_SIZE_LOG2
MAX_MANIFEST_SIZE = 16 << 20
MAX_TEXT_SIZE = 64
MAX_RECIPIENTS = 16
MAX_STREAMS = 4096
TYPE_DATA, TYPE_MANIFEST = 1, 2
FLAG_LAST, FLAG_COMPRESSED = 1, 2
ZSTD_MAGIC = bytes.fromhex('28b52ffd')


class BackupError(Exception):
    """The file is not what was written."""


class KeyMissingError(BackupError):
    """The file may be good, but is not sealed for the key."""


def check(condition, fault):
    if not condition:
        raise BackupError(fault)


# What several of the ciphers are made of.

def words_of(data):
    return struct.unpack(f'<{len(data) // 4}I', data)


def bytes_of(words):
    return struct.pack(f'<{len(words)}I', *words)


def add(a, b):
    return [(x + y) & 0xffffffff for x, y in zip(a, b)]


def rotate(x, n):
    return ((x << n) | (x >> (32 - n))) & 0xffffffff


def xor(data, stream):
    return bytes(a ^ b for a, b in zip(data, stream))


SIGMA = words_of(b'expand 32-byte k')


def chacha_rounds(state):
    """The 20 rounds of ChaCha20 without the addition behind them: RFC 8439, 2.1 to 2.3."""
    x = list(state)
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            x[a] = (x[a] + x[b]) & 0xffffffff
            x[d] = rotate(x[d] ^ x[a], 16)
            x[c] = (x[c] + x[d]) & 0xffffffff
            x[b] = rotate(x[b] ^ x[c], 12)
            x[a] = (x[a] + x[b]) & 0xffffffff
            x[d] = rotate(x[d] ^ x[a], 8)
            x[c] = (x[c] + x[d]) & 0xffffffff
            x[b] = rotate(x[b] ^ x[c], 7)
    return x


def chacha20(key, nonce, size, counter=0):
    """That many bytes of the key stream: RFC 8439, 2.4. The nonce has 12 bytes."""
    stream = b''
    while len(stream) < size:
        state = [*SIGMA, *words_of(key), counter, *words_of(nonce)]
        stream += bytes_of(add(chacha_rounds(state), state))
        counter += 1
    return stream[:size]


def hchacha20(key, nonce):
    """A key from a key and 16 bytes of a nonce: draft-irtf-cfrg-xchacha-03, 2.2."""
    x = chacha_rounds([*SIGMA, *words_of(key), *words_of(nonce)])
    return bytes_of(x[:4] + x[12:])


def salsa_rounds(state):
    """The 20 rounds of Salsa20 without the addition behind them: Bernstein, 'The Salsa20 family of stream ciphers'."""
    x = list(state)
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
                           (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)):
            x[b] ^= rotate((x[a] + x[d]) & 0xffffffff, 7)
            x[c] ^= rotate((x[b] + x[a]) & 0xffffffff, 9)
            x[d] ^= rotate((x[c] + x[b]) & 0xffffffff, 13)
            x[a] ^= rotate((x[d] + x[c]) & 0xffffffff, 18)
    return x


def salsa_state(key, block):
    k, n = words_of(key), words_of(block)
    return [SIGMA[0], *k[:4], SIGMA[1], *n, SIGMA[2], *k[4:], SIGMA[3]]


def hsalsa20(key, nonce):
    """A key from a key and 16 bytes of a nonce: Bernstein, 'Extending the Salsa20 nonce'."""
    x = salsa_rounds(salsa_state(key, nonce))
    return bytes_of([x[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)])


def xsalsa20(key, nonce, size):
    """That many bytes of the key stream: Bernstein, 'Extending the Salsa20 nonce'. The nonce has 24 bytes."""
    subkey, stream, counter = hsalsa20(key, nonce[:16]), b'', 0
    while len(stream) < size:
        state = salsa_state(subkey, nonce[16:] + struct.pack('<Q', counter))
        stream += bytes_of(add(salsa_rounds(state), state))
        counter += 1
    return stream[:size]


def poly1305(key, data):
    """The tag of 16 bytes: RFC 8439, 2.5."""
    r = int.from_bytes(key[:16], 'little') & 0x0ffffffc0ffffffc0ffffffc0fffffff
    accumulator = 0
    for at in range(0, len(data), 16):
        accumulator = (accumulator + int.from_bytes(data[at:at + 16] + b'\1', 'little')) * r % ((1 << 130) - 5)
    return ((accumulator + int.from_bytes(key[16:], 'little')) % (1 << 128)).to_bytes(16, 'little')


def padded(data):
    return data + bytes(-len(data) % 16)


def xchacha20_poly1305_open(key, nonce, sealed, associated, fault):
    """The plaintext of what has its tag at its end: draft-irtf-cfrg-xchacha-03, 2.3, and RFC 8439, 2.8."""
    subkey, nonce = hchacha20(key, nonce[:16]), bytes(4) + nonce[16:]
    ciphertext, tag = sealed[:-TAG_SIZE], sealed[-TAG_SIZE:]
    expected = poly1305(chacha20(subkey, nonce, 32),
                        padded(associated) + padded(ciphertext) + struct.pack('<QQ', len(associated), len(ciphertext)))
    check(hmac.compare_digest(expected, tag), fault)
    return xor(ciphertext, chacha20(subkey, nonce, len(ciphertext), counter=1))


P = 2 ** 255 - 19
X25519_BASE = (9).to_bytes(32, 'little')


def x25519(scalar, point):
    """The product, by Montgomery's ladder: RFC 7748, 5."""
    k = int.from_bytes(scalar, 'little') & ~7 & ((1 << 254) - 1) | (1 << 254)
    u = int.from_bytes(point, 'little') & ((1 << 255) - 1)
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in range(254, -1, -1):
        swap = k >> bit & 1
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, 'little')


def box_seal_open(secret, sealed, fault):
    """What crypto_box_seal sealed: an ephemeral public key, a tag, and a ciphertext (libsodium, 'Sealed boxes').

    It is crypto_box of NaCl between the two keys, with BLAKE2b-24 of both public keys as nonce. The first 32 bytes of the key
    stream are the key of the tag.
    """
    ephemeral, tag, ciphertext = sealed[:32], sealed[32:48], sealed[48:]
    nonce = hashlib.blake2b(ephemeral + x25519(secret, X25519_BASE), digest_size=24).digest()
    shared = x25519(secret, ephemeral)
    check(any(shared), fault)
    stream = xsalsa20(hsalsa20(shared, bytes(16)), nonce, 32 + len(ciphertext))
    check(hmac.compare_digest(poly1305(stream[:32], ciphertext), tag), fault)
    return xor(ciphertext, stream[32:])


ED25519_ORDER = 2 ** 252 + 27742317777372353535851937790883648493
ED25519_D = -121665 * pow(121666, P - 2, P) % P
ED25519_SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)


def ed25519_add(a, b):
    """The sum of two points in extended coordinates: RFC 8032, 5.1.4."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * ED25519_D % P, 2 * a[2] * b[2] % P
    x, y, z, t = f - e, h - g, h + g, f + e
    return x * y % P, z * t % P, y * z % P, x * t % P


def ed25519_multiply(scalar, point):
    product = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            product = ed25519_add(product, point)
        point = ed25519_add(point, point)
        scalar >>= 1
    return product


def ed25519_point(data):
    """The point of 32 bytes, or None: RFC 8032, 5.1.3."""
    y = int.from_bytes(data, 'little')
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(ED25519_D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ED25519_SQRT_MINUS_1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


ED25519_BASE = ed25519_point((4 * pow(5, P - 2, P) % P).to_bytes(32, 'little'))


def ed25519_verify(public_key, message, signature):
    """Whether the signature is one of the message: RFC 8032, 5.1.7."""
    a, r, s = ed25519_point(public_key), ed25519_point(signature[:32]), int.from_bytes(signature[32:], 'little')
    if not a or not r or s >= ED25519_ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), 'little') % ED25519_ORDER
    left, right = ed25519_multiply(s, ED25519_BASE), ed25519_add(r, ed25519_multiply(k, a))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


def blake2b(data, key=b''):
    """ccp-backup(5), DESCRIPTION."""
    return hashlib.blake2b(data, key=key, digest_size=32).digest()


def derive_key(key, number):
    """crypto_kdf_derive_from_key: ccp-backup(5), The keys."""
    return hashlib.blake2b(key=key, digest_size=32, salt=struct.pack('<QQ', number, 0), person=b'ccpbkup1' + bytes(8)).digest()


def zstd_unpack(data):
    """What a Zstandard frame (RFC 8878) unpacks to. The program would unpack other formats, too."""
    check(data.startswith(ZSTD_MAGIC), 'a frame is no Zstandard frame')
    try:
        done = subprocess.run(['zstd', '-dcq'], input=data, capture_output=True, check=False)
    except FileNotFoundError:
        sys.exit('backup_reader.py needs the program zstd (package zstd), which is not there')
    check(done.returncode == 0, f'a frame cannot be unpacked: {done.stderr.decode(errors="replace").strip()}')
    return done.stdout


def recovery_key_text(key, letters='CCPR1'):
    """How half a recovery key is written: ccp-backup(5), RECOVERY KEYS."""
    digits = (key + blake2b(key, letters.encode())[:2]).hex().upper()
    return '-'.join([letters] + [digits[at:at + 4] for at in range(0, len(digits), 4)])


def recovery_key_read(text, letters='CCPR1'):
    """The 32 bytes of half a recovery key, however it is broken into lines: ccp-backup(5), RECOVERY KEYS."""
    digits = ''.join(text.split()).replace('-', '').upper()
    check(digits.startswith(letters), f'a recovery key begins with {letters}')
    try:
        data = bytes.fromhex(digits[len(letters):])
    except ValueError:
        raise BackupError('a recovery key is made of hexadecimal digits') from None
    check(len(data) == 34, 'a recovery key has 17 groups of four digits')
    check(blake2b(data[:32], letters.encode())[:2] == data[32:], 'the recovery key is mistyped')
    return data[:32]


@dataclasses.dataclass
class Frame:
    """ccp-backup(5), The frames."""
    offset: int
    data: bytes
    type: int
    flags: int
    stream: int
    index: int


@dataclasses.dataclass
class Backup:
    """What a file says of itself, and, when it was opened, what is in it: streams by their names, and the manifest."""
    id: bytes
    kind: int = 0
    instance: uuid.UUID = None
    sequence: int = 0
    created_at: int = 0
    slug: str = ''
    software: str = ''
    signer: bytes = b''
    sealed_for_instance: bytes = b''
    sealed_for_recovery: list = dataclasses.field(default_factory=list)
    head: bytes = b''
    mac: bytes = b''
    frames: list = dataclasses.field(default_factory=list)
    trailer: bytes = b''
    streams: dict = None
    manifest: dict = None


def read_prelude(data):
    """The size of the header, and the id of the file: ccp-backup(5), The prelude."""
    check(len(data) >= PRELUDE_SIZE + MAC_SIZE + TRAILER_SIZE, 'the file is too short')
    magic, version, suite, chunk, size, file_id, zeros = struct.unpack_from('<8sHBBI16s32s', data)
    check(magic == b'CCPBKUP1', 'this is no backup')
    check(version == 1, f'this is version {version}')
    check(suite == 1 and chunk == CHUNK_SIZE_LOG2 and not any(zeros), 'the prelude is damaged')
    check(size <= MAX_HEADER_SIZE and PRELUDE_SIZE + size + MAC_SIZE + TRAILER_SIZE <= len(data), 'the header is too long')
    return size, file_id


def read_text(value):
    check(len(value) <= MAX_TEXT_SIZE, 'a text of the header is too long')
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise BackupError('a text of the header is not UTF-8') from None
    check(not any(c < ' ' or c == '\x7f' for c in text), 'a text of the header has control characters')
    return text


def read_header(backup, header):
    """ccp-backup(5), The header."""
    sizes = {1: 1, 2: 16, 3: 8, 4: 8, 7: 32, 16: 80, 17: 104}
    at, before, values = 0, 0, {}
    while at < len(header):
        check(at + 8 <= len(header), 'the header is cut')
        kind, zeros, size = struct.unpack_from('<HHI', header, at)
        value = header[at + 8:at + 8 + size]
        check(zeros == 0 and len(value) == size, 'a field of the header is cut')
        check(kind > before or kind == before == 17, 'the fields of the header are in disorder')
        check(kind in sizes or kind in (5, 6), f'the header has an unknown field {kind}')
        check(size == sizes.get(kind, size), f'field {kind} of the header has {size} bytes')
        if kind == 17:
            backup.sealed_for_recovery.append(value)
        values[kind] = value
        before, at = kind, at + 8 + size

    check(set(values) | {17} == {1, 2, 3, 4, 5, 6, 7, 16, 17}, 'the header has not all of its fields')
    check(len(backup.sealed_for_recovery) <= MAX_RECIPIENTS, 'the header has too many recovery keys')
    backup.kind = values[1][0]
    check(backup.kind == 0, f'the kind {backup.kind} is not known')
    backup.instance = uuid.UUID(bytes=values[2])
    backup.sequence, backup.created_at = (int.from_bytes(values[i], 'little') for i in (3, 4))
    backup.slug, backup.software = read_text(values[5]), read_text(values[6])
    backup.signer, backup.sealed_for_instance = values[7], values[16]


def read_frames(data, at, end):
    """The frames, each in its place, which can be told without a key: ccp-backup(5), The frames."""
    frames, kind, stream, index = [], TYPE_DATA, 0, 0
    while at < end:
        check(at + FRAME_SIZE + TAG_SIZE <= end, 'a frame is cut')
        size, *fields = struct.unpack_from('<IBBHQ', data, at)
        check(TAG_SIZE <= size <= CHUNK_SIZE + TAG_SIZE and at + FRAME_SIZE + size <= end, 'a frame is cut')
        frame = Frame(at, data[at:at + FRAME_SIZE + size], *fields)
        if index == 0:
            check(kind == TYPE_DATA, 'there is something behind the manifest')
            kind = frame.type
        check(frame.type == kind in (TYPE_DATA, TYPE_MANIFEST), 'a frame has the wrong type')
        check((frame.stream, frame.index) == (stream, index), 'a frame is not where it belongs')
        check(stream <= MAX_STREAMS, 'the file has too many streams')
        check(frame.flags & ~(FLAG_LAST | FLAG_COMPRESSED) == 0, 'a frame has unknown flags')
        stream, index = (stream + 1, 0) if frame.flags & FLAG_LAST else (stream, index + 1)
        frames.append(frame)
        at += len(frame.data)
    check(kind == TYPE_MANIFEST and index == 0, 'the last stream is no manifest, or has no end')
    return frames


def read_backup(data):
    """What can be told without a key and without a signature."""
    size, file_id = read_prelude(data)
    backup = Backup(file_id)
    backup.head = data[:PRELUDE_SIZE + size]
    read_header(backup, backup.head[PRELUDE_SIZE:])
    backup.mac = data[PRELUDE_SIZE + size:PRELUDE_SIZE + size + MAC_SIZE]

    backup.trailer = data[-TRAILER_SIZE:]
    manifest, file_size, zeros, magic = struct.unpack('<QQ96x40s8s', backup.trailer)
    check(magic == b'CCPBEND1' and not any(zeros), 'the end of the file is not there')
    check(file_size == len(data), 'the file has another size than it says')
    backup.frames = read_frames(data, PRELUDE_SIZE + size + MAC_SIZE, len(data) - TRAILER_SIZE)
    check(manifest == next(f.offset for f in backup.frames if f.type == TYPE_MANIFEST), 'the manifest is elsewhere')
    return backup


def check_signature(backup):
    """ccp-backup(5), The trailer."""
    parts = [backup.head + backup.mac] + [frame.data for frame in backup.frames]
    root, signature = backup.trailer[16:48], backup.trailer[48:112]
    check(blake2b(b''.join(blake2b(part) for part in parts)) == root, 'the file is not what was signed')
    check(ed25519_verify(backup.signer, b'ccp-backup-1 file' + backup.trailer[:48], signature), 'the signature is wrong')


def open_file_key(backup, instance_key, instance_key_id, recovery_key):
    """The key of the file by one of the keys that it is sealed for: ccp-backup(5), The header, fields 16 and 17."""
    if instance_key:
        sealed = backup.sealed_for_instance
        if instance_key_id and sealed[:8] != instance_key_id:
            raise KeyMissingError(f"the file is sealed for the instance's key {sealed[:8].hex()}")
        return xchacha20_poly1305_open(instance_key, sealed[8:32], sealed[32:],
                                       b'ccp-backup-1 instance' + backup.id + backup.instance.bytes,
                                       "the instance's key does not open the file")

    name = blake2b(x25519(recovery_key, X25519_BASE))[:8]
    for sealed in backup.sealed_for_recovery:
        if sealed[:8] == name:
            opened = box_seal_open(recovery_key, sealed[8:], 'the recovery key does not open the file')
            check(opened[32:] == backup.id, 'the key is that of another file')
            return opened[:32]
    raise KeyMissingError(f'the file is not sealed for the recovery key {name.hex()}')


def open_frame(backup, frame, key):
    """The plaintext of a frame: ccp-backup(5), The frames."""
    head, sealed = frame.data[:FRAME_SIZE], frame.data[FRAME_SIZE:]
    plain = xchacha20_poly1305_open(key, head[4:] + bytes(12), sealed, backup.mac + head,
                                    f'frame {frame.index} of stream {frame.stream} is damaged')
    if frame.flags & FLAG_COMPRESSED:
        plain = zstd_unpack(plain)
    check(len(plain) == CHUNK_SIZE or (frame.flags & FLAG_LAST and len(plain) < CHUNK_SIZE), 'a frame has the wrong size')
    return plain


def check_name(name):
    check(isinstance(name, str) and name and not set(name.split('/')) & {'', '.', '..'}, f'{name!r} is no name of a stream')


def read_manifest(data, contents):
    """The manifest, and the streams by the names that it gives them: ccp-backup(5), The manifest."""
    check(len(data) <= MAX_MANIFEST_SIZE, 'the manifest is too long')
    try:
        manifest = json.loads(data.decode())
    except ValueError as e:
        raise BackupError(f'the manifest cannot be read: {e}') from None
    entries = manifest.get('streams') if isinstance(manifest, dict) else None
    check(isinstance(entries, list) and all(isinstance(e, dict) for e in entries), 'the manifest has no streams')
    check([(e.get('number'), e.get('size')) for e in entries] == [(i, len(c)) for i, c in enumerate(contents)],
          'the manifest has other streams than the file')
    for entry in entries:
        check_name(entry.get('name'))
    streams = {e['name']: c for e, c in zip(entries, contents)}
    check(len(streams) == len(contents), 'two streams have the same name')
    return manifest, streams


def open_contents(backup, instance_key=None, instance_key_id=None, recovery_key=None):
    """Fills in streams and manifest. What the keys alone tell: the signature is check_signature()'s."""
    key = open_file_key(backup, instance_key, instance_key_id, recovery_key)
    check(hmac.compare_digest(blake2b(backup.head, derive_key(key, 1)), backup.mac), 'the header is damaged')
    payload_key = derive_key(key, 2)
    contents = {}
    for frame in backup.frames:
        contents.setdefault(frame.stream, []).append(open_frame(backup, frame, payload_key))
    *contents, manifest = (b''.join(chunks) for chunks in contents.values())
    backup.manifest, backup.streams = read_manifest(manifest, contents)


def verify(path):
    """Whether the file is what its signer signed, which needs no key. Who the signer is must be known from elsewhere."""
    backup = read_backup(pathlib.Path(path).read_bytes())
    check_signature(backup)
    return backup


def open_backup(path, instance_key=None, recovery_key=None, instance_key_id=None):
    """The file with all that is in it; for either the instance's key or the secret half of a recovery key."""
    if (instance_key is None) == (recovery_key is None):
        raise ValueError('one key is needed')
    backup = verify(path)
    open_contents(backup, instance_key, instance_key_id, recovery_key)
    return backup


def main():
    parser = argparse.ArgumentParser(description='Shows what is in a backup of ccpd, see ccp-backup(5).')
    parser.add_argument('file', metavar='FILE')
    parser.add_argument('--recovery-key', metavar='FILE', help='read the secret half of a recovery key from this file')
    arguments = parser.parse_args()
    try:
        if arguments.recovery_key:
            key = recovery_key_read(pathlib.Path(arguments.recovery_key).read_text(encoding='utf-8'))
            backup = open_backup(arguments.file, recovery_key=key)
        else:
            backup = verify(arguments.file)
    except (BackupError, OSError, UnicodeDecodeError) as e:
        sys.exit(f'{arguments.file}: {e}')

    made = datetime.datetime.fromtimestamp(backup.created_at // 1000000, datetime.timezone.utc)
    print(f'file      {backup.id.hex()}\ninstance  {backup.slug} ({backup.instance})\nsequence  {backup.sequence}\n'
          f'made      {made:%Y-%m-%d %H:%M:%S} UTC by {backup.software}\nsigner    {backup.signer.hex()}')
    for name, content in (backup.streams or {}).items():
        print(f'{len(content):>12}  {name}')


if __name__ == '__main__':
    main()
