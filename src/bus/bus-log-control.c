/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus-log-control.h"

#include "log.h"

static int get_level(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, _unused_ void *userdata,
                _unused_ sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "s", log_level_to_string(log_get_max_level()));
}

static int set_level(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *value, _unused_ void *userdata,
                sd_bus_error *reterr) {
        const char *s;
        int r;

        r = sd_bus_message_read(value, "s", &s);
        if (r < 0)
                return r;

        r = log_level_from_string(s);
        if (r < 0)
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_INVALID_ARGS, "Unknown log level '%s'.", s);

        log_set_max_level(r);
        return 0;
}

static int get_target(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, _unused_ void *userdata,
                _unused_ sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "s", log_target_to_string(log_get_target()));
}

static int set_target(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *value, _unused_ void *userdata,
                sd_bus_error *reterr) {
        const char *s;
        int r;

        r = sd_bus_message_read(value, "s", &s);
        if (r < 0)
                return r;

        r = log_target_from_string(s);
        if (r < 0)
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_INVALID_ARGS, "Unknown log target '%s'.", s);

        log_set_target((LogTarget) r);
        return 0;
}

static int get_identifier(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, void *userdata,
                _unused_ sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "s", (const char *) userdata);
}

static const sd_bus_vtable log_control_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", get_level, set_level, 0, 0),
        SD_BUS_WRITABLE_PROPERTY("LogTarget", "s", get_target, set_target, 0, 0),
        SD_BUS_PROPERTY("SyslogIdentifier", "s", get_identifier, 0, 0),
        SD_BUS_VTABLE_END,
};

int bus_log_control_register(sd_bus *bus, const char *identifier) {
        return sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/LogControl1",
                        "org.freedesktop.LogControl1", log_control_vtable, (void *) identifier);
}
