/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/json_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define INDENT 2
#define GAP 2

struct column {
	char *key;
	char **cells; /* one per row; NULL: that row has none */
	size_t width;
	bool is_number; /* every cell is one */
};

struct table {
	struct column *columns;
	size_t column_count, row_count;
};

static void table_release(struct table *table)
{
	for (size_t c = 0; c < table->column_count; c++) {
		for (size_t r = 0; r < table->row_count; r++)
			free(table->columns[c].cells[r]);
		free(table->columns[c].cells);
		free(table->columns[c].key);
	}
	free(table->columns);
}

/* Characters, as far as they are one column wide each. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void replace_controls(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
	}
}

/* Three decimals at most, no zeros at the end. */
static char *real_text(double value)
{
	char *text, *end;

	if (asprintf(&text, "%.3f", value) < 0)
		return NULL;
	for (end = text + strlen(text); end[-1] == '0'; end--)
		;
	end[end[-1] == '.' ? -1 : 0] = '\0';
	return text;
}

static char *array_text(const json_t *array);

/* On one line; objects as JSON. NULL: out of memory. */
static char *value_text(const json_t *value)
{
	char *text = NULL;

	switch (json_typeof(value)) {
	case JSON_STRING:
		text = strdup(json_string_value(value));
		if (text)
			replace_controls(text);
		return text;
	case JSON_INTEGER:
		return asprintf(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(value)) < 0
			       ? NULL
			       : text;
	case JSON_REAL:
		return real_text(json_real_value(value));
	case JSON_TRUE:
		return strdup("yes");
	case JSON_FALSE:
		return strdup("no");
	case JSON_NULL:
		return strdup("-");
	case JSON_ARRAY:
		return array_text(value);
	case JSON_OBJECT:
		break;
	}
	return json_dumps(value, JSON_COMPACT);
}

static char *array_text(const json_t *array)
{
	size_t i, len = 0;
	char *text = NULL, *item_text;
	json_t *item;
	FILE *out;

	if (!json_array_size(array))
		return strdup("none");
	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	json_array_foreach((json_t *)(uintptr_t)array, i, item)
	{
		item_text = value_text(item);
		fprintf(out, "%s%s", i ? ", " : "", item_text ?: "");
		free(item_text);
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

static struct column *find_column(struct table *table, const char *key)
{
	struct column *columns;

	for (size_t c = 0; c < table->column_count; c++) {
		if (strcmp(table->columns[c].key, key) == 0)
			return &table->columns[c];
	}
	columns = realloc(table->columns, (table->column_count + 1) * sizeof(*columns));
	if (!columns)
		return NULL;
	table->columns = columns;
	columns += table->column_count;
	*columns = (struct column){ .key = strdup(key),
				    .cells = calloc(table->row_count, sizeof(char *)),
				    .width = text_width(key),
				    .is_number = true };
	if (!columns->key || !columns->cells) {
		free(columns->key);
		free(columns->cells);
		return NULL;
	}
	table->column_count++;
	return columns;
}

static int set_cell(struct table *table, size_t row, const char *key, const json_t *value)
{
	struct column *column = find_column(table, key);
	char *text = value_text(value);

	if (!column || !text) {
		free(text);
		return -ENOMEM;
	}
	free(column->cells[row]);
	column->cells[row] = text;
	column->width = MAX(column->width, text_width(text));
	column->is_number &= json_is_number(value);
	return 0;
}

/* The members of object, and of objects in it, into the row. */
static int fill_row(struct table *table, size_t row, const char *prefix, const json_t *object)
{
	const char *key;
	json_t *value;
	char *name;
	int err = 0;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (asprintf(&name, "%s%s%s", prefix, *prefix ? "." : "", key) < 0)
			return -ENOMEM;
		replace_controls(name);
		err = json_is_object(value) ? fill_row(table, row, name, value)
					    : set_cell(table, row, name, value);
		free(name);
		if (err)
			return err;
	}
	return 0;
}

static void print_cell(FILE *out, const char *text, size_t width, bool to_the_right, bool is_last)
{
	size_t fill = width - MIN(width, text_width(text));

	if (to_the_right)
		fprintf(out, "%*s%s", (int)fill, "", text);
	else
		fprintf(out, "%s%*s", text, is_last ? 0 : (int)fill, "");
	fprintf(out, is_last ? "\n" : "%*s", GAP, "");
}

static void print_upright(FILE *out, const struct table *table, size_t indent)
{
	fprintf(out, "%*s", (int)indent, "");
	for (size_t c = 0; c < table->column_count; c++)
		print_cell(out, table->columns[c].key, table->columns[c].width,
			   table->columns[c].is_number, c + 1 == table->column_count);
	for (size_t r = 0; r < table->row_count; r++) {
		fprintf(out, "%*s", (int)indent, "");
		for (size_t c = 0; c < table->column_count; c++)
			print_cell(out, table->columns[c].cells[r] ?: "-", table->columns[c].width,
				   table->columns[c].is_number, c + 1 == table->column_count);
	}
}

/* A line for each column of the table. */
static int print_lying(FILE *out, const struct table *table, size_t indent)
{
	size_t *widths = calloc(table->row_count + 1, sizeof(*widths)), key_width = 0;

	if (!widths)
		return -ENOMEM;
	for (size_t c = 0; c < table->column_count; c++) {
		key_width = MAX(key_width, text_width(table->columns[c].key));
		for (size_t r = 0; r < table->row_count; r++)
			widths[r] = MAX(widths[r], text_width(table->columns[c].cells[r] ?: "-"));
	}
	for (size_t c = 0; c < table->column_count; c++) {
		fprintf(out, "%*s", (int)indent, "");
		print_cell(out, table->columns[c].key, key_width, false, false);
		for (size_t r = 0; r < table->row_count; r++)
			print_cell(out, table->columns[c].cells[r] ?: "-", widths[r], true,
				   r + 1 == table->row_count);
	}
	free(widths);
	return 0;
}

static int print_table(FILE *out, const json_t *rows, size_t indent, size_t width)
{
	struct table table = { .row_count = json_array_size(rows) };
	size_t i, total = indent;
	json_t *row;
	int err = 0;

	json_array_foreach((json_t *)(uintptr_t)rows, i, row)
	{
		err = fill_row(&table, i, "", row);
		if (err)
			break;
	}
	for (size_t c = 0; c < table.column_count; c++)
		total += table.columns[c].width + (c ? GAP : 0);
	if (!err && table.column_count && total <= width)
		print_upright(out, &table, indent);
	else if (!err)
		err = print_lying(out, &table, indent);
	table_release(&table);
	return err;
}

static bool is_table(const json_t *value)
{
	json_t *row;
	size_t i;

	if (!json_array_size(value))
		return false;
	json_array_foreach((json_t *)(uintptr_t)value, i, row)
	{
		if (!json_is_object(row))
			return false;
	}
	return true;
}

static void print_key(FILE *out, const char *key, size_t indent)
{
	fprintf(out, "%*s", (int)indent, "");
	for (; *key; key++)
		fputc((unsigned char)*key < 0x20 || *key == 0x7f ? '?' : *key, out);
	fputc(':', out);
}

static int print_line(FILE *out, const char *key, const json_t *value, size_t indent, size_t width)
{
	char *text = value_text(value);

	if (!text)
		return -ENOMEM;
	print_key(out, key, indent);
	fprintf(out, "%*s%s\n", (int)(GAP + width - MIN(width, text_width(key))), "", text);
	free(text);
	return 0;
}

static bool is_section(const json_t *value)
{
	return json_object_size(value) || is_table(value);
}

/* Lines first, then what has lines of its own. */
static int print_object(FILE *out, const json_t *object, size_t indent, size_t width)
{
	size_t key_width = 0;
	const char *key;
	json_t *value;
	int err = 0;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (!is_section(value))
			key_width = MAX(key_width, text_width(key));
	}
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (!err && !is_section(value))
			err = print_line(out, key, value, indent, key_width);
	}
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (err || !is_section(value))
			continue;
		if (!indent)
			fputc('\n', out);
		print_key(out, key, indent);
		fputc('\n', out);
		err = json_is_object(value) ? print_object(out, value, indent + INDENT, width)
					    : print_table(out, value, indent + INDENT, width);
	}
	return err;
}

int json_text_print(FILE *out, const json_t *json, size_t width)
{
	char *text;

	if (json_is_object(json))
		return print_object(out, json, 0, width);
	if (is_table(json))
		return print_table(out, json, 0, width);
	text = value_text(json);
	if (!text)
		return -ENOMEM;
	fprintf(out, "%s\n", text);
	free(text);
	return 0;
}
