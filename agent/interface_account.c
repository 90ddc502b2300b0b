/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/interface_account.h"

#include "common/log.h"

static const struct drop_reason {
	const char *name, *advice;
} reasons[] = {
	[INTERFACE_DROP_NIC] = { "nic", "its receive ring was full: a larger one (ethtool -G) or "
					"more RX queues (ethtool -L) help" },
	[INTERFACE_DROP_RING_FULL] = { "ring_full", "use a larger --buffer-size, more --lanes or a "
						    "smaller --snapshot-length" },
	[INTERFACE_DROP_TOO_LONG] = { "too_long", "no record of that length fits into a ring: use "
						  "a larger --buffer-size (of a tap before Linux "
						  "6.6: a smaller MTU, or mirror)" },
	[INTERFACE_DROP_NO_MEMORY] = { "no_memory",
				       "their bytes are not to be had: they are in a device's "
				       "memory, or the driver has no room in front of them (for a "
				       "tap use --xdp-mode generic)" },
	[INTERFACE_DROP_NO_SOCKET] = { "no_socket", "they came on an RX queue that is new: start "
						    "xcapd again" },
	[INTERFACE_DROP_LOST +
		INTERFACE_FILL_RING_EMPTY] = { "fill_ring_empty", "use more --lanes" },
	[INTERFACE_DROP_LOST + INTERFACE_RX_DROPPED] = { "rx_dropped", "the kernel could not copy "
								       "them: use more --lanes" },
	[INTERFACE_DROP_LOST + INTERFACE_RX_RING_FULL] = { "rx_ring_full", "use more --lanes" },
	[INTERFACE_DROP_LOST + INTERFACE_REDIRECTED_LOST] = { "redirected_not_received",
							      "they were on their way to an xcapd "
							      "that was killed" },
};

const char *interface_drop_name(enum interface_drop drop)
{
	return reasons[drop].name;
}

const char *interface_drop_advice(enum interface_drop drop)
{
	return reasons[drop].advice;
}

void interface_account_make(struct interface_account *ret, const struct interface_reading *reading)
{
	const struct xcap_count *counts = reading->counts;
	struct interface_account sum = {
		.seen = counts[XCAP_SEEN].frames,
		.self = counts[XCAP_SELF].frames,
		.other_direction = counts[XCAP_OTHER_DIRECTION].frames,
		.filtered = counts[XCAP_FILTERED].frames,
		.sampled_out = counts[XCAP_SAMPLED_OUT].frames,
		.delivered = reading->taken,
	};
	uint64_t known =
		sum.self + sum.other_direction + sum.filtered + sum.sampled_out + sum.delivered;

	sum.dropped[INTERFACE_DROP_NIC] = reading->nic.missed + reading->nic.fifo;
	sum.dropped[INTERFACE_DROP_RING_FULL] = counts[XCAP_RING_FULL].frames;
	sum.dropped[INTERFACE_DROP_TOO_LONG] = counts[XCAP_TOO_LONG].frames;
	sum.dropped[INTERFACE_DROP_NO_MEMORY] = counts[XCAP_NO_MEMORY].frames;
	sum.dropped[INTERFACE_DROP_NO_SOCKET] = counts[XCAP_NO_SOCKET].frames;
	for (unsigned int i = 0; i < INTERFACE_LOST_COUNT; i++)
		sum.dropped[INTERFACE_DROP_LOST + i] = reading->lost[i];
	for (unsigned int i = INTERFACE_DROP_NIC + 1; i < INTERFACE_DROP_COUNT; i++)
		known += sum.dropped[i];
	sum.arrived = sum.seen + sum.dropped[INTERFACE_DROP_NIC];
	sum.pending = sum.seen - MIN(sum.seen, known);
	*ret = sum;
}

uint64_t interface_account_kernel_dropped(const struct interface_account *account)
{
	uint64_t sum = 0;

	for (unsigned int i = INTERFACE_DROP_NIC + 1; i < INTERFACE_DROP_LOST; i++)
		sum += account->dropped[i];
	return sum;
}

struct pcapng_statistics interface_account_statistics(const struct interface_account *account,
						      uint64_t started_ns, uint64_t now_ns)
{
	struct pcapng_statistics statistics = {
		.time_ns = now_ns,
		.start_ns = started_ns,
		.end_ns = now_ns,
		.received = account->seen,
		.dropped = account->dropped[INTERFACE_DROP_NIC],
		.filter_accepted = account->seen - account->self - account->other_direction -
				   account->filtered - account->sampled_out,
		.os_dropped = interface_account_kernel_dropped(account),
		.delivered = account->delivered,
	};

	for (unsigned int i = INTERFACE_DROP_LOST; i < INTERFACE_DROP_COUNT; i++)
		statistics.os_dropped += account->dropped[i];
	return statistics;
}

uint64_t loss_alert_rise(struct loss_alert *alert, uint64_t total, uint64_t now_ns)
{
	uint64_t rise = 0;

	if (total > alert->seen) {
		alert->seen = total;
		alert->risen_ns = now_ns;
	}
	if (total > alert->told && now_ns >= alert->quiet_until_ns) {
		rise = total - alert->told;
		alert->told = total;
		alert->quiet_until_ns = now_ns + LOSS_ALERT_NS;
	}
	return rise;
}

void loss_alert_warn(struct loss_alert *alert, uint64_t total, uint64_t now_ns, const char *where,
		     const char *reason, const char *advice)
{
	uint64_t rise = loss_alert_rise(alert, total, now_ns);

	if (rise)
		log_warning(0, "%s lost %llu packets (%s, %llu in all): %s", where,
			    (unsigned long long)rise, reason, (unsigned long long)total, advice);
}
