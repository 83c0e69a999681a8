/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log-journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

#include "alloc-util.h"
#include "ccp/names.h"
#include "log-record.h"
#include "strv.h"

/* Only these files: what users write is in files of their own. */
#define JOURNAL_FLAGS (SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM)

/* Between two questions whether somebody still waits. */
#define CHECK_INTERVAL (50 * USEC_PER_MSEC)

/* Lines that are not at their end, of different containers; of more the oldest is told as it is. */
#define OPEN_LINES_MAX 256U

/* What was read on the way back to the beginning is kept so far, so that it is not read again. */
#define WINDOW_RECORDS_MAX 4096U
#define WINDOW_SIZE_MAX (4U * 1024U * 1024U)

/* The MESSAGE_ID of journald's own entry about what it left out. */
#define MESSAGE_DROPPED "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e"

/* For a field's name before its value. */
#define NAME_ROOM 64U

#define MATCH_DOCKER "_SYSTEMD_UNIT=docker.service"

struct LogJournal {
        const LogRequest *request;
        LogPattern *pattern;
        const LogJournalHandlers *handlers;
        void *userdata;

        sd_journal *journal;
        sd_journal *parts;            /* to collect the parts of a line; opened when there is one */
        bool at_entry;                /* the next one to be told is where we are */
        char *cursor;                 /* of the last entry that is done with, told or not; NULL: none yet */
        char *tail;                   /* of the newest when we began */
        const char *current;          /* of the one that is looked at now, and … */
        bool told;                    /* … whether the handler had it */
        usec_t opened_at, checked_at; /* monotonic */
        bool stopped;                 /* the handler has enough */

        LogRecord *window; /* to be told before anything else, newest first */
        size_t n_window, n_window_allocated, window_size;
        bool window_full; /* there was too much of it: it is not used */

        LogRecord open_lines[OPEN_LINES_MAX]; /* their latest part, without its text */
        size_t n_open_lines;
        LogRecord dropped; /* the last one that says that lines are missing; time 0: none */
        uint64_t n_dropped;
};

static void free_window(LogJournal *j) {
        FOREACH_ARRAY(r, j->window, j->n_window)
                log_record_done(r);
        j->n_window = j->n_window_allocated = 0;
        j->window = mfree(j->window);
}

LogJournal *log_journal_free(LogJournal *j) {
        if (!j)
                return NULL;

        free_window(j);
        FOREACH_ARRAY(r, j->open_lines, j->n_open_lines)
                log_record_done(r);
        log_record_done(&j->dropped);
        sd_journal_close(j->journal);
        sd_journal_close(j->parts);
        free(j->cursor);
        free(j->tail);
        return mfree(j);
}

/* --- matches --- */

static int add_match(sd_journal *journal, const char *name, const char *value) {
        _cleanup_free_ char *match = strjoin(name, "=", value);

        return match ? sd_journal_add_match(journal, match, 0) : -ENOMEM;
}

/* Lines of the containers. The instance's UUID is not enough: whoever may write to the journal can claim it. */
static int match_containers(sd_journal *journal, const LogRequest *q) {
        int r;

        r = sd_journal_add_match(journal, MATCH_DOCKER, 0);
        if (r >= 0)
                r = add_match(journal, "CCP_ID", q->id);
        STRV_FOREACH(s, q->services)
                if (r >= 0)
                        r = add_match(journal, "CCP_SERVICE", *s);
        return r;
}

/* journald's word that it left out lines of containers, of whichever. */
static int match_dropped(sd_journal *journal) {
        int r;

        r = sd_journal_add_match(journal, "_SYSTEMD_UNIT=systemd-journald.service", 0);
        if (r >= 0)
                r = sd_journal_add_match(journal, MESSAGE_DROPPED, 0);
        if (r >= 0)
                r = sd_journal_add_match(journal, "OBJECT_SYSTEMD_UNIT=docker.service", 0);
        return r;
}

static int match_ours(sd_journal *journal, const LogRequest *q, const char *trusted) {
        int r;

        r = sd_journal_add_disjunction(journal);
        if (r >= 0)
                r = sd_journal_add_match(journal, trusted, 0);
        if (r >= 0)
                r = add_match(journal, "CCP_ID", q->id);
        return r;
}

static int add_matches(sd_journal *journal, const LogRequest *q) {
        int r;

        r = match_containers(journal, q);
        if (r >= 0)
                r = sd_journal_add_disjunction(journal);
        if (r >= 0)
                r = match_dropped(journal);
        if (r >= 0 && q->all)
                r = match_ours(journal, q, "_SYSTEMD_SLICE=" CCP_JOBS_SLICE);
        if (r >= 0 && q->all)
                r = match_ours(journal, q, "_SYSTEMD_UNIT=ccpd.service");
        return r;
}

static int open_journal(sd_journal **ret) {
        int r;

        r = sd_journal_open(ret, JOURNAL_FLAGS);
        if (r < 0)
                return r;

        /* Beyond it a field is cut. */
        return sd_journal_set_data_threshold(*ret, LOG_MESSAGE_MAX + NAME_ROOM);
}

/* The newest entry of all, whoever's it is: from there on nothing was looked at yet. */
static int take_tail(LogJournal *j) {
        int r;

        r = sd_journal_seek_tail(j->journal);
        if (r >= 0)
                r = sd_journal_previous(j->journal);
        if (r > 0)
                r = sd_journal_get_cursor(j->journal, &j->tail);
        return r;
}

int log_journal_open(const LogRequest *q, LogPattern *pattern, const LogJournalHandlers *handlers,
                void *userdata, LogJournal **ret) {
        _cleanup_(log_journal_freep) LogJournal *j = NULL;
        int r;

        j = new0(LogJournal, 1);
        if (!j)
                return -ENOMEM;
        j->request = q;
        j->pattern = pattern;
        j->handlers = handlers;
        j->userdata = userdata;

        r = open_journal(&j->journal);
        if (r < 0)
                return r;
        /* Before anything is read, so that nothing comes unnoticed in between. */
        if (q->follow || q->wait > 0) {
                r = sd_journal_get_fd(j->journal);
                if (r < 0)
                        return r;
        }
        r = q->cursor ? free_and_strdup(&j->cursor, q->cursor) : take_tail(j);
        if (r < 0)
                return r;
        /* What comes between both is told, and not passed over. */
        j->opened_at = now(CLOCK_MONOTONIC);
        r = add_matches(j->journal, q);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(j);
        return 0;
}

/* --- one entry --- */

static int check(void *userdata) {
        usec_t t = now(CLOCK_MONOTONIC_COARSE);
        LogJournal *j = userdata;

        if (t < j->checked_at + CHECK_INTERVAL)
                return 0;

        j->checked_at = t;
        return j->handlers->check(j->userdata);
}

static int read_record(sd_journal *journal, LogRecord *ret) {
        _cleanup_log_record_ LogRecord record = {};
        const void *data;
        size_t size;
        int r;

        r = sd_journal_get_realtime_usec(journal, &record.time);
        if (r >= 0)
                r = sd_journal_get_cursor(journal, &record.cursor);
        if (r < 0)
                return r;

        sd_journal_restart_data(journal);
        while ((r = sd_journal_enumerate_available_data(journal, &data, &size)) > 0) {
                r = log_record_take(&record, data, size);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;

        *ret = record;
        record = (LogRecord) {};
        return 0;
}

/* Lines that cannot be read are passed over: a file that was damaged by a crash has some. */
static bool is_damage(int r) {
        return IN_SET(r, -EBADMSG, -EADDRNOTAVAIL, -ENOENT, -EIO);
}

/* What is to be told at all, and not only counts. */
static bool is_shown(const LogJournal *j, const LogRecord *record) {
        LogSource source = log_record_source(record);

        if (source < 0)
                return false;
        /* Who may see the instance may not therefore see who does what to it. */
        return source == LOG_SOURCE_CONTAINER || source == LOG_SOURCE_JOURNAL || j->request->audit ||
                        !record->values[LOG_FIELD_ACTION];
}

/* --- lines in parts --- */

static int seek_parts(LogJournal *j, const LogRecord *part) {
        int r = 0;

        if (j->parts)
                /* The files may be others by now. */
                r = sd_journal_process(j->parts);
        else {
                r = open_journal(&j->parts);
                if (r >= 0)
                        r = sd_journal_get_fd(j->parts);
        }
        if (r < 0)
                return r;

        sd_journal_flush_matches(j->parts);
        r = sd_journal_add_match(j->parts, MATCH_DOCKER, 0);
        if (r >= 0)
                r = add_match(j->parts, "CCP_ID", j->request->id);
        if (r >= 0)
                r = add_match(j->parts, "CONTAINER_PARTIAL_ID", part->values[LOG_FIELD_PART_OF]);
        if (r >= 0)
                r = sd_journal_seek_head(j->parts);
        return r;
}

/* Puts the parts of a line together, up to this one. Their bytes: a character may be cut in two. */
static int collect_parts(LogJournal *j, const LogRecord *last, StringBuilder *b, bool *ret_truncated) {
        unsigned wanted = 1;
        int r;

        r = seek_parts(j, last);
        if (r < 0)
                return r;

        while ((r = sd_journal_next(j->parts)) > 0) {
                _cleanup_log_record_ LogRecord part = {};
                unsigned number;
                size_t room;

                r = read_record(j->parts, &part);
                if (is_damage(r))
                        continue;
                if (r < 0)
                        return r;

                number = log_record_part(&part);
                if (number > log_record_part(last))
                        break;
                if (number != wanted)
                        *ret_truncated = true;
                wanted = number + 1;
                room = LOG_MESSAGE_MAX - b->size;
                string_builder_append_n(b, strempty(part.values[LOG_FIELD_MESSAGE]),
                                MIN(part.sizes[LOG_FIELD_MESSAGE], room));
                /* The last part may be empty. */
                if (part.sizes[LOG_FIELD_MESSAGE] > room) {
                        *ret_truncated = true;
                        return 0;
                }
        }
        if (wanted != log_record_part(last) + 1)
                *ret_truncated = true;

        return r < 0 ? r : 0;
}

static int make_message(LogJournal *j, const LogRecord *record, LogEntry *e) {
        _cleanup_string_builder_ StringBuilder raw = {}, text = {};
        const char *message = strempty(record->values[LOG_FIELD_MESSAGE]);
        size_t size = record->sizes[LOG_FIELD_MESSAGE];
        int r;

        if (log_record_part(record) > 0) {
                r = collect_parts(j, record, &raw, &e->truncated);
                if (r < 0)
                        return r;
                if (raw.failed)
                        return -ENOMEM;
                message = raw.data;
                size = raw.size;
        } else if (size > LOG_MESSAGE_MAX) {
                size = LOG_MESSAGE_MAX;
                e->truncated = true;
        }

        if (size > 0)
                log_text_append(&text, message, size);
        return string_builder_finish(&text, &e->message, NULL);
}

static int make_entry(LogJournal *j, const LogRecord *record, LogEntry *ret) {
        _cleanup_log_entry_ LogEntry e = {
                .time = record->time,
                .source = log_record_source(record),
                .priority = log_record_priority(record),
        };
        const char *service = record->values[LOG_FIELD_SERVICE];
        int r;

        r = free_and_strdup(&e.cursor, record->cursor);
        if (r >= 0 && e.source == LOG_SOURCE_CONTAINER && service && string_is_safe(service))
                r = free_and_strdup(&e.service, service);
        if (r >= 0)
                r = make_message(j, record, &e);
        if (r < 0)
                return r;

        *ret = e;
        e = (LogEntry) {};
        return 0;
}

/* Returns 1 if so. */
static int matches_pattern(LogJournal *j, const LogEntry *e) {
        return j->pattern ? log_pattern_matches(j->pattern, e->message, check, j) : 1;
}

/* --- telling --- */

/* Whatever belongs to one entry is told to its end: the next reading begins behind it. */
static int tell_entry(LogJournal *j, const LogEntry *e) {
        int r;

        if (streq_ptr(e->cursor, j->current))
                j->told = true;
        r = j->handlers->line(e, j->userdata);
        if (r > 0)
                j->stopped = true;
        return r < 0 ? r : 0;
}

static int tell_dropped(LogJournal *j) {
        _cleanup_log_record_ LogRecord record = j->dropped;
        LogEntry e = {
                .time = record.time,
                .cursor = record.cursor,
                .source = LOG_SOURCE_JOURNAL,
                .priority = LOG_WARNING,
        };
        int r;

        if (!record.cursor)
                return 0;

        j->dropped = (LogRecord) {};
        if (asprintf(&e.message,
                            "journald left out %" PRIu64 " lines of containers of this host, which may be "
                            "of this instance: see 'Lines that "
                            "are missing' in ccpd(8).",
                            j->n_dropped) < 0)
                return -ENOMEM;

        j->n_dropped = 0;
        r = tell_entry(j, &e);
        free(e.message);
        return r;
}

/* A line, once it is known that it is whole, or will never be. */
static int tell(LogJournal *j, const LogRecord *record) {
        _cleanup_log_entry_ LogEntry e = {};
        int r;

        r = make_entry(j, record, &e);
        if (is_damage(r))
                return 0;
        if (r >= 0)
                r = matches_pattern(j, &e);
        if (r <= 0)
                return r;

        r = tell_dropped(j);
        return r < 0 ? r : tell_entry(j, &e);
}

static LogRecord *find_open_line(LogJournal *j, const LogRecord *record) {
        FOREACH_ARRAY(o, j->open_lines, j->n_open_lines)
                if (log_record_same_stream(o, record))
                        return o;
        return NULL;
}

static void forget_open_line(LogJournal *j, LogRecord *o) {
        log_record_done(o);
        j->n_open_lines--;
        memmove(o, o + 1, (size_t) (j->open_lines + j->n_open_lines - o) * sizeof(*o));
}

/* A line that nothing came after, as far as it got. */
static int tell_open_line(LogJournal *j, LogRecord *o) {
        int r = tell(j, o);

        forget_open_line(j, o);
        return r;
}

/* Takes a part after which more is to come. */
static int note_open_line(LogJournal *j, LogRecord *record) {
        LogRecord *o = find_open_line(j, record);
        int r = 0;

        if (o)
                log_record_done(o);
        else {
                if (j->n_open_lines == OPEN_LINES_MAX)
                        r = tell_open_line(j, j->open_lines);
                o = j->open_lines + j->n_open_lines++;
        }

        *o = *record;
        *record = (LogRecord) {};
        /* It is read anew with the others. */
        o->values[LOG_FIELD_MESSAGE] = mfree(o->values[LOG_FIELD_MESSAGE]);
        return r;
}

static int tell_container(LogJournal *j, LogRecord *record) {
        LogRecord *o = find_open_line(j, record);
        int r = 0;

        if (o && !streq_ptr(o->values[LOG_FIELD_PART_OF], record->values[LOG_FIELD_PART_OF]))
                r = tell_open_line(j, o);
        else if (o && log_record_ends_line(record))
                forget_open_line(j, o);
        if (r < 0)
                return r;

        return log_record_ends_line(record) ? tell(j, record) : note_open_line(j, record);
}

static int tell_record(LogJournal *j, LogRecord *record) {
        LogSource source = log_record_source(record);

        if (source == LOG_SOURCE_CONTAINER)
                return tell_container(j, record);
        if (source != LOG_SOURCE_JOURNAL)
                return tell(j, record);

        /* One line for all that follow each other. */
        j->n_dropped += log_record_dropped(record);
        log_record_done(&j->dropped);
        j->dropped = *record;
        *record = (LogRecord) {};
        return 0;
}

/* What was ended amid it, as while a pattern was compared, is read again by who goes on; what the handler had is
 * not, even if that failed to hand it on. */
static int take_record(LogJournal *j, LogRecord *record) {
        _cleanup_free_ char *cursor = strdup(record->cursor);
        int r;

        if (!cursor)
                return -ENOMEM;

        j->current = cursor;
        j->told = false;
        r = is_shown(j, record) ? tell_record(j, record) : 0;
        j->current = NULL;
        if (r < 0 && !j->told)
                return r;

        free(j->cursor);
        j->cursor = TAKE_PTR(cursor);
        return r;
}

/* True if it came after we began, when the end was to be the end as it was then: somebody who writes faster than we
 * read must not keep us here. Told by the clock that nobody sets. */
static bool is_too_late(LogJournal *j, const LogRecord *record) {
        usec_t monotonic;

        if (record->time > j->request->until)
                return true;

        return !j->request->follow && j->request->wait == 0 &&
                        sd_journal_get_monotonic_usec(j->journal, &monotonic, NULL) >= 0 &&
                        monotonic > j->opened_at;
}

/* --- reading --- */

/* Returns 1 if there is an entry. */
static int next_entry(LogJournal *j) {
        if (j->at_entry) {
                j->at_entry = false;
                return 1;
        }

        return sd_journal_next(j->journal);
}

/* Returns 1 if there is nothing more to be read. */
static int read_one(LogJournal *j) {
        _cleanup_log_record_ LogRecord record = {};
        int r;

        r = read_record(j->journal, &record);
        if (is_damage(r))
                return 0;
        if (r < 0)
                return r;
        if (is_too_late(j, &record))
                return 1;

        return take_record(j, &record);
}

/* What was found on the way back. */
static int read_window(LogJournal *j) {
        int r = 0;

        while (r >= 0 && j->n_window > 0 && !j->stopped) {
                _cleanup_log_record_ LogRecord record = j->window[--j->n_window];

                r = take_record(j, &record);
        }
        return r;
}

int log_journal_read(LogJournal *j, bool final) {
        int r, end = 0;

        r = read_window(j);
        if (r < 0)
                return r;

        while (!j->stopped && end == 0) {
                r = next_entry(j);
                if (r == 0)
                        break;
                if (r > 0)
                        r = check(j);
                if (r >= 0)
                        r = end = read_one(j);
                if (r < 0)
                        return r;
        }

        while (final && !j->stopped && j->n_open_lines > 0) {
                r = tell_open_line(j, j->open_lines);
                if (r < 0)
                        return r;
        }
        r = tell_dropped(j);
        if (r < 0)
                return r;

        /* There is nothing to be told up to here. */
        if (!j->cursor)
                j->cursor = TAKE_PTR(j->tail);
        return end > 0 || j->stopped;
}

/* --- the beginning --- */

/* Where we are is told first, if there is something; else what comes is. */
static int begin_here(LogJournal *j, int r) {
        j->at_entry = r > 0;
        return r < 0 ? r : 0;
}

static int seek_head(LogJournal *j) {
        int r;

        r = j->request->since > 0 ? sd_journal_seek_realtime_usec(j->journal, j->request->since)
                                  : sd_journal_seek_head(j->journal);
        return begin_here(j, r < 0 ? r : sd_journal_next(j->journal));
}

/* Behind an entry, or where it was. */
static int seek_cursor(LogJournal *j, const char *cursor) {
        int r;

        r = sd_journal_seek_cursor(j->journal, cursor);
        if (r >= 0)
                r = sd_journal_next(j->journal);
        if (r > 0) {
                r = sd_journal_test_cursor(j->journal, cursor);
                if (r > 0)
                        r = sd_journal_next(j->journal);
                else if (r == 0)
                        r = 1;
        }
        return begin_here(j, r);
}

static int take_to_window(LogJournal *j, LogRecord *record) {
        if (j->window_full)
                return 0;

        /* Parts are collected when they are told. */
        if (log_record_part(record) > 0)
                record->values[LOG_FIELD_MESSAGE] = mfree(record->values[LOG_FIELD_MESSAGE]);
        else
                j->window_size += record->sizes[LOG_FIELD_MESSAGE];
        if (j->n_window >= WINDOW_RECORDS_MAX || j->window_size > WINDOW_SIZE_MAX) {
                j->window_full = true;
                free_window(j);
                return 0;
        }

        if (!GREEDY_REALLOC(j->window, j->n_window_allocated, j->n_window + 1))
                return -ENOMEM;
        j->window[j->n_window++] = *record;
        *record = (LogRecord) {};
        return 0;
}

/* Whether it is one of the lines that were asked for, when they are counted. */
static int counts(LogJournal *j, const LogRecord *record) {
        _cleanup_log_entry_ LogEntry e = {};
        int r;

        if (log_record_source(record) == LOG_SOURCE_JOURNAL || !log_record_ends_line(record))
                return 0;
        if (!j->pattern)
                return 1;

        r = make_entry(j, record, &e);
        return is_damage(r) ? 0 : r < 0 ? r : matches_pattern(j, &e);
}

/* Looks at the entry where we are, and takes it. Returns 1 if it counts, -ETIME before all that were asked for. */
static int look_back(LogJournal *j, char **newest) {
        _cleanup_log_record_ LogRecord record = {};
        int r, counted;

        r = read_record(j->journal, &record);
        if (is_damage(r))
                return 0;
        if (r < 0)
                return r;
        if (!*newest) {
                r = free_and_strdup(newest, record.cursor);
                if (r < 0)
                        return r;
        }
        if (record.time < j->request->since)
                return -ETIME;
        if (record.time > j->request->until || !is_shown(j, &record))
                return 0;

        counted = counts(j, &record);
        if (counted < 0)
                return counted;
        r = take_to_window(j, &record);
        return r < 0 ? r : counted;
}

/* So many lines back from the end. Returns where we are: 1 at the first one, 0 before it, -ENODATA if that is the
 * first of all. */
static int go_back(LogJournal *j, char **newest) {
        uint64_t n = 0;
        int r;

        while ((r = sd_journal_previous(j->journal)) > 0) {
                r = check(j);
                if (r < 0)
                        return r;
                /* One that is not told, so that the next is. */
                if (j->request->lines == 0)
                        return 0;
                r = look_back(j, newest);
                if (r < 0)
                        return r == -ETIME ? 0 : r;
                n += r > 0;
                if (n == j->request->lines)
                        return 1;
        }
        return r < 0 ? r : -ENODATA;
}

static int seek_back(LogJournal *j) {
        _cleanup_free_ char *newest = NULL;
        int r;

        r = j->request->until != USEC_INFINITY ? sd_journal_seek_realtime_usec(j->journal, j->request->until)
                                               : sd_journal_seek_tail(j->journal);
        if (r < 0)
                return r;
        r = go_back(j, &newest);
        if (r < 0 && r != -ENODATA)
                return r;

        /* What lies between is in the window. */
        if (newest && !j->window_full)
                return seek_cursor(j, newest);
        return r == -ENODATA ? seek_head(j) : begin_here(j, r);
}

int log_journal_seek(LogJournal *j) {
        if (j->request->cursor)
                return seek_cursor(j, j->request->cursor);
        if (j->request->lines == LOG_LINES_ALL)
                return seek_head(j);
        return seek_back(j);
}

/* --- waiting --- */

int log_journal_get_poll(LogJournal *j, short *ret_events, usec_t *ret_until) {
        uint64_t until;
        int fd, events, r;

        fd = sd_journal_get_fd(j->journal);
        if (fd < 0)
                return fd;
        events = sd_journal_get_events(j->journal);
        if (events < 0)
                return events;
        r = sd_journal_get_timeout(j->journal, &until);
        if (r < 0)
                return r;

        *ret_events = (short) events;
        *ret_until = until;
        return fd;
}

int log_journal_process(LogJournal *j) {
        int r;

        r = sd_journal_process(j->journal);
        return r < 0 ? r : 0;
}

const char *log_journal_cursor(const LogJournal *j) {
        return strempty(j->cursor);
}
