/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "parser.h"

/* Handlebars' rules: ~ removes all white space on its side of a tag, line ends included. The tags of a block,
 * a comment or a partial that stands alone on its line removes that line, but a partial keeps its indentation
 * for the lines that it brings. Whether a tag is alone is judged by the text as written, so that tags do not
 * disturb each other.
 *
 * One thing differs from handlebars.js 4.7: the end tag of an {{else if}} chain belongs to the chain's last
 * body. There it is taken to belong to the first {{else}}'s, and its indentation stays in the output. */

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

static bool is_white(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static Content *content_at(const Program *p, size_t i) {
        return i < p->n_nodes && p->nodes[i]->type == NODE_CONTENT ? &p->nodes[i]->content : NULL;
}

static Content *first_content(const Program *p) {
        return content_at(p, 0);
}

static Content *last_content(const Program *p) {
        return p->n_nodes > 0 ? content_at(p, p->n_nodes - 1) : NULL;
}

/* Does the line that ends with this text hold nothing else? 'whole': text without a line end counts too. */
static bool ends_with_blank_line(const Content *c, bool whole) {
        for (size_t n = c->original_size; n > 0 && is_white(c->original[n - 1]); n--) {
                if (c->original[n - 1] == '\n')
                        return true;
                if (n == 1)
                        return whole;
        }
        return whole && c->original_size == 0;
}

static bool starts_with_blank_line(const Content *c, bool whole) {
        for (size_t i = 0; i < c->original_size && is_white(c->original[i]); i++) {
                if (c->original[i] == '\n')
                        return true;
                if (i + 1 == c->original_size)
                        return whole;
        }
        return whole && c->original_size == 0;
}

/* Is the line of the node at i empty before it? The template's own edges count as line ends. */
static bool line_begins(const Program *p, size_t i, bool root) {
        const Content *c;

        if (i == 0)
                return root;
        c = content_at(p, i - 1);
        return c && ends_with_blank_line(c, root && i == 1);
}

static bool line_ends(const Program *p, size_t i, bool root) {
        const Content *c;

        if (i + 1 >= p->n_nodes)
                return root;
        c = content_at(p, i + 1);
        return c && starts_with_blank_line(c, root && i + 2 == p->n_nodes);
}

/* Removes white space at the beginning of a text: all of it, or the rest of the line. */
static void strip_start(Content *c, bool all) {
        size_t n = 0;

        if (!c || (!all && c->right_stripped))
                return;

        if (all)
                while (n < c->size && is_white(c->text[n]))
                        n++;
        else {
                while (n < c->size && is_blank(c->text[n]))
                        n++;
                if (n < c->size && c->text[n] == '\n')
                        n++;
                else if (n + 1 < c->size && c->text[n] == '\r' && c->text[n + 1] == '\n')
                        n += 2;
        }

        c->text += n;
        c->size -= n;
        c->right_stripped = n > 0;
}

/* At the end: all of it, or the indentation. Returns true if anything was removed. */
static bool strip_end(Content *c, bool all) {
        size_t n;

        if (!c || (!all && c->left_stripped))
                return false;

        for (n = c->size; n > 0 && (all ? is_white(c->text[n - 1]) : is_blank(c->text[n - 1]));)
                n--;
        c->left_stripped = n < c->size;
        c->size = n;
        return c->left_stripped;
}

static void strip_program(Program *p, bool root, bool ignore_standalone);

/* The bodies in the order in which they are written: {{^a}} has the inverse first. */
static Program *first_body(const Node *n) {
        Program *p = n->inverted ? n->inverse : n->program;

        assert(p);
        return p;
}

/* The one behind the first {{else}}, or NULL. */
static Program *else_body(const Node *n) {
        Program *p = n->inverted ? n->program : n->inverse;

        return p && p->chained ? p->nodes[0]->program : p;
}

/* The one before the end tag. */
static Program *last_body(const Node *n) {
        Program *p = (n->inverted ? n->program : n->inverse) ?: first_body(n);

        while (p->chained) {
                p = p->nodes[0]->inverse ?: p->nodes[0]->program;
                assert(p);
        }
        return p;
}

/* Inside a block: the ~ of its tags, and {{else}} alone on a line. */
static void strip_block(Node *n, bool ignore_standalone) {
        Program *first = first_body(n), *other = else_body(n);

        if (n->program)
                strip_program(n->program, false, ignore_standalone);
        if (n->inverse)
                strip_program(n->inverse, false, ignore_standalone);

        if (n->strip.close)
                strip_start(first_content(first), true);
        if (other) {
                const Content *a = last_content(first), *b = first_content(other);

                if (n->inverse_strip.open)
                        strip_end(last_content(first), true);
                if (n->inverse_strip.close)
                        strip_start(first_content(other), true);
                if (!ignore_standalone && a && b && ends_with_blank_line(a, false) &&
                                starts_with_blank_line(b, false)) {
                        strip_end(last_content(first), false);
                        strip_start(first_content(other), false);
                }
        }
        if (n->close_strip.open)
                strip_end(last_content(last_body(n)), true);
}

static void strip_block_lines(Program *p, size_t i, bool root, bool ignore_standalone) {
        Node *n = p->nodes[i];
        const Content *first, *last;
        bool open, close;

        strip_block(n, ignore_standalone);
        first = first_content(first_body(n));
        last = last_content(last_body(n));
        open = first && starts_with_blank_line(first, false) && line_begins(p, i, root);
        close = last && ends_with_blank_line(last, false) && line_ends(p, i, root);

        if (n->close_strip.close)
                strip_start(content_at(p, i + 1), true);
        if (n->strip.open && i > 0)
                strip_end(content_at(p, i - 1), true);
        if (ignore_standalone)
                return;
        if (open) {
                strip_start(first_content(first_body(n)), false);
                if (i > 0)
                        strip_end(content_at(p, i - 1), false);
        }
        if (close) {
                strip_start(content_at(p, i + 1), false);
                strip_end(last_content(last_body(n)), false);
        }
}

static void strip_around(Program *p, size_t i, bool root, bool ignore_standalone) {
        Content *before = i > 0 ? content_at(p, i - 1) : NULL, *after = content_at(p, i + 1);
        Node *n = p->nodes[i];
        bool alone = n->type != NODE_MUSTACHE && !ignore_standalone && line_begins(p, i, root) &&
                        line_ends(p, i, root);

        if (n->strip.close)
                strip_start(after, true);
        if (n->strip.open)
                strip_end(before, true);
        if (!alone)
                return;

        strip_start(after, false);
        if (before && strip_end(before, false) && n->type == NODE_PARTIAL) {
                const char *e = before->original + before->original_size, *s = e;

                while (s > before->original && is_blank(s[-1]))
                        s--;
                n->indent = s;
                n->indent_size = (size_t) (e - s);
        }
}

static void strip_program(Program *p, bool root, bool ignore_standalone) {
        for (size_t i = 0; i < p->n_nodes; i++)
                switch (p->nodes[i]->type) {
                case NODE_CONTENT:
                        break;
                case NODE_BLOCK:
                case NODE_PARTIAL_BLOCK:
                case NODE_INLINE:
                        strip_block_lines(p, i, root, ignore_standalone);
                        break;
                default:
                        strip_around(p, i, root, ignore_standalone);
                }
}

/* What comes behind the node at i, for the escapers. */
static int find_follow(const Program *p, size_t i, bool root, const Content **ret_rest) {
        for (i++; i < p->n_nodes; i++) {
                const Node *n = p->nodes[i];

                if (n->type == NODE_COMMENT || (n->type == NODE_CONTENT && n->content.size == 0))
                        continue;
                if (n->type == NODE_CONTENT) {
                        *ret_rest = &n->content;
                        return (unsigned char) n->content.text[0];
                }
                return n->type == NODE_MUSTACHE ? FOLLOW_VALUE : FOLLOW_UNKNOWN;
        }
        return root ? FOLLOW_END : FOLLOW_UNKNOWN;
}

static void set_follow(Program *p, bool root) {
        for (size_t i = 0; p && i < p->n_nodes; i++) {
                Node *n = p->nodes[i];

                switch (n->type) {
                case NODE_MUSTACHE:
                        n->follow = find_follow(p, i, root, &n->rest);
                        break;
                case NODE_BLOCK:
                case NODE_PARTIAL_BLOCK:
                case NODE_INLINE:
                        set_follow(n->program, false);
                        set_follow(n->inverse, false);
                        break;
                default:
                        break;
                }
        }
}

void program_strip_whitespace(Program *program, bool ignore_standalone) {
        strip_program(program, true, ignore_standalone);
        set_follow(program, true);
}
