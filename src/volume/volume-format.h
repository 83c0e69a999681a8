/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The stream that ccp-vol writes and reads, and what the inventory is calculated of.
 *
 * STREAM
 *
 * The stream is a POSIX pax archive (ustar blocks of 512 bytes, with extended headers) that tar(1),
 * bsdtar(1) and Python's tarfile read. Of all archives with the same meaning exactly one is written, and
 * only that one is read: what is read is written again in memory, and must be the same bytes.
 *
 * The entries are those of the folder, depth first: a folder comes before what is in it, and what is in one
 * folder is sorted by the bytes of the names. The first entry is the folder itself, "./". All names begin
 * with "./"; those of folders end in "/". No component is empty, "." or "..", or longer than 255 bytes; a
 * name is at most 65535 bytes long.
 *
 * Each entry is: an extended header (type 'x', named "./PaxHeader", mode 0644, otherwise zeros) with its
 * records if it needs any; its header; for a file its content, filled with zeros up to a whole block. After
 * the last entry there are two blocks of zeros, and nothing after them.
 *
 * Types are '0' file, '1' hard link, '2' symbolic link, '5' folder, '6' pipe (fifo). A file with several
 * names is a file at the first of them in the stream's order, and a hard link to that name at all others;
 * owner, mode and time are the same there, the size is 0. Several names of one symbolic link or pipe become
 * several links or pipes. The mode of a symbolic link is 0777. Links of both kinds have no attributes.
 *
 * The header has name, mode (the lower 12 bits), uid, gid, size and time in octal with leading zeros and a
 * NUL at the end, checksum, type, linked name, "ustar", NUL, "00", device numbers 0; the names of user and
 * group and the prefix are empty. What does not fit there is in a record of the extended header instead,
 * and in the header there is "./PaxName" or "./PaxLink" in place of a name, and 0 in place of a number.
 * Records, in this order:
 *
 *      hdrcharset             BINARY, if a name or linked name in this header is not valid UTF-8
 *      GNU.sparse.major       1 \
 *      GNU.sparse.minor       0  | for files with holes
 *      GNU.sparse.name           | the name
 *      GNU.sparse.realsize      /  the size
 *      path                   longer than 100 bytes, or not ASCII; not for files with holes
 *      linkpath               the same
 *      size                   from 8 GiB; for files with holes, the size of what is stored
 *      uid, gid               from 2097152
 *      mtime                  before 1970, from 2242, or with a fraction, which then has 9 digits
 *      SCHILY.xattr.NAME      extended attributes, sorted by their names. In these "%" is "%25" and "=" is
 *                             "%3D". The values are the kernel's bytes. Kept are user.*,
 *                             security.capability, system.posix_acl_access and system.posix_acl_default
 *
 * An extended header is at most 1 MiB long, a value at most 64 KiB. The attributes of all folders on a
 * path, names and values, are at most 16 MiB: whoever unpacks holds them until what is in the folders is
 * there.
 *
 * A file with holes is stored as "GNU sparse 1.0": the header's name is "./GNUSparseFile.0/file", its
 * content begins with a map, filled with zeros up to a whole block, and goes on with the bytes of all
 * segments. The map has numbers in decimal, each followed by a newline: how many segments there are, then
 * offset and size of each. Segments begin at multiples of 512, and are multiples of 512 long unless they
 * end with the file; they are sorted, not empty, and do not touch each other. If the file ends with a hole
 * there is one more segment, at its end, of size 0. There are at most 262144 segments; small holes of a
 * file that has more are stored as zeros.
 *
 * Not kept are: sockets and devices, what other file systems that are mounted below hold (all of these are
 * reported), other attributes in the namespaces security and trusted, times other than that of
 * modification, and inode flags.
 *
 * A byte that is changed in a file's content is not noticed by the reader of the stream. It is by the
 * inventory.
 *
 * CONTENT HASH
 *
 * The content of a file is divided into blocks of 1 MiB, the last of which may be shorter. The hash is
 * BLAKE2b with 32 bytes, unkeyed, of: the file's size; then for each block that has a byte other than 0,
 * the byte 1 and the BLAKE2b-256 of the block; and for each longest row of blocks that have none, the byte
 * 0 and how many they are. Numbers are 8 bytes, little-endian. So holes cost nothing, and it does not
 * matter whether zeros are stored or are a hole.
 *
 * INVENTORY
 *
 * BLAKE2b with 32 bytes, unkeyed, of a sequence of fields. Each field is its length (8 bytes,
 * little-endian) and its bytes; numbers are fields of 8 bytes, little-endian, two's complement. The first
 * field is the text "ccp-vol inventory 1". Then follow for each entry, in the stream's order:
 *
 *      name                   as in the stream
 *      type                   one byte, as in the stream
 *      mode                   lower 12 bits
 *      uid, gid
 *      size                   of a file, with its holes; otherwise 0
 *      mtime                  seconds
 *      mtime                  nanoseconds, 0 … 999999999
 *      linked name            of symbolic and hard links, otherwise empty
 *      number of extended attributes, and for each, sorted by name, two fields: name (as in the kernel)
 *                             and value
 *      content hash           of a file, otherwise empty
 *
 * pack calculates it of what it writes, unpack of what it reads, inventory of what is on the disk. */

#define VOLUME_PATH_MAX 65535U
#define VOLUME_NAME_MAX 255U
/* Of a symbolic link, as the kernel has it (PATH_MAX without the NUL). */
#define VOLUME_LINK_MAX 4095U
#define VOLUME_PAX_MAX (1024U * 1024U)
#define VOLUME_XATTR_MAX (64U * 1024U)
#define VOLUME_HELD_MAX (16U * 1024U * 1024U)
#define VOLUME_SEGMENTS_MAX 262144U
#define VOLUME_BLOCK (1024U * 1024U)
#define VOLUME_HASH 32U

#define VOLUME_PAX_NAME "./PaxHeader"
#define VOLUME_LONG_NAME "./PaxName"
#define VOLUME_LONG_LINK "./PaxLink"
#define VOLUME_SPARSE_NAME "./GNUSparseFile.0/file"
