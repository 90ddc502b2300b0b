/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/interface_table.h"

#include <errno.h>
#include <pthread.h>

#include "selftests/unit/check.h"

static struct interface_table *table;

static struct pcapng_interface named(const char *name)
{
	struct pcapng_interface interface = { .link_type = LINKTYPE_ETHERNET, .snaplen = 96 };

	snprintf(interface.name, sizeof(interface.name), "%s", name);
	return interface;
}

static int put(uint32_t id, const char *name)
{
	struct pcapng_interface interface = named(name);

	return interface_table_put(table, id, &interface);
}

/* Its name; "" if there is none. */
static const char *name_of(uint32_t id)
{
	static struct interface_table_entry entry;

	return interface_table_get(table, id, &entry) ? entry.description.name : "";
}

/* Every packet has been taken, and the lanes have looked. */
static void forget_all(void)
{
	interface_table_expire(table, UINT64_MAX);
	interface_table_expire(table, UINT64_MAX);
}

static void one_that_is_gone_is_known_until_its_packets_are_taken(void **state)
{
	uint64_t before;

	(void)state;
	assert_int_equal(interface_table_create(&table), 0);
	CHECK_EQ(put(5, "eth0"), 0);
	before = interface_table_generation(table);
	interface_table_retire(table, 5, 10 * NS_PER_SEC);
	interface_table_expire(table, 10 * NS_PER_SEC);
	CHECK_STR(name_of(5), "eth0");
	CHECK_EQ(interface_table_generation(table), before);
	interface_table_expire(table, 11 * NS_PER_SEC);
	CHECK_STR(name_of(5), "");
	CHECK(interface_table_generation(table) != before);
	interface_table_destroy(table);
}

static void a_number_has_one_meaning_at_a_time(void **state)
{
	uint64_t before;

	(void)state;
	assert_int_equal(interface_table_create(&table), 0);
	CHECK_EQ(put(5, "eth0"), 0);
	before = interface_table_generation(table);
	CHECK_EQ(put(5, "renamed"), 0);
	CHECK_STR(name_of(5), "renamed");
	CHECK(interface_table_generation(table) != before);
	interface_table_retire(table, 5, NS_PER_SEC);
	CHECK_EQ(put(5, "other"), -EBUSY);
	/* The same one, too: what is counted begins anew. */
	CHECK_EQ(put(5, "renamed"), -EBUSY);
	CHECK_STR(name_of(5), "renamed");
	interface_table_expire(table, 2 * NS_PER_SEC);
	CHECK_STR(name_of(5), "");
	CHECK_EQ(put(5, "other"), -EBUSY);
	interface_table_expire(table, UINT64_MAX);
	CHECK_EQ(put(5, "other"), 0);
	interface_table_destroy(table);
}

static void tell(uint32_t id, uint64_t received)
{
	struct pcapng_statistics statistics = { .time_ns = clock_ns(CLOCK_REALTIME),
						.received = received };

	interface_table_tell(table, id, &statistics, 0);
}

static void what_was_told_last_is_there_once_it_has_ended(void **state)
{
	struct interface_table_entry entry;
	uint64_t generation, told;
	unsigned int at = 0;

	(void)state;
	assert_int_equal(interface_table_create(&table), 0);
	CHECK_EQ(put(5, "eth0"), 0);
	interface_table_set_account(table, 5, 77);
	CHECK_EQ(interface_table_told(table), 0);
	tell(5, 1);
	told = interface_table_told(table);
	CHECK(told != 0);
	tell(5, 1);
	CHECK_EQ(interface_table_told(table), told);
	tell(5, 2);
	CHECK(interface_table_told(table) != told);
	assert_true(interface_table_next(table, &at, &entry));
	CHECK_EQ(entry.ended, 0);
	atomic_fetch_add(&entry.numbers->taken, 3);
	interface_table_retire(table, 5, NS_PER_SEC);
	generation = interface_table_generation(table);
	interface_table_expire(table, 2 * NS_PER_SEC);
	CHECK(!interface_table_get(table, 5, &entry));
	at = 0;
	assert_true(interface_table_next(table, &at, &entry));
	CHECK(entry.ended > generation);
	CHECK_EQ(entry.account, 77);
	CHECK_EQ(entry.statistics.received, 2);
	CHECK_EQ(atomic_load(&entry.numbers->taken), 3);
	CHECK(!interface_table_next(table, &at, &entry));
	interface_table_expire(table, UINT64_MAX);
	at = 0;
	CHECK(!interface_table_next(table, &at, &entry));
	/* Another begins at 0. */
	CHECK_EQ(put(5, "eth0"), 0);
	assert_true(interface_table_get(table, 5, &entry));
	CHECK_EQ(atomic_load(&entry.numbers->taken), 0);
	CHECK_EQ(entry.account, 0);
	CHECK(!entry.is_told);
	interface_table_destroy(table);
}

static void a_full_table_has_room_again(void **state)
{
	(void)state;
	assert_int_equal(interface_table_create(&table), 0);
	for (uint32_t id = 1; id <= INTERFACE_TABLE_MAX; id++)
		CHECK_EQ(put(id, "x"), 0);
	CHECK_EQ(put(5000, "y"), -ENOSPC);
	interface_table_retire(table, 7, NS_PER_SEC);
	CHECK_EQ(put(5000, "y"), -ENOSPC);
	forget_all();
	CHECK_EQ(put(5000, "y"), 0);
	CHECK_EQ(put(5001, "z"), -ENOSPC);
	/* The ten thousandth is as good as the first. */
	for (uint32_t id = 5000; id < 15000; id++) {
		interface_table_retire(table, id, NS_PER_SEC);
		forget_all();
		CHECK_EQ(put(id + 1, "y"), 0);
	}
	interface_table_destroy(table);
}

static _Atomic bool ending, torn;

/* As a lane: what it reads is of one interface, whenever it looks. */
static void *read_on(void *context)
{
	struct interface_table_entry entry;
	uint64_t generation = 0;

	(void)context;
	while (!atomic_load(&ending)) {
		if (interface_table_generation(table) == generation)
			continue;
		generation = interface_table_generation(table);
		for (uint32_t id = 0; id < 4; id++) {
			if (!interface_table_get(table, id, &entry))
				continue;
			if (entry.description.name[0] != entry.description.name[1] ||
			    atomic_load(&entry.numbers->taken) == UINT64_MAX)
				atomic_store(&torn, true);
		}
	}
	return NULL;
}

static void lanes_read_while_control_writes(void **state)
{
	char name[3] = "";
	pthread_t lanes[2];

	(void)state;
	assert_int_equal(interface_table_create(&table), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lanes); i++)
		assert_int_equal(pthread_create(&lanes[i], NULL, read_on, NULL), 0);
	for (uint32_t i = 0; i < 20000; i++) {
		name[0] = name[1] = (char)('a' + i % 26);
		(void)put(i % 4, name);
		tell(i % 4, i);
		if (i % 5 == 0)
			interface_table_retire(table, i % 4, i + 1);
		if (i % 50 == 0)
			forget_all();
	}
	atomic_store(&ending, true);
	for (size_t i = 0; i < ARRAY_SIZE(lanes); i++)
		pthread_join(lanes[i], NULL);
	CHECK(!atomic_load(&torn));
	interface_table_destroy(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_is_gone_is_known_until_its_packets_are_taken),
		TEST(a_number_has_one_meaning_at_a_time),
		TEST(what_was_told_last_is_there_once_it_has_ended),
		TEST(a_full_table_has_room_again),
		TEST(lanes_read_while_control_writes),
	};

	return cmocka_run_group_tests_name("interface_table", tests, NULL, NULL);
}
