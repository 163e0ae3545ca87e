/* SPDX-License-Identifier: Apache-2.0
 *
 * The file is one YAML mapping. A key of the schema with dots is a mapping in a mapping:
 *
 *	drive:
 *	  timeout: 5s
 *
 * Every problem is reported with its line. Reading stops at the first one.
 */
#include "conf/load_internal.h"

#include <string.h>
#include <yaml.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fdio.h"
#include "conf/schema.h"

struct reader {
	const char *path;
	struct conf *conf;
	struct conf_error *err;
	yaml_document_t doc;
	bool *seen; /* by key of the schema */
};

static int fail(struct reader *r, size_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int fail(struct reader *r, size_t line, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(r->err->text, sizeof(r->err->text), "%s:%zu: ", r->path, line);

	if (n > 0 && (size_t)n < sizeof(r->err->text)) {
		va_start(ap, fmt);
		vsnprintf(r->err->text + n, sizeof(r->err->text) - (size_t)n, fmt, ap);
		va_end(ap);
	}
	return -QE_CONFIG;
}

static size_t line_of(const yaml_node_t *n)
{
	return n->start_mark.line + 1;
}

static struct str scalar(const yaml_node_t *n)
{
	return (struct str){(const char *)n->data.scalar.value, n->data.scalar.length};
}

static int set_item(struct reader *r, const struct conf_key *k, const yaml_node_t *n, bool add)
{
	struct str text = scalar(n);
	char why[512] = "";
	int rc;

	if (memchr(text.p, '\0', text.len))
		return fail(r, line_of(n), "%s: the value has a NUL character; remove it", k->name);
	if (text.len == 0 && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return fail(r, line_of(n), "%s: there is no value; give one, or remove the line to take the default", k->name);
	rc = add ? conf_key_add(k, r->conf, text, why, sizeof(why)) : conf_key_set(k, r->conf, text, why, sizeof(why));
	return rc == -EINVAL ? fail(r, line_of(n), "%s: %s", k->name, why) : rc;
}

static int set_list(struct reader *r, const struct conf_key *k, const yaml_node_t *n)
{
	int rc = 0;

	conf_key_clear(k, r->conf);
	for (yaml_node_item_t *i = n->data.sequence.items.start; rc == 0 && i < n->data.sequence.items.top; i++) {
		const yaml_node_t *item = yaml_document_get_node(&r->doc, *i);

		if (item->type != YAML_SCALAR_NODE)
			return fail(r, line_of(item), "%s: an item is not a text; write one directory a line", k->name);
		rc = set_item(r, k, item, true);
	}
	return rc;
}

static int set_key(struct reader *r, const struct conf_key *k, const yaml_node_t *key, const yaml_node_t *value)
{
	bool *seen = &r->seen[k - conf_keys];

	if (*seen)
		return fail(r, line_of(key), "%s: the key is there twice; keep one of them", k->name);
	*seen = true;
	if (value->type == YAML_SCALAR_NODE && k->type == CONFTYPE_DRIVES) {
		conf_key_clear(k, r->conf);
		return set_item(r, k, value, true);
	}
	if (value->type == YAML_SCALAR_NODE)
		return set_item(r, k, value, false);
	if (value->type == YAML_SEQUENCE_NODE && k->type == CONFTYPE_DRIVES)
		return set_list(r, k, value);
	return fail(r, line_of(value), "%s: the value is a %s, but the key takes a %s; write \"%s: VALUE\"", k->name,
	            value->type == YAML_SEQUENCE_NODE ? "list" : "mapping", conf_type_name(k->type), k->name);
}

static int unknown_key(struct reader *r, const yaml_node_t *key, struct str name)
{
	const struct conf_key *near = conf_key_nearest(name);

	if (near)
		return fail(r, line_of(key), "%.*s: unknown key; did you mean %s?", STR_FMT(name), near->name);
	return fail(r, line_of(key), "%.*s: unknown key; quoin.yaml(5) lists the keys", STR_FMT(name));
}

static int read_mapping(struct reader *r, const yaml_node_t *map, struct str prefix);

static int read_pair(struct reader *r, const yaml_node_t *key, const yaml_node_t *value, struct str prefix)
{
	CLEANUP_BUF struct buf name = BUF_INIT;
	const struct conf_key *k;

	if (key->type != YAML_SCALAR_NODE)
		return fail(r, line_of(key), "a key is not a word; write \"KEY: VALUE\"");
	if (prefix.len > 0) {
		buf_add_str(&name, prefix);
		buf_add_char(&name, '.');
	}
	buf_add_str(&name, scalar(key));
	if (buf_err(&name))
		return buf_err(&name);

	k = conf_key_find(buf_str(&name));
	if (k)
		return set_key(r, k, key, value);
	if (!conf_key_is_section(buf_str(&name)))
		return unknown_key(r, key, buf_str(&name));
	if (value->type == YAML_SCALAR_NODE && value->data.scalar.length == 0)
		return 0; /* a section with nothing in it */
	if (value->type != YAML_MAPPING_NODE)
		return fail(r, line_of(value), "%s: this is a section; write its keys below it, indented", buf_cstr(&name));
	return read_mapping(r, value, buf_str(&name));
}

static int read_mapping(struct reader *r, const yaml_node_t *map, struct str prefix)
{
	int rc = 0;

	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; rc == 0 && p < map->data.mapping.pairs.top; p++)
		rc = read_pair(r, yaml_document_get_node(&r->doc, p->key), yaml_document_get_node(&r->doc, p->value), prefix);
	return rc;
}

static int read_root(struct reader *r)
{
	const yaml_node_t *root = yaml_document_get_root_node(&r->doc);

	if (!root || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
		return 0; /* nothing, or comments only */
	if (root->type != YAML_MAPPING_NODE)
		return fail(r, line_of(root), "the file is not a mapping; write lines of the form \"KEY: VALUE\"");
	return read_mapping(r, root, (struct str){NULL, 0});
}

static int syntax_error(struct reader *r, const yaml_parser_t *p)
{
	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	return fail(r, p->problem_mark.line + 1,
	            "not valid YAML: %s%s%s; check the indentation and the quotes near this line",
	            p->problem ? p->problem : "unreadable", p->context ? ", " : "", p->context ? p->context : "");
}

static int read_documents(struct reader *r, yaml_parser_t *p)
{
	int rc;

	if (!yaml_parser_load(p, &r->doc))
		return syntax_error(r, p);
	rc = read_root(r);
	bool empty = !yaml_document_get_root_node(&r->doc);
	yaml_document_delete(&r->doc);
	if (rc < 0 || empty)
		return rc;

	if (!yaml_parser_load(p, &r->doc))
		return syntax_error(r, p);
	const yaml_node_t *second = yaml_document_get_root_node(&r->doc);
	if (second)
		rc = fail(r, line_of(second), "a second YAML document starts here; keep one and remove the \"---\"");
	yaml_document_delete(&r->doc);
	return rc;
}

int conf_yaml_read(const char *path, struct str text, struct conf *c, struct conf_error *ret_err)
{
	struct reader r = {.path = path, .conf = c, .err = ret_err};
	CLEANUP_FREE bool *seen = calloc(conf_n_keys, sizeof(*seen));
	yaml_parser_t parser;
	int rc;

	if (!seen || !yaml_parser_initialize(&parser))
		return -ENOMEM;
	r.seen = seen;
	yaml_parser_set_input_string(&parser, (const unsigned char *)(text.p ? text.p : ""), text.len);
	rc = read_documents(&r, &parser);
	yaml_parser_delete(&parser);
	return rc;
}

int conf_yaml_read_file(const char *path, struct conf *c, struct conf_error *ret_err)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	int rc = fd_read_file(path, CONF_FILE_MAX, &text);

	if (rc == -EFBIG) {
		snprintf(ret_err->text, sizeof(ret_err->text), "%s: the file is larger than 1 MiB; is it the right one?", path);
		return -QE_CONFIG;
	}
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0) {
		snprintf(ret_err->text, sizeof(ret_err->text), "%s: cannot be read: %s; check the path and its permissions",
		         path, strerror(-rc));
		return -QE_CONFIG;
	}
	return conf_yaml_read(path, buf_str(&text), c, ret_err);
}
