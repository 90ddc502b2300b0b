/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/recorded.h"

#include <stdio.h>
#include <string.h>

/* "host", then "host:eth1" for what else was recorded there. */
static void name(struct pcapng_interface *interface, const char *recorded, uint32_t id,
		 const struct recorded_config *config)
{
	const char *slash = strrchr(config->path, '/');

	if (config->label && id == 0)
		snprintf(interface->name, sizeof(interface->name), "%s", config->label);
	else if (config->label)
		snprintf(interface->name, sizeof(interface->name), "%s:%.*s", config->label, 60,
			 recorded[0] ? recorded : "other");
	else if (!recorded[0])
		snprintf(interface->name, sizeof(interface->name), "%s",
			 strcmp(config->path, "-") == 0 ? "stdin"
			 : slash			? slash + 1
							: config->path);
}

void recorded_init(struct recorded *recorded, const struct pcapng_interface *interface, uint32_t id,
		   const struct recorded_config *config)
{
	struct pcapng_interface *description = &recorded->description;

	*recorded = (struct recorded){ .description = *interface };
	description->tsresol = 9;
	description->tsoffset_s = 0;
	name(description, interface->name, id, config);
	/* What is left came through both. */
	if (config->expression && interface->filter[0])
		snprintf(description->filter, sizeof(description->filter), "(%.120s) and (%.120s)",
			 interface->filter, config->expression);
	else if (config->expression)
		snprintf(description->filter, sizeof(description->filter), "%s",
			 config->expression);
}

void recorded_release(struct recorded *recorded)
{
	filter_destroy(recorded->filter);
}

int recorded_matches(struct recorded *recorded, const struct recorded_config *config,
		     const struct pcapng_packet *packet, char error[RECORDED_ERROR_LEN])
{
	const struct pcapng_interface *interface = &recorded->description;
	uint32_t captured_len = packet->captured_len;
	char why[FILTER_ERROR_LEN];
	int err;

	if (!config->expression)
		return 1;
	if (!recorded->filter) {
		err = filter_compile(&recorded->filter, config->expression, interface->link_type,
				     why);
		if (err) {
			snprintf(error, RECORDED_ERROR_LEN,
				 "the filter '%.100s' on %.60s, of link type %u: %.250s",
				 config->expression, interface->name, interface->link_type, why);
			return err;
		}
	}
	/* Of a packet that is longer than its file allows, libpcap takes no more. */
	if (interface->snaplen)
		captured_len = MIN(captured_len, interface->snaplen);
	return filter_verdict(recorded->filter, packet->data, captured_len, packet->original_len) !=
	       0;
}
