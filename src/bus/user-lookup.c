/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "user-lookup.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log.h"

/* A group of a directory may have many members; what needs more than this is treated as without a name. */
#define ENTRY_SIZE (64U * 1024U)
#define ENTRY_SIZE_MAX (4U * 1024U * 1024U)

struct UserLookupRequest {
        UserLookupRequest *next;
        bool cancelled;
        bool by_name;

        /* By number */
        Subject subject;
        user_lookup_handler_t names_handler;

        /* By name */
        SubjectKind kind;
        char *name;
        int r;
        uint32_t id;
        user_lookup_id_handler_t id_handler;

        void *userdata;
};

/* What the thread shares with the loop: it outlives the UserLookup if the thread is caught in a request. */
typedef struct Shared {
        pthread_mutex_t mutex;
        pthread_cond_t cond;
        UserLookupRequest *waiting, *done; /* oldest first */
        bool closing;
        int event_fd;
} Shared;

struct UserLookup {
        Shared *shared;
        pthread_t thread;
        sd_event_source *source;
        unsigned n_requests;
};

static void request_free(UserLookupRequest *q) {
        if (q->by_name)
                free(q->userdata);
        subject_done(&q->subject);
        free(q->name);
        free(q);
}

static void request_append(UserLookupRequest **list, UserLookupRequest *q) {
        while (*list)
                list = &(*list)->next;
        *list = q;
}

static void shared_free(Shared *s) {
        UserLookupRequest *q;

        while ((q = s->waiting)) {
                s->waiting = q->next;
                request_free(q);
        }
        while ((q = s->done)) {
                s->done = q->next;
                request_free(q);
        }
        safe_close(s->event_fd);
        pthread_cond_destroy(&s->cond);
        pthread_mutex_destroy(&s->mutex);
        free(s);
}

/* --- in the thread --- */

/* The name of a uid or gid, or with 'name' (and no ret_name) the number of that. 0, -ENOENT, or what the name service says. */
static int look_up(SubjectKind kind, uint32_t *id, const char *name, char **ret_name) {
        _cleanup_free_ char *buffer = NULL;

        for (size_t size = ENTRY_SIZE; size <= ENTRY_SIZE_MAX; size *= 2) {
                struct passwd pw, *user = NULL;
                struct group gr, *group = NULL;
                int r;

                free(buffer);
                buffer = malloc(size);
                if (!buffer)
                        return -ENOMEM;

                if (kind == SUBJECT_USER)
                        r = name ? getpwnam_r(name, &pw, buffer, size, &user)
                                 : getpwuid_r(*id, &pw, buffer, size, &user);
                else
                        r = name ? getgrnam_r(name, &gr, buffer, size, &group)
                                 : getgrgid_r(*id, &gr, buffer, size, &group);
                if (r == ERANGE)
                        continue;
                if (r != 0)
                        return -r;
                if (!user && !group)
                        return -ENOENT;

                if (!ret_name) {
                        *id = user ? user->pw_uid : group->gr_gid;
                        return 0;
                }

                *ret_name = strdup(user ? user->pw_name : group->gr_name);
                return *ret_name ? 0 : -ENOMEM;
        }

        return -ENOBUFS;
}

static void request_run(UserLookupRequest *q) {
        if (q->by_name) {
                q->r = look_up(q->kind, &q->id, q->name, NULL);
                return;
        }

        /* What fails leaves a number without a name, to which nothing was ever granted. */
        (void) look_up(SUBJECT_USER, &q->subject.uid, NULL, &q->subject.user);
        FOREACH_ARRAY(g, q->subject.groups, q->subject.n_groups)
                (void) look_up(SUBJECT_GROUP, &g->gid, NULL, &g->name);
}

static void *thread_main(void *userdata) {
        Shared *s = userdata;

        pthread_mutex_lock(&s->mutex);
        for (;;) {
                UserLookupRequest *q;

                while (!s->waiting && !s->closing)
                        pthread_cond_wait(&s->cond, &s->mutex);
                if (s->closing)
                        break;

                q = s->waiting;
                s->waiting = q->next;
                q->next = NULL;
                pthread_mutex_unlock(&s->mutex);

                request_run(q);

                pthread_mutex_lock(&s->mutex);
                request_append(&s->done, q);
                (void) eventfd_write(s->event_fd, 1);
        }
        pthread_mutex_unlock(&s->mutex);

        /* Nobody else knows of it any more. */
        shared_free(s);
        return NULL;
}

/* --- in the loop --- */

static int on_done(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata) {
        UserLookup *l = userdata;
        UserLookupRequest *done;
        eventfd_t value;

        (void) eventfd_read(fd, &value);
        pthread_mutex_lock(&l->shared->mutex);
        done = l->shared->done;
        l->shared->done = NULL;
        pthread_mutex_unlock(&l->shared->mutex);

        while (done) {
                UserLookupRequest *q = done;

                done = q->next;
                l->n_requests--;
                if (!q->cancelled && q->by_name)
                        q->id_handler(q->r, q->id, TAKE_PTR(q->userdata));
                else if (!q->cancelled)
                        q->names_handler(&q->subject, q->userdata);
                request_free(q);
        }

        return 0;
}

/* Signals are for the loop alone. */
static int start_thread(UserLookup *l) {
        sigset_t all, before;
        int r;

        sigfillset(&all);
        r = pthread_sigmask(SIG_BLOCK, &all, &before);
        if (r != 0)
                return -r;
        r = pthread_create(&l->thread, NULL, thread_main, l->shared);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                return -r;

        (void) pthread_detach(l->thread);
        return 0;
}

int user_lookup_new(sd_event *event, UserLookup **ret) {
        _cleanup_free_ UserLookup *l = NULL;
        Shared *s;
        int r;

        l = new0(UserLookup, 1);
        s = new0(Shared, 1);
        if (!l || !s) {
                free(s);
                return -ENOMEM;
        }

        (void) pthread_mutex_init(&s->mutex, NULL);
        (void) pthread_cond_init(&s->cond, NULL);
        s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        l->shared = s;
        r = s->event_fd < 0 ? -errno : sd_event_add_io(event, &l->source, s->event_fd, EPOLLIN, on_done, l);
        if (r >= 0)
                r = start_thread(l);
        if (r < 0) {
                sd_event_source_unref(l->source);
                shared_free(s);
                return r;
        }

        *ret = TAKE_PTR(l);
        return 0;
}

UserLookup *user_lookup_free(UserLookup *l) {
        if (!l)
                return NULL;

        sd_event_source_unref(l->source);
        pthread_mutex_lock(&l->shared->mutex);
        /* The thread frees what is shared, as soon as it gets out of where it is. */
        l->shared->closing = true;
        pthread_cond_signal(&l->shared->cond);
        pthread_mutex_unlock(&l->shared->mutex);
        return mfree(l);
}

static void submit(UserLookup *l, UserLookupRequest *q) {
        l->n_requests++;
        pthread_mutex_lock(&l->shared->mutex);
        request_append(&l->shared->waiting, q);
        pthread_cond_signal(&l->shared->cond);
        pthread_mutex_unlock(&l->shared->mutex);
}

int user_lookup_names(UserLookup *l, Subject *subject, user_lookup_handler_t handler, void *userdata,
                UserLookupRequest **ret) {
        UserLookupRequest *q;

        q = l->n_requests < USER_LOOKUPS_MAX ? new0(UserLookupRequest, 1) : NULL;
        if (!q) {
                subject_done(subject);
                return l->n_requests < USER_LOOKUPS_MAX ? -ENOMEM : -ENOBUFS;
        }

        *q = (UserLookupRequest) {
                .subject = TAKE_GENERIC(*subject, (Subject) {}),
                .names_handler = handler,
                .userdata = userdata,
        };
        submit(l, q);
        *ret = q;
        return 0;
}

int user_lookup_id(UserLookup *l, SubjectKind kind, const char *name, user_lookup_id_handler_t handler,
                void *userdata) {
        UserLookupRequest *q;

        /* That is an administrator's: strangers who come and go must not take his place. */
        if (l->n_requests >= 2 * USER_LOOKUPS_MAX)
                return -ENOBUFS;
        q = new0(UserLookupRequest, 1);
        if (!q)
                return -ENOMEM;

        *q = (UserLookupRequest) {
                .by_name = true,
                .kind = kind,
                .name = strdup(name),
                .id_handler = handler,
        };
        if (!q->name) {
                request_free(q);
                return -ENOMEM;
        }

        q->userdata = userdata;
        submit(l, q);
        return 0;
}

UserLookupRequest *user_lookup_request_cancel(UserLookupRequest *q) {
        if (q)
                q->cancelled = true;
        return NULL;
}
