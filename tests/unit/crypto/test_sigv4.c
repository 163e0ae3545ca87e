/* SPDX-License-Identifier: Apache-2.0
 *
 * Signatures against AWS's published vectors (the aws4 suite, the examples of the S3 documentation), and what must be
 * refused.
 */
#include "unit/base/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/err.h"
#include "crypto/sigv2.h"
#include "crypto/sigv4.h"

#define SUITE_KEY STR_LIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
#define S3_KEY STR_LIT("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
#define EMPTY STR_LIT(SIGV4_EMPTY_SHA256)

struct vector {
	const char *name, *method, *path, *query, *headers; /* "name:value\n" ... */
	const char *signed_headers, *payload, *signature;
};

/* The aws4 test suite: AKIDEXAMPLE, us-east-1, "service", 20150830T123600Z; without the cases that normalise the path,
 * which S3 does not. */
static const struct vector suite[] = {
	{"get-vanilla", "GET", "/", "", "", "host;x-amz-date", SIGV4_EMPTY_SHA256,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-vanilla-query-order-key-case", "GET", "/", "Param2=value2&Param1=value1", "", "host;x-amz-date",
     SIGV4_EMPTY_SHA256, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	{"get-vanilla-query-order-value", "GET", "/", "Param1=value2&Param1=value1", "", "host;x-amz-date",
     SIGV4_EMPTY_SHA256, "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
	{"get-vanilla-query-unreserved", "GET", "/",
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     "", "host;x-amz-date", SIGV4_EMPTY_SHA256, "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
	{"get-vanilla-utf8-query", "GET", "/", "%E1%88%B4=bar", "", "host;x-amz-date", SIGV4_EMPTY_SHA256,
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
	{"get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "", "",
     "host;x-amz-date", SIGV4_EMPTY_SHA256, "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
	{"get-utf8", "GET", "/\xe1\x88\xb4", "", "", "host;x-amz-date", SIGV4_EMPTY_SHA256,
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
	{"get-header-key-duplicate", "GET", "/", "", "My-Header1:value2\nMy-Header1:value2\nMy-Header1:value1\n",
     "host;my-header1;x-amz-date", SIGV4_EMPTY_SHA256,
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
	{"get-header-value-order", "GET", "/", "",
     "My-Header1:value4\nMy-Header1:value1\nMy-Header1:value3\nMy-Header1:value2\n", "host;my-header1;x-amz-date",
     SIGV4_EMPTY_SHA256, "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
	{"get-header-value-trim", "GET", "/", "", "My-Header1: value1\nMy-Header2: \"a   b   c\"\n",
     "host;my-header1;my-header2;x-amz-date", SIGV4_EMPTY_SHA256,
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
	{"post-header-key-sort", "POST", "/", "", "My-Header1:value1\n", "host;my-header1;x-amz-date", SIGV4_EMPTY_SHA256,
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
	{"post-vanilla", "POST", "/", "", "", "host;x-amz-date", SIGV4_EMPTY_SHA256,
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"post-x-www-form-urlencoded", "POST", "/", "", "Content-Type:application/x-www-form-urlencoded\n",
     "content-type;host;x-amz-date", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
};

static unsigned split_headers(const char *text, struct sigv4_header *h)
{
	struct str rest = str_of(text), line;
	unsigned n = 0;

	while (rest.len && str_split(&rest, '\n', &line)) {
		ptrdiff_t colon = str_find(line, ':', 0);
		if (colon < 0)
			continue;
		h[n].name = str_sub(line, 0, (size_t)colon);
		h[n++].value = str_sub(line, (size_t)colon + 1, line.len - (size_t)colon - 1);
	}
	return n;
}

static void aws_suite(void **state)
{
	struct op_ctx ctx;
	char got[SIGV4_HEX + 1] = "", auth_text[512];

	op_ctx_init(&ctx, OP_S3);
	for (size_t i = 0; i < ARRAY_SIZE(suite); i++) {
		const struct vector *v = &suite[i];
		struct sigv4_header h[16];
		struct sigv4_request r = {.method = str_of(v->method), .path = str_of(v->path), .headers = h};
		struct sigv4_auth a = {.form = SIGV4_HEADER,
		                       .region = STR_LIT("us-east-1"),
		                       .service = STR_LIT("service"),
		                       .signed_headers = str_of(v->signed_headers),
		                       .amz_date = STR_LIT("20150830T123600Z")};
		struct uri_param *q;

		assert_int_equal(uri_parse_query(&ctx.arena, str_of(v->query), 64, &q, &r.nquery), 0);
		r.query = q;
		r.nheaders = split_headers(v->headers, h);
		h[r.nheaders++] = (struct sigv4_header){STR_LIT("Host"), STR_LIT("example.amazonaws.com")};
		h[r.nheaders++] = (struct sigv4_header){STR_LIT("X-Amz-Date"), STR_LIT("20150830T123600Z")};
		sigv4_sign(&r, &a, SUITE_KEY, str_of(v->payload), got);
		if (strcmp(got, v->signature) != 0)
			print_error("%s\n", v->name);
		assert_string_equal(got, v->signature);
		/* And the other way round, from the header that carries it. */
		snprintf(
			auth_text, sizeof auth_text,
			"AWS4-HMAC-SHA256 Credential=AKID/WITH/SLASH/20150830/us-east-1/service/aws4_request, SignedHeaders=%s,Signature=%s",
			v->signed_headers, got);
		h[r.nheaders++] = (struct sigv4_header){STR_LIT("Authorization"), str_of(auth_text)};
		assert_int_equal(sigv4_parse(&ctx, &r, &a), 0);
		assert_true(str_eqc(a.access_key, "AKID/WITH/SLASH"));
		assert_int_equal(sigv4_verify(&ctx, &r, &a, SUITE_KEY, str_of(v->payload), a.time_ns, NULL, NULL), 0);
		assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, str_of(v->payload), a.time_ns, NULL, NULL), -QE_SIGNATURE);
	}
	op_ctx_done(&ctx);
}

/* "Signature Calculations for the Authorization Header", examples of the S3 API reference. */
static void s3_documentation_examples(void **state)
{
	static const struct vector ex[] = {
		{"GET object", "GET", "/test.txt", "", "Range:bytes=0-9\nx-amz-content-sha256:" SIGV4_EMPTY_SHA256 "\n",
	     "host;range;x-amz-content-sha256;x-amz-date", SIGV4_EMPTY_SHA256,
	     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		{"PUT object", "PUT", "/test$file.text", "",
	     "Date:Fri, 24 May 2013 00:00:00 GMT\nx-amz-storage-class:REDUCED_REDUNDANCY\n"
	     "x-amz-content-sha256:44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n",
	     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		{"GET lifecycle", "GET", "/", "lifecycle", "x-amz-content-sha256:" SIGV4_EMPTY_SHA256 "\n",
	     "host;x-amz-content-sha256;x-amz-date", SIGV4_EMPTY_SHA256,
	     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		{"List objects", "GET", "/", "max-keys=2&prefix=J", "x-amz-content-sha256:" SIGV4_EMPTY_SHA256 "\n",
	     "host;x-amz-content-sha256;x-amz-date", SIGV4_EMPTY_SHA256,
	     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	};
	struct op_ctx ctx;
	char got[SIGV4_HEX + 1] = "";

	op_ctx_init(&ctx, OP_S3);
	for (size_t i = 0; i < ARRAY_SIZE(ex); i++) {
		struct sigv4_header h[16];
		struct sigv4_request r = {.method = str_of(ex[i].method), .path = str_of(ex[i].path), .headers = h};
		struct sigv4_auth a = {.form = SIGV4_HEADER,
		                       .region = STR_LIT("us-east-1"),
		                       .service = STR_LIT("s3"),
		                       .signed_headers = str_of(ex[i].signed_headers),
		                       .amz_date = STR_LIT("20130524T000000Z")};
		struct uri_param *q;

		assert_int_equal(uri_parse_query(&ctx.arena, str_of(ex[i].query), 64, &q, &r.nquery), 0);
		r.query = q;
		r.nheaders = split_headers(ex[i].headers, h);
		h[r.nheaders++] = (struct sigv4_header){STR_LIT("Host"), STR_LIT("examplebucket.s3.amazonaws.com")};
		h[r.nheaders++] = (struct sigv4_header){STR_LIT("x-amz-date"), STR_LIT("20130524T000000Z")};
		sigv4_sign(&r, &a, S3_KEY, str_of(ex[i].payload), got);
		assert_string_equal(got, ex[i].signature);
	}
	op_ctx_done(&ctx);
}

static const char presigned_query[] =
	"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
	"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
	"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

static void presigned(void **state)
{
	struct op_ctx ctx;
	struct sigv4_header h[2] = {{STR_LIT("Host"), STR_LIT("examplebucket.s3.amazonaws.com")},
	                            {STR_LIT("x-amz-acl"), STR_LIT("private")}};
	struct sigv4_request r = {.method = STR_LIT("GET"), .path = STR_LIT("/test.txt"), .headers = h, .nheaders = 1};
	struct str payload = STR_LIT("UNSIGNED-PAYLOAD");
	struct sigv4_auth a;
	struct uri_param *q;

	op_ctx_init(&ctx, OP_S3);
	assert_int_equal(uri_parse_query(&ctx.arena, STR_LIT(presigned_query), 64, &q, &r.nquery), 0);
	r.query = q;
	assert_int_equal(sigv4_parse(&ctx, &r, &a), 0);
	assert_int_equal(a.form, SIGV4_QUERY);
	assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, payload, a.time_ns + NS_PER_S, NULL, NULL), 0);
	assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, payload, a.time_ns + 86400 * NS_PER_S, NULL, NULL), 0);
	assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, payload, a.time_ns + 86401 * NS_PER_S, NULL, NULL),
	                 -QE_EXPIRED);
	assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, payload, a.time_ns - 3600 * NS_PER_S, NULL, NULL), -QE_EXPIRED);
	r.nheaders = 2;
	assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, payload, a.time_ns, NULL, NULL), -QE_ACCESS_DENIED);
	r.nheaders = 1;
	r.path = STR_LIT("/other.txt");
	assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, payload, a.time_ns, NULL, NULL), -QE_SIGNATURE);
	op_ctx_done(&ctx);
}

/* "Transferring Payload in Multiple Chunks": 65 KiB + 1 KiB + 0. */
static void chunks(void **state)
{
	static const char *const want[] = {"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
	                                   "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
	                                   "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"};
	static const size_t size[] = {65536, 1024, 0};
	struct sigv4_auth a = {.form = SIGV4_HEADER,
	                       .date = STR_LIT("20130524"),
	                       .region = STR_LIT("us-east-1"),
	                       .service = STR_LIT("s3"),
	                       .amz_date = STR_LIT("20130524T000000Z"),
	                       .signature = STR_LIT("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")};
	struct sigv4_chain c;
	struct sigv4_key key;
	uint8_t sha[32];
	char *data = malloc(65536);

	memset(data, 'a', 65536);
	sigv4_key_make(&key, S3_KEY, a.date, a.region, a.service);
	assert_int_equal(sigv4_chain_init(&c, &a, &key), 0);
	for (size_t i = 0; i < 3; i++) {
		sigv4_sha256(data, size[i], sha);
		assert_int_equal(sigv4_chain_chunk(&c, sha, str_of(want[(i + 1) % 3])), -QE_SIGNATURE);
		assert_int_equal(sigv4_chain_chunk(&c, sha, str_of(want[i])), 0);
	}
	free(data);
}

/* The same example with a trailing checksum. */
static void trailer(void **state)
{
	struct sigv4_auth a = {.form = SIGV4_HEADER,
	                       .date = STR_LIT("20130524"),
	                       .region = STR_LIT("us-east-1"),
	                       .service = STR_LIT("s3"),
	                       .amz_date = STR_LIT("20130524T000000Z"),
	                       .signature = STR_LIT("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")};
	static const char *const want[] = {"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
	                                   "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
	                                   "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"};
	static const size_t size[] = {65536, 1024, 0};
	struct sigv4_chain c;
	struct sigv4_key key;
	uint8_t sha[32];
	char *data = malloc(65536), got[SIGV4_HEX + 1] = "";

	memset(data, 'a', 65536);
	sigv4_key_make(&key, S3_KEY, a.date, a.region, a.service);
	assert_int_equal(sigv4_chain_init(&c, &a, &key), 0);
	for (size_t i = 0; i < 3; i++) {
		sigv4_sha256(data, size[i], sha);
		sigv4_chain_sign_chunk(&c, sha, got);
		assert_string_equal(got, want[i]);
	}
	assert_int_equal(sigv4_chain_trailer(&c, STR_LIT("x-amz-checksum-crc32c:sOO8/Q==\n"),
	                                     STR_LIT("d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435")),
	                 0);
	free(data);
}

static void hashes(void **state)
{
	uint8_t mac[32];
	char hex[SIGV4_HEX + 1] = "", big[131];

	sigv4_sha256("", 0, mac);
	hex_encode(mac, 32, hex);
	assert_string_equal(hex, SIGV4_EMPTY_SHA256);
	sigv4_hmac("Jefe", 4, "what do ya want for nothing?", 28, mac); /* RFC 4231, 2 */
	hex_encode(mac, 32, hex);
	assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(big, 0xaa, sizeof big);
	sigv4_hmac(big, sizeof big, "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac); /* 6 */
	hex_encode(mac, 32, hex);
	assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

struct bad_auth {
	const char *authorization, *date;
	int rc;
};

static void malformed(void **state)
{
	static const struct bad_auth bad[] = {
		{"AWS AKID:signature", "20150830T123600Z", -QE_INVALID_REQUEST},
		{"Bearer x", "20150830T123600Z", -QE_INVALID_ARGUMENT},
		{"AWS4-HMAC-SHA256", "20150830T123600Z", -QE_INVALID_ARGUMENT},
		{"AWS4-HMAC-SHA256 ", "20150830T123600Z", -QE_INVALID_ARGUMENT},
		{"AWS4-HMAC-SHA256 Credential=", "20150830T123600Z", -QE_AUTH_MALFORMED},
		{"AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4", "20150830T123600Z", -QE_AUTH_MALFORMED},
		{"AWS4-HMAC-SHA256 Credential=a/2015083x/r/s/aws4_request, SignedHeaders=host, Signature=x", "20150830T123600Z",
	     -QE_AUTH_MALFORMED},
		{"AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_request, SignedHeaders=host", "20150830T123600Z",
	     -QE_AUTH_MALFORMED},
		{"AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_request, SignedHeaders=host, Signature=x", "yesterday",
	     -QE_ACCESS_DENIED},
		{"AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_request, SignedHeaders=host, Signature=x", NULL,
	     -QE_ACCESS_DENIED},
		{"AWS4-HMAC-SHA256 Credential=a/20150830//s3/aws4_request, SignedHeaders=host, Signature=x", "20150830T123600Z",
	     0},
	};
	struct op_ctx ctx;
	struct sigv4_auth a;

	op_ctx_init(&ctx, OP_S3);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct sigv4_header h[2] = {{STR_LIT("Authorization"), str_of(bad[i].authorization)},
		                            {STR_LIT("X-Amz-Date"), str_of(bad[i].date ? bad[i].date : "")}};
		struct sigv4_request r = {
			.method = STR_LIT("GET"), .path = STR_LIT("/"), .headers = h, .nheaders = bad[i].date ? 2 : 1};
		assert_int_equal(sigv4_parse(&ctx, &r, &a), bad[i].rc);
	}
	op_ctx_done(&ctx);
}

static void skew_and_unsigned_headers(void **state)
{
	struct sigv4_header h[4] = {{STR_LIT("Host"), STR_LIT("h")}, {STR_LIT("X-Amz-Date"), STR_LIT("20150830T123600Z")}};
	struct sigv4_request r = {.method = STR_LIT("PUT"), .path = STR_LIT("/b/k"), .headers = h, .nheaders = 2};
	struct sigv4_auth a = {.form = SIGV4_HEADER,
	                       .access_key = STR_LIT("AK"),
	                       .region = STR_LIT("us-east-1"),
	                       .service = STR_LIT("s3"),
	                       .signed_headers = STR_LIT("host;x-amz-date"),
	                       .amz_date = STR_LIT("20150830T123600Z")};
	struct sigv4_cache *cache = calloc(1, sizeof *cache);
	struct sigv4_key key;
	struct op_ctx ctx;
	char sig[SIGV4_HEX + 1];

	op_ctx_init(&ctx, OP_S3);
	assert_int_equal(clock_parse_iso(a.amz_date, &a.time_ns), 0);
	sigv4_sign(&r, &a, S3_KEY, EMPTY, sig);
	a.signature = (struct str){sig, SIGV4_HEX};
	for (int i = 0; i < 3; i++)
		assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, EMPTY, a.time_ns + SIGV4_SKEW_NS, cache, &key), 0);
	assert_int_equal(cache->next, 1);
	assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, EMPTY, a.time_ns + SIGV4_SKEW_NS + 1, cache, NULL),
	                 -QE_TIME_SKEWED);
	assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, EMPTY, a.time_ns - SIGV4_SKEW_NS - 1, cache, NULL),
	                 -QE_TIME_SKEWED);
	h[2] = (struct sigv4_header){STR_LIT("X-Amz-Copy-Source"), STR_LIT("/other/key")};
	r.nheaders = 3;
	assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, EMPTY, a.time_ns, cache, NULL), -QE_ACCESS_DENIED);
	r.nheaders = 2;
	a.signed_headers = STR_LIT("x-amz-date");
	assert_int_equal(sigv4_verify(&ctx, &r, &a, S3_KEY, EMPTY, a.time_ns, cache, NULL), -QE_ACCESS_DENIED);
	free(cache);
	op_ctx_done(&ctx);
}

/* "Signing and Authenticating REST Requests", the examples of version 2. */
static void version_2(void **state)
{
	struct sigv4_header get[] = {{STR_LIT("Host"), STR_LIT("johnsmith.s3.amazonaws.com")},
	                             {STR_LIT("Date"), STR_LIT("Tue, 27 Mar 2007 19:36:42 +0000")}};
	struct sigv4_header put[] = {{STR_LIT("Content-Type"), STR_LIT("image/jpeg")},
	                             {STR_LIT("Content-Length"), STR_LIT("94328")}};
	struct sigv4_header upload[] = {
		{STR_LIT("x-amz-acl"), STR_LIT("public-read")},
		{STR_LIT("content-type"), STR_LIT("application/x-download")},
		{STR_LIT("Content-MD5"), STR_LIT("4gJE4saaMU4BqNR0kLY+lw==")},
		{STR_LIT("X-Amz-Meta-ReviewedBy"), STR_LIT("joe@johnsmith.net")},
		{STR_LIT("X-Amz-Meta-ReviewedBy"), STR_LIT("jane@johnsmith.net")},
		{STR_LIT("X-Amz-Meta-FileChecksum"), STR_LIT("0x02661779")},
		{STR_LIT("X-Amz-Meta-ChecksumAlgorithm"), STR_LIT("crc32")},
	};
	struct sigv4_request r = {
		.method = STR_LIT("GET"), .path = STR_LIT("/photos/puppy.jpg"), .headers = get, .nheaders = 2};
	struct uri_param acl = {STR_LIT("acl"), STR_LIT("")};
	char sig[SIGV2_BASE64 + 1];

	assert_int_equal(sigv2_sign(&r, get[1].value, STR_LIT("johnsmith"), S3_KEY, sig), 0);
	assert_string_equal(sig, "bWq2s1WEIj+Ydj0vQ697zp+IXMU=");
	r = (struct sigv4_request){
		.method = STR_LIT("PUT"), .path = STR_LIT("/photos/puppy.jpg"), .headers = put, .nheaders = 2};
	assert_int_equal(sigv2_sign(&r, STR_LIT("Tue, 27 Mar 2007 21:15:45 +0000"), STR_LIT("johnsmith"), S3_KEY, sig), 0);
	assert_string_equal(sig, "MyyxeRY7whkBe+bq8fHCL/2kKUg=");
	r = (struct sigv4_request){.method = STR_LIT("GET"), .path = STR_LIT("/"), .query = &acl, .nquery = 1};
	assert_int_equal(sigv2_sign(&r, STR_LIT("Tue, 27 Mar 2007 19:44:46 +0000"), STR_LIT("johnsmith"), S3_KEY, sig), 0);
	assert_string_equal(sig, "c2WLPFtWHVgbEmeEG93a4cG37dM=");
	r = (struct sigv4_request){
		.method = STR_LIT("PUT"), .path = STR_LIT("/db-backup.dat.gz"), .headers = upload, .nheaders = 7};
	assert_int_equal(
		sigv2_sign(&r, STR_LIT("Tue, 27 Mar 2007 21:06:08 +0000"), STR_LIT("static.johnsmith.net"), S3_KEY, sig), 0);
	assert_string_equal(sig, "ilyl83RwaSoYIEdixDQcA4OnAnc=");
}

static void version_2_refusals(void **state)
{
	struct sigv4_header h = {STR_LIT("Authorization"), STR_LIT("AWS AKID")};
	struct sigv4_request r = {.method = STR_LIT("GET"), .path = STR_LIT("/b/k"), .headers = &h, .nheaders = 1};
	struct uri_param q[3] = {{STR_LIT("AWSAccessKeyId"), STR_LIT("AKID")},
	                         {STR_LIT("Expires"), STR_LIT("1175139620")},
	                         {STR_LIT("Signature"), STR_LIT("x")}};
	char sig[SIGV2_BASE64 + 1];
	struct sigv2_auth a;
	struct op_ctx ctx;

	op_ctx_init(&ctx, OP_S3);
	assert_true(sigv2_present(&r));
	assert_int_equal(sigv2_parse(&ctx, &r, &a), -QE_INVALID_ARGUMENT);
	h.value = STR_LIT("AWS AKID:sig"); /* no date */
	assert_int_equal(sigv2_parse(&ctx, &r, &a), -QE_ACCESS_DENIED);
	r = (struct sigv4_request){.method = STR_LIT("GET"), .path = STR_LIT("/b/k"), .query = q, .nquery = 3};
	assert_true(sigv2_present(&r));
	assert_int_equal(sigv2_sign(&r, q[1].value, STR_LIT(""), S3_KEY, sig), 0);
	assert_int_equal(sigv2_parse(&ctx, &r, &a), 0);
	assert_int_equal(sigv2_verify(&r, &a, STR_LIT(""), S3_KEY, 1175139620 * NS_PER_S), -QE_SIGNATURE);
	q[2].value = str_of(sig);
	assert_int_equal(sigv2_parse(&ctx, &r, &a), 0);
	assert_int_equal(sigv2_verify(&r, &a, STR_LIT(""), S3_KEY, 1175139620 * NS_PER_S), 0);
	assert_int_equal(sigv2_verify(&r, &a, STR_LIT(""), S3_KEY, 1175139621 * NS_PER_S), -QE_EXPIRED);
	assert_int_equal(sigv2_verify(&r, &a, STR_LIT(""), SUITE_KEY, 1175139620 * NS_PER_S), -QE_SIGNATURE);
	r.method = STR_LIT("PUT");
	assert_int_equal(sigv2_verify(&r, &a, STR_LIT(""), S3_KEY, 1175139620 * NS_PER_S), -QE_SIGNATURE);
	q[1].value = STR_LIT("never");
	assert_int_equal(sigv2_parse(&ctx, &r, &a), -QE_ACCESS_DENIED);
	op_ctx_done(&ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes),
		cmocka_unit_test(aws_suite),
		cmocka_unit_test(s3_documentation_examples),
		cmocka_unit_test(presigned),
		cmocka_unit_test(chunks),
		cmocka_unit_test(trailer),
		cmocka_unit_test(malformed),
		cmocka_unit_test(skew_and_unsigned_headers),
		cmocka_unit_test(version_2),
		cmocka_unit_test(version_2_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
