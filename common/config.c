/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/config.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/config_internal.h"
#include "common/log.h"
#include "common/suggest.h"

#define FILE_SIZE_MAX (1 * MIB)

static int set_defaults(struct config *config)
{
	static const struct config_place here = { CONFIG_FROM_DEFAULT, "default" };
	const struct config_program *program = config->program;
	char why[CONFIG_WHY_LEN];
	int err;

	for (size_t i = 0; i < program->option_count; i++) {
		const struct config_option *option = &program->options[i];
		union config_value value = {};

		if (option->fallback) {
			err = config_value_parse(config, option, option->fallback, true, &value,
						 why);
			assert(err != -EINVAL);
			if (err)
				return err;
		}
		config_set(config, option, &value, &here);
	}
	return 0;
}

/* After all else: a value that was given anywhere stays. */
static int apply_preset(struct config *config)
{
	const struct config_program *program = config->program;
	struct config_place here = { .source = CONFIG_FROM_DEFAULT };
	const struct config_option *preset;
	char why[CONFIG_WHY_LEN], *text = NULL;
	union config_value value;
	int choice, err = 0;

	if (!program->preset)
		return 0;
	preset = config_find(program, program->preset);
	assert(preset && preset->type == CONFIG_CHOICE);
	choice = *(int *)((char *)config->values + preset->offset);
	if (asprintf(&text, "preset %s", preset->choices[choice]) < 0)
		text = NULL;
	if (config_own(config, text))
		return -ENOMEM;
	here.text = text;
	for (size_t i = 0; i < program->option_count && !err; i++) {
		const struct config_option *option = &program->options[i];

		if (!option->by_preset || !option->by_preset[choice] ||
		    config->places[i].source != CONFIG_FROM_DEFAULT)
			continue;
		err = config_value_parse(config, option, option->by_preset[choice], true, &value,
					 why);
		assert(err != -EINVAL);
		if (!err)
			config_set(config, option, &value, &here);
	}
	return err;
}

int config_create(struct config **ret, const struct config_program *program, void *values)
{
	struct config *config = calloc(1, sizeof(*config));
	int err = -ENOMEM;

	if (!config)
		return err;
	config->program = program;
	config->values = values;
	config->places = calloc(program->option_count + 1, sizeof(*config->places));
	config->given = calloc(program->option_count + 1, sizeof(*config->given));
	if (!config->places || !config->given)
		goto fail;
	err = set_defaults(config);
	if (err)
		goto fail;
	*ret = config;
	return 0;
fail:
	config_destroy(config);
	return err;
}

void config_destroy(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->owned_count; i++)
		free(config->owned[i]);
	free(config->owned);
	free(config->places);
	free(config->given);
	free(config);
}

int config_own(struct config *config, void *memory)
{
	size_t capacity = MAX(16, 2 * config->owned_capacity);
	void **owned;

	if (!memory)
		return -ENOMEM;
	if (config->owned_count == config->owned_capacity) {
		owned = realloc(config->owned, capacity * sizeof(*owned));
		if (!owned) {
			free(memory);
			return -ENOMEM;
		}
		config->owned = owned;
		config->owned_capacity = capacity;
	}
	config->owned[config->owned_count++] = memory;
	return 0;
}

int config_copy(struct config *config, const char **ret, const char *text, size_t len)
{
	char *copy = strndup(text, len);
	int err = config_own(config, copy);

	if (!err)
		*ret = copy;
	return err;
}

size_t config_index(const struct config_program *program, const struct config_option *option)
{
	return (size_t)(option - program->options);
}

void config_set(struct config *config, const struct config_option *option,
		const union config_value *value, const struct config_place *place)
{
	void *at = (char *)config->values + option->offset;

	switch (option->type) {
	case CONFIG_FLAG:
		*(bool *)at = value->flag;
		break;
	case CONFIG_STRING:
		*(const char **)at = value->string;
		break;
	case CONFIG_LIST:
		*(struct config_list *)at = value->list;
		break;
	case CONFIG_COUNT:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
		*(uint64_t *)at = value->number;
		break;
	case CONFIG_CHOICE:
		*(int *)at = value->choice;
		break;
	}
	config->places[config_index(config->program, option)] = *place;
}

const struct config_option *config_find(const struct config_program *program, const char *name)
{
	for (size_t i = 0; i < program->option_count; i++) {
		if (strcmp(program->options[i].name, name) == 0)
			return &program->options[i];
	}
	return NULL;
}

const struct config_option *config_suggest(const struct config_program *program, const char *name,
					   bool file_only)
{
	const char **names = calloc(program->option_count + 1, sizeof(*names));
	const char *found;
	size_t count = 0;

	if (!names)
		return NULL;
	for (size_t i = 0; i < program->option_count; i++) {
		if (!file_only || !(program->options[i].flags & CONFIG_F_COMMAND_LINE))
			names[count++] = program->options[i].name;
	}
	found = suggest(name, names, count);
	free(names);
	return found ? config_find(program, found) : NULL;
}

static int read_file(struct buf *text, const char *path)
{
	FILE *file = fopen(path, "re");
	uint8_t *at;
	size_t n;
	int err;

	if (!file)
		return -errno;
	do {
		at = buf_reserve(text, 65536);
		n = at ? fread(at, 1, 65536, file) : 0;
		buf_commit(text, n);
	} while (n && text->len <= FILE_SIZE_MAX);
	err = text->failed ? -ENOMEM : ferror(file) ? -(errno ?: EIO) : 0;
	fclose(file);
	return !err && text->len > FILE_SIZE_MAX ? -EFBIG : err;
}

/* A file that need not be there, and is not, is no error. */
static int load_file(struct config *config, const char *path, bool is_optional, char *error)
{
	struct buf text = {};
	int err;

	err = read_file(&text, path);
	if (err == -ENOENT && is_optional) {
		err = 0;
	} else if (err == -EFBIG) {
		snprintf(error, CONFIG_ERROR_LEN, "cannot read %s: larger than 1 MiB", path);
	} else if (err) {
		snprintf(error, CONFIG_ERROR_LEN, "cannot read %s: %s", path, strerror(-err));
	} else {
		err = config_yaml(config, (const char *)text.data, text.len, path, error);
		config->has_file = true;
	}
	buf_release(&text);
	return err;
}

static int is_yaml(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".yaml") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_directory(struct config *config, const char *dir, char *error)
{
	struct dirent **entries;
	char *path;
	int err = 0, count;

	count = scandir(dir, &entries, is_yaml, by_name);
	if (count < 0 && errno == ENOENT)
		return 0;
	if (count < 0) {
		err = -errno;
		snprintf(error, CONFIG_ERROR_LEN, "cannot read directory %s: %s", dir,
			 strerror(-err));
		return err;
	}
	for (int i = 0; i < count; i++) {
		if (!err && asprintf(&path, "%s/%s", dir, entries[i]->d_name) < 0)
			err = -ENOMEM;
		else if (!err) {
			err = load_file(config, path, false, error);
			free(path);
		}
		free(entries[i]);
	}
	free(entries);
	return err;
}

/* FILE, then FILE.d. */
static int load_files(struct config *config, char *error)
{
	const struct config_option *option = config_find(config->program, "config");
	const struct config_given *given =
		option ? &config->given[config_index(config->program, option)] : NULL;
	bool is_named = given && given->is_given;
	const char *path = is_named ? given->value.string : config->program->default_file;
	char *dir;
	int err;

	if (!path)
		return 0;
	err = load_file(config, path, !is_named, error);
	if (err)
		return err;
	if (asprintf(&dir, "%s.d", path) < 0)
		return -ENOMEM;
	err = load_directory(config, dir, error);
	free(dir);
	return err;
}

/* Those of the tests, see Documentation/testing.md: settings only where there is one of the name.
 */
static bool is_test_variable(const char *name, size_t len)
{
	static const char *const names[] = { "XCAP_BIN", "XCAP_REQUIRE_ALL", "XCAP_DATA",
					     "XCAP_BPFFS", "XCAP_ISOLATED" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strlen(names[i]) == len && strncmp(name, names[i], len) == 0)
			return true;
	}
	return strncmp(name, "XCAP_TEST_", 10) == 0;
}

static const struct config_option *find_variable(const struct config_program *program,
						 const char *name, size_t len)
{
	char variable[CONFIG_NAME_LEN];

	for (size_t i = 0; i < program->option_count; i++) {
		const struct config_option *option = &program->options[i];

		if (option->flags & CONFIG_F_COMMAND_LINE)
			continue;
		config_variable(option, variable);
		if (strlen(variable) == len && strncmp(variable, name, len) == 0)
			return option;
	}
	return NULL;
}

static int unknown_variable(const struct config_program *program, const char *name, size_t len,
			    char *error)
{
	char *typed = strndup(name + 5, len - 5), variable[CONFIG_NAME_LEN];
	const struct config_option *near;

	if (!typed)
		return -ENOMEM;
	near = config_suggest(program, typed, true);
	free(typed);
	if (near)
		snprintf(error, CONFIG_ERROR_LEN,
			 "environment: %.*s: no such setting; did you mean %s?", (int)MIN(len, 128),
			 name, config_variable(near, variable));
	else
		snprintf(error, CONFIG_ERROR_LEN, "environment: %.*s: no such setting; unset it",
			 (int)MIN(len, 128), name);
	return -EINVAL;
}

static int load_variable(struct config *config, const char *name, size_t len, char *error)
{
	static const struct config_place here = { CONFIG_FROM_ENVIRONMENT, "environment" };
	const struct config_option *option = find_variable(config->program, name, len);
	const char *text = name + len + 1;
	char why[CONFIG_WHY_LEN];
	union config_value value;
	int err;

	if (!option)
		return is_test_variable(name, len)
			       ? 0
			       : unknown_variable(config->program, name, len, error);
	if (!*text) /* VARIABLE= is how a caller takes a setting away */
		return 0;
	err = config_value_parse(config, option, text, true, &value, why);
	if (err)
		snprintf(error, CONFIG_ERROR_LEN, "environment: %.*s: %s", (int)len, name, why);
	else
		config_set(config, option, &value, &here);
	return err;
}

static int load_environment(struct config *config, char *error)
{
	bool is_used = false;
	size_t len;
	int err;

	for (size_t i = 0; i < config->program->option_count; i++)
		is_used |= !(config->program->options[i].flags & CONFIG_F_COMMAND_LINE);
	for (char **at = environ; is_used && *at; at++) {
		len = strcspn(*at, "=");
		if (strncmp(*at, "XCAP_", 5) != 0 || (*at)[len] != '=')
			continue;
		err = load_variable(config, *at, len, error);
		if (err)
			return err;
	}
	return 0;
}

static void apply_command_line(struct config *config)
{
	static const struct config_place here = { CONFIG_FROM_COMMAND_LINE, "command line" };

	for (size_t i = 0; i < config->program->option_count; i++) {
		if (config->given[i].is_given)
			config_set(config, &config->program->options[i], &config->given[i].value,
				   &here);
	}
}

static bool flag_is_set(const struct config *config, const char *name)
{
	const struct config_option *option = config_find(config->program, name);

	return option && *(bool *)((char *)config->values + option->offset);
}

/* Whose fault is it when options contradict each other? */
static enum config_outcome blame(const struct config *config)
{
	bool from[CONFIG_FROM_COMMAND_LINE + 1] = {};

	for (size_t i = 0; i < config->program->option_count; i++)
		from[config->places[i].source] = true;
	if (flag_is_set(config, "check-config") || from[CONFIG_FROM_FILE] ||
	    (from[CONFIG_FROM_ENVIRONMENT] && !from[CONFIG_FROM_COMMAND_LINE]))
		return CONFIG_EXIT_CONFIG;
	return CONFIG_EXIT_USAGE;
}

static enum config_outcome check(const struct config *config, char *error)
{
	int err =
		config->program->check ? config->program->check(config, config->values, error) : 0;

	if (err)
		return err == -EBADMSG ? CONFIG_EXIT_CONFIG : blame(config);
	return flag_is_set(config, "check-config") ? CONFIG_EXIT_OK : CONFIG_RUN;
}

static void set_log_level(const struct config *config)
{
	const struct config_option *option = config_find(config->program, "log-level");
	enum log_level level;

	if (option &&
	    !log_level_parse(&level,
			     option->choices[*(int *)((char *)config->values + option->offset)]))
		log_init(level);
}

static enum config_outcome load(struct config *config, int argc, char **argv, char *error)
{
	enum config_outcome outcome;

	outcome = config_cli(config, argc, argv, error);
	if (outcome != CONFIG_RUN)
		return outcome;
	if (load_files(config, error) || load_environment(config, error))
		return CONFIG_EXIT_CONFIG;
	apply_command_line(config);
	if (apply_preset(config))
		return CONFIG_EXIT_CONFIG;
	set_log_level(config);
	if (flag_is_set(config, "print-config")) {
		config_print(config, stdout);
		return CONFIG_EXIT_OK;
	}
	return check(config, error);
}

enum config_outcome config_parse(struct config **ret, const struct config_program *program,
				 int argc, char **argv, void *values)
{
	char error[CONFIG_ERROR_LEN] = "out of memory";
	enum config_outcome outcome = CONFIG_EXIT_CONFIG;
	struct config *config = NULL;

	if (!config_create(&config, program, values))
		outcome = load(config, argc, argv, error);
	if (outcome == CONFIG_RUN) {
		*ret = config;
		return outcome;
	}
	config_destroy(config);
	if (outcome == CONFIG_EXIT_USAGE)
		fprintf(stderr, "%s: %s (see '%s --help')\n", program->name, error, program->name);
	else if (outcome == CONFIG_EXIT_CONFIG)
		fprintf(stderr, "%s: %s\n", program->name, error);
	return outcome;
}

int config_parse_yaml(struct config **ret, const struct config_program *program, const char *text,
		      size_t len, const char *file, void *values, char error[256])
{
	char message[CONFIG_ERROR_LEN] = "out of memory";
	struct config *config = NULL;
	int err;

	err = config_create(&config, program, values);
	if (!err)
		err = config_yaml(config, text, len, file, message);
	if (!err)
		err = apply_preset(config);
	if (err) {
		message[255] = '\0';
		memcpy(error, message, strlen(message) + 1);
		config_destroy(config);
		return err;
	}
	*ret = config;
	return 0;
}

const struct config_list *config_arguments(const struct config *config)
{
	return &config->arguments;
}

const char *config_origin(const struct config *config, const char *name)
{
	const struct config_option *option = config_find(config->program, name);

	assert(option);
	return config->places[config_index(config->program, option)].text;
}

bool config_is_set(const struct config *config, const char *name)
{
	const struct config_option *option = config_find(config->program, name);

	assert(option);
	return config->places[config_index(config->program, option)].source != CONFIG_FROM_DEFAULT;
}

bool config_has_file(const struct config *config)
{
	return config->has_file;
}
