/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libcurl's transfers on an sd-event loop: any number at once, none of them waits. */

#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "alloc-util.h"

typedef struct CurlEvent CurlEvent;

/* Called from the loop when a transfer has ended; the handle is no longer part of the loop and may be freed
 * or added again. */
typedef void (*curl_event_done_t)(CURL *easy, CURLcode result, void *userdata);

int curl_event_new(sd_event *event, CurlEvent **ret);
/* All transfers must have ended or have been removed. */
CurlEvent *curl_event_free(CurlEvent *c);
DEFINE_CLEANUP_FUNC(CurlEvent *, curl_event_free);
#define _cleanup_curl_event_ _cleanup_(curl_event_freep)

/* Begins a transfer. The handle stays the caller's. */
int curl_event_add(CurlEvent *c, CURL *easy, curl_event_done_t done, void *userdata);
/* Ends one without a call of 'done'. Not part of the loop: no error. */
void curl_event_remove(CurlEvent *c, CURL *easy);
