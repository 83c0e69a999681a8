/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "archive-header.h"

#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "alloc-util.h"
#include "string-util.h"

#define FIELD_SIZE 8U
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define SLUG_SIZE_MAX 64U
#define SOFTWARE_SIZE_MAX 64U

/* What a key is sealed with, besides the ids of file and instance. */
#define PURPOSE_INSTANCE "ccp-backup-1 instance"

/* Sealed for the instance: its id, a nonce, the archive key. */
#define INSTANCE_KEY_FIELD_SIZE (ARCHIVE_KEY_ID_SIZE + NONCE_SIZE + ARCHIVE_KEY_SIZE + ARCHIVE_TAG_SIZE)
/* Sealed for a recovery key: its id; the archive key and the id of the file. */
#define RECIPIENT_PLAIN_SIZE (ARCHIVE_KEY_SIZE + ARCHIVE_ID_SIZE)
#define RECIPIENT_FIELD_SIZE (ARCHIVE_KEY_ID_SIZE + crypto_box_SEALBYTES + RECIPIENT_PLAIN_SIZE)

#define DAMAGED "The backup is damaged or no backup: "

void archive_header_done(ArchiveHeader *h) {
        h->slug = mfree(h->slug);
        h->software = mfree(h->software);
}

/* --- writing --- */

static void append_field(StringBuilder *b, ArchiveField type, const void *value, size_t size) {
        uint16_t t = htole16((uint16_t) type), zero = 0;
        uint32_t n = htole32((uint32_t) size);

        string_builder_append_n(b, (const char *) &t, sizeof(t));
        string_builder_append_n(b, (const char *) &zero, sizeof(zero));
        string_builder_append_n(b, (const char *) &n, sizeof(n));
        string_builder_append_n(b, value, size);
}

static void append_u64(StringBuilder *b, ArchiveField type, uint64_t value) {
        uint64_t v = htole64(value);

        append_field(b, type, &v, sizeof(v));
}

static size_t instance_associated_data(
                const uint8_t *id, const uint8_t *instance, uint8_t ret[STRLEN(PURPOSE_INSTANCE) + 32]) {
        memcpy(ret, PURPOSE_INSTANCE, STRLEN(PURPOSE_INSTANCE));
        memcpy(ret + STRLEN(PURPOSE_INSTANCE), id, ARCHIVE_ID_SIZE);
        memcpy(ret + STRLEN(PURPOSE_INSTANCE) + ARCHIVE_ID_SIZE, instance, ARCHIVE_ID_SIZE);
        return STRLEN(PURPOSE_INSTANCE) + 2 * (size_t) ARCHIVE_ID_SIZE;
}

static void append_instance_key(StringBuilder *b, const ArchiveHeader *h, const ArchiveSealers *sealers,
                const ArchiveSecrets *s) {
        uint8_t value[INSTANCE_KEY_FIELD_SIZE], about[STRLEN(PURPOSE_INSTANCE) + 32];
        uint8_t *nonce = value + ARCHIVE_KEY_ID_SIZE;
        size_t n = instance_associated_data(h->id, h->instance, about);

        memcpy(value, sealers->instance_key_id, ARCHIVE_KEY_ID_SIZE);
        randombytes_buf(nonce, NONCE_SIZE);
        (void) crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + NONCE_SIZE, NULL, s->archive,
                        sizeof(s->archive), about, n, NULL, nonce, sealers->instance_key);
        append_field(b, ARCHIVE_FIELD_INSTANCE_KEY, value, sizeof(value));
}

static int append_recipient(StringBuilder *b, const ArchiveHeader *h,
                const uint8_t public_key[ARCHIVE_KEY_SIZE], const ArchiveSecrets *s) {
        uint8_t value[RECIPIENT_FIELD_SIZE], plain[RECIPIENT_PLAIN_SIZE];
        int r;

        memcpy(plain, s->archive, ARCHIVE_KEY_SIZE);
        memcpy(plain + ARCHIVE_KEY_SIZE, h->id, ARCHIVE_ID_SIZE);
        archive_recipient_id(public_key, value);
        r = crypto_box_seal(value + ARCHIVE_KEY_ID_SIZE, plain, sizeof(plain), public_key);
        explicit_bzero(plain, sizeof(plain));
        if (r < 0)
                return -EINVAL;

        append_field(b, ARCHIVE_FIELD_RECIPIENT, value, sizeof(value));
        return 0;
}

static int append_fields(StringBuilder *b, const ArchiveHeader *h, const ArchiveSealers *sealers,
                const ArchiveSecrets *s) {
        int r;

        append_field(b, ARCHIVE_FIELD_KIND, (uint8_t[]) { 0 }, 1);
        append_field(b, ARCHIVE_FIELD_INSTANCE, h->instance, sizeof(h->instance));
        append_u64(b, ARCHIVE_FIELD_SEQUENCE, h->sequence);
        append_u64(b, ARCHIVE_FIELD_CREATED, h->created_at);
        append_field(b, ARCHIVE_FIELD_SLUG, strempty(h->slug), strlen(strempty(h->slug)));
        append_field(b, ARCHIVE_FIELD_SOFTWARE, strempty(h->software), strlen(strempty(h->software)));
        append_field(b, ARCHIVE_FIELD_SIGNER, h->signer, sizeof(h->signer));
        append_instance_key(b, h, sealers, s);
        FOREACH_ARRAY(recipient, sealers->recipients, sealers->n_recipients) {
                r = append_recipient(b, h, *recipient, s);
                if (r < 0)
                        return r;
        }

        return b->failed ? -ENOMEM : 0;
}

static void mac_of(
                const uint8_t *data, size_t size, const ArchiveSecrets *s, uint8_t ret[ARCHIVE_MAC_SIZE]) {
        (void) crypto_generichash(ret, ARCHIVE_MAC_SIZE, data, size, s->header, sizeof(s->header));
}

static void format_prelude(const ArchiveHeader *h, size_t header_size, uint8_t ret[ARCHIVE_PRELUDE_SIZE]) {
        static const uint8_t magic[ARCHIVE_MAGIC_SIZE] = ARCHIVE_MAGIC;
        uint16_t version = htole16(ARCHIVE_VERSION);
        uint32_t n = htole32((uint32_t) header_size);

        memset(ret, 0, ARCHIVE_PRELUDE_SIZE);
        memcpy(ret, magic, sizeof(magic));
        memcpy(ret + 8, &version, sizeof(version));
        ret[10] = ARCHIVE_SUITE_XCHACHA20;
        ret[11] = ARCHIVE_CHUNK_LOG2;
        memcpy(ret + 12, &n, sizeof(n));
        memcpy(ret + 16, h->id, sizeof(h->id));
}

int archive_header_write(ArchiveHeader *h, const ArchiveSealers *sealers, uint8_t **ret, size_t *ret_size,
                ArchiveSecrets **ret_secrets, Error *reterr) {
        _cleanup_(archive_secrets_freep) ArchiveSecrets *s = archive_secrets_new();
        _cleanup_string_builder_ StringBuilder fields = {};
        _cleanup_free_ uint8_t *data = NULL;
        size_t n;
        int r;

        assert(sealers->n_recipients <= ARCHIVE_RECIPIENTS_MAX);
        if (!s)
                return error_set_errnof(reterr, errno, "Could not hold the key of a backup: %m");

        randombytes_buf(s->archive, sizeof(s->archive));
        archive_secrets_derive(s);
        randombytes_buf(h->id, sizeof(h->id));
        (void) crypto_sign_ed25519_sk_to_pk(h->signer, sealers->signing_key);

        r = append_fields(&fields, h, sealers, s);
        if (r < 0)
                return error_set_errnof(reterr, r, "Could not seal the key of a backup: %m");

        n = ARCHIVE_PRELUDE_SIZE + fields.size + ARCHIVE_MAC_SIZE;
        data = new0(uint8_t, n);
        if (!data)
                return error_set_errnof(reterr, ENOMEM, "%m");
        format_prelude(h, fields.size, data);
        memcpy(data + ARCHIVE_PRELUDE_SIZE, fields.data, fields.size);
        mac_of(data, n - ARCHIVE_MAC_SIZE, s, data + n - ARCHIVE_MAC_SIZE);

        *ret = TAKE_PTR(data);
        *ret_size = n;
        *ret_secrets = TAKE_PTR(s);
        return 0;
}

/* --- reading --- */

int archive_prelude_read(const uint8_t *prelude, size_t *ret_header_size, Error *reterr) {
        static const uint8_t zero[32] = {};
        uint16_t version;
        uint32_t n;

        if (memcmp(prelude, ARCHIVE_MAGIC, ARCHIVE_MAGIC_SIZE) != 0)
                return error_setf(
                                reterr, CCP_ERROR_BACKUP_DAMAGED, DAMAGED "it begins with something else.");

        memcpy(&version, prelude + 8, sizeof(version));
        version = le16toh(version);
        if (version > ARCHIVE_VERSION)
                return error_setf(reterr, CCP_ERROR_BACKUP_TOO_NEW,
                                "The backup has version %u, and this ccpd knows versions up to %u. Use a "
                                "newer "
                                "ccpd.",
                                version, ARCHIVE_VERSION);

        memcpy(&n, prelude + 12, sizeof(n));
        n = le32toh(n);
        if (version == 0 || prelude[10] != ARCHIVE_SUITE_XCHACHA20 || prelude[11] != ARCHIVE_CHUNK_LOG2 ||
                        n > ARCHIVE_HEADER_SIZE_MAX || memcmp(prelude + 32, zero, sizeof(zero)) != 0)
                return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                DAMAGED "its first bytes are none that were ever written.");

        *ret_header_size = n;
        return 0;
}

/* One field; *at goes on to the next. 0 at the end, 1 for a field, -EBADMSG. */
static int next_field(const uint8_t **at, const uint8_t *end, unsigned *type, const uint8_t **value,
                size_t *size) {
        uint16_t t, zero;
        uint32_t n;

        if (*at == end)
                return 0;
        if ((size_t) (end - *at) < FIELD_SIZE)
                return -EBADMSG;
        memcpy(&t, *at, sizeof(t));
        memcpy(&zero, *at + 2, sizeof(zero));
        memcpy(&n, *at + 4, sizeof(n));
        n = le32toh(n);
        *at += FIELD_SIZE;
        if (zero != 0 || n > (size_t) (end - *at) || le16toh(t) < *type)
                return -EBADMSG;

        *type = le16toh(t);
        *value = *at;
        *size = n;
        *at += n;
        return 1;
}

static int read_bytes(const uint8_t *value, size_t size, void *ret, size_t expected) {
        if (size != expected)
                return -EBADMSG;
        memcpy(ret, value, size);
        return 0;
}

static int read_u64(const uint8_t *value, size_t size, uint64_t *ret) {
        uint64_t v;

        if (size != sizeof(v))
                return -EBADMSG;
        memcpy(&v, value, sizeof(v));
        *ret = le64toh(v);
        return 0;
}

static int read_text(const uint8_t *value, size_t size, size_t max, char **ret) {
        char *s;

        if (size > max || memchr(value, 0, size))
                return -EBADMSG;
        s = strndup((const char *) value, size);
        if (!s)
                return -ENOMEM;
        if (!string_is_safe(s)) {
                free(s);
                return -EBADMSG;
        }
        *ret = s;
        return 0;
}

static int read_recipient(ArchiveHeader *h, const uint8_t *value, size_t size) {
        if (size != RECIPIENT_FIELD_SIZE || h->n_recipients == ARCHIVE_RECIPIENTS_MAX)
                return -EBADMSG;
        memcpy(h->recipients[h->n_recipients++], value, ARCHIVE_KEY_ID_SIZE);
        return 0;
}

static int read_field(ArchiveHeader *h, unsigned type, const uint8_t *value, size_t size) {
        uint8_t kind;

        switch (type) {
        case ARCHIVE_FIELD_KIND:
                return read_bytes(value, size, &kind, 1) < 0 || kind != 0 ? -EBADMSG : 0;
        case ARCHIVE_FIELD_INSTANCE:
                return read_bytes(value, size, h->instance, sizeof(h->instance));
        case ARCHIVE_FIELD_SEQUENCE:
                return read_u64(value, size, &h->sequence);
        case ARCHIVE_FIELD_CREATED:
                return read_u64(value, size, &h->created_at);
        case ARCHIVE_FIELD_SLUG:
                return read_text(value, size, SLUG_SIZE_MAX, &h->slug);
        case ARCHIVE_FIELD_SOFTWARE:
                return read_text(value, size, SOFTWARE_SIZE_MAX, &h->software);
        case ARCHIVE_FIELD_SIGNER:
                return read_bytes(value, size, h->signer, sizeof(h->signer));
        case ARCHIVE_FIELD_INSTANCE_KEY:
                return size == INSTANCE_KEY_FIELD_SIZE ? 0 : -EBADMSG;
        case ARCHIVE_FIELD_RECIPIENT:
                return read_recipient(h, value, size);
        default:
                return -EBADMSG;
        }
}

static int read_fields(ArchiveHeader *h, const uint8_t *at, const uint8_t *end) {
        unsigned type = 0, last = 0;
        /* All but the recipients are there, once. */
        uint64_t seen = 0;
        const uint8_t *value;
        size_t size;
        int r;

        while ((r = next_field(&at, end, &type, &value, &size)) > 0) {
                if (type == last && type != ARCHIVE_FIELD_RECIPIENT)
                        return -EBADMSG;
                r = read_field(h, type, value, size);
                if (r < 0)
                        return r;
                seen |= 1ULL << type;
                last = type;
        }
        if (r < 0)
                return r;

        seen &= ~(1ULL << ARCHIVE_FIELD_RECIPIENT);
        return seen == (0xfeULL | 1ULL << ARCHIVE_FIELD_INSTANCE_KEY) ? 0 : -EBADMSG;
}

/* The fields of all that is written before the frames. NULL if it can't be that. */
static const uint8_t *fields_of(const uint8_t *data, size_t size, const uint8_t **ret_end) {
        if (size < ARCHIVE_PRELUDE_SIZE + ARCHIVE_MAC_SIZE)
                return NULL;
        *ret_end = data + size - ARCHIVE_MAC_SIZE;
        return data + ARCHIVE_PRELUDE_SIZE;
}

int archive_header_read(const uint8_t *data, size_t size, ArchiveHeader *ret, Error *reterr) {
        _cleanup_archive_header_ ArchiveHeader h = {};
        const uint8_t *fields, *end = NULL;
        size_t n = 0;
        int r;

        fields = fields_of(data, size, &end);
        if (!fields)
                return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED, DAMAGED "it is too short.");
        r = archive_prelude_read(data, &n, reterr);
        if (r < 0)
                return r;
        memcpy(h.id, data + 16, sizeof(h.id));
        r = n == (size_t) (end - fields) ? read_fields(&h, fields, end) : -EBADMSG;
        if (r == -ENOMEM)
                return error_set_errnof(reterr, r, "%m");
        if (r < 0)
                return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                DAMAGED "its header is none that was ever written.");

        *ret = TAKE_GENERIC(h, (ArchiveHeader) {});
        return 0;
}

/* --- opening --- */

/* Each of these: 1 if the key was opened, 0 if it is sealed for another one, -EBADMSG. */
static int open_instance_key(const ArchiveHeader *h, const uint8_t *value, const ArchiveOpener *opener,
                ArchiveSecrets *s) {
        uint8_t about[STRLEN(PURPOSE_INSTANCE) + 32];
        const uint8_t *nonce = value + ARCHIVE_KEY_ID_SIZE;
        size_t n = instance_associated_data(h->id, h->instance, about);

        if (!opener->instance_key || memcmp(value, opener->instance_key_id, ARCHIVE_KEY_ID_SIZE) != 0)
                return 0;

        return crypto_aead_xchacha20poly1305_ietf_decrypt(s->archive, NULL, NULL, nonce + NONCE_SIZE,
                               ARCHIVE_KEY_SIZE + ARCHIVE_TAG_SIZE, about, n, nonce,
                               opener->instance_key) < 0
                        ? -EBADMSG
                        : 1;
}

static int open_recipient(const ArchiveHeader *h, const uint8_t *value, const ArchiveOpener *opener,
                ArchiveSecrets *s) {
        uint8_t public_key[ARCHIVE_KEY_SIZE], id[ARCHIVE_KEY_ID_SIZE], plain[RECIPIENT_PLAIN_SIZE];
        int r;

        if (!opener->recovery_key || crypto_scalarmult_base(public_key, opener->recovery_key) < 0)
                return 0;
        archive_recipient_id(public_key, id);
        if (memcmp(value, id, sizeof(id)) != 0)
                return 0;

        r = crypto_box_seal_open(plain, value + ARCHIVE_KEY_ID_SIZE,
                            RECIPIENT_FIELD_SIZE - ARCHIVE_KEY_ID_SIZE, public_key,
                            opener->recovery_key) < 0 ||
                                        memcmp(plain + ARCHIVE_KEY_SIZE, h->id, ARCHIVE_ID_SIZE) != 0
                        ? -EBADMSG
                        : 1;
        if (r > 0)
                memcpy(s->archive, plain, ARCHIVE_KEY_SIZE);
        explicit_bzero(plain, sizeof(plain));
        return r;
}

static int open_key(const ArchiveHeader *h, const uint8_t *fields, const uint8_t *end,
                const ArchiveOpener *opener, ArchiveSecrets *s, StringBuilder *ids) {
        bool damaged = false;
        const uint8_t *value;
        unsigned type = 0;
        size_t size;

        while (next_field(&fields, end, &type, &value, &size) > 0) {
                char id[2 * ARCHIVE_KEY_ID_SIZE + 1];
                int r;

                if (!IN_SET(type, ARCHIVE_FIELD_INSTANCE_KEY, ARCHIVE_FIELD_RECIPIENT))
                        continue;

                r = type == ARCHIVE_FIELD_RECIPIENT ? open_recipient(h, value, opener, s)
                                                    : open_instance_key(h, value, opener, s);
                if (r > 0)
                        return 1;
                damaged = damaged || r < 0;
                string_builder_appendf(ids, "%s%s %s", ids->size > 0 ? ", " : "",
                                type == ARCHIVE_FIELD_RECIPIENT ? "the recovery key" : "the instance's key",
                                sodium_bin2hex(id, sizeof(id), value, ARCHIVE_KEY_ID_SIZE));
        }

        return damaged ? -EBADMSG : 0;
}

int archive_header_open(const uint8_t *data, size_t size, const ArchiveOpener *opener,
                ArchiveSecrets **ret_secrets, Error *reterr) {
        _cleanup_(archive_secrets_freep) ArchiveSecrets *s = archive_secrets_new();
        _cleanup_string_builder_ StringBuilder ids = {};
        _cleanup_archive_header_ ArchiveHeader h = {};
        uint8_t mac[ARCHIVE_MAC_SIZE];
        const uint8_t *fields, *end = NULL;
        int r;

        if (!s)
                return error_set_errnof(reterr, errno, "Could not hold the key of a backup: %m");
        r = archive_header_read(data, size, &h, reterr);
        if (r < 0)
                return r;

        fields = fields_of(data, size, &end);
        if (opener->archive_key) {
                memcpy(s->archive, opener->archive_key, sizeof(s->archive));
                r = 1;
        } else
                r = open_key(&h, fields, end, opener, s, &ids);
        if (r == 0)
                return error_setf(reterr, CCP_ERROR_KEY_MISSING,
                                "The backup cannot be opened with this key; it is sealed for: %s.",
                                strempty(ids.data));
        if (r > 0) {
                archive_secrets_derive(s);
                mac_of(data, size - ARCHIVE_MAC_SIZE, s, mac);
        }
        if (r < 0 || sodium_memcmp(mac, end, sizeof(mac)) != 0)
                return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                "The backup is damaged: its header is not what was written.");

        *ret_secrets = TAKE_PTR(s);
        return 0;
}

static int read_beginning(int fd, void *data, size_t size, Error *reterr) {
        ssize_t n = pread(fd, data, size, 0);

        if (n < 0)
                return error_set_errnof(reterr, errno, "Cannot read the backup: %m");
        return (size_t) n == size ? 0
                                  : error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                                    "The backup is damaged or no backup: it is too short.");
}

int archive_header_load(int fd, uint8_t **ret, size_t *ret_size, Error *reterr) {
        uint8_t prelude[ARCHIVE_PRELUDE_SIZE];
        _cleanup_free_ uint8_t *data = NULL;
        size_t size;
        int r;

        r = read_beginning(fd, prelude, sizeof(prelude), reterr);
        if (r >= 0)
                r = archive_prelude_read(prelude, &size, reterr);
        if (r < 0)
                return r;
        size += ARCHIVE_PRELUDE_SIZE + ARCHIVE_MAC_SIZE;
        data = new0(uint8_t, size);
        if (!data)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = read_beginning(fd, data, size, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(data);
        *ret_size = size;
        return 0;
}
