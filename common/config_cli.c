/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_internal.h"

/* getopt_long's codes: letters are themselves, long options their row in the table. */
enum { CODE_HELP = 256, CODE_VERSION, CODE_OPTION };

struct getopt_tables {
	struct option *longs;
	char *shorts;
};

static void tables_release(struct getopt_tables *tables)
{
	free(tables->longs);
	free(tables->shorts);
}

static int tables_init(struct getopt_tables *ret, const struct config_program *program)
{
	struct getopt_tables tables = {
		.longs = calloc(2 * program->option_count + 3, sizeof(*tables.longs)),
		.shorts = calloc(3 * program->option_count + 4, 1),
	};
	struct option *at = tables.longs;
	char *letter = tables.shorts;

	if (!at || !letter) {
		tables_release(&tables);
		return -ENOMEM;
	}
	*letter++ = ':'; /* tells a missing value from an unknown option, and prints nothing */
	*at++ = (struct option){ "help", no_argument, NULL, CODE_HELP };
	*at++ = (struct option){ "version", no_argument, NULL, CODE_VERSION };
	for (size_t i = 0; i < program->option_count; i++) {
		const struct config_option *option = &program->options[i];
		/* A flag may be taken back: --force=no. */
		int has_value = option->flags & CONFIG_F_COUNTED	  ? no_argument
				: option->type == CONFIG_FLAG		  ? optional_argument
				: option->flags & CONFIG_F_OPTIONAL_VALUE ? optional_argument
									  : required_argument;

		*at++ = (struct option){ option->name, has_value, NULL, CODE_OPTION + (int)i };
		if (option->alias)
			*at++ = (struct option){ option->alias, has_value, NULL,
						 CODE_OPTION + (int)i };
		if (!option->letter)
			continue;
		*letter++ = option->letter;
		if (config_takes_value(option))
			*letter++ = ':';
		if (option->flags & CONFIG_F_OPTIONAL_VALUE)
			*letter++ = ':';
	}
	if (!strchr(tables.shorts, 'h'))
		*letter = 'h';
	*ret = tables;
	return 0;
}

static const struct config_option *by_code(const struct config_program *program, int code)
{
	if (code >= CODE_OPTION)
		return &program->options[code - CODE_OPTION];
	for (size_t i = 0; i < program->option_count; i++) {
		if (program->options[i].letter && program->options[i].letter == code)
			return &program->options[i];
	}
	return NULL;
}

/* "--snapshot-length", or "-s" if that is how it was written. */
static const char *written(const struct config_option *option, int code, char out[CONFIG_NAME_LEN])
{
	if (code >= CODE_OPTION)
		snprintf(out, CONFIG_NAME_LEN, "--%s", option->name);
	else
		snprintf(out, CONFIG_NAME_LEN, "-%c", option->letter);
	return out;
}

static int take(struct config *config, const struct config_option *option, int code,
		const char *text, char *error)
{
	struct config_given *given = &config->given[config_index(config->program, option)];
	char why[CONFIG_WHY_LEN], name[CONFIG_NAME_LEN];
	union config_value value = {};
	int err = 0;

	if (option->flags & CONFIG_F_COUNTED) {
		given->value.number++;
		given->is_given = true;
		return 0;
	}
	if (!text)
		text = option->type == CONFIG_FLAG ? "yes" : option->bare;
	err = config_value_parse(config, option, text, true, &value, why);
	if (!err && option->type == CONFIG_LIST)
		err = config_list_join(config, &given->value.list, &value.list, why);
	else if (!err)
		given->value = value;
	given->is_given = true;
	if (err)
		snprintf(error, CONFIG_ERROR_LEN, "%s: %s", written(option, code, name), why);
	return err;
}

static int unknown_letter(const struct config_program *program, int letter, char *error)
{
	const struct config_option *option;
	char name[2] = { (char)letter }, quoted[CONFIG_QUOTE_LEN];

	option = config_suggest(program, name, false);
	config_quote(name, quoted);
	quoted[strlen(quoted) - 1] = '\0';
	snprintf(error, CONFIG_ERROR_LEN, "unknown option -%s%s%s", quoted + 1,
		 option ? "; did you mean --" : "", option ? option->name : "");
	return -EINVAL;
}

/* text: what stands after "--", perhaps with "=VALUE". */
static int unknown_long(const struct config_program *program, const char *text, char *error)
{
	size_t len = strcspn(text, "="), matches = 0;
	const struct config_option *near;
	char quoted[CONFIG_QUOTE_LEN], *name;

	name = strndup(text, len);
	if (!name)
		return -ENOMEM;
	config_quote(name, quoted);
	quoted[strlen(quoted) - 1] = '\0';
	for (size_t i = 0; i < program->option_count; i++)
		matches += strncmp(program->options[i].name, name, len) == 0;
	near = config_suggest(program, name, false);
	if (matches > 1)
		snprintf(error, CONFIG_ERROR_LEN, "option --%s is ambiguous: write it in full",
			 quoted + 1);
	else if (near)
		snprintf(error, CONFIG_ERROR_LEN, "unknown option --%s; did you mean --%s?",
			 quoted + 1, near->name);
	else
		snprintf(error, CONFIG_ERROR_LEN, "unknown option --%s", quoted + 1);
	free(name);
	return -EINVAL;
}

/* getopt_long() returned '?': not known, ambiguous, or a value where none is taken. */
static int refused(const struct config_program *program, char **argv, char *error)
{
	const struct config_option *option = by_code(program, optopt);
	const char *text = argv[optind - 1];

	if (optopt >= CODE_HELP) {
		snprintf(error, CONFIG_ERROR_LEN, "--%s takes no value",
			 option		       ? option->name
			 : optopt == CODE_HELP ? "help"
					       : "version");
		return -EINVAL;
	}
	if (optopt)
		return unknown_letter(program, optopt, error);
	return unknown_long(program, strncmp(text, "--", 2) == 0 ? text + 2 : text, error);
}

/* As many as there are: a shell's pattern may give thousands. */
static int take_arguments(struct config *config, int argc, char **argv, char *error)
{
	struct config_list *arguments = &config->arguments;
	char quoted[CONFIG_QUOTE_LEN];

	if (optind < argc && !config->program->positional) {
		snprintf(error, CONFIG_ERROR_LEN, "unexpected argument %s",
			 config_quote(argv[optind], quoted));
		return -EINVAL;
	}
	arguments->items = calloc((size_t)(argc - optind) + 1, sizeof(*arguments->items));
	if (config_own(config, arguments->items)) {
		snprintf(error, CONFIG_ERROR_LEN, "out of memory");
		return -ENOMEM;
	}
	for (int i = optind; i < argc; i++)
		arguments->items[arguments->count++] = argv[i];
	return 0;
}

static enum config_outcome parse(struct config *config, const struct getopt_tables *tables,
				 int argc, char **argv, char *error)
{
	const struct config_program *program = config->program;
	char name[CONFIG_NAME_LEN];
	int code, err = 0;

	optind = 0; /* glibc: start over */
	opterr = 0;
	while (!err && (code = getopt_long(argc, argv, tables->shorts, tables->longs, NULL)) >= 0) {
		const struct config_option *option = by_code(program, code);

		if (code == CODE_HELP || (code == 'h' && !option)) {
			config_help(program, stdout);
			return CONFIG_EXIT_OK;
		}
		if (code == CODE_VERSION) {
			printf("%s %s\n", program->name, XCAP_VERSION);
			return CONFIG_EXIT_OK;
		}
		if (code == '?') {
			err = refused(program, argv, error);
		} else if (code == ':') {
			option = by_code(program, optopt);
			assert(option);
			snprintf(error, CONFIG_ERROR_LEN, "%s needs a value: %s",
				 written(option, optopt, name), option->metavar);
			err = -EINVAL;
		} else {
			assert(option); /* getopt knows none that the table has not */
			err = take(config, option, code, optarg, error);
		}
	}
	if (!err)
		err = take_arguments(config, argc, argv, error);
	return err == -ENOMEM ? CONFIG_EXIT_CONFIG : err ? CONFIG_EXIT_USAGE : CONFIG_RUN;
}

enum config_outcome config_cli(struct config *config, int argc, char **argv, char *error)
{
	enum config_outcome outcome;
	struct getopt_tables tables;

	if (tables_init(&tables, config->program))
		return CONFIG_EXIT_CONFIG;
	outcome = parse(config, &tables, argc, argv, error);
	tables_release(&tables);
	return outcome;
}
