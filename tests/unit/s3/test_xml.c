/* SPDX-License-Identifier: Apache-2.0
 *
 * Documents both ways: reading what clients send and refusing what they should not, escaping what cannot go as it is.
 */
#include "unit/base/unit.h"

#include <stdlib.h>

#include "base/err.h"
#include "s3/xml_read.h"
#include "s3/xml_write.h"

static void reading(void **state)
{
	struct arena a = ARENA_INIT;
	struct xml_node *root;
	const struct xml_node *o;

	assert_int_equal(
		xml_parse(
			&a,
			STR_LIT("<?xml version=\"1.0\"?><Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><!-- c -->\n"
	                "<Object><Key> a&amp;b&#x20;</Key><VersionId>null</VersionId></Object>"
	                "<x:Object><Key><![CDATA[<k>]]></Key></x:Object><Quiet> true </Quiet></Delete>"),
			&root),
		0);
	assert_true(str_eqc(root->name, "Delete"));
	assert_int_equal(xml_count(root, "Object"), 2);
	o = xml_child(root, "Object");
	assert_true(str_eqc(xml_child(o, "Key")->text, " a&b "));
	assert_true(str_eqc(xml_text(o, "VersionId"), "null"));
	assert_true(str_eqc(xml_text(o->next, "Key"), "<k>"));
	assert_true(str_eqc(xml_text(root, "Quiet"), "true"));
	assert_true(str_eqc(xml_text(root, "None"), ""));
	assert_null(xml_child(root, "None"));
	assert_null(xml_child(NULL, "None"));
	arena_free(&a);
}

static void refusing(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"x",
		"<a>",
		"<a></b>",
		"<a/><b/>",
		"<a>&nope;</a>",
		"<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>",
		"<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
		"<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><l>&b;</l>",
		"<a>\xff</a>",
		"<a>\x01</a>",
	};
	struct arena a = ARENA_INIT;
	struct xml_node *root;
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(xml_parse(&a, str_of(bad[i]), &root), -QE_MALFORMED_XML);
	for (int i = 0; i < XML_DEPTH + 1; i++)
		buf_add_c(&b, "<a>");
	for (int i = 0; i < XML_DEPTH + 1; i++)
		buf_add_c(&b, "</a>");
	assert_int_equal(xml_parse(&a, buf_str(&b), &root), -QE_MALFORMED_XML);
	assert_int_equal(xml_parse(&a, (struct str){b.data + 3, b.len - 7}, &root), 0);
	buf_reset(&b);
	buf_add_c(&b, "<a>");
	for (int i = 0; i < XML_NODES; i++)
		buf_add_c(&b, "<b/>");
	buf_add_c(&b, "</a>");
	assert_int_equal(xml_parse(&a, buf_str(&b), &root), -QE_MALFORMED_XML);
	buf_free(&b);
	arena_free(&a);
}

static void writing(void **state)
{
	struct buf b = BUF_INIT;

	xml_put(&b, "k", STR_LIT("a<b>&\"'\r\n\t\x01\xff\xc3\xa4\xef\xbf\xbf\xf0\x9f\x98\x80\xe4"));
	xml_put_key(&b, "u", STR_LIT("a b+/\xc3\xa4"), true);
	xml_put_u64(&b, "n", 18446744073709551615ull);
	xml_put_time(&b, "t", 1767323045678000000ull);
	xml_put_etag(&b, STR_LIT("abc"));
	assert_string_equal(
		buf_cstr(&b),
		"<k>a&lt;b&gt;&amp;&quot;&#39;&#13;&#10;&#9;\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd"
		"\xef\xbf\xbd\xf0\x9f\x98\x80\xef\xbf\xbd</k>"
		"<u>a%20b%2B/%C3%A4</u><n>18446744073709551615</n><t>2026-01-02T03:04:05.678Z</t>"
		"<ETag>&quot;abc&quot;</ETag>");
	buf_free(&b);
}

/* What is written can be read, whatever the text. */
static void round_trip(void **state)
{
	struct arena a = ARENA_INIT;
	struct buf b = BUF_INIT;
	struct xml_node *root;
	char text[40];

	srandom(7);
	for (int i = 0; i < 2000; i++) {
		size_t n = (size_t)random() % sizeof text;
		for (size_t k = 0; k < n; k++)
			text[k] = (char)random();
		buf_reset(&b);
		xml_put(&b, "k", (struct str){text, n});
		assert_int_equal(xml_parse(&a, buf_str(&b), &root), 0);
		arena_reset(&a);
	}
	buf_free(&b);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading),
		cmocka_unit_test(refusing),
		cmocka_unit_test(writing),
		cmocka_unit_test(round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
