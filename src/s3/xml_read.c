/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/xml_read.h"

#include <expat.h>

#include "base/buf.h"
#include "base/err.h"

struct frame {
	struct xml_node *node;
	size_t text_from; /* where its text starts in the shared buffer */
};

struct parse {
	struct arena *arena;
	XML_Parser parser;
	struct frame stack[XML_DEPTH];
	unsigned depth, nodes;
	struct xml_node *root;
	struct buf text;
	bool bad;
};

static void refuse(struct parse *p)
{
	p->bad = true;
	XML_StopParser(p->parser, XML_FALSE);
}

static struct str local_name(const char *name)
{
	const char *colon = strrchr(name, ':');

	return str_of(colon ? colon + 1 : name);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct parse *p = arg;
	struct xml_node *n, *up;

	if (p->bad)
		return;
	if (p->depth == XML_DEPTH || p->nodes++ == XML_NODES) {
		refuse(p);
		return;
	}
	n = arena_zalloc(p->arena, sizeof *n);
	n->name = arena_str(p->arena, local_name(name));
	up = p->depth ? p->stack[p->depth - 1].node : NULL;
	if (!up)
		p->root = n;
	else if (up->last)
		up->last->next = n;
	else
		up->child = n;
	if (up)
		up->last = n;
	p->stack[p->depth++] = (struct frame){n, p->text.len};
}

/* An element's own text is contiguous in the buffer only when it has no children; that is all that requests need. */
static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct parse *p = arg;
	struct frame f;

	if (p->bad)
		return;
	f = p->stack[--p->depth];
	if (!f.node->child)
		f.node->text = arena_str(p->arena, (struct str){p->text.data + f.text_from, p->text.len - f.text_from});
	p->text.len = f.text_from;
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int len)
{
	struct parse *p = arg;

	if (!p->bad)
		buf_add(&p->text, s, (size_t)len);
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid,
                               int internal)
{
	refuse(arg);
}

int xml_parse(struct arena *a, struct str doc, struct xml_node **ret)
{
	struct parse p = {.arena = a, .parser = XML_ParserCreate(NULL)};
	bool ok;

	if (!p.parser)
		return -ENOMEM;
	buf_reserve(&p.text, 256);
	XML_SetUserData(p.parser, &p);
	XML_SetElementHandler(p.parser, on_start, on_end);
	XML_SetCharacterDataHandler(p.parser, on_text);
	XML_SetStartDoctypeDeclHandler(p.parser, on_doctype);
	ok = doc.len && doc.len <= INT32_MAX && XML_Parse(p.parser, doc.p, (int)doc.len, 1) == XML_STATUS_OK;
	ok = ok && !p.bad && p.root && !buf_err(&p.text);
	XML_ParserFree(p.parser);
	buf_free(&p.text);
	if (!ok)
		return -QE_MALFORMED_XML;
	*ret = p.root;
	return 0;
}

const struct xml_node *xml_child(const struct xml_node *n, const char *name)
{
	for (const struct xml_node *c = n ? n->child : NULL; c; c = c->next)
		if (str_eqc(c->name, name))
			return c;
	return NULL;
}

struct str xml_text(const struct xml_node *n, const char *name)
{
	const struct xml_node *c = xml_child(n, name);

	return c && c->text.p ? str_trim(c->text) : STR_LIT("");
}

unsigned xml_count(const struct xml_node *n, const char *name)
{
	unsigned count = 0;

	for (const struct xml_node *c = n->child; c; c = c->next)
		count += str_eqc(c->name, name);
	return count;
}
