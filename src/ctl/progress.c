/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ctl-json.h"
#include "fd-util.h"
#include "string-util.h"
#include "terminal.h"
#include "top.h"

#define STEPS_MAX 64U
#define BAR_COLUMNS 24U
/* Lines of the picture that are no steps, and one for the cursor. */
#define ROWS_OTHER 3U

#define CURSOR_HIDE "\x1b[?25l"
#define CURSOR_SHOW "\x1b[?25h"
#define ERASE_LINE "\x1b[2K"
#define ERASE_BELOW "\x1b[J"

typedef enum StepLook {
        LOOK_PENDING,
        LOOK_RUNNING,
        LOOK_DONE,
        LOOK_FAILED,
        LOOK_UNDOING,
        LOOK_UNDONE,
        LOOK_SKIPPED,
        _LOOK_MAX,
} StepLook;

static const struct {
        const char *state;
        Glyph glyph;
        Color color;
        const char *plain; /* NULL: no line */
        bool has_ended, undo;
} look_table[_LOOK_MAX] = {
        [LOOK_PENDING] = { "pending", GLYPH_PENDING, COLOR_GREY, NULL, false },
        [LOOK_RUNNING] = { "running", GLYPH_RUNNING, COLOR_BOLD, "begins", false },
        [LOOK_DONE] = { "done", GLYPH_DONE, COLOR_GREEN, "done", true },
        [LOOK_FAILED] = { "failed", GLYPH_FAILED, COLOR_RED, "failed", true },
        [LOOK_UNDOING] = { "undoing", GLYPH_UNDO, COLOR_YELLOW, "is being undone", .undo = true },
        [LOOK_UNDONE] = { "undone", GLYPH_UNDO, COLOR_GREY, "undone", .undo = true },
        [LOOK_SKIPPED] = { "skipped", GLYPH_SKIPPED, COLOR_GREY, "not needed", false },
};

struct Progress {
        bool live, hidden_cursor;
        size_t n_lines; /* of the picture on the screen */
        const char *note;

        StepLook shown[STEPS_MAX]; /* what the lines so far have said */
        bool announced;
};

static StepLook look_from_state(const char *state) {
        for (size_t i = 0; i < _LOOK_MAX; i++)
                if (streq(look_table[i].state, state))
                        return (StepLook) i;

        return LOOK_PENDING;
}

Progress *progress_new(bool live) {
        Progress *p = new0(Progress, 1);

        if (p)
                p->live = live;
        return p;
}

Progress *progress_free(Progress *p) {
        if (!p)
                return NULL;

        if (p->hidden_cursor)
                (void) loop_write(STDERR_FILENO, CURSOR_SHOW, STRLEN(CURSOR_SHOW));
        return mfree(p);
}

static const char *step_title(const json_t *step) {
        const char *title = json_get_text(step, "title");

        return isempty(title) ? json_get_text(step, "name") : title;
}

/* How long a step has taken, or takes; 0 if it did not begin. */
static usec_t step_elapsed(const json_t *step, usec_t realtime) {
        usec_t started = json_get_number(step, "started_at"),
               finished = json_get_number(step, "finished_at");
        usec_t end = finished > 0 ? finished : realtime;

        return started > 0 && end > started ? end - started : 0;
}

/* A line in at most 'columns': a coloured sign, and text that is cut. */
static void append_line(StringBuilder *b, Glyph g, Color color, const char *text, size_t columns) {
        _cleanup_free_ char *escaped = NULL, *cut = NULL;

        escaped = text_escape(text);
        if (escaped)
                cut = text_ellipsize(escaped, columns > 3 ? columns - 3 : 1);
        if (!cut) {
                b->failed = true;
                return;
        }

        string_builder_appendf(b, " %s%s%s %s\n", color_on(stderr, color), glyph(g),
                        color_on(stderr, COLOR_NONE), cut);
}

usec_t progress_since(const json_t *job) {
        return json_get_number(job, "started_at") ?: json_get_number(job, "queued_at");
}

const char *progress_state(const json_t *job) {
        const char *state = json_get_text(job, "state");

        return streq(state, "waiting") ? "waiting for its turn" : state;
}

char *progress_format_message(const json_t *job, usec_t realtime) {
        usec_t end = json_get_number(job, "expected_end_at");
        uint64_t done = json_get_number(job, "bytes_done"), total = json_get_number(job, "bytes_total"),
                 rate = json_get_number(job, "byte_rate");
        _cleanup_string_builder_ StringBuilder b = {};
        char buf[TOP_SIZE_MAX];
        char *text;

        string_builder_append(&b, json_get_text(job, "message"));
        if (done > 0 || total > 0)
                string_builder_appendf(&b, ": %s", top_format_size(buf, sizeof(buf), (double) done));
        if (total > 0)
                string_builder_appendf(&b, " of %s", top_format_size(buf, sizeof(buf), (double) total));
        if (rate > 0)
                string_builder_appendf(&b, ", %s/s", top_format_size(buf, sizeof(buf), (double) rate));
        if (end > realtime)
                string_builder_appendf(&b, ", %s left", FORMAT_TIMESPAN(end - realtime));

        return string_builder_finish(&b, &text, NULL) < 0 ? NULL : text;
}

static void append_step(
                StringBuilder *b, const json_t *job, const json_t *step, usec_t realtime, size_t columns) {
        StepLook look = look_from_state(json_get_text(step, "state"));
        usec_t elapsed = step_elapsed(step, realtime);
        const char *detail = json_get_text(step, "detail");
        _cleanup_free_ char *line = NULL, *message = NULL;

        if (look == LOOK_RUNNING) {
                message = progress_format_message(job, realtime);
                if (!message) {
                        b->failed = true;
                        return;
                }
                detail = isempty(message) ? detail : message;
        }

        if (asprintf(&line, "%-36s %8s  %s", step_title(step),
                            elapsed >= 100 * USEC_PER_MSEC ? FORMAT_TIMESPAN(elapsed) : "",
                            IN_SET(look, LOOK_PENDING, LOOK_DONE) ? "" : detail) < 0) {
                line = NULL;
                b->failed = true;
                return;
        }
        append_line(b, look_table[look].glyph, look_table[look].color, line, columns);
}

/* The first of the 'n' steps to show, where there is no room for all: the running one stays in the middle. */
static size_t first_step_to_show(const json_t *job, size_t n_steps, size_t n) {
        size_t step = json_get_number(job, "step"), current = step > 0 ? step - 1 : 0;

        if (n_steps <= n || current <= n / 2)
                return 0;

        return MIN(current - n / 2, n_steps - n);
}

static void append_bar(StringBuilder *b, const json_t *job, usec_t realtime, size_t columns) {
        double progress = json_number_value(json_object_get(job, "progress"));
        usec_t began = progress_since(job), finished = json_get_number(job, "finished_at");
        _cleanup_string_builder_ StringBuilder bar = {};
        _cleanup_free_ char *text = NULL, *cut = NULL;
        usec_t end = finished > 0 ? finished : realtime;
        size_t full;

        progress = progress < 0 ? 0 : progress > 1 ? 1 : progress;
        full = (size_t) (progress * BAR_COLUMNS);
        for (size_t i = 0; i < BAR_COLUMNS; i++)
                string_builder_append(&bar, glyph(i < full ? GLYPH_BAR_FULL : GLYPH_BAR_EMPTY));
        string_builder_appendf(&bar, " %3d%%  %s  %s", (int) (progress * 100),
                        FORMAT_TIMESPAN(began > 0 && end > began ? end - began : 0), progress_state(job));
        if (string_builder_finish(&bar, &text, NULL) >= 0)
                cut = text_ellipsize(text, columns > 1 ? columns - 1 : 1);
        if (!cut) {
                b->failed = true;
                return;
        }

        string_builder_appendf(b, " %s\n", cut);
}

int progress_format_live(const json_t *job, const char *note, usec_t realtime, size_t columns, size_t rows,
                char **ret, size_t *ret_lines) {
        _cleanup_string_builder_ StringBuilder b = {};
        const json_t *steps = json_object_get(job, "steps");
        size_t n_steps = json_array_size(steps), room, first, n_lines = 0;
        char *text;
        int r;

        room = rows > ROWS_OTHER ? rows - ROWS_OTHER : 1;
        first = first_step_to_show(job, n_steps, room);
        for (size_t i = first; i < MIN(n_steps, first + room); i++, n_lines++)
                append_step(&b, job, json_array_get(steps, i), realtime, columns);
        append_bar(&b, job, realtime, columns);
        n_lines++;
        if (note) {
                append_line(&b, GLYPH_DOT, COLOR_YELLOW, note, columns);
                n_lines++;
        }

        r = string_builder_finish(&b, &text, NULL);
        if (r < 0)
                return r;

        *ret = text;
        *ret_lines = n_lines;
        return 0;
}

static void update_live(Progress *p, const json_t *job, usec_t realtime) {
        _cleanup_string_builder_ StringBuilder frame = {};
        _cleanup_free_ char *text = NULL, *all = NULL;
        size_t columns, rows, n_lines, size;

        terminal_error_size(&columns, &rows);
        if (progress_format_live(job, p->note, realtime, columns, rows, &text, &n_lines) < 0)
                return;

        string_builder_append(&frame, p->hidden_cursor ? "\r" : CURSOR_HIDE "\r");
        if (p->n_lines > 0)
                string_builder_appendf(&frame, "\x1b[%zuA", p->n_lines);
        for (const char *s = text; *s;) {
                size_t n = strcspn(s, "\n");

                string_builder_append(&frame, ERASE_LINE);
                string_builder_append_n(&frame, s, n);
                string_builder_append(&frame, "\n");
                s += n + 1;
        }
        string_builder_append(&frame, ERASE_BELOW);

        if (string_builder_finish(&frame, &all, &size) < 0)
                return;
        (void) loop_write(STDERR_FILENO, all, size);
        p->hidden_cursor = true;
        p->n_lines = n_lines;
}

static void print_step_line(const json_t *job, const json_t *step, StepLook look, usec_t realtime) {
        /* What a job that failed never came to is "skipped" too. */
        bool unreached = look == LOOK_SKIPPED && json_get_number(step, "started_at") == 0;
        _cleanup_free_ char *title = NULL, *detail = NULL;
        size_t n = json_array_size(json_object_get(job, "steps"));
        usec_t elapsed = step_elapsed(step, realtime);
        char after[FORMAT_TIMESPAN_MAX + 8] = "";

        title = text_escape(step_title(step));
        detail = text_escape(json_get_text(step, "detail"));
        if (!title || !detail)
                return;

        if (look_table[look].has_ended)
                (void) snprintf(after, sizeof(after), " after %s", FORMAT_TIMESPAN(elapsed));
        (void) fprintf(stderr, "[%2" PRIu64 "/%zu] %s: %s%s%s%s\n", json_get_number(step, "number"), n,
                        title, unreached ? "not reached" : look_table[look].plain, after,
                        look == LOOK_FAILED && detail[0] ? ": " : "", look == LOOK_FAILED ? detail : "");
}

static void update_plain_step(Progress *p, const json_t *job, size_t i, bool undo, usec_t realtime) {
        const json_t *step = json_array_get(json_object_get(job, "steps"), i);
        StepLook look = look_from_state(json_get_text(step, "state"));

        if (look_table[look].undo != undo || p->shown[i] == look)
                return;
        p->shown[i] = look;
        if (look_table[look].plain)
                print_step_line(job, step, look, realtime);
}

static void update_plain(Progress *p, const json_t *job, usec_t realtime) {
        size_t n = MIN(json_array_size(json_object_get(job, "steps")), STEPS_MAX);
        bool waits = streq(json_get_text(job, "state"), "waiting");

        if (!p->announced)
                (void) fprintf(stderr, "Job %s: %s %s%s%s\n", json_get_text(job, "id"),
                                json_get_text(job, "kind"), json_get_text(job, "instance"),
                                waits ? ", " : "", waits ? progress_state(job) : "");
        p->announced = true;

        /* Several changes may come at once: told in the order in which they were made. */
        for (size_t i = 0; i < n; i++)
                update_plain_step(p, job, i, /* undo= */ false, realtime);
        for (size_t i = n; i-- > 0;)
                update_plain_step(p, job, i, /* undo= */ true, realtime);
}

void progress_update(Progress *p, const json_t *job, usec_t realtime) {
        if (p->live)
                update_live(p, job, realtime);
        else
                update_plain(p, job, realtime);
}

void progress_note(Progress *p, const char *note) {
        if (!p->live && note)
                (void) fprintf(stderr, "%s\n", note);
        else if (!p->live && p->note)
                (void) fprintf(stderr, "ccpd is back.\n");
        p->note = note;
}
