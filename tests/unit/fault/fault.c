/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fault.h"

#include <check.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ccp/macro.h"

/* More runs than that are a mistake of the scenario's. */
#define RUNS_MAX 20000U
/* The kernel may still list a thread that was waited for. */
#define WAIT_USEC 1000U
#define WAITS_MAX 5000U

/* AddressSanitizer calls some of these before it can look at what they do. */
#define _early_ __attribute__((no_sanitize("address", "undefined")))
#define _public_ _early_ __attribute__((visibility("default")))

static struct {
        atomic_uint kinds, seen;
        unsigned nth;
        bool lasting;
        atomic_bool failed;
        atomic_size_t largest;
        atomic_long maps;
} fault;

/* Whether this thread runs what is looked at. Before and after that AddressSanitizer needs memory for a thread. */
static _Thread_local bool looked_at;

/* Whose place is taken here. Looked up when the program starts, which needs memory. */
static int (*real_pthread_create)(pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);
static long (*real_syscall)(long number, ...);

_early_ __attribute__((constructor)) static void look_up(void) {
        *(void **) &real_pthread_create = dlsym(RTLD_NEXT, "pthread_create");
        *(void **) &real_syscall = dlsym(RTLD_NEXT, "syscall");
}

_early_ static void note_size(size_t size) {
        size_t largest = atomic_load(&fault.largest);

        while (size > largest && !atomic_compare_exchange_weak(&fault.largest, &largest, size))
                ;
}

_early_ static bool fails(FaultKind kind, int error) {
        unsigned n;

        if (!looked_at || !(atomic_load(&fault.kinds) & (unsigned) kind))
                return false;
        n = atomic_fetch_add(&fault.seen, 1) + 1;
        if (n < fault.nth || (n > fault.nth && !fault.lasting))
                return false;

        atomic_store(&fault.failed, true);
        errno = error;
        return true;
}

/* --- memory --- */

#if defined(__SANITIZE_ADDRESS__)
# define REAL(name) __interceptor_##name
#elif defined(__has_feature)
# if __has_feature(address_sanitizer)
#  define REAL(name) __interceptor_##name
# endif
#endif
#ifndef REAL
# define REAL(name) __libc_##name
#endif

extern void *REAL(malloc)(size_t size);
extern void *REAL(calloc)(size_t n, size_t size);
extern void *REAL(realloc)(void *p, size_t size);

_public_ void *malloc(size_t size) {
        note_size(size);
        return fails(FAULT_MEMORY, ENOMEM) ? NULL : REAL(malloc)(size);
}

_public_ void *calloc(size_t n, size_t size) {
        size_t all;

        note_size(__builtin_mul_overflow(n, size, &all) ? SIZE_MAX : all);
        return fails(FAULT_MEMORY, ENOMEM) ? NULL : REAL(calloc)(n, size);
}

_public_ void *realloc(void *p, size_t size) {
        note_size(size);
        return fails(FAULT_MEMORY, ENOMEM) ? NULL : REAL(realloc)(p, size);
}

/* AddressSanitizer has its own of these, which do not ask malloc(). */
_public_ void *reallocarray(void *p, size_t n, size_t size) {
        size_t all;

        if (__builtin_mul_overflow(n, size, &all)) {
                errno = ENOMEM;
                return NULL;
        }
        return realloc(p, all);
}

_public_ char *strndup(const char *s, size_t n) {
        size_t size = strnlen(s, n);
        char *copy = malloc(size + 1);

        if (!copy)
                return NULL;
        memcpy(copy, s, size);
        copy[size] = 0;
        return copy;
}

_public_ char *strdup(const char *s) {
        return strndup(s, strlen(s));
}

/* The C library has it under both names, and the headers may make one of the other. */
void *map(void *at, size_t size, int protection, int flags, int fd, int64_t offset) __asm__("mmap");
void *map64(void *at, size_t size, int protection, int flags, int fd, int64_t offset) __asm__("mmap64");

_public_ void *map(void *at, size_t size, int protection, int flags, int fd, int64_t offset) {
        void *p;

        note_size(size);
        if ((flags & MAP_ANONYMOUS) && fails(FAULT_MEMORY, ENOMEM))
                return MAP_FAILED;

        p = (void *) syscall(SYS_mmap, at, size, protection, flags, fd, offset);
        if (p != MAP_FAILED)
                atomic_fetch_add(&fault.maps, 1);
        return p;
}

_public_ void *map64(void *at, size_t size, int protection, int flags, int fd, int64_t offset) {
        return map(at, size, protection, flags, fd, offset);
}

_public_ int munmap(void *at, size_t size) {
        int r = (int) syscall(SYS_munmap, at, size);

        if (r >= 0)
                atomic_fetch_sub(&fault.maps, 1);
        return r;
}

/* --- threads --- */

typedef struct Thread {
        void *(*start)(void *userdata);
        void *userdata;
} Thread;

static void *run_thread(void *userdata) {
        const Thread t = *(Thread *) userdata;
        void *result;

        free(userdata);
        looked_at = true;
        result = t.start(t.userdata);
        looked_at = false;
        return result;
}

_public_ int pthread_create(
                pthread_t *ret, const pthread_attr_t *attributes, void *(*start)(void *), void *userdata) {
        Thread *t;
        int r;

        if (fails(FAULT_THREAD, EAGAIN))
                return EAGAIN;
        t = REAL(malloc)(sizeof(Thread));
        if (!t)
                return EAGAIN;
        *t = (Thread) { start, userdata };
        r = real_pthread_create(ret, attributes, run_thread, t);
        if (r != 0)
                free(t);
        return r;
}

/* --- files --- */

_early_ static int open_at(int dirfd, const char *path, int flags, mode_t mode) {
        return fails(FAULT_FILE, EMFILE) ? -1 : (int) syscall(SYS_openat, dirfd, path, flags, mode);
}

_early_ static mode_t mode_of(int flags, va_list ap) {
        return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
}

_public_ int open(const char *path, int flags, ...) {
        va_list ap;
        mode_t mode;

        va_start(ap, flags);
        mode = mode_of(flags, ap);
        va_end(ap);
        return open_at(AT_FDCWD, path, flags, mode);
}

_public_ int openat(int dirfd, const char *path, int flags, ...) {
        va_list ap;
        mode_t mode;

        va_start(ap, flags);
        mode = mode_of(flags, ap);
        va_end(ap);
        return open_at(dirfd, path, flags, mode);
}

_public_ int memfd_create(const char *name, unsigned flags) {
        return fails(FAULT_FILE, EMFILE) ? -1 : (int) syscall(SYS_memfd_create, name, flags);
}

/* Of which no function of the C library is made. */
_public_ long syscall(long number, ...) {
        long a[6];
        va_list ap;

        if (number == SYS_openat2 && fails(FAULT_FILE, EMFILE))
                return -1;

        va_start(ap, number);
        FOREACH_ARRAY(i, a, ELEMENTSOF(a))
                *i = va_arg(ap, long);
        va_end(ap);
        if (!real_syscall)
                look_up();
        return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- runs --- */

typedef struct Held {
        unsigned fds, threads;
        long maps;
} Held;

static unsigned count(const char *folder) {
        DIR *d = opendir(folder);
        unsigned n = 0;

        ck_assert_ptr_nonnull(d);
        while (readdir(d))
                n++;
        (void) closedir(d);
        return n;
}

static Held held(void) {
        return (Held) {
                .fds = count("/proc/self/fd"),
                .threads = count("/proc/self/task"),
                .maps = atomic_load(&fault.maps),
        };
}

static void check_nothing_left(const Held *before, unsigned nth) {
        Held after = held();

        for (unsigned i = 0; after.threads != before->threads && i < WAITS_MAX; i++) {
                (void) nanosleep(&(struct timespec) { .tv_nsec = WAIT_USEC * 1000L }, NULL);
                after = held();
        }
        ck_assert_msg(after.fds == before->fds, "request %u: %u descriptors instead of %u", nth, after.fds,
                        before->fds);
        ck_assert_msg(after.threads == before->threads, "request %u: %u threads instead of %u", nth,
                        after.threads, before->threads);
        ck_assert_msg(after.maps == before->maps, "request %u: %ld maps instead of %ld", nth, after.maps,
                        before->maps);
}

static bool run(unsigned kinds, unsigned nth, bool lasting, const FaultScenario *s) {
        Held before = held();
        int r;

        fault.nth = nth;
        fault.lasting = lasting;
        atomic_store(&fault.failed, false);
        atomic_store(&fault.seen, 0);
        atomic_store(&fault.kinds, kinds);
        looked_at = true;
        r = s->run(s->userdata);
        looked_at = false;
        atomic_store(&fault.kinds, 0);

        s->check(r, atomic_load(&fault.failed), s->userdata);
        check_nothing_left(&before, nth);
        return atomic_load(&fault.failed);
}

unsigned fault_loop(unsigned kinds, const FaultScenario *s) {
        for (unsigned lasting = 0; lasting < 2; lasting++)
                for (unsigned nth = 1; run(kinds, nth, lasting, s); nth++)
                        ck_assert_uint_lt(nth, RUNS_MAX);
        return atomic_load(&fault.seen);
}

size_t fault_largest(void) {
        return atomic_exchange(&fault.largest, 0);
}
