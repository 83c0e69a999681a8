/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Copies a tree that somebody else may change at the same time, for instance to make us read what he may not.
 * Each folder and file is opened by its name alone, in the open folder that holds it, and the kernel refuses
 * links and mounts in that: nothing is reached but what lies in the tree. */

#include "ccp/macro.h"

/* Deeper trees are refused: each level of folders takes descriptors. */
#define COPY_TREE_DEPTH_MAX 128U

typedef struct CopyTreeOptions {
        /* Names (fnmatch(3)) that are left out wherever they are; with a slash in it, other than at the end, a
         * pattern is for the path from the top. With a slash at the end it is for folders alone. */
        char *const *exclude;
        /* Called for each entry, and more often for large ones; fraction is negative while the tree is
         * measured. Non-zero ends the copying and is returned. */
        int (*poll)(double fraction, void *userdata);
        void *userdata;
} CopyTreeOptions;

/* Copies what is in the open folder 'source' (O_PATH will do) to the open, empty folder 'target', which gets
 * its mode and time too: folders, files and links, with their times and modes. Everything becomes readable and
 * writable for us, and nothing keeps a set-user-ID bit. Left out are links that lead out of the tree, devices,
 * pipes and sockets, and what vanishes meanwhile.
 *
 * On failure ret_path tells what it was about, from the top of the tree; NULL if it was no matter of the source.
 * -EACCES: may not be read. -EXDEV: another file system is mounted there. -ELOOP: too deep. -ESTALE: replaced
 * again and again. */
int copy_tree(int source, int target, const CopyTreeOptions *options, char **ret_path);
