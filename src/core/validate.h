/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tests for the names that people choose. Each *_validate() returns 0, or -EINVAL with an InvalidArgument
 * whose sentence says the rule. */

#include "error.h"

#define SLUG_MAX 32U
#define DOMAIN_MAX 253U
#define DOMAIN_LABEL_MAX 63U
#define DISPLAY_NAME_MAX 100U /* characters, not bytes */
#define NAME_MAX_LENGTH 63U   /* names of parameters, features, ports and secrets */

/* [a-z0-9]([a-z0-9-]{0,30}[a-z0-9])? */
bool slug_is_valid(const char *s);
int slug_validate(const char *s, Error *reterr);
/* A slug made of a display name, as a suggestion: "Zürich Chapter" gives "zurich-chapter". -ENOENT if no
 * letter or digit is left; the result is always valid. */
int slug_from_name(const char *name, char **ret);

/* A full domain name: lower-cased, labels of 1 to 63 letters, digits and inner hyphens, a dot at least, no
 * numeric last label, IDN as xn--. Only the second of them changes letters. */
bool domain_is_valid(const char *s);
int domain_normalize(const char *s, char **ret, Error *reterr);

/* One to a hundred characters of text without control characters, and not only blanks. */
int display_name_validate(const char *s, Error *reterr);

/* Blueprint names follow the rule of slugs. */
int blueprint_name_validate(const char *s, Error *reterr);
/* [a-z][a-z0-9_]{0,62}; features, and ports, may have dashes too; secrets are in capitals. */
bool parameter_name_is_valid(const char *s);
bool feature_name_is_valid(const char *s);
bool secret_name_is_valid(const char *s);
/* What compose takes as the name of a service: [a-zA-Z0-9._-]{1,63}, beginning with a letter or digit. */
bool service_name_is_valid(const char *s);

/* A piece of foreign text as it may be quoted in a sentence: at most about 60 bytes of it, and a mark
 * instead of text that is not safe to print. Returns buf. */
#define TEXT_FOR_ERROR_MAX 72U
const char *text_for_error(char *buf, size_t size, const char *s);
#define TEXT_FOR_ERROR(s) text_for_error((char[TEXT_FOR_ERROR_MAX]) {}, TEXT_FOR_ERROR_MAX, (s))

/* The number of a row as people write it: 1 to 2^63 - 1, without a sign, a blank or a leading zero. -EINVAL. */
int decimal_id_parse(const char *s, uint64_t *ret);
