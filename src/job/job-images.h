/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The images of an instance's services: fetched, built, and those that were built removed with it. */

#include "job.h"

/* Fetches the images that are missing. Fails only for those that are not optional. 1: nothing was to do. */
int job_images_pull(Job *j, Error *reterr);
/* 1: nothing is built. */
int job_images_build(Job *j, Error *reterr);
/* Removes the images that compose built for this project and named after it. Works without the revision's files. */
int job_images_remove(Job *j, Error *reterr);
