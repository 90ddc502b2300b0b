/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/capture.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cursor.h"
#include "selftests/unit/check.h"

static const uint8_t bytes[300000] = { 1, 2, 3 };
static const struct pcapng_interface eth0 = {
	.link_type = LINKTYPE_ETHERNET, .snaplen = 96, .name = "eth0", .tsresol = 6
};
static const struct pcapng_interface eth0_dns = { .link_type = LINKTYPE_ETHERNET,
						  .name = "eth0",
						  .filter = "port 53" };
static const struct pcapng_interface tun0 = { .link_type = LINKTYPE_RAW, .name = "tun0" };
static const struct pcapng_packet packet = {
	.interface = 17, /* the frame's, of no meaning in the file */
	.time_ns = 1700000000123456789,
	.captured_len = 60,
	.original_len = 1500,
	.data = bytes,
	.flags = PCAPNG_DIR_OUT,
	.has_drop_count = true,
	.drop_count = 2,
	.has_queue = true,
	.queue = 3,
};

static struct capture *capture_new(enum capture_format format)
{
	struct capture *capture = NULL;

	assert_int_equal(capture_create(&capture, format, "test"), 0);
	return capture;
}

/* What a file holds, read by the decoder; statistics blocks are found by their type. */
struct contents {
	struct pcapng_decoder *decoder;
	struct pcapng_packet packets[32];
	unsigned int packet_count, section_count, statistics_count;
	struct pcapng_statistics statistics[8];
	int err;
};

static void read_contents(struct contents *ret, const struct buf *file)
{
	struct pcapng_packet decoded;
	enum pcapng_item item;
	uint32_t type;
	ssize_t n;

	*ret = (struct contents){};
	assert_int_equal(pcapng_decoder_create(&ret->decoder, PCAPNG_FROM_FILE), 0);
	for (size_t at = 0; at < file->len; at += (size_t)n) {
		n = pcapng_decode(ret->decoder, file->data + at, file->len - at, &item, &decoded);
		if (n <= 0) {
			ret->err = n ? (int)n : -EAGAIN;
			return;
		}
		memcpy(&type, file->data + at, sizeof(type));
		ret->section_count += type == 0x0a0d0d0a;
		ret->statistics_count += type == 5;
		if (item == PCAPNG_ITEM_STATISTICS && ret->statistics_count <= 8)
			ret->statistics[ret->statistics_count - 1] =
				*pcapng_decoder_statistics(ret->decoder);
		if (item == PCAPNG_ITEM_PACKET && ret->packet_count < ARRAY_SIZE(ret->packets))
			ret->packets[ret->packet_count++] = decoded;
	}
}

static const char *name_of(const struct contents *contents, unsigned int n)
{
	return pcapng_decoder_interface(contents->decoder, contents->packets[n].interface)->name;
}

static void one_idb_per_agent_and_interface(void **state)
{
	struct capture *capture = capture_new(CAPTURE_PCAPNG);
	struct pcapng_interface moved = eth0;
	struct contents contents;
	struct buf out = {};

	(void)state;
	CHECK(!capture_begun(capture));
	CHECK_EQ(capture_packet(capture, "a", &eth0, &packet, &out), 0);
	CHECK(capture_begun(capture));
	CHECK_EQ(capture_link_type(capture), LINKTYPE_ETHERNET);
	CHECK_EQ(capture_packet(capture, "b", &eth0, &packet, &out), 0);
	CHECK_EQ(capture_packet(capture, "a", &eth0, &packet, &out), 0);
	CHECK_EQ(capture_packet(capture, NULL, &eth0, &packet, &out), 0);
	CHECK_EQ(capture_packet(capture, "a", &eth0_dns, &packet, &out), 0);
	/* The same at another address, then another at that address. */
	CHECK_EQ(capture_packet(capture, "a", &moved, &packet, &out), 0);
	strcpy(moved.name, "eth1");
	CHECK_EQ(capture_packet(capture, "a", &moved, &packet, &out), 0);
	capture_end(capture, &out);

	read_contents(&contents, &out);
	CHECK_EQ(contents.err, 0);
	CHECK_EQ(contents.section_count, 1);
	CHECK_EQ(contents.packet_count, 7);
	CHECK_EQ(contents.statistics_count, 5);
	CHECK_EQ(pcapng_decoder_interface_count(contents.decoder), 5);
	CHECK_STR(name_of(&contents, 0), "a/eth0");
	CHECK_STR(name_of(&contents, 1), "b/eth0");
	CHECK_STR(name_of(&contents, 2), "a/eth0");
	CHECK_STR(name_of(&contents, 3), "eth0");
	CHECK_STR(name_of(&contents, 4), "a/eth0");
	CHECK_EQ(contents.packets[0].interface, contents.packets[2].interface);
	CHECK(contents.packets[0].interface != contents.packets[4].interface);
	CHECK_EQ(contents.packets[0].interface, contents.packets[5].interface);
	CHECK_STR(name_of(&contents, 6), "a/eth1");
	for (uint32_t i = 0; i < 5; i++) {
		const struct pcapng_interface *interface =
			pcapng_decoder_interface(contents.decoder, i);

		CHECK_EQ(interface->snaplen, 262144);
		CHECK_EQ(interface->tsresol, 9);
		CHECK_EQ(interface->link_type, LINKTYPE_ETHERNET);
	}
	CHECK_EQ(contents.packets[0].time_ns, packet.time_ns);
	CHECK_EQ(contents.packets[0].original_len, 1500);
	CHECK_EQ(contents.packets[0].flags, PCAPNG_DIR_OUT);
	CHECK_EQ(contents.packets[0].drop_count, 2);
	CHECK_EQ(contents.packets[0].queue, 3);
	pcapng_decoder_destroy(contents.decoder);
	buf_release(&out);
	capture_destroy(capture);
}

static void another_link_type_is_refused(void **state)
{
	static const struct {
		const char *name;
		enum capture_format format;
	} cases[] = { { "pcapng", CAPTURE_PCAPNG }, { "pcap", CAPTURE_PCAP } };
	struct contents contents;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct capture *capture = capture_new(c->format);
		struct buf out = {};

		CHECK_EQ(capture_packet(capture, "a", &tun0, &packet, &out), 0);
		CHECK_EQ(capture_packet(capture, "a", &eth0, &packet, &out), -EXDEV);
		CHECK_EQ(capture_begin(capture, LINKTYPE_ETHERNET, &out), -EXDEV);
		CHECK_EQ(capture_packet(capture, "a", &tun0, &packet, &out), 0);
		capture_end(capture, &out);
		read_contents(&contents, &out);
		CHECK_EQ(contents.err, 0);
		CHECK_EQ(contents.packet_count, 2);
		CHECK_EQ(contents.packets[1].time_ns, packet.time_ns);
		CHECK_EQ(pcapng_decoder_interface(contents.decoder, 0)->link_type, LINKTYPE_RAW);
		pcapng_decoder_destroy(contents.decoder);
		buf_release(&out);
		capture_destroy(capture);
	}
}

static void an_empty_file_is_valid(void **state)
{
	struct capture *capture = capture_new(CAPTURE_PCAPNG);
	struct contents contents;
	struct buf out = {};

	(void)state;
	capture_end(capture, &out);
	CHECK_EQ(out.len, 0);
	CHECK_EQ(capture_begin(capture, LINKTYPE_ETHERNET, &out), 0);
	capture_end(capture, &out);
	read_contents(&contents, &out);
	CHECK_EQ(contents.err, 0);
	CHECK_EQ(contents.section_count, 1);
	CHECK_EQ(contents.statistics_count, 0);
	CHECK_EQ(pcapng_decoder_interface_count(contents.decoder), 1);
	pcapng_decoder_destroy(contents.decoder);
	capture_destroy(capture);

	buf_clear(&out);
	capture = capture_new(CAPTURE_PCAP);
	CHECK_EQ(capture_begin(capture, LINKTYPE_ETHERNET, &out), 0);
	capture_end(capture, &out);
	CHECK_EQ(out.len, 24);
	buf_release(&out);
	capture_destroy(capture);
}

static void a_packet_is_cut_to_snaplen(void **state)
{
	struct capture *capture = capture_new(CAPTURE_PCAPNG);
	struct pcapng_packet jumbo = packet;
	struct contents contents;
	struct buf out = {};

	(void)state;
	jumbo.captured_len = sizeof(bytes);
	jumbo.original_len = sizeof(bytes) + 1;
	CHECK_EQ(capture_packet(capture, "a", &eth0, &jumbo, &out), 0);
	read_contents(&contents, &out);
	CHECK_EQ(contents.packets[0].captured_len, 262144);
	CHECK_EQ(contents.packets[0].original_len, sizeof(bytes) + 1);
	pcapng_decoder_destroy(contents.decoder);
	buf_release(&out);
	capture_destroy(capture);
}

static void resumed(void **state)
{
	struct capture *capture = capture_new(CAPTURE_PCAPNG);
	struct contents contents;
	struct buf out = {};
	uint32_t count;

	(void)state;
	CHECK_EQ(capture_packet(capture, "a", &eth0, &packet, &out), 0);
	CHECK_EQ(capture_packet(capture, "b", &eth0, &packet, &out), 0);
	count = capture_interface_count(capture);
	CHECK_EQ(count, 2);
	capture_destroy(capture);

	capture = capture_new(CAPTURE_PCAPNG);
	capture_resume(capture, LINKTYPE_ETHERNET, count);
	CHECK_EQ(capture_packet(capture, "c", &tun0, &packet, &out), -EXDEV);
	CHECK_EQ(capture_packet(capture, "b", &eth0, &packet, &out), 0);
	CHECK_EQ(capture_packet(capture, "c", &eth0, &packet, &out), 0);
	CHECK_EQ(capture_interface_count(capture), 4);
	capture_end(capture, &out);
	read_contents(&contents, &out);
	CHECK_EQ(contents.err, 0);
	CHECK_EQ(contents.section_count, 1);
	CHECK_EQ(contents.packet_count, 4);
	CHECK_EQ(contents.statistics_count, 2);
	CHECK_STR(name_of(&contents, 1), "b/eth0");
	CHECK_STR(name_of(&contents, 2), "b/eth0");
	CHECK_STR(name_of(&contents, 3), "c/eth0");
	pcapng_decoder_destroy(contents.decoder);
	capture_destroy(capture);

	buf_clear(&out);
	capture = capture_new(CAPTURE_PCAP);
	capture_resume(capture, LINKTYPE_ETHERNET, 0);
	CHECK_EQ(capture_packet(capture, NULL, &eth0, &packet, &out), 0);
	CHECK_EQ(out.len, 16 + 60);
	buf_release(&out);
	capture_destroy(capture);
}

/*
 * Containers come and go for years: of three times as many interfaces as are known at a time, and
 * one that is always there, each packet is its own interface's, and each interface has statistics.
 */
static void more_interfaces_than_are_known(void **state)
{
	struct capture *capture = capture_new(CAPTURE_PCAPNG);
	struct pcapng_interface interface = { .link_type = LINKTYPE_ETHERNET };
	unsigned int n = 0, blocks = 0, told = 0, packets = 0;
	const struct pcapng_statistics *statistics;
	struct pcapng_packet decoded;
	struct pcapng_decoder *decoder;
	enum pcapng_item item;
	struct buf out = {};
	ssize_t used;
	char name[16];

	(void)state;
	for (unsigned int i = 0; i < 3 * PCAPNG_INTERFACES_MAX; i++) {
		snprintf(interface.name, sizeof(interface.name), "if%u", i);
		assert_int_equal(capture_packet(capture, "a", &interface, &packet, &out), 0);
		assert_int_equal(capture_packet(capture, "a", &eth0, &packet, &out), 0);
	}
	capture_end(capture, &out);

	assert_int_equal(pcapng_decoder_create(&decoder, PCAPNG_FROM_FILE), 0);
	for (size_t at = 0; at < out.len; at += (size_t)used) {
		used = pcapng_decode(decoder, out.data + at, out.len - at, &item, &decoded);
		assert_true(used > 0);
		blocks += item == PCAPNG_ITEM_INTERFACE;
		if (item == PCAPNG_ITEM_STATISTICS) {
			statistics = pcapng_decoder_statistics(decoder);
			assert_int_equal(statistics->interface, told++);
			packets += statistics->delivered;
		}
		if (item != PCAPNG_ITEM_PACKET)
			continue;
		snprintf(name, sizeof(name), n % 2 ? "a/eth0" : "a/if%u", n / 2);
		assert_string_equal(pcapng_decoder_interface(decoder, decoded.interface)->name,
				    name);
		n++;
	}
	CHECK_EQ(n, 6 * PCAPNG_INTERFACES_MAX);
	CHECK_EQ(packets, n);
	/* What is there all the time is described again with each new beginning. */
	CHECK_EQ(blocks, 3 * PCAPNG_INTERFACES_MAX + 4);
	CHECK_EQ(told, blocks);
	CHECK_EQ(pcapng_decoder_interface_count(decoder), blocks);
	CHECK_EQ(capture_interface_count(capture), blocks);
	/* The first ones are forgotten. */
	CHECK(pcapng_decoder_interface(decoder, blocks - PCAPNG_INTERFACES_MAX - 1) == NULL);
	CHECK(pcapng_decoder_interface(decoder, blocks - PCAPNG_INTERFACES_MAX) != NULL);
	pcapng_decoder_destroy(decoder);
	buf_release(&out);
	capture_destroy(capture);
}

static void a_block_that_goes_as_it_is(void **state)
{
	struct capture *capture = capture_new(CAPTURE_PCAPNG), *pcap = capture_new(CAPTURE_PCAP);
	struct pcapng_packet first = packet, second = packet, long_one = packet;
	struct contents contents;
	struct buf out = {}, pcap_out = {};

	(void)state;
	first.interface = 0;
	second.interface = 1;
	long_one.interface = 0;
	long_one.captured_len = PCAPNG_SNAPLEN + 1;
	CHECK(!capture_as_is(capture, NULL, &eth0, &first)); /* no header, no IDB */
	CHECK_EQ(capture_packet(capture, NULL, &eth0, &packet, &out), 0);
	CHECK(capture_as_is(capture, NULL, &eth0, &first));
	CHECK(!capture_as_is(capture, NULL, &eth0, &second)); /* another number in the file */
	CHECK(!capture_as_is(capture, NULL, &eth0, &long_one));
	CHECK(!capture_as_is(capture, "agent", &eth0, &first));
	CHECK(!capture_as_is(capture, NULL, &tun0, &first));
	CHECK(!capture_as_is(capture, NULL, &eth0_dns, &second)); /* not described yet */
	CHECK_EQ(capture_packet(capture, NULL, &eth0_dns, &packet, &out), 0);
	CHECK(capture_as_is(capture, NULL, &eth0_dns, &second));
	capture_end(capture, &out);
	read_contents(&contents, &out);
	CHECK_EQ(contents.err, 0);
	CHECK_EQ(contents.packet_count, 2);
	CHECK_EQ(contents.statistics_count, 2);
	pcapng_decoder_destroy(contents.decoder);
	CHECK_EQ(capture_packet(pcap, NULL, &eth0, &packet, &pcap_out), 0);
	CHECK(!capture_as_is(pcap, NULL, &eth0, &first));
	buf_release(&out);
	buf_release(&pcap_out);
	capture_destroy(capture);
	capture_destroy(pcap);
}

static int tell(struct capture *capture, const struct pcapng_interface *interface,
		uint64_t start_ns, uint64_t received, uint64_t delivered, struct buf *out)
{
	const struct pcapng_statistics statistics = {
		.interface = 99, /* of the frame it came in */
		.time_ns = start_ns + received,
		.start_ns = start_ns,
		.end_ns = start_ns + received,
		.received = received,
		.dropped = 1,
		.filter_accepted = PCAPNG_UNKNOWN,
		.os_dropped = received - delivered,
		.delivered = delivered,
	};

	return capture_statistics(capture, "a", interface, &statistics, out);
}

/* In whatever order they come, and however often. */
static void an_agent_s_numbers_go_before_our_own(void **state)
{
	struct capture *capture = capture_new(CAPTURE_PCAPNG);
	struct pcapng_interface idle = eth0;
	struct contents contents;
	struct buf out = {};

	(void)state;
	strcpy(idle.name, "idle");
	CHECK_EQ(tell(capture, &eth0, 1000, 1, 1, &out), 0);
	CHECK_EQ(out.len, 0); /* there is no file yet */
	CHECK_EQ(capture_packet(capture, "a", &eth0, &packet, &out), 0);
	CHECK_EQ(capture_packet(capture, "b", &eth0, &packet, &out), 0);
	CHECK_EQ(tell(capture, &eth0, 1000, 50, 40, &out), 0);
	CHECK_EQ(tell(capture, &eth0, 1000, 30, 30, &out), 0); /* another lane's, late */
	CHECK_EQ(tell(capture, &eth0, 2000, 5, 4, &out), 0);   /* began anew */
	CHECK_EQ(tell(capture, &eth0, 2000, 7, 7, &out), 0);
	CHECK_EQ(tell(capture, &eth0, 1000, 50, 40, &out), 0); /* a file that is read again */
	CHECK_EQ(tell(capture, &idle, 3000, 0, 0, &out), 0);
	CHECK_EQ(tell(capture, &tun0, 3000, 9, 9, &out), 0); /* of another link type */
	capture_end(capture, &out);
	read_contents(&contents, &out);
	CHECK_EQ(contents.err, 0);
	CHECK_EQ(pcapng_decoder_interface_count(contents.decoder), 3);
	CHECK_EQ(contents.statistics_count, 3);
	CHECK_EQ(contents.statistics[0].interface, 0);
	CHECK_EQ(contents.statistics[0].start_ns, 1000);
	CHECK_EQ(contents.statistics[0].end_ns, 2007);
	CHECK_EQ(contents.statistics[0].received, 57);
	CHECK_EQ(contents.statistics[0].dropped, 2);
	CHECK_EQ(contents.statistics[0].filter_accepted, PCAPNG_UNKNOWN);
	CHECK_EQ(contents.statistics[0].os_dropped, 11);
	CHECK_EQ(contents.statistics[0].delivered, 47);
	/* Nobody told: what went through. */
	CHECK_EQ(contents.statistics[1].interface, 1);
	CHECK_EQ(contents.statistics[1].received, PCAPNG_UNKNOWN);
	CHECK_EQ(contents.statistics[1].dropped, 2);
	CHECK_EQ(contents.statistics[1].delivered, 1);
	CHECK_EQ(contents.statistics[2].interface, 2);
	CHECK_EQ(contents.statistics[2].received, 0);
	CHECK_STR(pcapng_decoder_interface(contents.decoder, 2)->name, "a/idle");
	pcapng_decoder_destroy(contents.decoder);
	buf_release(&out);
	capture_destroy(capture);
}

static void formats(void **state)
{
	enum capture_format format;

	(void)state;
	CHECK_EQ(capture_format_parse(&format, "pcapng"), 0);
	CHECK_EQ(format, CAPTURE_PCAPNG);
	CHECK_EQ(capture_format_parse(&format, "pcap"), 0);
	CHECK_EQ(format, CAPTURE_PCAP);
	CHECK_EQ(capture_format_parse(&format, "pcapn"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_idb_per_agent_and_interface),
		TEST(another_link_type_is_refused),
		TEST(an_empty_file_is_valid),
		TEST(a_packet_is_cut_to_snaplen),
		TEST(resumed),
		TEST(more_interfaces_than_are_known),
		TEST(a_block_that_goes_as_it_is),
		TEST(an_agent_s_numbers_go_before_our_own),
		TEST(formats),
	};

	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
