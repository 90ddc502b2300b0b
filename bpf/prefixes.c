/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/prefixes.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_LEN 64
#define PREFIX_TEXT_LEN (INET6_ADDRSTRLEN + 4)

void prefixes_release(struct prefixes *prefixes)
{
	for (size_t i = 0; i < prefixes->file_count; i++)
		free(prefixes->files[i]);
	free(prefixes->files);
	free(prefixes->list);
	*prefixes = (struct prefixes){};
}

/* IPv4 in the clothes of IPv6, which is IPv4, as in packets. */
static bool is_mapped(const uint64_t address[2])
{
	return address[0] == 0 && address[1] >> 32 == 0xffff;
}

/* The bits of half of an address that a prefix of this length covers. */
static uint64_t mask(unsigned int length, unsigned int half)
{
	unsigned int bits = length > half * 64 ? MIN(length - half * 64, 64u) : 0;

	return bits ? ~0ull << (64 - bits) : 0;
}

static bool covers(const struct prefix *prefix, const uint64_t address[2])
{
	return !((prefix->address[0] ^ address[0]) & mask(prefix->length, 0)) &&
	       !((prefix->address[1] ^ address[1]) & mask(prefix->length, 1));
}

static const char *prefix_text(const struct prefix *prefix, char out[PREFIX_TEXT_LEN])
{
	uint64_t bytes[2] = { htobe64(prefix->address[0]), htobe64(prefix->address[1]) };
	char text[INET6_ADDRSTRLEN];

	if (prefix->is_ipv4)
		inet_ntop(AF_INET, (uint8_t *)bytes + 12, text, sizeof(text));
	else
		inet_ntop(AF_INET6, bytes, text, sizeof(text));
	snprintf(out, PREFIX_TEXT_LEN, "%s/%u", text,
		 prefix->is_ipv4 ? prefix->length - 96u : prefix->length);
	return out;
}

/* Digits alone, no sign. */
static bool parse_length(uint8_t *ret, const char *text, unsigned int max)
{
	unsigned int length = 0;

	if (!*text || strlen(text) > 3 || text[strspn(text, "0123456789")])
		return false;
	for (; *text; text++)
		length = length * 10 + (unsigned int)(*text - '0');
	*ret = (uint8_t)length;
	return length <= max;
}

static bool parse_prefix(struct prefix *ret, const char *word)
{
	uint8_t bytes[16] = { [10] = 0xff, [11] = 0xff };
	struct prefix prefix = {};
	char address[WORD_LEN];
	const char *slash = strchrnul(word, '/');
	size_t len = (size_t)(slash - word);

	if (len >= sizeof(address))
		return false;
	memcpy(address, word, len);
	address[len] = '\0';
	prefix.is_ipv4 = inet_pton(AF_INET, address, bytes + 12) == 1;
	if (!prefix.is_ipv4 && inet_pton(AF_INET6, address, bytes) != 1)
		return false;
	prefix.length = prefix.is_ipv4 ? 32 : 128;
	if (*slash && !parse_length(&prefix.length, slash + 1, prefix.length))
		return false;
	if (prefix.is_ipv4)
		prefix.length += 96;
	memcpy(prefix.address, bytes, sizeof(prefix.address));
	prefix.address[0] = be64toh(prefix.address[0]);
	prefix.address[1] = be64toh(prefix.address[1]);
	prefix.is_ipv4 = prefix.length >= 96 && is_mapped(prefix.address);
	*ret = prefix;
	return true;
}

/* What it stands for, without the bits behind its length. */
static bool drop_host_bits(struct prefix *prefix)
{
	struct prefix before = *prefix;

	for (unsigned int half = 0; half < 2; half++)
		prefix->address[half] &= mask(prefix->length, half);
	return before.address[0] != prefix->address[0] || before.address[1] != prefix->address[1];
}

static int append(struct prefixes *prefixes, const struct prefix *prefix)
{
	struct prefix *grown;
	size_t room;

	if (prefixes->count == PREFIXES_MAX)
		return -E2BIG;
	if (prefixes->count == prefixes->room) {
		room = MAX(prefixes->room * 2, (size_t)64);
		grown = reallocarray(prefixes->list, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		prefixes->list = grown;
		prefixes->room = room;
	}
	prefixes->list[prefixes->count++] = *prefix;
	return 0;
}

/* Foreign text, fit to be printed. */
static const char *printable(const char *word, char out[WORD_LEN])
{
	size_t len = 0;

	for (; len < WORD_LEN - 1 && word[len]; len++)
		out[len] = isprint((unsigned char)word[len]) ? word[len] : '?';
	out[len] = '\0';
	return out;
}

/* place: what is in front of a message. */
static int add(struct prefixes *prefixes, struct prefix *origin, const char *word,
	       const char *place, const char *hint, char *error)
{
	char text[PREFIX_TEXT_LEN], shown[WORD_LEN];
	struct prefix prefix;
	int err;

	if (!parse_prefix(&prefix, word))
		return explain_only(error, -EINVAL,
				    "%s\"%s\" is neither an address nor a prefix: write 192.0.2.1, "
				    "192.0.2.0/24 or 2001:db8::/32%s",
				    place, printable(word, shown), hint);
	if (drop_host_bits(&prefix))
		return explain_only(error, -EINVAL, "%s%s has bits set behind its length: write %s",
				    place, printable(word, shown), prefix_text(&prefix, text));
	prefix.verdict = origin->verdict;
	prefix.file = origin->file;
	prefix.line = origin->line;
	err = append(prefixes, &prefix);
	if (err == -E2BIG)
		return explain_only(error, err, "%smore than %d prefixes: join some", place,
				    PREFIXES_MAX);
	return err ? explain(error, err, "%scannot take %s", place, word) : 0;
}

int prefixes_add(struct prefixes *prefixes, enum xcap_verdict verdict, const char *word,
		 char error[EXPLAIN_LEN])
{
	struct prefix origin = { .verdict = verdict };

	return add(prefixes, &origin, word,
		   verdict == XCAP_ALLOW ? "--allow: " : "--deny: ", ", or @FILE", error);
}

static int keep_name(struct prefixes *prefixes, const char *file, const char **ret)
{
	char **grown = reallocarray(prefixes->files, prefixes->file_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	prefixes->files = grown;
	grown[prefixes->file_count] = strdup(file);
	if (!grown[prefixes->file_count])
		return -ENOMEM;
	*ret = grown[prefixes->file_count++];
	return 0;
}

/* The only word of a line, which ends before end. False: there is none. */
static bool take_word(char word[WORD_LEN], const char *line, const char *end)
{
	const char *comment = memchr(line, '#', (size_t)(end - line));
	size_t len;

	if (comment)
		end = comment;
	while (line < end && isspace((unsigned char)*line))
		line++;
	while (end > line && isspace((unsigned char)end[-1]))
		end--;
	len = MIN((size_t)(end - line), (size_t)WORD_LEN - 1);
	memcpy(word, line, len);
	word[len] = '\0';
	/* Not the end, for whoever reads it as text. */
	for (size_t i = 0; i < len; i++)
		word[i] = word[i] ?: '?';
	return len > 0;
}

int prefixes_add_text(struct prefixes *prefixes, enum xcap_verdict verdict, const char *text,
		      size_t len, const char *file, char error[EXPLAIN_LEN])
{
	struct prefix origin = { .verdict = verdict };
	const char *end = text + len, *stop;
	char word[WORD_LEN], place[256];
	int err;

	err = keep_name(prefixes, file, &origin.file);
	if (err)
		return explain(error, err, "cannot take the list %s", file);
	for (const char *line = text; line < end; line = stop + 1) {
		stop = memchr(line, '\n', (size_t)(end - line)) ?: end;
		origin.line++;
		if (!take_word(word, line, stop))
			continue;
		snprintf(place, sizeof(place), "%.200s:%u: ", file, origin.line);
		err = add(prefixes, &origin, word, place, "", error);
		if (err)
			return err == -ENOMEM ? err : -EBADMSG;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct prefix *left = a, *right = b;

	for (int half = 0; half < 2; half++) {
		if (left->address[half] != right->address[half])
			return left->address[half] < right->address[half] ? -1 : 1;
	}
	if (left->length != right->length)
		return left->length < right->length ? -1 : 1;
	return 0;
}

static void place_text(const struct prefix *prefix, char out[256])
{
	if (prefix->file)
		snprintf(out, 256, "%.200s:%u", prefix->file, prefix->line);
	else
		snprintf(out, 256, "--%s", prefix->verdict == XCAP_ALLOW ? "allow" : "deny");
}

static int contradiction(const struct prefix *a, const struct prefix *b, char *error)
{
	char text[PREFIX_TEXT_LEN], place[2][256];

	place_text(a, place[0]);
	place_text(b, place[1]);
	return explain_only(error, a->file || b->file ? -EBADMSG : -EINVAL,
			    "%s: %s is %s here and %s in %s: remove one of them", place[0],
			    prefix_text(a, text), a->verdict == XCAP_ALLOW ? "allowed" : "denied",
			    b->verdict == XCAP_ALLOW ? "allowed" : "denied", place[1]);
}

int prefixes_finish(struct prefixes *prefixes, char error[EXPLAIN_LEN])
{
	size_t kept = 0;

	if (prefixes->count)
		qsort(prefixes->list, prefixes->count, sizeof(*prefixes->list), compare);
	for (size_t i = 0; i < prefixes->count; i++) {
		struct prefix *prefix = &prefixes->list[i], *last = prefixes->list + kept - 1;

		if (!kept || compare(last, prefix) != 0)
			prefixes->list[kept++] = *prefix;
		else if (last->verdict != prefix->verdict)
			return contradiction(prefix, last, error);
	}
	prefixes->count = kept;
	return 0;
}

void prefixes_count(const struct prefixes *prefixes, struct xcap_list_counts *ret)
{
	*ret = (struct xcap_list_counts){};
	for (size_t i = 0; i < prefixes->count; i++) {
		const struct prefix *prefix = &prefixes->list[i];

		if (prefix->verdict == XCAP_ALLOW)
			ret->allow_ipv4 += prefix->is_ipv4, ret->allow_ipv6 += !prefix->is_ipv4;
		else
			ret->deny_ipv4 += prefix->is_ipv4, ret->deny_ipv6 += !prefix->is_ipv4;
	}
}

enum xcap_verdict prefixes_lookup(const struct prefixes *prefixes, const uint64_t address[2])
{
	bool is_ipv4 = is_mapped(address);
	const struct prefix *best = NULL;

	for (size_t i = 0; i < prefixes->count; i++) {
		const struct prefix *prefix = &prefixes->list[i];

		if (prefix->is_ipv4 == is_ipv4 && covers(prefix, address) &&
		    (!best || prefix->length > best->length))
			best = prefix;
	}
	return best ? best->verdict : XCAP_NONE;
}
