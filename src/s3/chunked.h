/* SPDX-License-Identifier: Apache-2.0
 *
 * Decoder of aws-chunked bodies, signed or not, with or without trailing headers:
 *
 *   body    = 1*chunk last trailers CRLF
 *   chunk   = hex-size [";chunk-signature=" 64hex] CRLF data CRLF
 *   last    = "0" [";chunk-signature=" 64hex] CRLF
 *   trailer = name ":" value (CRLF | LF)          (x-amz-trailer-signature last, when signed)
 *
 * It takes the body in any pieces and gives the data back without a copy, as parts of those pieces. Data is given before
 * the signature of its chunk could be checked: nothing may be committed before s3_chunked_end has said 0.
 */
#ifndef QUOIN_S3_CHUNKED_H
#define QUOIN_S3_CHUNKED_H

#include <stdbool.h>

#include "base/str.h"
#include "crypto/sigv4.h"

#define S3_CHUNK_LINE 512 /* a chunk's head, or a trailing header */
#define S3_TRAILERS 8
#define S3_TRAILER_BYTES 2048

enum s3_chunked_state { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER, CHUNK_DONE, CHUNK_FAILED };

struct s3_chunked {
	enum s3_chunked_state state;
	bool is_signed, with_trailer;
	int rc;        /* of CHUNK_FAILED */
	uint64_t left; /* of the chunk */
	bool last;     /* the chunk is the last one */
	struct sigv4_chain chain;
	struct sigv4_hash hash;
	char signature[SIGV4_HEX];
	char line[S3_CHUNK_LINE];
	size_t line_len;
	bool trailer_signed;         /* x-amz-trailer-signature was seen */
	char text[S3_TRAILER_BYTES]; /* "name:value\n" of the trailers, names in lower case */
	size_t text_len;
	unsigned ntrailers;
};

/* chain: NULL when unsigned. */
void s3_chunked_init(struct s3_chunked *c, const struct sigv4_chain *chain, bool with_trailer);
/* Takes up to len bytes, stops behind the first piece of data, which is at most max long. Returns the number of bytes
 * taken (0 only when max is 0 and data is next, or when the body has ended) or -QE_*. *ret_data: the piece, or empty. */
ssize_t s3_chunked_feed(struct s3_chunked *c, const char *p, size_t len, size_t max, struct str *ret_data) WARN_UNUSED;
/* The body has been fed: 0 when it was complete. */
int s3_chunked_end(struct s3_chunked *c) WARN_UNUSED;
/* A trailing header's value; valid after s3_chunked_end. */
bool s3_chunked_trailer(const struct s3_chunked *c, struct str name, struct str *ret);

#endif
