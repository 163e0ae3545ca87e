/* SPDX-License-Identifier: Apache-2.0
 *
 * Request documents: a small tree in the request's arena. No entities but the five of XML, no DOCTYPE, bounded depth and
 * number of elements; namespaces and attributes are ignored.
 */
#ifndef QUOIN_S3_XML_READ_H
#define QUOIN_S3_XML_READ_H

#include "base/arena.h"
#include "base/str.h"

#define XML_DEPTH 16
#define XML_NODES 65536

struct xml_node {
	struct str name, text; /* text: all of its own, concatenated, untrimmed */
	struct xml_node *child, *next, *last;
};

/* 0 and the root, or -QE_MALFORMED_XML. */
int xml_parse(struct arena *a, struct str doc, struct xml_node **ret) WARN_UNUSED;
/* The first child of that name, or NULL. */
const struct xml_node *xml_child(const struct xml_node *n, const char *name);
/* Its text, trimmed; "" when there is no such child. */
struct str xml_text(const struct xml_node *n, const char *name);
/* How many children have that name. */
unsigned xml_count(const struct xml_node *n, const char *name);

#endif
