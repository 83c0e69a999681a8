/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl.h"

static const ListColumn port_columns[] = {
        { { "INSTANCE" }, "instance" },
        { { "PORT", .right = true }, "number" },
        { { "NAME", 1 }, "name" },
        { { "HOST", 1 }, "host" },
};

int verb_port_list(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ListPorts", &reply, reterr, NULL);
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_MANAGER, "ListPorts", &rows);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        return ctl_print_list(c, rows, port_columns, ELEMENTSOF(port_columns), "port");
}
