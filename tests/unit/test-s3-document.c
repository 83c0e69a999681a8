/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "s3-document.h"

#include <errno.h>

#include "alloc-util.h"
#include "string-util.h"
#include "test.h"

#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

START_TEST(listings) {
        static const char xml[] =
                        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult" NS
                        "><Name>backups</Name>"
                        "<Prefix/><KeyCount>2</KeyCount><IsTruncated>true</IsTruncated>"
                        "<NextContinuationToken>1ueGcx/&amp;=</NextContinuationToken>"
                        "<Contents><Key>a/b&amp;c</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>"
                        "<ETag>&quot;x&quot;</ETag><Size>434234</Size><StorageClass>STANDARD</StorageClass>"
                        "<Owner><ID>1</ID><DisplayName>Size</DisplayName></Owner></Contents>\n"
                        "<Contents><Size>0</Size><LastModified>1970-01-01T00:00:01Z</LastModified><Key>c</"
                        "Key>"
                        "</Contents><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>";
        static const char end[] = "<ListBucketResult><IsTruncated>false</IsTruncated>"
                                  "<NextContinuationToken>x</NextContinuationToken></ListBucketResult>";
        _cleanup_s3_listing_ S3Listing l = {}, last = {};

        ASSERT_OK(s3_listing_parse(xml, strlen(xml), &l));
        ck_assert_uint_eq(l.n_objects, 2);
        ck_assert_str_eq(l.objects[0].key, "a/b&c");
        ck_assert_uint_eq(l.objects[0].size, 434234);
        ck_assert_uint_eq(l.objects[0].last_modified, 1255369830 * USEC_PER_SEC);
        ck_assert_str_eq(l.objects[1].key, "c");
        ck_assert_uint_eq(l.objects[1].last_modified, USEC_PER_SEC);
        ck_assert_str_eq(l.next, "1ueGcx/&=");

        ASSERT_OK(s3_listing_parse(end, strlen(end), &last));
        ck_assert_uint_eq(last.n_objects, 0);
        ck_assert_ptr_null(last.next);
}
END_TEST

START_TEST(listings_that_are_none) {
        static const char *const cases[] = { "<Error><Code>x</Code></Error>", "<ListBucketResults/>",
                "<html/>",
                /* cut, and no word of how to go on */
                "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
                "<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>",
                "<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>",
                "<ListBucketResult><Contents><Key/><Size>1</Size><LastModified>2009-10-12T17:50:30.000Z"
                "</LastModified></Contents></ListBucketResult>",
                "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
                "<ListBucketResult><Contents><Key>a</Key><Size>99999999999999999999</Size></Contents>"
                "</ListBucketResult>",
                "<ListBucketResult><Contents><Key>a</Key><Size/></Contents></ListBucketResult>",
                "<ListBucketResult><Contents><LastModified>yesterday</LastModified></Contents></"
                "ListBucketResult>" };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_s3_listing_ S3Listing l = {};

                ck_assert_msg(s3_listing_parse(*c, strlen(*c), &l) == -EBADMSG, "%s", *c);
                ck_assert_ptr_null(l.objects);
        }
}
END_TEST

START_TEST(uploads) {
        static const char xml[] =
                        "<ListMultipartUploadsResult" NS
                        "><Bucket>backups</Bucket><NextKeyMarker>k</NextKeyMarker>"
                        "<NextUploadIdMarker>u</NextUploadIdMarker><IsTruncated>true</IsTruncated><Upload>"
                        "<Key>a</Key><UploadId>id==</UploadId><Initiated>2010-11-10T20:48:33.000Z</"
                        "Initiated>"
                        "<Owner><ID>1</ID></Owner></Upload></ListMultipartUploadsResult>";
        static const char incomplete[] =
                        "<ListMultipartUploadsResult><Upload><Key>a</Key><UploadId>i</UploadId>"
                        "</Upload></ListMultipartUploadsResult>";
        static const char cut[] = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
                                  "</ListMultipartUploadsResult>";
        _cleanup_s3_uploads_ S3Uploads l = {}, none = {};

        ASSERT_OK(s3_uploads_parse(xml, strlen(xml), &l));
        ck_assert_uint_eq(l.n_uploads, 1);
        ck_assert_str_eq(l.uploads[0].key, "a");
        ck_assert_str_eq(l.uploads[0].id, "id==");
        ck_assert_uint_eq(l.uploads[0].initiated, 1289422113 * USEC_PER_SEC);
        ck_assert_str_eq(l.next_key, "k");
        ck_assert_str_eq(l.next_id, "u");

        ASSERT_ERROR(s3_uploads_parse(incomplete, strlen(incomplete), &none), EBADMSG);
        ASSERT_ERROR(s3_uploads_parse(cut, strlen(cut), &none), EBADMSG);
}
END_TEST

START_TEST(single_values) {
        static const char initiated[] = "<InitiateMultipartUploadResult" NS "><Bucket>b</Bucket><Key>k</Key>"
                                        "<UploadId>VXBsb2FkIElE</UploadId></InitiateMultipartUploadResult>";
        static const char completed[] = "<?xml version=\"1.0\"?>     \n<CompleteMultipartUploadResult>"
                                        "<ETag>&quot;3858-2&quot;</ETag></CompleteMultipartUploadResult>";
        static const char empty[] = "<CompleteMultipartUploadResult><ETag/></CompleteMultipartUploadResult>";
        static const char failed[] = "<Error><Code>InternalError</Code><Message>We &lt;3 errors</Message>"
                                     "<ETag>x</ETag></Error>";
        _cleanup_free_ char *id = NULL, *etag = NULL, *none = NULL;
        _cleanup_s3_error_ S3Error e = {}, no_error = {};

        ASSERT_OK(s3_initiated_parse(initiated, strlen(initiated), &id));
        ck_assert_str_eq(id, "VXBsb2FkIElE");
        ASSERT_OK(s3_completed_parse(completed, strlen(completed), &etag));
        ck_assert_str_eq(etag, "\"3858-2\"");
        ASSERT_ERROR(s3_completed_parse(failed, strlen(failed), &none), EBADMSG);
        ASSERT_ERROR(s3_completed_parse(empty, strlen(empty), &none), EBADMSG);
        ASSERT_ERROR(s3_completed_parse("", 0, &none), EBADMSG);

        ASSERT_OK(s3_error_parse(failed, strlen(failed), &e));
        ck_assert_str_eq(e.code, "InternalError");
        ck_assert_str_eq(e.message, "We <3 errors");
        ASSERT_ERROR(s3_error_parse(completed, strlen(completed), &no_error), EBADMSG);
}
END_TEST

START_TEST(times) {
        static const char *const bad[] = { "", "2009", "2009-10-12", "2009-10-12T17:50:30",
                "2009-10-12 17:50:30Z", "2009-13-12T17:50:30Z", "2009-00-12T17:50:30Z",
                "2009-10-32T17:50:30Z", "2009-10-12T24:50:30Z", "2009-10-12T17:50:30+02",
                "1969-10-12T17:50:30Z", "2009-10-12T17:50:30Zx", "-009-10-12T17:50:30Z" };
        usec_t t;

        FOREACH_ARRAY(i, bad, ELEMENTSOF(bad))
                ck_assert_msg(s3_time_parse(*i, &t) == -EINVAL, "%s", *i);
        ASSERT_OK(s3_time_parse("2026-02-28T23:59:59.999999Z", &t));
        ck_assert_uint_eq(t, 1772323199 * USEC_PER_SEC);
}
END_TEST

START_TEST(etags) {
        ck_assert(s3_etag_is_valid("\"9b2cf535f27731c974343645a3985328\""));
        ck_assert(!s3_etag_is_valid(""));
        ck_assert(!s3_etag_is_valid("a b"));
        ck_assert(!s3_etag_is_valid("a\r\nb"));
        ck_assert(!s3_etag_is_valid("\xC3\xA4"));
}
END_TEST

TESTS("s3-document", listings, listings_that_are_none, uploads, single_values, times, etags)
