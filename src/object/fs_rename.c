/* SPDX-License-Identifier: Apache-2.0
 *
 * Rename. Entries move, what they stand for stays: the key id and its history go with the name, a directory moves by
 * its
 * entry and the parent and name in its row, whatever is below it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "object/fs_internal.h"

struct rename_end {
	struct path p;
	struct path_slot slot; /* what is there */
};

/* The slot of the same name for the other kind: where the other end's thing goes when it is of another kind. */
static int slot_for(struct rename_end *e, bool is_dir, struct path_slot *ret)
{
	if (e->slot.is_dir == is_dir) {
		*ret = e->slot;
		return 0;
	}
	return path_slot_read(&e->p, path_last(&e->p), e->slot.name, is_dir, ret);
}

static int read_end(struct fs_change *ch, struct meta_view *v, struct meta_batch *b, const struct fs_node *dir,
                    const struct fs_shown *name, struct rename_end *e)
{
	int rc = change_path(ch, v, dir, &e->p);

	if (rc == 0)
		rc = change_slot(&e->p, b, name, &e->slot);
	if (rc == 0)
		path_nodes_seen(&e->p, b);
	return rc;
}

/* A directory must not come to lie below itself. Nobody else may move the chain that this was read from meanwhile. */
static int check_cycle(struct meta_batch *b, const struct path *to, uint64_t dir)
{
	for (unsigned i = 0; i < to->nnodes; i++)
		if (to->node[i].id == dir)
			return -EINVAL;
	for (unsigned i = 1; i < to->nnodes; i++)
		path_dir_expect(b, &to->node[i]);
	return 0;
}

/* The row of a directory that moves to another name. */
static int move_dir_row(struct rename_end *from, struct meta_batch *b, uint64_t parent, struct str name)
{
	struct path_node n;
	int rc = path_load_dir(&from->p, &from->slot, &n);

	if (rc < 0)
		return rc;
	if (n.dir.locked > 0)
		return -EPERM;
	path_dir_expect(b, &n);
	n.dir.parent = parent;
	n.dir.name = name;
	n.dir.attr.ctime_ns = MAX(clock_wall_ns(), n.dir.attr.ctime_ns);
	path_dir_put(b, n.id, &n.dir, false);
	return 0;
}

/* What has several names remembers each of them. */
static void move_link_row(struct meta_batch *b, const struct row_entry *e, uint64_t dir, struct str name)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct row_link l = {.dir = dir, .name = name};
	struct meta_key k;

	row_link_encode(&body, &l);
	key_u64_u64(&k, e->id, e->key_id);
	meta_batch_put(b, TABLE_LINK, &k, buf_str(&body), 0);
}

/* The thing at `from` gets the name at `to`, whose slot is `slot`. Its own entry is removed by the caller. */
static int put_moved(struct fs_change *ch, struct meta_batch *b, struct rename_end *from, struct rename_end *to,
                     struct path_slot *slot)
{
	struct row_entry e = from->slot.entry;
	uint64_t dir = path_last(&to->p)->id, now = clock_wall_ns();
	int rc = 0;

	if (from->slot.is_dir)
		rc = move_dir_row(from, b, dir, to->slot.name);
	else if (e.flags & ENTRY_LINKED)
		move_link_row(b, &e, dir, to->slot.name);
	else
		e.attr.ctime_ns = MAX(now, e.attr.ctime_ns);
	path_slot_put(&to->p, slot, b, &e, slot->present ? 0 : 1);
	return rc;
}

/* A name of the same kind is replaced: no counter changes, but the directory's times do. */
static void touch_dir(struct meta_batch *b, uint64_t dir)
{
	meta_batch_dir_delta(b, dir, 0, 1, 0, 0);
	meta_batch_dir_delta(b, dir, 0, -1, 0, 0);
}

static int replace_target(struct fs_change *ch, struct meta_view *v, struct meta_batch *b, struct rename_end *from,
                          struct rename_end *to)
{
	if (!to->slot.present)
		return 0;
	if (from->slot.is_dir && !to->slot.is_dir)
		return -ENOTDIR;
	if (!from->slot.is_dir && to->slot.is_dir)
		return -EISDIR;
	touch_dir(b, path_last(&to->p)->id);
	return from->slot.is_dir ? change_dir_gone(ch, b, &to->p, &to->slot)
	                         : change_entry_gone(ch, v, b, &to->p, &to->slot);
}

static int rename_one(struct fs_change *ch, struct meta_view *v, struct meta_batch *b, struct rename_end *from,
                      struct rename_end *to)
{
	bool same_dir = path_last(&from->p)->id == path_last(&to->p)->id;
	struct path_slot slot;
	int rc;

	if (to->slot.present && (ch->flags & RENAME_NOREPLACE))
		return -EEXIST;
	/* Two names of one file: nothing is to be done, as POSIX has it. */
	if (to->slot.present && to->slot.entry.id == from->slot.entry.id)
		return COMMIT_NOTHING;
	if (from->slot.is_dir && !same_dir) {
		rc = check_cycle(b, &to->p, from->slot.entry.id);
		if (rc < 0)
			return rc;
	}
	rc = replace_target(ch, v, b, from, to);
	if (rc == 0)
		rc = slot_for(to, from->slot.is_dir, &slot);
	if (rc == 0)
		rc = put_moved(ch, b, from, to, &slot);
	if (rc == 0 && !same_dir)
		rc = change_keep_dir(&from->p, b);
	if (rc == 0)
		rc = path_slot_del(&from->p, &from->slot, b, -1);
	return rc;
}

static int rename_exchange(struct fs_change *ch, struct meta_view *v, struct meta_batch *b, struct rename_end *from,
                           struct rename_end *to)
{
	bool same_dir = path_last(&from->p)->id == path_last(&to->p)->id;
	bool same_kind = from->slot.is_dir == to->slot.is_dir;
	struct path_slot there, here;
	int rc = 0;

	if (!to->slot.present)
		return -ENOENT;
	if (to->slot.entry.id == from->slot.entry.id)
		return COMMIT_NOTHING;
	if (from->slot.is_dir && !same_dir)
		rc = check_cycle(b, &to->p, from->slot.entry.id);
	if (rc == 0 && to->slot.is_dir && !same_dir)
		rc = check_cycle(b, &from->p, to->slot.entry.id);
	if (rc == 0)
		rc = slot_for(to, from->slot.is_dir, &there);
	if (rc == 0)
		rc = slot_for(from, to->slot.is_dir, &here);
	/* What lies beside under its alias is in the way. */
	if (rc == 0 && !same_kind && (there.present || here.present))
		rc = -EBUSY;
	if (rc == 0 && !same_kind) {
		/* The entries change rows: the old ones go. */
		rc = path_slot_del(&from->p, &from->slot, b, -1);
		if (rc == 0)
			rc = path_slot_del(&to->p, &to->slot, b, -1);
	}
	if (rc == 0)
		rc = put_moved(ch, b, from, to, &there);
	if (rc == 0)
		rc = put_moved(ch, b, to, from, &here);
	touch_dir(b, path_last(&from->p)->id);
	touch_dir(b, path_last(&to->p)->id);
	return rc;
}

static void note(struct fs_change *ch, const struct rename_end *at, uint64_t old)
{
	commit_notify_entry(&ch->c, NOTIFY_ENTRY, path_last(&at->p)->id, at->slot.name, old);
}

/* From before the commit on it is looked for at the new name as well. */
static void moving(struct fs_change *ch, unsigned which, uint64_t id, const struct fs_shown *name,
                   const struct fs_node *dir)
{
	struct fs_move *m = &ch->move[which];

	if (!id)
		return;
	*m = (struct fs_move){.id = id, .dir = dir->ino, .name = name->name};
	node_moving(ch->fs, m);
}

static int rename_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct fs_change *ch = change_of(c);
	struct rename_end from, to;
	int rc = read_end(ch, v, b, ch->dir, &ch->name, &from);

	ch->gone = 0;
	ch->gone_dir = false;
	node_moved(ch->fs, &ch->move[0], 0);
	node_moved(ch->fs, &ch->move[1], 0);
	if (rc == 0)
		rc = read_end(ch, v, b, ch->dir2, &ch->name2, &to);
	if (rc < 0)
		return rc;
	if (!from.slot.present)
		return -ENOENT;
	if (from.p.bucket != to.p.bucket)
		return -EXDEV;
	note(ch, &from, from.slot.entry.id);
	note(ch, &to, to.slot.present ? to.slot.entry.id : 0);
	moving(ch, 0, from.slot.entry.id, &ch->name2, ch->dir2);
	if (ch->flags & RENAME_EXCHANGE)
		moving(ch, 1, to.slot.present ? to.slot.entry.id : 0, &ch->name, ch->dir);
	return ch->flags & RENAME_EXCHANGE ? rename_exchange(ch, v, b, &from, &to) : rename_one(ch, v, b, &from, &to);
}

static int rename_run(struct fs_change *ch)
{
	uint64_t seq;
	int rc;

	commit_lock_name(&ch->c, ch->dir->ino, ch->name.name);
	commit_lock_name(&ch->c, ch->dir2->ino, ch->name2.name);
	rc = commit_run(&ch->c);
	seq = rc == 0 ? ch->c.seq : 0;
	node_moved(ch->fs, &ch->move[0], seq);
	node_moved(ch->fs, &ch->move[1], seq);
	return rc;
}

int fs_rename(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, struct fs_node *newdir,
              struct str newname, unsigned flags)
{
	struct fs_change ch;
	int rc;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (dir->kind == FS_ROOT || newdir->kind == FS_ROOT)
		return dir == newdir ? -EPERM : -EXDEV; /* buckets have no other names; mv copies into and out of them */
	change_init(&ch, f, ctx, dir, rename_attempt);
	ch.dir2 = newdir;
	ch.flags = flags;
	rc = change_old_name(f, ctx, dir, name, &ch.name);
	if (rc == 0)
		rc = change_old_name(f, ctx, newdir, newname, &ch.name2);
	if (rc == 0)
		rc = rename_run(&ch);
	if (rc == 0 && ch.gone)
		node_gone(f, ch.gone, ch.gone_dir ? &ch.gone_attr : NULL);
	commit_fini(&ch.c);
	return rc;
}
