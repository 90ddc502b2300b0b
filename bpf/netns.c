/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/netns.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/net_namespace.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/netlink.h"

uint64_t netns_self(void)
{
	struct stat info;

	return stat("/proc/thread-self/ns/net", &info) == 0 ? info.st_ino : 0;
}

struct netns_wanted {
	uint64_t inode; /* 0: by id */
	int nsid;
};

static int take_nsid(const struct nlmsghdr *message, void *context)
{
	int *nsid = context;

	NETLINK_FOR_EACH(attribute, message, sizeof(struct rtgenmsg))
	{
		if (netlink_type(attribute) == NETNSA_NSID)
			*nsid = (int)netlink_uint(attribute);
	}
	return 0;
}

/* By which id our namespace knows the one of this descriptor, -1 if by none. */
static int id_of(int fd)
{
	struct netlink_request request;
	uint32_t descriptor = (uint32_t)fd;
	int nsid = -1;

	(void)netlink_begin(&request, RTM_GETNSID, 0, sizeof(struct rtgenmsg));
	netlink_put(&request, NETNSA_FD, &descriptor, sizeof(descriptor));
	return netlink_ask(NETLINK_ROUTE, &request, take_nsid, &nsid) ? -1 : nsid;
}

static bool is_wanted(int fd, const struct netns_wanted *wanted)
{
	struct stat info;

	if (wanted->inode)
		return fstat(fd, &info) == 0 && info.st_ino == wanted->inode;
	return id_of(fd) == wanted->nsid;
}

static int search(const char *path, const char *suffix, bool only_numbers,
		  const struct netns_wanted *wanted)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char file[PATH_MAX];
	int found = -ENOENT;

	if (!dir)
		return -ENOENT;
	while (found < 0 && (entry = readdir(dir))) {
		int fd;

		if (entry->d_name[0] == '.' ||
		    (only_numbers && !isdigit((unsigned char)entry->d_name[0])))
			continue;
		snprintf(file, sizeof(file), "%s/%s%s", path, entry->d_name, suffix);
		fd = open(file, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (is_wanted(fd, wanted))
			found = fd;
		else
			close(fd);
	}
	closedir(dir);
	return found;
}

static int open_wanted(const struct netns_wanted *wanted)
{
	int fd = search("/run/netns", "", false, wanted);

	return fd >= 0 ? fd : search("/proc", "/ns/net", true, wanted);
}

int netns_open(uint64_t inode)
{
	return inode ? open_wanted(&(struct netns_wanted){ .inode = inode }) : -ENOENT;
}

int netns_open_id(int nsid)
{
	return nsid >= 0 ? open_wanted(&(struct netns_wanted){ .nsid = nsid }) : -ENOENT;
}

struct netns_job {
	int fd;
	int (*work)(void *context);
	void *context;
	int result;
};

static void *run_job(void *context)
{
	struct netns_job *job = context;

	if (setns(job->fd, CLONE_NEWNET) < 0)
		job->result = -errno;
	else
		job->result = job->work(job->context);
	return NULL;
}

int netns_run(int fd, int (*work)(void *context), void *context)
{
	struct netns_job job = { .fd = fd, .work = work, .context = context };
	pthread_t thread;
	int err;

	/* A thread of its own: there is no way back that could fail. */
	err = pthread_create(&thread, NULL, run_job, &job);
	if (err)
		return -err;
	pthread_join(thread, NULL);
	return job.result;
}

int netns_run_at(uint64_t inode, int (*work)(void *context), void *context)
{
	int fd, err;

	if (inode == netns_self())
		return work(context);
	fd = netns_open(inode);
	if (fd < 0)
		return fd;
	err = netns_run(fd, work, context);
	close(fd);
	return err;
}
