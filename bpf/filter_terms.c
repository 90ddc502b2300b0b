/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A long expression, term by term. libpcap goes over the whole program again for each jump of more
 * than 255 instructions, and there are thousands of them: 14 s for 2,000 `host`. So each term is
 * compiled alone, and they are put together here as libpcap's grammar does: "and" and "or" bind
 * alike, from left to right, "not" binds its term, and a name alone has the qualifiers before it.
 *
 * Only terms are taken that mean the same wherever they stand: not what moves the beginning of what
 * is looked at behind it (vlan, mpls, pppoes, ...), nor what is not known here.
 */
#include <ctype.h>
#include <errno.h>
#include <linux/filter.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>

#include "bpf/filter_internal.h"

#define DEPTH_MAX 64
#define TERM_MAX 256 /* bytes */
#define MATCH 262144 /* what libpcap returns for this snaplen */
#define NONE UINT32_MAX

/* Jumps whose end is not known yet: k of each is the number of the next. */
struct jumps {
	uint32_t first, last; /* NONE: there are none */
};

/* Where the code so far leads to. */
struct outcome {
	struct jumps yes, no;
	bool is_id; /* names or numbers alone */
};

enum token { TOKEN_END, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_NOT, TOKEN_AND, TOKEN_OR, TOKEN_WORD };

struct reader {
	const char *word, *at; /* the token, and what is behind it */
	size_t len;
	enum token token;
};

struct terms {
	pcap_t *pcap;
	struct buf *out;
	struct reader reader;
	char qualifiers[TERM_MAX]; /* that a name alone has; empty: it cannot stand here */
	unsigned int depth;
};

static const char *const protocols[] = {
	"ip",	"ip6", "arp",  "rarp", "tcp", "udp",   "sctp",	    "icmp",	 "icmp6",
	"igmp", "pim", "vrrp", "ah",   "esp", "ether", "broadcast", "multicast",
};
/* A name or number may follow. */
static const char *const kinds[] = { "host", "net", "port", "portrange", "src", "dst" };
/* Besides the protocols in comparisons. */
static const char *const values[] = {
	"len",	    "tcpflags", "tcp-fin", "tcp-syn",  "tcp-rst",
	"tcp-push", "tcp-ack",	"tcp-urg", "icmptype", "icmpcode",
};

static bool is_one_of(const char *const *list, size_t count, const char *word, size_t len)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(list[i]) == len && !memcmp(list[i], word, len))
			return true;
	}
	return false;
}

#define IS_ONE_OF(list, word, len) is_one_of(list, ARRAY_SIZE(list), word, len)

static bool is_operator(const char *at)
{
	return (at[0] == '&' || at[0] == '|') && at[1] == at[0];
}

static enum token read_word(struct reader *reader)
{
	while (*reader->at && !isspace((unsigned char)*reader->at) && !strchr("()", *reader->at) &&
	       !is_operator(reader->at))
		reader->at++;
	reader->len = (size_t)(reader->at - reader->word);
	if (reader->len == 3 && !memcmp(reader->word, "and", 3))
		return TOKEN_AND;
	if (reader->len == 2 && !memcmp(reader->word, "or", 2))
		return TOKEN_OR;
	if (reader->len == 3 && !memcmp(reader->word, "not", 3))
		return TOKEN_NOT;
	return TOKEN_WORD;
}

static enum token read_token(struct reader *reader)
{
	while (isspace((unsigned char)*reader->at))
		reader->at++;
	reader->word = reader->at;
	if (!*reader->at)
		return TOKEN_END;
	if (is_operator(reader->at)) {
		reader->at += 2;
		return *reader->word == '&' ? TOKEN_AND : TOKEN_OR;
	}
	if (*reader->at == '!' && reader->at[1] != '=') {
		reader->at++;
		return TOKEN_NOT;
	}
	if (*reader->at != '(' && *reader->at != ')')
		return read_word(reader);
	return *reader->at++ == '(' ? TOKEN_OPEN : TOKEN_CLOSE;
}

static void next(struct terms *terms)
{
	terms->reader.token = read_token(&terms->reader);
}

static struct filter_insn *insns_of(const struct terms *terms)
{
	return (struct filter_insn *)(void *)terms->out->data;
}

static uint32_t count_of(const struct terms *terms)
{
	return (uint32_t)(terms->out->len / sizeof(struct filter_insn));
}

/* Here is where they lead to. */
static void land(struct terms *terms, const struct jumps *jumps)
{
	struct filter_insn *insns = insns_of(terms);
	uint32_t here = count_of(terms), following;

	for (uint32_t at = jumps->first; at != NONE; at = following) {
		following = insns[at].k;
		insns[at].k = here - at - 1;
	}
}

static void join(struct terms *terms, struct jumps *jumps, const struct jumps *more)
{
	if (jumps->first == NONE)
		jumps->first = more->first;
	else
		insns_of(terms)[jumps->last].k = more->first;
	if (more->first != NONE)
		jumps->last = more->last;
}

static void put(struct terms *terms, const struct bpf_program *code, struct outcome *ret)
{
	uint32_t first = count_of(terms);
	struct filter_insn *insns;

	*ret = (struct outcome){ .yes = { NONE, NONE }, .no = { NONE, NONE } };
	buf_append(terms->out, code->bf_insns, code->bf_len * sizeof(*insns));
	if (terms->out->failed)
		return;
	insns = insns_of(terms);
	for (uint32_t i = first; i < first + code->bf_len; i++) {
		struct jumps one = { i, i };
		bool is_match = insns[i].k;

		if (!filter_is_return(insns[i].code))
			continue;
		insns[i] = (struct filter_insn){ .code = FILTER_NOP, .k = NONE };
		join(terms, is_match ? &ret->yes : &ret->no, &one);
	}
}

static int compile(struct terms *terms, const char *text, struct outcome *ret)
{
	struct bpf_program code = {};

	if (pcap_compile(terms->pcap, &code, text, 0, 0))
		return -EOPNOTSUPP;
	put(terms, &code, ret);
	pcap_freecode(&code);
	if (terms->out->failed)
		return -ENOMEM;
	return count_of(terms) > FILTER_CLASSIC_MAX ? -E2BIG : 0;
}

static bool append(char text[TERM_MAX], const char *word, size_t len)
{
	size_t used = strlen(text);

	if (used + len + 2 > TERM_MAX)
		return false;
	sprintf(text + used, "%s%.*s", used ? " " : "", (int)len, word);
	return true;
}

static bool is_word(const struct reader *reader, const char *word)
{
	return reader->token == TOKEN_WORD && strlen(word) == reader->len &&
	       !memcmp(reader->word, word, reader->len);
}

/* "src or dst", "dst and src": one qualifier. The token is behind "src" or "dst". */
static bool read_both(struct terms *terms, char text[TERM_MAX], const char *other)
{
	struct reader ahead = terms->reader;

	if (ahead.token != TOKEN_OR && ahead.token != TOKEN_AND)
		return true;
	ahead.token = read_token(&ahead);
	if (!is_word(&ahead, other))
		return true;
	if (!append(text, terms->reader.token == TOKEN_OR ? "or" : "and",
		    terms->reader.token == TOKEN_OR ? 2 : 3) ||
	    !append(text, other, 3))
		return false;
	terms->reader = ahead;
	next(terms);
	return true;
}

/* Into text, which is empty; has_kind: a name or number is to follow. */
static bool read_qualifiers(struct terms *terms, char text[TERM_MAX], bool *has_kind)
{
	struct reader *reader = &terms->reader;

	*has_kind = false;
	while (reader->token == TOKEN_WORD) {
		bool is_kind = IS_ONE_OF(kinds, reader->word, reader->len);
		const char *other = is_word(reader, "src")   ? "dst"
				    : is_word(reader, "dst") ? "src"
							     : NULL;

		if (!is_kind && !IS_ONE_OF(protocols, reader->word, reader->len))
			return true;
		*has_kind |= is_kind;
		if (!append(text, reader->word, reader->len))
			return false;
		next(terms);
		if (other && !read_both(terms, text, other))
			return false;
	}
	return true;
}

static bool is_name(const struct reader *reader)
{
	for (size_t i = 0; i < reader->len; i++) {
		if (!isalnum((unsigned char)reader->word[i]) && !strchr("._-:/", reader->word[i]))
			return false;
	}
	return reader->token == TOKEN_WORD;
}

/* A name or number, behind its qualifiers or those before it. */
static int read_name(struct terms *terms, struct outcome *ret)
{
	char text[TERM_MAX] = "";
	int err;

	if (!*terms->qualifiers || !is_name(&terms->reader) ||
	    !append(text, terms->qualifiers, strlen(terms->qualifiers)) ||
	    !append(text, terms->reader.word, terms->reader.len))
		return -EOPNOTSUPP;
	err = compile(terms, text, ret);
	next(terms);
	return err;
}

static bool has_known_words(const char *text)
{
	size_t len;

	for (; *text; text += len) {
		len = 1;
		if (strchr("\\\"'{}$", *text))
			return false;
		if (!isalnum((unsigned char)*text))
			continue;
		len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789-_.");
		if (!isdigit((unsigned char)*text) && !IS_ONE_OF(protocols, text, len) &&
		    !IS_ONE_OF(values, text, len))
			return false;
	}
	return true;
}

/* "tcp[13] & (tcp-syn|tcp-fin) != 0", "len > 100" */
static int read_comparison(struct terms *terms, struct outcome *ret)
{
	struct reader *reader = &terms->reader;
	const char *begin = reader->word;
	char text[TERM_MAX] = "";
	unsigned int depth = 0;

	while (reader->token == TOKEN_WORD || reader->token == TOKEN_OPEN ||
	       (reader->token == TOKEN_CLOSE && depth)) {
		depth += (reader->token == TOKEN_OPEN) - (reader->token == TOKEN_CLOSE);
		next(terms);
	}
	if (depth || !append(text, begin, (size_t)(reader->word - begin)) || !has_known_words(text))
		return -EOPNOTSUPP;
	*terms->qualifiers = '\0';
	return compile(terms, text, ret);
}

static bool is_comparison(const struct reader *reader)
{
	return reader->token == TOKEN_WORD &&
	       (memchr(reader->word, '[', reader->len) || is_word(reader, "len"));
}

static int read_list(struct terms *terms, struct outcome *ret, bool wants_ids);

static int read_group(struct terms *terms, struct outcome *ret, bool wants_ids)
{
	char before[TERM_MAX];
	int err;

	if (++terms->depth > DEPTH_MAX)
		return -EOPNOTSUPP;
	memcpy(before, terms->qualifiers, sizeof(before));
	next(terms);
	err = read_list(terms, ret, wants_ids);
	if (err)
		return err;
	if (terms->reader.token != TOKEN_CLOSE)
		return -EOPNOTSUPP;
	next(terms);
	terms->depth--;
	/* Versions of libpcap differ in what is said before: in the group, or in front of it. */
	if (strcmp(terms->qualifiers, before) != 0)
		*terms->qualifiers = '\0';
	return 0;
}

static int read_term(struct terms *terms, struct outcome *ret)
{
	char text[TERM_MAX] = "";
	bool has_kind;
	int err;

	if (!read_qualifiers(terms, text, &has_kind))
		return -EOPNOTSUPP;
	if (!*text && is_comparison(&terms->reader))
		return read_comparison(terms, ret);
	if (*text && !has_kind) {
		*terms->qualifiers = '\0';
		/* Something that is not known here. */
		if (terms->reader.token == TOKEN_WORD || terms->reader.token == TOKEN_OPEN)
			return -EOPNOTSUPP;
		return compile(terms, text, ret);
	}
	if (*text)
		memcpy(terms->qualifiers, text, sizeof(text));
	err = terms->reader.token == TOKEN_OPEN ? read_group(terms, ret, true)
						: read_name(terms, ret);
	ret->is_id = !*text;
	return err;
}

static int read_operand(struct terms *terms, struct outcome *ret, bool wants_id)
{
	const struct reader *reader = &terms->reader;
	bool is_negated = false;
	struct jumps yes;
	int err;

	for (; reader->token == TOKEN_NOT; next(terms))
		is_negated = !is_negated;
	if (reader->token == TOKEN_OPEN)
		err = read_group(terms, ret, wants_id);
	else if (reader->token == TOKEN_WORD)
		err = read_term(terms, ret);
	else
		err = -EOPNOTSUPP;
	if (err)
		return err;
	if (wants_id && !ret->is_id)
		return -EOPNOTSUPP;
	if (is_negated) {
		yes = ret->yes;
		ret->yes = ret->no;
		ret->no = yes;
	}
	return 0;
}

/* What begins with a name has only names. */
static int read_list(struct terms *terms, struct outcome *ret, bool wants_ids)
{
	struct outcome all, one;
	int err = read_operand(terms, &all, wants_ids);

	while (!err && (terms->reader.token == TOKEN_AND || terms->reader.token == TOKEN_OR)) {
		bool is_and = terms->reader.token == TOKEN_AND;

		land(terms, is_and ? &all.yes : &all.no);
		next(terms);
		err = read_operand(terms, &one, all.is_id);
		if (err)
			break;
		join(terms, is_and ? &all.no : &all.yes, is_and ? &one.no : &one.yes);
		if (is_and)
			all.yes = one.yes;
		else
			all.no = one.no;
	}
	if (!err)
		*ret = all;
	return err;
}

static void put_return(struct terms *terms, const struct jumps *jumps, uint32_t value)
{
	struct filter_insn insn = { .code = BPF_RET | BPF_K, .k = value };

	land(terms, jumps);
	buf_append(terms->out, &insn, sizeof(insn));
}

int filter_compile_terms(struct buf *ret, pcap_t *pcap, const char *expression)
{
	struct terms terms = { .pcap = pcap, .out = ret, .reader = { .at = expression } };
	struct outcome outcome;
	int err;

	next(&terms);
	err = read_list(&terms, &outcome, false);
	if (!err && (terms.reader.token != TOKEN_END || outcome.is_id))
		err = -EOPNOTSUPP;
	if (err)
		return err;
	put_return(&terms, &outcome.yes, MATCH);
	put_return(&terms, &outcome.no, 0);
	return ret->failed ? -ENOMEM : 0;
}
