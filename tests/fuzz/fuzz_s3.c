/* SPDX-License-Identifier: Apache-2.0
 *
 * The parsers that see bytes of clients before they are authorized, or in their bodies: aws-chunked framing, SigV4 heads,
 * documents, query strings and ranges.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/macros.h"
#include "s3/request.h"
#include "s3/xml_read.h"
#include "s3/xml_write.h"

/* The first byte chooses the form and the size of the pieces. */
int fuzz_chunked(const uint8_t *data, size_t size)
{
	struct s3_chunked c;
	struct sigv4_chain chain;
	size_t step, at = 0, total = 0;

	if (size < 1)
		return 0;
	memset(&chain, 0, sizeof chain);
	s3_chunked_init(&c, data[0] & 1 ? &chain : NULL, data[0] & 2);
	step = (size_t)(data[0] >> 2) + 1;
	for (at = 1; at < size;) {
		struct str piece;
		ssize_t n = s3_chunked_feed(&c, (const char *)data + at, MIN(step, size - at), step, &piece);
		if (n < 0)
			break;
		ASSERT(n > 0 && piece.len <= step && piece.len <= (size_t)n);
		total += piece.len;
		at += (size_t)n;
	}
	if (s3_chunked_end(&c) == 0)
		ASSERT(c.state == CHUNK_DONE && total < size);
	return 0;
}

/* "METHOD target\nname:value\n...": a head. */
int fuzz_sigv4(const uint8_t *data, size_t size)
{
	struct str rest = {(const char *)data, size}, line;
	struct sigv4_header h[32];
	struct sigv4_request r = {.headers = h};
	struct sigv4_auth a;
	struct sigv4_key key;
	struct uri_param *q = NULL;
	struct op_ctx ctx = {0};
	ptrdiff_t at;

	if (!size || !str_split(&rest, '\n', &line) || (at = str_find(line, ' ', 0)) < 0)
		return 0;
	r.method = str_sub(line, 0, (size_t)at);
	r.path = str_sub(line, (size_t)at + 1, line.len - (size_t)at - 1);
	at = str_find(r.path, '?', 0);
	if (at >= 0) {
		if (uri_parse_query(&ctx.arena, str_sub(r.path, (size_t)at + 1, r.path.len - (size_t)at - 1), S3_QUERY_MAX, &q,
		                    &r.nquery) < 0)
			goto out;
		r.query = q;
		r.path.len = (size_t)at;
	}
	while (r.nheaders < ARRAY_SIZE(h) && rest.p && str_split(&rest, '\n', &line)) {
		at = str_find(line, ':', 0);
		if (at < 0)
			continue;
		h[r.nheaders].name = str_sub(line, 0, (size_t)at);
		h[r.nheaders++].value = str_sub(line, (size_t)at + 1, line.len - (size_t)at - 1);
	}
	if (sigv4_parse(&ctx, &r, &a) == 0 && a.form != SIGV4_NONE &&
	    sigv4_verify(&ctx, &r, &a, STR_LIT("secret"), STR_LIT("UNSIGNED-PAYLOAD"), a.time_ns, NULL, &key) == 0) {
		struct sigv4_chain chain;
		(void)!sigv4_chain_init(&chain, &a, &key);
	}
out:
	op_ctx_done(&ctx);
	return 0;
}

static unsigned walk(const struct xml_node *n, struct buf *b)
{
	unsigned count = 1;

	for (; n; n = n->next) {
		xml_escape(b, n->name);
		xml_escape(b, n->text);
		count += walk(n->child, b);
	}
	return count;
}

int fuzz_xml(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	struct buf b = BUF_INIT;
	struct xml_node *root;

	if (xml_parse(&a, (struct str){(const char *)data, size}, &root) == 0)
		ASSERT(walk(root, &b) <= XML_NODES * 2);
	buf_free(&b);
	arena_free(&a);
	return 0;
}

int fuzz_uri(const uint8_t *data, size_t size)
{
	struct str s = {(const char *)data, size};
	struct arena a = ARENA_INIT;
	struct uri_param *q;
	struct s3_checksum sum;
	uint64_t off, len, ns;
	unsigned n;

	if (size && uri_parse_query(&a, s, 64, &q, &n) == 0)
		ASSERT(n <= 64);
	if (size && s3_range_parse(s, 1000, &off, &len) == S3_RANGE_OK)
		ASSERT(len > 0 && off < 1000 && len <= 1000 - off);
	for (unsigned i = 0; size && i < S3_ALGOS; i++)
		(void)!s3_checksum_parse((enum s3_algo)i, s, &sum);
	if (size)
		(void)s3_checksum_load(s, &sum);
	(void)!clock_parse_http(s, &ns);
	(void)!clock_parse_iso(s, &ns);
	arena_free(&a);
	return 0;
}
