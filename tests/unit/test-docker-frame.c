/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "docker-frame.h"
#include "string-util.h"
#include "test.h"

static const char frames[] = "\1\0\0\0\0\0\0\3out\2\0\0\0\0\0\0\4err\n\1\0\0\0\0\0\0\0\3\0\0\0\0\0\0\1!";
#define FRAMES_SIZE (sizeof(frames) - 1)

static int collect(DockerStream stream, const char *data, size_t size, void *userdata) {
        StringBuilder *b = userdata;

        string_builder_appendf(b, "%d", (int) stream);
        string_builder_append_n(b, data, size);
        return 0;
}

START_TEST(frames_are_told_apart) {
        _cleanup_string_builder_ StringBuilder b = {};
        FrameParser p = {};

        ASSERT_OK(frame_parser_feed(&p, frames, FRAMES_SIZE, collect, &b));
        ck_assert_str_eq(b.data, "1out2err\n3!");
        ck_assert(frame_parser_is_idle(&p));
}
END_TEST

START_TEST(frames_may_be_cut_anywhere) {
        for (size_t cut = 1; cut < FRAMES_SIZE; cut++) {
                _cleanup_string_builder_ StringBuilder b = {};
                FrameParser p = {};

                for (size_t i = 0; i < FRAMES_SIZE; i += cut)
                        ASSERT_OK(frame_parser_feed(&p, frames + i, MIN(cut, FRAMES_SIZE - i), collect, &b));
                ck_assert_ptr_nonnull(strchr(b.data, '!'));
                ck_assert(frame_parser_is_idle(&p));
        }
}
END_TEST

START_TEST(headers_that_lie_are_refused) {
        static const char *const headers[] = {
                "\4\0\0\0\0\0\0\1",
                "\1\1\0\0\0\0\0\1",
                "\1\0\0\1\0\0\0\1",
                "HTTP/1.1",
        };

        for (size_t i = 0; i < ELEMENTSOF(headers); i++) {
                _cleanup_string_builder_ StringBuilder b = {};
                FrameParser p = {};

                ASSERT_ERROR(frame_parser_feed(&p, headers[i], 8, collect, &b), EBADMSG);
        }
}
END_TEST

START_TEST(a_huge_size_needs_no_memory) {
        _cleanup_string_builder_ StringBuilder b = {};
        FrameParser p = {};

        ASSERT_OK(frame_parser_feed(&p,
                        "\1\0\0\0\xff\xff\xff\xff"
                        "abc",
                        11, collect, &b));
        ck_assert_str_eq(b.data, "1abc");
        ck_assert(!frame_parser_is_idle(&p));
}
END_TEST

TESTS("docker-frame", frames_are_told_apart, frames_may_be_cut_anywhere, headers_that_lie_are_refused,
                a_huge_size_needs_no_memory)
