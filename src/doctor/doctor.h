/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The checks that ccpd cannot make itself: they need the Engine, or may wait for a disk. Each appends what it found to
 * an array (finding.h) and fails only when out of memory. */

#include <systemd/sd-bus.h>

#include "docker.h"
#include "finding.h"
#include "subnet.h"

/* Clock, disks, journal, control groups. 'docker_root' is where the Engine keeps its data; NULL: not known. From
 * 'disk_percent' on a disk is nearly full; 0: as alerts have it by default. */
int doctor_check_host(json_t *findings, const char *docker_root, unsigned disk_percent);
/* The Engine's and Compose's versions, its driver of control groups and its address pools, which must leave 'pool' alone
 * (NULL: not known). ret_root is its folder for data, NULL if it did not say. */
int doctor_check_engine(json_t *findings, Docker *docker, bool runs, const Subnet *pool, char **ret_root);
/* Whether something runs for instances that the Engine takes for ended. May take two seconds. */
int doctor_check_containers(json_t *findings, Docker *docker);
/* Our units and timers, the bus's and polkit's knowledge of us. */
int doctor_check_system(json_t *findings, sd_bus *bus);
