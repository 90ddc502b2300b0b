/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapctl maps: counters out of the kernel. */
#include "tools/cmd.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dataplane.h"
#include "bpf/maps.h"
#include "common/config.h"

enum { EXIT_USAGE = 2, EXIT_UNAVAILABLE = 69, EXIT_NOT_PERMITTED = 77 };

struct maps_options {
	const char *instance, *bpffs, *run_dir;
	bool json;
};

static const struct config_option options[] = {
	{ .name = "instance",
	  .type = CONFIG_STRING,
	  .offset = offsetof(struct maps_options, instance),
	  .metavar = "NAME",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "only the instance of that name (default: all)" },
	{ .name = "bpffs",
	  .type = CONFIG_STRING,
	  .offset = offsetof(struct maps_options, bpffs),
	  .metavar = "DIR",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "where the maps are pinned (default: /sys/fs/bpf and RUN_DIR/bpf)" },
	{ .name = "run-dir",
	  .type = CONFIG_STRING,
	  .offset = offsetof(struct maps_options, run_dir),
	  .metavar = "DIR",
	  .fallback = "/run/xcap",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "where the daemon has its files" },
	{ .name = "json",
	  .letter = 'j',
	  .type = CONFIG_FLAG,
	  .offset = offsetof(struct maps_options, json),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "print JSON" },
};

static const struct config_program program = {
	.name = "xcapctl maps",
	.purpose = "Print counters out of the kernel; no daemon is needed.",
	.synopsis = "[--instance NAME] [--bpffs DIR] [--run-dir DIR] [--json]",
	.options = options,
	.option_count = ARRAY_SIZE(options),
};

static const char *mode_name(const struct maps_interface *interface)
{
	return interface->info.mode == XCAP_TAP ? "tap" : "mirror";
}

static const char *hook_name(const struct xcap_info *info)
{
	return info->mode == XCAP_TAP ? "xdp" : info->flags & XCAP_INFO_CLSACT ? "clsact" : "tcx";
}

static json_t *count_json(const struct xcap_count *count)
{
	return json_pack("{s:I, s:I, s:I}", "frames", (json_int_t)count->frames, "wire_packets",
			 (json_int_t)count->wire_packets, "bytes", (json_int_t)count->bytes);
}

static json_t *counters_json(const struct xcap_count *counts)
{
	json_t *counters = json_object();

	for (unsigned int i = 0; i < XCAP_COUNTER_COUNT; i++)
		json_object_set_new(counters, xcap_counter_name(i), count_json(&counts[i]));
	return counters;
}

static json_t *matched_json(const struct maps_interface *interface)
{
	json_t *list = json_array(), *matched;

	for (unsigned int i = 0; i < XCAP_FILTERS_MAX; i++) {
		const struct xcap_slot *slot = &interface->slots[i];

		if (!*slot->filter)
			continue;
		matched = count_json(&interface->matched[i]);
		json_object_set_new(
			matched, "filter",
			json_stringn(slot->filter, strnlen(slot->filter, sizeof(slot->filter))));
		json_array_append_new(list, matched);
	}
	return list;
}

static json_t *interface_json(const struct maps_interface *interface)
{
	const struct xcap_info *info = &interface->info;
	json_t *nic = NULL;

	if (interface->has_nic)
		nic = json_pack("{s:I, s:I, s:I}", "missed", (json_int_t)interface->nic.missed,
				"fifo", (json_int_t)interface->nic.fifo, "rx_dropped",
				(json_int_t)interface->nic.rx_dropped);
	return json_pack(
		"{s:s#, s:i, s:s, s:s, s:b, s:b, s:b, s:i, s:b, s:b, s:I, s:o, s:o, s:I, s:o?}",
		"name", info->ifname, (int)strnlen(info->ifname, sizeof(info->ifname)), "ifindex",
		info->ifindex, "mode", mode_name(interface), "hook", hook_name(info), "generic",
		!!(info->flags & XCAP_INFO_GENERIC), "pinned", !(info->flags & XCAP_INFO_UNPINNED),
		"attached", interface->attached, "snaplen", info->snaplen, "in",
		!!(info->directions & XCAP_IN), "out", !!(info->directions & XCAP_OUT),
		"filter_generation", (json_int_t)info->generation, "counters",
		counters_json(interface->counts), "matched", matched_json(interface), "started_ns",
		(json_int_t)info->started_ns, "nic", nic);
}

static json_t *filters_json(const struct xcap_filters *filters)
{
	if (!filters)
		return NULL;
	return json_pack("{s:I, s:s}", "generation", (json_int_t)filters->generation, "text",
			 filters->text);
}

static json_t *listed_json(const struct xcap_list_counts *listed)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "allow_ipv4", (json_int_t)listed->allow_ipv4,
			 "allow_ipv6", (json_int_t)listed->allow_ipv6, "deny_ipv4",
			 (json_int_t)listed->deny_ipv4, "deny_ipv6", (json_int_t)listed->deny_ipv6);
}

static json_t *watched_json(const struct maps_instance *instance)
{
	json_t *flows = json_array();
	char flow[WATCH_TEXT_LEN];

	for (size_t i = 0; i < instance->watched_count; i++) {
		const struct watch_entry *entry = &instance->watched[i];

		json_array_append_new(flows, json_pack("{s:s, s:I, s:I}", "flow",
						       watch_text(&entry->key, flow), "packets",
						       (json_int_t)entry->value.packets, "bytes",
						       (json_int_t)entry->value.bytes));
	}
	return flows;
}

static json_t *instance_json(const struct maps_instance *instance)
{
	json_t *interfaces = json_array(), *rings = json_array();

	for (size_t i = 0; i < instance->interface_count; i++)
		json_array_append_new(interfaces, interface_json(&instance->interfaces[i]));
	for (size_t i = 0; i < instance->ring_count; i++) {
		const struct maps_ring *ring = &instance->rings[i];

		json_array_append_new(rings,
				      json_pack("{s:i, s:I, s:I}", "number", (int)ring->number,
						"size_bytes", (json_int_t)ring->size_bytes,
						"pending_bytes", (json_int_t)ring->pending_bytes));
	}
	return json_pack("{s:s, s:o?, s:o, s:o, s:o, s:{s:o}, s:o}", "name", instance->name,
			 "filters", filters_json(instance->filters), "prefixes",
			 listed_json(&instance->listed), "watched", watched_json(instance),
			 "interfaces", interfaces, "gone", "counters",
			 counters_json(instance->gone), "rings", rings);
}

static int print_json(const struct maps_instance *list, size_t count)
{
	json_t *instances = json_array(), *root;
	int err;

	for (size_t i = 0; i < count; i++)
		json_array_append_new(instances, instance_json(&list[i]));
	root = json_pack("{s:o}", "instances", instances);
	err = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;
	putchar('\n');
	json_decref(root);
	return err ? EXIT_FAILURE : 0;
}

static void print_row(const char *name, const struct xcap_count *count)
{
	printf("    %-16s %16llu %16llu %20llu\n", name, (unsigned long long)count->frames,
	       (unsigned long long)count->wire_packets, (unsigned long long)count->bytes);
}

static void print_counters(const struct xcap_count *counts)
{
	printf("    %-16s %16s %16s %20s\n", "", "frames", "wire packets", "bytes");
	for (unsigned int i = 0; i < XCAP_COUNTER_COUNT; i++) {
		if (counts[i].frames || i == XCAP_SEEN || i == XCAP_HANDED)
			print_row(xcap_counter_name(i), &counts[i]);
	}
}

/* Under the counters: what each filter matched. */
static void print_matched(const struct maps_interface *interface)
{
	char name[sizeof(interface->slots[0].filter) + sizeof("filter ")];

	for (unsigned int i = 0; i < XCAP_FILTERS_MAX; i++) {
		const struct xcap_slot *slot = &interface->slots[i];

		if (!*slot->filter)
			continue;
		snprintf(name, sizeof(name), "filter %.64s", slot->filter);
		print_row(name, &interface->matched[i]);
	}
}

static void print_interface(const struct maps_interface *interface)
{
	const struct xcap_info *info = &interface->info;

	printf("  %.16s (%u): %s by %s%s%s, snaplen %u%s\n", info->ifname, info->ifindex,
	       mode_name(interface), hook_name(info),
	       info->flags & XCAP_INFO_GENERIC ? ", generic" : "",
	       info->flags & XCAP_INFO_UNPINNED ? ", not pinned" : "", info->snaplen,
	       interface->attached ? "" : ", NOT ATTACHED");
	print_counters(interface->counts);
	print_matched(interface);
	if (interface->has_nic)
		printf("    lost by the NIC before these: missed %llu, fifo %llu\n",
		       (unsigned long long)interface->nic.missed,
		       (unsigned long long)interface->nic.fifo);
}

static void print_lists(const struct maps_instance *instance)
{
	const struct xcap_list_counts *listed = &instance->listed;
	char flow[WATCH_TEXT_LEN];

	if (listed->allow_ipv4 + listed->allow_ipv6)
		printf("  prefixes allowed: %u IPv4, %u IPv6\n", listed->allow_ipv4,
		       listed->allow_ipv6);
	if (listed->deny_ipv4 + listed->deny_ipv6)
		printf("  prefixes denied: %u IPv4, %u IPv6\n", listed->deny_ipv4,
		       listed->deny_ipv6);
	for (size_t i = 0; i < instance->watched_count; i++) {
		const struct watch_entry *entry = &instance->watched[i];

		printf("  watched: %s: %llu packets, %llu bytes\n", watch_text(&entry->key, flow),
		       (unsigned long long)entry->value.packets,
		       (unsigned long long)entry->value.bytes);
	}
}

static void print_text(const struct maps_instance *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct maps_instance *instance = &list[i];

		printf("%s\n", instance->name);
		if (instance->filters)
			printf("  filters, generation %u: %s\n", instance->filters->generation,
			       *instance->filters->text ? instance->filters->text
							: "none, everything is captured");
		for (size_t j = 0; j < instance->interface_count; j++)
			print_interface(&instance->interfaces[j]);
		if (instance->gone[XCAP_SEEN].frames) {
			printf("  interfaces that are gone, together:\n");
			print_counters(instance->gone);
		}
		print_lists(instance);
		for (size_t j = 0; j < instance->ring_count; j++)
			printf("  ring %u: %llu of %llu bytes pending\n", instance->rings[j].number,
			       (unsigned long long)instance->rings[j].pending_bytes,
			       (unsigned long long)instance->rings[j].size_bytes);
	}
}

static int report(int err, const struct maps_options *o)
{
	switch (-err) {
	case EPERM:
	case EACCES:
		fprintf(stderr, "xcapctl maps: not permitted to read BPF maps: this needs root, or "
				"CAP_BPF and access to the bpf file system\n");
		return EXIT_NOT_PERMITTED;
	case ENOTDIR:
		fprintf(stderr, "xcapctl maps: %s is not a bpf file system (see --bpffs)\n",
			o->bpffs);
		return EXIT_UNAVAILABLE;
	}
	fprintf(stderr, "xcapctl maps: cannot read the pinned maps: %s\n", strerror(-err));
	return EXIT_FAILURE;
}

static int print_maps(const struct maps_options *o)
{
	struct maps_instance *list;
	size_t count;
	int err, code = 0;

	err = maps_read(&list, &count, o->bpffs, o->run_dir, o->instance);
	if (err)
		return report(err, o);
	if (o->json) {
		code = print_json(list, count);
	} else if (count) {
		print_text(list, count);
	} else if (!o->instance) {
		fprintf(stderr, "xcapctl maps: nothing is attached on this host (see --bpffs)\n");
	}
	if (!count && o->instance) {
		fprintf(stderr,
			"xcapctl maps: instance \"%s\" has nothing in the kernel (see --bpffs)\n",
			o->instance);
		code = EXIT_UNAVAILABLE;
	}
	maps_free(list, count);
	return code;
}

int cmd_maps(int argc, char **argv)
{
	static const int codes[] = {
		[CONFIG_EXIT_USAGE] = EXIT_USAGE, [CONFIG_EXIT_CONFIG] = EXIT_FAILURE
	};
	enum config_outcome outcome;
	struct maps_options o;
	struct config *config;
	int code;

	outcome = config_parse(&config, &program, argc, argv, &o);
	if (outcome != CONFIG_RUN)
		return codes[outcome];
	code = print_maps(&o);
	config_destroy(config);
	return code;
}
