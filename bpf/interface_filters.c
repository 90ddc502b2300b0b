/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filters of an interface, and their change while it captures. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <unistd.h>

#include "bpf/dataplane_internal.h"
#include "bpf/hook.h"
#include "bpf/splice.h"
#include "common/log.h"
#include "common/pcapng.h"

/* Takes out the filters that are none of this link type; they match no such packet. */
static int take_out_refused(struct filter_set *set, uint16_t link_type, bool tell)
{
	char why[FILTER_ERROR_LEN];
	int err = 0;

	for (unsigned int i = 0; i < set->count && !err;) {
		const char *name = set->rules[i].name;

		err = filter_set_check(set, i, link_type, false, why);
		if (!err) {
			i++;
			continue;
		}
		if (tell)
			log_info("filter %s is not asked of packets in tunnels that begin with "
				 "%s: %s",
				 name, link_type == LINKTYPE_RAW ? "IP" : "Ethernet", why);
		err = filter_set_delete(set, name);
	}
	return err;
}

/* The filters for what tunnels carry that begins otherwise than the interface's own frames. */
static int compile_other(struct filter_program **ret, struct dataplane_interface *interface,
			 const struct filter_set *filters, char *why)
{
	uint16_t link_type =
		interface->link_type == LINKTYPE_RAW ? LINKTYPE_ETHERNET : LINKTYPE_RAW;
	struct dataplane *dataplane = interface->dataplane;
	struct filter_set set;
	int err = filter_set_compile(ret, filters, link_type, why);

	if (err != -EINVAL)
		return err;
	err = filter_set_copy(&set, filters);
	if (err)
		return explain(why, err, "cannot compile the filters");
	err = take_out_refused(&set, link_type, dataplane->told_generation != set.generation);
	dataplane->told_generation = set.generation;
	if (!err)
		err = filter_set_compile(ret, &set, link_type, why);
	filter_set_release(&set);
	return err;
}

static int translate_other(struct dataplane_interface *interface, const struct filter_set *filters,
			   enum filter_hook hook, char *why)
{
	struct filter_program *program = NULL;
	int err = compile_other(&program, interface, filters, why);

	if (!err && program)
		err = filter_translate(&interface->other, program, hook, why);
	filter_destroy(program);
	return err;
}

static int match_nothing(struct filter_program **ret, char *why)
{
	static const struct filter_insn no = { .code = BPF_RET | BPF_K };

	return filter_from_classic(ret, &no, 1, why);
}

/* Without the filters that only another link type knows: -EINVAL if one is wrong everywhere. */
static int keep_known(struct filter_set *set, const struct dataplane_interface *interface,
		      char *why)
{
	char not_here[FILTER_ERROR_LEN];
	int err = 0;

	for (unsigned int i = 0; i < set->count && !err;) {
		const char *name = set->rules[i].name;

		if (!filter_set_check(set, i, interface->link_type, false, not_here)) {
			i++;
			continue;
		}
		err = filter_set_check(set, i, LINKTYPE_ETHERNET, false, why);
		if (err)
			break;
		log_warning(0, "filter %s matches nothing on %s: %s", name, interface->config.name,
			    not_here);
		err = filter_set_delete(set, name);
	}
	return err;
}

/*
 * Of many interfaces some may be of a kind that a filter is not for, such as `vlan` on a tun
 * device: they would keep it from all the others.
 */
static int compile_own(struct filter_program **ret, const struct dataplane_interface *interface,
		       const struct filter_set *filters, char *why)
{
	int err = filter_set_compile(ret, filters, interface->link_type, why);
	struct filter_set set;

	if (err != -EINVAL || !interface->config.may_differ ||
	    interface->link_type == LINKTYPE_ETHERNET)
		return err;
	err = filter_set_copy(&set, filters);
	if (err)
		return explain(why, err, "cannot compile the filters");
	err = keep_known(&set, interface, why);
	if (!err)
		err = set.count ? filter_set_compile(ret, &set, interface->link_type, why)
				: match_nothing(ret, why);
	filter_set_release(&set);
	return err;
}

int interface_compile_filters(struct dataplane_interface *interface,
			      const struct filter_set *filters, char *error)
{
	enum filter_hook hook = interface->config.mode == XCAP_TAP ? FILTER_XDP : FILTER_TCX;
	struct filter_program *program = NULL;
	char why[FILTER_ERROR_LEN];
	int err = 0;

	interface_forget_code(interface);
	interface->generation = filters ? filters->generation : 0;
	if (filters)
		err = compile_own(&program, interface, filters, why);
	if (!err && program)
		err = filter_translate(&interface->filter, program, hook, why);
	filter_destroy(program);
	if (!err && filters && interface->config.decap)
		err = translate_other(interface, filters, hook, why);
	policies_make(&interface->policies, &interface->config.usual, filters);
	interface->has_ranks = filters && filters->count > 1;
	interface_name_slots(interface, filters);
	return err ? explain_only(error, err, "cannot filter on %s: %s", interface->config.name,
				  why)
		   : 0;
}

void interface_configure_filters(const struct dataplane_interface *interface,
				 struct xcap_config *config, struct xcap_policy *policies,
				 __u8 *ranks)
{
	config->has_filter = interface->filter.count > 0;
	config->has_policy = interface->policies.differ;
	config->has_ranks = interface->has_ranks;
	config->decap = interface->config.decap;
	memcpy(policies, interface->policies.list, sizeof(interface->policies.list));
	memcpy(ranks, interface->policies.ranks, sizeof(interface->policies.ranks));
}

#define CODES 2

static void list_codes(const struct dataplane_interface *interface, struct splice_code ret[CODES])
{
	ret[0] = (struct splice_code){ "xcap_filter", interface->filter.insns,
				       interface->filter.count };
	ret[1] = (struct splice_code){ "xcap_filter_other", interface->other.insns,
				       interface->other.count };
}

int interface_load_object(const struct dataplane_interface *interface, struct bpf_object *object)
{
	struct splice_code list[CODES];

	list_codes(interface, list);
	return splice_load(object, list, CODES, interface->dataplane->kept);
}

int interface_load_again(const struct dataplane_interface *interface,
			 const struct bpf_object *object, const struct bpf_program *program,
			 unsigned int ifindex)
{
	struct splice_code list[CODES];

	list_codes(interface, list);
	return splice_load_again(interface->dataplane->kept, object, program, ifindex, list, CODES);
}

void interface_forget_code(struct dataplane_interface *interface)
{
	filter_code_release(&interface->filter);
	filter_code_release(&interface->other);
}

static void forget_programs(struct dataplane_interface *interface)
{
	for (unsigned int i = 0; i < INSTANCE_LINKS; i++) {
		if (interface->next_fds[i] >= 0)
			close(interface->next_fds[i]);
		interface->next_fds[i] = -1;
	}
}

int dataplane_prepare_filters(struct dataplane_interface *interface,
			      const struct filter_set *filters, char error[DATAPLANE_ERROR_LEN])
{
	int err;

	forget_programs(interface);
	err = interface_compile_filters(interface, filters, error);
	if (!err)
		err = interface->ops->reload(interface, error);
	interface_forget_code(interface);
	if (err)
		forget_programs(interface);
	return err;
}

static int replace(struct dataplane_interface *interface, unsigned int link)
{
	unsigned int links = instance_link_count(interface->config.mode);
	int before, err;

	if (link == links)
		return 0;
	before = hook_open_program(interface, link);
	if (before < 0)
		return before;
	err = hook_replace(interface, link, interface->next_fds[link]);
	if (!err) {
		err = replace(interface, link + 1);
		/* All of them, or none. */
		if (err)
			(void)!hook_replace(interface, link, before);
	}
	close(before);
	return err;
}

int dataplane_apply_filters(struct dataplane_interface *interface, char error[DATAPLANE_ERROR_LEN])
{
	int err = interface->next_fds[0] < 0 ? -EINVAL : interface_tell_slots(interface);

	if (!err)
		err = replace(interface, 0);
	forget_programs(interface);
	if (err)
		return explain(error, err, "cannot replace the program at %s",
			       interface->config.name);
	interface->info.generation = interface->generation;
	err = interface_write_info(interface);
	return err ? explain(error, err, "cannot note what is attached to %s",
			     interface->config.name)
		   : 0;
}

void dataplane_note_filters(struct dataplane *dataplane, const struct filter_set *filters)
{
	struct xcap_filters note = { .generation = filters->generation };
	__u32 key = 0;

	filter_set_describe(filters, note.text, sizeof(note.text));
	(void)bpf_map_update_elem(dataplane->filters_fd, &key, &note, BPF_ANY);
}

void dataplane_noted_filters(const struct dataplane *dataplane, struct xcap_filters *ret)
{
	__u32 key = 0;

	if (bpf_map_lookup_elem(dataplane->filters_fd, &key, ret))
		*ret = (struct xcap_filters){};
	ret->text[sizeof(ret->text) - 1] = '\0';
}
