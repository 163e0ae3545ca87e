/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "conf/load_internal.h"
#include "conf/schema.h"
#include "conf/value_internal.h"

static char *dup_or_null(const char *s, bool *failed)
{
	char *copy = s ? strdup(s) : NULL;

	*failed |= s && !copy;
	return copy;
}

static void sources_free(struct conf_sources *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->flags && i < s->n_flags; i++) {
		char *value = (char *)(uintptr_t)s->flags[i].value;

		if (value)
			explicit_bzero(value, strlen(value));
		free(value);
		free((char *)(uintptr_t)s->flags[i].key);
		free((char *)(uintptr_t)s->flags[i].where);
	}
	for (size_t i = 0; s->drives && i < s->n_drives; i++)
		free((char *)(uintptr_t)s->drives[i]);
	free((void *)(uintptr_t)s->flags);
	free((void *)(uintptr_t)s->drives);
	free((char *)(uintptr_t)s->file);
	free(s);
}

static struct conf_sources *sources_copy(const struct conf_sources *src)
{
	struct conf_sources *s = calloc(1, sizeof(*s));
	struct conf_flag *flags = calloc(src->n_flags + 1, sizeof(*flags));
	const char **drives = calloc(src->n_drives + 1, sizeof(*drives));
	bool failed = !s || !flags || !drives;

	if (failed) {
		free(s);
		free(flags);
		free(drives);
		return NULL;
	}
	*s = (struct conf_sources){dup_or_null(src->file, &failed), flags, src->n_flags, drives, src->n_drives};
	for (size_t i = 0; i < src->n_flags; i++) {
		flags[i].key = dup_or_null(src->flags[i].key, &failed);
		flags[i].value = dup_or_null(src->flags[i].value, &failed);
		flags[i].where = dup_or_null(src->flags[i].where, &failed);
	}
	for (size_t i = 0; i < src->n_drives; i++)
		drives[i] = dup_or_null(src->drives[i], &failed);
	if (failed) {
		sources_free(s);
		return NULL;
	}
	return s;
}

static int fail(struct conf_error *err, const char *where, const char *key, const char *why)
{
	snprintf(err->text, sizeof(err->text), "%s: %s: %s", where, key, why);
	return -QE_CONFIG;
}

static int set_defaults(struct conf *c)
{
	char why[256];

	for (size_t i = 0; i < conf_n_keys; i++) {
		int rc = conf_key_set(&conf_keys[i], c, str_of(conf_keys[i].def), why, sizeof(why));

		ASSERT(rc == 0 || rc == -ENOMEM); /* the schema's own defaults are valid */
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The first of the key's environment variables that is set and not empty. */
static const char *env_of(const struct conf_key *k, char *name, size_t size)
{
	struct str rest = str_of(k->env), piece;
	const char *value;

	conf_key_env(k, name, size);
	value = getenv(name);
	while ((!value || !value[0]) && rest.len > 0 && str_split(&rest, ' ', &piece)) {
		snprintf(name, size, "%.*s", STR_FMT(piece));
		value = getenv(name);
	}
	return value && value[0] ? value : NULL;
}

static int apply_env(struct conf *c, struct conf_error *err)
{
	for (size_t i = 0; i < conf_n_keys; i++) {
		const struct conf_key *k = &conf_keys[i];
		char name[64], why[512] = "";
		const char *value = env_of(k, name, sizeof(name));
		int rc = value ? conf_key_set(k, c, str_of(value), why, sizeof(why)) : 0;

		if (rc == -EINVAL)
			return fail(err, "environment", name, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int apply_flags(const struct conf_sources *src, struct conf *c, struct conf_error *err)
{
	for (size_t i = 0; i < src->n_flags; i++) {
		const struct conf_flag *f = &src->flags[i];
		const struct conf_key *k = conf_key_find(str_of(f->key)), *near;
		char why[512] = "unknown key; quoin.yaml(5) lists the keys";
		int rc = k ? conf_key_set(k, c, str_of(f->value), why, sizeof(why)) : -EINVAL;

		near = k ? NULL : conf_key_nearest(str_of(f->key));
		if (near)
			snprintf(why, sizeof(why), "unknown key; did you mean %s?", near->name);
		if (rc == -EINVAL)
			return fail(err, f->where, f->key, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int apply_drives(const struct conf_sources *src, struct conf *c, struct conf_error *err)
{
	const struct conf_key *k = conf_key_find(STR_LIT("drives"));
	char why[512] = "";

	if (src->n_drives > 0)
		conf_key_clear(k, c);
	for (size_t i = 0; i < src->n_drives; i++) {
		int rc = conf_key_add(k, c, str_of(src->drives[i]), why, sizeof(why));

		if (rc == -EINVAL)
			return fail(err, "command line", "DRIVE", why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_warnings(struct conf *c)
{
	c->default_credentials = strcmp(c->root_user, "minioadmin") == 0 && strcmp(c->root_password, "minioadmin") == 0;
	if (!c->default_credentials)
		return 0;
	return conf_list_add(&c->warnings, STR_LIT("root.user and root.password are the well-known defaults; set them, for "
	                                           "example by QUOIN_ROOT_USER and QUOIN_ROOT_PASSWORD"));
}

static int load(const struct conf_sources *src, struct conf *c, struct conf_error *err)
{
	int rc = set_defaults(c);

	if (rc == 0 && src->file)
		rc = conf_yaml_read_file(src->file, c, err);
	if (rc == 0)
		rc = apply_env(c, err);
	if (rc == 0)
		rc = apply_flags(src, c, err);
	if (rc == 0)
		rc = apply_drives(src, c, err);
	if (rc == 0)
		rc = add_warnings(c);
	return rc;
}

int conf_load(const struct conf_sources *src, struct conf **ret, struct conf_error *ret_err)
{
	CLEANUP(conf_freep) struct conf *c = calloc(1, sizeof(*c));
	int rc;

	ret_err->text[0] = '\0';
	if (!c)
		return -ENOMEM;
	c->sources = sources_copy(src);
	if (!c->sources)
		return -ENOMEM;
	rc = load(src, c, ret_err);
	if (rc < 0)
		return rc;
	*ret = c;
	c = NULL;
	return 0;
}

unsigned conf_default_parity(size_t n_drives)
{
	if (n_drives < 2)
		return 0;
	return (unsigned)MIN(n_drives / 2, 4);
}

unsigned conf_parity(const struct conf *c)
{
	return c->parity == CONF_AUTO ? conf_default_parity(c->drives.n) : (unsigned)c->parity;
}

int conf_check_server(const struct conf *c, struct conf_error *ret_err)
{
	char why[256];

	if (c->drives.n == 0)
		return fail(ret_err, "configuration", "drives",
		            "there are none; give their directories as arguments, for example /mnt/drive{1...4}");
	if (conf_parity(c) > c->drives.n / 2) {
		snprintf(why, sizeof(why), "%u of %zu drives is more than half; allowed is 0 to %zu", conf_parity(c),
		         c->drives.n, c->drives.n / 2);
		return fail(ret_err, "configuration", "parity", why);
	}
	return 0;
}

/* Sorts the differences of one key: applied, or kept as it was until the next start. */
static int compare_key(const struct conf_key *k, const struct conf *cur, struct conf *c, struct conf_changes *ch)
{
	if (conf_key_equal(k, cur, c))
		return 0;
	if (k->flags & CONFKEY_RELOAD) {
		ch->applied[ch->n_applied++] = k->name;
		return 0;
	}
	ch->restart[ch->n_restart++] = k->name;
	return conf_key_copy(k, c, cur);
}

int conf_reload(const struct conf *cur, struct conf **ret_new, struct conf_changes *ret_changes,
                struct conf_error *ret_err)
{
	CLEANUP(conf_freep) struct conf *c = NULL;
	struct conf_changes ch = {.applied = calloc(conf_n_keys, sizeof(char *)),
	                          .restart = calloc(conf_n_keys, sizeof(char *))};
	int rc = ch.applied && ch.restart ? conf_load(cur->sources, &c, ret_err) : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < conf_n_keys; i++)
		rc = compare_key(&conf_keys[i], cur, c, &ch);
	if (rc < 0) {
		conf_changes_free(&ch);
		return rc;
	}
	*ret_changes = ch;
	*ret_new = c;
	c = NULL;
	return 0;
}

bool conf_changed(const struct conf_changes *ch, const char *key)
{
	for (size_t i = 0; i < ch->n_applied; i++)
		if (strcmp(ch->applied[i], key) == 0)
			return true;
	return false;
}

void conf_changes_free(struct conf_changes *ch)
{
	free(ch->applied);
	free(ch->restart);
	*ch = (struct conf_changes){0};
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < conf_n_keys; i++)
		conf_key_clear(&conf_keys[i], c);
	conf_list_free(&c->warnings);
	sources_free(c->sources);
	free(c);
}
