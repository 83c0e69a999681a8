/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus-caller.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-login.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log.h"
#include "string-util.h"
#include "user-lookup.h"

/* Above this who came first is forgotten, and asked for again when it calls again. */
#define CALLERS_MAX 2048U

/* dbus-daemon drops calls above 128 that wait for an answer on one connection (system.conf,
 * max_replies_per_connection); others need some of them too. */
#define ASKED_MAX 16U

/* Nobody is in more (NGROUPS_MAX is 65536, but each costs a look-up). */
#define GROUPS_MAX 256U

#define PROC_FILE_MAX 256U

struct Callers {
        sd_bus *bus;
        UserLookup *lookup;
        sd_bus_slot *gone_slot;
        Caller *table; /* by name */
        unsigned n_asked;
        caller_known_handler_t known;
        caller_gone_handler_t gone;
        void *userdata;
};

static void callers_dispatch(Callers *l);

static void caller_free(Caller *c) {
        Callers *l = c->callers;

        HASH_DEL(l->table, c);
        if (c->state == CALLER_ASKED)
                l->n_asked--;
        sd_bus_slot_unref(c->slot);
        (void) user_lookup_request_cancel(c->lookup);
        subject_done(&c->subject);
        bus_told_done(&c->told);
        free(c->grants);
        free(c->user);
        free(c->process);
        free(c->unit);
        free(c->session);
        free(c->remote_host);
        free(c->name);
        free(c);
}

/* --- what is only for the record --- */

static int read_proc(pid_t pid, const char *file, char **ret) {
        char path[sizeof("/proc/4294967295/loginuid")];
        _cleanup_close_ int fd = -EBADF;
        char buffer[PROC_FILE_MAX];
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/proc/%u/%s", (unsigned) pid, file);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, buffer, sizeof(buffer) - 1);
        if (n <= 0)
                return n < 0 ? -errno : -ENODATA;

        buffer[n] = 0;
        buffer[strcspn(buffer, "\n")] = 0;
        *ret = strdup(buffer);
        return *ret ? 0 : -ENOMEM;
}

/* All of these are files of the kernel's and of logind's: nothing is asked that could be slow. */
static void caller_identify(Caller *c, pid_t pid) {
        _cleanup_free_ char *login = NULL;
        unsigned long uid;

        c->actor.pid = (uint32_t) pid;
        if (pid <= 0)
                return;

        (void) read_proc(pid, "comm", &c->process);
        if (read_proc(pid, "loginuid", &login) >= 0) {
                uid = strtoul(login, NULL, 10);
                /* (uid_t) -1: nobody logged in */
                c->actor.login_uid = uid < UINT32_MAX ? (int64_t) uid : -1;
        }
        (void) sd_pid_get_unit(pid, &c->unit);
        if (sd_pid_get_session(pid, &c->session) >= 0)
                (void) sd_session_get_remote_host(c->session, &c->remote_host);

        c->actor.process = c->process;
        c->actor.unit = c->unit;
        c->actor.session = c->session;
        c->actor.remote_host = isempty(c->remote_host) ? NULL : c->remote_host;
}

/* --- finding out --- */

static void caller_fail(Caller *c, int r) {
        Callers *l = c->callers;

        l->known(c, r, l->userdata);
        caller_free(c);
        callers_dispatch(l);
}

static int caller_set_known(Caller *c) {
        if (c->subject.user)
                c->user = strdup(c->subject.user);
        else if (asprintf(&c->user, "%u", (unsigned) c->subject.uid) < 0)
                c->user = NULL;
        if (!c->user)
                return -ENOMEM;

        c->actor.uid = c->subject.uid;
        c->actor.user = c->user;
        c->state = CALLER_KNOWN;
        c->callers->known(c, 0, c->callers->userdata);
        return 0;
}

static void on_names(Subject *subject, void *userdata) {
        Caller *c = userdata;

        c->lookup = NULL;
        c->subject = TAKE_GENERIC(*subject, (Subject) {});
        if (caller_set_known(c) < 0)
                caller_fail(c, -ENOMEM);
}

static int read_groups(sd_bus_message *m, Subject *s) {
        const uint32_t *gids;
        size_t size;
        int r;

        r = sd_bus_message_read_array(m, 'u', (const void **) &gids, &size);
        if (r < 0)
                return r;

        s->n_groups = MIN(size / sizeof(*gids), (size_t) GROUPS_MAX);
        s->groups = new0(SubjectGroup, s->n_groups);
        if (!s->groups) {
                s->n_groups = 0;
                return -ENOMEM;
        }
        for (size_t i = 0; i < s->n_groups; i++)
                s->groups[i].gid = gids[i];
        return 0;
}

/* What the bus tells (D-Bus specification, GetConnectionCredentials). Without a uid it is nobody. */
static int read_credentials(sd_bus_message *m, Subject *subject, pid_t *ret_pid) {
        bool has_uid = false;
        const char *key;
        uint32_t u;
        int r;

        *ret_pid = 0;
        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        return r;

                if (streq(key, "UnixUserID")) {
                        r = sd_bus_message_read(m, "v", "u", &u);
                        subject->uid = u;
                        has_uid = r >= 0;
                } else if (streq(key, "ProcessID")) {
                        r = sd_bus_message_read(m, "v", "u", &u);
                        *ret_pid = (pid_t) u;
                } else if (streq(key, "UnixGroupIDs") && !subject->groups) {
                        r = sd_bus_message_enter_container(m, 'v', "au");
                        if (r >= 0)
                                r = read_groups(m, subject);
                        if (r >= 0)
                                r = sd_bus_message_exit_container(m);
                } else
                        r = sd_bus_message_skip(m, "v");
                if (r < 0)
                        return r;

                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;

        return has_uid ? 0 : -ENODATA;
}

static int on_credentials(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        Caller *c = userdata;
        Callers *l = c->callers;
        Subject subject = {};
        pid_t pid = 0;
        int r;

        c->slot = sd_bus_slot_unref(c->slot);
        c->state = CALLER_NAMED;
        l->n_asked--;

        r = sd_bus_message_is_method_error(m, NULL) > 0 ? -sd_bus_message_get_errno(m)
                                                        : read_credentials(m, &subject, &pid);
        if (r < 0) {
                subject_done(&subject);
                caller_fail(c, r);
                return 0;
        }

        caller_identify(c, pid);
        if (subject.uid == 0) {
                /* root needs no name service, which may be what he is here to repair. */
                subject_done(&subject);
                c->subject.user = strdup("root");
                r = caller_set_known(c);
        } else
                r = user_lookup_names(l->lookup, &subject, on_names, c, &c->lookup);
        if (r < 0)
                caller_fail(c, r);
        else
                callers_dispatch(l);
        return 0;
}

static int caller_ask(Caller *c) {
        Callers *l = c->callers;
        int r;

        r = sd_bus_call_method_async(l->bus, &c->slot, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus", "GetConnectionCredentials", on_credentials, c, "s", c->name);
        if (r < 0)
                return r;

        c->state = CALLER_ASKED;
        l->n_asked++;
        return 0;
}

static void callers_dispatch(Callers *l) {
        Caller *c, *next;

        for (c = l->table; c && l->n_asked < ASKED_MAX; c = next) {
                int r;

                next = c->hh.next;
                if (c->state != CALLER_QUEUED)
                        continue;

                r = caller_ask(c);
                if (r < 0) {
                        l->known(c, r, l->userdata);
                        caller_free(c);
                }
        }
}

static int on_name_gone(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        const char *name, *old_owner, *new_owner;
        Callers *l = userdata;
        Caller *c;
        int r;

        r = sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner);
        if (r < 0 || !isempty(new_owner))
                return 0;

        HASH_FIND_STR(l->table, name, c);
        if (!c)
                return 0;

        l->gone(c, l->userdata);
        caller_free(c);
        callers_dispatch(l);
        return 0;
}

static int on_match_installed(sd_bus_message *m, _unused_ void *userdata, sd_bus_error *reterr) {
        /* Without it a name could be used on after its owner is gone. */
        if (sd_bus_message_is_method_error(m, NULL) > 0)
                return sd_bus_error_copy(reterr, sd_bus_message_get_error(m));
        return 0;
}

int callers_new(sd_bus *bus, UserLookup *lookup, caller_known_handler_t known, caller_gone_handler_t gone,
                void *userdata, Callers **ret) {
        _cleanup_(callers_freep) Callers *l = NULL;
        int r;

        l = new0(Callers, 1);
        if (!l)
                return -ENOMEM;

        *l = (Callers) {
                .bus = bus,
                .lookup = lookup,
                .known = known,
                .gone = gone,
                .userdata = userdata,
        };
        r = sd_bus_add_match_async(bus, &l->gone_slot,
                        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                        "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''",
                        on_name_gone, on_match_installed, l);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(l);
        return 0;
}

Callers *callers_free(Callers *l) {
        if (!l)
                return NULL;

        sd_bus_slot_unref(l->gone_slot);
        while (l->table)
                caller_free(l->table);
        return mfree(l);
}

/* Makes room: who came first goes first, but for those that are being waited for or wait for something. */
static void callers_evict(Callers *l) {
        for (Caller *c = l->table; c; c = c->hh.next)
                if (c->state == CALLER_KNOWN && !c->subscribed && c->n_pending == 0) {
                        caller_free(c);
                        return;
                }
}

int callers_get(Callers *l, const char *name, Caller **ret) {
        Caller *c;

        HASH_FIND_STR(l->table, name, c);
        if (c) {
                *ret = c;
                return c->state == CALLER_KNOWN;
        }

        if (HASH_COUNT(l->table) >= CALLERS_MAX)
                callers_evict(l);
        if (HASH_COUNT(l->table) >= CALLERS_MAX)
                return -ENOBUFS;

        c = new0(Caller, 1);
        if (!c)
                return -ENOMEM;
        *c = (Caller) {
                .callers = l,
                .name = strdup(name),
                .actor.login_uid = -1,
        };
        if (!c->name) {
                free(c);
                return -ENOMEM;
        }
        HASH_ADD_KEYPTR(hh, l->table, c->name, strlen(c->name), c);

        /* The answer comes through the loop, so the caller's call is parked by then. */
        if (l->n_asked < ASKED_MAX) {
                int r = caller_ask(c);

                if (r < 0) {
                        caller_free(c);
                        return r;
                }
        }

        *ret = c;
        return 0;
}

Caller *callers_find(const Callers *l, const char *name) {
        Caller *c;

        HASH_FIND_STR(l->table, name, c);
        return c && c->state == CALLER_KNOWN ? c : NULL;
}

Caller *callers_first(const Callers *l) {
        return l->table;
}

void callers_forget_verdicts(Callers *l) {
        for (Caller *c = l->table; c; c = c->hh.next)
                memset(c->verdicts, 0, sizeof(c->verdicts));
}
