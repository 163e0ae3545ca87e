/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/value_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/address.h"
#include "conf/ellipses.h"

/* What a value of a type looks like, for messages. */
static const struct {
	const char *name, *form;
} types[CONFTYPE_COUNT] = {
	[CONFTYPE_STRING] = {"string", "text"},
	[CONFTYPE_ADDRESS] = {"address", "HOST:PORT, :PORT or [V6]:PORT"},
	[CONFTYPE_INT] = {"int", "a whole number"},
	[CONFTYPE_SIZE] = {"size", "for example 4096, 32KiB or 64MiB"},
	[CONFTYPE_DURATION] = {"duration", "for example 500ms, 5s or 2m"},
	[CONFTYPE_BOOL] = {"bool", "true or false"},
	[CONFTYPE_ENUM] = {"enum", "one of its words"},
	[CONFTYPE_MODE] = {"mode", "octal permission bits, for example 0644"},
	[CONFTYPE_PARITY] = {"parity", "a number of drives, for example 2 or EC:2"},
	[CONFTYPE_DRIVES] = {"drives", "directories, for example /mnt/drive{1...4}"},
};

const char *conf_type_name(enum conf_type type)
{
	return types[type].name;
}

static void *member(const struct conf_key *k, const struct conf *c)
{
	return (char *)(uintptr_t)c + k->offset;
}

static bool is_text(const struct conf_key *k)
{
	return k->type == CONFTYPE_STRING || k->type == CONFTYPE_ADDRESS;
}

void conf_value_format(enum conf_type type, uint64_t v, char *buf, size_t size)
{
	static const char *const binary[] = {"", "KiB", "MiB", "GiB", "TiB"};
	static const struct {
		uint64_t ns;
		const char *unit;
	} times[] = {{UINT64_C(3600000000000), "h"}, {UINT64_C(60000000000), "m"}, {UINT64_C(1000000000), "s"}};
	unsigned i = 0;

	if (type == CONFTYPE_SIZE) {
		for (; v > 0 && v % 1024 == 0 && i + 1 < ARRAY_SIZE(binary); i++)
			v /= 1024;
		snprintf(buf, size, "%" PRIu64 "%s", v, binary[i]);
	} else if (type == CONFTYPE_DURATION) {
		while (i < ARRAY_SIZE(times) && v % times[i].ns != 0)
			i++;
		if (i < ARRAY_SIZE(times))
			snprintf(buf, size, "%" PRIu64 "%s", v / times[i].ns, times[i].unit);
		else
			snprintf(buf, size, "%" PRIu64 "ms", v / 1000000);
	} else {
		snprintf(buf, size, type == CONFTYPE_MODE ? "%04" PRIo64 : "%" PRIu64, v);
	}
}

int conf_list_add(struct conf_list *l, struct str s)
{
	char **v = reallocarray(l->v, l->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	l->v = v;
	v[l->n] = strndup(s.p ? s.p : "", s.len);
	if (!v[l->n])
		return -ENOMEM;
	l->n++;
	return 0;
}

void conf_list_free(struct conf_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct conf_list){0};
}

static bool parse_octal(struct str s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.len == 0 || s.len > 7)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '7')
			return false;
		v = v * 8 + (uint64_t)(s.p[i] - '0');
	}
	*ret = v;
	return true;
}

static bool parse_bool(struct str s, uint64_t *ret)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (str_eq_nocase(s, str_of(words[i]))) {
			*ret = i % 2;
			return true;
		}
	}
	return false;
}

static bool parse_enum(const struct conf_key *k, struct str s, uint64_t *ret)
{
	for (uint64_t i = 0; k->choices[i]; i++) {
		if (str_eqc(s, k->choices[i])) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static bool parse_number(const struct conf_key *k, struct str s, uint64_t *ret)
{
	if ((k->flags & CONFKEY_AUTO) && str_eqc(s, "auto")) {
		*ret = CONF_AUTO;
		return true;
	}
	switch (k->type) {
	case CONFTYPE_SIZE:
		return str_to_size(s, ret) == 0;
	case CONFTYPE_DURATION:
		return str_to_duration(s, ret) == 0;
	case CONFTYPE_MODE:
		return parse_octal(s, ret);
	case CONFTYPE_BOOL:
		return parse_bool(s, ret);
	case CONFTYPE_ENUM:
		return parse_enum(k, s, ret);
	case CONFTYPE_PARITY:
		if (str_starts(s, STR_LIT("EC:")))
			s = str_sub(s, 3, s.len - 3);
		return str_to_u64(s, ret) == 0;
	default:
		return str_to_u64(s, ret) == 0;
	}
}

static int say_form(const struct conf_key *k, struct str text, char *why, size_t size)
{
	int n = snprintf(why, size, "\"%.*s\" is not %s %s; write ", STR_FMT(text),
	                 k->type == CONFTYPE_ADDRESS || k->type == CONFTYPE_INT || k->type == CONFTYPE_ENUM ? "an" : "a",
	                 k->type == CONFTYPE_ENUM ? "allowed word" : types[k->type].name);

	if (n < 0 || (size_t)n >= size)
		return -EINVAL;
	if (k->type != CONFTYPE_ENUM) {
		snprintf(why + n, size - (size_t)n, "%s%s", types[k->type].form, k->flags & CONFKEY_AUTO ? ", or auto" : "");
		return -EINVAL;
	}
	for (size_t i = 0; k->choices[i] && (size_t)n < size; i++)
		n += snprintf(why + n, size - (size_t)n, "%s%s",
		              i == 0              ? ""
		              : k->choices[i + 1] ? ", "
		                                  : " or ",
		              k->choices[i]);
	return -EINVAL;
}

static int check_range(const struct conf_key *k, struct str text, uint64_t v, char *why, size_t size)
{
	char lo[32], hi[32];

	if (v == CONF_AUTO && (k->flags & CONFKEY_AUTO))
		return 0;
	if ((k->flags & CONFKEY_POW2) && (v & (v - 1)) != 0) {
		snprintf(why, size, "%.*s is not a power of two; write for example 64MiB", STR_FMT(text));
		return -EINVAL;
	}
	if (k->max == 0 || (v >= k->min && v <= k->max))
		return 0;
	conf_value_format(k->type, k->min, lo, sizeof(lo));
	conf_value_format(k->type, k->max, hi, sizeof(hi));
	snprintf(why, size, "%.*s is out of range; allowed is %s to %s", STR_FMT(text), lo, hi);
	return -EINVAL;
}

static int set_number(const struct conf_key *k, struct conf *c, struct str text, char *why, size_t size)
{
	uint64_t v;
	int rc;

	if (!parse_number(k, text, &v))
		return say_form(k, text, why, size);
	rc = check_range(k, text, v, why, size);
	if (rc < 0)
		return rc;
	if (k->type == CONFTYPE_BOOL)
		*(bool *)member(k, c) = v != 0;
	else
		*(uint64_t *)member(k, c) = v;
	return 0;
}

static bool has_control_bytes(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

static int set_text(const struct conf_key *k, struct conf *c, struct str text, char *why, size_t size)
{
	struct conf_address a;
	char **m = member(k, c), *copy;

	if (has_control_bytes(text)) {
		snprintf(why, size, "the value has control characters; remove them");
		return -EINVAL;
	}
	if (k->max != 0 && (text.len < k->min || text.len > k->max)) {
		snprintf(why, size, "the value has %zu characters; allowed are %" PRIu64 " to %" PRIu64, text.len, k->min,
		         k->max);
		return -EINVAL;
	}
	if (k->type == CONFTYPE_ADDRESS && conf_address_parse(text, &a) < 0)
		return say_form(k, text, why, size);
	copy = strndup(text.p ? text.p : "", text.len);
	if (!copy)
		return -ENOMEM;
	free(*m);
	*m = copy;
	return 0;
}

struct drive_adder {
	struct conf_list *drives;
	const struct conf_key *k;
	char *why;
	size_t why_size;
};

static int add_drive(void *arg, struct str item)
{
	struct drive_adder *a = arg;

	if (item.len == 0 || has_control_bytes(item)) {
		snprintf(a->why, a->why_size, "a drive's directory is empty or has control characters; write its path");
		return -EINVAL;
	}
	for (size_t i = 0; i < a->drives->n; i++) {
		if (str_eqc(item, a->drives->v[i])) {
			snprintf(a->why, a->why_size, "%.*s is there twice; each drive needs a directory of its own",
			         STR_FMT(item));
			return -EINVAL;
		}
	}
	if (a->drives->n >= a->k->max) {
		snprintf(a->why, a->why_size, "there are more than %" PRIu64 " drives; a set has 1 to %" PRIu64, a->k->max,
		         a->k->max);
		return -EINVAL;
	}
	return conf_list_add(a->drives, item);
}

int conf_key_add(const struct conf_key *k, struct conf *c, struct str text, char *why, size_t why_size)
{
	struct drive_adder a = {member(k, c), k, why, why_size};

	if (str_starts(text, STR_LIT("http://")) || str_starts(text, STR_LIT("https://"))) {
		snprintf(why, why_size, "%.*s is on the network; give directories of this machine", STR_FMT(text));
		return -EINVAL;
	}
	return conf_ellipses_expand(text, add_drive, &a, why, why_size);
}

/* Drives of one text, separated by blanks, as in the environment. */
static int set_drives(const struct conf_key *k, struct conf *c, struct str text, char *why, size_t why_size)
{
	struct str rest = text, piece;
	int rc = 0;

	conf_key_clear(k, c);
	while (rc == 0 && rest.len > 0 && str_split(&rest, ' ', &piece))
		if (piece.len > 0)
			rc = conf_key_add(k, c, piece, why, why_size);
	return rc;
}

int conf_key_set(const struct conf_key *k, struct conf *c, struct str text, char *why, size_t why_size)
{
	if (is_text(k))
		return set_text(k, c, text, why, why_size);
	if (k->type == CONFTYPE_DRIVES)
		return set_drives(k, c, text, why, why_size);
	return set_number(k, c, str_trim(text), why, why_size);
}

void conf_key_clear(const struct conf_key *k, struct conf *c)
{
	if (k->type == CONFTYPE_DRIVES) {
		conf_list_free(member(k, c));
	} else if (is_text(k)) {
		char **m = member(k, c);

		if (*m && (k->flags & CONFKEY_SECRET))
			explicit_bzero(*m, strlen(*m));
		free(*m);
		*m = NULL;
	}
}

static bool list_equal(const struct conf_list *a, const struct conf_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

bool conf_key_equal(const struct conf_key *k, const struct conf *a, const struct conf *b)
{
	const void *ma = member(k, a), *mb = member(k, b);

	if (k->type == CONFTYPE_DRIVES)
		return list_equal(ma, mb);
	if (is_text(k))
		return strcmp(*(char *const *)ma, *(char *const *)mb) == 0;
	if (k->type == CONFTYPE_BOOL)
		return *(const bool *)ma == *(const bool *)mb;
	return *(const uint64_t *)ma == *(const uint64_t *)mb;
}

int conf_key_copy(const struct conf_key *k, struct conf *dst, const struct conf *src)
{
	char why[256];

	if (is_text(k))
		return set_text(k, dst, str_of(*(char **)member(k, src)), why, sizeof(why));
	if (k->type == CONFTYPE_DRIVES) {
		const struct conf_list *l = member(k, src);
		int rc = 0;

		conf_key_clear(k, dst);
		for (size_t i = 0; rc == 0 && i < l->n; i++)
			rc = conf_list_add(member(k, dst), str_of(l->v[i]));
		return rc;
	}
	if (k->type == CONFTYPE_BOOL)
		*(bool *)member(k, dst) = *(bool *)member(k, src);
	else
		*(uint64_t *)member(k, dst) = *(uint64_t *)member(k, src);
	return 0;
}

static void dump_range(const struct conf_key *k, FILE *f)
{
	char lo[32], hi[32];

	if (k->type == CONFTYPE_ENUM) {
		for (size_t i = 0; k->choices[i]; i++)
			fprintf(f, "%s%s", i == 0 ? "" : "|", k->choices[i]);
	} else if (k->max != 0) {
		enum conf_type type = is_text(k) || k->type == CONFTYPE_DRIVES ? CONFTYPE_INT : k->type;

		conf_value_format(type, k->min, lo, sizeof(lo));
		conf_value_format(type, k->max, hi, sizeof(hi));
		fprintf(f, "%s..%s", lo, hi);
	} else {
		fputc('-', f);
	}
}

void conf_schema_dump(FILE *f)
{
	for (size_t i = 0; i < conf_n_keys; i++) {
		const struct conf_key *k = &conf_keys[i];
		char env[64];

		conf_key_env(k, env, sizeof(env));
		fprintf(f, "%s\t%s\t", k->name, conf_type_name(k->type));
		dump_range(k, f);
		fprintf(f, "\t%s\t%s%s\t%s%s%s\t%s\n", k->def[0] ? k->def : "-",
		        k->flags & CONFKEY_RELOAD ? "reload" : "restart", k->flags & CONFKEY_SECRET ? ",secret" : "", env,
		        k->env ? " " : "", k->env ? k->env : "", k->help);
	}
}
