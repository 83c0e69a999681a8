/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "event-util.h"

int event_reset_time(sd_event *event, sd_event_source **source, usec_t at, usec_t accuracy,
                sd_event_time_handler_t callback, void *userdata) {
        int r;

        if (!*source)
                return at == USEC_INFINITY ? 0
                                           : sd_event_add_time(event, source, CLOCK_MONOTONIC, at, accuracy,
                                                             callback, userdata);

        r = sd_event_source_set_time(*source, at);
        if (r < 0)
                return r;

        return sd_event_source_set_enabled(*source, at == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

int event_reset_time_relative(sd_event *event, sd_event_source **source, usec_t span, usec_t accuracy,
                sd_event_time_handler_t callback, void *userdata) {
        int r;

        if (!*source)
                return sd_event_add_time_relative(
                                event, source, CLOCK_MONOTONIC, span, accuracy, callback, userdata);

        r = sd_event_source_set_time_relative(*source, span);
        if (r < 0)
                return r;

        return sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
}

bool event_source_is_on(sd_event_source *source) {
        return source && sd_event_source_get_enabled(source, NULL) > 0;
}
