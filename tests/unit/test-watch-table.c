/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "string-util.h"
#include "test.h"
#include "watch-table.h"

#define SECOND 1000000000ULL

static DockerEvent event(DockerEventType type, const char *id, uint64_t second) {
        return (DockerEvent) {
                .type = type,
                .container = (char *) id,
                .instance = (char *) "demo",
                .uuid = (char *) "u1",
                .service = (char *) "web",
                .exit_code = type == DOCKER_EVENT_DIE ? 137 : -1,
                .time_nsec = second * SECOND,
        };
}

static int apply(WatchTable *t, DockerEventType type, const char *id, uint64_t second) {
        DockerEvent e = event(type, id, second);

        return watch_table_apply(t, &e);
}

static int apply_health(WatchTable *t, const char *id, ContainerHealth health) {
        DockerEvent e = event(DOCKER_EVENT_HEALTH, id, 0);

        e.health = health;
        return watch_table_apply(t, &e);
}

static DockerObject object(const char *id, ContainerState state, ContainerHealth health) {
        return (DockerObject) {
                .id = (char *) id,
                .instance = (char *) "demo",
                .uuid = (char *) "u1",
                .service = (char *) "web",
                .state = state,
                .health = health,
                .exit_code = -1,
                .since = 42,
        };
}

/* Takes the only thing that is to be sent. */
static void check_next(
                WatchTable *t, ContainerState state, ContainerHealth health, int exit_code, usec_t since) {
        WatchContainer *c = watch_table_next(t);

        ck_assert_ptr_nonnull(c);
        ck_assert_int_eq(c->state, state);
        ck_assert_int_eq(c->health, health);
        ck_assert_int_eq(c->exit_code, exit_code);
        ck_assert_uint_eq(c->since, since);
        watch_table_sent(t, c);
        ck_assert_ptr_null(watch_table_next(t));
}

START_TEST(a_life_is_told_in_states) {
        _cleanup_(watch_table_done) WatchTable t = {};

        ck_assert_int_eq(apply(&t, DOCKER_EVENT_CREATE, "a", 1), 0);
        check_next(&t, CONTAINER_CREATED, CONTAINER_HEALTH_NONE, -1, 1 * USEC_PER_SEC);
        /* Whether it has a healthcheck is not known yet. */
        ck_assert_int_eq(apply(&t, DOCKER_EVENT_START, "a", 2), 1);
        check_next(&t, CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, -1, 2 * USEC_PER_SEC);
        ASSERT_OK(apply_health(&t, "a", CONTAINER_HEALTH_HEALTHY));
        check_next(&t, CONTAINER_RUNNING, CONTAINER_HEALTH_HEALTHY, -1, 2 * USEC_PER_SEC);
        ASSERT_OK(apply(&t, DOCKER_EVENT_OOM, "a", 3));
        ck_assert_ptr_null(watch_table_next(&t));
        ASSERT_OK(apply(&t, DOCKER_EVENT_DIE, "a", 3));
        check_next(&t, CONTAINER_EXITED, CONTAINER_HEALTH_NONE, 137, 3 * USEC_PER_SEC);
        ck_assert_int_eq(apply(&t, DOCKER_EVENT_START, "a", 4), 0);
        check_next(&t, CONTAINER_RUNNING, CONTAINER_HEALTH_STARTING, 137, 4 * USEC_PER_SEC);
        ASSERT_OK(apply(&t, DOCKER_EVENT_PAUSE, "a", 5));
        check_next(&t, CONTAINER_PAUSED, CONTAINER_HEALTH_STARTING, 137, 5 * USEC_PER_SEC);
        ASSERT_OK(apply(&t, DOCKER_EVENT_DESTROY, "a", 6));
        ck_assert_uint_eq(watch_table_size(&t), 1);
        check_next(&t, CONTAINER_REMOVED, CONTAINER_HEALTH_NONE, 137, 6 * USEC_PER_SEC);
        ck_assert_uint_eq(watch_table_size(&t), 0);
}
END_TEST

START_TEST(changes_that_were_not_sent_become_one) {
        _cleanup_(watch_table_done) WatchTable t = {};

        for (unsigned i = 0; i < 100; i++) {
                ASSERT_OK(apply(&t, DOCKER_EVENT_START, "a", i));
                ASSERT_OK(apply(&t, DOCKER_EVENT_DIE, "a", i));
        }
        check_next(&t, CONTAINER_EXITED, CONTAINER_HEALTH_NONE, 137, 99 * USEC_PER_SEC);
}
END_TEST

START_TEST(a_list_replaces_all) {
        _cleanup_(watch_table_done) WatchTable t = {};
        DockerObject items[] = {
                object("a", CONTAINER_RUNNING, CONTAINER_HEALTH_HEALTHY),
                object("c", CONTAINER_RUNNING, CONTAINER_HEALTH_STARTING),
        };
        DockerObjects list = { items, ELEMENTSOF(items) };
        unsigned n = 0;

        ASSERT_OK(apply(&t, DOCKER_EVENT_START, "a", 7));
        ASSERT_OK(apply(&t, DOCKER_EVENT_START, "b", 8));
        ASSERT_OK(watch_table_set(&t, &list, 50));
        ck_assert_uint_eq(watch_table_size(&t), 2);

        for (WatchContainer *c = watch_table_next(&t); c; c = watch_table_next(&t)) {
                /* The event told the time exactly, the list does not. */
                ck_assert_uint_eq(c->since, streq(c->id, "a") ? 7 * USEC_PER_SEC : 42);
                ck_assert(c->has_healthcheck);
                watch_table_sent(&t, c);
                n++;
        }
        ck_assert_uint_eq(n, 2);
}
END_TEST

START_TEST(a_later_look_only_tells_of_a_healthcheck) {
        _cleanup_(watch_table_done) WatchTable t = {};
        DockerObject item = object("a", CONTAINER_RUNNING, CONTAINER_HEALTH_STARTING);
        DockerObjects list = { &item, 1 };

        ASSERT_OK(apply(&t, DOCKER_EVENT_START, "a", 1));
        watch_table_set_details(&t, &list);
        check_next(&t, CONTAINER_RUNNING, CONTAINER_HEALTH_STARTING, -1, 1 * USEC_PER_SEC);

        /* It came later than the events that followed. */
        ASSERT_OK(apply_health(&t, "a", CONTAINER_HEALTH_HEALTHY));
        watch_table_set_details(&t, &list);
        check_next(&t, CONTAINER_RUNNING, CONTAINER_HEALTH_HEALTHY, -1, 1 * USEC_PER_SEC);
        ASSERT_OK(apply(&t, DOCKER_EVENT_DIE, "a", 2));
        watch_table_set_details(&t, &list);
        check_next(&t, CONTAINER_EXITED, CONTAINER_HEALTH_NONE, 137, 2 * USEC_PER_SEC);
}
END_TEST

static const WatchContainer *run(WatchTable *t, const DockerEventType *types, size_t n) {
        for (size_t i = 0; i < n; i++)
                ASSERT_OK(apply(t, types[i], "a", i + 1));
        ck_assert_ptr_nonnull(watch_table_next(t));
        return watch_table_next(t);
}

START_TEST(only_restarts_that_nobody_asked_for_count) {
        static const DockerEventType types[] = {
                DOCKER_EVENT_START, DOCKER_EVENT_DIE, DOCKER_EVENT_START,   /* by the Engine */
                DOCKER_EVENT_DIE, DOCKER_EVENT_STOP, DOCKER_EVENT_START,    /* docker restart */
                DOCKER_EVENT_RESTART, DOCKER_EVENT_DIE, DOCKER_EVENT_START, /* by the Engine */
        };
        _cleanup_(watch_table_done) WatchTable t = {};
        const WatchContainer *c = run(&t, types, ELEMENTSOF(types));

        ck_assert_uint_eq(c->n_restarts, 2);
        ck_assert_uint_eq(c->started, ELEMENTSOF(types) * USEC_PER_SEC);
}
END_TEST

START_TEST(want_of_memory_is_remembered_up_to_the_next_start) {
        static const DockerEventType types[] = { DOCKER_EVENT_START, DOCKER_EVENT_OOM, DOCKER_EVENT_DIE };
        _cleanup_(watch_table_done) WatchTable t = {};
        const WatchContainer *c = run(&t, types, ELEMENTSOF(types));

        ck_assert(c->oom);
        ck_assert_uint_eq(c->started, USEC_PER_SEC);
        ASSERT_OK(apply(&t, DOCKER_EVENT_START, "a", 9));
        ck_assert(!c->oom);
        ck_assert_uint_eq(c->n_restarts, 1);
}
END_TEST

START_TEST(a_run_that_a_list_does_not_know_began_anew) {
        _cleanup_(watch_table_done) WatchTable t = {};
        DockerObject item = object("a", CONTAINER_RUNNING, CONTAINER_HEALTH_NONE);
        DockerObjects list = { &item, 1 };
        const WatchContainer *c;

        ASSERT_OK(apply(&t, DOCKER_EVENT_START, "a", 1000));
        c = watch_table_next(&t);
        /* "About an hour", of 59 minutes: the event told more. */
        item.since = 1060 * USEC_PER_SEC;
        ASSERT_OK(watch_table_set(&t, &list, 4660 * USEC_PER_SEC));
        ck_assert_uint_eq(c->since, 1000 * USEC_PER_SEC);
        /* "10 seconds": the Engine was restarted, and nobody saw it. */
        item.since = 4660 * USEC_PER_SEC;
        ASSERT_OK(watch_table_set(&t, &list, 4670 * USEC_PER_SEC));
        ck_assert_uint_eq(c->since, 4660 * USEC_PER_SEC);
        ck_assert_uint_eq(c->started, 4660 * USEC_PER_SEC);
}
END_TEST

START_TEST(images_come_from_events_and_lists) {
        _cleanup_(watch_table_done) WatchTable t = {};
        DockerObject item = object("a", CONTAINER_RUNNING, CONTAINER_HEALTH_NONE);
        DockerObjects list = { &item, 1 };
        DockerEvent e = event(DOCKER_EVENT_START, "a", 1);
        const WatchContainer *c;

        e.image = (char *) "busybox:1.37";
        item.image_id = (char *) "sha256:abc";
        ck_assert_int_eq(watch_table_apply(&t, &e), 1);
        c = watch_table_next(&t);
        ck_assert_str_eq(c->image, "busybox:1.37");
        ck_assert_ptr_null(c->image_id);
        /* One look is on its way; when it failed, the next start asks for another. */
        ASSERT_OK(apply(&t, DOCKER_EVENT_DIE, "a", 2));
        ck_assert_int_eq(apply(&t, DOCKER_EVENT_START, "a", 3), 0);
        watch_table_set_details(&t, NULL);
        ck_assert_int_eq(apply(&t, DOCKER_EVENT_START, "a", 4), 1);
        watch_table_set_details(&t, &list);
        ck_assert_str_eq(c->image_id, "sha256:abc");
        ck_assert_int_eq(apply(&t, DOCKER_EVENT_START, "a", 5), 0);
}
END_TEST

START_TEST(what_is_no_instances_is_passed_over) {
        _cleanup_(watch_table_done) WatchTable t = {};
        DockerEvent e = event(DOCKER_EVENT_START, "a", 1);

        e.oneoff = true;
        ASSERT_OK(watch_table_apply(&t, &e));
        e = event(DOCKER_EVENT_START, "a", 1);
        e.service = NULL;
        ASSERT_OK(watch_table_apply(&t, &e));
        e = event(DOCKER_EVENT_START, "a", 1);
        e.uuid = (char *) "";
        ASSERT_OK(watch_table_apply(&t, &e));
        ASSERT_OK(apply(&t, DOCKER_EVENT_DESTROY, "never-seen", 1));
        ck_assert_uint_eq(watch_table_size(&t), 0);
}
END_TEST

TESTS("watch-table", a_life_is_told_in_states, changes_that_were_not_sent_become_one, a_list_replaces_all,
                a_later_look_only_tells_of_a_healthcheck, only_restarts_that_nobody_asked_for_count,
                want_of_memory_is_remembered_up_to_the_next_start,
                a_run_that_a_list_does_not_know_began_anew, images_come_from_events_and_lists,
                what_is_no_instances_is_passed_over)
