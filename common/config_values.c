/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/config_internal.h"
#include "common/suggest.h"

struct unit {
	const char *suffix;
	uint64_t value;
};

/* Largest first, as a number is printed in the largest unit that divides it. */
static const struct unit binary_units[] = {
	{ "TiB", 1024 * GIB }, { "GiB", GIB }, { "MiB", MIB }, { "KiB", KIB }, { "B", 1 },
};
static const struct unit decimal_units[] = {
	{ "kB", 1000 },
	{ "KB", 1000 },
	{ "MB", 1000 * 1000 },
	{ "GB", 1000000000ull },
	{ "TB", 1000000000000ull },
};
static const struct unit time_units[] = {
	{ "d", 86400 * NS_PER_SEC },
	{ "h", 3600 * NS_PER_SEC },
	{ "m", 60 * NS_PER_SEC },
	{ "s", NS_PER_SEC },
	{ "ms", NS_PER_MS },
	{ "us", NS_PER_US },
	{ "ns", 1 },
};

const char *config_quote(const char *text, char out[CONFIG_QUOTE_LEN])
{
	size_t len = strlen(text), n = 0;
	const bool is_cut = len > 60;

	if (is_cut) {
		/* Not in the middle of a UTF-8 sequence. */
		for (len = 57; len && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
			;
	}
	out[n++] = '"';
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(out + n, CONFIG_QUOTE_LEN - n, "\\x%02x", c);
		else
			out[n++] = (char)c;
	}
	snprintf(out + n, CONFIG_QUOTE_LEN - n, "%s\"", is_cut ? "..." : "");
	return out;
}

const char *config_key(const struct config_option *option, char out[CONFIG_NAME_LEN])
{
	size_t n = 0;

	for (; n < CONFIG_NAME_LEN - 1 && option->name[n]; n++)
		out[n] = option->name[n] == '-' ? '_' : option->name[n];
	out[n] = '\0';
	return out;
}

const char *config_variable(const struct config_option *option, char out[CONFIG_NAME_LEN])
{
	char key[CONFIG_NAME_LEN];

	config_key(option, key);
	snprintf(out, CONFIG_NAME_LEN, "XCAP_%.*s", CONFIG_NAME_LEN - 6, key);
	for (char *c = out; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return out;
}

bool config_takes_value(const struct config_option *option)
{
	return option->type != CONFIG_FLAG && !(option->flags & CONFIG_F_COUNTED);
}

/* Decimal digits; -EINVAL if there is none. */
static int parse_digits(const char **text, uint64_t *ret)
{
	uint64_t value = 0;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	for (; isdigit((unsigned char)**text); (*text)++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(**text - '0'), &value))
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

static int find_unit(const char *suffix, const struct unit *units, size_t count, uint64_t *ret)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(units[i].suffix, suffix) == 0) {
			*ret = units[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

/* "12", "1.5" and what stands behind it. The fraction is exact: at most 9 digits. */
struct quantity {
	uint64_t whole, fraction, scale;
	const char *suffix;
};

static int parse_quantity(struct quantity *ret, const char *text)
{
	int err;

	*ret = (struct quantity){ .scale = 1 };
	err = parse_digits(&text, &ret->whole);
	if (err)
		return err;
	if (*text == '.') {
		const char *point = text++;

		err = parse_digits(&text, &ret->fraction);
		if (err || text - point > 10)
			return -EINVAL;
		while (++point < text)
			ret->scale *= 10;
	}
	ret->suffix = text;
	return 0;
}

/* In units; a result that is not whole ("1.5" bytes) is an error. */
static int scale_quantity(uint64_t *ret, const struct quantity *quantity, uint64_t unit)
{
	unsigned __int128 part = (unsigned __int128)quantity->fraction * unit;
	uint64_t value;

	if (part % quantity->scale)
		return -EINVAL;
	if (__builtin_mul_overflow(quantity->whole, unit, &value) ||
	    __builtin_add_overflow(value, (uint64_t)(part / quantity->scale), &value))
		return -ERANGE;
	*ret = value;
	return 0;
}

int config_parse_size(uint64_t *ret, const char *text, uint64_t unit)
{
	struct quantity quantity;
	int err;

	err = parse_quantity(&quantity, text);
	if (err)
		return err;
	if (!unit)
		unit = 1;
	if (*quantity.suffix &&
	    find_unit(quantity.suffix, binary_units, ARRAY_SIZE(binary_units), &unit) &&
	    find_unit(quantity.suffix, decimal_units, ARRAY_SIZE(decimal_units), &unit))
		return -EINVAL;
	return scale_quantity(ret, &quantity, unit);
}

int config_parse_duration(uint64_t *ret, const char *text, uint64_t unit)
{
	struct quantity quantity;
	int err;

	err = parse_quantity(&quantity, text);
	if (err)
		return err;
	if (!unit)
		unit = NS_PER_SEC;
	if (*quantity.suffix &&
	    find_unit(quantity.suffix, time_units, ARRAY_SIZE(time_units), &unit))
		return -EINVAL;
	return scale_quantity(ret, &quantity, unit);
}

const char *config_number_text(const struct config_option *option, uint64_t value,
			       char out[CONFIG_NUMBER_LEN])
{
	const struct unit *units = option->type == CONFIG_SIZE ? binary_units : time_units;

	if (option->type == CONFIG_COUNT || !value) {
		snprintf(out, CONFIG_NUMBER_LEN, "%" PRIu64, value);
		return out;
	}
	while (value % units->value)
		units++;
	snprintf(out, CONFIG_NUMBER_LEN, "%" PRIu64 "%s", value / units->value, units->suffix);
	return out;
}

static const char *expectation(const struct config_option *option)
{
	if (option->type == CONFIG_COUNT)
		return "a decimal number";
	if (option->type == CONFIG_SIZE)
		return "a size: say 64KiB (times 1024), 64kB (times 1000), 8MiB or 1GiB";
	return "a duration: say 20ms, 1.5s, 5m, 2h or 300us";
}

static int parse_number(const struct config_option *option, const char *text, uint64_t *ret,
			char *why)
{
	char quoted[CONFIG_QUOTE_LEN], limit[CONFIG_NUMBER_LEN];
	const char *end = text;
	uint64_t value;
	int err;

	if (option->type == CONFIG_SIZE) {
		err = config_parse_size(&value, text, option->unit);
	} else if (option->type == CONFIG_DURATION) {
		err = config_parse_duration(&value, text, option->unit);
	} else {
		err = parse_digits(&end, &value);
		if (!err && *end)
			err = -EINVAL;
	}
	config_quote(text, quoted);
	if (err == -EINVAL) {
		snprintf(why, CONFIG_WHY_LEN, "%s is not %s", quoted, expectation(option));
		return err;
	}
	if (!err && !value && (option->flags & CONFIG_F_ZERO_IS_MAX))
		value = option->max;
	if (err || (option->max && value > option->max)) {
		snprintf(why, CONFIG_WHY_LEN, "%s is too large: %s%s", quoted,
			 option->max ? "at most " : "it does not fit into 64 bits",
			 option->max ? config_number_text(option, option->max, limit) : "");
		return -EINVAL;
	}
	if (value < option->min) {
		snprintf(why, CONFIG_WHY_LEN, "%s is too small: at least %s", quoted,
			 config_number_text(option, option->min, limit));
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

static int parse_flag(const char *text, bool *ret, char *why)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };
	char quoted[CONFIG_QUOTE_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(words[i], text) == 0) {
			*ret = i % 2;
			return 0;
		}
	}
	snprintf(why, CONFIG_WHY_LEN, "%s is neither yes nor no", config_quote(text, quoted));
	return -EINVAL;
}

static int parse_choice(const struct config_option *option, const char *text, int *ret, char *why)
{
	char quoted[CONFIG_QUOTE_LEN];
	const char *near;
	int n;

	for (n = 0; option->choices[n]; n++) {
		if (strcmp(option->choices[n], text) == 0) {
			*ret = n;
			return 0;
		}
	}
	near = suggest(text, option->choices, (size_t)n);
	n = snprintf(why, CONFIG_WHY_LEN, "%s is none of ", config_quote(text, quoted));
	for (size_t i = 0; option->choices[i]; i++)
		n += snprintf(why + n, (size_t)(CONFIG_WHY_LEN - n), "%s%s", i ? ", " : "",
			      option->choices[i]);
	if (near)
		snprintf(why + n, (size_t)(CONFIG_WHY_LEN - n), "; did you mean %s?", near);
	return -EINVAL;
}

static int out_of_memory(char *why)
{
	snprintf(why, CONFIG_WHY_LEN, "out of memory");
	return -ENOMEM;
}

static int parse_string(struct config *config, const char *text, size_t len, const char **ret,
			char *why)
{
	if (!len) {
		snprintf(why, CONFIG_WHY_LEN, "must not be empty");
		return -EINVAL;
	}
	return config_copy(config, ret, text, len) ? out_of_memory(why) : 0;
}

int config_list_join(struct config *config, struct config_list *list,
		     const struct config_list *more, char *why)
{
	struct config_list joined = { .count = list->count + more->count };

	if (joined.count > CONFIG_LIST_MAX) {
		snprintf(why, CONFIG_WHY_LEN, "more than %d items", CONFIG_LIST_MAX);
		return -EINVAL;
	}
	joined.items = calloc(joined.count + 1, sizeof(*joined.items));
	if (config_own(config, joined.items))
		return out_of_memory(why);
	for (size_t i = 0; i < joined.count; i++)
		joined.items[i] = i < list->count ? list->items[i] : more->items[i - list->count];
	*list = joined;
	return 0;
}

static int parse_list(struct config *config, const char *text, bool split_commas,
		      struct config_list *ret, char *why)
{
	const char *items[CONFIG_LIST_MAX];
	struct config_list list = { .items = items };
	size_t len;
	int err;

	for (;; text += len + 1) {
		len = split_commas ? strcspn(text, ",") : strlen(text);
		if (list.count == CONFIG_LIST_MAX) {
			snprintf(why, CONFIG_WHY_LEN, "more than %d items", CONFIG_LIST_MAX);
			return -EINVAL;
		}
		if (!len) {
			snprintf(why, CONFIG_WHY_LEN, "an item is empty");
			return -EINVAL;
		}
		err = parse_string(config, text, len, &items[list.count++], why);
		if (err)
			return err;
		if (!text[len])
			break;
	}
	*ret = (struct config_list){};
	return config_list_join(config, ret, &list, why);
}

int config_value_parse(struct config *config, const struct config_option *option, const char *text,
		       bool split_commas, union config_value *ret, char *why)
{
	switch (option->type) {
	case CONFIG_FLAG:
		return parse_flag(text, &ret->flag, why);
	case CONFIG_STRING:
		return parse_string(config, text, strlen(text), &ret->string, why);
	case CONFIG_LIST:
		return parse_list(config, text, split_commas, &ret->list, why);
	case CONFIG_COUNT:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
		return parse_number(option, text, &ret->number, why);
	case CONFIG_CHOICE:
		return parse_choice(option, text, &ret->choice, why);
	}
	return -EINVAL;
}
