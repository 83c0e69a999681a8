/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "validate.h"

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "string-util.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Letters of Latin-1 from U+00C0, written with ASCII. */
static const char *const latin_table[] = {
        "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i", /* À to Ï */
        "d", "n", "o", "o", "o", "o", "o", "", "o", "u", "u", "u", "u", "y", "th", "ss", /* Ð to ß */
        "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i", /* à to ï */
        "d", "n", "o", "o", "o", "o", "o", "", "o", "u", "u", "u", "u", "y", "th", "y",  /* ð to ÿ */
};

/* True if s is 1 to max bytes long, begins with one of 'first' and consists of 'all'. */
static bool consists_of(const char *s, const char *first, const char *all, size_t max) {
        size_t n;

        if (!s || !s[0] || !strchr(first, s[0]))
                return false;

        n = strspn(s, all);
        return s[n] == 0 && n <= max;
}

bool slug_is_valid(const char *s) {
        return consists_of(s, LOWER DIGITS, LOWER DIGITS "-", SLUG_MAX) && s[strlen(s) - 1] != '-';
}

int slug_validate(const char *s, Error *reterr) {
        /* Its slice would be that of all workers, ccp-jobs.slice. */
        if (streq_ptr(s, "jobs"))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "'jobs' cannot be a slug: ccpd uses this name itself.");
        if (slug_is_valid(s))
                return 0;

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                        "'%s' cannot be a slug: it has 1 to %u lower-case letters, digits and hyphens, and "
                        "neither begins nor ends with a hyphen.",
                        TEXT_FOR_ERROR(s), SLUG_MAX);
}

int slug_from_name(const char *name, char **ret) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *slug;
        size_t n;
        int r;

        for (const unsigned char *p = (const unsigned char *) name; *p; p++) {
                bool was_dash = b.size > 0 && b.data[b.size - 1] == '-';

                if ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9'))
                        string_builder_append_n(&b, (const char *) p, 1);
                else if (*p >= 'A' && *p <= 'Z')
                        string_builder_append_n(&b, &(char) { (char) (*p | 0x20) }, 1);
                else if (*p == 0xC3 && p[1] >= 0x80 && p[1] <= 0xBF)
                        string_builder_append(&b, latin_table[*++p - 0x80]);
                else if (*p == '\'')
                        continue; /* "people's" is one word */
                else if (*p < 0x80 && b.size > 0 && !was_dash)
                        string_builder_append(&b, "-");
        }

        r = string_builder_finish(&b, &slug, &n);
        if (r < 0)
                return r;

        n = MIN(n, (size_t) SLUG_MAX);
        while (n > 0 && slug[n - 1] == '-')
                n--;
        slug[n] = 0;
        if (n == 0) {
                free(slug);
                return -ENOENT;
        }

        *ret = slug;
        return 0;
}

/* The rule that a domain breaks, as the end of a sentence, or NULL. */
static const char *domain_find_fault(const char *s) {
        const char *label = s;
        size_t n, n_labels = 0;

        if (!s || !s[0])
                return "it is empty";
        if (strlen(s) > DOMAIN_MAX)
                return "it is longer than 253 characters";

        for (;; label += n + 1) {
                n = strcspn(label, ".");
                if (n == 0)
                        return "a part between its dots is empty";
                if (n > DOMAIN_LABEL_MAX)
                        return "a part between its dots is longer than 63 characters";
                if (strspn(label, LOWER DIGITS "-") < n)
                        return "it may only have letters, digits, hyphens and dots (write an international "
                               "name in its xn-- form)";
                if (label[0] == '-' || label[n - 1] == '-')
                        return "no part of it may begin or end with a hyphen";
                if (n >= 4 && label[2] == '-' && label[3] == '-' && strncmp(label, "xn", 2) != 0)
                        return "a part with hyphens in third and fourth place must begin with xn--";

                n_labels++;
                if (label[n] == 0)
                        break;
        }

        if (n_labels < 2)
                return "it needs a dot, as in app.example.org";
        if (strspn(label, DIGITS) == n)
                return "its last part may not be a number";

        return NULL;
}

bool domain_is_valid(const char *s) {
        return !domain_find_fault(s);
}

int domain_normalize(const char *s, char **ret, Error *reterr) {
        _cleanup_free_ char *copy = NULL;
        const char *fault;

        copy = strdup(strempty(s));
        if (!copy)
                return -ENOMEM;

        for (char *p = copy; *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p = (char) (*p | 0x20);

        fault = domain_find_fault(copy);
        if (fault)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "'%s' cannot be a domain: %s.",
                                TEXT_FOR_ERROR(s), fault);

        *ret = TAKE_PTR(copy);
        return 0;
}

int display_name_validate(const char *s, Error *reterr) {
        size_t n = 0;

        if (!s || !string_is_safe(s))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The name must be one line of UTF-8 text without control characters.");

        for (const char *p = s; *p; p++)
                n += ((unsigned char) *p & 0xC0) != 0x80;
        if (n == 0 || n > DISPLAY_NAME_MAX || s[strspn(s, " ")] == 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The name must have 1 to %u characters, not all of them blank.",
                                DISPLAY_NAME_MAX);

        return 0;
}

int blueprint_name_validate(const char *s, Error *reterr) {
        if (slug_is_valid(s))
                return 0;

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                        "'%s' cannot be the name of a blueprint: it has 1 to %u lower-case letters, digits "
                        "and hyphens, and neither begins nor ends with a hyphen.",
                        TEXT_FOR_ERROR(s), SLUG_MAX);
}

bool parameter_name_is_valid(const char *s) {
        return consists_of(s, LOWER, LOWER DIGITS "_", NAME_MAX_LENGTH);
}

bool feature_name_is_valid(const char *s) {
        return consists_of(s, LOWER, LOWER DIGITS "_-", NAME_MAX_LENGTH);
}

bool secret_name_is_valid(const char *s) {
        return consists_of(s, UPPER, UPPER DIGITS "_", NAME_MAX_LENGTH);
}

bool service_name_is_valid(const char *s) {
        return consists_of(s, LOWER UPPER DIGITS, LOWER UPPER DIGITS "._-", NAME_MAX_LENGTH);
}

const char *text_for_error(char *buf, size_t size, const char *s) {
        static const char ellipsis[] = "…";
        size_t n;

        if (!s || !string_is_safe(s)) {
                (void) snprintf(buf, size, "(text that cannot be printed)");
                return buf;
        }

        if (strlen(s) < size) {
                (void) snprintf(buf, size, "%s", s);
                return buf;
        }

        /* Cut between characters. */
        n = size - sizeof(ellipsis);
        while (n > 0 && ((unsigned char) s[n] & 0xC0) == 0x80)
                n--;
        (void) snprintf(buf, size, "%.*s%s", (int) n, s, ellipsis);
        return buf;
}

int decimal_id_parse(const char *s, uint64_t *ret) {
        unsigned long long n;
        char *end;

        if (s[0] < '1' || s[0] > '9')
                return -EINVAL;
        errno = 0;
        n = strtoull(s, &end, 10);
        if (errno != 0 || *end || n > INT64_MAX)
                return -EINVAL;

        *ret = n;
        return 0;
}
