/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-df.h"
#include "string-util.h"
#include "test.h"

#define ID "11111111-1111-1111-1111-111111111111"

static int parse(const char *text, DockerDf *ret) {
        _cleanup_json_ json_t *json = json_loads(text, 0, NULL);

        ck_assert_msg(json != NULL, "%s", text);
        return docker_df_from_json(json, ret);
}

START_TEST(what_bears_our_labels_counts) {
        _cleanup_docker_df_ DockerDf df = {};

        ASSERT_OK(parse("{\"Volumes\": ["
                        "{\"Name\": \"a_ccp_data\", \"Labels\": {\"ccp.id\": \"" ID
                        "\", \"com.docker.compose.volume\": \"data\"}, \"UsageData\": {\"Size\": 10, "
                        "\"RefCount\": 1}},"
                        "{\"Name\": \"other\", \"Labels\": null, \"UsageData\": {\"Size\": 99}},"
                        "{\"Name\": \"unmeasured\", \"Labels\": {\"ccp.id\": \"" ID
                        "\"}, \"UsageData\": {\"Size\": -1}},"
                        "{\"Name\": \"by-name\", \"Labels\": {\"ccp.id\": \"" ID
                        "\"}, \"UsageData\": {\"Size\": 0}}],"
                        "\"Containers\": ["
                        "{\"Id\": \"x\", \"Labels\": {\"ccp.id\": \"" ID
                        "\", \"ccp.service\": \"web\"}, \"SizeRw\": 20},"
                        "{\"Id\": \"y\", \"Labels\": {\"ccp.id\": \"" ID "\", \"ccp.service\": \"db\"}}],"
                        "\"Images\": [{}]}",
                        &df));
        ck_assert_uint_eq(df.n, 4);
        ck_assert_str_eq(df.items[0].name, "data");
        ck_assert_str_eq(df.items[0].instance, ID);
        ck_assert_uint_eq(df.items[0].bytes, 10);
        ck_assert_int_eq(df.items[0].kind, DOCKER_VOLUME);
        ck_assert_str_eq(df.items[1].name, "by-name");
        ck_assert_str_eq(df.items[2].name, "web");
        ck_assert_uint_eq(df.items[2].bytes, 20);
        ck_assert_int_eq(df.items[2].kind, DOCKER_CONTAINER);
        ck_assert_uint_eq(df.items[3].bytes, 0);
}
END_TEST

START_TEST(lists_may_be_missing_but_not_wrong) {
        _cleanup_docker_df_ DockerDf df = {};

        ASSERT_OK(parse("{}", &df));
        ASSERT_OK(parse("{\"Volumes\": null, \"Containers\": []}", &df));
        ck_assert_uint_eq(df.n, 0);
        ASSERT_ERROR(parse("[]", &df), EBADMSG);
        ASSERT_ERROR(parse("{\"Volumes\": {}}", &df), EBADMSG);
        /* An item that is none is passed over, as those of others are. */
        ASSERT_OK(parse("{\"Volumes\": [1, null, \"x\", {\"Labels\": {\"ccp.id\": 1}}]}", &df));
        ck_assert_uint_eq(df.n, 0);
}
END_TEST

TESTS("docker-df", what_bears_our_labels_counts, lists_may_be_missing_but_not_wrong)
