/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "selftests/unit/check.h"

static char root[64];

static void run(const char *format, const char *argument)
{
	char command[512];

	snprintf(command, sizeof(command), format, argument);
	assert_int_equal(system(command), 0);
}

static int make_root(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/dev/shm/machine_test.XXXXXX");
	assert_non_null(mkdtemp(root));
	return 0;
}

static int remove_root(void **state)
{
	(void)state;
	run("rm -rf %s", root);
	return 0;
}

/* A file under root, its folders made. */
static void put(const char *path, const char *text)
{
	char full[PATH_MAX];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(full, 0755);
		*slash = '/';
	}
	file = fopen(full, "w");
	assert_non_null(file);
	fprintf(file, "%s\n", text);
	fclose(file);
}

static void lists(void **state)
{
	static const struct {
		const char *name, *text;
		int count;
		unsigned int first, last;
	} cases[] = {
		{ "one", "3", 1, 3, 3 },
		{ "a range", "0-3\n", 4, 0, 3 },
		{ "as given", "7,0-2,5", 5, 7, 5 },
		{ "the last", "1023", 1, 1023, 1023 },
		{ "nothing", "", -EINVAL, 0, 0 },
		{ "only a line", "\n", -EINVAL, 0, 0 },
		{ "too high", "1024", -EINVAL, 0, 0 },
		{ "far too high", "99999999999999999999", -EINVAL, 0, 0 },
		{ "backwards", "3-1", -EINVAL, 0, 0 },
		{ "no end", "3-", -EINVAL, 0, 0 },
		{ "no begin", "-3", -EINVAL, 0, 0 },
		{ "a gap", "1,,2", -EINVAL, 0, 0 },
		{ "a comma behind", "1,", -EINVAL, 0, 0 },
		{ "a word", "all", -EINVAL, 0, 0 },
		{ "too many", "0-1023,0", -EINVAL, 0, 0 },
	};
	unsigned int cpus[MACHINE_CPUS_MAX];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		int count = machine_cpu_list(cpus, c->text);

		CHECK_EQ(count, c->count);
		if (count <= 0)
			continue;
		CHECK_EQ(cpus[0], c->first);
		CHECK_EQ(cpus[count - 1], c->last);
	}
}

/* irq: its number; 0 stands for none of the device's. */
static void add_irq(unsigned int irq, const char *action, const char *device, const char *cpus)
{
	char path[256];

	snprintf(path, sizeof(path), "/proc/irq/%u/smp_affinity_list", irq);
	put(path, "0-7");
	snprintf(path, sizeof(path), "/proc/irq/%u/effective_affinity_list", irq);
	put(path, cpus);
	snprintf(path, sizeof(path), "/proc/irq/%u/%s/x", irq, action);
	put(path, "");
	if (!device)
		return;
	snprintf(path, sizeof(path), "/sys/devices/%s/msi_irqs/%u", device, irq);
	put(path, "");
}

static void add_interface(const char *name, const char *ifindex, const char *device)
{
	char path[256], command[512];

	snprintf(path, sizeof(path), "/sys/class/net/%s/ifindex", name);
	put(path, ifindex);
	if (!device)
		return;
	snprintf(path, sizeof(path), "/sys/devices/%s/uevent", device);
	put(path, "");
	snprintf(command, sizeof(command), "ln -s ../../../devices/%s %s/sys/class/net/%s/device",
		 device, root, name);
	assert_int_equal(system(command), 0);
}

static void cpus_of_queues(void **state)
{
	static const struct {
		const char *name, *ifname;
		unsigned int ifindex, queue;
		int cpu;
	} cases[] = {
		{ "both directions, 0", "eth0", 2, 0, 4 },
		{ "both directions, 1", "eth0", 2, 1, 6 },
		{ "no such queue", "eth0", 2, 2, -1 },
		{ "another namespace's", "eth0", 3, 0, -1 },
		{ "no such interface", "eth7", 2, 0, -1 },
		{ "virtio, arriving", "ens3", 4, 1, 3 },
		{ "with an address, two digits", "p1", 5, 12, 7 },
		{ "one interrupt", "enp3s1", 6, 0, 2 },
		{ "one interrupt, another queue", "enp3s1", 6, 1, -1 },
		{ "arriving apart from leaving", "eth1", 8, 0, 5 },
		{ "on several CPUs", "eth1", 8, 1, -1 },
		{ "nothing known", "veth0", 9, 0, -1 },
	};

	(void)state;
	add_interface("eth0", "2", "pci0/0000:01:00.0");
	add_irq(30, "eth0", "pci0/0000:01:00.0", "1");
	add_irq(31, "i40e-eth0-TxRx-0", "pci0/0000:01:00.0", "4");
	add_irq(32, "i40e-eth0-TxRx-1", "pci0/0000:01:00.0", "6");
	add_interface("ens3", "4", "pci0/0000:02:00.0/virtio2");
	add_irq(40, "virtio2-config", "pci0/0000:02:00.0", "0");
	add_irq(41, "virtio2-input.1", "pci0/0000:02:00.0", "3");
	add_irq(42, "virtio2-output.1", "pci0/0000:02:00.0", "1");
	add_irq(43, "virtio2-output.0", "pci0/0000:02:00.0", "1");
	add_interface("p1", "5", "pci0/0000:3b:00.0");
	add_irq(50, "mlx5_async12@pci:0000:3b:00.0", "pci0/0000:3b:00.0", "1");
	add_irq(51, "mlx5_comp12@pci:0000:3b:00.0", "pci0/0000:3b:00.0", "7");
	add_interface("enp3s1", "6", NULL);
	add_irq(60, "enp3s1", NULL, "2");
	add_interface("eth1", "8", NULL);
	add_irq(70, "eth1-tx-0", NULL, "1");
	add_irq(71, "eth1-rx-0", NULL, "5");
	add_irq(72, "eth1-rx-1", NULL, "5-6");
	add_irq(73, "veth1-rx-0", NULL, "0");
	add_interface("veth0", "9", NULL);
	FOR_EACH_CASE (c, cases)
		CHECK_EQ(machine_queue_cpu(root, c->ifname, c->ifindex, c->queue), c->cpu);
}

static void nodes(void **state)
{
	(void)state;
	add_interface("n0", "20", "pci1/0000:01:00.0");
	put("/sys/devices/pci1/0000:01:00.0/numa_node", "1");
	add_interface("n1", "21", "pci1/0000:02:00.0/virtio1");
	put("/sys/devices/pci1/0000:02:00.0/numa_node", "1");
	add_interface("n2", "22", "pci1/0000:03:00.0");
	put("/sys/devices/pci1/0000:03:00.0/numa_node", "-1");
	add_interface("n3", "23", NULL);
	put("/sys/devices/system/node/online", "0-1");
	CHECK_EQ(machine_numa_node(root, "n0", 20), 1);
	CHECK_EQ(machine_numa_node(root, "n0", 21), -1);
	CHECK_EQ(machine_numa_node(root, "n1", 21), 1);
	CHECK_EQ(machine_numa_node(root, "n2", 22), -1);
	CHECK_EQ(machine_numa_node(root, "n3", 23), -1);
	put("/sys/devices/system/node/online", "0");
	CHECK_EQ(machine_numa_node(root, "n0", 20), -1);
}

/* The policy of the memory at, as the kernel tells it. */
static void policy_of(const void *at, char policy[64])
{
	FILE *file = fopen("/proc/thread-self/numa_maps", "r");
	char line[4096];

	assert_non_null(file);
	*policy = '\0';
	while (fgets(line, sizeof(line), file)) {
		if (strtoul(line, NULL, 16) == (uintptr_t)at)
			sscanf(line, "%*s %63s", policy);
	}
	fclose(file);
}

static void memory_comes_from_the_node(void **state)
{
	char policy[64], *at;

	(void)state;
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(at != MAP_FAILED);
	machine_prefer_node(0);
	*at = 1;
	policy_of(at, policy);
	CHECK_STR(policy, "prefer:0");
	machine_prefer_node(-1);
	policy_of(at, policy);
	CHECK_STR(policy, "default");
	munmap(at, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lists),
		TEST(cpus_of_queues),
		TEST(nodes),
		TEST(memory_comes_from_the_node),
	};

	return cmocka_run_group_tests_name("machine", tests, make_root, remove_root);
}
