/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load generator. Two ways to send: live XDP frames by BPF_PROG_TEST_RUN (millions a second; a
 * call takes 25 ms to set up, so there is one, and the program keeps the pace), and AF_PACKET in
 * ticks of 500 us (steady, and hardly any CPU; up to some 700,000 a second).
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/config.h"
#include "common/log.h"
#include "tools/gen.h"
#include "tools/gen.skel.h"

#define SIZE_MAX_FRAME 9018 /* a jumbo frame with a tag */
#define XDP_SIZE_MAX 3400   /* a live frame lives in one page, beside its headroom */
#define XDP_RATE_MIN 700000
#define TICK_NS (500 * NS_PER_US)
#define GRACE_NS (20 * NS_PER_MS) /* to make up for what is late at the end */
#define HOPELESS_NS (200 * NS_PER_MS)
#define BATCH 64
#define NO_LIMIT UINT64_MAX

enum engine { ENGINE_AUTO, ENGINE_XDP, ENGINE_PACKET };

struct options {
	const char *interface, *dst_mac, *src_mac, *dst_ip, *src_ip;
	uint64_t size, flows, rate, count, duration_ns, vlan, dst_port, run;
	bool ipv6, json;
	int engine;
};

struct generator {
	struct options options;
	enum engine engine;
	int socket; /* of AF_PACKET; also asks about the interface */
	unsigned int ifindex;
	uint8_t frame[SIZE_MAX_FRAME];
	struct gen_config config;
	struct gen_state state; /* of xdp, when it has ended */
	uint64_t refused;	/* by the interface, as AF_PACKET is told */
	struct xcap_gen *skel;
	pthread_t thread;
	int thread_err;
	bool has_ended; /* the thread; relaxed atomic */
};

struct link_counts {
	uint64_t packets, drops;
};

#define AT(field) offsetof(struct options, field)
#define ROW(long_name, kind, field, what, ...)                                      \
	{                                                                           \
		.name = long_name, .type = kind, .offset = AT(field), .help = what, \
		.flags = CONFIG_F_COMMAND_LINE, __VA_ARGS__                         \
	}

static const char *const engines[] = { "auto", "xdp", "packet", NULL };

static const struct config_option options[] = {
	ROW("interface", CONFIG_STRING, interface, "send out of this interface", .letter = 'i',
	    .metavar = "IF", .group = "Where to"),
	ROW("dst-mac", CONFIG_STRING, dst_mac, "destination MAC", .metavar = "MAC"),
	ROW("src-mac", CONFIG_STRING, src_mac, "source MAC; default: the interface's own",
	    .metavar = "MAC"),
	ROW("dst-ip", CONFIG_STRING, dst_ip, "destination; default: 10.200.0.2 or fd00:200::2",
	    .metavar = "IP"),
	ROW("src-ip", CONFIG_STRING, src_ip,
	    "source of the first flow; default: 10.200.0.1 or fd00:200::1", .metavar = "IP"),
	ROW("dst-port", CONFIG_COUNT, dst_port, "UDP destination port", .metavar = "PORT",
	    .fallback = "9", .max = 65535),
	ROW("vlan", CONFIG_COUNT, vlan, "put in an 802.1Q tag", .metavar = "ID", .min = 0,
	    .max = 4094),
	ROW("ipv6", CONFIG_FLAG, ipv6, "IPv6 instead of IPv4"),
	ROW("size", CONFIG_COUNT, size,
	    "length of a frame without FCS; IPv6: at least 84; with a tag 4 more",
	    .metavar = "BYTES", .fallback = "64", .min = 64, .max = SIZE_MAX_FRAME,
	    .group = "How much"),
	ROW("flows", CONFIG_COUNT, flows, "UDP flows: source ports, then source addresses",
	    .metavar = "N", .fallback = "1000", .min = 1, .max = UINT32_MAX),
	ROW("rate", CONFIG_COUNT, rate, "packets per second; default: as many as it can",
	    .metavar = "PPS", .max = 1000000000),
	ROW("count", CONFIG_COUNT, count, "stop after so many packets", .metavar = "N"),
	ROW("duration", CONFIG_DURATION, duration_ns, "stop after this time", .metavar = "TIME"),
	ROW("engine", CONFIG_CHOICE, engine,
	    "auto: packet up to 700,000 packets/s or above 3400 bytes, else xdp",
	    .metavar = "auto|xdp|packet", .fallback = "auto", .choices = engines, .group = "How"),
	ROW("run", CONFIG_COUNT, run, "number in each payload; default: a random one",
	    .metavar = "ID", .max = 65535),
	ROW("json", CONFIG_FLAG, json, "print the result as JSON"),
};

static bool mac_parse(uint8_t out[ETH_ALEN], const char *text)
{
	char end;

	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &out[0], &out[1], &out[2],
		      &out[3], &out[4], &out[5], &end) == 6;
}

static bool ip_parse(uint8_t out[16], bool ipv6, const char *text)
{
	return inet_pton(ipv6 ? AF_INET6 : AF_INET, text, out) == 1;
}

/* Index, state, MTU and MAC of the interface. */
static int ask_interface(struct generator *g)
{
	struct options *o = &g->options;
	size_t header_len = ETHER_HDR_LEN + (o->vlan ? 4 : 0);
	struct ifreq request = {};
	int err;

	if (strlen(o->interface) >= IFNAMSIZ)
		return log_error(-ENODEV, "cannot use interface %s", o->interface);
	strcpy(request.ifr_name, o->interface);
	g->ifindex = if_nametoindex(o->interface);
	if (!g->ifindex)
		return log_error(-ENODEV, "cannot find interface %s (`ip link` lists them)",
				 o->interface);
	g->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (g->socket < 0) {
		err = -errno;
		return log_error(err, "cannot open a packet socket (it takes CAP_NET_RAW: sudo)");
	}
	if (ioctl(g->socket, SIOCGIFFLAGS, &request) < 0 || !(request.ifr_flags & IFF_UP))
		return log_error(-ENETDOWN, "cannot send on %s (`ip link set %s up`)", o->interface,
				 o->interface);
	if (ioctl(g->socket, SIOCGIFMTU, &request) < 0)
		return log_error(-errno, "cannot ask for the MTU of %s", o->interface);
	if (o->size > header_len + (unsigned int)request.ifr_mtu)
		return log_error(-EMSGSIZE,
				 "cannot send frames of %" PRIu64 " bytes on %s with MTU %d",
				 o->size, o->interface, request.ifr_mtu);
	if (ioctl(g->socket, SIOCGIFHWADDR, &request) < 0)
		return log_error(-errno, "cannot ask for the MAC of %s", o->interface);
	memcpy(g->frame + ETH_ALEN, request.ifr_hwaddr.sa_data, ETH_ALEN);
	return 0;
}

static uint32_t sum_words(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	return sum;
}

/* The frame with all that varies zero, and the sums over it. The texts were checked. */
static void build_frame(struct generator *g)
{
	struct options *o = &g->options;
	struct gen_config *c = &g->config;
	size_t address_len = o->ipv6 ? 16 : 4;
	size_t source_at, udp_len;
	uint8_t source[16] = {}, destination[16] = {};
	uint8_t *at = g->frame;
	uint32_t source_low;

	(void)mac_parse(at, o->dst_mac);
	if (o->src_mac)
		(void)mac_parse(at + ETH_ALEN, o->src_mac);
	(void)ip_parse(source, o->ipv6, o->src_ip);
	(void)ip_parse(destination, o->ipv6, o->dst_ip);
	memcpy(&source_low, source + address_len - 4, 4);
	memset(source + address_len - 4, 0, 4);

	at += 2 * ETH_ALEN;
	if (o->vlan) {
		gen_put16(at, ETHERTYPE_VLAN);
		gen_put16(at + 2, (uint16_t)o->vlan);
		at += 4;
	}
	gen_put16(at, o->ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	at += 2;
	c->ip_at = (uint32_t)(at - g->frame);
	source_at = c->ip_at + (o->ipv6 ? 8 : 12);
	c->source_at = (uint32_t)(source_at + address_len - 4);
	c->udp_at = (uint32_t)(source_at + 2 * address_len);
	c->payload_at = c->udp_at + 8;
	c->head_len = c->payload_at + GEN_PAYLOAD_LEN;
	udp_len = o->size - c->udp_at;

	if (o->ipv6) {
		gen_put32(at, 0x60000000u);
		gen_put16(at + 4, (uint16_t)udp_len);
		at[6] = IPPROTO_UDP;
		at[7] = 64;
	} else {
		gen_put16(at, 0x4500);
		gen_put16(at + 2, (uint16_t)(o->size - c->ip_at));
		gen_put16(at + 6, 0x4000); /* do not fragment */
		at[8] = 64;
		at[9] = IPPROTO_UDP;
	}
	memcpy(g->frame + source_at, source, address_len);
	memcpy(g->frame + source_at + address_len, destination, address_len);
	gen_put16(g->frame + c->udp_at + 2, (uint16_t)o->dst_port);
	gen_put16(g->frame + c->udp_at + 4, (uint16_t)udp_len);
	gen_put32(g->frame + c->payload_at, GEN_MAGIC);
	gen_put16(g->frame + c->payload_at + GEN_RUN_AT, (uint16_t)o->run);
	for (size_t i = c->head_len; i < o->size; i++)
		g->frame[i] = (uint8_t)(i - c->head_len);

	c->source = ntohl(source_low);
	c->ip_sum = o->ipv6 ? 0 : sum_words(g->frame + c->ip_at, 20);
	c->udp_sum = sum_words(g->frame + source_at, 2 * address_len) + IPPROTO_UDP +
		     (uint32_t)udp_len + sum_words(g->frame + c->udp_at, udp_len);
	memcpy(c->words, g->frame, c->head_len);
	c->is_ipv6 = o->ipv6;
	c->flows = (uint32_t)o->flows;
	c->ifindex = g->ifindex;
	c->count = o->count ? o->count : NO_LIMIT;
	c->duration_ns = o->duration_ns ? o->duration_ns : NO_LIMIT;
	c->give_up_ns = o->duration_ns ? o->duration_ns + GRACE_NS : NO_LIMIT;
	if (o->rate) {
		c->interval_ns = NS_PER_SEC / o->rate;
		/* Rounded up: a duration must not hold one packet too many. */
		c->interval_fraction =
			(uint32_t)(((NS_PER_SEC % o->rate << 32) + o->rate - 1) / o->rate);
	}
}

static int64_t utc_offset_ns(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC));
}

/* Sleeps; true if a signal says that it is enough. */
static bool should_stop(uint64_t sleep_ns)
{
	struct timespec timeout = { .tv_sec = (time_t)(sleep_ns / NS_PER_SEC),
				    .tv_nsec = (long)(sleep_ns % NS_PER_SEC) };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	return sigtimedwait(&set, NULL, &timeout) > 0;
}

static int send_batch(struct generator *g, struct mmsghdr *messages, unsigned int count)
{
	unsigned int at = 0;

	while (at < count) {
		int n = sendmmsg(g->socket, messages + at, count - at, 0);

		if (n < 0 && errno != ENOBUFS && errno != EAGAIN)
			return log_error(-errno, "cannot send on %s", g->options.interface);
		g->refused += n < 0;
		at += n < 0 ? 1 : (unsigned int)n;
	}
	return 0;
}

/*
 * The pace is kept best ahead of all others, like the wire's; but a rate that cannot be reached
 * must not take the processor from them for good.
 */
static void set_realtime(bool on)
{
	struct sched_param param = { .sched_priority = on };

	(void)sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &param);
}

static int run_packet(struct generator *g)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_ifindex = (int)g->ifindex };
	static uint8_t frames[BATCH][SIZE_MAX_FRAME];
	struct mmsghdr messages[BATCH] = {};
	struct iovec iov[BATCH];
	uint64_t tick = clock_ns(CLOCK_MONOTONIC), now;
	bool is_realtime = g->config.interval_ns;
	int err, one = 1, buffer = 16 << 20;
	unsigned int n;

	if (bind(g->socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		return log_error(-errno, "cannot bind to %s", g->options.interface);
	(void)setsockopt(g->socket, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	(void)setsockopt(g->socket, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	(void)prctl(PR_SET_TIMERSLACK, 1);
	set_realtime(is_realtime);
	for (unsigned int i = 0; i < BATCH; i++) {
		memcpy(frames[i], g->frame, g->options.size);
		iov[i] = (struct iovec){ frames[i], g->options.size };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	g->state.utc_offset_ns = utc_offset_ns();
	for (;;) {
		for (n = 0; n < BATCH; n++) {
			now = clock_ns(CLOCK_MONOTONIC);
			if (!gen_due(&g->state, &g->config, now))
				break;
			gen_stamp(frames[n], &g->state, &g->config, now);
		}
		err = send_batch(g, messages, n);
		if (err || g->state.is_done)
			return err;
		now = clock_ns(CLOCK_MONOTONIC);
		if (is_realtime && g->state.lag_max_ns > HOPELESS_NS) {
			set_realtime(false);
			is_realtime = false;
		}
		if (n == BATCH && now - tick < TICK_NS)
			continue;
		g->state.utc_offset_ns = utc_offset_ns();
		if (n < BATCH)
			tick = MAX(gen_due_at(&g->state, &g->config, now), tick + TICK_NS);
		else
			tick = now;
		if (should_stop(tick > now ? tick - now : 0))
			return 0;
	}
}

static void *run_program(void *context)
{
	struct generator *g = context;
	const struct gen_state *state = &g->skel->bss->xcap_gen_state;
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = g->frame,
		    .data_size_in = (uint32_t)g->options.size, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .batch_size = BATCH);
	int err;

	do {
		uint64_t left = g->config.count - state->sent;

		run.repeat = (int)MIN(left, 1u << 30);
		if (g->config.interval_ns)
			run.repeat = 1 << 30; /* most of them find nothing due */
		err = bpf_prog_test_run_opts(bpf_program__fd(g->skel->progs.xcap_gen), &run);
	} while (!err && !state->is_done && state->sent < g->config.count);
	g->thread_err = err == -EINTR ? 0 : err;
	__atomic_store_n(&g->has_ended, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Only there to be the one that interrupts the test run. */
static void interrupted(int number)
{
	(void)number;
}

static int run_xdp(struct generator *g)
{
	struct sigaction action = { .sa_handler = interrupted };
	struct gen_state *state;
	bool stop = false;
	int err;

	g->skel = xcap_gen__open();
	if (!g->skel)
		return log_error(-errno, "cannot open the BPF object");
	memcpy((void *)&g->skel->rodata->xcap_gen_config, &g->config, sizeof(g->config));
	state = &g->skel->bss->xcap_gen_state;
	state->utc_offset_ns = utc_offset_ns();
	err = xcap_gen__load(g->skel);
	if (err)
		return log_error(err, "cannot load the BPF program (it takes CAP_BPF and "
				      "CAP_NET_ADMIN: sudo)");
	state = &g->skel->bss->xcap_gen_state; /* loading has moved it */

	sigaction(SIGUSR1, &action, NULL);
	err = -pthread_create(&g->thread, NULL, run_program, g);
	if (err)
		return log_error(err, "cannot start a thread");
	while (!__atomic_load_n(&g->has_ended, __ATOMIC_ACQUIRE)) {
		stop |= should_stop(2 * NS_PER_MS);
		__atomic_store_n(&state->utc_offset_ns, utc_offset_ns(), __ATOMIC_RELAXED);
		/* Again and again: the first may come between two calls. */
		if (stop || __atomic_load_n(&state->is_done, __ATOMIC_RELAXED))
			pthread_kill(g->thread, SIGUSR1);
	}
	pthread_join(g->thread, NULL);
	g->state = *state;
	if (g->thread_err)
		return log_error(g->thread_err, "cannot run live frames (kernel 5.18 or later)");
	return 0;
}

/* What the interface says it sent: in a namespace, /sys may be another one's. */
static struct link_counts link_counts(const char *interface)
{
	struct link_counts counts = {};
	char line[512], name[64];
	FILE *file = fopen("/proc/self/net/dev", "re");

	while (file && fgets(line, sizeof(line), file)) {
		struct link_counts found;

		if (sscanf(line,
			   " %63[^:]: %*u %*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64 " %*u %" SCNu64,
			   name, &found.packets, &found.drops) == 3 &&
		    strcmp(name, interface) == 0)
			counts = found;
	}
	if (file)
		fclose(file);
	return counts;
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(const struct generator *g, const struct link_counts *taken, double cpu)
{
	const struct gen_state *s = &g->state;
	double seconds = (double)(s->sent_ns - s->start_ns) / 1e9;
	double rate = s->sent > 1 ? (double)(s->sent - 1) / seconds : 0;
	double bits = rate * 8 * (double)g->options.size;

	if (g->options.json)
		printf("{\"sent\": %" PRIu64 ", \"refused\": %" PRIu64
		       ", \"interface_sent\": %" PRIu64 ", \"interface_dropped\": %" PRIu64
		       ", \"seconds\": %.6f, \"packets_per_second\": %.1f, \"bits_per_second\": "
		       "%.0f"
		       ", \"lag_max_us\": %.1f, \"cpu_seconds\": %.3f, \"run\": %" PRIu64
		       ", \"engine\": \"%s\"}\n",
		       (uint64_t)s->sent, g->refused, taken->packets, taken->drops, seconds, rate,
		       bits, (double)s->lag_max_ns / 1e3, cpu, g->options.run, engines[g->engine]);
	else
		printf("%" PRIu64 " packets sent in %.3f s: %.0f packets/s, %.1f Mbit/s, "
		       "late by %.0f us at most, %.2f s of CPU\n"
		       "%s sent %" PRIu64 " and dropped %" PRIu64 " in that time\n",
		       (uint64_t)s->sent, seconds, rate, bits / 1e6, (double)s->lag_max_ns / 1e3,
		       cpu, g->options.interface, taken->packets, taken->drops);
}

/* Redirected frames that nobody takes vanish without an error. */
static int check_taken(const struct generator *g, const struct link_counts *taken)
{
	if (g->engine != ENGINE_XDP || !g->state.sent || taken->packets >= g->state.sent / 10)
		return 0;
	return log_error(-ENXIO,
			 "%s did not take the frames (a veth does if its peer has NAPI: `ethtool "
			 "-K PEER gro on`, or an XDP program there)",
			 g->options.interface);
}

static int generate(struct generator *g)
{
	struct link_counts before, after = {};
	sigset_t set;
	double cpu;
	int err;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);

	before = link_counts(g->options.interface);
	cpu = cpu_seconds();
	err = g->engine == ENGINE_XDP ? run_xdp(g) : run_packet(g);
	cpu = cpu_seconds() - cpu;
	if (err)
		return err;
	/* The receiving end may still be at it. */
	for (int i = 0; i < 50; i++) {
		after = link_counts(g->options.interface);
		after.packets -= before.packets;
		after.drops -= before.drops;
		if (after.packets + after.drops + g->refused >= g->state.sent)
			break;
		usleep(2000);
	}
	report(g, &after, cpu);
	return check_taken(g, &after);
}

printf_like(2, 3) static int wrong(char error[256], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, 256, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static int check_options(const struct config *config, const void *values, char error[256])
{
	const struct options *o = values;
	const char *macs[] = { o->dst_mac, o->src_mac }, *ips[] = { o->dst_ip, o->src_ip };
	uint64_t size_min = (o->ipv6 ? 84 : 64) + (o->vlan ? 4 : 0);
	uint8_t out[16];

	(void)config;
	if (!o->interface || !o->dst_mac)
		return wrong(error, "-i IF and --dst-mac MAC are required");
	if (o->size < size_min)
		return wrong(error, "--size: at least %" PRIu64 " with these headers", size_min);
	if (o->engine == ENGINE_XDP && o->size > XDP_SIZE_MAX)
		return wrong(error, "--size: at most %d with --engine xdp", XDP_SIZE_MAX);
	for (size_t i = 0; i < 2; i++) {
		if (macs[i] && !mac_parse(out, macs[i]))
			return wrong(error, "'%s' is not a MAC such as 02:00:00:00:00:01", macs[i]);
		if (ips[i] && !ip_parse(out, o->ipv6, ips[i]))
			return wrong(error, "'%s' is not an %s address", ips[i],
				     o->ipv6 ? "IPv6" : "IPv4");
	}
	return 0;
}

static const struct config_program program = {
	.name = "xcap-gen",
	.purpose = "sends numbered UDP packets with their time of sending",
	.synopsis = "-i IF --dst-mac MAC [OPTION...]",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.check = check_options,
	.examples = "  xcap-gen -i veth0 --dst-mac 02:00:00:00:00:01 --rate 100000 --duration 10\n",
};

int main(int argc, char **argv)
{
	static struct generator generator = { .socket = -1 };
	struct generator *g = &generator;
	struct options *o = &g->options;
	struct config *config = NULL;
	bool is_xdp;
	int err;

	log_init(LOG_LEVEL_INFO);
	libbpf_set_print(NULL);
	switch (config_parse(&config, &program, argc, argv, o)) {
	case CONFIG_RUN:
		break;
	case CONFIG_EXIT_OK:
		return 0;
	case CONFIG_EXIT_USAGE:
	case CONFIG_EXIT_CONFIG:
		return 2;
	}
	if (!config_is_set(config, "run"))
		o->run = 0;
	if (!config_is_set(config, "run") && getrandom(&o->run, 2, 0) != 2)
		o->run = 1;
	if (!o->src_ip)
		o->src_ip = o->ipv6 ? "fd00:200::1" : "10.200.0.1";
	if (!o->dst_ip)
		o->dst_ip = o->ipv6 ? "fd00:200::2" : "10.200.0.2";
	is_xdp = o->size <= XDP_SIZE_MAX && (!o->rate || o->rate > XDP_RATE_MIN);
	g->engine = o->engine ? (enum engine)o->engine : is_xdp ? ENGINE_XDP : ENGINE_PACKET;

	err = ask_interface(g);
	if (!err) {
		build_frame(g);
		err = generate(g);
	}
	xcap_gen__destroy(g->skel);
	if (g->socket >= 0)
		close(g->socket);
	config_destroy(config);
	if (err == -EPERM || err == -EACCES)
		return 77;
	return err ? 1 : 0;
}
