/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/clsact.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "bpf/instance.h"
#include "bpf/netlink.h"
#include "bpf/netns.h"

/* Filters of one priority run in turn, the latest first; the lowest number comes first of all. A
 * number that a filter of another kind or protocol has is not to be had. */
#define PRIORITY_FIRST 1
#define PRIORITY_LAST 16
#define PROGRAM_MAPS_MAX 64

struct filter {
	uint32_t handle, priority, program_id;
};

/* What is looked for at a hook. */
struct search {
	uint32_t map_id;
	struct filter found;
	bool is_found;
	unsigned int count; /* filters of anybody */
};

static bool uses_map(uint32_t program_id, uint32_t map_id)
{
	uint32_t maps[PROGRAM_MAPS_MAX] = {};
	struct bpf_prog_info info = { .map_ids = (uintptr_t)maps, .nr_map_ids = ARRAY_SIZE(maps) };
	__u32 len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(program_id), err;

	if (fd < 0)
		return false;
	err = bpf_obj_get_info_by_fd(fd, &info, &len);
	close(fd);
	for (uint32_t i = 0; !err && i < info.nr_map_ids && i < ARRAY_SIZE(maps); i++) {
		if (maps[i] == map_id)
			return true;
	}
	return false;
}

static int take_filter(const struct nlmsghdr *message, void *context)
{
	const struct tcmsg *filter = NLMSG_DATA(message);
	const struct nlattr *id = NULL;
	struct search *search = context;
	bool is_bpf = false;

	if (message->nlmsg_type != RTM_NEWTFILTER ||
	    message->nlmsg_len < NLMSG_LENGTH(sizeof(*filter)))
		return -EBADMSG;
	search->count++;
	NETLINK_FOR_EACH(attribute, message, sizeof(*filter))
	{
		if (netlink_type(attribute) == TCA_KIND)
			is_bpf = netlink_len(attribute) >= sizeof("bpf") &&
				 !strcmp(netlink_data(attribute), "bpf");
		if (netlink_type(attribute) == TCA_OPTIONS)
			id = netlink_nested(attribute, TCA_BPF_ID);
	}
	if (!is_bpf || !id || search->is_found ||
	    !uses_map((uint32_t)netlink_uint(id), search->map_id))
		return 0;
	search->is_found = true;
	search->found = (struct filter){
		.handle = filter->tcm_handle,
		.priority = TC_H_MAJ(filter->tcm_info) >> 16,
		.program_id = (uint32_t)netlink_uint(id),
	};
	return 0;
}

static int look(struct search *search, unsigned int ifindex, bool egress)
{
	struct netlink_request request;
	struct tcmsg *hook;

	hook = netlink_begin(&request, RTM_GETTFILTER, NLM_F_DUMP, sizeof(*hook));
	hook->tcm_ifindex = (int)ifindex;
	hook->tcm_parent = TC_H_MAKE(TC_H_CLSACT, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
	return netlink_ask(NETLINK_ROUTE, &request, take_filter, search);
}

static uint32_t counters_id(const char *dir)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	int fd = instance_open_pin(dir, "count"), err;

	if (fd < 0)
		return 0;
	err = bpf_obj_get_info_by_fd(fd, &info, &len);
	close(fd);
	return err ? 0 : info.id;
}

static int find(struct filter *ret, const char *dir, const struct xcap_info *info, bool egress)
{
	struct search search = { .map_id = counters_id(dir) };
	int err = look(&search, info->ifindex, egress);

	if (!err && !search.is_found)
		err = -ENOENT;
	if (!err)
		*ret = search.found;
	return err;
}

/*
 * The qdisc is shared by all instances, which come and go under this lock: on the folder of their
 * folders.
 */
static int lock_instances(const char *dir)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/../..", dir) >= (int)sizeof(path))
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		(void)flock(fd, LOCK_EX);
	return fd;
}

static void unlock_instances(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Has another instance, still there, made the qdisc of this device? */
static bool is_inherited(const char *dir, const struct xcap_info *wanted)
{
	char root[PATH_MAX], path[PATH_MAX];
	struct dirent *entry;
	struct xcap_info info;
	bool found = false;
	DIR *stream;

	if (snprintf(root, sizeof(root), "%s/../..", dir) >= (int)sizeof(root))
		return false;
	stream = opendir(root);
	while (stream && !found && (entry = readdir(stream))) {
		if (entry->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "%s/%s/if_%u", root, entry->d_name,
			     wanted->ifindex) >= (int)sizeof(path))
			continue;
		found = instance_read_info(path, &info) && info.netns == wanted->netns &&
			info.flags & XCAP_INFO_QDISC;
	}
	if (stream)
		closedir(stream);
	return found;
}

static int add_filter(unsigned int ifindex, bool egress, int program_fd, bool *is_behind)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
		    .attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	int err = -EINVAL;

	for (uint32_t priority = PRIORITY_FIRST; err && priority <= PRIORITY_LAST; priority++) {
		LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = program_fd, .priority = priority);

		err = bpf_tc_attach(&hook, &filter);
		*is_behind = priority > PRIORITY_FIRST;
		if (err != -EINVAL && err != -EEXIST && err != -ENOSPC)
			return err;
	}
	return err;
}

int clsact_attach(struct clsact_place *ret, const char *dir, const struct xcap_info *info,
		  bool egress, int program_fd)
{
	LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = (int)info->ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	int lock = lock_instances(dir), err = bpf_tc_hook_create(&both);
	struct clsact_place place = { .made_qdisc = !err };
	bool is_new = !err;

	if (err == -EEXIST)
		place.made_qdisc = is_inherited(dir, info);
	if (is_new || err == -EEXIST)
		err = add_filter(info->ifindex, egress, program_fd, &place.is_behind);
	if (err && is_new)
		(void)bpf_tc_hook_destroy(&both);
	unlock_instances(lock);
	if (!err)
		*ret = place;
	return err;
}

int clsact_replace(const char *dir, const struct xcap_info *info, bool egress, int program_fd)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)info->ifindex,
		    .attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program_fd, .flags = BPF_TC_F_REPLACE);
	struct filter filter;
	int err = find(&filter, dir, info, egress);

	if (err)
		return err;
	options.handle = filter.handle;
	options.priority = filter.priority;
	return bpf_tc_attach(&hook, &options);
}

int clsact_open_program(const char *dir, const struct xcap_info *info, bool egress)
{
	struct filter filter;
	int err = find(&filter, dir, info, egress);

	return err ? err : bpf_prog_get_fd_by_id(filter.program_id);
}

/* For netns_run_at(). */
struct job {
	const char *dir;
	const struct xcap_info *info;
};

static int find_both(void *context)
{
	const struct job *job = context;
	struct filter filter;
	int err = find(&filter, job->dir, job->info, false);

	return err ? err : find(&filter, job->dir, job->info, true);
}

bool clsact_is_attached(const char *dir, const struct xcap_info *info)
{
	struct job job = { .dir = dir, .info = info };

	return netns_run_at(info->netns, find_both, &job) == 0;
}

static int remove_filter(const struct job *job, bool egress)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)job->info->ifindex,
		    .attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options);
	struct filter filter;
	int err = find(&filter, job->dir, job->info, egress);

	if (err)
		return err;
	options.handle = filter.handle;
	options.priority = filter.priority;
	return bpf_tc_detach(&hook, &options);
}

static bool is_empty(unsigned int ifindex)
{
	struct search search = {};

	return look(&search, ifindex, false) == 0 && look(&search, ifindex, true) == 0 &&
	       search.count == 0;
}

static int remove_both(void *context)
{
	const struct job *job = context;
	LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = (int)job->info->ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	/* Where none of ours was, the qdisc is another one by now. */
	bool was_there = !remove_filter(job, false);

	was_there |= !remove_filter(job, true);
	if (was_there && job->info->flags & XCAP_INFO_QDISC && is_empty(job->info->ifindex))
		return bpf_tc_hook_destroy(&both);
	return 0;
}

void clsact_detach(const char *dir, const struct xcap_info *info)
{
	struct job job = { .dir = dir, .info = info };
	int lock = lock_instances(dir);

	(void)!netns_run_at(info->netns, remove_both, &job);
	unlock_instances(lock);
}
