/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A blueprint: what blueprint.yaml says, checked and with its defaults filled in. ccp-blueprint(5) explains
 * each key. All pointers belong to the Blueprint; strings are UTF-8; absent ones are NULL unless said. */

#include "error.h"
#include "policy-rule.h"
#include "resource-limits.h"
#include "secret-alphabet.h"
#include "strv.h"
#include "time-util.h"

#define BLUEPRINT_FILE "blueprint.yaml"
#define BLUEPRINT_FILE_SIZE_MAX (1024U * 1024U) /* blueprint.yaml and each template */
#define BLUEPRINT_STATIC_SIZE_MAX (64U * 1024U * 1024U)
#define BLUEPRINT_OVERRIDE_FILE "ccp.override.yml" /* ccpd's own file beside the compose file */
#define BLUEPRINT_COPY_FILE ".ccp-blueprint.yaml"  /* its own text, kept with each revision */
#define PARAMETER_VALUE_MAX (64U * 1024U)

typedef enum ParameterType {
        PARAMETER_STRING,
        PARAMETER_INTEGER,
        PARAMETER_BOOLEAN,
        PARAMETER_ENUM,
        _PARAMETER_TYPE_MAX,
        _PARAMETER_TYPE_INVALID = -EINVAL,
} ParameterType;
DECLARE_STRING_TABLE(parameter_type, ParameterType);

/* The page of the interactive create that asks for a parameter */
typedef enum ParameterGroup {
        PARAMETER_GROUP_GENERAL,
        PARAMETER_GROUP_EMAIL,
        PARAMETER_GROUP_TUNNEL,
        _PARAMETER_GROUP_MAX,
        _PARAMETER_GROUP_INVALID = -EINVAL,
} ParameterGroup;
DECLARE_STRING_TABLE(parameter_group, ParameterGroup);

typedef enum FileFormat {
        FILE_FORMAT_YAML,
        FILE_FORMAT_DOTENV,
        FILE_FORMAT_JSON,
        FILE_FORMAT_NGINX,
        FILE_FORMAT_INI,
        FILE_FORMAT_TEXT,
        _FILE_FORMAT_MAX,
        _FILE_FORMAT_INVALID = -EINVAL,
} FileFormat;
DECLARE_STRING_TABLE(file_format, FileFormat);

typedef enum ServiceKind {
        SERVICE_KIND_SERVICE,
        SERVICE_KIND_ONESHOT,
        SERVICE_KIND_OPTIONAL,
        _SERVICE_KIND_MAX,
        _SERVICE_KIND_INVALID = -EINVAL,
} ServiceKind;
DECLARE_STRING_TABLE(service_kind, ServiceKind);

typedef enum ServiceStage {
        SERVICE_STAGE_INFRASTRUCTURE,
        SERVICE_STAGE_APPLICATION,
        SERVICE_STAGE_REST,
        _SERVICE_STAGE_MAX,
        _SERVICE_STAGE_INVALID = -EINVAL,
} ServiceStage;
DECLARE_STRING_TABLE(service_stage, ServiceStage);

typedef enum HealthType {
        HEALTH_TYPE_CONTAINER,
        HEALTH_TYPE_HTTP,
        HEALTH_TYPE_HTTPS,
        HEALTH_TYPE_TCP,
        HEALTH_TYPE_COMMAND,
        _HEALTH_TYPE_MAX,
        _HEALTH_TYPE_INVALID = -EINVAL,
} HealthType;
DECLARE_STRING_TABLE(health_type, HealthType);

typedef enum DatabaseKind {
        DATABASE_POSTGRESQL,
        DATABASE_MYSQL,
        DATABASE_MARIADB,
        DATABASE_MONGODB,
        DATABASE_REDIS,
        DATABASE_SQLITE,
        _DATABASE_KIND_MAX,
        _DATABASE_KIND_INVALID = -EINVAL,
} DatabaseKind;
DECLARE_STRING_TABLE(database_kind, DatabaseKind);

typedef struct BlueprintParameter {
        char *name, *title, *help;
        ParameterType type;
        ParameterGroup group;
        char *fallback; /* the key "default", as text; never NULL unless 'required' */
        char *pattern;
        char **values; /* of an enum */
        int64_t minimum, maximum;
        uint64_t max_length; /* bytes */
        bool required, raw, multiline, secret;
} BlueprintParameter;

typedef struct BlueprintFeature {
        char *name, *title, *help;
        char **profiles; /* of compose */
        bool fallback;   /* the key "default" */
} BlueprintFeature;

typedef struct BlueprintPort {
        char *name;
        char *range; /* "FIRST-LAST" or the name of a range of the settings */
} BlueprintPort;

typedef struct BlueprintSecret {
        char *name, *help, *rotates;
        uint64_t length;
        SecretAlphabet alphabet;
} BlueprintSecret;

typedef struct BlueprintFile {
        char *source; /* in the blueprint's folder: the key "template", or "file" of a static one */
        char *target; /* in the revision's folder */
        FileFormat format;
        mode_t mode;
} BlueprintFile;

typedef struct BlueprintHealth {
        HealthType type;
        char *port;      /* name of one of 'ports' */
        char *path;      /* http and https, default "/" */
        uint64_t status; /* http and https, default 200 */
        char *host;      /* http: Host header; https: that of the certificate too; a template */
        char **command;
        uint64_t failures;  /* so many failed probes in a row make it unhealthy */
        uint64_t successes; /* so many good ones make it healthy again */
} BlueprintHealth;

typedef struct BlueprintService {
        char *name;
        ServiceKind kind;
        ServiceStage stage;
        char *feature;
        usec_t timeout;
        BlueprintHealth health;
} BlueprintService;

typedef struct BlueprintDatabase {
        char *service;
        DatabaseKind kind;
        char *database, *user, *password; /* password: name of a secret */
        char *path;                       /* of the file in the container; of SQLite's alone */
} BlueprintDatabase;

typedef struct BlueprintVolume {
        char *name;
        char *every;
} BlueprintVolume;

typedef struct BlueprintCommand {
        char **argv;
} BlueprintCommand;

typedef struct BlueprintSource {
        char *path, *target; /* path NULL: the blueprint has no source tree */
        char **exclude;
        bool required;
} BlueprintSource;

/* What a backup holds */
typedef struct BlueprintState {
        BlueprintDatabase *databases;
        size_t n_databases;
        BlueprintVolume *volumes;
        size_t n_volumes;
} BlueprintState;

typedef struct BlueprintUpgrade {
        char *image_tag; /* name of a parameter */
        BlueprintCommand *before;
        size_t n_before;
        BlueprintCommand *after;
        size_t n_after;
        bool backup;
} BlueprintUpgrade;

typedef struct Blueprint {
        char *folder; /* as it was given */
        bool local;   /* from the administrator's own folder: 'allow' counts */

        char *name, *title, *version, *description, *engine;
        char *compose; /* target of the compose file */

        BlueprintParameter *parameters;
        size_t n_parameters;
        BlueprintFeature *features;
        size_t n_features;
        BlueprintPort *ports;
        size_t n_ports;
        BlueprintSecret *secrets;
        size_t n_secrets;
        BlueprintFile *files; /* in the order in which they are rendered */
        size_t n_files;
        BlueprintFile *statics;
        size_t n_statics;

        BlueprintSource source;

        BlueprintService *services;
        size_t n_services;

        BlueprintState state;

        BlueprintUpgrade upgrade;

        ResourceLimits limits;
        PolicyRules allow;
} Blueprint;

Blueprint *blueprint_free(Blueprint *b);
DEFINE_CLEANUP_FUNC(Blueprint *, blueprint_free);
#define _cleanup_blueprint_ _cleanup_(blueprint_freep)

/* Reads FOLDER/blueprint.yaml. The folder's last component must be the blueprint's name. 'local': it is the
 * administrator's own copy. Fails with NoSuchBlueprint or BlueprintInvalid; the sentence is that of the first
 * problem and tells how many more there are. */
int blueprint_load(const char *folder, bool local, Blueprint **ret, Error *reterr);
/* The same without a folder: 'path' is what the file is called in sentences, and nothing is checked that
 * needs the other files. With ret_problems it does not stop at the first problem but gives them all, each as
 * "PATH:LINE:COLUMN: sentence" (NULL if there are none). */
int blueprint_parse(const char *path, const char *text, size_t size, Blueprint **ret, char ***ret_problems,
                Error *reterr);

/* Where blueprints are looked for: NULL stands for /etc/ccpd/templates and /usr/share/ccpd/templates. The
 * first is the administrator's own; one there hides one of the same name in the second, even while it is
 * broken. */
int blueprint_load_by_name(char *const *directories, const char *name, Blueprint **ret, Error *reterr);

typedef struct BlueprintEntry {
        char *name; /* of the folder */
        char *folder;
        Blueprint *blueprint; /* NULL: it could not be loaded, and the error says why */
        Error error;
} BlueprintEntry;

void blueprint_entries_free(BlueprintEntry *entries, size_t n);
/* All of them, sorted by name, the broken ones too. A directory that does not exist is empty. */
int blueprint_list(char *const *directories, BlueprintEntry **ret, size_t *ret_n);

/* Reads a file of the blueprint's folder as text; a NUL in it, or links on the way, are refused. */
int blueprint_read_text(const Blueprint *b, const char *name, char **ret, size_t *ret_size, Error *reterr);

const BlueprintParameter *blueprint_find_parameter(const Blueprint *b, const char *name);
const BlueprintFeature *blueprint_find_feature(const Blueprint *b, const char *name);
const BlueprintPort *blueprint_find_port(const Blueprint *b, const char *name);
const BlueprintSecret *blueprint_find_secret(const Blueprint *b, const char *name);
const BlueprintService *blueprint_find_service(const Blueprint *b, const char *name);

/* The rules that this blueprint is excepted from: its 'allow', if it is a local one. */
static inline PolicyRules blueprint_exceptions(const Blueprint *b) {
        return b->local ? b->allow : 0;
}

/* Every key that blueprint.yaml may have, as "parameters.NAME.default", "files[].mode"; NULL when out of
 * memory. */
char **blueprint_known_keys(void);
