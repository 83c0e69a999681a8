/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include "alloc-util.h"
#include "doctor.h"
#include "fd-util.h"
#include "string-util.h"
#include "strv.h"

#define DISK_WARNING_PERCENT 90.0
#define DISK_FAILED_PERCENT 97.0
#define CONTROLLERS_MAX 4096U

/* What timedatectl calls synchronized (systemd, src/timedate/timedated.c: an error above it was never set). */
#define CLOCK_ERROR_MAX_USEC 16000000

static int check_clock(json_t *findings) {
        struct timex t = {};

        if (adjtimex(&t) < 0)
                return findings_addf(findings, "clock", FINDING_UNKNOWN, NULL,
                                "The kernel does not tell whether the clock is right: %m.");
        if (t.maxerror >= CLOCK_ERROR_MAX_USEC)
                return findings_addf(findings, "clock", FINDING_WARNING,
                                "Have it set by the network (timedatectl set-ntp true): certificates, "
                                "schedules "
                                "and the record depend on it.",
                                "Nothing keeps the clock right.");

        return findings_addf(findings, "clock", FINDING_OK, NULL, "The clock is synchronized.");
}

static int check_disk(json_t *findings, const char *path, const struct statvfs *s) {
        double total = (double) s->f_blocks * (double) s->f_frsize,
               available = (double) s->f_bavail * (double) s->f_frsize,
               used = (double) (s->f_blocks - s->f_bfree) * (double) s->f_frsize, percent, inodes = 0;
        FindingVerdict verdict;

        /* As df(1) has it: what is kept for root is neither. */
        percent = used + available > 0 ? 100.0 * used / (used + available) : 0;
        if (s->f_files > 0)
                inodes = 100.0 * (double) (s->f_files - s->f_ffree) / (double) s->f_files;
        verdict = MAX(percent, inodes) >= DISK_FAILED_PERCENT          ? FINDING_FAILED
                        : MAX(percent, inodes) >= DISK_WARNING_PERCENT ? FINDING_WARNING
                                                                       : FINDING_OK;
        return findings_addf(findings, "disk", verdict,
                        verdict == FINDING_OK ? NULL
                                              : "Make room: docker system df and du show what takes it; "
                                                "ccpctl top "
                                                "shows it by instance.",
                        "%s: %.1f of %.1f GiB free, %.0f %% used%s.", path, available / (1 << 30),
                        total / (1 << 30), percent,
                        inodes >= DISK_WARNING_PERCENT ? ", and too few inodes are left" : "");
}

/* Each file system once, however many of the folders are on it. */
static int check_disks(json_t *findings, const char *docker_root) {
        const char *const paths[] = { CCP_STATE_DIR, docker_root, "/var/lib/postgresql",
                "/var/log/journal" };
        dev_t seen[ELEMENTSOF(paths)];
        size_t n_seen = 0;
        int r;

        for (size_t k = 0; k < ELEMENTSOF(paths); k++) {
                struct statvfs s;
                struct stat st;
                bool again = false;

                if (!paths[k] || stat(paths[k], &st) < 0 || statvfs(paths[k], &s) < 0)
                        continue;
                for (size_t i = 0; i < n_seen; i++)
                        again = again || seen[i] == st.st_dev;
                if (again)
                        continue;

                seen[n_seen++] = st.st_dev;
                r = check_disk(findings, paths[k], &s);
                if (r < 0)
                        return r;
        }

        if (n_seen == 0)
                return findings_addf(findings, "disk", FINDING_FAILED,
                                "Is the package installed completely?",
                                "There is no folder " CCP_STATE_DIR ".");
        return 0;
}

static int check_journal(json_t *findings) {
        if (access("/var/log/journal", F_OK) < 0)
                return findings_addf(findings, "journal", FINDING_WARNING,
                                "To keep it: mkdir /var/log/journal; systemctl restart systemd-journald",
                                "The journal is kept in memory only: the instances' logs are lost at a "
                                "reboot.");

        return findings_addf(findings, "journal", FINDING_OK, NULL, "The journal is kept on disk.");
}

static bool has_word(const char *text, const char *word) {
        size_t n = strlen(word);

        for (const char *p = text; (p = strstr(p, word)); p += n)
                if ((p == text || p[-1] == ' ') && strchr(" \n", p[n]))
                        return true;
        return false;
}

static int check_control_groups(json_t *findings) {
        static const char *const wanted[] = { "cpu", "io", "memory", "pids" };
        _cleanup_strv_free_ char **missing = NULL;
        _cleanup_free_ char *text = NULL, *list = NULL;
        _cleanup_close_ int fd = -EBADF;

        fd = open("/sys/fs/cgroup/cgroup.controllers", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read_full_fd(fd, CONTROLLERS_MAX, &text, NULL) < 0)
                return findings_addf(findings, "control-groups", FINDING_FAILED,
                                "Boot with systemd.unified_cgroup_hierarchy=1.",
                                "There is no unified hierarchy of control groups (version 2): nothing can "
                                "be said "
                                "of what instances use, and no limit holds.");

        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                if (!has_word(text, wanted[i]) && strv_extend(&missing, wanted[i]) < 0)
                        return -ENOMEM;
        if (!missing)
                return findings_addf(
                                findings, "control-groups", FINDING_OK, NULL, "Limits and accounting work.");

        list = strv_join(missing, ", ");
        return findings_addf(findings, "control-groups", FINDING_WARNING,
                        "Look at the kernel's command line (cgroup_disable=, cgroup_enable=) and at what "
                        "holds them in version 1.",
                        "The kernel does not offer: %s. Limits of that kind do not hold.", strempty(list));
}

int doctor_check_host(json_t *findings, const char *docker_root) {
        int r;

        r = check_disks(findings, docker_root);
        if (r < 0)
                return r;
        r = check_control_groups(findings);
        if (r < 0)
                return r;
        r = check_journal(findings);
        if (r < 0)
                return r;
        return check_clock(findings);
}
