# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recovery keys as ccp-backup(5) describes them, made by nothing of ccpd's."""

import hashlib
import secrets

PRIME = 2 ** 255 - 19


def x25519(scalar, point):
    """RFC 7748, section 5."""
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, 'little')
    x1 = int.from_bytes(point, 'little') & (2 ** 255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % PRIME, b * b % PRIME, d * a % PRIME, c * b % PRIME
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % PRIME, x1 * (da - cb) ** 2 % PRIME
        x2, z2 = aa * bb % PRIME, e * (aa + 121665 * e) % PRIME
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, PRIME - 2, PRIME) % PRIME).to_bytes(32, 'little')


def text(prefix, key):
    """A half of a key for people."""
    digits = (key + hashlib.blake2b(key, digest_size=32, key=prefix.encode()).digest()[:2]).hex().upper()
    return '-'.join([prefix, *(digits[i:i + 4] for i in range(0, len(digits), 4))])


def make_recovery_key():
    """(text of the secret half, the public half in hex)"""
    secret = secrets.token_bytes(32)
    return text('CCPR1', secret), x25519(secret, (9).to_bytes(32, 'little')).hex()
