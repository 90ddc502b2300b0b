/* SPDX-License-Identifier: GPL-2.0-or-later */
/* YAML text into a configuration, which printed and read back gives the same values. */
#include "selftests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>

#include "selftests/unit/config_sample.h"

static void assert_same_text(const char *a, const char *b)
{
	assert(!a == !b);
	assert(!a || strcmp(a, b) == 0);
}

static void assert_same(const struct values *a, const struct values *b)
{
	assert_same_text(a->name, b->name);
	assert(a->interfaces.count == b->interfaces.count);
	for (size_t i = 0; i < a->interfaces.count; i++)
		assert_same_text(a->interfaces.items[i], b->interfaces.items[i]);
	assert(a->force == b->force && a->snaplen == b->snaplen && a->verbose == b->verbose);
	assert(a->batch == b->batch && a->buffer == b->buffer && a->timeout == b->timeout);
	assert(a->stats == b->stats && a->mode == b->mode && a->log_level == b->log_level);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct config *config, *again;
	struct values values, same;
	char error[256], *printed;
	size_t printed_len;
	FILE *out;
	int err;

	err = config_parse_yaml(&config, &program, (const char *)data, len, "fuzz", &values, error);
	if (err) {
		assert(err == -EINVAL || err == -ENOMEM);
		assert(*error && !strpbrk(error, "\r\n"));
		return 0;
	}
	out = open_memstream(&printed, &printed_len);
	if (!out)
		abort();
	config_print(config, out);
	fclose(out);
	err = config_parse_yaml(&again, &program, printed, printed_len, "again", &same, error);
	assert(!err);
	assert_same(&values, &same);
	config_destroy(config);
	config_destroy(again);
	free(printed);
	return 0;
}
