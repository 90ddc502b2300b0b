/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A test run repeats one packet: this gives it other addresses each time, and calls the program. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#define VARY_PACKETS 65536

const volatile __u32 vary_address_at, vary_is_ipv6;
__u32 vary_packet;

/* Source and destination; of IPv4 the first 8 bytes. */
struct vary_addresses {
	__u32 words[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VARY_PACKETS);
	__uint(map_flags, 1 << 10); /* BPF_F_MMAPABLE */
	__type(key, __u32);
	__type(value, struct vary_addresses);
} vary_list SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} vary_next SEC(".maps");

SEC("tc")
int vary(struct __sk_buff *skb)
{
	__u32 packet = vary_packet++ % VARY_PACKETS;
	struct vary_addresses *from = bpf_map_lookup_elem(&vary_list, &packet);
	__u32 *to = (void *)(long)skb->data + (vary_address_at & 63);

	if (!from || (void *)(to + 8) > (void *)(long)skb->data_end)
		return 0;
	to[0] = from->words[0];
	to[1] = from->words[1];
	for (int i = 2; vary_is_ipv6 && i < 8; i++)
		to[i] = from->words[i];
	bpf_tail_call(skb, &vary_next, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
