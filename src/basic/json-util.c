/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "json-util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "string-util.h"

/* jansson's parser goes on where it finds no memory for one more byte of a string, a number or a word, and later takes that byte
 * for there: it reads past its buffer, or ends the program. It has one buffer for these, which doubles when it is full. So
 * before it parses, as much is had as that buffer can come to. The first request for which there is nothing gets that, if it
 * fits in, and what asks for the buffer always does. From then on the text has ended: what of it was given already is a
 * character at most, for which the doubled buffer, or one that was just emptied, has room. So every other request may be
 * refused. That jansson looks after, and what comes of it is not given on. */
typedef struct Parsing {
        const char *text;
        size_t size;
        char *reserve;
        size_t reserve_size, reserve_used;
        bool failed;
} Parsing;

static _Thread_local Parsing *parsing;

static void *allocate(size_t size) {
        void *p;

        if (!parsing)
                return malloc(size);
        if (parsing->failed)
                return NULL;
        p = malloc(size);
        if (p)
                return p;

        parsing->failed = true;
        if (size > parsing->reserve_size)
                return NULL;
        parsing->reserve_used = size;
        return parsing->reserve;
}

static void release(void *p) {
        if (!parsing || p != parsing->reserve)
                free(p);
}

/* Once for all threads. Whatever is allocated or freed at other times is what it was. */
__attribute__((constructor)) static void look_on(void) {
        json_set_alloc_funcs(allocate, release);
}

/* One byte at a time: the next one is asked for once there was memory for the one before. */
static size_t give(void *buffer, _unused_ size_t size, void *userdata) {
        Parsing *p = userdata;

        if (p->failed || p->size == 0)
                return 0;
        *(char *) buffer = *p->text++;
        p->size--;
        return 1;
}

int json_parse_full(const char *text, size_t size, size_t flags, json_t **ret, json_error_t *ret_error) {
        Parsing p = { .text = text, .size = size };
        json_t *j;

        /* It doubles when there is no room for a byte and a NUL: never above twice the text. Nothing of it is touched. */
        p.reserve_size = 2 * size + 1;
        p.reserve = malloc(p.reserve_size);
        if (!p.reserve)
                return -ENOMEM;

        parsing = &p;
        j = json_load_callback(give, &p, flags, ret_error);
        if (p.failed) {
                json_decref(j);
                j = NULL;
        }
        parsing = NULL;

        /* It may be a secret. */
        explicit_bzero(p.reserve, p.reserve_used);
        free(p.reserve);
        if (!j)
                return p.failed ? -ENOMEM : -EBADMSG;
        *ret = j;
        return 0;
}

int json_parse(const char *text, size_t size, size_t flags, json_t **ret) {
        return json_parse_full(text, size, flags, ret, NULL);
}

static int append(const char *text, size_t size, void *userdata) {
        StringBuilder *b = userdata;

        string_builder_append_n(b, text, size);
        return b->failed ? -1 : 0;
}

char *json_format(const json_t *j, size_t flags) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *result;

        /* It goes on where a key could not be appended; the builder knows. */
        if (json_dump_callback(j, append, &b, flags) < 0)
                return NULL;
        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}
