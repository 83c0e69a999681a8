/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "s3-xml.h"

#include "alloc-util.h"
#include "test.h"

/* The events as text: "+path" for an element that begins, "-path=text" for one that ends. NULL if it is no XML. */
static char *walk(const char *data, size_t size) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_s3_xml_ S3XmlReader x = {};
        char *text;
        int r;

        if (s3_xml_init(&x, data, size) < 0)
                return NULL;
        while ((r = s3_xml_next(&x)) > 0)
                if (r == S3_XML_OPEN)
                        string_builder_appendf(&b, "+%s ", x.path);
                else
                        string_builder_appendf(&b, "-%s%s%s ", x.path, s3_xml_text(&x) ? "=" : "",
                                        strempty(s3_xml_text(&x)));
        if (r < 0)
                return NULL;
        ASSERT_OK(string_builder_finish(&b, &text, NULL));
        return text;
}

START_TEST(what_is_read) {
        static const struct {
                const char *xml, *events;
        } cases[] = {
                { "<a/>", "+a -a= " },
                { "<a></a>", "+a -a= " },
                { "<a >x</a >", "+a -a=x " },
                { "<a> x </a>", "+a -a= x  " },
                { "\xEF\xBB\xBF<?xml version=\"1.0\" encoding='UTF-8'?>\r\n<a/>\n", "+a -a= " },
                { "  \n<?xml version=\"1.0\"?>    \n  <a/>", "+a -a= " },
                { "<a xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\" x = '>'><b/></a>",
                                "+a +a/b -a/b= -a " },
                { "<a>\n <b>1</b>\n <c><d>2</d></c> </a>", "+a +a/b -a/b=1 +a/c +a/c/d -a/c/d=2 -a/c -a " },
                { "<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&#xe4;&#8364;&#x1F600;&#1;</a>",
                                "+a -a=<>&\"'AB\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\x01 " },
                { "<a>x<![CDATA[<&amp;>]]]]>&lt;<![CDATA[]]></a>", "+a -a=x<&amp;>]]< " },
                { "<a.b-c_1/>", "+a.b-c_1 -a.b-c_1= " },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *events = walk(c->xml, strlen(c->xml));

                ck_assert_msg(!!events, "%s", c->xml);
                ck_assert_str_eq(events, c->events);
        }
}
END_TEST

START_TEST(what_is_refused) {
        static const char *const cases[] = { "", " ", "x", "<", "<a", "<a>", "<a/", "</a>", "<a></b>",
                "<a><b></a></b>", "<a/><b/>", "<a/>x", "x<a/>", "<a>x<b/></a>", "<a><b/>x</a>", "< a/>",
                "<1/>", "<a b/>", "<a b=c/>", "<a b=\"<\"/>", "<a b=\"c/>", "<a b='1'c='2'/>",
                "<a>&nbsp;</a>", "<a>&</a>", "<a>&amp</a>", "<a>&;</a>", "<a>&#0;</a>", "<a>&#xD800;</a>",
                "<a>&#x110000;</a>", "<a>&#-1;</a>", "<a>&# 1;</a>", "<a>&#x;</a>", "<a>&#;</a>",
                "<a>&#99999999999;</a>", "<!DOCTYPE a><a/>", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
                "<a><!-- b --></a>", "<a><![CDATA[b</a>", "<a><![CDATA[b]></a>", "<a><b/><![CDATA[c]]></a>",
                "<a><![cdata[b]]></a>", "<![CDATA[a]]>", "<a><?b?></a>", "<?xml version=\"1.0\"><a/>",
                "<?xml version=\"1.0\"?>", "<a>\x01</a>", "<a>\xFF</a>", "<a>\xC0\x80</a>", "<a/b>",
                "<a / >" };
        _cleanup_free_ char *nul = walk("<a>\0</a>", 8);

        ck_assert_ptr_null(nul);
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *events = walk(*c, strlen(*c));

                ck_assert_msg(!events, "%s: %s", *c, events);
        }
}
END_TEST

START_TEST(bounds) {
        _cleanup_free_ char *deep = walk("<a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a>", 53),
                            *deeper = walk("<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>",
                                            60);
        _cleanup_free_ char *xml = malloc(S3_XML_TEXT_MAX + 64), *fits = NULL, *long_text = NULL,
                            *long_name = NULL;
        char name[S3_XML_PATH_MAX + 16];
        size_t n;

        ck_assert_ptr_nonnull(deep);
        ck_assert_ptr_null(deeper);

        ck_assert_ptr_nonnull(xml);
        for (size_t extra = 0; extra < 2; extra++) {
                memcpy(xml, "<a>", 3);
                n = 3;
                memset(xml + n, 'x', S3_XML_TEXT_MAX + extra);
                n += S3_XML_TEXT_MAX + extra;
                memcpy(xml + n, "</a>", 5);
                *(extra == 0 ? &fits : &long_text) = walk(xml, n + 4);
        }
        ck_assert_ptr_nonnull(fits);
        ck_assert_ptr_null(long_text);

        memset(name, 'x', sizeof(name));
        name[0] = '<';
        memcpy(name + sizeof(name) - 3, "/>", 3);
        long_name = walk(name, strlen(name));
        ck_assert_ptr_null(long_name);
}
END_TEST

TESTS("s3-xml", what_is_read, what_is_refused, bounds)
