/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/admin_client_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>

#include "conf/address.h"

#define ANSWER_MAX (64 * 1024 * 1024)
#define TIMEOUT_MS 60000L
/* S3 wants the hash of the body signed; admin calls have none. */
#define EMPTY_BODY "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

int admin_client_init(struct admin_client *a, const struct conf *c, const char *endpoint)
{
	struct conf_address addr = {0};
	const char *host;

	*a = (struct admin_client){.user = c->root_user, .password = c->root_password, .region = c->region};
	if (!endpoint)
		endpoint = getenv("QUOIN_ENDPOINT");
	if (endpoint) {
		a->endpoint = strdup(endpoint);
		return a->endpoint ? 0 : -ENOMEM;
	}
	if (conf_address_parse(str_of(c->address), &addr) < 0)
		return -EINVAL;
	host = strcmp(addr.host, "") == 0 || strcmp(addr.host, "0.0.0.0") == 0 ? "127.0.0.1" : addr.host;
	if (strcmp(host, "::") == 0)
		host = "::1";
	if (asprintf(&a->endpoint, strchr(host, ':') ? "http://[%s]:%u" : "http://%s:%u", host, addr.port) < 0) {
		a->endpoint = NULL;
		return -ENOMEM;
	}
	return 0;
}

void admin_client_free(struct admin_client *a)
{
	free(a->endpoint);
	a->endpoint = NULL;
}

static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
	struct buf *b = arg;

	if (b->len + size * n > ANSWER_MAX)
		return 0;
	buf_add(b, data, size * n);
	return buf_err(b) ? 0 : size * n;
}

static int make_url(CURL *h, const struct admin_client *a, const char *path, const struct admin_param *params,
                    size_t n_params, struct buf *url)
{
	buf_add_c(url, a->endpoint);
	while (url->len > 0 && url->data[url->len - 1] == '/')
		url->len--;
	buf_add_c(url, path);
	for (size_t i = 0, n = 0; i < n_params; i++) {
		if (!params[i].value)
			continue;
		char *value = curl_easy_escape(h, params[i].value, (int)strlen(params[i].value));

		if (!value)
			return -ENOMEM;
		buf_addf(url, "%c%s=%s", n++ == 0 ? '?' : '&', params[i].name, value);
		curl_free(value);
	}
	return buf_cstr(url)[0] && !buf_err(url) ? 0 : -ENOMEM;
}

/* "AccessDenied: Access Denied." of a JSON or XML error, or the status alone. */
static void say_status(const struct admin_client *a, long status, struct buf *body)
{
	json_t *j = json_loadb(body->data ? body->data : "", body->len, 0, NULL);
	const char *code = json_string_value(json_object_get(j, "code"));
	const char *message = json_string_value(json_object_get(j, "message"));
	const char *xml = strstr(buf_cstr(body), "<Message>");

	if (code || message)
		fprintf(stderr, "quoin: %s answered %ld %s: %s\n", a->endpoint, status, code ? code : "",
		        message ? message : "");
	else if (xml)
		fprintf(stderr, "quoin: %s answered %ld: %.*s\n", a->endpoint, status, (int)strcspn(xml + 9, "<"), xml + 9);
	else
		fprintf(stderr, "quoin: %s answered %ld\n", a->endpoint, status);
	if (status == 403)
		fprintf(stderr,
		        "quoin: give the server's keys by QUOIN_ROOT_USER and QUOIN_ROOT_PASSWORD, or its file by -c\n");
	json_decref(j);
}

static int perform(CURL *h, const struct admin_client *a, struct buf *ret)
{
	char error[CURL_ERROR_SIZE] = "";
	long status = 0;
	CURLcode rc;

	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, error);
	rc = curl_easy_perform(h);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, NULL);
	if (rc != CURLE_OK) {
		fprintf(stderr, "quoin: %s: %s; is the server running, and is this its address?\n", a->endpoint,
		        error[0] ? error : curl_easy_strerror(rc));
		return -EIO;
	}
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	if (status == 200)
		return 0;
	say_status(a, status, ret);
	return -EIO;
}

static int setup(CURL *h, const struct admin_client *a, const char *method, struct buf *url, struct buf *ret)
{
	char sigv4[128];

	snprintf(sigv4, sizeof(sigv4), "aws:amz:%s:s3", a->region);
	if (curl_easy_setopt(h, CURLOPT_URL, buf_cstr(url)) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_AWS_SIGV4, sigv4) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_USERNAME, a->user) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_PASSWORD, a->password) != CURLE_OK)
		return -ENOMEM;
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, ret);
	return 0;
}

int admin_client_call(struct admin_client *a, const char *method, const char *path, const struct admin_param *params,
                      size_t n_params, struct buf *ret)
{
	CLEANUP_BUF struct buf url = BUF_INIT;
	struct curl_slist *headers = curl_slist_append(NULL, EMPTY_BODY);
	CURL *h = curl_easy_init();
	int rc = h && headers ? make_url(h, a, path, params, n_params, &url) : -ENOMEM;

	if (rc == 0)
		rc = setup(h, a, method, &url, ret);
	if (rc == 0 && curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers) != CURLE_OK)
		rc = -ENOMEM;
	if (rc == 0)
		rc = perform(h, a, ret);
	curl_easy_cleanup(h);
	curl_slist_free_all(headers);
	return rc;
}
