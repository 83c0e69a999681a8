/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert-sign.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

void alert_sign(const char *secret, size_t secret_size, usec_t realtime, const char *body, size_t size,
                char ret[static ALERT_SIGNATURE_HEX_MAX]) {
        unsigned char mac[crypto_auth_hmacsha256_BYTES];
        crypto_auth_hmacsha256_state state;
        char prefix[32];
        int n;

        static_assert(ALERT_SIGNATURE_HEX_MAX == 2 * sizeof(mac) + 1, "signature");
        n = snprintf(prefix, sizeof(prefix), "%" PRIu64 ".", realtime / USEC_PER_SEC);
        (void) crypto_auth_hmacsha256_init(&state, (const unsigned char *) secret, secret_size);
        (void) crypto_auth_hmacsha256_update(&state, (const unsigned char *) prefix, (unsigned long long) n);
        (void) crypto_auth_hmacsha256_update(&state, (const unsigned char *) body, size);
        (void) crypto_auth_hmacsha256_final(&state, mac);
        (void) sodium_bin2hex(ret, ALERT_SIGNATURE_HEX_MAX, mac, sizeof(mac));
        sodium_memzero(&state, sizeof(state));
}
