/* SPDX-License-Identifier: Apache-2.0
 *
 * The mount's side of a revived set (STORAGE.md Q4). What a node knew of its rows is looked at again, bytes that were
 * published and taken back are told to who has the file open, and what is not published is submitted again: it was kept.
 */
#include <stdlib.h>

#include "base/log.h"
#include "object/fs_internal.h"

/* 1 it has a name, 0 it has none, < 0. */
static int has_name(struct fs_node *n)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_row row;
	struct row_dir d;
	struct fs_where w;
	int rc;

	if (n->kind == FS_OBJECT) {
		rc = node_view(n, &v, &w);
		return rc < 0 ? rc : !(w.file.linked && w.file.nlink == 0);
	}
	rc = meta_view_open(n->fs->set, &v);
	if (rc == 0)
		rc = dir_row(v, n->ino, &row, &d);
	return rc < 0 ? rc : 1;
}

static void look_again(struct fs_node *n)
{
	bool gone;

	mutex_lock(&n->fs->nodes_lock);
	gone = n->gone;
	mutex_unlock(&n->fs->nodes_lock);
	/* Its removal was taken back. */
	if (gone && n->kind != FS_ROOT && has_name(n) > 0) {
		MUTEX_GUARD(&n->fs->nodes_lock);
		n->gone = false;
	}
	if (n->kind != FS_OBJECT)
		return;
	MUTEX_GUARD(&n->lock);
	if (!n->published_seq || !meta_seq_lost(n->fs->set, n->published_seq))
		return;
	n->published_seq = 0;
	if (n->writers == 0)
		return;
	n->lost = -EIO;
	log_warn("fs", "changes to an open file were taken back, its next flush fails ino=%016llx", (unsigned long long)n->ino);
}

void fs_revived(struct fs *f)
{
	struct fs_node **all;
	size_t n = fs_nodes(f, &all);

	for (size_t i = 0; i < n; i++) {
		look_again(all[i]);
		node_unref(all[i]);
	}
	free(all);
	if (fs_publish_all(f, clock_mono_ns()) < 0)
		log_debug("fs", "some files could not be published yet");
}
