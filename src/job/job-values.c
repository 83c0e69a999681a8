/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "alloc-util.h"
#include "context.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-folder.h"
#include "job-render.h"
#include "parameters.h"
#include "string-util.h"

/* Opens all secrets into an object from name to text, and notes their values for redaction. */
static int open_secrets(Job *j, json_t *ret, Error *reterr) {
        _cleanup_(vault_freep) Vault *vault = NULL;
        const SecretRecords *secrets = &j->claim.secrets;
        int r;

        if (secrets->n == 0)
                return 0;

        r = vault_open(&vault, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(s, secrets->items, secrets->n) {
                const VaultLabel label = {
                        .instance = j->claim.job->instance,
                        .name = s->name,
                        .version = s->version,
                };
                _cleanup_vault_plain_ char *plain = NULL;
                size_t size;

                r = vault_unseal(vault, &label, s->key_id, s->sealed, s->sealed_size, &plain, &size, reterr);
                if (r < 0)
                        return r;

                if (json_object_set_new(ret, s->name, json_stringn(plain, size)) < 0)
                        return error_setf(
                                        reterr, CCP_ERROR_INTERNAL, "The secret '%s' is no text.", s->name);
                r = size > 0 ? strv_extend(&j->redact, plain) : 0;
                if (r < 0)
                        return error_set_errnof(reterr, r, "%m");
        }

        return 0;
}

/* The value of a parameter: what was recorded, or is among the secrets, or the default. */
static int parameter_value(const Job *j, const BlueprintParameter *p, const json_t *secrets, json_t **ret,
                Error *reterr) {
        const char *secret = p->secret ? json_object_get_string(secrets, p->name) : NULL, *text;
        json_t *recorded = json_object_get(job_instance(j)->parameters, p->name);

        if (recorded && !json_is_string(recorded)) {
                *ret = json_incref(recorded);
                return 0;
        }

        text = secret ?: json_string_value(recorded) ?: p->fallback;
        if (!text)
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                "The blueprint asks for the parameter '%s', which the instance does not "
                                "have.",
                                p->name);

        return parameter_parse_value(p, text, ret, reterr);
}

static int build_parameters(const Job *j, const json_t *secrets, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *o = json_object();
        int r;

        if (!o)
                return error_set_errnof(reterr, ENOMEM, "%m");

        FOREACH_ARRAY(p, j->blueprint->parameters, j->blueprint->n_parameters) {
                json_t *value = NULL;

                r = parameter_value(j, p, secrets, &value, reterr);
                if (r < 0)
                        return r;
                if (json_object_set_new(o, p->name, value) < 0)
                        return error_set_errnof(reterr, ENOMEM, "%m");
        }

        *ret = TAKE_PTR(o);
        return 0;
}

/* The record lists the features that are on; all others are off, whatever the blueprint's default. */
static int build_features(const Job *j, json_t **ret) {
        _cleanup_json_ json_t *o = json_object();

        if (!o)
                return -ENOMEM;

        FOREACH_ARRAY(f, j->blueprint->features, j->blueprint->n_features)
                if (json_object_set_new(o, f->name,
                                    json_boolean(strv_contains(job_instance(j)->features, f->name))) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(o);
        return 0;
}

static int build_ports(const Job *j, json_t **ret) {
        _cleanup_json_ json_t *o = json_object();

        if (!o)
                return -ENOMEM;

        FOREACH_ARRAY(p, job_instance(j)->ports, job_instance(j)->n_ports)
                if (json_object_set_new(o, p->name, json_integer(p->number)) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(o);
        return 0;
}

/* Only the secrets that the blueprint declares are secrets to its templates; others are parameters. */
static int build_secrets(const Job *j, const json_t *all, json_t **ret) {
        _cleanup_json_ json_t *o = json_object();

        if (!o)
                return -ENOMEM;

        FOREACH_ARRAY(s, j->blueprint->secrets, j->blueprint->n_secrets) {
                json_t *value = json_object_get(all, s->name);

                if (value && json_object_set(o, s->name, value) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(o);
        return 0;
}

/* The folder of the copied source tree; stays NULL if the instance has none. */
static int find_source(Job *j, char **ret, Error *reterr) {
        const char *target = j->blueprint->source.target ?: "source";
        _cleanup_close_ int folder = -EBADF, fd = -EBADF;

        folder = job_folder_open(j, reterr);
        if (folder < 0)
                return folder;

        fd = open_beneath(folder, target, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return 0;

        *ret = strjoin(j->directory, "/", target);
        return *ret ? 0 : error_set_errnof(reterr, ENOMEM, "%m");
}

int job_values_build(Job *j, Error *reterr) {
        const InstanceRecord *i = job_instance(j);
        _cleanup_json_ json_t *all = json_object(), *parameters = NULL, *features = NULL, *ports = NULL,
                              *secrets = NULL;
        _cleanup_free_ char *source = NULL;
        int r;

        if (j->values)
                return 0;
        if (!all)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = open_secrets(j, all, reterr);
        if (r >= 0)
                r = build_parameters(j, all, &parameters, reterr);
        if (r >= 0)
                r = find_source(j, &source, reterr);
        if (r < 0)
                return r;

        r = build_features(j, &features);
        if (r >= 0)
                r = build_ports(j, &ports);
        if (r >= 0)
                r = build_secrets(j, all, &secrets);
        if (r >= 0)
                r = features_to_profiles(j->blueprint, features, &j->profiles);
        if (r >= 0)
                r = context_make(
                                &(ContextInput) {
                                                .blueprint = j->blueprint,
                                                .id = i->id,
                                                .slug = i->slug,
                                                .name = i->name,
                                                .domain = strempty(i->domain),
                                                .revision = j->revision,
                                                .directory = j->directory,
                                                .source = source,
                                                .bind = i->bind_address,
                                                .subnet = &i->subnet,
                                                .ports = ports,
                                                .secrets = secrets,
                                                .parameters = parameters,
                                                .features = features,
                                },
                                &j->values);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot make the values for the templates: %m");

        json_decref(j->secrets);
        j->secrets = TAKE_PTR(all);

        return 0;
}
