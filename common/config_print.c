/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "common/config_internal.h"

#define HELP_COLUMN 30
#define HELP_WIDTH 79
#define COMMENT_COLUMN 40

/* Words of text from column HELP_COLUMN on; at: where the line stands. */
static void print_wrapped(FILE *out, size_t at, const char *text)
{
	size_t len, gap = 0;

	if (at + 2 > HELP_COLUMN) {
		fputc('\n', out);
		at = 0;
	}
	at += (size_t)fprintf(out, "%*s", (int)(HELP_COLUMN - at), "");
	for (; *text; text += len + strspn(text + len, " ")) {
		len = strcspn(text, " ");
		if (gap && at + gap + len > HELP_WIDTH) {
			at = (size_t)fprintf(out, "\n%*s", HELP_COLUMN, "") - 1;
			gap = 0;
		}
		at += (size_t)fprintf(out, "%*s%.*s", (int)gap, "", (int)len, text);
		gap = 1;
	}
	fputc('\n', out);
}

/* "(mirror, tap or pcap; default mirror)", "(4KiB to 1MiB; default 64KiB)" */
static void append_facts(char *text, size_t size, const struct config_option *option)
{
	char low[CONFIG_NUMBER_LEN], high[CONFIG_NUMBER_LEN];
	size_t n = strlen(text);
	const char *separator = " (";

	if (option->type == CONFIG_CHOICE) {
		for (size_t i = 0; option->choices[i] && n < size; i++) {
			n += (size_t)snprintf(text + n, size - n, "%s%s",
					      !i		       ? separator
					      : option->choices[i + 1] ? ", "
								       : " or ",
					      option->choices[i]);
		}
		separator = "; ";
	} else if (option->max && n < size) {
		config_number_text(option, option->min, low);
		config_number_text(option, option->max, high);
		n += option->min
			     ? (size_t)snprintf(text + n, size - n, "%s%s to %s", separator, low,
						high)
			     : (size_t)snprintf(text + n, size - n, "%sup to %s", separator, high);
		separator = "; ";
	} else if (option->min > 1 && n < size) {
		n += (size_t)snprintf(text + n, size - n, "%sat least %s", separator,
				      config_number_text(option, option->min, low));
		separator = "; ";
	}
	if (option->fallback && option->type != CONFIG_FLAG && n < size) {
		n += (size_t)snprintf(text + n, size - n, "%sdefault %s", separator,
				      option->fallback);
		separator = "; ";
	}
	if (*separator == ';' && n < size)
		snprintf(text + n, size - n, ")");
}

static void print_option(FILE *out, const struct config_option *option)
{
	char text[1024];
	size_t at;

	if (option->group)
		fprintf(out, "\n%s:\n", option->group);
	if (option->letter)
		at = (size_t)fprintf(out, "  -%c, --%s", option->letter, option->name);
	else
		at = (size_t)fprintf(out, "      --%s", option->name);
	if (option->flags & CONFIG_F_OPTIONAL_VALUE)
		at += (size_t)fprintf(out, "[=%s]", option->metavar);
	else if (config_takes_value(option))
		at += (size_t)fprintf(out, " %s", option->metavar);
	snprintf(text, sizeof(text), "%s%s%s", option->help, option->alias ? "; also --" : "",
		 option->alias ?: "");
	append_facts(text, sizeof(text), option);
	print_wrapped(out, at, text);
}

/* An option of the table that --help may show as an example of a setting in a file. */
static const struct config_option *file_example(const struct config_program *program)
{
	for (size_t i = 0; i < program->option_count; i++) {
		const struct config_option *option = &program->options[i];

		if (!(option->flags & CONFIG_F_COMMAND_LINE) && strchr(option->name, '-') &&
		    option->fallback)
			return option;
	}
	return NULL;
}

void config_help(const struct config_program *program, FILE *out)
{
	const struct config_option *example = file_example(program);
	char key[CONFIG_NAME_LEN], variable[CONFIG_NAME_LEN];
	bool has_h = false;

	fprintf(out, "Usage: %s %s\n%s\n", program->name, program->synopsis, program->purpose);
	if (program->option_count && !program->options[0].group)
		fprintf(out, "\nOptions:\n");
	for (size_t i = 0; i < program->option_count; i++) {
		print_option(out, &program->options[i]);
		has_h |= program->options[i].letter == 'h';
	}
	print_wrapped(out, (size_t)fprintf(out, has_h ? "      --help" : "  -h, --help"),
		      "print this and exit");
	print_wrapped(out, (size_t)fprintf(out, "      --version"), "print the version and exit");
	if (example)
		fprintf(out,
			"\nAn option may also stand in the configuration file (%s: %s)\n"
			"or in the environment (%s=%s); the command line wins.\n",
			config_key(example, key), example->fallback,
			config_variable(example, variable), example->fallback);
	if (program->examples)
		fprintf(out, "\nExamples:\n%s", program->examples);
}

/* The character at text, its length in *len; -1 if it is no UTF-8. */
static int32_t decode_utf8(const char *text, size_t *len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *at = (const unsigned char *)text;
	uint32_t c;

	*len = at[0] < 0x80 ? 1 : at[0] < 0xc0 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	if (*len <= 1)
		return *len ? at[0] : -1;
	c = at[0] & (0x7fu >> *len);
	for (size_t i = 1; i < *len; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | (at[i] & 0x3f);
	}
	if (at[0] >= 0xf8 || c < least[*len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return -1;
	return (int32_t)c;
}

static bool is_utf8(const char *text)
{
	size_t len;

	for (; *text; text += len) {
		if (decode_utf8(text, &len) < 0)
			return false;
	}
	return true;
}

/* What YAML lets stand in quotes as it is: no controls, line separators, byte order marks. */
static bool is_printable(int32_t c)
{
	return (c >= 0x20 && c < 0x7f) || (c > 0xa0 && c < 0x2028) || (c > 0x2029 && c < 0xfeff) ||
	       (c > 0xfeff && c < 0xfffe) || c >= 0x10000;
}

/* No reader of YAML takes it for anything but this text. */
static bool is_plain(const char *text)
{
	static const char *const words[] = { "null", "true", "false", "yes", "no",
					     "on",   "off",  "y",     "n" };

	if (!*text || text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					"0123456789/._-")])
		return false;
	if (strchr("0123456789.-_", *text))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(words[i], text) == 0)
			return false;
	}
	return true;
}

static int print_text(FILE *out, const char *text)
{
	int32_t c;
	size_t len;
	int n = 0;

	if (is_plain(text))
		return fprintf(out, "%s", text);
	n += fprintf(out, "\"");
	for (; *text; text += len) {
		c = decode_utf8(text, &len);
		if (c == '"' || c == '\\')
			n += fprintf(out, "\\%c", (char)c);
		else if (is_printable(c))
			n += fprintf(out, "%.*s", (int)len, text);
		else
			n += fprintf(out, "\\u%04" PRIx32, (uint32_t)c);
	}
	return n + fprintf(out, "\"");
}

static int print_list(FILE *out, const struct config_list *list)
{
	int n = fprintf(out, "[");

	for (size_t i = 0; i < list->count; i++) {
		n += fprintf(out, "%s", i ? ", " : "");
		n += print_text(out, list->items[i]);
	}
	return n + fprintf(out, "]");
}

static int print_value(FILE *out, const struct config_option *option, const void *at)
{
	char number[CONFIG_NUMBER_LEN];

	switch (option->type) {
	case CONFIG_FLAG:
		return fprintf(out, "%s", *(const bool *)at ? "yes" : "no");
	case CONFIG_STRING:
		return print_text(out, *(const char *const *)at ?: "");
	case CONFIG_LIST:
		return print_list(out, at);
	case CONFIG_COUNT:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
		return fprintf(out, "%s",
			       config_number_text(option, *(const uint64_t *)at, number));
	case CONFIG_CHOICE:
		return print_text(out, option->choices[*(const int *)at]);
	}
	return 0;
}

/* NULL, or why the value cannot be shown in a way that can be read back. */
static const char *hidden(const struct config *config, const struct config_option *option,
			  const void *at)
{
	const struct config_list *list = at;
	bool is_default =
		config->places[config_index(config->program, option)].source == CONFIG_FROM_DEFAULT;

	if (is_default && !option->fallback && option->type != CONFIG_FLAG)
		return "not set";
	if (option->flags & CONFIG_F_SECRET)
		return "secret";
	if (option->type == CONFIG_STRING && !is_utf8(*(const char *const *)at))
		return "not UTF-8";
	for (size_t i = 0; option->type == CONFIG_LIST && i < list->count; i++) {
		if (!is_utf8(list->items[i]))
			return "not UTF-8";
	}
	return NULL;
}

/* A comment ends with its line. */
static void print_comment(FILE *out, const char *text)
{
	fputs(" # ", out);
	for (; *text; text++)
		fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
	fputc('\n', out);
}

void config_print(const struct config *config, FILE *out)
{
	const struct config_program *program = config->program;
	char key[CONFIG_NAME_LEN];

	fprintf(out, "# %s %s: the configuration in effect and where it comes from\n",
		program->name, XCAP_VERSION);
	for (size_t i = 0; i < program->option_count; i++) {
		const struct config_option *option = &program->options[i];
		const void *at = (const char *)config->values + option->offset;
		const char *reason = hidden(config, option, at);
		int n;

		if (option->flags & CONFIG_F_COMMAND_LINE)
			continue;
		config_key(option, key);
		n = fprintf(out, reason ? "# %s:" : "%s: ", key);
		if (!reason)
			n += print_value(out, option, at);
		fprintf(out, "%*s", n < COMMENT_COLUMN ? COMMENT_COLUMN - n : 0, "");
		print_comment(out, reason ?: config->places[i].text);
	}
}
