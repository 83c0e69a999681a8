/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "audit-chain.h"

#include <sodium.h>
#include <stdio.h>

#include "string-util.h"

static const char *const audit_fault_table[_AUDIT_FAULT_MAX] = {
        [AUDIT_FAULT_NONE] = "none",
        [AUDIT_FAULT_CHANGED] = "changed",
        [AUDIT_FAULT_REMOVED] = "removed",
        [AUDIT_FAULT_INSERTED] = "inserted",
        [AUDIT_FAULT_MOVED] = "moved",
};
DEFINE_STRING_TABLE(audit_fault, AuditFault);

/* A netstring, and what no netstring is for NULL. */
static void hash_value(crypto_hash_sha256_state *state, const char *value) {
        char length[24];
        size_t n;
        int k;

        if (!value) {
                (void) crypto_hash_sha256_update(state, (const unsigned char *) "-,", 2);
                return;
        }

        n = strlen(value);
        k = snprintf(length, sizeof(length), "%zu:", n);
        (void) crypto_hash_sha256_update(state, (const unsigned char *) length, (size_t) k);
        (void) crypto_hash_sha256_update(state, (const unsigned char *) value, n);
        (void) crypto_hash_sha256_update(state, (const unsigned char *) ",", 1);
}

void audit_chain_hash(const char *const fields[_AUDIT_FIELD_MAX], char ret[AUDIT_HASH_TEXT_MAX]) {
        unsigned char hash[AUDIT_HASH_SIZE];
        crypto_hash_sha256_state state;

        static_assert(AUDIT_HASH_SIZE == crypto_hash_sha256_BYTES, "the hash is SHA-256");

        (void) crypto_hash_sha256_init(&state);
        for (size_t i = 0; i < _AUDIT_FIELD_MAX; i++)
                hash_value(&state, fields[i]);
        (void) crypto_hash_sha256_final(&state, hash);
        (void) sodium_bin2hex(ret, AUDIT_HASH_TEXT_MAX, hash, sizeof(hash));
}

static bool fault(AuditChain *c, AuditFault f, uint64_t seq) {
        c->verdict.fault = f;
        c->verdict.seq = seq;
        return false;
}

/* A record that is gone, or that is no hash, equals no entry's. */
static void copy_hash(char dest[AUDIT_HASH_TEXT_MAX], const char *hash) {
        (void) snprintf(dest, AUDIT_HASH_TEXT_MAX, "%s", strempty(hash));
}

bool audit_chain_begin(AuditChain *c, uint64_t checkpoint, const char *checkpoint_hash, uint64_t head,
                const char *head_hash, uint64_t first, uint64_t last, uint64_t beyond) {
        *c = (AuditChain) {
                .position = checkpoint_hash ? checkpoint : 0,
                .end = head_hash ? head : 0,
                .beyond = beyond,
                .verdict = { .first = first, .last = last },
        };
        copy_hash(c->hash, checkpoint_hash);
        copy_hash(c->end_hash, head_hash);
        (void) sodium_hex2bin(c->verdict.head, sizeof(c->verdict.head), c->end_hash, strlen(c->end_hash),
                        NULL, NULL, NULL);

        if (last > 0 && first <= c->position)
                return fault(c, AUDIT_FAULT_INSERTED, first);
        return true;
}

bool audit_chain_add(
                AuditChain *c, uint64_t seq, const char *const fields[_AUDIT_FIELD_MAX], const char *hash) {
        char expected[AUDIT_HASH_TEXT_MAX];

        if (seq != c->position + 1)
                return fault(c, AUDIT_FAULT_REMOVED, c->position + 1);
        if (!streq_ptr(fields[AUDIT_FIELD_PREVIOUS], c->hash))
                return fault(c, AUDIT_FAULT_MOVED, seq);

        audit_chain_hash(fields, expected);
        if (!streq_ptr(hash, expected))
                return fault(c, AUDIT_FAULT_CHANGED, seq);

        c->position = seq;
        copy_hash(c->hash, hash);
        c->verdict.n_verified++;
        return true;
}

void audit_chain_pruned(AuditChain *c, uint64_t checkpoint, const char *checkpoint_hash) {
        if (checkpoint <= c->position || checkpoint > c->end)
                return;

        c->position = checkpoint;
        copy_hash(c->hash, checkpoint_hash);
}

void audit_chain_finish(AuditChain *c) {
        if (c->position < c->end)
                (void) fault(c, AUDIT_FAULT_REMOVED, c->position + 1);
        else if (c->beyond > 0)
                (void) fault(c, AUDIT_FAULT_INSERTED, c->beyond);
        else if (c->position > c->end || !streq(c->hash, c->end_hash))
                (void) fault(c, AUDIT_FAULT_CHANGED, c->position);
}
