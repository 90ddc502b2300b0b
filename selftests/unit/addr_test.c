/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/addr.h"

#include <arpa/inet.h>
#include <errno.h>

#include "selftests/unit/check.h"

#define LONG_LABEL \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_NAME LONG_LABEL LONG_LABEL LONG_LABEL LONG_LABEL

static void forms(void **state)
{
	static const struct {
		const char *name, *text;
		uint16_t default_port;
		bool passive;
		int err;
		const char *address, *host;
	} cases[] = {
		{ "IPv4", "192.0.2.1:9227", 0, false, 0, "192.0.2.1:9227", "192.0.2.1" },
		{ "IPv4, default port", "192.0.2.1", 9227, false, 0, "192.0.2.1:9227",
		  "192.0.2.1" },
		{ "IPv6", "[2001:db8::1]:80", 9227, false, 0, "[2001:db8::1]:80", "2001:db8::1" },
		{ "IPv6, default port", "[2001:db8::1]", 9227, false, 0, "[2001:db8::1]:9227",
		  "2001:db8::1" },
		{ "IPv6 with a zone", "[fe80::1%lo]:1", 0, false, 0, "[fe80::1%lo]:1",
		  "fe80::1%lo" },
		{ "mapped IPv4 reads as IPv4", "[::ffff:192.0.2.1]:1", 0, false, 0, "192.0.2.1:1",
		  "::ffff:192.0.2.1" },
		{ "highest port", "192.0.2.1:65535", 0, false, 0, "192.0.2.1:65535", "192.0.2.1" },
		{ "any port to listen on", "127.0.0.1:0", 0, true, 0, "127.0.0.1:0", "127.0.0.1" },
		{ "no port", "192.0.2.1", 0, false, -EINVAL, NULL, NULL },
		{ "empty port", "192.0.2.1:", 9227, false, -EINVAL, NULL, NULL },
		{ "port 0 to connect to", "192.0.2.1:0", 0, false, -EINVAL, NULL, NULL },
		{ "port too high", "192.0.2.1:65536", 0, false, -EINVAL, NULL, NULL },
		{ "port overflows", "192.0.2.1:4294967297", 0, false, -EINVAL, NULL, NULL },
		{ "negative port", "192.0.2.1:-1", 0, false, -EINVAL, NULL, NULL },
		{ "port by name", "192.0.2.1:http", 0, false, -EINVAL, NULL, NULL },
		{ "space", "192.0.2.1: 1", 0, false, -EINVAL, NULL, NULL },
		{ "empty", "", 9227, true, -EINVAL, NULL, NULL },
		{ "no host", ":9227", 0, false, -EINVAL, NULL, NULL },
		{ "star to connect to", "*:9227", 0, false, -EINVAL, NULL, NULL },
		{ "IPv6 without brackets", "2001:db8::1", 9227, false, -EINVAL, NULL, NULL },
		{ "bracket left open", "[2001:db8::1:9227", 0, false, -EINVAL, NULL, NULL },
		{ "text after the bracket", "[2001:db8::1]9227", 0, false, -EINVAL, NULL, NULL },
		{ "empty brackets", "[]:9227", 0, true, -EINVAL, NULL, NULL },
		{ "IPv4 in brackets", "[192.0.2.1]:9227", 0, false, -EINVAL, NULL, NULL },
		{ "name in brackets", "[localhost]:9227", 0, false, -EINVAL, NULL, NULL },
		{ "stray bracket", "local]host:9227", 0, false, -EINVAL, NULL, NULL },
		{ "cut IPv4", "192.0.2:9227", 0, false, -EINVAL, NULL, NULL },
		{ "octal IPv4", "0192.0.2.1:9227", 0, false, -EINVAL, NULL, NULL },
		{ "host too long", LONG_NAME ":1", 0, false, -EINVAL, NULL, NULL },
	};
	char text[ADDR_TEXT_LEN];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct addr_list list = { .count = 99 };

		CHECK_EQ(addr_resolve(&list, c->text, c->default_port, c->passive), c->err);
		if (c->err) {
			CHECK_EQ(list.count, 99);
			continue;
		}
		CHECK_EQ(list.count, 1);
		CHECK_STR(addr_text(&list.list[0], text), c->address);
		CHECK_STR(list.host, c->host);
	}
}

static void every_address(void **state)
{
	static const struct {
		const char *name;
	} cases[] = { { ":9227" }, { "*:9227" }, { "*" } };
	struct addr_list list;
	char text[ADDR_TEXT_LEN];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		CHECK_EQ(addr_resolve(&list, c->name, 9227, true), 0);
		CHECK_EQ(list.count, 1);
		CHECK_EQ(addr_port(&list.list[0]), 9227);
		addr_text(&list.list[0], text);
		CHECK(strcmp(text, "[::]:9227") == 0 || strcmp(text, "0.0.0.0:9227") == 0);
	}
}

static void names(void **state)
{
	struct addr_list list;

	(void)state;
	CHECK_EQ(addr_resolve(&list, "localhost:9227", 0, false), 0);
	CHECK(list.count >= 1);
	CHECK_STR(list.host, "localhost");
	CHECK_EQ(addr_port(&list.list[0]), 9227);
	/* Not valid as a DNS name, so that no server is asked. */
	CHECK_EQ(addr_resolve(&list, "no such host:9227", 0, false), -ENOENT);
}

static void mapped(void **state)
{
	static const uint8_t in4[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
	static const uint8_t in6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
	struct addr_list list;
	uint8_t out[16];

	(void)state;
	CHECK_EQ(addr_resolve(&list, "192.0.2.1:1", 0, false), 0);
	addr_mapped(&list.list[0], out);
	CHECK_EQ(memcmp(out, in4, sizeof(out)), 0);
	CHECK_EQ(addr_resolve(&list, "[2001:db8::1]:1", 0, false), 0);
	addr_mapped(&list.list[0], out);
	CHECK_EQ(memcmp(out, in6, sizeof(out)), 0);
}

static void not_an_address(void **state)
{
	struct addr addr = { .any.sa_family = AF_UNIX };
	char text[ADDR_TEXT_LEN];

	(void)state;
	CHECK_STR(addr_text(&addr, text), "no address");
	CHECK_EQ(addr_port(&addr), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(forms), TEST(every_address), TEST(names), TEST(mapped), TEST(not_an_address),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
