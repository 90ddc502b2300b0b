/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <unistd.h>

#include "bpf/compat.h"

int attach_tcx(int program_fd, unsigned int ifindex, bool egress)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = COMPAT_F_BEFORE);

	return bpf_link_create(program_fd, (int)ifindex,
			       egress ? COMPAT_TCX_EGRESS : COMPAT_TCX_INGRESS, &options);
}

int attach_xdp(int program_fd, unsigned int ifindex, bool generic)
{
	LIBBPF_OPTS(bpf_link_create_opts, options,
		    .flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);

	return bpf_link_create(program_fd, (int)ifindex, BPF_XDP, &options);
}

int attach_read_link(int link_fd, struct attach_link *ret)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	int err = bpf_obj_get_info_by_fd(link_fd, &info, &len);

	if (err)
		return err;
	*ret = (struct attach_link){
		.id = info.id,
		.program_id = info.prog_id,
		/* A tcx link has its index at the same place. */
		.ifindex = info.xdp.ifindex,
	};
	return 0;
}

int attach_open_link(const char *pin)
{
	return bpf_obj_get(pin);
}

void attach_detach_link(int link_fd)
{
	(void)bpf_link_detach(link_fd);
}

int attach_find_foreign(struct attach_foreign *ret, unsigned int ifindex, uint32_t own_program)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct attach_foreign foreign = {};
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int err, fd;

	err = bpf_xdp_query((int)ifindex, 0, &query);
	if (err)
		return err;
	if (query.drv_prog_id && query.drv_prog_id != own_program) {
		foreign.program_id = query.drv_prog_id;
		foreign.xdp_flags = XDP_FLAGS_DRV_MODE;
	} else if (query.skb_prog_id && query.skb_prog_id != own_program) {
		foreign.program_id = query.skb_prog_id;
		foreign.xdp_flags = XDP_FLAGS_SKB_MODE;
	} else if (query.hw_prog_id) {
		foreign.program_id = query.hw_prog_id;
		foreign.xdp_flags = XDP_FLAGS_HW_MODE;
	}
	fd = foreign.program_id ? bpf_prog_get_fd_by_id(foreign.program_id) : -1;
	if (fd >= 0) {
		if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0)
			memcpy(foreign.name, info.name, sizeof(info.name));
		close(fd);
	}
	*ret = foreign;
	return 0;
}

/* The XDP link that holds a program on a device: its descriptor or -ENOENT. */
static int find_link(uint32_t program_id, unsigned int ifindex)
{
	__u32 id = 0;

	while (bpf_link_get_next_id(id, &id) == 0) {
		struct attach_link link;
		int fd = bpf_link_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (attach_read_link(fd, &link) == 0 && link.program_id == program_id &&
		    link.ifindex == ifindex)
			return fd;
		close(fd);
	}
	return -ENOENT;
}

int attach_remove_foreign(const struct attach_foreign *foreign, unsigned int ifindex,
			  int *program_fd)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, options);
	int fd, err;

	*program_fd = -1;
	fd = find_link(foreign->program_id, ifindex);
	if (fd >= 0) {
		err = bpf_link_detach(fd);
		close(fd);
		return err;
	}
	fd = bpf_prog_get_fd_by_id(foreign->program_id);
	if (fd < 0)
		return fd;
	options.old_prog_fd = fd;
	err = bpf_xdp_detach((int)ifindex, foreign->xdp_flags, &options);
	if (err) {
		close(fd);
		return err;
	}
	*program_fd = fd;
	return 0;
}

void attach_restore_foreign(const struct attach_foreign *foreign, unsigned int ifindex,
			    int program_fd)
{
	if (program_fd < 0)
		return;
	(void)bpf_xdp_attach((int)ifindex, program_fd,
			     foreign->xdp_flags | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);
	close(program_fd);
}
