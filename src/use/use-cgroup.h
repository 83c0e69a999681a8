/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the kernel counts of a control group (cgroup v2): of a slice, or of the scope of one container. */

#include "use.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* Opens the group of a slice ("ccp-my\x2dshop.slice") beneath the root of the hierarchy. -ENOENT if nothing runs
 * in it. */
int cgroup_open_slice(int root, const char *slice);
/* Opens the group that the Engine made for a container in there. */
int cgroup_open_container(int slice, const char *container);

/* Reads all fields but those of the network, which are left as they are. What cannot be read is unknown. */
void cgroup_read_use(int group, Use *u);

/* The first process in a group; -ESRCH if there is none. */
int cgroup_first_process(int group, pid_t *ret);

/* The parsers of its files. Each returns 0 or -EBADMSG. *ret is USE_UNKNOWN after a failure, and
 * where the text does not say. */
/* "123\n", or "max\n": unknown. */
int cgroup_parse_number(const char *text, uint64_t *ret);
/* The number of a key in lines "KEY NUMBER". */
int cgroup_parse_key(const char *text, const char *key, uint64_t *ret);
/* io.stat: "MAJOR:MINOR rbytes=NUMBER wbytes=NUMBER …", summed up over the devices. */
int cgroup_parse_io(const char *text, uint64_t *ret_read, uint64_t *ret_written);
