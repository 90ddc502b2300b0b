/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/nic_clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A reading that errs by more is worse than the line before it. */
#define ERROR_MAX_NS (20 * NS_PER_US)
/* Between two readings that tell of a clock's rate. */
#define RATE_MIN_NS ((int64_t)NIC_CLOCK_READ_NS / 2)
/* What TAI - UTC may be, in seconds: for a hint. */
#define TAI_MIN 10
#define TAI_MAX 100

void host_clock_take(struct host_clock *ret, const struct timex *timex, int state)
{
	*ret = (struct host_clock){
		.synchronised = state >= 0 && state != TIME_ERROR && !(timex->status & STA_UNSYNC),
		.offset_ns = timex->offset * (timex->status & STA_NANO ? 1 : (int64_t)NS_PER_US),
		.max_error_ns = (uint64_t)timex->maxerror * NS_PER_US,
		.estimated_error_ns = (uint64_t)timex->esterror * NS_PER_US,
		.tai_s = timex->tai,
	};
}

void nic_clock_init(struct nic_clock *clock)
{
	*clock = (struct nic_clock){ .last.error_ns = UINT64_MAX };
}

/* *rate is what it was. False: between the readings it did not just run, but was set. */
static bool measure_rate(int64_t *rate, const struct clocks_reading *from,
			 const struct clocks_reading *to)
{
	int64_t nic = (int64_t)(to->ns - from->ns);
	int64_t host = (int64_t)(to->monotonic_ns - from->monotonic_ns), gain = host - nic;

	/* So near to each other, what readings err would look like drift. */
	if (host < RATE_MIN_NS)
		return llabs(gain) <= NIC_CLOCK_AGREE_NS;
	/* Nothing about the time between them can be said if they are too far apart. */
	if (nic <= 0 || nic > XCAP_LINE_NS || llabs(gain) > nic >> 9)
		return false;
	*rate = gain * (1ll << XCAP_RATE_SHIFT) / nic;
	return llabs(*rate) <= XCAP_RATE_MAX;
}

void nic_clock_follow(struct nic_clock *clock, const struct clocks_reading *reading)
{
	bool is_first = clock->last.error_ns == UINT64_MAX;
	int64_t rate = clock->line.rate;

	/* It was interrupted: the line there is does for another second. */
	if (!is_first && reading->error_ns > ERROR_MAX_NS &&
	    reading->monotonic_ns < clock->line.until_ns)
		return;
	if (!is_first && !measure_rate(&rate, &clock->last, reading)) {
		rate = 0;
		clock->steps++;
	}
	clock->last = *reading;
	clock->line = (struct xcap_line){
		.nic_ns = reading->ns,
		.host_ns = reading->monotonic_ns,
		.rate = rate,
		.until_ns = reading->monotonic_ns + NIC_CLOCK_GOOD_NS,
	};
}

int64_t nic_clock_ahead(const struct clocks_reading *reading, const struct clocks_reading *utc)
{
	return (int64_t)(reading->ns - utc->ns - (reading->monotonic_ns - utc->monotonic_ns));
}

enum nic_clock_scale nic_clock_scale(int64_t ahead_ns, const struct host_clock *host)
{
	int64_t tai_ns = host->tai_s * (int64_t)NS_PER_SEC;

	if (llabs(ahead_ns) <= NIC_CLOCK_AGREE_NS)
		return NIC_CLOCK_UTC;
	if (host->tai_s && llabs(ahead_ns - tai_ns) <= NIC_CLOCK_AGREE_NS)
		return NIC_CLOCK_TAI;
	return NIC_CLOCK_OTHER;
}

const char *nic_clock_scale_name(enum nic_clock_scale scale)
{
	static const char *const names[] = {
		[NIC_CLOCK_OTHER] = "other",
		[NIC_CLOCK_UTC] = "utc",
		[NIC_CLOCK_TAI] = "tai",
	};

	return names[scale];
}

/* Is it ahead of UTC as TAI may be? */
static bool looks_like_tai(int64_t ahead_ns)
{
	int64_t second = (int64_t)NS_PER_SEC, rest = ahead_ns % second;

	return ahead_ns >= TAI_MIN * second && ahead_ns <= TAI_MAX * second &&
	       (rest <= NIC_CLOCK_AGREE_NS || rest >= second - NIC_CLOCK_AGREE_NS);
}

static int refuse(char why[NIC_CLOCK_WHY_LEN], int64_t ahead_ns, const struct host_clock *host)
{
	double ahead = (double)ahead_ns / (double)NS_PER_SEC;

	if (!host->tai_s && looks_like_tai(ahead_ns))
		snprintf(why, NIC_CLOCK_WHY_LEN,
			 "it seems to show TAI, %.0f s ahead of UTC, but the kernel was not told "
			 "TAI-UTC: phc2sys -w tells it, and so does chronyd with leapsectz",
			 ahead);
	else
		snprintf(why, NIC_CLOCK_WHY_LEN,
			 "it is not synchronised: it is %.6f s ahead of UTC, which is neither UTC "
			 "nor TAI (%d s): start ptp4l and phc2sys",
			 ahead, host->tai_s);
	return -EDOM;
}

int nic_clock_ptp(struct xcap_line *ret, const struct nic_clock_evidence *evidence,
		  char why[NIC_CLOCK_WHY_LEN])
{
	const struct clocks_reading *utc = &evidence->utc;
	const struct host_clock *host = &evidence->host;
	int64_t ahead_ns = nic_clock_ahead(&evidence->nic, utc), scale_ns = 0;

	/* Drivers begin with the host's time: a clock left alone is right for a while. */
	if (!evidence->steered) {
		snprintf(why, NIC_CLOCK_WHY_LEN,
			 "it is not synchronised: nobody has adjusted it yet: start ptp4l");
		return -EDOM;
	}
	if (!host->synchronised) {
		snprintf(why, NIC_CLOCK_WHY_LEN,
			 "nothing tells whether it is synchronised while this host's clock is not: "
			 "start phc2sys, or chronyd");
		return -EDOM;
	}
	switch (nic_clock_scale(ahead_ns, host)) {
	case NIC_CLOCK_UTC:
		break;
	case NIC_CLOCK_TAI:
		scale_ns = host->tai_s * (int64_t)NS_PER_SEC;
		break;
	case NIC_CLOCK_OTHER:
		return refuse(why, ahead_ns, host);
	}
	/* Frames add what UTC is ahead of CLOCK_MONOTONIC: that much less here. */
	*ret = (struct xcap_line){
		.nic_ns = utc->ns + (uint64_t)scale_ns,
		.host_ns = utc->monotonic_ns,
		.until_ns = utc->monotonic_ns + NIC_CLOCK_GOOD_NS,
	};
	return 0;
}
