/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-dump.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "alloc-util.h"
#include "dump-digest.h"
#include "job-engine.h"
#include "json-util.h"
#include "string-util.h"

/* Bytes of the end of a dump that are kept to look at. */
#define TAIL_SIZE 256U
/* How long a database that is healthy may take until it takes connections, and how often it is asked. */
#define READY_PATIENCE_USEC (2 * USEC_PER_MINUTE)
#define READY_DELAY_USEC (500 * USEC_PER_MSEC)

#define USER "@user"
#define DATABASE "@database"

/* A kind of database. In argv, USER and DATABASE stand for those of the blueprint. The password is handed over in the
 * environment of the tool, which only who may look into the container sees. */
typedef struct Recipe {
        const char *kind, *suffix;
        const char *password; /* name of the variable */
        const char *argv[16]; /* writes the dump to stdout */
        const char *begin[3]; /* each dump begins with one of these */
        const char *end;      /* somewhere in its last bytes; NULL: the tool's status tells enough */
        const char *check[8]; /* reads it from stdin; argv[0] NULL: there is none */
        /* Back into a database that was made anew. 'ready' ends well once that is up for good: what makes it answers on
         * its socket alone. 'restore' reads the dump from stdin. */
        const char *ready[12], *restore[16];
        /* The rows of the database, and of a dump on stdin, as one and the same text; the dump's own text if there is no
         * 'text'. */
        DumpText rows;
        const char *dump_rows[16], *text[8];
} Recipe;

static const Recipe recipes[] = {
        {
                        .kind = "postgresql",
                        .suffix = ".dump",
                        .password = "PGPASSWORD",
                        /* Compressed later, all alike. */
                        .argv = { "pg_dump", "--format=custom", "--compress=0", "--no-password",
                                        "--username", USER, "--dbname", DATABASE },
                        .begin = { "PGDMP" },
                        .check = { "pg_restore", "--list" },
                        .ready = { "pg_isready", "--quiet", "--host", "127.0.0.1", "--username", USER,
                                        "--dbname", DATABASE },
                        .restore = { "pg_restore", "--exit-on-error", "--single-transaction", "--clean",
                                        "--if-exists", "--no-password", "--host", "127.0.0.1", "--username",
                                        USER, "--dbname", DATABASE },
                        .rows = DUMP_TEXT_COPY,
                        .dump_rows = { "pg_dump", "--data-only", "--no-password", "--host", "127.0.0.1",
                                        "--username", USER, "--dbname", DATABASE },
                        .text = { "pg_restore", "--data-only", "--file=-" },
        },
        {
                        .kind = "mysql",
                        .suffix = ".sql",
                        .password = "MYSQL_PWD",
                        .argv = { "mysqldump", "--single-transaction", "--quick", "--routines", "--triggers",
                                        "--events", "--hex-blob", "--no-tablespaces", "--user", USER,
                                        DATABASE },
                        .begin = { "-- MySQL dump" },
                        .end = "-- Dump completed",
                        .ready = { "mysqladmin", "--host=127.0.0.1", "--user", USER, "--silent", "ping" },
                        .restore = { "mysql", "--host=127.0.0.1", "--binary-mode", "--user", USER,
                                        DATABASE },
                        .rows = DUMP_TEXT_MYSQL,
                        .dump_rows = { "mysqldump", "--host=127.0.0.1", "--single-transaction", "--quick",
                                        "--routines", "--triggers", "--events", "--hex-blob",
                                        "--no-tablespaces", "--user", USER, DATABASE },
        },
        {
                        .kind = "mariadb",
                        .suffix = ".sql",
                        .password = "MYSQL_PWD",
                        .argv = { "mariadb-dump", "--single-transaction", "--quick", "--routines",
                                        "--triggers", "--events", "--hex-blob", "--user", USER, DATABASE },
                        .begin = { "/*", "-- MariaDB dump" },
                        .end = "-- Dump completed",
                        .ready = { "mariadb-admin", "--host=127.0.0.1", "--user", USER, "--silent", "ping" },
                        .restore = { "mariadb", "--host=127.0.0.1", "--binary-mode", "--user", USER,
                                        DATABASE },
                        .rows = DUMP_TEXT_MYSQL,
                        .dump_rows = { "mariadb-dump", "--host=127.0.0.1", "--single-transaction", "--quick",
                                        "--routines", "--triggers", "--events", "--hex-blob", "--user", USER,
                                        DATABASE },
        },
        {
                        .kind = "redis",
                        .suffix = ".rdb",
                        .password = "REDISCLI_AUTH",
                        .argv = { "redis-cli", "--rdb", "-" },
                        .begin = { "REDIS" },
        },
};

static const Recipe *find_recipe(const char *kind) {
        FOREACH_ARRAY(r, recipes, ELEMENTSOF(recipes))
                if (streq_ptr(r->kind, kind))
                        return r;
        return NULL;
}

const char *job_dump_suffix(const char *kind) {
        const Recipe *r = find_recipe(kind);

        return r ? r->suffix : NULL;
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

        return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                        "The database of the service '%s' cannot be dumped: it does not run. See: ccpctl "
                        "status %s",
                        database->service, j->claim.job->slug);
}

static bool reads_stdin(const Recipe *recipe, const char *const *tool) {
        return tool == recipe->check || tool == recipe->restore || tool == recipe->text;
}

static int build_argv(const Recipe *recipe, const char *const *tool, const BlueprintDatabase *database,
                const char *container, char ***ret) {
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
                r = strv_extend(&l,
                                streq(*a, USER)                       ? strempty(database->user)
                                                : streq(*a, DATABASE) ? strempty(database->database)
                                                                      : *a);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(l);
        return 0;
}

/* The variable with the password, to be erased; NULL if there is none. */
static int build_password(const Job *j, const Recipe *recipe, const BlueprintDatabase *database, char **ret,
                Error *reterr) {
        const char *password;

        *ret = NULL;
        if (!database->password)
                return 0;
        password = json_object_get_string(json_object_get(j->values, "secrets"), database->password);
        if (!password)
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID, "The instance has no secret '%s'.",
                                database->password);

        *ret = strjoin(recipe->password, "=", password);
        return *ret ? 0 : error_set_errnof(reterr, ENOMEM, "%m");
}

/* --- dumping --- */

typedef struct Dump {
        const Recipe *recipe;
        int (*sink)(const void *data, size_t size, void *userdata, Error *reterr);
        void *userdata;
        uint64_t size;
        char head[32], tail[TAIL_SIZE + 1];
        size_t n_head, n_tail;
} Dump;

static int take(const void *data, size_t size, void *userdata, Error *reterr) {
        Dump *d = userdata;
        size_t n = MIN(size, sizeof(d->head) - d->n_head), keep;

        memcpy(d->head + d->n_head, data, n);
        d->n_head += n;

        n = MIN(size, (size_t) TAIL_SIZE);
        keep = MIN(d->n_tail, TAIL_SIZE - n);
        memmove(d->tail, d->tail + d->n_tail - keep, keep);
        memcpy(d->tail + keep, (const char *) data + size - n, n);
        d->n_tail = keep + n;
        d->size += size;
        return d->sink(data, size, d->userdata, reterr);
}

static bool is_whole(Dump *d) {
        const Recipe *r = d->recipe;
        bool begins = false;

        for (const char *const *b = r->begin; *b; b++)
                begins = begins || (d->n_head >= strlen(*b) && memcmp(d->head, *b, strlen(*b)) == 0);
        if (!begins)
                return false;
        return !r->end || memmem(d->tail, d->n_tail, r->end, strlen(r->end));
}

int job_dump_database(Job *j, const BlueprintDatabase *database,
                int (*sink)(const void *data, size_t size, void *userdata, Error *reterr), void *userdata,
                Error *reterr) {
        Dump d = { .recipe = find_recipe(database->kind), .sink = sink, .userdata = userdata };
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *container = NULL;
        _cleanup_erase_ char *password = NULL;
        int r;

        assert(d.recipe);
        r = find_container(j, database, &container, reterr);
        if (r >= 0)
                r = build_password(j, d.recipe, database, &password, reterr);
        if (r < 0)
                return r;
        r = build_argv(d.recipe, d.recipe->argv, database, container, &argv);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        r = docker_cli(j, argv,
                        &(DockerCliOptions) {
                                        .stdin_fd = -EBADF,
                                        .environment = (char *[]) { password, NULL },
                                        .output = take,
                                        .userdata = &d,
                        },
                        &result, reterr);
        if (r < 0)
                return error_prefixf(reterr, r, "Cannot dump the database of '%s'", database->service);
        if (!is_whole(&d))
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "%s in the service '%s' ended well, but what it wrote is no whole dump of a "
                                "database.",
                                d.recipe->argv[0], database->service);
        return 0;
}

/* --- checking --- */

int job_dump_check(Job *j, const BlueprintDatabase *database, int fd, Error *reterr) {
        const Recipe *recipe = find_recipe(database->kind);
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *container = NULL;
        int r;

        if (!recipe->check[0])
                return 1;
        r = find_container(j, database, &container, reterr);
        if (r < 0)
                return r;
        r = build_argv(recipe, recipe->check, database, container, &argv);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        r = docker_cli(j, argv, &(DockerCliOptions) { .stdin_fd = fd }, &result, reterr);
        return r < 0 ? error_prefixf(reterr, r, "The dump of the database of '%s' cannot be read",
                                       database->service)
                     : 0;
}

/* --- restoring --- */

bool job_dump_can_restore(const char *kind) {
        const Recipe *r = find_recipe(kind);

        return r && r->restore[0];
}

/* One of a recipe's tools, run in the container of the database. */
typedef struct Tool {
        Job *job;
        const Recipe *recipe;
        const BlueprintDatabase *database;
        char *container, *password;

        JobFeed *feed;
        uint64_t size; /* of what is fed */
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

        *t = (Tool) { .job = j, .recipe = find_recipe(database->kind), .database = database };
        assert(t->recipe);
        r = find_container(j, database, &t->container, reterr);
        return r < 0 ? r : build_password(j, t->recipe, database, &t->password, reterr);
}

static int tool_take(const void *data, size_t size, void *userdata, Error *reterr) {
        Tool *t = userdata;
        int r;

        if (!t->digest)
                return 0;
        if (job_checkpoint(t->job) < 0)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        r = dump_digest_add(t->digest, data, size);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot count the rows of '%s': %m", t->database->service)
                     : 0;
}

static int tool_poll(void *userdata) {
        Tool *t = userdata;
        uint64_t at = t->feed ? job_feed_position(t->feed) : 0;

        if (t->feed)
                job_tell_bytes(t->job, -1, at, t->size, "%s", t->database->service);
        return job_poll(t->job);
}

static int tool_run(Tool *t, const char *const *words, int stdin_fd, bool any_status, int *ret_status,
                Error *reterr) {
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **argv = NULL;
        int r;

        r = build_argv(t->recipe, words, t->database, t->container, &argv);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");
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
                return r;
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

/* The digest of what a tool writes, or, where there is none, of the stream itself. */
static int finish_digest(Tool *t, json_t **ret, Error *reterr) {
        int r;

        r = dump_digest_finish(t->digest, ret);
        t->digest = dump_digest_free(t->digest);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot count the rows of '%s': %m", t->database->service)
                     : 0;
}

static int digest_dump(Tool *t, ArchiveReader *reader, const char *stream, json_t **ret, Error *reterr) {
        int r;

        r = dump_digest_new(t->recipe->rows, &t->digest);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");
        r = t->recipe->text[0] ? tool_run_fed(t, t->recipe->text, reader, stream, reterr)
                               : archive_reader_extract(reader, stream, tool_take, t, reterr);
        return r < 0 ? r : finish_digest(t, ret, reterr);
}

static int digest_database(Tool *t, json_t **ret, Error *reterr) {
        int r;

        r = dump_digest_new(t->recipe->rows, &t->digest);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");
        r = tool_run(t, t->recipe->dump_rows, -EBADF, false, NULL, reterr);
        return r < 0 ? r : finish_digest(t, ret, reterr);
}

int job_dump_restore(Job *j, const BlueprintDatabase *database, ArchiveReader *reader, const char *stream,
                uint64_t *ret_rows, Error *reterr) {
        _cleanup_json_ json_t *wanted = NULL, *found = NULL;
        _cleanup_tool_ Tool t = {};
        int r;

        r = tool_init(&t, j, database, reterr);
        if (r >= 0)
                r = wait_until_ready(&t, reterr);
        if (r >= 0)
                r = tool_run_fed(&t, t.recipe->restore, reader, stream, reterr);
        if (r >= 0)
                r = digest_dump(&t, reader, stream, &wanted, reterr);
        if (r >= 0)
                r = digest_database(&t, &found, reterr);
        if (r >= 0)
                r = dump_digest_compare(wanted, found, ret_rows, reterr);
        return r < 0 ? error_prefixf(reterr, r, "Cannot restore the database of '%s'", database->service)
                     : 0;
}
