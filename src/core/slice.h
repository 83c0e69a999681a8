/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The systemd slice that an instance's containers run in. */

/* "ccp-my\x2dchapter.slice" for the slug "my-chapter": an unescaped dash would make a level of its own. The
 * slug must be valid (-EINVAL). */
int slice_from_slug(const char *slug, char **ret);
