/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sends a copy of the skb of a test run, whatever is beside its bytes, out of a device. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

/* mark: the device's index. */
SEC("tc")
int resend(struct __sk_buff *skb)
{
	return bpf_clone_redirect(skb, skb->mark, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
