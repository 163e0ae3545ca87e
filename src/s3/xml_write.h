/* SPDX-License-Identifier: Apache-2.0
 *
 * Answer documents. Element names are literals; text is escaped. What XML 1.0 cannot carry (control characters, bytes
 * that are not UTF-8) becomes U+FFFD: clients that need such keys ask for encoding-type=url.
 */
#ifndef QUOIN_S3_XML_WRITE_H
#define QUOIN_S3_XML_WRITE_H

#include "base/buf.h"
#include "base/str.h"

#define XML_NS "http://s3.amazonaws.com/doc/2006-03-01/"

/* The declaration and the root element with S3's namespace. */
void xml_begin(struct buf *b, const char *root);
void xml_open(struct buf *b, const char *name);
void xml_close(struct buf *b, const char *name);
void xml_put(struct buf *b, const char *name, struct str text); /* <name>text</name> */
void xml_put_c(struct buf *b, const char *name, const char *text);
void xml_put_u64(struct buf *b, const char *name, uint64_t v);
void xml_put_bool(struct buf *b, const char *name, bool v);
void xml_put_time(struct buf *b, const char *name, uint64_t wall_ns); /* 2026-01-02T03:04:05.678Z */
void xml_put_etag(struct buf *b, struct str etag);                    /* <ETag>&quot;..&quot;</ETag> */
/* As put, but percent-encoded (but for '/') when url is set. */
void xml_put_key(struct buf *b, const char *name, struct str key, bool url);
void xml_escape(struct buf *b, struct str text);

#endif
