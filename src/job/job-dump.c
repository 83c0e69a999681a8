/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-dump.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "alloc-util.h"
#include "dump-digest.h"
#include "dump-recipe.h"
#include "dump-version.h"
#include "job-engine.h"
#include "json-util.h"
#include "log.h"
#include "string-util.h"

/* How long a database that is healthy may take until it takes connections, and how often it is asked. */
#define READY_PATIENCE_USEC (2 * USEC_PER_MINUTE)
#define READY_DELAY_USEC (500 * USEC_PER_MSEC)
/* Within it two dumps are compared. */
#define UNTIL_USEC (15 * USEC_PER_MINUTE)
/* So long a tool may be at work without a word: it can take that long to build an index. */
#define SILENCE_USEC (60 * USEC_PER_MINUTE)

const char *job_dump_suffix(DatabaseKind kind) {
        return recipe_get(kind)->suffix;
}

bool job_dump_is_offline(DatabaseKind kind) {
        return recipe_get(kind)->offline;
}

/* The container of the database's service that runs. */
static int find_container(Job *j, const BlueprintDatabase *database, char **ret, Error *reterr) {
        _cleanup_docker_objects_ DockerObjects containers = {};
        int r;

        r = job_engine_list_containers(j, &containers, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(o, containers.items, containers.n)
                if (!o->oneoff && streq_ptr(o->service, database->service) &&
                                o->state == CONTAINER_RUNNING) {
                        *ret = TAKE_PTR(o->id);
                        return 0;
                }

        return error_setf(reterr, CCP_ERROR_UNHEALTHY,
                        "The database of the service '%s' does not run. See: ccpctl status %s",
                        database->service, j->claim.job->slug);
}

static bool reads_stdin(const Recipe *recipe, const char *const *tool) {
        return tool == recipe->check || tool == recipe->restore || tool == recipe->text;
}

/* A word with what stands for something in it. An option without its value is none. */
static int extend_word(
                char ***argv, const char *word, const BlueprintDatabase *database, const char *until) {
        const struct {
                const char *mark, *value;
        } marks[] = {
                { RECIPE_USER, database->user },
                { RECIPE_DATABASE, database->database },
                { RECIPE_FILE, database->path },
                { RECIPE_UNTIL, until },
        };

        FOREACH_ARRAY(m, marks, ELEMENTSOF(marks)) {
                size_t n = strlen(word) - MIN(strlen(word), strlen(m->mark));

                if (!streq(word + n, m->mark))
                        continue;
                if (n > 0 && !m->value)
                        return 0;
                return strv_extendf(argv, "%.*s%s", (int) n, word, strempty(m->value));
        }
        return strv_extend(argv, word);
}

static int build_argv(const Recipe *recipe, const char *const *tool, const BlueprintDatabase *database,
                const char *container, const char *until, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;
        int r;

        r = strv_extend(&l, "exec");
        if (r >= 0 && database->password)
                r = strv_extendf(&l, "--env=%s", recipe->password);
        if (r >= 0 && reads_stdin(recipe, tool))
                r = strv_extend(&l, "--interactive");
        if (r >= 0)
                r = strv_extend(&l, container);
        for (const char *const *a = tool; r >= 0 && *a; a++)
                r = extend_word(&l, *a, database, until);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(l);
        return 0;
}

/* The variable with the password, to be erased; NULL if there is none. */
static int build_password(const Job *j, const Recipe *recipe, const BlueprintDatabase *database, char **ret,
                Error *reterr) {
        json_t *password;

        *ret = NULL;
        if (!database->password)
                return 0;
        password = json_object_get(json_object_get(j->values, "secrets"), database->password);
        if (!json_is_string(password))
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID, "The instance has no secret '%s'.",
                                database->password);

        if (recipe->password_format) {
                _cleanup_erase_ char *text = json_dumps(password, JSON_ENCODE_ANY);

                *ret = text ? strjoin(recipe->password, "=", recipe->password_format, text) : NULL;
        } else
                *ret = strjoin(recipe->password, "=", json_string_value(password));
        return *ret ? 0 : error_set_errnof(reterr, ENOMEM, "%m");
}

/* --- tools --- */

/* One of a recipe's tools, run in the container of the database. */
typedef struct Tool {
        Job *job;
        const Recipe *recipe;
        const BlueprintDatabase *database;
        bool idle;
        char *container, *password;
        char until[STRLEN("18446744073709551615") + 1];

        JobFeed *feed;
        uint64_t size, fed; /* of what is fed; and so far */
        usec_t active_at;   /* when something came or went the last time, monotonic */
        bool is_silent;     /* for too long */
        usec_t end_at;      /* when it must be done, monotonic; 0: it may take its time */

        /* What it writes; NULL: nothing is wanted of it. */
        int (*output)(const void *data, size_t size, void *userdata, Error *reterr);
        void *userdata;
        DumpDigest *digest;
} Tool;

static void tool_done(Tool *t) {
        free(t->container);
        if (t->password)
                explicit_bzero(t->password, strlen(t->password));
        free(t->password);
        dump_digest_free(t->digest);
}
#define _cleanup_tool_ _cleanup_(tool_done)

static int tool_init(Tool *t, Job *j, const BlueprintDatabase *database, Error *reterr) {
        int r;

        *t = (Tool) { .job = j, .recipe = recipe_get(database->kind), .database = database };
        r = find_container(j, database, &t->container, reterr);
        return r < 0 ? r : build_password(j, t->recipe, database, &t->password, reterr);
}

/* One at a time; so what a worker left that was killed can be told from what others run. */
static char *idle_name(const Job *j) {
        return strjoin("ccp-idle-", j->id_text);
}

/* A container of the service's in which nothing runs but our tools; tool_end() removes it. */
static int tool_init_idle(Tool *t, Job *j, const BlueprintDatabase *database, Error *reterr) {
        _cleanup_free_ char *name = idle_name(j);
        EngineContext c = job_engine_context(j);

        *t = (Tool) { .job = j, .recipe = recipe_get(database->kind), .database = database, .idle = true };
        if (!name)
                return error_set_errnof(reterr, ENOMEM, "%m");
        return j->engine->idle(&c, database->service, name, &t->container, reterr);
}

/* 'r' is what came of the tools, and what is given, if that is an error. */
static int tool_end(Tool *t, int r, Error *reterr) {
        const DockerOwner owner = job_engine_owner(t->job);
        _cleanup_error_ Error error = {};
        int k;

        if (!t->idle || !t->container)
                return r;
        k = docker_remove(t->job->docker, DOCKER_CONTAINER, t->container, &owner, &error);
        if (r < 0 || k >= 0)
                return r;
        error_move(reterr, &error);
        return k;
}

static int tool_take(const void *data, size_t size, void *userdata, Error *reterr) {
        Tool *t = userdata;

        t->active_at = now(CLOCK_MONOTONIC);
        if (!t->output)
                return 0;
        if (job_checkpoint(t->job) < 0)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        return t->output(data, size, t->userdata, reterr);
}

/* A tenant can lock tables, and replace the tool: neither may keep a job going for ever. */
static int tool_poll(void *userdata) {
        Tool *t = userdata;
        uint64_t at = t->feed ? job_feed_position(t->feed) : 0;
        usec_t monotonic = now(CLOCK_MONOTONIC);

        if (t->feed)
                job_tell_bytes(t->job, -1, at, t->size, "%s", t->database->service);
        if (at != t->fed) {
                t->fed = at;
                t->active_at = monotonic;
        }
        t->is_silent = monotonic - t->active_at > SILENCE_USEC;
        return t->is_silent || (t->end_at > 0 && monotonic > t->end_at) ? -ETIMEDOUT : job_poll(t->job);
}

static int fail_silent(const Tool *t, const char *const *words, Error *reterr) {
        error_done(reterr);
        return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                        "In the service '%s' %s neither read nor wrote anything for %" PRIu64
                        " minutes. Does something hold a lock there?",
                        t->database->service, words[0], (uint64_t) (SILENCE_USEC / USEC_PER_MINUTE));
}

static int tool_run(Tool *t, const char *const *words, int stdin_fd, bool any_status, int *ret_status,
                Error *reterr) {
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **argv = NULL;
        int r;

        r = build_argv(t->recipe, words, t->database, t->container, t->until, &argv);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");
        t->active_at = now(CLOCK_MONOTONIC);
        t->fed = 0;
        r = docker_cli(t->job, argv,
                        &(DockerCliOptions) {
                                        .stdin_fd = stdin_fd,
                                        .environment = (char *[]) { t->password, NULL },
                                        .output = tool_take,
                                        .poll = tool_poll,
                                        .userdata = t,
                                        .any_status = any_status,
                        },
                        &result, reterr);
        if (r < 0)
                return t->is_silent ? fail_silent(t, words, reterr) : r;
        if (ret_status)
                *ret_status = result.status;
        return 0;
}

/* The same, fed with the dump. What is wrong with the dump is told before what the tool says of it. */
static int tool_run_fed(Tool *t, const char *const *words, ArchiveReader *reader, const char *stream,
                Error *reterr) {
        _cleanup_error_ Error error = {};
        int fd, r, k;

        t->size = (uint64_t) json_integer_value(
                        json_object_get(archive_reader_find(reader, stream), "size"));
        r = job_feed_new(reader, stream, &t->feed, &fd, reterr);
        if (r < 0)
                return r;
        r = tool_run(t, words, fd, false, NULL, &error);
        k = job_feed_finish(TAKE_PTR(t->feed), reterr);
        if (k < 0)
                return k;
        if (r < 0)
                error_move(reterr, &error);
        return r;
}

static int wait_until_ready(Tool *t, Error *reterr) {
        usec_t end = now(CLOCK_MONOTONIC) + READY_PATIENCE_USEC;

        for (;;) {
                int status, r;

                r = tool_run(t, t->recipe->ready, -EBADF, true, &status, reterr);
                if (r < 0 || status == 0)
                        return r;
                if (now(CLOCK_MONOTONIC) >= end)
                        return error_setf(reterr, CCP_ERROR_UNHEALTHY,
                                        "The database of the service '%s' takes no connections: %s ends "
                                        "with %i.",
                                        t->database->service, t->recipe->ready[0], status);
                r = job_sleep(t->job, READY_DELAY_USEC);
                if (r < 0)
                        return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        }
}

/* One that ran all the time is not asked. */
static int wait_after_restart(Tool *t, Error *reterr) {
        return t->job->engine_restarted && !t->idle && t->recipe->ready[0] ? wait_until_ready(t, reterr) : 0;
}

int job_dump_wait_until_ready(Job *j, const BlueprintDatabase *database, Error *reterr) {
        _cleanup_tool_ Tool t = {};
        int r;

        r = tool_init(&t, j, database, reterr);
        return r < 0 ? r : wait_until_ready(&t, reterr);
}

/* --- versions --- */

/* The program is a tenant's, and no backup waits for it. */
#define VERSION_USEC (30 * USEC_PER_SEC)
/* A restore asks for longer: what it is not told it cannot refuse. */
#define CHECK_USEC (5 * USEC_PER_MINUTE)
#define VERSION_TEXT_MAX 1024U

typedef struct VersionText {
        char data[VERSION_TEXT_MAX];
        size_t size;
        bool is_endless;
} VersionText;

static int take_version(const void *data, size_t size, void *userdata, Error *reterr) {
        VersionText *v = userdata;

        v->is_endless = size > sizeof(v->data) - v->size;
        if (v->is_endless)
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED, "This is no version.");
        memcpy(v->data + v->size, data, size);
        v->size += size;
        return 0;
}

static int run_version(Tool *t, usec_t patience, VersionText *text, int *ret_status, Error *reterr) {
        _cleanup_error_ Error error = {};
        bool late;
        int r;

        t->output = take_version;
        t->userdata = text;
        t->end_at = now(CLOCK_MONOTONIC) + patience;
        r = tool_run(t, t->recipe->version, -EBADF, true, ret_status, &error);
        late = now(CLOCK_MONOTONIC) > t->end_at;
        t->end_at = 0;
        t->output = NULL;
        if (r >= 0)
                return 0;
        if (r != -ECANCELED && (late || text->is_endless))
                return -ENODATA;
        error_move(reterr, &error);
        return r;
}

/* NULL if there is no such program, or if it says something else: that is no reason to make no backup. */
static int get_version(Tool *t, usec_t patience, char **ret, Error *reterr) {
        VersionText text = {};
        int status = 0, r;

        *ret = NULL;
        r = run_version(t, patience, &text, &status, reterr);
        if (r < 0 && r != -ENODATA)
                return r;
        if (r >= 0)
                r = status == 0 ? dump_version_parse(text.data, text.size, ret) : -ENODATA;
        if (r == -ENODATA) {
                log_info("%s in the service '%s' does not say its version.", t->recipe->version[0],
                                t->database->service);
                return 0;
        }
        return r < 0 ? error_set_errnof(reterr, r, "%m") : 0;
}

/* Refuses what the tools here are too old for before they are given any of it. */
static int check_version(Tool *t, ArchiveReader *reader, const char *stream, Error *reterr) {
        const char *said = json_object_get_string(archive_reader_find(reader, stream), "version");
        _cleanup_free_ char *version = NULL, *present = NULL;
        int r;

        if (!said || t->recipe->n_version_parts == 0 ||
                        json_is_true(json_object_get(t->job->claim.job->spec, "any_version")))
                return 0;
        r = dump_version_parse(said, strlen(said), &version);
        if (r < 0)
                return r == -ENODATA ? 0 : error_set_errnof(reterr, r, "%m");
        r = get_version(t, CHECK_USEC, &present, reterr);
        if (r >= 0 && !present)
                log_notice("Whether the database of '%s' is too old for the dump was not seen.",
                                t->database->service);
        if (r < 0 || !present || !dump_version_is_newer(version, present, t->recipe->n_version_parts))
                return r;
        return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                        "it was dumped by version %s of %s, which is newer than the %s that is there now. "
                        "Give the service an image with that version%s.",
                        version, database_kind_to_string(t->database->kind), present,
                        t->job->claim.job->kind == JOB_DRILL ? ""
                                                             : "; 'ccpctl backup restore --any-version' "
                                                               "loads the dump all the same");
}

/* --- dumping --- */

typedef struct Dump {
        DumpEnds ends;
        int (*sink)(const void *data, size_t size, void *userdata, Error *reterr);
        void *userdata;
} Dump;

static int take(const void *data, size_t size, void *userdata, Error *reterr) {
        Dump *d = userdata;
        DumpEnds *e = &d->ends;
        size_t n = MIN(size, sizeof(e->head) - e->n_head), most = sizeof(e->tail) - 1, keep;

        memcpy(e->head + e->n_head, data, n);
        e->n_head += n;

        n = MIN(size, most);
        keep = MIN(e->n_tail, most - n);
        memmove(e->tail, e->tail + e->n_tail - keep, keep);
        memcpy(e->tail + keep, (const char *) data + size - n, n);
        e->n_tail = keep + n;
        e->size += size;
        return d->sink(data, size, d->userdata, reterr);
}

static int run_dump(Tool *t, Dump *d, Error *reterr) {
        int r;

        t->output = take;
        t->userdata = d;
        r = tool_run(t, t->recipe->dump, -EBADF, false, NULL, reterr);
        if (r < 0)
                return error_prefixf(reterr, r, "Cannot dump the database of '%s' with the tool of %s",
                                t->database->service, database_kind_to_string(t->database->kind));
        if (!t->recipe->is_whole(&d->ends))
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "The tool of %s in the service '%s' ended well, but what it wrote is no "
                                "whole dump of a database.",
                                database_kind_to_string(t->database->kind), t->database->service);
        return 0;
}

int job_dump_database(Job *j, const BlueprintDatabase *database, bool idle,
                int (*sink)(const void *data, size_t size, void *userdata, Error *reterr), void *userdata,
                char **ret_version, Error *reterr) {
        Dump d = { .sink = sink, .userdata = userdata };
        _cleanup_free_ char *version = NULL;
        _cleanup_tool_ Tool t = {};
        int r;

        r = idle ? tool_init_idle(&t, j, database, reterr) : tool_init(&t, j, database, reterr);
        if (r >= 0)
                r = wait_after_restart(&t, reterr);
        if (r >= 0)
                r = get_version(&t, VERSION_USEC, &version, reterr);
        if (r >= 0)
                r = run_dump(&t, &d, reterr);
        r = tool_end(&t, r, reterr);
        if (r < 0)
                return r;

        *ret_version = TAKE_PTR(version);
        return 0;
}

/* --- checking --- */

int job_dump_check(Job *j, const BlueprintDatabase *database, ArchiveReader *reader, const char *stream,
                Error *reterr) {
        const Recipe *recipe = recipe_get(database->kind);
        _cleanup_tool_ Tool t = {};
        int r;

        if (!recipe->check[0] || (recipe->check_asks && job_began_stopped(j)))
                return 1;
        r = job_began_stopped(j) ? tool_init_idle(&t, j, database, reterr)
                                 : tool_init(&t, j, database, reterr);
        if (r >= 0)
                r = wait_after_restart(&t, reterr);
        if (r >= 0) {
                r = tool_run_fed(&t, recipe->check, reader, stream, reterr);
                if (r < 0)
                        r = error_prefixf(reterr, r, "The dump of the database of '%s' cannot be read",
                                        database->service);
        }
        r = tool_end(&t, r, reterr);
        return r < 0 ? r : 0;
}

/* --- restoring --- */

static int take_digest(const void *data, size_t size, void *userdata, Error *reterr) {
        Tool *t = userdata;
        int r;

        r = dump_digest_add(t->digest, data, size);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot count the rows of '%s': %m", t->database->service)
                     : 0;
}

/* The digest of what a tool writes, or, where there is none, of the stream itself. */
static int begin_digest(Tool *t, Error *reterr) {
        int r;

        r = dump_digest_new(t->recipe->rows, &t->digest);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");
        t->output = take_digest;
        t->userdata = t;
        return 0;
}

static int finish_digest(Tool *t, json_t **ret, Error *reterr) {
        int r;

        r = dump_digest_finish(t->digest, ret);
        t->digest = dump_digest_free(t->digest);
        t->output = NULL;
        return r < 0 ? error_set_errnof(reterr, r, "Cannot count the rows of '%s': %m", t->database->service)
                     : 0;
}

static int digest_dump(Tool *t, ArchiveReader *reader, const char *stream, json_t **ret, Error *reterr) {
        int r;

        r = begin_digest(t, reterr);
        if (r < 0)
                return r;
        r = t->recipe->text[0] ? tool_run_fed(t, t->recipe->text, reader, stream, reterr)
                               : archive_reader_extract(reader, stream, tool_take, t, reterr);
        return r < 0 ? r : finish_digest(t, ret, reterr);
}

static int digest_database(Tool *t, json_t **ret, Error *reterr) {
        int r;

        r = begin_digest(t, reterr);
        if (r < 0)
                return r;
        r = tool_run(t, t->recipe->dump_rows, -EBADF, false, NULL, reterr);
        return r < 0 ? r : finish_digest(t, ret, reterr);
}

static int restore(Tool *t, ArchiveReader *reader, const char *stream, uint64_t *ret_rows, Error *reterr) {
        _cleanup_json_ json_t *wanted = NULL, *found = NULL;
        int r;

        r = check_version(t, reader, stream, reterr);
        if (r >= 0)
                r = tool_run_fed(t, t->recipe->restore, reader, stream, reterr);
        if (r < 0)
                return r;
        (void) snprintf(t->until, sizeof(t->until), "%" PRIu64,
                        (uint64_t) ((now(CLOCK_REALTIME) + UNTIL_USEC) / USEC_PER_MSEC));
        r = digest_dump(t, reader, stream, &wanted, reterr);
        if (r >= 0)
                r = digest_database(t, &found, reterr);
        return r < 0 ? r : dump_digest_compare(wanted, found, ret_rows, reterr);
}

static int restore_offline(Job *j, const BlueprintDatabase *database, ArchiveReader *reader,
                const char *stream, uint64_t *ret_rows, Error *reterr) {
        _cleanup_tool_ Tool t = {};
        int r;

        r = tool_init_idle(&t, j, database, reterr);
        if (r >= 0)
                r = restore(&t, reader, stream, ret_rows, reterr);
        return tool_end(&t, r, reterr);
}

static int restore_online(Job *j, const BlueprintDatabase *database, ArchiveReader *reader,
                const char *stream, uint64_t *ret_rows, Error *reterr) {
        _cleanup_tool_ Tool t = {};
        int r;

        r = tool_init(&t, j, database, reterr);
        if (r >= 0)
                r = wait_until_ready(&t, reterr);
        return r < 0 ? r : restore(&t, reader, stream, ret_rows, reterr);
}

int job_dump_restore(Job *j, const BlueprintDatabase *database, ArchiveReader *reader, const char *stream,
                uint64_t *ret_rows, Error *reterr) {
        int r;

        r = job_dump_is_offline(database->kind)
                        ? restore_offline(j, database, reader, stream, ret_rows, reterr)
                        : restore_online(j, database, reader, stream, ret_rows, reterr);
        return r < 0 ? error_prefixf(reterr, r, "Cannot restore the database of '%s'", database->service)
                     : 0;
}

int job_dump_clean_up(Job *j, Error *reterr) {
        const DockerOwner owner = job_engine_owner(j);
        _cleanup_docker_objects_ DockerObjects containers = {};
        _cleanup_free_ char *name = idle_name(j);
        int r;

        if (!name)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = job_engine_list_containers(j, &containers, reterr);
        if (r < 0)
                return r;
        FOREACH_ARRAY(o, containers.items, containers.n)
                if (streq_ptr(o->name, name)) {
                        r = docker_remove(j->docker, DOCKER_CONTAINER, o->id, &owner, reterr);
                        if (r < 0)
                                return r;
                }
        return 0;
}
