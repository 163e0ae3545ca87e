/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening sockets. Several loops have a socket each on the same port (SO_REUSEPORT), so that the kernel spreads the
 * connections.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "net/http_internal.h"

#define BACKLOG 1024

/* "HOST:PORT", ":PORT", "[v6]:PORT" -> host ("" for any) and port. */
static int split_address(const char *address, char *host, size_t cap, const char **ret_port)
{
	const char *colon = strrchr(address, ':'), *from = address;
	size_t len;

	if (!colon || colon[1] == '\0')
		return -EINVAL;
	len = (size_t)(colon - address);
	if (len && from[0] == '[') {
		if (from[len - 1] != ']')
			return -EINVAL;
		from++;
		len -= 2;
	} else if (memchr(from, ':', len)) {
		return -EINVAL;
	}
	if (len >= cap)
		return -EINVAL;
	memcpy(host, from, len);
	host[len] = '\0';
	*ret_port = colon + 1;
	return 0;
}

static int bind_one(const struct sockaddr *sa, socklen_t len, bool share)
{
	int on = 1, off = 0, fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (share)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
	if (sa->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (bind(fd, sa, len) < 0 || (listen(fd, BACKLOG) < 0)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static unsigned port_of(int fd, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	*ret_len = sizeof *ret;
	if (getsockname(fd, (struct sockaddr *)ret, ret_len) < 0)
		return 0;
	return ntohs(ret->ss_family == AF_INET6 ? ((struct sockaddr_in6 *)ret)->sin6_port
	                                        : ((struct sockaddr_in *)ret)->sin_port);
}

static int listen_on(const struct addrinfo *ai, int *fds, unsigned n, unsigned *ret_port)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd;

	/* Not shared at first: another process on this port is an error, not a partner. */
	fd = bind_one(ai->ai_addr, ai->ai_addrlen, false);
	if (fd < 0)
		return fd;
	*ret_port = port_of(fd, &sa, &len);
	if (n == 1) {
		fds[0] = fd;
		return 0;
	}
	close(fd);
	for (unsigned i = 0; i < n; i++) {
		fds[i] = bind_one((struct sockaddr *)&sa, len, true);
		if (fds[i] < 0) {
			int rc = fds[i];
			while (i-- > 0)
				close(fds[i]);
			return rc;
		}
	}
	return 0;
}

int http_listen(const char *address, int *fds, unsigned n, unsigned *ret_port, struct op_ctx *ctx)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
	char host[256];
	const char *port;
	int rc = split_address(address, host, sizeof host, &port);

	if (rc < 0)
		return op_fail(ctx, rc, "the address '%.80s' is not HOST:PORT, :PORT or [IPV6]:PORT", address);
	if (host[0] == '\0') {
		hints.ai_family = AF_INET6; /* both families; IPv4 alone where IPv6 is off */
		rc = getaddrinfo("::", port, &hints, &list);
		if (rc == 0) {
			rc = listen_on(list, fds, n, ret_port);
			freeaddrinfo(list);
			if (rc != -EAFNOSUPPORT && rc != -EADDRNOTAVAIL)
				goto out;
		}
		hints.ai_family = AF_INET;
	}
	rc = getaddrinfo(host[0] ? host : "0.0.0.0", port, &hints, &list);
	if (rc != 0)
		return op_fail(ctx, -EINVAL, "the address '%.80s' cannot be resolved: %s", address, gai_strerror(rc));
	rc = listen_on(list, fds, n, ret_port);
	freeaddrinfo(list);
out:
	if (rc < 0)
		return op_fail(ctx, rc, "cannot listen on %.80s: %s", address, strerror(-rc));
	return 0;
}
