/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks and dates. Own parsing and formatting: the C library's depend on the locale and the time zone.
 */
#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"

#define YEAR_MIN 1970
#define YEAR_MAX 2553 /* the last whole year in 64 bits of nanoseconds */

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "SunMonTueWedThuFriSat";
static const char *const long_day_names[] = {
	"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
};

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;
	int rc = clock_gettime(id, &ts);

	ASSERT(rc == 0);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

void clock_sleep_ns(uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}

static char *put_dec(char *at, unsigned v, int digits)
{
	for (int i = digits - 1; i >= 0; i--, v /= 10)
		at[i] = (char)('0' + v % 10);
	return at + digits;
}

static char *put_text(char *at, const char *text, size_t n)
{
	memcpy(at, text, n);
	return at + n;
}

static char *put_time(char *at, const struct tm *tm)
{
	at = put_dec(at, (unsigned)tm->tm_hour, 2);
	*at++ = ':';
	at = put_dec(at, (unsigned)tm->tm_min, 2);
	*at++ = ':';
	return put_dec(at, (unsigned)tm->tm_sec, 2);
}

static void split_wall(uint64_t wall_ns, struct tm *ret)
{
	time_t t = (time_t)(wall_ns / NS_PER_S);

	gmtime_r(&t, ret);
}

void clock_format_iso(uint64_t wall_ns, char *ret)
{
	struct tm tm;

	split_wall(wall_ns, &tm);
	ret = put_dec(ret, (unsigned)tm.tm_year + 1900, 4);
	*ret++ = '-';
	ret = put_dec(ret, (unsigned)tm.tm_mon + 1, 2);
	*ret++ = '-';
	ret = put_dec(ret, (unsigned)tm.tm_mday, 2);
	*ret++ = 'T';
	ret = put_time(ret, &tm);
	*ret++ = '.';
	ret = put_dec(ret, (unsigned)(wall_ns % NS_PER_S / NS_PER_MS), 3);
	put_text(ret, "Z", 2);
}

void clock_format_http(uint64_t wall_ns, char *ret)
{
	struct tm tm;

	split_wall(wall_ns, &tm);
	ret = put_text(ret, day_names + 3 * tm.tm_wday, 3);
	ret = put_text(ret, ", ", 2);
	ret = put_dec(ret, (unsigned)tm.tm_mday, 2);
	*ret++ = ' ';
	ret = put_text(ret, month_names + 3 * tm.tm_mon, 3);
	*ret++ = ' ';
	ret = put_dec(ret, (unsigned)tm.tm_year + 1900, 4);
	*ret++ = ' ';
	ret = put_time(ret, &tm);
	put_text(ret, " GMT", 5);
}

/* A date being read. Once bad is set, nothing more is read; finish() looks at it. */
struct scan {
	struct str s;
	bool bad;
	unsigned year, month, day, hour, min, sec, frac_ns;
};

static void want(struct scan *sc, const char *text)
{
	struct str t = str_of(text);

	if (sc->bad || !str_starts(sc->s, t)) {
		sc->bad = true;
		return;
	}
	sc->s = str_sub(sc->s, t.len, sc->s.len - t.len);
}

static unsigned want_dec(struct scan *sc, size_t digits)
{
	unsigned v = 0;

	if (sc->bad || sc->s.len < digits) {
		sc->bad = true;
		return 0;
	}
	for (size_t i = 0; i < digits; i++) {
		if (sc->s.p[i] < '0' || sc->s.p[i] > '9') {
			sc->bad = true;
			return 0;
		}
		v = v * 10 + (unsigned)(sc->s.p[i] - '0');
	}
	sc->s = str_sub(sc->s, digits, sc->s.len - digits);
	return v;
}

/* One of the three-letter names, counted from 1. */
static unsigned want_name(struct scan *sc, const char *names)
{
	for (unsigned i = 0; !sc->bad && names[3 * i]; i++) {
		struct str name = {names + 3 * i, 3};

		if (!str_starts(sc->s, name))
			continue;
		sc->s = str_sub(sc->s, 3, sc->s.len - 3);
		return i + 1;
	}
	sc->bad = true;
	return 0;
}

static void want_time(struct scan *sc, const char *sep)
{
	sc->hour = want_dec(sc, 2);
	want(sc, sep);
	sc->min = want_dec(sc, 2);
	want(sc, sep);
	sc->sec = want_dec(sc, 2);
}

static unsigned month_days(unsigned year, unsigned month)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static int finish(const struct scan *sc, uint64_t *ret_wall_ns)
{
	struct tm tm = {
		.tm_year = (int)sc->year - 1900, .tm_mon = (int)sc->month - 1, .tm_mday = (int)sc->day,
		.tm_hour = (int)sc->hour, .tm_min = (int)sc->min, .tm_sec = (int)sc->sec,
	};

	if (sc->bad || sc->s.len || sc->year < YEAR_MIN || sc->year > YEAR_MAX || sc->month < 1 || sc->month > 12)
		return -EINVAL;
	if (sc->day < 1 || sc->day > month_days(sc->year, sc->month))
		return -EINVAL;
	/* 60 is a leap second: it counts as the first of the next minute. */
	if (sc->hour > 23 || sc->min > 59 || sc->sec > 60)
		return -EINVAL;
	*ret_wall_ns = (uint64_t)timegm(&tm) * NS_PER_S + sc->frac_ns;
	return 0;
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static void scan_imf(struct scan *sc)
{
	want_name(sc, day_names);
	want(sc, ", ");
	sc->day = want_dec(sc, 2);
	want(sc, " ");
	sc->month = want_name(sc, month_names);
	want(sc, " ");
	sc->year = want_dec(sc, 4);
	want(sc, " ");
	want_time(sc, ":");
	want(sc, " GMT");
}

/* RFC 7231 7.1.1.1: a two-digit year more than 50 years ahead lies in the past. */
static unsigned full_year(unsigned two_digits)
{
	struct tm now;
	unsigned this_year, year;

	split_wall(clock_wall_ns(), &now);
	this_year = (unsigned)now.tm_year + 1900;
	year = this_year / 100 * 100 + two_digits;
	return year > this_year + 50 ? year - 100 : year;
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static void scan_rfc850(struct scan *sc)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(long_day_names) && !str_starts(sc->s, str_of(long_day_names[i])))
		i++;
	if (i == ARRAY_SIZE(long_day_names)) {
		sc->bad = true;
		return;
	}
	want(sc, long_day_names[i]);
	want(sc, ", ");
	sc->day = want_dec(sc, 2);
	want(sc, "-");
	sc->month = want_name(sc, month_names);
	want(sc, "-");
	sc->year = full_year(want_dec(sc, 2));
	want(sc, " ");
	want_time(sc, ":");
	want(sc, " GMT");
}

/* Sun Nov  6 08:49:37 1994 */
static void scan_asctime(struct scan *sc)
{
	want_name(sc, day_names);
	want(sc, " ");
	sc->month = want_name(sc, month_names);
	want(sc, " ");
	if (str_starts(sc->s, STR_LIT(" "))) {
		want(sc, " ");
		sc->day = want_dec(sc, 1);
	} else {
		sc->day = want_dec(sc, 2);
	}
	want(sc, " ");
	want_time(sc, ":");
	want(sc, " ");
	sc->year = want_dec(sc, 4);
}

int clock_parse_http(struct str s, uint64_t *ret_wall_ns)
{
	struct scan sc = {.s = s};
	ptrdiff_t comma = str_find(s, ',', 0);

	if (comma < 0)
		scan_asctime(&sc);
	else if (comma == 3)
		scan_imf(&sc);
	else
		scan_rfc850(&sc);
	return finish(&sc, ret_wall_ns);
}

/* Any number of digits; what lies below a nanosecond is dropped. */
static void scan_fraction(struct scan *sc)
{
	unsigned unit = NS_PER_S / 10;
	size_t n = 0;

	for (; n < sc->s.len && sc->s.p[n] >= '0' && sc->s.p[n] <= '9'; n++, unit /= 10)
		sc->frac_ns += unit * (unsigned)(sc->s.p[n] - '0');
	sc->bad |= n == 0;
	sc->s = str_sub(sc->s, n, sc->s.len - n);
}

int clock_parse_iso(struct str s, uint64_t *ret_wall_ns)
{
	struct scan sc = {.s = s};
	bool basic = str_find(s, '-', 0) < 0;
	const char *dash = basic ? "" : "-";

	sc.year = want_dec(&sc, 4);
	want(&sc, dash);
	sc.month = want_dec(&sc, 2);
	want(&sc, dash);
	sc.day = want_dec(&sc, 2);
	want(&sc, "T");
	want_time(&sc, basic ? "" : ":");
	if (!sc.bad && !basic && str_starts(sc.s, STR_LIT("."))) {
		want(&sc, ".");
		scan_fraction(&sc);
	}
	want(&sc, "Z");
	return finish(&sc, ret_wall_ns);
}
