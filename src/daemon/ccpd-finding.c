/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-finding.h"

#include "json-util.h"
#include "string-util.h"

const char *json_get_bus_text(const json_t *o, const char *key) {
        const char *text = json_object_get_string(o, key);

        return text && utf8_is_valid(text, strlen(text)) ? text : "";
}

int finding_append(sd_bus_message *reply, _unused_ Operation *o, const void *findings, size_t k) {
        const json_t *finding = json_array_get(findings, k);

        return sd_bus_message_append(reply, "(ssss)", json_get_bus_text(finding, "check"),
                        json_get_bus_text(finding, "verdict"), json_get_bus_text(finding, "message"),
                        json_get_bus_text(finding, "advice"));
}
