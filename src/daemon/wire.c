/* SPDX-License-Identifier: Apache-2.0
 *
 * The one file that knows every layer: configuration in, params of each layer out.
 *
 *   drive keeper (opens the drives) -> meta (recovery) -> object -> background services -> mount, S3 listener ->
 *   the keeper looks
 *
 * Taking down is the opposite order: the fronts first drain, then the services end, then the store publishes what the
 * mount left dirty, then the set makes a checkpoint, so that the next start has next to nothing to read.
 *
 * A drive that hangs ends none of this by itself: its calls are bounded, the set and the keeper leave it behind. What is not
 * bounded, as a read of a mapped page that the kernel waits for, is found by a watchdog: the process ends from there. What
 * has been acknowledged is in the journals by then.
 */
#include "daemon/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/watchdog.h"
#include "conf/conf.h"
#include "daemon/notify.h"
#include "daemon/routes.h"
#include "fusefs/fusefs.h"
#include "meta/meta.h"
#include "object/store.h"
#include "s3/s3.h"
#include "service/compact.h"
#include "service/drives.h"
#include "service/heal.h"
#include "service/monitor.h"
#include "service/scrub.h"
#include "service/service.h"
#include "service/usage.h"

#define DRAIN_NS (10 * NS_PER_S)
#define STEP_TIMEOUTS 8              /* of the drives, for a step of the stop, beside what draining takes */
#define STEP_MAX_NS (80 * NS_PER_S)  /* below TimeoutStopSec of contrib/quoin.service */
#define HEAL_LOOK_NS (1 * NS_PER_S)    /* between two looks for something to heal */
#define SCRUB_LOOK_NS (2 * NS_PER_S)   /* between two looks whether a scrub is due */
#define COMPACT_LOOK_NS (10 * NS_PER_S) /* between two looks for something to compact */
#define MONITOR_NS (1 * NS_PER_S)
#define SCAN_FIRST_NS (600 * NS_PER_S) /* a daemon that is restarted every day scans too */

struct wire {
	struct drives *keeper;
	unsigned ndrives;
	struct meta_set *set;
	struct object_store *store;
	struct monitor *monitor;
	struct usage_scan *usage;
	struct heal *heal;
	struct scrub *scrub;
	struct compact *compact;
	struct services *services;
	char *address, *mount_path; /* for admin: the configuration may be replaced */
	struct admin_params admin;
	struct s3_server *s3;
	struct fusefs_guard *guard; /* of who called */
	struct fusefs *mount;
	struct fusefs_place mounted;
	uint64_t step_ns;
	struct watchdog *watchdog; /* of the stop */
};

static unsigned cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : (unsigned)n;
}

static uint64_t or_auto(uint64_t v, uint64_t automatic)
{
	return v == CONF_AUTO ? automatic : v;
}

static int open_drives(struct wire *w, const struct conf *c)
{
	struct drives_params p = {
		.paths = (const char *const *)c->drives.v,
		.n = (unsigned)c->drives.n,
		.timeout_ns = c->drive_timeout_ns,
	};

	w->ndrives = p.n;
	w->keeper = drives_new(&p);
	return w->keeper ? 0 : -ENOMEM;
}

static unsigned log2_of(uint64_t v)
{
	return 63u - (unsigned)__builtin_clzll(v);
}

static int open_set(struct wire *w, const struct conf *c, struct op_ctx *ctx)
{
	struct meta_params p = {
		.n = w->ndrives,
		.m = conf_parity(c),
		.log2_journal_file = log2_of(c->journal_file_bytes),
		.journal_files = (unsigned)or_auto(c->journal_files, 0),
		.segment_size = or_auto(c->segment_bytes, 0),
		.spares = (unsigned)c->segment_spares,
		.inline_max = (uint32_t)c->inline_max_bytes,
		.memtable_bytes = c->memory_memtable_bytes,
		.ordered_window_ns = c->journal_window_ns,
		.drive_timeout_ns = c->drive_timeout_ns,
		.checkpoint_idle_ns = 60 * NS_PER_S,
		.index_map_bytes = WIRE_INDEX_MAP_BYTES,
		.applied = object_store_applied,
		.reset = object_store_reset,
		.arg = &w->store,
	};

	if (!drives_lend(w->keeper, p.drives)) {
		log_error("daemon", "none of the %u drives can be used", w->ndrives);
		return -QE_QUORUM_READ;
	}
	int rc = meta_set_open(&p, ctx, &w->set);
	if (rc < 0)
		log_error("daemon", "cannot start the set cause=\"%s\" detail=\"%s\"", err_text(rc), ctx->detail);
	else
		drives_attach(w->keeper, w->set);
	return rc;
}

static int open_store(struct wire *w, const struct conf *c, struct op_ctx *ctx)
{
	struct object_params p = {
		.set = w->set,
		.workers = (unsigned)or_auto(c->workers, MAX(8u, 2 * cpus())),
		.body_memory = 256ull << 20,
		.dirty_memory = 256ull << 20,
		.uid = (uint32_t)or_auto(c->mount_uid, geteuid()),
		.gid = (uint32_t)or_auto(c->mount_gid, getegid()),
		.file_mode = (uint32_t)c->mount_file_mode,
		.dir_mode = (uint32_t)c->mount_dir_mode,
		.writeback_ns = c->mount_writeback_ns,
		.drive_timeout_ns = c->drive_timeout_ns,
	};

	w->store = object_store_open(&p, ctx);
	if (w->store)
		return 0;
	log_error("daemon", "cannot open the object store detail=\"%s\"", ctx->detail);
	return -QE_INTERNAL;
}

/* ---- Background work that has threads of its own ------------------------------------------------------------------- */
static void watch_checkpoint(void *arg, struct service_info *ret)
{
	struct meta_stats st;

	meta_stats(arg, &st);
	ret->state = st.checkpointing ? SERVICE_RUNNING : SERVICE_WAITING;
	ret->cycle = st.checkpoints;
	ret->ended_ns = st.checkpoint_ended_ns;
	ret->took_ns = st.checkpoint_took_ns;
	snprintf(ret->note, sizeof ret->note, "%llu rows, %llu payloads moved to segments", (unsigned long long)st.checkpoint_rows,
		 (unsigned long long)st.destaged_blobs);
}

static void watch_reclaim(void *arg, struct service_info *ret)
{
	struct meta_stats st;

	meta_stats(arg, &st);
	ret->done = st.reclaimed_segments;
	snprintf(ret->note, sizeof ret->note, "%llu bytes given back", (unsigned long long)st.reclaimed_bytes);
}

static void watch_reap(void *arg, struct service_info *ret)
{
	object_background(arg, &ret->done, &ret->total);
	ret->state = ret->done < ret->total ? SERVICE_RUNNING : SERVICE_WAITING;
}

/* The table of what runs in the background. */
static int start_services(struct wire *w, const struct conf *c)
{
	w->monitor = monitor_new(w->set);
	w->usage = usage_scan_new(w->set);
	w->heal = heal_new(w->store);
	w->scrub = scrub_new(w->set, c->scrub_period_ns);
	w->compact = compact_new(w->set);
	if (!w->monitor || !w->usage || !w->heal || !w->scrub || !w->compact)
		return -ENOMEM;
	const struct service rows[] = {
		{.name = "drives", .watch = drives_watch, .arg = w->keeper},
		{.name = "checkpoint", .watch = watch_checkpoint, .arg = w->set},
		{.name = "reclaim", .watch = watch_reclaim, .arg = w->set},
		{.name = "reap", .watch = watch_reap, .arg = w->store},
		{.name = "monitor", .period_ns = MONITOR_NS, .run = monitor_run, .arg = w->monitor},
		{.name = "usage", .first_ns = MIN(SCAN_FIRST_NS, c->scanner_period_ns), .period_ns = c->scanner_period_ns,
		 .run = usage_scan_run, .arg = w->usage},
		{.name = "heal", .period_ns = HEAL_LOOK_NS, .run = heal_run, .arg = w->heal},
		{.name = "scrub", .first_ns = SCRUB_LOOK_NS, .period_ns = SCRUB_LOOK_NS, .budget = c->scrub_bandwidth_bytes,
		 .run = scrub_run, .arg = w->scrub},
		{.name = "compact", .first_ns = COMPACT_LOOK_NS, .period_ns = COMPACT_LOOK_NS, .budget = c->compact_bandwidth_bytes,
		 .run = compact_run, .arg = w->compact},
	};

	return services_start(rows, ARRAY_SIZE(rows), &w->services);
}

static void health_state(void *arg, struct s3_health_state *ret)
{
	struct meta_stats st;

	meta_stats(arg, &st);
	*ret = (struct s3_health_state){.writable = st.writable, .write_quorum = st.w};
	for (unsigned i = 0; i < st.n; i++) {
		enum isr_state state = st.state[i];

		ret->in_sync += state == ISR_IN;
		ret->healing += state == ISR_JOINING || (state == ISR_IN && st.missing_of[i]);
	}
}

static int start_s3(struct wire *w, const struct conf *c, struct op_ctx *ctx)
{
	struct s3_params p = {
		.store = w->store,
		.address = c->address,
		.loops = (unsigned)or_auto(c->http_loops, 0),
		.access_key = c->root_user,
		.secret_key = c->root_password,
		.region = c->region,
		.domain = c->domain,
		.max_connections = (unsigned)c->http_max_connections,
		.idle_timeout_s = (unsigned)(c->http_idle_timeout_ns / NS_PER_S),
		.health = health_state,
		.health_arg = w->set,
	};

	p.routes = daemon_routes(&w->admin, &p.nroutes);
	w->s3 = s3_server_start(&p, ctx);
	if (w->s3)
		return 0;
	log_error("daemon", "cannot serve S3 address=%s cause=\"%s\"", c->address, ctx->detail);
	return -EADDRNOTAVAIL;
}

static int start_mount(struct wire *w, const struct conf *c, struct op_ctx *ctx)
{
	if (!*c->mount_path)
		return 0;
	struct fusefs_params p = {
		.store = w->store,
		.guard = w->guard,
		.path = str_of(c->mount_path),
		.private = !c->mount_allow_other,
	};
	int rc = fusefs_start(&p, ctx, &w->mount);
	if (rc == 0)
		fusefs_place(w->mount, &w->mounted);
	else
		log_error("daemon", "cannot mount path=%s cause=\"%s\" detail=\"%s\"", c->mount_path, err_text(rc), ctx->detail);
	return rc;
}

static int build(struct wire *w, const struct conf *c, struct op_ctx *ctx)
{
	int rc = open_drives(w, c);

	if (rc == 0)
		rc = open_set(w, c, ctx);
	if (rc == 0)
		rc = open_store(w, c, ctx);
	if (rc < 0)
		return rc;
	w->address = strdup(c->address);
	w->mount_path = *c->mount_path ? strdup(c->mount_path) : NULL;
	if (!w->address || (*c->mount_path && !w->mount_path))
		return -ENOMEM;
	rc = start_services(w, c);
	if (rc < 0)
		return rc;
	w->admin = (struct admin_params){
		.store = w->store,
		.services = w->services,
		.usage = w->usage,
		.drives = w->keeper,
		.heal = w->heal,
		.scrub = w->scrub,
		.monitor = w->monitor,
		.address = w->address,
		.mount = w->mount_path,
		.started_ns = clock_wall_ns(),
	};
	/* The mount before the listener: whoever sees the endpoint ready may use both. */
	rc = start_mount(w, c, ctx);
	if (rc == 0)
		rc = start_s3(w, c, ctx);
	return rc < 0 ? rc : drives_start(w->keeper);
}

int wire_up(const struct conf *c, struct fusefs_guard *guard, struct wire **ret)
{
	struct wire *w = calloc(1, sizeof *w);
	struct op_ctx ctx;

	if (!w)
		return -ENOMEM;
	*ret = w; /* half-built on error: wire_down takes it */
	w->guard = guard;
	w->step_ns = MIN(DRAIN_NS + STEP_TIMEOUTS * c->drive_timeout_ns, STEP_MAX_NS);
	op_ctx_init(&ctx, OP_ADMIN);
	int rc = build(w, c, &ctx);
	if (rc == 0)
		log_info("daemon", "ready address=%s mount=%s drives=%u parity=%u", c->address,
			 *c->mount_path ? c->mount_path : "none", w->ndrives, conf_parity(c));
	op_ctx_done(&ctx);
	return rc;
}

/* Nothing is freed: whoever hangs may need it. The kernel keeps what a process holds until its last thread has returned, so
 * what others wait for is given back here. */
static void leave(void *arg, const char *step)
{
	struct wire *w = arg;

	log_error("daemon", "the stop is left: it does not get on, perhaps because a drive does not answer step=\"%s\"", step);
	if (*w->mounted.path)
		fusefs_abandon(&w->mounted);
	drives_abandon(w->keeper);
	_exit(WIRE_EXIT_LEFT);
}

/* The service manager waits for as long as the watchdog does, and a little longer. */
static void step(struct wire *w, const char *name, uint64_t within_ns)
{
	char state[160];

	snprintf(state, sizeof state, "EXTEND_TIMEOUT_USEC=%llu\nSTATUS=Stopping: %s",
	         (unsigned long long)((within_ns + 10 * NS_PER_S) / 1000), name);
	daemon_notify(state);
	watchdog_step(w->watchdog, name, within_ns);
}

static void stop_services(struct wire *w)
{
	services_stop(w->services);
	usage_scan_free(w->usage);
	monitor_free(w->monitor);
	heal_free(w->heal);
	scrub_free(w->scrub);
	compact_free(w->compact);
}

struct wire *wire_down(struct wire *w)
{
	if (!w)
		return NULL;
	w->watchdog = watchdog_new(leave, w);
	step(w, "requests of S3", w->step_ns);
	s3_server_stop(w->s3, DRAIN_NS);
	step(w, "the mount", w->step_ns);
	fusefs_stop(w->mount);
	step(w, "the drive keeper", w->step_ns);
	drives_stop(w->keeper);
	step(w, "background services", w->step_ns);
	stop_services(w);
	step(w, "publishing of dirty files", w->step_ns);
	w->store = object_store_close(w->store);
	step(w, "the last checkpoint", STEP_MAX_NS); /* there may be much to do */
	w->set = meta_set_close(w->set);
	struct drives *keeper = w->keeper;
	w->keeper = NULL; /* leave() keeps off it */
	step(w, "closing of the drives", w->step_ns);
	w->keeper = drives_free(keeper);
	w->watchdog = watchdog_free(w->watchdog);
	if (w->store || w->set || w->keeper)
		return w;
	free(w->address);
	free(w->mount_path);
	free(w);
	return NULL;
}
