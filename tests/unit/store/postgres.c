/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "postgres.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "store.h"
#include "string-util.h"
#include "strv.h"

#define START_PATIENCE (60U * USEC_PER_SEC)
#define TEMPLATE "ccp_template"

static struct {
        char *directory, *binaries;
        pid_t pid, owner;
        unsigned n_databases;
} server;

static char *concat(const char *a, const char *b) {
        char *s = strjoin(a, b);

        ck_assert_ptr_nonnull(s);
        return s;
}

/* The newest of the versions that are installed. */
static char *find_binaries(void) {
        glob_t g = {};
        char *slash, *found;

        ck_assert_msg(glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &g) == 0 ||
                                        glob("/usr/bin/initdb", 0, NULL, &g) == 0,
                        "PostgreSQL's server programs are not installed");
        found = concat(g.gl_pathv[g.gl_pathc - 1], "");
        globfree(&g);
        slash = strrchr(found, '/');
        *slash = 0;
        return found;
}

/* PostgreSQL refuses to run as root. */
static void become_postgres(void) {
        const struct passwd *pw;

        if (geteuid() == 0) {
                pw = getpwnam("postgres");
                if (!pw || setgroups(0, NULL) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
                        _exit(126);
        }
        if (prctl(PR_SET_PDEATHSIG, SIGQUIT) < 0)
                _exit(126);
}

/* argv[0] becomes the whole path: PostgreSQL's programs find each other and their files by it. */
static pid_t spawn(const char *program, char **argv) {
        _cleanup_free_ char *path = NULL, *log = NULL;
        pid_t pid;
        int fd;

        path = concat(server.binaries, program);
        log = concat(server.directory, "/log");
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid > 0)
                return pid;

        become_postgres();
        fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0 ||
                        chdir(server.directory) < 0 || setpgid(0, 0) < 0)
                _exit(126);
        argv[0] = path;
        execv(path, argv);
        _exit(127);
}

static char *conninfo_of(const char *database) {
        char *s;

        ck_assert_int_ge(asprintf(&s, "host=%s user=ccpd dbname=%s", server.directory, database), 0);
        return s;
}

static void spawn_server(void) {
        _cleanup_free_ char *data = NULL;

        data = concat(server.directory, "/data");
        server.pid = spawn("/postgres",
                        (char *[]) { (char *) "postgres", (char *) "-D", data, (char *) "-k",
                                        server.directory, (char *) "-h", (char *) "", (char *) "-c",
                                        (char *) "fsync=off", (char *) "-c", (char *) "max_connections=60",
                                        NULL });
}

static void start_server(void) {
        usec_t deadline = now(CLOCK_MONOTONIC) + START_PATIENCE;
        _cleanup_free_ char *conninfo = NULL;

        conninfo = conninfo_of("postgres");
        spawn_server();
        while (PQping(conninfo) != PQPING_OK) {
                ck_assert_msg(now(CLOCK_MONOTONIC) < deadline, "PostgreSQL does not start in %s",
                                server.directory);
                (void) usleep(20 * 1000);

                /* It gives up while a process of one that was killed still holds the shared memory. */
                if (waitpid(server.pid, NULL, WNOHANG) > 0)
                        spawn_server();
        }
}

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_,
                struct FTW *ftw _unused_) {
        return remove(path);
}

static void stop_server(void) {
        if (server.owner != getpid() || !server.directory)
                return;

        if (server.pid > 0) {
                (void) kill(server.pid, SIGQUIT);
                (void) waitpid(server.pid, NULL, 0);
        }
        (void) nftw(server.directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        server.directory = mfree(server.directory);
        server.binaries = mfree(server.binaries);
}

char *test_postgres_superuser(const char *conninfo) {
        return concat(conninfo, " user=postgres");
}

void test_postgres_tamper(const char *conninfo, const char *sql) {
        _cleanup_free_ char *superuser = test_postgres_superuser(conninfo);

        free(test_postgres_query(superuser, sql));
}

char *test_postgres_setup_sql(const char *name) {
        _cleanup_free_ char *path = concat(TEST_SETUP_SQL "/", name);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        char *text = NULL;

        ck_assert_msg(fd >= 0, "%s can't be opened", path);
        ck_assert_int_ge(read_full_fd(fd, 1024 * 1024, &text, NULL), 0);
        return text;
}

void test_postgres_set_up(const char *conninfo) {
        static const char *const names[] = { "roles.sql", "0001-audit.sql", "privileges.sql" };

        FOREACH_ARRAY(name, names, ELEMENTSOF(names)) {
                _cleanup_free_ char *sql = test_postgres_setup_sql(*name);

                test_postgres_tamper(conninfo, sql);
        }
}

/* Other databases are copies of this one. */
static void make_template(void) {
        _cleanup_free_ char *maintenance = conninfo_of("postgres"), *template = conninfo_of(TEMPLATE);

        test_postgres_tamper(maintenance, "CREATE ROLE ccpd LOGIN");
        test_postgres_tamper(maintenance, "CREATE DATABASE " TEMPLATE);
        test_postgres_set_up(template);
}

void test_postgres_start(void) {
        char template[] = "/tmp/ccp-test-XXXXXX";
        _cleanup_free_ char *data = NULL;
        const struct passwd *pw;
        int status;
        pid_t pid;

        if (server.pid > 0)
                return;

        server.binaries = find_binaries();
        ck_assert_ptr_nonnull(mkdtemp(template));
        server.directory = concat(template, "");
        server.owner = getpid();
        ck_assert_int_eq(atexit(stop_server), 0);
        if (geteuid() == 0) {
                pw = getpwnam("postgres");
                ck_assert_msg(pw, "there is no user 'postgres', and PostgreSQL does not run as root");
                ck_assert_int_eq(chown(server.directory, pw->pw_uid, pw->pw_gid), 0);
        }

        data = concat(server.directory, "/data");
        pid = spawn("/initdb",
                        (char *[]) { (char *) "initdb", (char *) "-D", data, (char *) "-U",
                                        (char *) "postgres", (char *) "-A", (char *) "trust", (char *) "-E",
                                        (char *) "UTF8", (char *) "--locale=C", (char *) "--no-sync",
                                        NULL });
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "initdb failed with %d", status);
        start_server();
        make_template();
}

/* The server's processes each lead a session of their own. */
static void kill_children(pid_t parent, int signal) {
        _cleanup_fclose_ FILE *f = NULL;
        _cleanup_free_ char *path = NULL;
        int child;

        ck_assert_int_ge(asprintf(&path, "/proc/%d/task/%d/children", (int) parent, (int) parent), 0);
        f = fopen(path, "re");
        ck_assert_ptr_nonnull(f);
        while (fscanf(f, "%d", &child) == 1)
                (void) kill(child, signal);
}

void test_postgres_kill(void) {
        _cleanup_free_ char *pid_file = NULL;

        /* Stopped, it can't start further ones meanwhile. */
        (void) kill(server.pid, SIGSTOP);
        kill_children(server.pid, SIGKILL);
        (void) kill(server.pid, SIGKILL);
        (void) waitpid(server.pid, NULL, 0);
        server.pid = -1;
        pid_file = concat(server.directory, "/data/postmaster.pid");
        (void) unlink(pid_file);
}

void test_postgres_restart(void) {
        start_server();
}

char *test_postgres_new_database(void) {
        _cleanup_free_ char *maintenance = NULL, *sql = NULL, *name = NULL;

        test_postgres_start();
        maintenance = conninfo_of("postgres");
        ck_assert_int_ge(asprintf(&name, "test%u", ++server.n_databases), 0);
        ck_assert_int_ge(asprintf(&sql, "CREATE DATABASE %s TEMPLATE " TEMPLATE, name), 0);
        test_postgres_tamper(maintenance, sql);
        return conninfo_of(name);
}

char *test_postgres_query(const char *conninfo, const char *sql) {
        PGconn *conn = PQconnectdb(conninfo);
        PGresult *result;
        char *answer;

        ck_assert_msg(PQstatus(conn) == CONNECTION_OK, "%s", PQerrorMessage(conn));
        result = PQexec(conn, sql);
        ck_assert_msg(PQresultStatus(result) == PGRES_TUPLES_OK ||
                                        PQresultStatus(result) == PGRES_COMMAND_OK,
                        "%s: %s", sql, PQerrorMessage(conn));
        answer = concat(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "", "");
        PQclear(result);
        PQfinish(conn);
        return answer;
}

char *test_postgres_sqlstate(const char *conninfo, const char *sql) {
        PGconn *conn = PQconnectdb(conninfo);
        PGresult *result;
        char *answer;

        ck_assert_msg(PQstatus(conn) == CONNECTION_OK, "%s", PQerrorMessage(conn));
        result = PQexec(conn, sql);
        ck_assert_msg(PQresultStatus(result) == PGRES_FATAL_ERROR, "%s: succeeded", sql);
        answer = concat(PQresultErrorField(result, PG_DIAG_SQLSTATE), "");
        PQclear(result);
        PQfinish(conn);
        return answer;
}

static void on_state(Db *db, bool available, const char *why, void *userdata) {
        TestDb *t = userdata;

        ck_assert_ptr_eq(db, t->db);
        ck_assert(available == !why);
        if (available)
                t->n_available++;
        else
                t->n_unavailable++;
        ck_assert_int_eq(free_and_strdup(&t->why, why), 0);
}

static void on_notify(Db *db _unused_, const char *channel, const char *payload, void *userdata) {
        TestDb *t = userdata;
        char *all;

        ck_assert_int_ge(asprintf(&all, "%s%s %s\n", strempty(t->notified), channel, payload), 0);
        free(t->notified);
        t->notified = all;
        t->n_notified++;
}

/* Takes over the reference to the loop. */
static void start_on(TestDb *t, const char *conninfo, sd_event *event) {
        static const char *const channels[] = { STORE_CHANNEL_JOB, STORE_CHANNEL_INSTANCE, NULL };

        *t = (TestDb) {
                .event = event,
                .conninfo = conninfo ? concat(conninfo, "") : test_postgres_new_database(),
        };
        ck_assert_int_ge(db_new(t->event, t->conninfo, &t->db), 0);
        db_set_state_callback(t->db, on_state, t);
        ck_assert_int_ge(db_set_notify_callback(t->db, channels, on_notify, t), 0);
        ck_assert_int_ge(db_start(t->db), 0);
}

void test_db_start(TestDb *t, const char *conninfo) {
        sd_event *event = NULL;

        ck_assert_int_ge(sd_event_new(&event), 0);
        start_on(t, conninfo, event);
}

void test_db_open(TestDb *t, const char *conninfo) {
        test_db_start(t, conninfo);
        TEST_DB_WAIT(t, db_is_available(t->db));
}

void test_db_open_beside(TestDb *t, const TestDb *other) {
        start_on(t, other->conninfo, sd_event_ref(other->event));
        TEST_DB_WAIT(t, db_is_available(t->db));
}

void test_db_close(TestDb *t) {
        t->db = db_free(t->db);
        t->event = sd_event_unref(t->event);
        free(t->conninfo);
        free(t->why);
        free(t->notified);
}
