/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The XML that a storage answers with, and no more of it than that: elements, text, CDATA, the five entities and
 * characters by number. A DTD, a comment, a processing instruction, and what is not well-formed are refused. */

#include <errno.h>

#include "string-util.h"

#define S3_XML_DEPTH_MAX 8U
#define S3_XML_PATH_MAX 256U
#define S3_XML_TEXT_MAX (64U * 1024U)

typedef enum S3XmlEvent {
        S3_XML_END,   /* of the document, which was well-formed */
        S3_XML_OPEN,  /* an element begins */
        S3_XML_CLOSE, /* it ends */
        _S3_XML_EVENT_MAX,
        _S3_XML_EVENT_INVALID = -EINVAL,
} S3XmlEvent;

/* Begin with s3_xml_init(). The text stays the caller's, and must stay. */
typedef struct S3XmlReader {
        const char *at, *end;
        /* Names of the open elements: "ListBucketResult/Contents/Key". At a CLOSE the one that ends is still there. */
        char path[S3_XML_PATH_MAX];
        size_t depth;
        StringBuilder text; /* of the innermost element so far */
        bool has_children;  /* it has elements in it, so that its text is nothing but space */
        bool begun, self_closed, pop;
} S3XmlReader;

/* -EBADMSG for what is not UTF-8, or holds a control character. */
int s3_xml_init(S3XmlReader *x, const char *data, size_t size);
void s3_xml_done(S3XmlReader *x);
#define _cleanup_s3_xml_ _cleanup_(s3_xml_done)

/* The next event; -EBADMSG, -ENOMEM. After an error or the end it must not be called again. */
int s3_xml_next(S3XmlReader *x);

/* At a CLOSE: the text of an element that has only text, "" for an empty one, NULL for one with elements in it.
 * Until the next event. */
const char *s3_xml_text(const S3XmlReader *x);
