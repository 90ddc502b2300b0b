/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of config share: config.c config_cli.c config_yaml.c config_values.c
 * config_print.c */
#pragma once

#include "common/config.h"

#define CONFIG_ERROR_LEN 1024
#define CONFIG_WHY_LEN 512 /* what is wrong with a value, without place and name */
#define CONFIG_NAME_LEN 64
#define CONFIG_LIST_MAX 1024

/* Ascending: what comes later wins. */
enum config_source {
	CONFIG_FROM_DEFAULT,
	CONFIG_FROM_FILE,
	CONFIG_FROM_ENVIRONMENT,
	CONFIG_FROM_COMMAND_LINE,
};

struct config_place {
	enum config_source source;
	const char *text; /* for people; owned by the config or static */
};

union config_value {
	bool flag;
	const char *string;
	struct config_list list;
	uint64_t number;
	int choice;
};

/* What the command line said of one option; it is applied after files and environment. */
struct config_given {
	bool is_given;
	union config_value value;
};

struct config {
	const struct config_program *program;
	void *values;
	struct config_place *places; /* one per option */
	struct config_given *given;  /* one per option */
	struct config_list arguments;
	bool has_file;
	void **owned;
	size_t owned_count, owned_capacity;
};

/* config.c */
int config_create(struct config **ret, const struct config_program *program,
		  void *values) must_check;
/* The config frees memory then; at once, if it fails. NULL gives -ENOMEM. */
int config_own(struct config *config, void *memory) must_check;
int config_copy(struct config *config, const char **ret, const char *text, size_t len) must_check;
void config_set(struct config *config, const struct config_option *option,
		const union config_value *value, const struct config_place *place);
const struct config_option *config_find(const struct config_program *program, const char *name);
size_t config_index(const struct config_program *program, const struct config_option *option);
/* Of the options, the one that name may have meant; file_only: of those that may stand in a file.
 */
const struct config_option *config_suggest(const struct config_program *program, const char *name,
					   bool file_only);

/* config_values.c */
/* text as a value; else why, on one line, says why not. It does not name the option. */
int config_value_parse(struct config *config, const struct config_option *option, const char *text,
		       bool split_commas, union config_value *ret, char *why) must_check;
int config_list_join(struct config *config, struct config_list *list,
		     const struct config_list *more, char *why) must_check;
/* As it would be written; numbers and choices only. */
#define CONFIG_NUMBER_LEN 40
const char *config_number_text(const struct config_option *option, uint64_t value,
			       char out[CONFIG_NUMBER_LEN]);
/* Quoted, on one line, cut after 60 bytes: for messages. */
#define CONFIG_QUOTE_LEN 256
const char *config_quote(const char *text, char out[CONFIG_QUOTE_LEN]);
/* Name with '-' turned into '_', and in upper case behind XCAP_. */
const char *config_key(const struct config_option *option, char out[CONFIG_NAME_LEN]);
const char *config_variable(const struct config_option *option, char out[CONFIG_NAME_LEN]);
bool config_takes_value(const struct config_option *option);

/* config_yaml.c */
int config_yaml(struct config *config, const char *text, size_t len, const char *file,
		char *error) must_check;

/* config_cli.c */
/* Fills config->given. CONFIG_EXIT_OK: --help or --version was answered. */
enum config_outcome config_cli(struct config *config, int argc, char **argv, char *error);

/* config_print.c */
void config_help(const struct config_program *program, FILE *out);
