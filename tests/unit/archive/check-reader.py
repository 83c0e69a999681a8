# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads version-1.ccpb, which was made once and which every later version must read, with the reader that was written from
ccp-backup(5) alone: what it and the C reader agree on is what the manual says. test-archive reads it with the C reader.

Usage: check-reader.py VERSION-1.CCPB CCP-BACKUP-EXTRACT
"""

import hashlib
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import uuid

sys.dont_write_bytecode = True
import backup_reader as reader  # noqa: E402

EXTRACT, GOLDEN = sys.argv.pop(), pathlib.Path(sys.argv.pop())

# What test_keys(), test_header() and test_archive() of archive-test.h make.
INSTANCE_KEY, INSTANCE_KEY_ID = bytes([1] * 32), b'instance'
RECOVERY_KEY = hashlib.sha512(bytes([2] * 32)).digest()[:32]
OTHER_KEY = bytes([50] * 32)
# The public key of the seed of 32 bytes 0x03.
SIGNER = bytes.fromhex('ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1')
# libsodium's randombytes_buf_deterministic().
NOISE = reader.chacha20(bytes([1] * 32), b'LibsodiumDRG', 2000)
STREAMS = {'database/text': b'a' * 5000, 'volume/empty': b'', 'volume/noise': NOISE}
MANIFEST = {'consistency': 'live', 'streams': [{'kind': 'test', 'name': name, 'number': number, 'size': len(content)}
                                               for number, (name, content) in enumerate(STREAMS.items())]}
N_FLIPPED, N_CUTS = 300, 100


def open_with_key(data):
    """Opens what need not be signed: what the ciphers alone tell is not to hang on the signature."""
    backup = reader.read_backup(data)
    reader.open_contents(backup, instance_key=INSTANCE_KEY)
    return backup


class BackupReader(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.data = GOLDEN.read_bytes()
        cls.backup = reader.read_backup(cls.data)

    def refuses(self, data, what, key_tells=True):
        with self.assertRaises(reader.BackupError, msg=f'{what} is not seen without a key'):
            reader.check_signature(reader.read_backup(data))
        if key_tells:
            with self.assertRaises(reader.BackupError, msg=f'{what} is not seen by who has the key'):
                open_with_key(data)

    def put_together(self, frames):
        """A file of these frames. Its end fits them but for root and signature."""
        head = self.backup.head + self.backup.mac
        manifest = len(head) + sum(len(frame) for frame in frames[:-1])
        size = len(head) + sum(len(frame) for frame in frames) + reader.TRAILER_SIZE
        return head + b''.join(frames) + struct.pack('<QQ', manifest, size) + self.backup.trailer[16:]

    def test_each_key_opens_all_that_was_written(self):
        keys = ({'instance_key': INSTANCE_KEY, 'instance_key_id': INSTANCE_KEY_ID}, {'instance_key': INSTANCE_KEY},
                {'recovery_key': RECOVERY_KEY})
        for key in keys:
            backup = reader.open_backup(GOLDEN, **key)
            self.assertEqual(backup.id, bytes.fromhex('774fc91fec3bd9aafebd162f928a93d3'))
            self.assertEqual(backup.kind, 0)
            self.assertEqual(backup.instance, uuid.UUID(bytes=b'\xab' * 16))
            self.assertEqual(backup.sequence, 7)
            self.assertEqual(backup.created_at, 1700000000000000)
            self.assertEqual((backup.slug, backup.software), ('oslo', 'test'))
            self.assertEqual(backup.signer, SIGNER)
            self.assertEqual(backup.sealed_for_instance[:8], INSTANCE_KEY_ID)
            self.assertEqual(len(backup.sealed_for_recovery), 1)
            self.assertEqual(backup.streams, STREAMS)
            self.assertEqual(backup.manifest, MANIFEST)

    def test_without_a_key_it_is_known_that_nothing_was_changed(self):
        backup = reader.verify(GOLDEN)
        self.assertEqual(backup.signer, SIGNER)
        self.assertIsNone(backup.streams)

    def test_no_other_key_opens(self):
        for key in ({'instance_key': OTHER_KEY, 'instance_key_id': b'another\0'}, {'recovery_key': OTHER_KEY}):
            with self.assertRaises(reader.KeyMissingError):
                reader.open_backup(GOLDEN, **key)
        # One that says it is the right one, and is not.
        with self.assertRaisesRegex(reader.BackupError, 'does not open') as raised:
            reader.open_backup(GOLDEN, instance_key=OTHER_KEY, instance_key_id=INSTANCE_KEY_ID)
        self.assertNotIsInstance(raised.exception, reader.KeyMissingError)

    def test_changed_bytes_are_found(self):
        # The head of each frame byte by byte, any bytes of the rest.
        end = len(self.data) - reader.TRAILER_SIZE
        heads = {frame.offset + i for frame in self.backup.frames for i in range(reader.FRAME_SIZE)}
        chosen = heads | set(range(0, len(self.data), len(self.data) // N_FLIPPED))
        for at in sorted(chosen):
            damaged = bytearray(self.data)
            damaged[at] ^= 1 << at % 8
            # Of the end of the file it is the signature that tells.
            self.refuses(bytes(damaged), f'bit {at % 8} of byte {at}', key_tells=at < end)

    def test_cuts_are_found(self):
        sizes = set(range(0, len(self.data), len(self.data) // N_CUTS)) | {f.offset for f in self.backup.frames}
        for size in sorted(sizes | {len(self.data) - 1, len(self.data) - reader.TRAILER_SIZE}):
            self.refuses(self.data[:size], f'a cut at {size}')
            # The end of the file behind it does not help.
            if size < len(self.data) - reader.TRAILER_SIZE:
                self.refuses(self.data[:size] + self.data[-reader.TRAILER_SIZE:], f'what is missing from {size} on')
        self.refuses(self.data + b'\0', 'a byte more')

    def test_frames_elsewhere_are_found(self):
        frames = [frame.data for frame in self.backup.frames]
        self.assertEqual(self.put_together(frames), self.data)
        for i in range(len(frames)):
            self.refuses(self.put_together(frames[:i] + frames[i + 1:]), f'that frame {i} is not there')
            self.refuses(self.put_together(frames[:i + 1] + frames[i:]), f'frame {i} twice')
            for j in range(i + 1, len(frames)):
                swapped = list(frames)
                swapped[i], swapped[j] = frames[j], frames[i]
                self.refuses(self.put_together(swapped), f'frames {i} and {j} swapped')
                # The same with heads that say it is right: only hashes and tags can tell.
                swapped[i], swapped[j] = (head[:4] + frames[k][4:16] + head[16:] for k, head in ((i, frames[j]), (j, frames[i])))
                self.refuses(self.put_together(swapped), f'what is in frames {i} and {j} swapped')

    def test_a_recovery_key_is_text(self):
        public = reader.x25519(RECOVERY_KEY, reader.X25519_BASE)
        for key, letters, other in ((RECOVERY_KEY, 'CCPR1', 'CCPP1'), (public, 'CCPP1', 'CCPR1')):
            text = reader.recovery_key_text(key, letters)
            self.assertRegex(text, rf'^{letters}(-[0-9A-F]{{4}}){{17}}$')
            for form in (text, text.lower(), text.replace('-', ''), text.replace('-', '\n'), f' {text}\r\n'):
                self.assertEqual(reader.recovery_key_read(form, letters), key)
            wrong = [text[:-1], text + '0', text + '-0000', text.replace(letters, other), text[5:], text.replace('-', '_')]
            wrong += [text[:at] + format(int(text[at], 16) ^ 1, 'X') + text[at + 1:] for at in range(6, len(text))
                      if text[at] != '-']
            for form in wrong:
                with self.assertRaises(reader.BackupError, msg=form):
                    reader.recovery_key_read(form, letters)

    def extract(self, verb, key_text):
        with tempfile.NamedTemporaryFile('w', encoding='utf-8', suffix='.txt') as key:
            key.write(key_text)
            key.flush()
            return subprocess.run([EXTRACT, verb, '--key', key.name, GOLDEN], capture_output=True, text=True, check=False,
                                  env={'LC_ALL': 'C.UTF-8'})

    def test_the_c_program_agrees(self):
        text = reader.recovery_key_text(RECOVERY_KEY)
        for form in (text + '\n', text.lower().replace('-', '\n')):
            info = self.extract('info', form)
            self.assertEqual(info.returncode, 0, info.stderr)
            listed = {name: int(size) for size, name in re.findall(r'(?m)^ +(\d+)  (\S+)$', info.stdout)}
            self.assertEqual(listed, {name: len(content) for name, content in STREAMS.items()}, info.stdout)
            for shown in (self.backup.id.hex(), self.backup.instance.hex, SIGNER.hex(), 'oslo'):
                self.assertIn(shown, info.stdout)
        verify = self.extract('verify', text)
        self.assertEqual(verify.returncode, 0, verify.stderr)
        self.assertEqual(self.extract('verify', reader.recovery_key_text(OTHER_KEY)).returncode, 1)

    def test_the_program_lists(self):
        with tempfile.NamedTemporaryFile('w', encoding='utf-8', suffix='.txt') as key:
            key.write(reader.recovery_key_text(RECOVERY_KEY))
            key.flush()
            done = subprocess.run([sys.executable, reader.__file__, GOLDEN, '--recovery-key', key.name], capture_output=True,
                                  text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        for name, content in STREAMS.items():
            self.assertIn(f' {len(content)}  {name}\n', done.stdout)


if not shutil.which('zstd'):
    sys.exit('check-reader.py needs the program zstd (package zstd), which is not there')
unittest.main()
