/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-create.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <systemd/sd-id128.h>

#include "alloc-util.h"
#include "bus-append.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-manager.h"
#include "ccpd-restore-bus.h"
#include "log.h"
#include "parameters.h"
#include "secret-generate.h"
#include "store-backup.h"
#include "string-util.h"
#include "validate.h"

/* What the caller asked for. Strings of the first group are borrowed. */
typedef struct CreateRequest {
        const char *slug, *blueprint;
        const char *name, *domain, *source;
        char **features;
        char **parameters; /* keys and values in turn */
        char **limits;     /* the same */
        uint64_t backup;   /* it is made of this one; 0: of none */
        bool any_version;  /* of the blueprint, and of the databases that wrote the dumps */
} CreateRequest;

/* What it comes to: all that the records need. */
typedef struct CreatePlan {
        Blueprint *blueprint;
        char id[SD_ID128_UUID_STRING_MAX];
        char *domain;
        json_t *parameters; /* without the secret ones */
        json_t *spec;       /* to try it again */
        json_t *details;    /* for the record of what happened: no parameters, they may be confidential */
        char **features;
        ResourceLimits limits;
        StoreSecret *secrets;
        size_t n_secrets;
        StorePortRequest *ports;
        size_t n_ports;
        PortSet *ports_in_use;
        Subnet *routes;
        size_t n_routes;
} CreatePlan;

static const BusOption create_options[] = {
        { "name", "s", offsetof(CreateRequest, name) },
        { "domain", "s", offsetof(CreateRequest, domain) },
        { "features", "as", offsetof(CreateRequest, features) },
        { "parameters", "a{ss}", offsetof(CreateRequest, parameters) },
        { "source", "s", offsetof(CreateRequest, source) },
        { "limits", "a{ss}", offsetof(CreateRequest, limits) },
};

static void create_request_done(CreateRequest *q) {
        STRV_FOREACH(s, q->parameters)
                explicit_bzero(*s, strlen(*s)); /* there may be secrets among them */
        strv_free(q->parameters);
        strv_free(q->features);
        strv_free(q->limits);
}

static void create_plan_done(CreatePlan *p) {
        FOREACH_ARRAY(s, p->secrets, p->n_secrets)
                free((void *) s->sealed);
        free(p->secrets);
        free(p->ports);
        free(p->ports_in_use);
        free(p->routes);
        strv_free(p->features);
        json_decref(p->parameters);
        json_decref(p->spec);
        json_decref(p->details);
        free(p->domain);
        blueprint_free(p->blueprint);
}

static int plan_seal(CreatePlan *p, const Manager *m, const char *name, const char *plain, Error *reterr) {
        uint8_t *sealed;
        size_t size;
        int r;

        r = vault_seal(m->vault, &(VaultLabel) { .instance = p->id, .name = name, .version = 1 }, plain,
                        strlen(plain), &sealed, &size, reterr);
        if (r < 0)
                return r;

        p->secrets[p->n_secrets++] = (StoreSecret) {
                .name = name,
                .key_id = vault_key_id(m->vault),
                .sealed = sealed,
                .size = size,
        };
        return 0;
}

/* The generated secrets, and the parameters that are secrets: these leave the parameters. */
static int plan_secrets(CreatePlan *p, const Manager *m, Error *reterr) {
        const Blueprint *b = p->blueprint;
        int r;

        r = manager_check_sealing(m, reterr);
        if (r < 0)
                return r;

        p->secrets = new0(StoreSecret, b->n_secrets + b->n_parameters);
        if (!p->secrets)
                return -ENOMEM;

        FOREACH_ARRAY(s, b->secrets, b->n_secrets) {
                _cleanup_erase_ char *plain = NULL;

                r = secret_generate(s->alphabet, s->length, &plain);
                if (r < 0)
                        return error_set_errnof(reterr, r, "Cannot generate the secret '%s': %m", s->name);
                r = plan_seal(p, m, s->name, plain, reterr);
                if (r < 0)
                        return r;
        }

        FOREACH_ARRAY(q, b->parameters, b->n_parameters) {
                json_t *value = q->secret ? json_object_get(p->parameters, q->name) : NULL;

                if (!value)
                        continue;
                r = plan_seal(p, m, q->name, strempty(json_string_value(value)), reterr);
                if (r < 0)
                        return r;
                if (json_is_string(value))
                        sodium_memzero((char *) json_string_value(value), json_string_length(value));
                (void) json_object_del(p->parameters, q->name);
        }

        return 0;
}

static int plan_ports(CreatePlan *p, const Manager *m, Error *reterr) {
        const Blueprint *b = p->blueprint;
        int r;

        p->ports = new0(StorePortRequest, b->n_ports);
        p->ports_in_use = new0(PortSet, 1);
        if (!p->ports || !p->ports_in_use)
                return -ENOMEM;

        FOREACH_ARRAY(i, b->ports, b->n_ports) {
                StorePortRequest *q = p->ports + p->n_ports++;

                *q = (StorePortRequest) { .name = i->name, .range_name = i->range };
                r = port_range_resolve(i->range, m->settings->port_ranges, m->settings->n_port_ranges,
                                &q->range, reterr);
                if (r < 0)
                        return r;
        }

        r = port_set_add_listening(p->ports_in_use);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot tell which ports this host listens on: %m");
        r = subnets_read_routes(&p->routes, &p->n_routes);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot tell which subnets this host routes: %m");

        return 0;
}

static int plan_choices(CreatePlan *p, const CreateRequest *q, Error *reterr) {
        json_auto_t *given = NULL, *features = NULL;
        const char *name;
        json_t *on;
        int r;

        given = json_object();
        if (!given)
                return -ENOMEM;
        for (char **i = q->parameters; i && *i; i += 2)
                if (json_object_set_new(given, i[0], json_string(i[1])) < 0)
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "Parameter '%s' is not valid UTF-8.", TEXT_FOR_ERROR(i[0]));

        r = parameters_resolve(p->blueprint, given, q->backup > 0, &p->parameters, reterr);
        if (r < 0)
                return r;
        r = features_resolve(p->blueprint, q->features, &features, reterr);
        if (r < 0)
                return r;

        for (char **i = q->limits; i && *i; i += 2) {
                r = limits_set_named(&p->limits, i[0], i[1], reterr);
                if (r < 0)
                        return r;
        }

        json_object_foreach(features, name, on)
                if (json_is_true(on) && strv_extend(&p->features, name) < 0)
                        return -ENOMEM;
        if (!p->features) {
                p->features = new0(char *, 1);
                if (!p->features)
                        return -ENOMEM;
        }
        return 0;
}

static int plan_validate(CreatePlan *p, const Manager *m, const CreateRequest *q, Error *reterr) {
        int r;

        r = slug_validate(q->slug, reterr);
        if (r < 0)
                return r;
        if (isempty(q->domain))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "An instance needs a domain, such as '%s.example.org' (option 'domain').",
                                q->slug);
        r = domain_normalize(q->domain, &p->domain, reterr);
        if (r < 0)
                return r;
        if (q->name) {
                r = display_name_validate(q->name, reterr);
                if (r < 0)
                        return r;
        }
        if (!isempty(q->source) && (q->source[0] != '/' || !string_is_safe(q->source)))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The source must be an absolute path to a folder on the server.");
        if (HASH_COUNT(m->instances) >= INSTANCES_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "There are %u instances already, the most that ccpd keeps.", INSTANCES_MAX);

        return blueprint_cache_load(m->blueprints, q->blueprint, &p->blueprint, reterr);
}

/* What Retry needs to ask the same again. Secret parameters are not kept. */
static int plan_spec(CreatePlan *p, const CreateRequest *q) {
        json_auto_t *parameters = NULL, *features = NULL, *limits = NULL;

        parameters = json_object();
        limits = json_object();
        features = json_array();
        p->spec = json_object();
        if (!parameters || !limits || !features || !p->spec)
                return -ENOMEM;

        for (char **i = q->parameters; i && *i; i += 2) {
                const BlueprintParameter *b = blueprint_find_parameter(p->blueprint, i[0]);

                if (b && !b->secret && json_object_set_new(parameters, i[0], json_string(i[1])) < 0)
                        return -ENOMEM;
        }
        STRV_FOREACH(f, q->features)
                if (json_array_append_new(features, json_string(*f)) < 0)
                        return -ENOMEM;
        for (char **i = q->limits; i && *i; i += 2)
                if (json_object_set_new(limits, i[0], json_string(i[1])) < 0)
                        return -ENOMEM;

        if (json_object_set_new(p->spec, "slug", json_string(q->slug)) < 0 ||
                        json_object_set_new(p->spec, "blueprint", json_string(q->blueprint)) < 0 ||
                        json_object_set_new(p->spec, "domain", json_string(p->domain)) < 0 ||
                        (q->name && json_object_set_new(p->spec, "name", json_string(q->name)) < 0) ||
                        (q->source && json_object_set_new(p->spec, "source", json_string(q->source)) < 0) ||
                        json_object_set(p->spec, "features", features) < 0 ||
                        json_object_set(p->spec, "limits", limits) < 0 ||
                        json_object_set(p->spec, "parameters", parameters) < 0)
                return -ENOMEM;
        if (q->backup > 0 &&
                        (json_object_set_new(p->spec, "backup", json_sprintf("%" PRIu64, q->backup)) < 0 ||
                                        json_object_set_new(p->spec, "any_version",
                                                        json_boolean(q->any_version)) < 0))
                return -ENOMEM;

        return 0;
}

static int plan_make(CreatePlan *p, const Manager *m, const CreateRequest *q, Error *reterr) {
        sd_id128_t id;
        int r;

        r = plan_validate(p, m, q, reterr);
        if (r < 0)
                return r;

        r = sd_id128_randomize(&id);
        if (r < 0)
                return r;
        (void) sd_id128_to_uuid_string(id, p->id);

        r = plan_choices(p, q, reterr);
        if (r < 0)
                return r;
        r = plan_spec(p, q);
        if (r < 0)
                return r;
        p->details = json_pack("{s:s, s:s*, s:O*, s:O*, s:O*}", "blueprint", p->blueprint->name, "domain",
                        p->domain, "features", json_object_get(p->spec, "features"), "limits",
                        json_object_get(p->spec, "limits"), "backup", json_object_get(p->spec, "backup"));
        if (!p->details)
                return -ENOMEM;
        r = plan_ports(p, m, reterr);
        if (r < 0)
                return r;
        return plan_secrets(p, m, reterr);
}

static void plan_to_store(const CreatePlan *p, const Manager *m, const CreateRequest *q, StoreCreate *ret) {
        *ret = (StoreCreate) {
                .id = p->id,
                .slug = q->slug,
                .name = q->name ?: q->slug,
                .domain = p->domain,
                .blueprint = p->blueprint->name,
                .blueprint_version = p->blueprint->version,
                .engine = p->blueprint->engine,
                .source = isempty(q->source) ? p->blueprint->source.path : q->source,
                .bind_address = m->settings->bind_address,
                .parameters = p->parameters,
                .features = p->features,
                .limits = p->limits,
                .ports = p->ports,
                .n_ports = p->n_ports,
                .ports_in_use = p->ports_in_use,
                .subnet_pool = m->settings->subnet_pool,
                .subnets_in_use = p->routes,
                .n_subnets_in_use = p->n_routes,
                .secrets = p->secrets,
                .n_secrets = p->n_secrets,
                .kind = q->backup > 0 ? JOB_CLONE : JOB_CREATE,
                .spec = p->spec,
                .details = p->details,
        };
}

static void on_instance_created(
                int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        _cleanup_(instance_record_freep) InstanceRecord *taken_instance = instance;
        _cleanup_(job_record_freep) JobRecord *taken_job = job;
        Operation *o = userdata;
        Manager *m = operation_manager(o);
        Job *j;

        if (r >= 0)
                r = manager_take_instance(m, &taken_instance, NULL);
        if (r >= 0)
                r = manager_take_job(m, &taken_job, &j);
        if (r < 0) {
                _cleanup_error_ Error e = {};

                if (!error_is_set(error))
                        (void) error_set_errnof(&e, r, "Cannot follow the new instance: %m");
                operation_fail(o, error_is_set(error) ? error : &e);
                return;
        }

        job_answer_when_accepted(j, o);
}

/* Makes the plan and hands it to the store. The operation stays the caller's if this fails. */
static int create_submit(Manager *m, const CreateRequest *q, StoreCreatedCallback callback, Operation *o,
                bool plan_only, Error *reterr) {
        _cleanup_(create_plan_done) CreatePlan p = {};
        StoreCreate create;
        int r;

        r = manager_check_store(m, reterr);
        if (r < 0)
                return r;
        if (!plan_only) {
                r = manager_check_engine(m, reterr);
                if (r < 0)
                        return r;
        }

        r = plan_make(&p, m, q, reterr);
        if (r < 0)
                return error_is_set(reterr) ? r
                                            : error_set_errnof(reterr, r, "Cannot plan the instance: %m");

        plan_to_store(&p, m, q, &create);
        create.actor = operation_actor(o);
        return plan_only ? store_plan_instance(m->db, &create, callback, o, NULL, reterr)
                         : store_create_instance(m->db, &create, callback, o, NULL, reterr);
}

static int method_create_or_plan(sd_bus_message *message, Manager *m, StoreCreatedCallback callback,
                bool plan_only, sd_bus_error *reterr) {
        _cleanup_(create_request_done) CreateRequest q = {};
        _cleanup_(operation_freep) Operation *o = NULL;
        _cleanup_error_ Error e = {};
        int r;

        r = sd_bus_message_read(message, "ss", &q.slug, &q.blueprint);
        if (r < 0)
                return r;
        r = bus_read_options(message, create_options, ELEMENTSOF(create_options), &q, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;

        r = create_submit(m, &q, callback, o, plan_only, &e);
        if (r < 0) {
                operation_fail(TAKE_PTR(o), &e);
                return 1;
        }

        TAKE_PTR(o);
        return 1;
}

int method_create_instance(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return method_create_or_plan(message, userdata, on_instance_created, /* plan_only= */ false, reterr);
}

/* --- what would be made --- */

static int append_plan_ports(sd_bus_message *reply, const InstanceRecord *i) {
        int r;

        r = bus_open_entry_array(reply, "ports", "{sq}");
        FOREACH_ARRAY(p, i->ports, i->n_ports)
                if (r >= 0)
                        r = sd_bus_message_append(reply, "{sq}", p->name, p->number);
        return r < 0 ? r : bus_close_entry_array(reply);
}

static int collect_names(const Blueprint *b, const InstanceRecord *i, char ***files, char ***services,
                char ***steps) {
        const JobStep *s;
        size_t n;

        FOREACH_ARRAY(f, b->files, b->n_files)
                if (strv_extend(files, f->target) < 0)
                        return -ENOMEM;
        FOREACH_ARRAY(f, b->statics, b->n_statics)
                if (strv_extend(files, f->target) < 0)
                        return -ENOMEM;
        FOREACH_ARRAY(f, b->services, b->n_services)
                if ((!f->feature || strv_contains(i->features, f->feature)) &&
                                strv_extend(services, f->name) < 0)
                        return -ENOMEM;

        s = job_kind_steps(JOB_CREATE, &n);
        for (size_t k = 0; k < n; k++)
                if (strv_extend(steps, s[k].title) < 0)
                        return -ENOMEM;
        return 0;
}

static int reply_plan(sd_bus_message *reply, const Manager *m, const InstanceRecord *i) {
        _cleanup_strv_free_ char **files = NULL, **services = NULL, **steps = NULL;
        _cleanup_blueprint_ Blueprint *b = NULL;
        int r;

        r = blueprint_cache_load(m->blueprints, i->blueprint, &b, NULL);
        if (r < 0)
                return r;
        r = collect_names(b, i, &files, &services, &steps);
        if (r < 0)
                return r;

        r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r < 0)
                return r;
        r = append_plan_ports(reply, i);
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                        reply, "{sv}", "subnet", "s", i->has_subnet ? SUBNET_FORMAT(&i->subnet) : "");
        if (r < 0)
                return r;
        r = bus_append_entry_strv(reply, "files", files);
        if (r < 0)
                return r;
        r = bus_append_entry_strv(reply, "services", services);
        if (r < 0)
                return r;
        r = bus_append_entry_strv(reply, "steps", steps);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(reply);
}

static void on_instance_planned(
                int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        _cleanup_(instance_record_freep) InstanceRecord *i = instance;
        _cleanup_(job_record_freep) _unused_ JobRecord *ignored = job;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Operation *o = userdata;

        if (r < 0) {
                operation_fail(o, error);
                return;
        }

        r = sd_bus_message_new_method_return(operation_message(o), &reply);
        if (r >= 0)
                r = reply_plan(reply, operation_manager(o), i);
        if (r < 0) {
                _cleanup_error_ Error e = {};

                (void) error_set_errnof(&e, r, "Cannot tell the plan: %m");
                operation_fail(o, &e);
                return;
        }
        operation_reply_message(o, reply);
}

int method_plan_instance(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return method_create_or_plan(message, userdata, on_instance_planned, /* plan_only= */ true, reterr);
}

/* --- trying it again --- */

static int request_from_spec(const json_t *spec, CreateRequest *ret) {
        const char *key, *backup;
        json_t *value;
        size_t k;

        ret->slug = json_object_get_string(spec, "slug");
        ret->blueprint = json_object_get_string(spec, "blueprint");
        ret->domain = json_object_get_string(spec, "domain");
        ret->name = json_object_get_string(spec, "name");
        ret->source = json_object_get_string(spec, "source");
        ret->any_version = json_is_true(json_object_get(spec, "any_version"));
        backup = json_object_get_string(spec, "backup");
        if (!ret->slug || !ret->blueprint || (backup && decimal_id_parse(backup, &ret->backup) < 0))
                return -EBADMSG;

        json_array_foreach(json_object_get(spec, "features"), k, value)
                if (strv_extend(&ret->features, strempty(json_string_value(value))) < 0)
                        return -ENOMEM;
        json_object_foreach(json_object_get(spec, "parameters"), key, value)
                if (strv_extend(&ret->parameters, key) < 0 ||
                                strv_extend(&ret->parameters, strempty(json_string_value(value))) < 0)
                        return -ENOMEM;
        json_object_foreach(json_object_get(spec, "limits"), key, value)
                if (strv_extend(&ret->limits, key) < 0 ||
                                strv_extend(&ret->limits, strempty(json_string_value(value))) < 0)
                        return -ENOMEM;
        return 0;
}

int create_again(const Job *j, Operation *o, Error *reterr) {
        _cleanup_(create_request_done) CreateRequest q = {};
        int r;

        r = request_from_spec(j->record->spec, &q);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read what job %" PRIu64 " was asked for: %m",
                                j->record->id);

        return create_submit(j->manager, &q, on_instance_created, o,
                        /* plan_only= */ false, reterr);
}

/* --- out of a backup --- */

/* A call that waits for the record of the backup. What it points to is in the operation's message. */
typedef struct RestoreCall {
        Operation *operation;
        CreateRequest request;
} RestoreCall;

static RestoreCall *restore_call_free(RestoreCall *call) {
        create_request_done(&call->request);
        return mfree(call);
}

/* A value as --set would give it. */
static int add_parameter(CreateRequest *q, const char *name, const json_t *value) {
        _cleanup_free_ char *text = NULL;

        if (json_is_integer(value)) {
                if (asprintf(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(value)) < 0)
                        return -ENOMEM;
        } else if (json_is_boolean(value))
                text = strdup(json_is_true(value) ? "true" : "false");
        else
                text = strdup(strempty(json_string_value(value)));
        if (!text)
                return -ENOMEM;
        return strv_extend(&q->parameters, name) < 0 || strv_extend(&q->parameters, text) < 0 ? -ENOMEM : 0;
}

/* What the instance of the backup was asked for, where the call says nothing else. */
static int request_from_config(const json_t *config, CreateRequest *q) {
        const char *key;
        json_t *value;
        size_t k;
        int r;

        q->blueprint = json_object_get_string(config, "blueprint");
        q->name = q->name ?: json_object_get_string(config, "name");
        q->source = json_object_get_string(config, "source");
        json_array_foreach(json_object_get(config, "features"), k, value)
                if (strv_extend(&q->features, strempty(json_string_value(value))) < 0)
                        return -ENOMEM;
        json_object_foreach(json_object_get(config, "parameters"), key, value) {
                r = add_parameter(q, key, value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int restore_submit(RestoreCall *call, const BackupRecords *records, Error *reterr) {
        CreateRequest *q = &call->request;
        const BackupRecord *b = records->items;
        int r;

        if (records->n == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_BACKUP,
                                "There is no backup %" PRIu64 ". See: ccpctl backup list", q->backup);
        r = backup_record_check_verified(b, reterr);
        if (r < 0)
                return r;
        r = request_from_config(b->config, q);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");
        if (!q->blueprint)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "It is not on record what the instance of backup %" PRIu64 " was asked for.",
                                q->backup);
        return create_submit(operation_manager(call->operation), q, on_instance_created, call->operation,
                        /* plan_only= */ false, reterr);
}

static void on_backup(int r, BackupRecords *records, Error *error, void *userdata) {
        RestoreCall *call = userdata;
        _cleanup_error_ Error e = {};

        if (r >= 0)
                r = restore_submit(call, records, &e);
        if (r < 0)
                operation_fail(call->operation, error_is_set(&e) ? &e : error);
        restore_call_free(call);
}

typedef struct RestoreOptions {
        const char *domain, *name, *version;
} RestoreOptions;

static const BusOption restore_options[] = {
        { "domain", "s", offsetof(RestoreOptions, domain) },
        { "name", "s", offsetof(RestoreOptions, name) },
        { "version", "s", offsetof(RestoreOptions, version) },
};

static int read_restore(sd_bus_message *message, CreateRequest *q, Error *reterr) {
        RestoreOptions options = {};
        const char *backup;
        int r;

        r = sd_bus_message_read(message, "ss", &q->slug, &backup);
        if (r < 0)
                return r;
        r = bus_read_options(message, restore_options, ELEMENTSOF(restore_options), &options, reterr);
        if (r < 0)
                return r;
        r = bus_parse_backup(backup, &q->backup, reterr);
        if (r < 0)
                return r;
        q->domain = options.domain;
        q->name = options.name;
        return bus_parse_version(options.version, &q->any_version, reterr);
}

int method_restore_instance(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        RestoreCall *call = new0(RestoreCall, 1);
        _cleanup_error_ Error e = {};
        StoreBackupFilter filter = { .limit = 1 };
        Manager *m = userdata;
        int r;

        if (!call)
                return -ENOMEM;
        r = read_restore(message, &call->request, &e);
        if (r >= 0)
                r = manager_check_store(m, &e);
        if (r < 0) {
                restore_call_free(call);
                return error_is_set(&e) ? bus_error_move(reterr, &e) : r;
        }
        call->operation = operation_new(m, message);
        if (!call->operation) {
                restore_call_free(call);
                return -ENOMEM;
        }
        filter.id = call->request.backup;
        r = store_list_backups(m->db, &filter, on_backup, call, NULL, &e);
        if (r < 0) {
                operation_fail(call->operation, &e);
                restore_call_free(call);
        }
        return 1;
}
