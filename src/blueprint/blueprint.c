/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "blueprint.h"

#include <errno.h>
#include <fcntl.h>

#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"
#include "validate.h"

/* Folders of blueprints in one directory */
#define ENTRIES_MAX 1000U

static const char *const default_directories[] = { CCP_TEMPLATES_LOCAL_DIR, CCP_TEMPLATES_DIR, NULL };

static void commands_free(BlueprintCommand *commands, size_t n) {
        FOREACH_ARRAY(c, commands, n)
                strv_free(c->argv);
        free(commands);
}

static void files_free(BlueprintFile *files, size_t n) {
        FOREACH_ARRAY(f, files, n) {
                free(f->source);
                free(f->target);
        }
        free(files);
}

static void volumes_free(BlueprintVolume *volumes, size_t n) {
        FOREACH_ARRAY(v, volumes, n) {
                free(v->name);
                free(v->every);
        }
        free(volumes);
}

static void parameters_free(BlueprintParameter *parameters, size_t n) {
        FOREACH_ARRAY(p, parameters, n) {
                free(p->name);
                free(p->title);
                free(p->help);
                free(p->fallback);
                free(p->pattern);
                strv_free(p->values);
        }
        free(parameters);
}

static void services_free(BlueprintService *services, size_t n) {
        FOREACH_ARRAY(s, services, n) {
                free(s->name);
                free(s->feature);
                free(s->health.port);
                free(s->health.path);
                free(s->health.host);
                strv_free(s->health.command);
        }
        free(services);
}

static void state_done(BlueprintState *state) {
        FOREACH_ARRAY(d, state->databases, state->n_databases) {
                free(d->service);
                free(d->database);
                free(d->path);
                free(d->user);
                free(d->password);
        }
        free(state->databases);
        volumes_free(state->volumes, state->n_volumes);
}

Blueprint *blueprint_free(Blueprint *b) {
        if (!b)
                return NULL;

        FOREACH_ARRAY(f, b->features, b->n_features) {
                free(f->name);
                free(f->title);
                free(f->help);
                strv_free(f->profiles);
        }
        free(b->features);

        FOREACH_ARRAY(p, b->ports, b->n_ports) {
                free(p->name);
                free(p->range);
        }
        free(b->ports);

        FOREACH_ARRAY(s, b->secrets, b->n_secrets) {
                free(s->name);
                free(s->help);
                free(s->rotates);
        }
        free(b->secrets);

        parameters_free(b->parameters, b->n_parameters);
        files_free(b->files, b->n_files);
        files_free(b->statics, b->n_statics);
        services_free(b->services, b->n_services);
        state_done(&b->state);
        free(b->source.path);
        free(b->source.target);
        strv_free(b->source.exclude);
        free(b->upgrade.image_tag);
        commands_free(b->upgrade.before, b->upgrade.n_before);
        commands_free(b->upgrade.after, b->upgrade.n_after);
        free(b->folder);
        free(b->name);
        free(b->title);
        free(b->version);
        free(b->description);
        free(b->engine);
        free(b->compose);
        return mfree(b);
}

/* The last component of a path, without slashes behind it; a new string. */
static char *last_component(const char *path) {
        size_t n = strlen(path), begin;

        while (n > 0 && path[n - 1] == '/')
                n--;
        for (begin = n; begin > 0 && path[begin - 1] != '/';)
                begin--;

        return strndup(path + begin, n - begin);
}

int blueprint_load(const char *folder, bool local, Blueprint **ret, Error *reterr) {
        _cleanup_blueprint_ Blueprint *b = NULL;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *path = NULL, *text = NULL, *name = NULL;
        size_t size = 0;
        int r;

        path = strjoin(folder, "/", BLUEPRINT_FILE);
        name = last_component(folder);
        if (!path || !name)
                return -ENOMEM;

        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = fd < 0 ? -errno : read_file_beneath(fd, BLUEPRINT_FILE, BLUEPRINT_FILE_SIZE_MAX, &text, &size);
        if (IN_SET(r, -ENOENT, -ENOTDIR))
                return error_setf(reterr, CCP_ERROR_NO_SUCH_BLUEPRINT, "There is no file %s.", path);
        if (r < 0)
                return error_set_errnof(reterr, r, "The file %s can't be read: %m.", path);

        r = blueprint_parse(path, text, size, &b, NULL, reterr);
        if (r < 0)
                return r;

        if (!streq(b->name, name))
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                "%s:1:1: The blueprint calls itself %s, but its folder is %s; they must be "
                                "the same.",
                                path, b->name, TEXT_FOR_ERROR(name));

        b->local = local;
        b->folder = strdup(folder);
        if (!b->folder)
                return -ENOMEM;

        *ret = TAKE_PTR(b);
        return 0;
}

int blueprint_load_by_name(char *const *directories, const char *name, Blueprint **ret, Error *reterr) {
        char *const *list = directories ?: (char *const *) default_directories;
        int r;

        r = blueprint_name_validate(name, reterr);
        if (r < 0)
                return r;

        STRV_FOREACH(directory, list) {
                _cleanup_error_ Error error = {};
                _cleanup_free_ char *folder = NULL;

                folder = strjoin(*directory, "/", name);
                if (!folder)
                        return -ENOMEM;

                /* A copy that is there but broken hides the next one: going on with another version than the
                 * administrator's would be worse than failing. */
                r = blueprint_load(folder, directory == list, ret, &error);
                if (r >= 0)
                        return 0;
                if (!streq_ptr(error.name, CCP_ERROR_NO_SUCH_BLUEPRINT)) {
                        error_move(reterr, &error);
                        return r;
                }
        }

        return error_setf(reterr, CCP_ERROR_NO_SUCH_BLUEPRINT,
                        "There is no blueprint '%s'; 'ccpctl blueprint list' shows those that there are.",
                        name);
}

void blueprint_entries_free(BlueprintEntry *entries, size_t n) {
        FOREACH_ARRAY(e, entries, n) {
                free(e->name);
                free(e->folder);
                blueprint_free(e->blueprint);
                error_done(&e->error);
        }
        free(entries);
}

typedef struct EntryList {
        BlueprintEntry *entries;
        size_t n, n_allocated;
} EntryList;

static void entry_list_done(EntryList *list) {
        blueprint_entries_free(list->entries, list->n);
}

/* Loads one folder into the list, unless a folder of that name was there before. */
static int entry_list_add(EntryList *list, const char *directory, const char *name, bool local) {
        BlueprintEntry *e;
        int r;

        for (size_t i = 0; i < list->n; i++)
                if (streq(list->entries[i].name, name))
                        return 0;

        if (!GREEDY_REALLOC(list->entries, list->n_allocated, list->n + 1))
                return -ENOMEM;

        e = list->entries + list->n;
        *e = (BlueprintEntry) { .name = strdup(name), .folder = strjoin(directory, "/", name) };
        list->n++;
        if (!e->name || !e->folder)
                return -ENOMEM;

        r = blueprint_name_validate(name, &e->error);
        if (r >= 0)
                r = blueprint_load(e->folder, local, &e->blueprint, &e->error);

        return r == -ENOMEM ? r : 0;
}

static int entry_list_add_directory(EntryList *list, const char *directory, bool local) {
        _cleanup_closedir_ DIR *d = NULL;
        int r;

        d = opendir(directory);
        if (!d)
                return errno == ENOENT ? 0 : -errno;

        for (;;) {
                struct dirent *de;

                errno = 0;
                de = readdir(d);
                if (!de)
                        return -errno;
                if (de->d_name[0] == '.' || !IN_SET(de->d_type, DT_DIR, DT_LNK, DT_UNKNOWN))
                        continue;
                if (!string_is_safe(de->d_name))
                        continue;
                if (list->n >= ENTRIES_MAX)
                        return -E2BIG;

                r = entry_list_add(list, directory, de->d_name, local);
                if (r < 0)
                        return r;
        }
}

static int compare_entries(const void *a, const void *b) {
        return strcmp(((const BlueprintEntry *) a)->name, ((const BlueprintEntry *) b)->name);
}

int blueprint_list(char *const *directories, BlueprintEntry **ret, size_t *ret_n) {
        char *const *list = directories ?: (char *const *) default_directories;
        _cleanup_(entry_list_done) EntryList entries = {};
        int r;

        STRV_FOREACH(directory, list) {
                r = entry_list_add_directory(&entries, *directory, directory == list);
                if (r < 0)
                        return r;
        }

        if (entries.n > 0)
                qsort(entries.entries, entries.n, sizeof(BlueprintEntry), compare_entries);
        *ret_n = entries.n;
        *ret = TAKE_PTR(entries.entries);
        entries.n = 0;
        return 0;
}

int blueprint_read_text(const Blueprint *b, const char *name, char **ret, size_t *ret_size, Error *reterr) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        int r;

        fd = open(b->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = fd < 0 ? -errno : read_file_beneath(fd, name, BLUEPRINT_FILE_SIZE_MAX, &text, &size);
        switch (r) {
        case -ENOENT:
        case -ENOTDIR:
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID, "The file %s/%s is missing.",
                                b->folder, name);
        case -ELOOP:
        case -EXDEV:
        case -EISDIR:
        case -EBADFD:
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                "%s/%s must be an ordinary file, without links on the way.", b->folder,
                                name);
        case -EFBIG:
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                "The file %s/%s is larger than %u KiB.", b->folder, name,
                                BLUEPRINT_FILE_SIZE_MAX / 1024);
        default:
                if (r < 0)
                        return error_set_errnof(
                                        reterr, r, "The file %s/%s can't be read: %m.", b->folder, name);
        }

        assert(text);
        if (memchr(text, 0, size) || !utf8_is_valid(text, size))
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID, "The file %s/%s is no UTF-8 text.",
                                b->folder, name);

        if (ret_size)
                *ret_size = size;
        *ret = TAKE_PTR(text);
        return 0;
}

#define DEFINE_FIND(noun, type, array)                                            \
        const type *blueprint_find_##noun(const Blueprint *b, const char *name) { \
                FOREACH_ARRAY(i, b->array, b->n_##array)                          \
                        if (streq_ptr(i->name, name))                             \
                                return i;                                         \
                return NULL;                                                      \
        }                                                                         \
        struct _require_semicolon_

DEFINE_FIND(parameter, BlueprintParameter, parameters);
DEFINE_FIND(feature, BlueprintFeature, features);
DEFINE_FIND(port, BlueprintPort, ports);
DEFINE_FIND(secret, BlueprintSecret, secrets);
DEFINE_FIND(service, BlueprintService, services);
