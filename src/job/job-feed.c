/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-feed.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"

#define PIPE_SIZE (1024 * 1024)

struct JobFeed {
        ArchiveReader *reader;
        char *stream;
        int read_fd, write_fd;
        pthread_t thread;
        atomic_uint_least64_t position;
        bool closed; /* by the program */
        int r;
        Error error;
};

/* SIGPIPE is ignored by every worker. */
static int sink(const void *data, size_t size, void *userdata, Error *reterr) {
        JobFeed *f = userdata;
        int r;

        r = loop_write(f->write_fd, data, size);
        if (r == -EPIPE) {
                f->closed = true;
                return r;
        }
        atomic_fetch_add(&f->position, size);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot hand '%s' on: %m", f->stream) : 0;
}

static void *run(void *userdata) {
        JobFeed *f = userdata;

        f->r = archive_reader_extract(f->reader, f->stream, sink, f, &f->error);
        f->write_fd = safe_close(f->write_fd);
        return NULL;
}

static JobFeed *feed_free(JobFeed *f) {
        safe_close(f->read_fd);
        safe_close(f->write_fd);
        error_done(&f->error);
        free(f->stream);
        return mfree(f);
}

int job_feed_new(ArchiveReader *reader, const char *stream, JobFeed **ret, int *ret_fd, Error *reterr) {
        JobFeed *f = new0(JobFeed, 1);
        int fds[2], r;

        if (!f)
                return error_set_errnof(reterr, ENOMEM, "%m");
        f->reader = reader;
        f->read_fd = f->write_fd = -EBADF;
        f->stream = strdup(stream);
        if (!f->stream || pipe2(fds, O_CLOEXEC) < 0) {
                r = f->stream ? -errno : -ENOMEM;
                feed_free(f);
                return error_set_errnof(reterr, r, "Cannot hand '%s' on: %m", stream);
        }
        f->read_fd = fds[0];
        f->write_fd = fds[1];
        (void) fcntl(f->read_fd, F_SETPIPE_SZ, PIPE_SIZE);

        r = pthread_create(&f->thread, NULL, run, f);
        if (r > 0) {
                feed_free(f);
                return error_set_errnof(reterr, r, "Cannot hand '%s' on: %m", stream);
        }

        *ret = f;
        *ret_fd = f->read_fd;
        return 0;
}

int job_feed_finish(JobFeed *f, Error *reterr) {
        int r;

        /* Whoever writes into it must not wait for ever. */
        f->read_fd = safe_close(f->read_fd);
        (void) pthread_join(f->thread, NULL);
        r = f->closed ? 0 : f->r;
        if (r < 0 && error_is_set(&f->error))
                error_move(reterr, &f->error);
        else if (r < 0)
                r = error_set_errnof(reterr, r, "Cannot hand '%s' on: %m", f->stream);
        feed_free(f);
        return r;
}

uint64_t job_feed_position(const JobFeed *f) {
        return atomic_load(&((JobFeed *) f)->position);
}
