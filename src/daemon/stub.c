/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/daemon.h"

#include "base/log.h"
#include "conf/conf.h"

int daemon_run(struct conf *c)
{
	log_error("daemon", "not wired yet: drives=%zu address=%s", c->drives.n, c->address);
	conf_free(c);
	return 1;
}
