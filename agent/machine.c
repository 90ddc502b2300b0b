/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/machine.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TEXT_LEN 4096
#define NODES_MAX 1024
#define LONG_BITS (8 * sizeof(unsigned long))

/* One number of a list; -1 if there is none. */
static long take_number(const char **text)
{
	char *end;
	long number;

	if (!isdigit((unsigned char)**text))
		return -1;
	errno = 0;
	number = strtol(*text, &end, 10);
	*text = end;
	return errno || number >= MACHINE_CPUS_MAX ? -1 : number;
}

int machine_cpu_list(unsigned int ret[MACHINE_CPUS_MAX], const char *text)
{
	int count = 0;
	long first, last;

	do {
		first = last = take_number(&text);
		if (*text == '-') {
			text++;
			last = take_number(&text);
		}
		if (first < 0 || last < first)
			return -EINVAL;
		for (; first <= last; first++) {
			if (count == MACHINE_CPUS_MAX)
				return -EINVAL;
			ret[count++] = (unsigned int)first;
		}
	} while (*text == ',' && text++);
	text += strspn(text, " \n");
	return *text ? -EINVAL : count;
}

static int printf_like(3, 4)
	read_text(char text[TEXT_LEN], const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	size_t at;
	ssize_t n;
	int fd;

	at = (size_t)snprintf(path, sizeof(path), "%s", root);
	if (at >= sizeof(path))
		return -ENAMETOOLONG;
	va_start(args, format);
	vsnprintf(path + at, sizeof(path) - at, format, args);
	va_end(args);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, TEXT_LEN - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	text[n] = '\0';
	return 0;
}

static bool is_here(const char *root, const char *ifname, unsigned int ifindex)
{
	char text[TEXT_LEN];

	return !read_text(text, root, "/sys/class/net/%s/ifindex", ifname) &&
	       strtoul(text, NULL, 10) == ifindex;
}

/* Of the interface's device, or of what a virtio device is on. */
static bool has_interrupt(const char *root, const char *ifname, const char *irq)
{
	static const char *const where[] = { "device", "device/.." };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		if (snprintf(path, sizeof(path), "%s/sys/class/net/%s/%s/msi_irqs/%s", root, ifname,
			     where[i], irq) < (int)sizeof(path) &&
		    access(path, F_OK) == 0)
			return true;
	}
	return false;
}

/* "eth0-TxRx-3" has eth0 in it, "veth0-TxRx-3" and "eth01" have not. */
static bool names(const char *action, const char *ifname)
{
	const char *at = action;
	size_t len = strlen(ifname);

	while ((at = strstr(at, ifname))) {
		if ((at == action || !isalnum((unsigned char)at[-1])) &&
		    !isalnum((unsigned char)at[len]))
			return true;
		at++;
	}
	return false;
}

/*
 * The queue whose arriving packets an interrupt of this name tells of; -1: none. Drivers end the
 * name with the queue's number, and some put an address behind: "eth0-TxRx-3", "virtio2-input.3",
 * "mlx5_comp3@pci:0000:3b:00.0".
 */
static int queue_of(const char *action, const char *ifname)
{
	static const char *const others[] = { "output", "async", "ctrl", "config" };
	size_t len = strcspn(action, "@"), digits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (strcasestr(action, others[i]))
			return -1;
	}
	if (strcmp(action, ifname) == 0 || (strcasestr(action, "tx") && !strcasestr(action, "rx")))
		return -1;
	while (digits < len && isdigit((unsigned char)action[len - digits - 1]))
		digits++;
	return digits && digits < 6 ? atoi(action + len - digits) : -1;
}

/* Handlers of an interrupt are folders in that of its number. queue -1: the interface's own. */
static bool is_of_queue(const char *root, const char *irq, const char *ifname, int queue)
{
	bool is_device = has_interrupt(root, ifname, irq), found = false;
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	if (snprintf(path, sizeof(path), "%s/proc/irq/%s", root, irq) >= (int)sizeof(path))
		return false;
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		const char *action = entry->d_name;

		if (entry->d_type != DT_DIR || *action == '.')
			continue;
		found = queue < 0 ? strcmp(action, ifname) == 0
				  : (is_device || names(action, ifname)) &&
					    queue_of(action, ifname) == queue;
	}
	if (dir)
		closedir(dir);
	return found;
}

static int cpu_of(const char *root, const char *irq)
{
	static const char *const files[] = { "effective_affinity_list", "smp_affinity_list" };
	unsigned int cpus[MACHINE_CPUS_MAX];
	char text[TEXT_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (!read_text(text, root, "/proc/irq/%s/%s", irq, files[i]) &&
		    machine_cpu_list(cpus, text) == 1)
			return (int)cpus[0];
	}
	return -1;
}

static int find_cpu(const char *root, const char *ifname, int queue)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int cpu = -1;
	DIR *dir;

	if (snprintf(path, sizeof(path), "%s/proc/irq", root) >= (int)sizeof(path))
		return -1;
	dir = opendir(path);
	while (dir && cpu < 0 && (entry = readdir(dir))) {
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    is_of_queue(root, entry->d_name, ifname, queue))
			cpu = cpu_of(root, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return cpu;
}

int machine_queue_cpu(const char *root, const char *ifname, unsigned int ifindex,
		      unsigned int queue)
{
	int cpu;

	if (!is_here(root, ifname, ifindex))
		return -1;
	cpu = find_cpu(root, ifname, (int)queue);
	/* Who has one interrupt for all names it like the interface. */
	return cpu < 0 && queue == 0 ? find_cpu(root, ifname, -1) : cpu;
}

int machine_numa_node(const char *root, const char *ifname, unsigned int ifindex)
{
	unsigned int nodes[MACHINE_CPUS_MAX];
	char text[TEXT_LEN];

	if (!is_here(root, ifname, ifindex) ||
	    read_text(text, root, "/sys/devices/system/node/online") ||
	    machine_cpu_list(nodes, text) < 2)
		return -1;
	if (read_text(text, root, "/sys/class/net/%s/device/numa_node", ifname) &&
	    read_text(text, root, "/sys/class/net/%s/device/../numa_node", ifname))
		return -1;
	return MAX(atoi(text), -1);
}

void machine_prefer_node(int node)
{
	unsigned long mask[NODES_MAX / LONG_BITS] = {};

	/* A wish: where the kernel does not know it, memory comes from anywhere. */
	if (node < 0 || node >= NODES_MAX) {
		(void)syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0);
		return;
	}
	mask[(unsigned int)node / LONG_BITS] = 1ul << ((unsigned int)node % LONG_BITS);
	(void)syscall(SYS_set_mempolicy, MPOL_PREFERRED, mask, NODES_MAX + 1);
}
