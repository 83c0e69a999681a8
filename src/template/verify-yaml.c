/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "alloc-util.h"
#include "string-util.h"
#include "verify.h"

#define YAML_DEPTH_MAX 128U

/* Walks both documents, event by event. */
typedef struct YamlCheck {
        const Template *template;
        const Trace *trace;
        unsigned *seen;
        bool compose;
        unsigned depth;
        /* At each depth: 0 in a sequence, else whether a key (1) or a value (2) comes next. */
        uint8_t expect[YAML_DEPTH_MAX];
        Error *reterr;
} YamlCheck;

static int parse_event(YamlCheck *c, yaml_parser_t *p, yaml_event_t *ret) {
        if (yaml_parser_parse(p, ret))
                return 0;
        if (p->error == YAML_MEMORY_ERROR)
                return -ENOMEM;

        /* libyaml's own words are static texts, without anything of the document. */
        return error_setf(c->reterr, CCP_ERROR_RENDER_FAILED,
                        "%s: the result is not YAML: %s (line %zu of it)", c->template->name,
                        p->problem ?: "unknown error", p->problem_mark.line + 1);
}

static int shape_differs(YamlCheck *c) {
        return verify_fail(c->template, NULL,
                        "read back, the file has another structure than its template: a value has changed "
                        "it",
                        c->reterr);
}

/* Is the node that comes next a key? Counts it. */
static bool count_node(YamlCheck *c) {
        uint8_t *e = &c->expect[c->depth];
        bool key = *e == 1;

        if (*e > 0)
                *e = key ? 2 : 1;
        return key;
}

static int enter(YamlCheck *c, bool mapping) {
        (void) count_node(c);
        if (c->depth + 1 >= YAML_DEPTH_MAX)
                return error_setf(c->reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "%s: YAML is nested more than %u deep", c->template->name, YAML_DEPTH_MAX);
        c->expect[++c->depth] = mapping ? 1 : 0;
        return 0;
}

static bool same_text(const yaml_char_t *a, const yaml_char_t *b) {
        return streq_ptr((const char *) a, (const char *) b);
}

static int check_scalar(YamlCheck *c, const yaml_event_t *a, const yaml_event_t *m) {
        const char *s = (const char *) a->data.scalar.value;
        size_t n = a->data.scalar.length;
        bool key = count_node(c);
        VerifyMatch match = verify_text(c->trace, c->seen, s, n, (const char *) m->data.scalar.value,
                        m->data.scalar.length, c->compose ? VERIFY_DOLLARS : 0);

        if (!same_text(a->data.scalar.anchor, m->data.scalar.anchor) ||
                        !same_text(a->data.scalar.tag, m->data.scalar.tag))
                return shape_differs(c);
        if (!match.equal)
                return match.first ? verify_fail(c->template, match.first,
                                                     "read back, this value is another one", c->reterr)
                                   : shape_differs(c);

        /* The engine itself quotes a whole scalar where it must; no other style may change. */
        if (a->data.scalar.style != m->data.scalar.style &&
                        !(match.whole && m->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                                        a->data.scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE))
                return shape_differs(c);
        if (a->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && match.has_string &&
                        !yaml_plain_is_string(s, n))
                return verify_fail(c->template, match.first,
                                "with this value the plain text is no longer a text but a number, boolean "
                                "or "
                                "date; put quotes round the whole",
                                c->reterr);
        if (key && c->compose && match.has_dollar)
                return verify_fail(c->template, match.first, "Compose has no escape for a '$' in a key",
                                c->reterr);
        return 0;
}

static int check_event(YamlCheck *c, const yaml_event_t *a, const yaml_event_t *m) {
        if (a->type != m->type)
                return shape_differs(c);

        switch (a->type) {
        case YAML_SCALAR_EVENT:
                return check_scalar(c, a, m);
        case YAML_ALIAS_EVENT:
                (void) count_node(c);
                return same_text(a->data.alias.anchor, m->data.alias.anchor) ? 0 : shape_differs(c);
        case YAML_SEQUENCE_START_EVENT:
                if (!same_text(a->data.sequence_start.anchor, m->data.sequence_start.anchor) ||
                                !same_text(a->data.sequence_start.tag, m->data.sequence_start.tag))
                        return shape_differs(c);
                return enter(c, false);
        case YAML_MAPPING_START_EVENT:
                if (!same_text(a->data.mapping_start.anchor, m->data.mapping_start.anchor) ||
                                !same_text(a->data.mapping_start.tag, m->data.mapping_start.tag))
                        return shape_differs(c);
                return enter(c, true);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
                c->depth--;
                return 0;
        default:
                return 0;
        }
}

static int check_documents(YamlCheck *c, yaml_parser_t *a, yaml_parser_t *m) {
        for (bool done = false; !done;) {
                yaml_event_t ae, me;
                int r;

                r = parse_event(c, a, &ae);
                if (r < 0)
                        return r;
                r = parse_event(c, m, &me);
                if (r < 0) {
                        yaml_event_delete(&ae);
                        return r;
                }
                r = check_event(c, &ae, &me);
                done = ae.type == YAML_STREAM_END_EVENT;
                if (ae.type == YAML_SCALAR_EVENT)
                        explicit_bzero(ae.data.scalar.value, ae.data.scalar.length);
                yaml_event_delete(&ae);
                yaml_event_delete(&me);
                if (r < 0)
                        return r;
        }
        return 0;
}

int verify_yaml(const Template *t, const Trace *trace, const char *actual, size_t actual_size,
                const char *marked, size_t marked_size, Error *reterr) {
        _cleanup_free_ unsigned *seen = NULL;
        YamlCheck c = {
                .template = t,
                .trace = trace,
                .compose = t->options.compose_interpolation,
                .reterr = reterr,
        };
        yaml_parser_t a, m;
        int r;

        c.seen = seen = new0(unsigned, trace->n_values);
        if (!seen || !yaml_parser_initialize(&a))
                return -ENOMEM;
        if (!yaml_parser_initialize(&m)) {
                yaml_parser_delete(&a);
                return -ENOMEM;
        }

        yaml_parser_set_input_string(&a, (const unsigned char *) actual, actual_size);
        yaml_parser_set_input_string(&m, (const unsigned char *) marked, marked_size);
        yaml_parser_set_encoding(&a, YAML_UTF8_ENCODING);
        yaml_parser_set_encoding(&m, YAML_UTF8_ENCODING);
        r = check_documents(&c, &a, &m);
        yaml_parser_delete(&a);
        yaml_parser_delete(&m);
        if (r < 0)
                return r;
        return verify_seen(t, trace, seen, reterr);
}
