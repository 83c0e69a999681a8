/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-dump.h"

#include <errno.h>
#include <string.h>

#include "alloc-util.h"
#include "job-engine.h"
#include "json-util.h"
#include "string-util.h"

/* Bytes of the end of a dump that are kept to look at. */
#define TAIL_SIZE 256U

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
        },
        {
                        .kind = "mariadb",
                        .suffix = ".sql",
                        .password = "MYSQL_PWD",
                        .argv = { "mariadb-dump", "--single-transaction", "--quick", "--routines",
                                        "--triggers", "--events", "--hex-blob", "--user", USER, DATABASE },
                        .begin = { "/*", "-- MariaDB dump" },
                        .end = "-- Dump completed",
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

static int build_argv(const Recipe *recipe, const char *const *tool, const BlueprintDatabase *database,
                const char *container, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;
        int r;

        r = strv_extend(&l, "exec");
        if (r >= 0 && database->password)
                r = strv_extendf(&l, "--env=%s", recipe->password);
        if (r >= 0 && tool == recipe->check)
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
