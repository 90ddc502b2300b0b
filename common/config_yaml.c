/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "common/config_internal.h"

/*
 * A walk over libyaml's events, one function per level: document, mapping, value, sequence. The
 * event at hand is in walk->event.
 */
struct walk {
	struct config *config;
	yaml_parser_t parser;
	yaml_event_t event;
	const char *text;
	size_t len;
	const char *file;
	unsigned int *seen; /* line of each option's key, 0 if it did not come yet */
	char *error;
};

/* Says where and what; key may be NULL. */
static int printf_like(4, 5)
	refuse(struct walk *walk, yaml_mark_t mark, const char *key, const char *format, ...)
{
	char quoted[CONFIG_QUOTE_LEN] = "";
	va_list args;
	int n;

	if (key) {
		/* A key is shown without quotes, but as safely. */
		config_quote(key, quoted);
		quoted[strlen(quoted) - 1] = '\0';
	}
	n = snprintf(walk->error, CONFIG_ERROR_LEN, "%.512s:%zu:%zu: %s%s", walk->file,
		     mark.line + 1, mark.column + 1, key ? quoted + 1 : "", key ? ": " : "");
	va_start(args, format);
	vsnprintf(walk->error + n, (size_t)(CONFIG_ERROR_LEN - n), format, args);
	va_end(args);
	return -EINVAL;
}

static int out_of_memory(struct walk *walk)
{
	snprintf(walk->error, CONFIG_ERROR_LEN, "out of memory");
	return -ENOMEM;
}

/* libyaml gives the reader's errors as an offset alone. */
static yaml_mark_t mark_at(const struct walk *walk, size_t offset)
{
	yaml_mark_t mark = { .index = offset };

	for (size_t i = 0; i < offset && i < walk->len; i++) {
		mark.column += ((unsigned char)walk->text[i] & 0xc0) != 0x80;
		if (walk->text[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return mark;
}

/* Is there a tab before the first letter of the line? */
static bool is_tab_indented(const struct walk *walk, yaml_mark_t mark)
{
	const char *at = walk->text, *end = walk->text + walk->len;

	for (size_t line = 0; line < mark.line && at; line++) {
		at = memchr(at, '\n', (size_t)(end - at));
		at = at ? at + 1 : NULL;
	}
	while (at && at < end && *at == ' ')
		at++;
	return at && at < end && *at == '\t';
}

static int parser_error(struct walk *walk)
{
	const yaml_parser_t *parser = &walk->parser;
	const char *problem = parser->problem ?: "unknown";

	switch (parser->error) {
	case YAML_MEMORY_ERROR:
		return out_of_memory(walk);
	case YAML_READER_ERROR:
		return refuse(walk, mark_at(walk, parser->problem_offset), NULL,
			      "not UTF-8 text: %s", problem);
	case YAML_SCANNER_ERROR:
	case YAML_PARSER_ERROR:
		if (is_tab_indented(walk, parser->problem_mark))
			problem = "indent with spaces, not with tabs";
		return refuse(walk, parser->problem_mark, NULL, "not valid YAML: %s", problem);
	case YAML_NO_ERROR:
	case YAML_COMPOSER_ERROR:
	case YAML_WRITER_ERROR:
	case YAML_EMITTER_ERROR:
		break;
	}
	return refuse(walk, parser->problem_mark, NULL, "not valid YAML: %s", problem);
}

static int next(struct walk *walk)
{
	yaml_event_delete(&walk->event);
	if (!yaml_parser_parse(&walk->parser, &walk->event))
		return parser_error(walk);
	return 0;
}

/* What YAML can express and a configuration has no use for. */
static int check_plain(struct walk *walk, const char *key)
{
	const yaml_event_t *event = &walk->event;
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (event->type == YAML_ALIAS_EVENT)
		return refuse(walk, event->start_mark, key,
			      "aliases are not supported: write the value out");
	if (event->type == YAML_SCALAR_EVENT) {
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
	}
	if (anchor)
		return refuse(walk, event->start_mark, key, "anchors are not supported: remove &%s",
			      anchor);
	if (tag)
		return refuse(walk, event->start_mark, key, "tags are not supported: remove %s",
			      tag);
	return 0;
}

/* The scalar at hand as text; NULL and an error if it is none that can stand for a value. */
static const char *scalar_text(struct walk *walk, const char *key)
{
	const yaml_event_t *event = &walk->event;
	const char *text = (const char *)event->data.scalar.value;

	if (strlen(text) != event->data.scalar.length) {
		refuse(walk, event->start_mark, key, "contains a zero byte");
		return NULL;
	}
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    (!*text || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0)) {
		refuse(walk, event->start_mark, key, "has no value: give one or remove the line");
		return NULL;
	}
	return text;
}

static const char *type_name(enum config_type type)
{
	switch (type) {
	case CONFIG_FLAG:
		return "yes or no";
	case CONFIG_STRING:
		return "a text";
	case CONFIG_LIST:
		return "a list";
	case CONFIG_COUNT:
		return "a number";
	case CONFIG_SIZE:
		return "a size";
	case CONFIG_DURATION:
		return "a duration";
	case CONFIG_CHOICE:
		return "a word";
	}
	return "a value";
}

static int parse_scalar(struct walk *walk, const struct config_option *option, const char *key,
			union config_value *ret)
{
	char why[CONFIG_WHY_LEN];
	const char *text = scalar_text(walk, key);
	int err;

	if (!text)
		return -EINVAL;
	err = config_value_parse(walk->config, option, text, false, ret, why);
	if (err == -ENOMEM)
		return out_of_memory(walk);
	return err ? refuse(walk, walk->event.start_mark, key, "%s", why) : 0;
}

/* Its start is at hand; its end is when this returns. */
static int parse_sequence(struct walk *walk, const struct config_option *option, const char *key,
			  struct config_list *ret)
{
	const char *items[CONFIG_LIST_MAX];
	const struct config_list all = { .items = items };
	struct config_list list = all;
	union config_value item;
	char why[CONFIG_WHY_LEN];
	int err;

	for (;;) {
		err = next(walk) ?: check_plain(walk, key);
		if (err)
			return err;
		if (walk->event.type == YAML_SEQUENCE_END_EVENT)
			break;
		if (walk->event.type != YAML_SCALAR_EVENT)
			return refuse(walk, walk->event.start_mark, key,
				      "takes a list of texts, not of %s",
				      walk->event.type == YAML_MAPPING_START_EVENT ? "mappings"
										   : "lists");
		if (list.count == CONFIG_LIST_MAX)
			return refuse(walk, walk->event.start_mark, key, "more than %d items",
				      CONFIG_LIST_MAX);
		err = parse_scalar(walk, option, key, &item);
		if (err)
			return err;
		items[list.count++] = item.list.items[0];
	}
	*ret = (struct config_list){};
	return config_list_join(walk->config, ret, &list, why) ? out_of_memory(walk) : 0;
}

static int parse_value(struct walk *walk, const struct config_option *option, const char *key,
		       const struct config_place *place)
{
	union config_value value;
	int err;

	err = next(walk) ?: check_plain(walk, key);
	if (err)
		return err;
	if (walk->event.type == YAML_MAPPING_START_EVENT)
		return refuse(walk, walk->event.start_mark, key, "takes %s, not a mapping",
			      type_name(option->type));
	if (walk->event.type == YAML_SEQUENCE_START_EVENT && option->type != CONFIG_LIST)
		return refuse(walk, walk->event.start_mark, key, "takes %s, not a list",
			      type_name(option->type));
	if (walk->event.type == YAML_SEQUENCE_START_EVENT)
		err = parse_sequence(walk, option, key, &value.list);
	else
		err = parse_scalar(walk, option, key, &value);
	if (!err)
		config_set(walk->config, option, &value, place);
	return err;
}

static const struct config_option *find_key(const struct config_program *program, const char *key)
{
	char name[CONFIG_NAME_LEN];

	for (size_t i = 0; i < program->option_count; i++) {
		if (strcmp(config_key(&program->options[i], name), key) == 0)
			return &program->options[i];
	}
	return NULL;
}

static int unknown_key(struct walk *walk, yaml_mark_t mark, const char *key)
{
	const struct config_option *near = config_suggest(walk->config->program, key, true);
	char name[CONFIG_NAME_LEN];

	if (near)
		return refuse(walk, mark, key, "unknown key; did you mean %s?",
			      config_key(near, name));
	return refuse(walk, mark, key, "unknown key (see '%s --help')",
		      walk->config->program->name);
}

/* The key is at hand; its value's end is when this returns. */
static int parse_pair(struct walk *walk)
{
	const yaml_mark_t mark = walk->event.start_mark;
	const struct config_option *option;
	struct config_place place = { .source = CONFIG_FROM_FILE };
	char key[CONFIG_NAME_LEN], *origin;
	const char *text;
	size_t index;

	text = scalar_text(walk, "key");
	if (!text)
		return -EINVAL;
	option = find_key(walk->config->program, text);
	if (!option)
		return unknown_key(walk, mark, text);
	config_key(option, key);
	if (option->flags & CONFIG_F_COMMAND_LINE)
		return refuse(walk, mark, key, "stands on the command line only (--%s)",
			      option->name);
	index = config_index(walk->config->program, option);
	if (walk->seen[index])
		return refuse(walk, mark, key, "given twice, first in line %u", walk->seen[index]);
	walk->seen[index] = (unsigned int)mark.line + 1;
	if (asprintf(&origin, "%s:%u", walk->file, walk->seen[index]) < 0)
		origin = NULL;
	if (config_own(walk->config, origin))
		return out_of_memory(walk);
	place.text = origin;
	return parse_value(walk, option, key, &place);
}

/* Its start is at hand. */
static int parse_mapping(struct walk *walk)
{
	int err;

	for (;;) {
		err = next(walk) ?: check_plain(walk, NULL);
		if (err)
			return err;
		if (walk->event.type == YAML_MAPPING_END_EVENT)
			return 0;
		if (walk->event.type != YAML_SCALAR_EVENT)
			return refuse(walk, walk->event.start_mark, NULL,
				      "a key must be a plain word");
		err = parse_pair(walk);
		if (err)
			return err;
	}
}

static bool is_null(const yaml_event_t *event)
{
	return event->type == YAML_SCALAR_EVENT && !event->data.scalar.length &&
	       event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static int parse_document(struct walk *walk)
{
	int err;

	err = next(walk); /* the stream's start */
	if (!err)
		err = next(walk);
	if (err || walk->event.type == YAML_STREAM_END_EVENT) /* nothing but comments */
		return err;
	err = next(walk) ?: check_plain(walk, NULL);
	if (err)
		return err;
	if (walk->event.type == YAML_MAPPING_START_EVENT)
		err = parse_mapping(walk);
	else if (!is_null(&walk->event))
		err = refuse(walk, walk->event.start_mark, NULL,
			     "lines of the form 'key: value' are expected");
	if (!err)
		err = next(walk); /* the document's end */
	if (!err)
		err = next(walk);
	if (!err && walk->event.type != YAML_STREAM_END_EVENT)
		err = refuse(walk, walk->event.start_mark, NULL,
			     "a second document begins: only one is read");
	return err;
}

int config_yaml(struct config *config, const char *text, size_t len, const char *file, char *error)
{
	struct walk walk = {
		.config = config, .text = text, .len = len, .file = file, .error = error
	};
	int err;

	walk.seen = calloc(config->program->option_count + 1, sizeof(*walk.seen));
	if (!walk.seen)
		return out_of_memory(&walk);
	if (!yaml_parser_initialize(&walk.parser)) {
		free(walk.seen);
		return out_of_memory(&walk);
	}
	yaml_parser_set_encoding(&walk.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&walk.parser, (const unsigned char *)text, len);
	err = parse_document(&walk);
	yaml_event_delete(&walk.event);
	yaml_parser_delete(&walk.parser);
	free(walk.seen);
	return err;
}
