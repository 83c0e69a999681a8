/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert-target.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "string-util.h"
#include "strv.h"
#include "validate.h"

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define PORT_DIGITS_MAX 5U

static const char *after_scheme(const char *url) {
        return startswith(url, "https://") ?: startswith(url, "http://");
}

/* What no part of an address may have: programs that read it would not agree on where the host ends. */
static bool has_strange_characters(const char *s) {
        for (; *s; s++)
                if (*s <= ' ' || *s > '~' || strchr("\\\"<>^`{}|#", *s))
                        return true;
        return false;
}

static bool port_is_valid(const char *s, size_t n) {
        unsigned long port;

        if (n == 0 || n > PORT_DIGITS_MAX || strspn(s, "0123456789") != n)
                return false;
        port = strtoul(s, NULL, 10);
        return port >= 1 && port <= UINT16_MAX;
}

/* HOST, HOST:PORT or [ADDRESS]:PORT, of n bytes. */
static bool authority_is_valid(const char *s, size_t n) {
        size_t host;

        if (s[0] == '[') {
                host = 1 + strspn(s + 1, "0123456789abcdefABCDEF:.");
                if (host < 3 || s[host] != ']')
                        return false;
                host++;
        } else {
                host = strspn(s, LETTERS_AND_DIGITS ".-");
                if (host == 0 || host > DOMAIN_MAX || strchr("-.", s[0]))
                        return false;
        }

        return host == n || (host < n && s[host] == ':' && port_is_valid(s + host + 1, n - host - 1));
}

int webhook_url_validate(const char *url, Error *reterr) {
        const char *s = after_scheme(url);
        size_t n;

        if (!s || strlen(url) > WEBHOOK_URL_MAX || has_strange_characters(s))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The address of a webhook begins with https:// or http:// and has at most "
                                "%u "
                                "characters, none of them a blank or a sign that has to be written as %%XX.",
                                WEBHOOK_URL_MAX);

        n = strcspn(s, "/?");
        if (memchr(s, '@', n))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The address of a webhook has a user or password in it. Leave them out: "
                                "each message is "
                                "signed, which the receiver checks with the secret that 'ccpctl alert "
                                "secret' gives.");
        if (!authority_is_valid(s, n))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The address of a webhook names no host, or one that cannot be: write "
                                "https://HOST[:PORT]/PATH.");

        return 0;
}

char *webhook_url_redact(const char *url) {
        const char *s = after_scheme(url);
        _cleanup_free_ char *origin = NULL;
        size_t n;

        if (!s)
                return strdup("");

        n = (size_t) (s - url) + strcspn(s, "/?");
        origin = strndup(url, n);
        if (!origin)
                return NULL;
        return isempty(url + n) || streq(url + n, "/") ? strdup(url) : strjoin(origin, "/…");
}

/* Neither an option, nor what mail servers take for a file or a program. */
static bool mail_address_is_valid(const char *s) {
        const char *at = strchr(s, '@');
        size_t local = at ? (size_t) (at - s) : strlen(s);
        _cleanup_free_ char *domain = NULL;
        _cleanup_error_ Error e = {};

        if (strlen(s) > MAIL_ADDRESS_MAX || local == 0 || local > 64 || strchr("-.", s[0]) ||
                        strspn(s, LETTERS_AND_DIGITS "._+=-") != local || s[local - 1] == '.' ||
                        strstr(s, ".."))
                return false;

        /* A host of this network may have a name without a dot. */
        return !at || slug_is_valid(at + 1) || domain_normalize(at + 1, &domain, &e) >= 0;
}

int mail_addresses_parse(const char *s, char ***ret, Error *reterr) {
        _cleanup_strv_free_ char **l = NULL;
        int r;

        for (s += strspn(s, ", "); *s; s += strspn(s, ", ")) {
                size_t n = strcspn(s, ", ");
                _cleanup_free_ char *address = strndup(s, n);

                if (!address)
                        return error_set_errnof(reterr, ENOMEM, "Cannot read the mail addresses: %m");
                if (!mail_address_is_valid(address))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "'%s' is no mail address: write USER@DOMAIN, or a user of this "
                                        "machine.",
                                        TEXT_FOR_ERROR(address));
                if (strv_length(l) >= MAIL_ADDRESSES_MAX)
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "Alerts are mailed to at most %u addresses. Use the address of a "
                                        "list.",
                                        MAIL_ADDRESSES_MAX);
                r = strv_extend(&l, address);
                if (r < 0)
                        return error_set_errnof(reterr, r, "Cannot read the mail addresses: %m");
                s += n;
        }

        if (strv_length(l) == 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "There is no mail address.");

        *ret = TAKE_PTR(l);
        return 0;
}
