/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the translation must know of a filter before it writes an instruction. */
#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/filter_translation.h"

/* End of a load of the frame at a constant offset, 0 for anything else. */
static uint32_t load_end(const struct filter_op *op)
{
	if (filter_is_absolute(op->code) || filter_is_header_length(op->code))
		return op->k <= DIRECT_MAX ? op->k + filter_load_size(op->code) : 0;
	return 0;
}

static void find_reach(struct translation *t)
{
	for (uint32_t at = t->count; at-- > 0;) {
		const struct filter_op *op = &t->ops[at];
		uint32_t end = load_end(op);

		t->reach[at] = end > TOGETHER_MAX ? 0 : end;
		if (!filter_is_return(op->code))
			t->reach[at] = MAX(t->reach[at], t->reach[op->next]);
		if (filter_is_branch(op->code))
			t->reach[at] = MAX(t->reach[at], t->reach[op->other]);
	}
}

/* Bytes known to be there, and branches kept, from one instruction to the next. */
struct flow {
	uint32_t checked, at_x, pending;
};

static void flow_to(struct translation *t, uint32_t to, const struct flow *flow)
{
	t->checked[to] = MIN(t->checked[to], flow->checked);
	t->checked_at_x[to] = MIN(t->checked_at_x[to], flow->at_x);
	t->pending[to] = MAX(t->pending[to], flow->pending);
}

/* Branches of the one copy or the other, whichever has more, so that the sum holds for all ways. */
static uint32_t branches_of(const struct translation *t, uint32_t at, const struct flow *flow)
{
	const struct filter_op *op = &t->ops[at];
	uint32_t end = load_end(op);
	bool deep = is_deep(t, at);

	if (end)
		return (flow->checked < end && !deep) || (end > TAG_AT && op->k < TAG_END);
	if (is_at_x(op))
		return !deep || op->k < TAG_END;
	if (filter_is_indirect(op->code))
		return deep ? op->k < TAG_END : 2;
	if (BPF_CLASS(op->code) == BPF_ALU)
		return BPF_OP(op->code) == BPF_AND || BPF_OP(op->code) == BPF_OR ||
		       BPF_OP(op->code) == BPF_DIV || BPF_OP(op->code) == BPF_MOD;
	return 0;
}

static void flow_through(const struct translation *t, uint32_t at, struct flow *flow)
{
	const struct filter_op *op = &t->ops[at];
	uint32_t end = load_end(op);

	flow->pending += branches_of(t, at, flow);
	if (flow->checked < end)
		flow->checked = flow->checked ? MAX(end, t->reach[at]) : end;
	if (is_at_x(op))
		flow->at_x = MAX(flow->at_x, op->k + filter_load_size(op->code));
	if (BPF_CLASS(op->code) == BPF_LDX || op->code == (BPF_MISC | BPF_TAX))
		flow->at_x = 0;
	/* To the next part a branch leads from anywhere. */
	if (op->fail < t->count)
		t->pending[op->fail] = MAX(t->pending[op->fail], flow->pending + 1);
}

/* Which of both the verifier follows at once: see branch(). */
static void flow_on(struct translation *t, uint32_t at, struct flow *flow)
{
	const struct filter_op *op = &t->ops[at];
	uint32_t near, far;

	if (!filter_is_branch(op->code)) {
		flow_to(t, op->next, flow);
		return;
	}
	near = MIN(op->next, op->other);
	far = MAX(op->next, op->other);
	if (is_deep(t, at) && BPF_OP(op->code) != BPF_JSET) {
		flow_to(t, near, flow);
		flow->pending++;
	} else {
		flow->pending++;
		flow_to(t, near, flow);
	}
	flow_to(t, far, flow);
}

/* In the order of the instructions, every one behind all that lead to it. */
static int find_checked(struct translation *t)
{
	memset(t->checked, 0xff, t->count * sizeof(*t->checked));
	memset(t->checked_at_x, 0xff, t->count * sizeof(*t->checked_at_x));
	t->checked[0] = 0;
	t->checked_at_x[0] = 0;
	for (uint32_t at = 0; at < t->count; at++) {
		const struct filter_op *op = &t->ops[at];
		struct flow flow = { t->checked[at], t->checked_at_x[at], t->pending[at] };

		if (!op->reachable)
			continue;
		if (flow.pending > PENDING_LIMIT)
			return -E2BIG;
		if (op->code == FILTER_NEXT)
			flow.checked = flow.at_x = 0;
		flow_through(t, at, &flow);
		if (filter_is_return(op->code))
			continue;
		flow_on(t, at, &flow);
	}
	return 0;
}

/* Words of M[] that not every way to here has written. */
static void find_uninitialised(struct translation *t, uint16_t *written)
{
	memset(written, 0xff, t->count * sizeof(*written));
	written[0] = 0;
	for (uint32_t at = 0; at < t->count; at++) {
		const struct filter_op *op = &t->ops[at];
		uint16_t now = written[at];

		if (!op->reachable || filter_is_return(op->code))
			continue;
		if (op->code == FILTER_NEXT)
			now = 0;
		if (op->code == BPF_ST || op->code == BPF_STX)
			now |= (uint16_t)(1u << op->k);
		else if (op->code == (BPF_LD | BPF_MEM) || op->code == (BPF_LDX | BPF_MEM))
			t->uninitialised |= (uint16_t)(~now & 1u << op->k);
		written[op->next] &= now;
		if (filter_is_branch(op->code))
			written[op->other] &= now;
	}
}

static void find_loads(struct translation *t)
{
	for (uint32_t at = 0; at < t->count; at++) {
		const struct filter_op *op = &t->ops[at];
		uint32_t end = load_end(op);

		if (op->reachable && ((end > TAG_AT && op->k < TAG_END) ||
				      (filter_is_indirect(op->code) && op->k < TAG_END)))
			t->straddles = true;
		if (op->reachable && is_at_x(op))
			t->loads_at_x = true;
	}
}

int filter_analyze(struct translation *t)
{
	uint16_t *written = calloc(t->count, sizeof(*written));
	int err = -ENOMEM;

	t->reach = calloc(t->count, sizeof(*t->reach));
	t->checked = calloc(t->count, sizeof(*t->checked));
	t->checked_at_x = calloc(t->count, sizeof(*t->checked_at_x));
	t->pending = calloc(t->count, sizeof(*t->pending));
	if (!written || !t->reach || !t->checked || !t->checked_at_x || !t->pending)
		goto out;
	find_reach(t);
	err = find_checked(t);
	if (err)
		goto out;
	find_uninitialised(t, written);
	find_loads(t);
out:
	free(written);
	return err;
}

void filter_analysis_release(struct translation *t)
{
	free(t->reach);
	free(t->checked);
	free(t->checked_at_x);
	free(t->pending);
}
