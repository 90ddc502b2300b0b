/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/journal.h"

#include <sys/syscall.h>

#include "common/crc32c.h"
#include "common/segment_file.h"
#include "selftests/unit/journal_fixture.h"

/* A block of the disk that cannot be read: reads that touch it give EIO. 0: all can be. */
static uint64_t bad_from, bad_to;

/* In place of libc's. */
ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	if ((uint64_t)offset < bad_to && (uint64_t)offset + len > bad_from) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pread64, fd, buf, len, offset);
}

ssize_t __pread_chk(int fd, void *buf, size_t len, off_t offset, size_t size);
ssize_t __pread_chk(int fd, void *buf, size_t len, off_t offset, size_t size)
{
	assert_true(len <= size);
	return pread(fd, buf, len, offset);
}

/* Frames 1 .. count of one stream, durable, the segment not sealed. */
static uint32_t fill(struct fixture *f, uint64_t segment_bytes, uint64_t count, size_t payload_len)
{
	uint32_t stream;

	fixture_init_in(f, memory_dir(), segment_bytes);
	stream = add_stream(f, "a", 0);
	for (uint64_t i = 1; i <= count; i++)
		append_waiting(f, stream, i, payload_len);
	assert_int_equal(journal_flush(f->journal), 0);
	return stream;
}

/* Position of the record of a frame in the journal of f. */
static uint64_t frame_position(const struct fixture *f, uint64_t sequence)
{
	struct journal_reader *reader;
	struct journal_record record;
	uint64_t oldest, position = UINT64_MAX;

	assert_int_equal(journal_reader_open(&reader, f->dir, 0, &oldest), 0);
	while (journal_reader_next(reader, UINT64_MAX, &record) == 1)
		if (record.kind == JOURNAL_FRAME && record.header.sequence == sequence)
			position = record.position;
	journal_reader_close(reader);
	assert_true(position != UINT64_MAX);
	return position;
}

/* It goes on after the damage, and what was there and what is added are both found. */
static void check_goes_on(struct fixture *f, uint64_t frames_there, uint64_t next)
{
	CHECK_EQ(append(f, add_stream(f, "a", 0), next, 50), 0);
	CHECK_EQ(journal_flush(f->journal), 0);
	CHECK_EQ(read_all(f->dir, 0, f->committed).frames, frames_there + 1);
	fixture_reopen(f);
	CHECK_EQ(f->recovery.torn_bytes, 0);
	CHECK_EQ(append(f, 0, next, 50), -EEXIST);
	CHECK_EQ(append(f, 0, next + 1, 50), 0);
	CHECK_EQ(journal_flush(f->journal), 0);
}

static void a_torn_tail_is_cut_at_every_byte(void **state)
{
	static const struct {
		const char *name;
		bool is_short; /* the file ends there; else bytes follow */
		int filling;   /* value of those bytes; -1: random */
	} cases[] = {
		{ "file ends", true, 0 },
		{ "zeros follow", false, 0 },
		{ "garbage follows", false, -1 },
	};
	struct fixture f, copy = {};
	uint64_t start, end;
	struct names names;
	struct bytes bytes;

	(void)state;
	fill(&f, 4 * KIB, 3, 40);
	start = frame_position(&f, 3);
	end = f.committed;
	names = segment_names(f.dir);
	bytes = read_bytes(f.dir, names.list[0]);
	FOR_EACH_CASE (c, cases) {
		for (uint64_t cut = start; cut < end; cut++) {
			uint8_t *data = malloc(bytes.len);

			memcpy(data, bytes.data, bytes.len);
			for (size_t i = cut; i < bytes.len; i++)
				data[i] = c->filling < 0 ? (uint8_t)(rand() | 1) : 0;
			crash_copy(&f, &copy);
			write_bytes(copy.dir, names.list[0], data, c->is_short ? cut : bytes.len);
			free(data);
			fixture_open(&copy);
			/* What is cut off the end of a record is padding, or it is torn. */
			if (cut > start + 32 + FRAME_HEADER_LEN + 40 - 1 && !c->is_short &&
			    !c->filling) {
				CHECK_EQ(copy.recovery.frames, 3);
			} else {
				CHECK_EQ(copy.recovery.frames, 2);
				CHECK_DURABLE(&copy, 0, "1-2");
				CHECK_EQ(read_all(copy.dir, 0, UINT64_MAX).frames, 2);
				if (c->is_short)
					CHECK(copy.recovery.torn_bytes <= cut - start);
				else if (c->filling)
					CHECK_EQ(copy.recovery.torn_bytes, bytes.len - start);
				CHECK(cut < start + 4 || copy.recovery.torn_bytes > 0);
			}
			CHECK_EQ(copy.recovery.damaged_bytes, 0);
			if (cut % 16 == 0)
				check_goes_on(&copy, copy.recovery.frames,
					      copy.recovery.frames + 1);
			fixture_close(&copy);
			remove_dir(copy.dir);
			copy.loop = NULL;
		}
	}
	free(bytes.data);
	fixture_release(&f);
}

static void a_flipped_bit_costs_one_record_at_most(void **state)
{
	static const struct {
		const char *name;
		bool is_sealed;
	} cases[] = { { "sealed", true }, { "not sealed", false } };

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct fixture f, copy = {};
		struct reading reading;
		struct names names;
		struct bytes bytes;
		size_t len;

		fill(&f, 4 * KIB, 6, 40);
		len = f.committed;
		if (c->is_sealed)
			fixture_close(&f);
		names = segment_names(f.dir);
		bytes = read_bytes(f.dir, names.list[0]);
		for (size_t i = c->is_sealed ? 0 : 64; i < len; i++) {
			crash_copy(&f, &copy);
			bytes.data[i] ^= (uint8_t)(1 << i % 8);
			write_bytes(copy.dir, names.list[0], bytes.data, bytes.len);
			bytes.data[i] ^= (uint8_t)(1 << i % 8);
			fixture_open(&copy);
			CHECK(copy.recovery.frames >= 5);
			if (copy.recovery.frames == 5)
				CHECK(copy.recovery.damaged_bytes + copy.recovery.torn_bytes > 0);
			CHECK(copy.recovery.damaged_regions <= 1);
			CHECK_EQ(add_stream(&copy, "a", 0), 0);
			reading = read_all(copy.dir, 0, UINT64_MAX);
			CHECK_EQ(reading.frames, copy.recovery.frames);
			CHECK_EQ(reading.streams, 1);
			CHECK_EQ(reading.damaged, copy.recovery.damaged_bytes);
			fixture_close(&copy);
			remove_dir(copy.dir);
			copy.loop = NULL;
		}
		free(bytes.data);
		fixture_release(&f);
	}
}

/* Turns over a bit of every byte in a part of the segment that holds a position. */
static void damage(const struct fixture *f, uint64_t position, size_t len)
{
	struct names names = segment_names(f->dir);
	struct bytes bytes;
	uint64_t first;
	size_t i = names.count - 1;

	while (strtoull(names.list[i], NULL, 16) > position)
		i--;
	first = strtoull(names.list[i], NULL, 16);
	bytes = read_bytes(f->dir, names.list[i]);
	assert_true(position - first + len <= bytes.len);
	for (size_t at = position - first; len; at++, len--)
		bytes.data[at] ^= 0x10;
	write_bytes(f->dir, names.list[i], bytes.data, bytes.len);
	free(bytes.data);
}

static void damage_in_the_middle_is_skipped(void **state)
{
	struct fixture f, copy = {};
	struct reading reading;
	uint64_t from, to;

	(void)state;
	fill(&f, MIB, 100, 3000);
	from = frame_position(&f, 20);
	to = frame_position(&f, 30);
	crash_copy(&f, &copy);
	damage(&copy, from + 500, to - from - 500);
	fixture_open(&copy);
	CHECK_EQ(copy.recovery.frames, 90);
	CHECK_EQ(copy.recovery.damaged_regions, 1);
	CHECK_EQ(copy.recovery.damaged_bytes, to - from);
	CHECK_EQ(copy.recovery.torn_bytes, 0);
	CHECK_DURABLE(&copy, 0, "1-19 30-100");
	reading = read_all(copy.dir, 0, UINT64_MAX);
	CHECK_EQ(reading.frames, 90);
	CHECK_EQ(reading.damaged, to - from);
	/* Up to a position inside of what is damaged, and then on. */
	CHECK_EQ(read_all(copy.dir, 0, from + 800).frames, 19);
	CHECK_EQ(read_all(copy.dir, 0, from + 800).damaged, 800);
	check_goes_on(&copy, 90, 101);
	fixture_close(&copy);
	crash_copy_release(&copy);
	fixture_release(&f);
}

static void a_damaged_head_is_made_up_from_the_segment_before(void **state)
{
	struct fixture f, copy = {};
	struct names names;
	uint64_t last;

	(void)state;
	fill(&f, 16 * KIB, 100, 1000);
	add_stream(&f, "b", 0);
	names = segment_names(f.dir);
	last = strtoull(names.list[names.count - 1], NULL, 16);
	crash_copy(&f, &copy);
	damage(&copy, last + SEGMENT_HEADER_LEN + 40, 8);
	fixture_open(&copy);
	CHECK_DURABLE(&copy, 0, "1-100");
	CHECK_EQ(copy.recovery.damaged_regions, 1);
	CHECK(copy.recovery.damaged_bytes < 200);
	CHECK_EQ(read_all(copy.dir, 0, UINT64_MAX).frames, 100);
	check_goes_on(&copy, 100, 101);
	fixture_close(&copy);
	crash_copy_release(&copy);
	fixture_release(&f);
}

static void a_damaged_segment_header(void **state)
{
	struct fixture f, copy = {};
	uint64_t in_last, last;
	struct names names;

	(void)state;
	fill(&f, 16 * KIB, 100, 1000);
	names = segment_names(f.dir);
	last = strtoull(names.list[names.count - 1], NULL, 16);
	in_last = read_all(f.dir, last, UINT64_MAX).frames;
	CHECK(in_last > 0 && in_last < 20);

	/* In the middle: the copy in the seal stands in. */
	crash_copy(&f, &copy);
	damage(&copy, strtoull(names.list[1], NULL, 16), 64);
	fixture_open(&copy);
	CHECK_EQ(copy.recovery.damaged_regions, 0);
	CHECK_EQ(read_all(copy.dir, 0, UINT64_MAX).frames, 100);
	fixture_close(&copy);
	remove_dir(copy.dir);

	/* Of the last one, before it was sealed: it is lost, and stays where it is. */
	copy.loop = NULL;
	crash_copy(&f, &copy);
	damage(&copy, last, 64);
	fixture_open(&copy);
	CHECK_EQ(copy.recovery.damaged_bytes, 16 * KIB);
	CHECK_EQ(copy.recovery.damaged_regions, 1);
	CHECK_EQ(ranges_max(journal_durable(copy.journal, 0)), 100 - in_last);
	CHECK_EQ(segment_names(copy.dir).count, names.count);
	CHECK(journal_position(copy.journal) >= f.committed);
	check_goes_on(&copy, 100 - in_last, 101);
	CHECK_EQ(read_all(copy.dir, 0, copy.committed).damaged, 16 * KIB);
	fixture_close(&copy);
	crash_copy_release(&copy);
	fixture_release(&f);
}

static void an_empty_segment_is_dropped(void **state)
{
	static const struct {
		const char *name;
		size_t len;
	} cases[] = { { "no bytes", 0 }, { "zeros", 16 * KIB } };
	uint8_t *zeros = calloc(1, 16 * KIB);

	(void)state;
	FOR_EACH_CASE (c, cases) {
		char name[SEGMENT_NAME_LEN];
		struct fixture f;
		uint64_t position;

		fill(&f, 16 * KIB, 3, 1000);
		fixture_reopen(&f);
		position = journal_position(f.journal);
		fixture_close(&f);
		write_bytes(f.dir, segment_file_name(name, position), zeros, c->len);
		fixture_open(&f);
		CHECK_EQ(journal_position(f.journal), position);
		CHECK_EQ(f.recovery.segments, 1);
		CHECK_EQ(segment_names(f.dir).count, 1);
		CHECK_EQ(f.recovery.damaged_bytes + f.recovery.torn_bytes, 0);
		check_goes_on(&f, 3, 4);
		fixture_release(&f);
	}
	free(zeros);
}

/* A head that reached the disk before what is in front of it cannot be: it is not written before.
 * Here the segment before was cut short behind the journal's back. */
static void a_gap_between_segments_is_damage(void **state)
{
	struct names names;
	struct bytes bytes;
	struct fixture f;

	(void)state;
	fill(&f, 16 * KIB, 100, 1000);
	fixture_close(&f);
	names = segment_names(f.dir);
	bytes = read_bytes(f.dir, names.list[1]);
	write_bytes(f.dir, names.list[1], bytes.data, bytes.len - 3000);
	fixture_open(&f);
	CHECK_DURABLE(&f, 0, "1-100");
	CHECK(read_all(f.dir, 0, f.committed).damaged >= 3000);
	CHECK_EQ(read_all(f.dir, 0, f.committed).frames, 97);
	free(bytes.data);
	fixture_release(&f);
}

static void bytes_of_another_use_are_no_records(void **state)
{
	struct segment segment = { .id = 99, .first = 0 };
	struct names names;
	struct bytes bytes;
	struct fixture f;

	(void)state;
	fill(&f, 16 * KIB, 5, 1000);
	fixture_close(&f);
	names = segment_names(f.dir);
	bytes = read_bytes(f.dir, names.list[0]);
	segment_header_encode(bytes.data, &segment);
	write_bytes(f.dir, names.list[0], bytes.data, bytes.len);
	fixture_open(&f);
	CHECK_EQ(f.recovery.frames, 0);
	CHECK_EQ(journal_stream_count(f.journal), 0);
	CHECK_EQ(read_all(f.dir, 0, UINT64_MAX).frames, 0);
	free(bytes.data);
	fixture_release(&f);
}

/* A capture of a copy of the store, say: the frame holds records of the segment that it is in. */
static void a_record_inside_a_frame_is_none(void **state)
{
	struct frame_header header = { .type = FRAME_PACKETS, .sequence = 3 };
	uint8_t frame[FRAME_HEADER_LEN + 4096];
	struct names names;
	struct bytes bytes;
	struct fixture f;
	uint64_t at;

	(void)state;
	fill(&f, 64 * KIB, 2, 1000);
	names = segment_names(f.dir);
	bytes = read_bytes(f.dir, names.list[0]);
	memcpy(frame + FRAME_HEADER_LEN, bytes.data + frame_position(&f, 1), 4096);
	frame_seal(frame, &header, frame + FRAME_HEADER_LEN, 4096);
	CHECK_EQ(journal_append(f.journal, 0, &header, frame, sizeof(frame)), 0);
	CHECK_EQ(append(&f, 0, 4, 1000), 0);
	fixture_close(&f);
	at = frame_position(&f, 3);
	damage(&f, at, 8);
	fixture_open(&f);
	CHECK_EQ(f.recovery.frames, 3);
	CHECK_DURABLE(&f, 0, "1-2 4-4");
	CHECK_EQ(read_all(f.dir, 0, UINT64_MAX).frames, 3);
	free(bytes.data);
	fixture_release(&f);
}

static void a_later_version_is_refused(void **state)
{
	struct names names;
	struct bytes bytes;
	struct fixture f;
	uint32_t crc;

	(void)state;
	fill(&f, 16 * KIB, 1, 100);
	fixture_close(&f);
	names = segment_names(f.dir);
	bytes = read_bytes(f.dir, names.list[0]);
	bytes.data[8] = 2;
	crc = htole32(crc32c(0, bytes.data, 60));
	memcpy(bytes.data + 60, &crc, 4);
	write_bytes(f.dir, names.list[0], bytes.data, bytes.len);
	CHECK_EQ(fixture_try_open(&f), -EPROTONOSUPPORT);
	f.journal = NULL;
	free(bytes.data);
	fixture_release(&f);
}

static void a_kind_that_is_not_known_is_passed_over(void **state)
{
	struct segment_record record = { .kind = 77, .body_len = 16 };
	uint64_t oldest, position;
	struct journal_reader *reader;
	struct journal_record out;
	struct segment segment;
	struct names names;
	struct bytes bytes;
	struct fixture f;

	(void)state;
	fill(&f, 16 * KIB, 3, 100);
	position = frame_position(&f, 2);
	names = segment_names(f.dir);
	fixture_close(&f);
	bytes = read_bytes(f.dir, names.list[0]);
	CHECK_EQ(segment_header_decode(&segment, bytes.data), 0);
	/* In the place of frame 2, which is longer. */
	record.body = bytes.data + position + RECORD_HEADER_LEN;
	segment_record_encode(bytes.data + position, &record, &segment, position);
	write_bytes(f.dir, names.list[0], bytes.data, bytes.len);
	fixture_open(&f);
	CHECK_EQ(f.recovery.frames, 2);
	CHECK_EQ(f.recovery.damaged_bytes, segment_record_len(FRAME_HEADER_LEN + 100) - 48);
	CHECK_EQ(journal_reader_open(&reader, f.dir, 0, &oldest), 0);
	for (int kind = JOURNAL_STREAM, i = 0; i < 3; i++, kind = JOURNAL_FRAME) {
		CHECK_EQ(journal_reader_next(reader, UINT64_MAX, &out), 1);
		CHECK_EQ(out.kind, kind);
	}
	CHECK_EQ(journal_reader_next(reader, UINT64_MAX, &out), 0);
	journal_reader_close(reader);
	free(bytes.data);
	fixture_release(&f);
}

/* Damages up to most of the records of a segment that name one stream. */
static void damage_stream_records(const struct fixture *f, uint64_t first, size_t len,
				  uint32_t stream, unsigned int most)
{
	struct segment_file file;
	struct segment_record record;
	uint64_t offset = SEGMENT_HEADER_LEN, at, found[8];
	unsigned int count = 0;
	int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(segment_file_open(&file, dir, first), 0);
	while (segment_file_next(&file, offset, len, &at, &record) == 1) {
		if (record.kind == JOURNAL_STREAM && record.stream == stream &&
		    count < MIN(most, ARRAY_SIZE(found)))
			found[count++] = first + at;
		offset = at + record.len;
	}
	segment_file_close(&file);
	close(dir);
	assert_true(count > 0);
	while (count)
		damage(f, found[--count], 4);
}

/* Frames whose stream nobody can tell: their number is not given to another stream. */
static void a_lost_identity_is_not_anothers(void **state)
{
	struct fixture f, copy = {};
	uint32_t b;

	(void)state;
	fill(&f, MIB, 3, 100);
	b = add_stream(&f, "b", 0);
	for (uint64_t i = 1; i <= 3; i++)
		CHECK_EQ(append(&f, b, i, 100), 0);
	CHECK_EQ(journal_flush(f.journal), 0);
	crash_copy(&f, &copy);
	damage_stream_records(&copy, 0, MIB, b, 8);
	fixture_open(&copy);
	CHECK_EQ(copy.recovery.frames, 6);
	CHECK_EQ(journal_stream_count(copy.journal), 2);
	CHECK_STR(journal_stream_id(copy.journal, b)->agent, "");
	CHECK_EQ(add_stream(&copy, "b", 0), 2);
	CHECK_EQ(add_stream(&copy, "a", 0), 0);
	CHECK_EQ(append(&copy, 2, 1, 100), 0);
	CHECK_EQ(journal_flush(copy.journal), 0);
	CHECK_EQ(read_all(copy.dir, 0, copy.committed).frames, 4);
	CHECK(read_all(copy.dir, 0, copy.committed).damaged > 300);
	fixture_reopen(&copy);
	CHECK_EQ(add_stream(&copy, "c", 0), 3);
	fixture_close(&copy);
	crash_copy_release(&copy);
	fixture_release(&f);
}

static void one_damaged_identity_is_made_up_for(void **state)
{
	struct fixture f, copy = {};
	uint32_t b;

	(void)state;
	fill(&f, MIB, 3, 100);
	b = add_stream(&f, "b", 0);
	for (uint64_t i = 1; i <= 3; i++)
		CHECK_EQ(append(&f, b, i, 100), 0);
	CHECK_EQ(journal_flush(f.journal), 0);
	crash_copy(&f, &copy);
	damage_stream_records(&copy, 0, MIB, b, 1);
	fixture_open(&copy);
	CHECK_EQ(add_stream(&copy, "b", 0), b);
	CHECK_DURABLE(&copy, b, "2-3");
	CHECK_EQ(read_all(copy.dir, 0, UINT64_MAX).frames, 5);
	fixture_close(&copy);
	crash_copy_release(&copy);
	fixture_release(&f);
}

static void the_next_head_names_a_stream_too(void **state)
{
	struct reading reading;
	struct fixture f;
	uint32_t b;

	(void)state;
	fill(&f, 16 * KIB, 3, 100);
	b = add_stream(&f, "b", 0);
	for (uint64_t i = 1; i <= 40; i++)
		append_waiting(&f, b, i, 1000);
	fixture_close(&f);
	damage_stream_records(&f, 0, strtoull(segment_names(f.dir).list[1], NULL, 16), b, 8);
	reading = read_all(f.dir, 0, UINT64_MAX);
	CHECK_EQ(reading.frames, 43);
	CHECK_EQ(reading.streams, 2);
	fixture_release(&f);
}

static void a_block_that_cannot_be_read_is_damage(void **state)
{
	struct fixture f;

	(void)state;
	fill(&f, 4 * MIB, 1000, 1000);
	fixture_close(&f);
	bad_from = 512 * KIB;
	bad_to = bad_from + 4096;
	fixture_open(&f);
	CHECK(f.recovery.frames >= 993 && f.recovery.frames < 998);
	CHECK_EQ(f.recovery.damaged_regions, 1);
	CHECK_EQ(read_all(f.dir, 0, UINT64_MAX).frames, f.recovery.frames);
	bad_from = 0;
	bad_to = 0;
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_torn_tail_is_cut_at_every_byte),
		TEST(a_flipped_bit_costs_one_record_at_most),
		TEST(damage_in_the_middle_is_skipped),
		TEST(a_damaged_head_is_made_up_from_the_segment_before),
		TEST(a_damaged_segment_header),
		TEST(an_empty_segment_is_dropped),
		TEST(a_gap_between_segments_is_damage),
		TEST(bytes_of_another_use_are_no_records),
		TEST(a_record_inside_a_frame_is_none),
		TEST(a_later_version_is_refused),
		TEST(a_kind_that_is_not_known_is_passed_over),
		TEST(a_lost_identity_is_not_anothers),
		TEST(one_damaged_identity_is_made_up_for),
		TEST(the_next_head_names_a_stream_too),
		TEST(a_block_that_cannot_be_read_is_damage),
	};

	return cmocka_run_group_tests_name("journal recovery", tests, NULL, NULL);
}
