/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-json.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ccp/names.h"
#include "string-util.h"

#define MEMBERS_MAX 12U
/* Deeper nesting than the API has; D-Bus itself allows 64. */
#define DEPTH_MAX 16U

/* What the members of the structs are called, by interface and by property or method. */
static const struct {
        const char *interface, *name;
        const char *members[MEMBERS_MAX];
} shape_table[] = {
        { CCP_INTERFACE_MANAGER, "ListBlueprints", { "name", "title", "version", "folder", "path" } },
        { CCP_INTERFACE_MANAGER, "ListRoles",
                        { "role", "kind", "name", "id", "instance", "granted_at", "granted_by" } },
        { CCP_INTERFACE_MANAGER, "Doctor", { "check", "verdict", "message", "advice" } },
        { CCP_INTERFACE_MANAGER, "TestStorage", { "check", "verdict", "message", "advice" } },
        { CCP_INTERFACE_MANAGER, "ListPorts", { "instance", "number", "name", "host" } },
        { CCP_INTERFACE_INSTANCE, "ListSecrets", { "name", "version", "created_at" } },
        { CCP_INTERFACE_INSTANCE, "error", { "name", "message" } },
        { CCP_INTERFACE_INSTANCE, "services",
                        { "service", "kind", "state", "health", "container", "since", "started_at",
                                        "restarts", "exit_code", "oom_killed", "image", "image_id" } },
        { CCP_INTERFACE_INSTANCE, "drift", { "kind", "subject", "since" } },
        { CCP_INTERFACE_INSTANCE, "restores", { "id", "backup", "switched_at", "keep_until" } },
        { CCP_INTERFACE_INSTANCE, "recovery", { "reason", "attempts", "next" } },
        { CCP_INTERFACE_JOB, "error", { "name", "message" } },
        { CCP_INTERFACE_JOB, "steps",
                        { "number", "name", "state", "started_at", "finished_at", "title", "detail" } },
        { CCP_INTERFACE_BLUEPRINT, "features", { "name", "title", "help", "default" } },
        { CCP_INTERFACE_BLUEPRINT, "ports", { "name", "range" } },
        { CCP_INTERFACE_BLUEPRINT, "services", { "service", "kind", "stage" } },
};

char *snake_case(const char *name) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *result;

        for (const char *p = name; *p; p++) {
                bool upper = isupper((unsigned char) *p);

                /* A word begins after a small letter, or where an abbreviation ends: "NJobs", "UIDName". */
                if (upper && p > name && p[-1] != '_' &&
                                (!isupper((unsigned char) p[-1]) || islower((unsigned char) p[1])))
                        string_builder_append(&b, "_");
                string_builder_append_n(&b, &(char) { (char) tolower((unsigned char) *p) }, 1);
        }

        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}

static int set_new(json_t *object, const char *key, json_t *value) {
        return json_object_set_new(object, key, value) < 0 ? -ENOMEM : 0;
}

/* Replaces the arrays in *value that structs have become by objects. */
static int apply_shape(json_t **value, const char *const *members) {
        _cleanup_json_ json_t *object = NULL;
        json_t *item;
        size_t i;
        int r;

        if (!json_is_array(*value))
                return 0;

        if (json_array_size(*value) == 0 || json_is_array(json_array_get(*value, 0))) {
                json_array_foreach(*value, i, item) {
                        json_t *copy = json_incref(item);

                        r = apply_shape(&copy, members);
                        if (r < 0) {
                                json_decref(copy);
                                return r;
                        }
                        if (json_array_set_new(*value, i, copy) < 0)
                                return -ENOMEM;
                }
                return 0;
        }

        object = json_object();
        if (!object)
                return -ENOMEM;
        json_array_foreach(*value, i, item) {
                /* A newer ccpd has more members than we know. */
                if (i >= MEMBERS_MAX || !members[i])
                        break;
                if (json_object_set(object, members[i], item) < 0)
                        return -ENOMEM;
        }

        json_decref(*value);
        *value = TAKE_PTR(object);
        return 0;
}

static int apply_known_shape(json_t **value, const char *interface, const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(shape_table); i++)
                if (streq(shape_table[i].interface, interface) && streq(shape_table[i].name, name))
                        return apply_shape(value, shape_table[i].members);

        return 0;
}

static int read_value(sd_bus_message *m, unsigned depth, json_t **ret);

typedef union BasicValue {
        const char *s;
        uint8_t y;
        int b;
        int16_t n;
        uint16_t q;
        int32_t i;
        uint32_t u;
        int64_t x;
        uint64_t t;
        double d;
} BasicValue;

static json_t *json_from_basic(char type, const BasicValue *v) {
        switch (type) {
        case SD_BUS_TYPE_STRING:
        case SD_BUS_TYPE_OBJECT_PATH:
        case SD_BUS_TYPE_SIGNATURE:
                return json_string(v->s);
        case SD_BUS_TYPE_BYTE:
                return json_integer(v->y);
        case SD_BUS_TYPE_BOOLEAN:
                return json_boolean(v->b);
        case SD_BUS_TYPE_INT16:
                return json_integer(v->n);
        case SD_BUS_TYPE_UINT16:
                return json_integer(v->q);
        case SD_BUS_TYPE_INT32:
                return json_integer(v->i);
        case SD_BUS_TYPE_UINT32:
                return json_integer(v->u);
        case SD_BUS_TYPE_INT64:
                return json_integer(v->x);
        case SD_BUS_TYPE_UINT64:
                return v->t > INT64_MAX ? json_null() : json_integer((json_int_t) v->t);
        case SD_BUS_TYPE_DOUBLE:
                return json_real(v->d) ?: json_null(); /* JSON has no infinity */
        default:
                return json_null();
        }
}

static int read_basic(sd_bus_message *m, char type, json_t **ret) {
        BasicValue v = {};
        json_t *j;
        int r;

        /* A descriptor would be a number that means nothing here. */
        if (type == SD_BUS_TYPE_UNIX_FD)
                r = sd_bus_message_skip(m, "h");
        else
                r = sd_bus_message_read_basic(m, type, &v);
        if (r < 0)
                return r;

        j = json_from_basic(type, &v);
        if (!j)
                return -ENOMEM;

        *ret = j;
        return 0;
}

/* Reads what is left in the open container, as an array. */
static int read_items(sd_bus_message *m, unsigned depth, json_t **ret) {
        _cleanup_json_ json_t *array = NULL;
        int r;

        array = json_array();
        if (!array)
                return -ENOMEM;

        while ((r = sd_bus_message_at_end(m, false)) == 0) {
                json_t *item;

                r = read_value(m, depth, &item);
                if (r < 0)
                        return r;
                if (json_array_append_new(array, item) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;

        *ret = TAKE_PTR(array);
        return 0;
}

static int read_entry(sd_bus_message *m, const char *contents, unsigned depth, json_t *object) {
        _cleanup_json_ json_t *value = NULL;
        _cleanup_free_ char *key = NULL;
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_DICT_ENTRY, contents);
        if (r < 0)
                return r;

        if (contents[0] == SD_BUS_TYPE_STRING || contents[0] == SD_BUS_TYPE_OBJECT_PATH) {
                r = sd_bus_message_read_basic(m, contents[0], &name);
                if (r < 0)
                        return r;
                /* a{sv} are properties or options; keys of other dictionaries are somebody's names */
                key = contents[1] == SD_BUS_TYPE_VARIANT ? snake_case(name) : strdup(name);
        } else {
                _cleanup_json_ json_t *number = NULL;

                r = read_basic(m, contents[0], &number);
                if (r < 0)
                        return r;
                key = json_dumps(number, JSON_ENCODE_ANY);
        }
        if (!key)
                return -ENOMEM;

        r = read_value(m, depth, &value);
        if (r < 0)
                return r;
        r = set_new(object, key, TAKE_PTR(value));
        if (r < 0)
                return r;

        return sd_bus_message_exit_container(m);
}

static int read_dictionary(sd_bus_message *m, const char *contents, unsigned depth, json_t **ret) {
        _cleanup_json_ json_t *object = NULL;
        _cleanup_free_ char *entry = NULL;
        int r;

        object = json_object();
        entry = strndup(contents + 1, strlen(contents) - 2);
        if (!object || !entry)
                return -ENOMEM;

        while ((r = sd_bus_message_at_end(m, false)) == 0) {
                r = read_entry(m, entry, depth, object);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;

        *ret = TAKE_PTR(object);
        return 0;
}

static int read_value(sd_bus_message *m, unsigned depth, json_t **ret) {
        _cleanup_json_ json_t *value = NULL;
        const char *contents;
        char type;
        int r;

        if (depth == 0)
                return -EBADMSG;

        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        if (r == 0)
                return -ENXIO;
        if (!IN_SET(type, SD_BUS_TYPE_ARRAY, SD_BUS_TYPE_STRUCT, SD_BUS_TYPE_VARIANT))
                return read_basic(m, type, ret);

        r = sd_bus_message_enter_container(m, type, contents);
        if (r < 0)
                return r;
        if (type == SD_BUS_TYPE_VARIANT)
                r = read_value(m, depth - 1, &value);
        else if (type == SD_BUS_TYPE_ARRAY && contents[0] == SD_BUS_TYPE_DICT_ENTRY_BEGIN)
                r = read_dictionary(m, contents, depth - 1, &value);
        else
                r = read_items(m, depth - 1, &value);
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(value);
        return 0;
}

int json_from_message(sd_bus_message *m, json_t **ret) {
        return read_value(m, DEPTH_MAX, ret);
}

/* Gives the structs among the properties in an object their names. */
static int apply_property_shapes(json_t *object, const char *interface) {
        const char *key;
        json_t *value;
        void *next;
        int r;

        json_object_foreach_safe(object, next, key, value) {
                json_t *v = json_incref(value);

                r = apply_known_shape(&v, interface, key);
                if (r < 0) {
                        json_decref(v);
                        return r;
                }
                r = set_new(object, key, v);
                if (r < 0)
                        return r;
        }

        return 0;
}

int json_from_properties(sd_bus_message *m, const char *interface, json_t **ret) {
        _cleanup_json_ json_t *object = NULL;
        int r;

        r = json_from_message(m, &object);
        if (r < 0)
                return r;
        if (!json_is_object(object))
                return -EBADMSG;

        r = apply_property_shapes(object, interface);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(object);
        return 0;
}

int json_from_rows(sd_bus_message *m, const char *interface, const char *method, json_t **ret) {
        _cleanup_json_ json_t *array = NULL;
        json_t *item;
        size_t i;
        int r;

        r = json_from_message(m, &array);
        if (r < 0)
                return r;
        if (!json_is_array(array))
                return -EBADMSG;

        json_array_foreach(array, i, item)
                if (json_is_object(item)) {
                        r = apply_property_shapes(item, interface);
                        if (r < 0)
                                return r;
                }

        r = apply_known_shape(&array, interface, method);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(array);
        return 0;
}

static char *scalar_to_text(const json_t *v) {
        char *text;

        if (json_is_string(v))
                return strdup(json_string_value(v));
        if (json_is_boolean(v))
                return strdup(json_is_true(v) ? "yes" : "no");
        if (json_is_null(v))
                return strdup("");
        if (json_is_real(v))
                return asprintf(&text, "%g", json_real_value(v)) < 0 ? NULL : text;

        return json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
}

static bool is_flat(const json_t *v) {
        const char *key;
        json_t *item;
        size_t i;

        if (json_is_array(v))
                json_array_foreach(v, i, item) {
                        if (json_is_array(item) || json_is_object(item))
                                return false;
                }
        else
                json_object_foreach((json_t *) v, key, item) {
                        if (json_is_array(item) || json_is_object(item))
                                return false;
                }

        return true;
}

static void append_item(StringBuilder *b, const char *key, const json_t *v) {
        _cleanup_free_ char *text = NULL;

        text = scalar_to_text(v);
        if (!text) {
                b->failed = true;
                return;
        }

        string_builder_appendf(b, "%s%s%s%s", b->size > 0 ? " " : "", strempty(key), key ? "=" : "", text);
}

char *json_to_text(const json_t *v) {
        _cleanup_string_builder_ StringBuilder b = {};
        const char *key;
        char *result;
        json_t *item;
        size_t i;

        if (!json_is_array(v) && !json_is_object(v))
                return scalar_to_text(v);
        if (!is_flat(v))
                return json_dumps(v, JSON_COMPACT);

        if (json_is_array(v))
                json_array_foreach(v, i, item)
                        append_item(&b, NULL, item);
        else
                json_object_foreach((json_t *) v, key, item)
                        append_item(&b, key, item);

        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}

const char *json_get_text(const json_t *o, const char *key) {
        return strempty(json_object_get_string(o, key));
}
