/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdio.h>
#include <sys/timex.h>

#include "alert.h"
#include "alloc-util.h"
#include "disk-use.h"
#include "doctor.h"
#include "fd-util.h"
#include "string-util.h"
#include "strv.h"

/* What is left is gone at any moment. */
#define DISK_FAILED_PERCENT 97U
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

static int check_disks(json_t *findings, const char *docker_root, unsigned percent) {
        unsigned warning = percent > 0 ? percent : ALERT_DISK_PERCENT,
                 failed = MAX(warning, DISK_FAILED_PERCENT);
        DiskUse l[DISK_USE_MAX];
        size_t n = disk_use_read(docker_root, l);
        int r = 0;

        FOREACH_ARRAY(u, l, n) {
                _cleanup_free_ char *text = disk_use_describe(u);
                FindingVerdict verdict = u->percent >= failed ? FINDING_FAILED
                                : u->percent >= warning       ? FINDING_WARNING
                                                              : FINDING_OK;

                r = !text ? -ENOMEM
                          : findings_addf(findings, "disk", verdict,
                                            verdict == FINDING_OK ? NULL
                                                                  : "Make room: docker system df and du "
                                                                    "show what takes it; ccpctl top shows "
                                                                    "it by instance.",
                                            "%s: %s.", u->path, text);
                if (r < 0)
                        break;
        }
        disk_use_done(l, n);

        if (n == 0)
                return findings_addf(findings, "disk", FINDING_FAILED,
                                "Is the package installed completely?",
                                "There is no folder " CCP_STATE_DIR ".");
        return r;
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

int doctor_check_host(json_t *findings, const char *docker_root, unsigned disk_percent) {
        int r;

        r = check_disks(findings, docker_root, disk_percent);
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
