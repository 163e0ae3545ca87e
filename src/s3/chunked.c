/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/chunked.h"

#include <string.h>

#include "base/codec.h"
#include "base/err.h"

#define SIGNATURE_PARAM "chunk-signature="
#define TRAILER_SIGNATURE "x-amz-trailer-signature"
#define CHUNK_MAX (5ull << 30)

void s3_chunked_init(struct s3_chunked *c, const struct sigv4_chain *chain, bool with_trailer)
{
	memset(c, 0, sizeof *c);
	c->is_signed = chain != NULL;
	c->with_trailer = with_trailer;
	if (chain)
		c->chain = *chain;
	sigv4_hash_init(&c->hash);
}

static int fail(struct s3_chunked *c, int rc)
{
	c->state = CHUNK_FAILED;
	c->rc = rc;
	return rc;
}

/* Collects bytes of a line up to LF. Number taken; *ret_done: the line is whole (CR LF cut off). -1: too long. */
static ssize_t take_line(struct s3_chunked *c, const char *p, size_t len, bool *ret_done)
{
	const char *lf = memchr(p, '\n', len);
	size_t n = lf ? (size_t)(lf - p) + 1 : len;

	*ret_done = lf != NULL;
	if (n > sizeof c->line - c->line_len)
		return -1;
	memcpy(c->line + c->line_len, p, n);
	c->line_len += n;
	if (lf) {
		c->line_len--;
		if (c->line_len && c->line[c->line_len - 1] == '\r')
			c->line_len--;
	}
	return (ssize_t)n;
}

static int hex_size(struct str s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.len == 0 || s.len > 16)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		char ch = s.p[i];
		unsigned d;
		if (ch >= '0' && ch <= '9')
			d = (unsigned)(ch - '0');
		else if ((ch | 32) >= 'a' && (ch | 32) <= 'f')
			d = (unsigned)((ch | 32) - 'a') + 10;
		else
			return -1;
		v = v << 4 | d;
	}
	*ret = v;
	return v > CHUNK_MAX ? -1 : 0;
}

/* "size" or "size;chunk-signature=..." */
static int parse_size_line(struct s3_chunked *c)
{
	struct str line = {c->line, c->line_len}, size = line, param = {0};
	ptrdiff_t semi = str_find(line, ';', 0);

	if (semi >= 0) {
		size = str_sub(line, 0, (size_t)semi);
		param = str_trim(str_sub(line, (size_t)semi + 1, line.len - (size_t)semi - 1));
	}
	if (hex_size(str_trim(size), &c->left) < 0)
		return -QE_INVALID_CHUNK;
	if (!c->is_signed)
		return 0;
	if (!str_starts(param, STR_LIT(SIGNATURE_PARAM)) || param.len != sizeof SIGNATURE_PARAM - 1 + SIGV4_HEX)
		return -QE_SIGNATURE;
	memcpy(c->signature, param.p + sizeof SIGNATURE_PARAM - 1, SIGV4_HEX);
	return 0;
}

/* The data of a chunk is complete. */
static int check_chunk(struct s3_chunked *c)
{
	uint8_t sha[32];

	if (!c->is_signed)
		return 0;
	sigv4_hash_end(&c->hash, sha);
	sigv4_hash_init(&c->hash);
	return sigv4_chain_chunk(&c->chain, sha, (struct str){c->signature, SIGV4_HEX});
}

static ssize_t feed_size(struct s3_chunked *c, const char *p, size_t len)
{
	bool done;
	ssize_t n = take_line(c, p, len, &done);
	int rc;

	if (n < 0)
		return fail(c, -QE_INVALID_CHUNK);
	if (!done)
		return n;
	rc = parse_size_line(c);
	c->line_len = 0;
	if (rc < 0)
		return fail(c, rc);
	c->last = c->left == 0;
	c->state = CHUNK_DATA;
	if (c->last) {
		rc = check_chunk(c);
		if (rc < 0)
			return fail(c, rc);
		c->state = CHUNK_TRAILER;
	}
	return n;
}

static ssize_t feed_data(struct s3_chunked *c, const char *p, size_t len, size_t max, struct str *ret_data)
{
	size_t n = len;

	if (n > max)
		n = max;
	if (n > c->left)
		n = (size_t)c->left;
	if (n == 0)
		return 0;
	if (c->is_signed)
		sigv4_hash_add(&c->hash, p, n);
	*ret_data = (struct str){p, n};
	c->left -= n;
	if (c->left == 0) {
		int rc = check_chunk(c);
		if (rc < 0)
			return fail(c, rc);
		c->state = CHUNK_DATA_END;
	}
	return (ssize_t)n;
}

/* CR LF behind the data. */
static ssize_t feed_data_end(struct s3_chunked *c, const char *p, size_t len)
{
	bool done;
	ssize_t n = take_line(c, p, MIN(len, 2 - c->line_len), &done);

	if (n < 0 || (!done && c->line_len >= 2) || (done && c->line_len != 0) ||
	    (!done && c->line_len == 1 && c->line[0] != '\r'))
		return fail(c, -QE_INVALID_CHUNK);
	if (done)
		c->state = CHUNK_SIZE;
	return n;
}

static int add_trailer(struct s3_chunked *c, struct str name, struct str value)
{
	if (++c->ntrailers > S3_TRAILERS || c->text_len + name.len + value.len + 2 > sizeof c->text)
		return -QE_MALFORMED_TRAILER;
	for (size_t i = 0; i < name.len; i++) {
		char ch = name.p[i];
		c->text[c->text_len++] = ch >= 'A' && ch <= 'Z' ? (char)(ch + 32) : ch;
	}
	c->text[c->text_len++] = ':';
	memcpy(c->text + c->text_len, value.p, value.len);
	c->text_len += value.len;
	c->text[c->text_len++] = '\n';
	return 0;
}

static int parse_trailer_line(struct s3_chunked *c)
{
	struct str line = str_trim((struct str){c->line, c->line_len}), name, value;
	ptrdiff_t colon;

	if (line.len == 0) { /* the end; tolerated again behind it */
		c->state = CHUNK_DONE;
		return 0;
	}
	colon = str_find(line, ':', 0);
	if (!c->with_trailer || colon <= 0 || c->trailer_signed || memchr(line.p, '\0', line.len))
		return -QE_MALFORMED_TRAILER;
	name = str_trim(str_sub(line, 0, (size_t)colon));
	value = str_trim(str_sub(line, (size_t)colon + 1, line.len - (size_t)colon - 1));
	if (!str_eq_nocase(name, STR_LIT(TRAILER_SIGNATURE)))
		return add_trailer(c, name, value);
	c->trailer_signed = true;
	if (!c->is_signed)
		return 0;
	return sigv4_chain_trailer(&c->chain, (struct str){c->text, c->text_len}, value);
}

static ssize_t feed_trailer(struct s3_chunked *c, const char *p, size_t len)
{
	bool done;
	ssize_t n = take_line(c, p, len, &done);
	int rc;

	if (n < 0)
		return fail(c, -QE_MALFORMED_TRAILER);
	if (!done)
		return n;
	rc = parse_trailer_line(c);
	c->line_len = 0;
	return rc < 0 ? fail(c, rc) : n;
}

/* Behind the end only line ends are tolerated. */
static ssize_t feed_rest(struct s3_chunked *c, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != '\r' && p[i] != '\n')
			return fail(c, -QE_INVALID_CHUNK);
	return (ssize_t)len;
}

ssize_t s3_chunked_feed(struct s3_chunked *c, const char *p, size_t len, size_t max, struct str *ret_data)
{
	size_t used = 0;

	*ret_data = (struct str){p, 0};
	while (used < len && ret_data->len == 0) {
		ssize_t n = 0;
		switch (c->state) {
		case CHUNK_SIZE:
			n = feed_size(c, p + used, len - used);
			break;
		case CHUNK_DATA:
			n = feed_data(c, p + used, len - used, max, ret_data);
			break;
		case CHUNK_DATA_END:
			n = feed_data_end(c, p + used, len - used);
			break;
		case CHUNK_TRAILER:
			n = feed_trailer(c, p + used, len - used);
			break;
		case CHUNK_DONE:
			n = feed_rest(c, p + used, len - used);
			break;
		case CHUNK_FAILED:
			n = c->rc;
			break;
		}
		if (n < 0)
			return n;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

int s3_chunked_end(struct s3_chunked *c)
{
	int rc;

	if (c->state == CHUNK_FAILED)
		return c->rc;
	if (c->state == CHUNK_TRAILER && c->line_len) { /* some clients leave the last line end out */
		rc = parse_trailer_line(c);
		c->line_len = 0;
		if (rc < 0)
			return fail(c, rc);
		if (c->state == CHUNK_TRAILER)
			c->state = CHUNK_DONE;
	} else if (c->state == CHUNK_TRAILER) {
		c->state = CHUNK_DONE;
	}
	if (c->state != CHUNK_DONE)
		return fail(c, -QE_INCOMPLETE_BODY);
	if (c->is_signed && c->with_trailer && !c->trailer_signed)
		return fail(c, -QE_SIGNATURE);
	return 0;
}

bool s3_chunked_trailer(const struct s3_chunked *c, struct str name, struct str *ret)
{
	struct str rest = {c->text, c->text_len}, line;

	while (rest.len && str_split(&rest, '\n', &line)) {
		ptrdiff_t colon = str_find(line, ':', 0);
		if (colon < 0 || !str_eq_nocase(str_sub(line, 0, (size_t)colon), name))
			continue;
		*ret = str_sub(line, (size_t)colon + 1, line.len - (size_t)colon - 1);
		return true;
	}
	return false;
}
