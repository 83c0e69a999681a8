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
        check_next(&t, CONTAINER_PAUSED, CONTAINER_HEALTH_STARTING, 137, 4 * USEC_PER_SEC);
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
        ASSERT_OK(watch_table_set(&t, &list));
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
        watch_table_set_health(&t, &list);
        check_next(&t, CONTAINER_RUNNING, CONTAINER_HEALTH_STARTING, -1, 1 * USEC_PER_SEC);

        /* It came later than the events that followed. */
        ASSERT_OK(apply_health(&t, "a", CONTAINER_HEALTH_HEALTHY));
        watch_table_set_health(&t, &list);
        check_next(&t, CONTAINER_RUNNING, CONTAINER_HEALTH_HEALTHY, -1, 1 * USEC_PER_SEC);
        ASSERT_OK(apply(&t, DOCKER_EVENT_DIE, "a", 2));
        watch_table_set_health(&t, &list);
        check_next(&t, CONTAINER_EXITED, CONTAINER_HEALTH_NONE, 137, 2 * USEC_PER_SEC);
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
                a_later_look_only_tells_of_a_healthcheck, what_is_no_instances_is_passed_over)
