/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool value_get_string(const Value *v, const char **ret, size_t *ret_size) {
        if (v->type == VALUE_STRING) {
                *ret = v->s;
                *ret_size = v->n;
                return true;
        }
        if (value_json(v, JSON_STRING)) {
                *ret = json_string_value(v->json);
                *ret_size = json_string_length(v->json);
                return true;
        }
        return false;
}

bool value_get_boolean(const Value *v, bool *ret) {
        if (v->type == VALUE_BOOLEAN)
                *ret = v->boolean;
        else if (v->type == VALUE_JSON && json_is_boolean(v->json))
                *ret = json_is_true(v->json);
        else
                return false;
        return true;
}

bool value_get_integer(const Value *v, json_int_t *ret) {
        if (v->type == VALUE_INTEGER)
                *ret = v->integer;
        else if (value_json(v, JSON_INTEGER))
                *ret = json_integer_value(v->json);
        else
                return false;
        return true;
}

bool value_get_number(const Value *v, double *ret) {
        json_int_t i;

        if (value_get_integer(v, &i))
                *ret = (double) i;
        else if (v->type == VALUE_REAL)
                *ret = v->real;
        else if (value_json(v, JSON_REAL))
                *ret = json_real_value(v->json);
        else
                return false;
        return true;
}

bool value_is_true(const Value *v) {
        const char *s;
        size_t n;
        double d;
        bool b;

        if (value_is_nothing(v))
                return false;
        if (value_get_boolean(v, &b))
                return b;
        if (value_get_number(v, &d))
                return !isnan(d) && (d < 0 || d > 0);
        if (value_get_string(v, &s, &n))
                return n > 0;
        return !value_json(v, JSON_ARRAY) || json_array_size(v->json) > 0;
}

bool value_equal(const Value *a, const Value *b) {
        json_int_t i, j;
        const char *s, *t;
        size_t n, m;
        double d, e;
        bool p, q;

        if (value_is_nothing(a) || value_is_nothing(b))
                return value_is_nothing(a) && value_is_nothing(b);
        if (value_get_integer(a, &i) && value_get_integer(b, &j))
                return i == j;
        if (value_get_number(a, &d) && value_get_number(b, &e))
                return !(d < e) && !(d > e) && !isnan(d) && !isnan(e);
        if (value_get_string(a, &s, &n) && value_get_string(b, &t, &m))
                return n == m && memcmp(s, t, n) == 0;
        if (value_get_boolean(a, &p) && value_get_boolean(b, &q))
                return p == q;
        return a->type == VALUE_JSON && b->type == VALUE_JSON && a->json == b->json;
}

size_t integer_to_text(char buf[static NUMBER_TEXT_MAX], json_int_t i) {
        unsigned long long u = i < 0 ? 0ULL - (unsigned long long) i : (unsigned long long) i;
        char digits[NUMBER_TEXT_MAX], *p = digits + sizeof(digits);
        size_t n;

        do
                *--p = (char) ('0' + u % 10);
        while ((u /= 10) > 0);
        if (i < 0)
                *--p = '-';

        n = (size_t) (digits + sizeof(digits) - p);
        memcpy(buf, p, n);
        return n;
}

/* JavaScript writes 1e21 and above, and below 1e-6, with an exponent; everything else in full. */
size_t number_to_text(char buf[static NUMBER_TEXT_MAX], double d) {
        char text[NUMBER_TEXT_MAX], digits[NUMBER_TEXT_MAX] = {};
        size_t n = 0, k = 0;
        int exponent;

        if (!(d < 0) && !(d > 0) && !isnan(d)) {
                buf[0] = '0';
                return 1;
        }
        if (isnan(d))
                return (size_t) snprintf(buf, NUMBER_TEXT_MAX, "NaN");
        if (isinf(d))
                return (size_t) snprintf(buf, NUMBER_TEXT_MAX, "%sInfinity", d < 0 ? "-" : "");

        /* The shortest text that reads back as the same number */
        for (int precision = 0; precision <= 16; precision++) {
                double back;

                (void) snprintf(text, sizeof(text), "%.*e", precision, d);
                back = strtod(text, NULL);
                if (!(back < d) && !(back > d))
                        break;
        }
        exponent = (int) strtol(strchr(text, 'e') + 1, NULL, 10);
        for (const char *p = text; *p && *p != 'e'; p++)
                if (*p >= '0' && *p <= '9')
                        digits[n++] = *p;

        if (text[0] == '-')
                buf[k++] = '-';
        if (exponent >= 21 || exponent < -6) {
                buf[k++] = digits[0];
                if (n > 1) {
                        buf[k++] = '.';
                        memcpy(buf + k, digits + 1, n - 1);
                        k += n - 1;
                }
                return k + (size_t) snprintf(buf + k, NUMBER_TEXT_MAX - k, "e%+d", exponent);
        }

        if (exponent < 0) {
                buf[k++] = '0';
                buf[k++] = '.';
                for (int i = -1; i > exponent; i--)
                        buf[k++] = '0';
        }
        for (size_t i = 0; i < n || (int) i <= exponent; i++) {
                buf[k++] = (char) (i < n ? digits[i] : '0');
                if ((int) i == exponent && i + 1 < n)
                        buf[k++] = '.';
        }
        return k;
}
