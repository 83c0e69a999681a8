/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The layout of a backup file, version 1: a prelude, a header, the header's MAC, frames, a trailer. All integers are
 * little-endian. ccp-backup(5) specifies it byte by byte.
 *
 *      prelude      64   magic[8] version:u16 suite:u8 chunk_log2:u8 header_size:u32 id[16] zero[32]
 *      header        n   fields, each: type:u16 zero:u16 size:u32 value[size]; types in ascending order
 *      header MAC   32   BLAKE2b-256 of prelude and header under the header key
 *      frames            each: size:u32 type:u8 flags:u8 stream:u16 index:u64 ciphertext[size]
 *      trailer     160   manifest_offset:u64 file_size:u64 root[32] signature[64] zero[40] magic[8]
 *
 * The archive key is random, used for one file, and in no file but sealed: for the instance, and for each recovery key.
 * A frame is XChaCha20-Poly1305 under the payload key; its nonce is its type, flags, stream and index; its associated
 * data is the header MAC and its own 16 bytes: no frame can be moved within a file, or to another one. Each frame of a
 * stream but the last holds exactly 2^chunk_log2 bytes. The manifest is the last stream. */

#include "ccp/macro.h"

#define ARCHIVE_MAGIC "CCPBKUP1"
#define ARCHIVE_TRAILER_MAGIC "CCPBEND1"
#define ARCHIVE_MAGIC_SIZE 8U
#define ARCHIVE_VERSION 1U
#define ARCHIVE_SUITE_XCHACHA20 1U
#define ARCHIVE_CHUNK_LOG2 20U
#define ARCHIVE_CHUNK_SIZE (1U << ARCHIVE_CHUNK_LOG2)

#define ARCHIVE_PRELUDE_SIZE 64U
#define ARCHIVE_HEADER_SIZE_MAX (64U * 1024U)
#define ARCHIVE_MAC_SIZE 32U
#define ARCHIVE_FRAME_SIZE 16U
#define ARCHIVE_TRAILER_SIZE 160U
#define ARCHIVE_ID_SIZE 16U
#define ARCHIVE_KEY_SIZE 32U
#define ARCHIVE_KEY_ID_SIZE 8U
#define ARCHIVE_TAG_SIZE 16U
#define ARCHIVE_HASH_SIZE 32U
#define ARCHIVE_SIGNATURE_SIZE 64U
#define ARCHIVE_SIGNING_KEY_SIZE 64U
#define ARCHIVE_RECIPIENTS_MAX 16U

/* Of the manifest, and of how many streams a file holds. */
#define ARCHIVE_MANIFEST_SIZE_MAX (16U * 1024U * 1024U)
#define ARCHIVE_STREAMS_MAX 4096U

typedef enum ArchiveField {
        ARCHIVE_FIELD_KIND = 1,          /* u8: 0, a full backup */
        ARCHIVE_FIELD_INSTANCE = 2,      /* 16 bytes: its UUID */
        ARCHIVE_FIELD_SEQUENCE = 3,      /* u64: grows with each backup of the instance */
        ARCHIVE_FIELD_CREATED = 4,       /* u64: µs since 1970 */
        ARCHIVE_FIELD_SLUG = 5,          /* text */
        ARCHIVE_FIELD_SOFTWARE = 6,      /* text: what wrote it */
        ARCHIVE_FIELD_SIGNER = 7,        /* 32 bytes: Ed25519 public key */
        ARCHIVE_FIELD_INSTANCE_KEY = 16, /* key_id[8] nonce[24] sealed[48] */
        ARCHIVE_FIELD_RECIPIENT = 17,    /* key_id[8] sealed[96]; once for each recovery key */
} ArchiveField;

typedef enum ArchiveFrameType {
        ARCHIVE_FRAME_DATA = 1,
        ARCHIVE_FRAME_MANIFEST = 2,
} ArchiveFrameType;

typedef enum ArchiveFrameFlags {
        ARCHIVE_FRAME_FINAL = 1 << 0, /* the last of its stream */
        ARCHIVE_FRAME_ZSTD = 1 << 1,  /* compressed, by itself */
        _ARCHIVE_FRAME_FLAGS_ALL = ARCHIVE_FRAME_FINAL | ARCHIVE_FRAME_ZSTD,
} ArchiveFrameFlags;
