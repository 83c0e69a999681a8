/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "dump-recipe.h"

#include <endian.h>
#include <string.h>

#include "string-util.h"

#define USER RECIPE_USER
#define DATABASE RECIPE_DATABASE
#define FILE RECIPE_FILE
#define UNTIL RECIPE_UNTIL
#define SCRIPT(text) "sh", "-euc", text, "sh"

static bool begins(const DumpEnds *e, const char *text) {
        return e->n_head >= strlen(text) && memcmp(e->head, text, strlen(text)) == 0;
}

static bool has_in_tail(const DumpEnds *e, const char *text) {
        return memmem(e->tail, e->n_tail, text, strlen(text)) != NULL;
}

/* --- PostgreSQL --- */

static bool postgresql_is_whole(const DumpEnds *e) {
        return begins(e, "PGDMP");
}

/* --- MySQL and MariaDB --- */

static bool mysql_is_whole(const DumpEnds *e) {
        return begins(e, "-- MySQL dump") && has_in_tail(e, "-- Dump completed");
}

static bool mariadb_is_whole(const DumpEnds *e) {
        return (begins(e, "/*") || begins(e, "-- MariaDB dump")) && has_in_tail(e, "-- Dump completed");
}

/* One table may have a row of many megabytes, and any character. */
#define MYSQL_TEXT "--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--user=" USER
/* A tenant's lock must not keep a backup waiting. */
#define PG_DUMP "--no-password", "--lock-wait-timeout=300000"

#define MYSQL_DUMP \
        "--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob", MYSQL_TEXT

/* --- MongoDB --- */

/* The tools take a password from a file, and nowhere else but from arguments. */
#define MONGODB_TOOL(tool)                                                      \
        "if [ -n \"${CCP_MONGODB_CONFIG-}\" ]; then\n"                          \
        "    set -- --config=/dev/fd/3 --authenticationDatabase=admin \"$@\"\n" \
        "fi\n"                                                                  \
        "exec " tool " --archive \"$@\" 3<<CONFIG\n"                            \
        "${CCP_MONGODB_CONFIG-}\n"                                              \
        "CONFIG\n"

/* While the official image makes its users, the server is on loopback alone. */
#define MONGODB_READY                                    \
        "shell=mongosh\n"                                \
        "command -v mongosh >/dev/null || shell=mongo\n" \
        "$shell --quiet --host \"$(hostname)\" --eval 'db.adminCommand({ping: 1}).ok' | grep -qx 1"

static bool mongodb_is_whole(const DumpEnds *e) {
        return begins(e, "\x6d\xe2\x99\x81") && e->n_tail >= 4 &&
                        memcmp(e->tail + e->n_tail - 4, "\xff\xff\xff\xff", 4) == 0;
}

/* --- Redis --- */

/* What the server sends to a replica ends with an opcode and a checksum, and with a mark where it was not a file before. */
static bool redis_is_whole(const DumpEnds *e) {
        static const size_t after[] = { 8, 8 + 40 };

        FOREACH_ARRAY(n, after, ELEMENTSOF(after))
                if (e->n_tail > *n && (unsigned char) e->tail[e->n_tail - 1 - *n] == 0xff)
                        return begins(e, "REDIS");
        return false;
}

/* A second server in the container, on a dump in a folder beside the data: no program but the server reads such a file.
 * Nobody else can reach it. It may DEBUG, which tells what values are, whatever their encoding. */
#define REDIS_SECOND                                                                                     \
        "user=$1\n"                                                                                      \
        "cli() { redis-cli ${user:+--user \"$user\"} \"$@\"; }\n"                                        \
        "second() { (unset REDISCLI_AUTH; exec redis-cli -s \"$folder/socket\" \"$@\"); }\n"             \
        "info() { \"$1\" info \"$2\" | tr -d '\\r' | sed -n \"s/^$3://p\"; }\n"                          \
        "fail() { echo \"$1\" >&2; exit 1; }\n"                                                          \
        "command -v redis-server >/dev/null || fail 'There is no redis-server in this image.'\n"         \
        "place=$(cli config get dir | sed -n 2p)\n"                                                      \
        "[ -d \"$place\" ] || fail \"Redis does not say where its data is: $(cli config get dir)\"\n"    \
        "folder=$place/.ccp\n"                                                                           \
        "server=\n"                                                                                      \
        "finish() { [ -z \"$server\" ] || kill -9 \"$server\" 2>/dev/null || :; rm -rf \"$folder\"; }\n" \
        "trap finish EXIT\n"                                                                             \
        "rm -rf \"$folder\"\n"                                                                           \
        "mkdir \"$folder\"\n"                                                                            \
        "debug='enable-debug-command local'\n"                                                           \
        "case $(redis-server --version) in *v=[1-6].*) debug= ;; esac\n"                                 \
        "start() {\n"                                                                                    \
        "    redis-server - >\"$folder/log\" 2>&1 <<CONFIG &\n"                                          \
        "bind 127.0.0.1\n"                                                                               \
        "port $1\n"                                                                                      \
        "unixsocket \"$folder/socket\"\n"                                                                \
        "dir \"$folder\"\n"                                                                              \
        "dbfilename dump.rdb\n"                                                                          \
        "appendonly no\n"                                                                                \
        "save \"\"\n"                                                                                    \
        "repl-diskless-sync-delay 0\n"                                                                   \
        "$debug\n"                                                                                       \
        "CONFIG\n"                                                                                       \
        "    server=$!\n"                                                                                \
        "    until [ \"$(second ping 2>/dev/null)\" = PONG ]; do\n"                                      \
        "        kill -0 \"$server\" 2>/dev/null || return 1\n"                                          \
        "        sleep 0.1\n"                                                                            \
        "    done\n"                                                                                     \
        "}\n"                                                                                            \
        "refuse() { tail -n 5 \"$folder/log\" >&2; fail 'The dump could not be loaded.'; }\n"

/* The server gets the dump as a replica does: all of it, instead of what it has, however it writes to its disk. Then it
 * writes, and only then it is done. */
#define REDIS_RESTORE                                                                                       \
        REDIS_SECOND                                                                                        \
        "cat >\"$folder/dump.rdb\"\n"                                                                       \
        "for port in 63790 63791 63792 63793 0; do\n"                                                       \
        "    [ \"$port\" != 0 ] || refuse\n"                                                                \
        "    ! start \"$port\" || break\n"                                                                  \
        "    grep -q 'Address already in use' \"$folder/log\" || refuse\n"                                  \
        "done\n"                                                                                            \
        "auth=$(cli config get masterauth | sed -n 2p)\n"                                                   \
        "name=$(cli config get masteruser | sed -n 2p)\n"                                                   \
        "put() { [ \"$(printf %s \"$2\" | cli -x config set \"$1\")\" = OK ] || fail \"Redis did not take " \
        "$1.\"; }\n"                                                                                        \
        "[ -z \"$auth\" ] || put masterauth ''\n"                                                           \
        "[ -z \"$name\" ] || put masteruser ''\n"                                                           \
        "answer=$(cli replicaof 127.0.0.1 \"$port\")\n"                                                     \
        "[ \"$answer\" = OK ] || fail \"Redis did not take the dump: $answer\"\n"                           \
        "quiet=0\n"                                                                                         \
        "until [ \"$(info cli replication master_link_status)\" = up ]; do\n"                               \
        "    kill -0 \"$server\" 2>/dev/null || refuse\n"                                                   \
        "    quiet=$((quiet + 1))\n"                                                                        \
        "    [ \"$(info cli replication master_sync_in_progress)\" = 0 ] || quiet=0\n"                      \
        "    [ \"$quiet\" -lt 300 ] || fail 'Redis did not take the dump from a second server beside "      \
        "it.'\n"                                                                                            \
        "    sleep 0.1\n"                                                                                   \
        "done\n"                                                                                            \
        "answer=$(cli replicaof no one)\n"                                                                  \
        "[ \"$answer\" = OK ] || fail \"Redis did not end taking the dump: $answer\"\n"                     \
        "[ -z \"$name\" ] || put masteruser \"$name\"\n"                                                    \
        "[ -z \"$auth\" ] || put masterauth \"$auth\"\n"                                                    \
        "until answer=$(cli save); [ \"$answer\" = OK ]; do\n"                                              \
        "    case $answer in *progress*) sleep 0.2 ;; *) fail \"Redis did not save: $answer\" ;; esac\n"    \
        "done\n"                                                                                            \
        "[ \"$(info cli persistence aof_enabled)\" = 1 ] || exit 0\n"                                       \
        "settle() {\n"                                                                                      \
        "    until [ \"$(info cli persistence aof_rewrite_in_progress)\" = 0 ] &&\n"                        \
        "        [ \"$(info cli persistence aof_rewrite_scheduled)\" = 0 ]; do\n"                           \
        "        sleep 0.2\n"                                                                               \
        "    done\n"                                                                                        \
        "}\n"                                                                                               \
        "settle\n"                                                                                          \
        "cli bgrewriteaof >/dev/null\n"                                                                     \
        "settle\n"                                                                                          \
        "[ \"$(info cli persistence aof_last_bgrewrite_status)\" = ok ] || fail 'Redis could not write "    \
        "its log.'\n"

/* What a dump holds, told by a server that loaded it: for each database how many keys there are and a hash of names and
 * times; a hash of all values; what functions there are. Keys that expire soon are there or not by chance, and go before. */
#define REDIS_COUNT                                                                                     \
        "start 0 || refuse\n"                                                                           \
        "all='local function expires(k) local e = redis.pcall(\"PEXPIRETIME\", k)\n"                    \
        "if type(e) == \"number\" then return e end\n"                                                  \
        "return redis.call(\"PTTL\", k) < 0 and -1 or 0 end\n'\n"                                       \
        "drop=$all'local c, n = \"0\", 0\n"                                                             \
        "repeat local r = redis.call(\"SCAN\", c, \"COUNT\", 1000)\n"                                   \
        "for _, k in ipairs(r[2]) do local e = expires(k)\n"                                            \
        "if e > 0 and e < tonumber(ARGV[1]) then n = n + redis.call(\"DEL\", k) end end\n"              \
        "c = r[1] until c == \"0\"\n"                                                                   \
        "return n'\n"                                                                                   \
        "count=$all'local c, n, a, b = \"0\", 0, 0, 0\n"                                                \
        "repeat local r = redis.call(\"SCAN\", c, \"COUNT\", 1000)\n"                                   \
        "for _, k in ipairs(r[2]) do local h = redis.sha1hex(k .. \"|\" .. expires(k))\n"               \
        "n = n + 1\n"                                                                                   \
        "a = (a + tonumber(h:sub(1, 12), 16)) % 281474976710656\n"                                      \
        "b = (b + tonumber(h:sub(13, 24), 16)) % 281474976710656 end\n"                                 \
        "c = r[1] until c == \"0\"\n"                                                                   \
        "return string.format(\"%d %.0f-%.0f\", n, a, b)'\n"                                            \
        "databases() { second info keyspace | sed -n 's/^db\\([0-9]*\\):.*/\\1/p'; }\n"                 \
        "dropped=0\n"                                                                                   \
        "for n in $(databases); do\n"                                                                   \
        "    dropped=$((dropped + $(second -n \"$n\" eval \"$drop\" 0 \"$2\")))\n"                      \
        "done\n" /* So that nothing moves from table to table while it is counted. */                   \
        "[ \"$dropped\" = 0 ] || [ \"$(second debug reload)\" = OK ] || refuse\n"                       \
        "for n in $(databases); do\n"                                                                   \
        "    echo \"db$n $(second -n \"$n\" eval \"$count\" 0)\"\n"                                     \
        "done\n"                                                                                        \
        "values=$(second debug digest)\n"                                                               \
        "[ \"${#values}\" = 40 ] || fail \"Redis gave no digest: $values\"\n"                           \
        "echo \"values 0 $values\"\n"                                                                   \
        "case $debug in ?*) echo \"functions 0 $(second function list withcode | sort | sha1sum)\" ;; " \
        "esac\n"

/* --- SQLite --- */

/* sqlite3 opens what is not there as an empty database. */
#define SQLITE_FILE                                                                                         \
        "file=$1\n"                                                                                         \
        "copy=$file.ccp\n"                                                                                  \
        "fail() { echo \"$1\" >&2; exit 1; }\n"                                                             \
        "command -v sqlite3 >/dev/null || fail 'There is no program sqlite3 in the image of this service. " \
        "Add it there: it is what makes a copy of a database that is in use.'\n"                            \
        "finish() { rm -f \"$copy\" \"$copy-wal\" \"$copy-shm\" \"$copy-journal\"; }\n"                     \
        "trap finish EXIT\n"                                                                                \
        "finish\n"                                                                                          \
        "whole() { [ \"$(sqlite3 -batch \"$1\" 'PRAGMA integrity_check')\" = ok ] || "                      \
        "fail \"$file is damaged: PRAGMA integrity_check does not say ok.\"; }\n"

#define SQLITE_DUMP                                                                  \
        SQLITE_FILE                                                                  \
        "[ -f \"$file\" ] || fail \"There is no file $file in the container.\"\n"    \
        "sqlite3 -batch -bail \"$file\" '.timeout 60000' \".backup main '$copy'\"\n" \
        "whole \"$copy\"\n"                                                          \
        "cat \"$copy\"\n"

/* A file that is there, out of a volume, keeps its owner and its mode; what belongs to its former content goes. */
#define SQLITE_RESTORE                                                                    \
        SQLITE_FILE                                                                       \
        "folder=$(dirname \"$file\")\n"                                                   \
        "mkdir -p \"$folder\"\n"                                                          \
        "cat >\"$copy\"\n"                                                                \
        "whole \"$copy\"\n"                                                               \
        "rm -f \"$file-wal\" \"$file-shm\" \"$file-journal\"\n"                           \
        "if [ -e \"$file\" ]; then\n"                                                     \
        "    cat \"$copy\" >\"$file\"\n"                                                  \
        "else\n"                                                                          \
        "    mv \"$copy\" \"$file\"\n"                                                    \
        "    [ \"$(id -u)\" != 0 ] || chown \"$(stat -c %u:%g \"$folder\")\" \"$file\"\n" \
        "fi\n"                                                                            \
        "sync\n"

#define SQLITE_ROWS SQLITE_FILE "sqlite3 -batch -bail \"$file\" .dump\n"
#define SQLITE_TEXT SQLITE_FILE "cat >\"$copy\"\nsqlite3 -batch -bail \"$copy\" .dump\n"

/* The header says how many pages there are, and how large one is. */
static bool sqlite_is_whole(const DumpEnds *e) {
        uint16_t page;
        uint32_t n;

        if (!begins(e, "SQLite format 3") || e->n_head < 28 + sizeof(n))
                return false;
        memcpy(&page, e->head + 16, sizeof(page));
        memcpy(&n, e->head + 28, sizeof(n));
        page = be16toh(page);
        return e->size == (uint64_t) be32toh(n) * (page == 1 ? 65536U : page);
}

/* --- all --- */

static const Recipe recipes[_DATABASE_KIND_MAX] = {
        [DATABASE_POSTGRESQL] = {
                .suffix = ".dump",
                .password = "PGPASSWORD",
                .version = { "pg_dump", "--version" },
                .n_version_parts = 1,
                /* Compressed later, all alike. */
                .dump = { "pg_dump", "--format=custom", "--compress=0", PG_DUMP, "--username", USER, "--dbname",
                                DATABASE },
                .is_whole = postgresql_is_whole,
                .check = { "pg_restore", "--file=/dev/null" },
                /* What makes a new one answers on its socket alone. */
                .ready = { "pg_isready", "--quiet", "--host", "127.0.0.1", "--username", USER, "--dbname",
                                DATABASE },
                .restore = { "pg_restore", "--exit-on-error", "--single-transaction", "--clean", "--if-exists",
                                "--no-password", "--host", "127.0.0.1", "--username", USER, "--dbname",
                                DATABASE },
                .rows = DUMP_TEXT_COPY,
                .dump_rows = { "pg_dump", "--data-only", PG_DUMP, "--host", "127.0.0.1", "--username", USER,
                                "--dbname", DATABASE },
                .text = { "pg_restore", "--data-only", "--file=-" },
        },
        [DATABASE_MYSQL] = {
                .suffix = ".sql",
                .password = "MYSQL_PWD",
                .version = { "mysqld", "--version" },
                .n_version_parts = 2,
                /* GTIDs would be those of another server. */
                .dump = { "mysqldump", "--no-tablespaces", "--set-gtid-purged=OFF", MYSQL_DUMP, DATABASE },
                .is_whole = mysql_is_whole,
                .ready = { "mysqladmin", "--host=127.0.0.1", "--user=" USER, "--silent", "ping" },
                .restore = { "mysql", "--binary-mode", MYSQL_TEXT, DATABASE },
                .rows = DUMP_TEXT_MYSQL,
                .dump_rows = { "mysqldump", "--no-tablespaces", "--set-gtid-purged=OFF", MYSQL_DUMP, DATABASE },
        },
        [DATABASE_MARIADB] = {
                .suffix = ".sql",
                .password = "MYSQL_PWD",
                .version = { "mariadbd", "--version" },
                /* Since one of a row of small versions the first line of a dump is a command that older ones refuse. */
                .n_version_parts = 3,
                .dump = { "mariadb-dump", MYSQL_DUMP, DATABASE },
                .is_whole = mariadb_is_whole,
                .ready = { "mariadb-admin", "--host=127.0.0.1", "--user=" USER, "--silent", "ping" },
                .restore = { "mariadb", "--binary-mode", MYSQL_TEXT, DATABASE },
                .rows = DUMP_TEXT_MYSQL,
                .dump_rows = { "mariadb-dump", MYSQL_DUMP, DATABASE },
        },
        [DATABASE_MONGODB] = {
                .suffix = ".archive",
                .password = "CCP_MONGODB_CONFIG",
                .password_format = "password: ",
                .version = { "mongod", "--version" },
                .n_version_parts = 2,
                .dump = { SCRIPT(MONGODB_TOOL("mongodump")), "--username=" USER, "--db=" DATABASE },
                .is_whole = mongodb_is_whole,
                /* It reads what comes before the documents. */
                .check = { SCRIPT(MONGODB_TOOL("mongorestore")), "--dryRun", "--username=" USER },
                .check_asks = true,
                .ready = { SCRIPT(MONGODB_READY) },
                .restore = { SCRIPT(MONGODB_TOOL("mongorestore")), "--drop", "--username=" USER },
                .rows = DUMP_MONGODB,
                .dump_rows = { SCRIPT(MONGODB_TOOL("mongodump")), "--username=" USER, "--db=" DATABASE },
        },
        [DATABASE_REDIS] = {
                .suffix = ".rdb",
                .password = "REDISCLI_AUTH",
                .version = { "redis-cli", "--version" },
                .n_version_parts = 2,
                .dump = { SCRIPT("exec redis-cli ${1:+--user \"$1\"} --rdb -"), USER },
                .is_whole = redis_is_whole,
                .ready = { SCRIPT("test \"$(redis-cli ${1:+--user \"$1\"} ping)\" = PONG"), USER },
                .restore = { SCRIPT(REDIS_RESTORE), USER },
                .rows = DUMP_TEXT_COUNTS,
                .dump_rows = { SCRIPT(REDIS_SECOND "cli --rdb \"$folder/dump.rdb\" >/dev/null\n" REDIS_COUNT),
                                USER, UNTIL },
                .text = { SCRIPT(REDIS_SECOND "cat >\"$folder/dump.rdb\"\n" REDIS_COUNT), USER, UNTIL },
        },
        [DATABASE_SQLITE] = {
                .suffix = ".sqlite",
                .version = { "sqlite3", "--version" }, /* all of version 3 read each other's files */
                .dump = { SCRIPT(SQLITE_DUMP), FILE },
                .is_whole = sqlite_is_whole,
                .offline = true,
                .restore = { SCRIPT(SQLITE_RESTORE), FILE },
                .rows = DUMP_TEXT_SQLITE,
                .dump_rows = { SCRIPT(SQLITE_ROWS), FILE },
                .text = { SCRIPT(SQLITE_TEXT), FILE },
        },
};

const Recipe *recipe_get(DatabaseKind kind) {
        assert(kind >= 0 && kind < _DATABASE_KIND_MAX);
        return recipes + kind;
}
