/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libpcap makes of `host a or host b or ...` reads and tests the EtherType again in each term.
 * One pass in the order of the instructions (all jumps go forward) keeps for each of them what is
 * known whichever way led there: which load is in A, where X comes from, and the outcome of tests
 * of loads. A successor that only repeats a load, or makes a test whose outcome is known, is
 * skipped, on each way for itself. A load that is skipped has succeeded before.
 */
#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/filter_internal.h"

#define FACTS_MAX 12
#define STEPS_MAX 65536	   /* instructions looked at to skip them, on one way */
#define STEPS_ALL 20000000 /* and on all of them */

/* A load, the same value wherever it is done. code 0: something else. */
struct load {
	uint16_t code;
	uint16_t has_x; /* indirect, by 4 * (frame[x] & 15) */
	uint32_t k, x;
};

/* The outcome of a conditional jump on the value of a load. */
struct fact {
	struct load load;
	uint16_t code;
	bool taken;
	uint32_t k;
};

struct knowledge {
	struct load a;
	uint32_t x; /* X is 4 * (frame[x] & 15) */
	bool x_known;
	bool visited;
	uint8_t count;
	struct fact facts[FACTS_MAX];
};

struct optimizer {
	struct filter_op *ops;
	size_t count;
	struct knowledge *known; /* on entry */
	bool *a_live;		 /* on entry */
	uint64_t steps;
};

static bool same_load(const struct load *a, const struct load *b)
{
	return a->code && a->code == b->code && a->k == b->k && a->has_x == b->has_x &&
	       a->x == b->x;
}

static struct load load_of(const struct filter_op *op, const struct knowledge *known)
{
	if (filter_is_absolute(op->code))
		return (struct load){ .code = op->code, .k = op->k };
	if (filter_is_indirect(op->code) && known->x_known)
		return (struct load){ .code = op->code, .k = op->k, .has_x = 1, .x = known->x };
	return (struct load){};
}

static bool outcome(uint16_t code, uint32_t a, uint32_t k)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return a == k;
	case BPF_JGT:
		return a > k;
	case BPF_JGE:
		return a >= k;
	}
	return a & k;
}

static bool is_test(uint16_t code)
{
	return filter_is_branch(code) && BPF_SRC(code) == BPF_K;
}

/* 1 taken, 0 not taken, -1 not known: the outcome of op if A is that load. */
static int predict(const struct knowledge *known, const struct load *a, const struct filter_op *op)
{
	for (unsigned int i = 0; i < known->count; i++) {
		const struct fact *fact = &known->facts[i];

		if (!same_load(&fact->load, a))
			continue;
		if (fact->code == op->code && fact->k == op->k)
			return fact->taken;
		if (fact->code == (BPF_JMP | BPF_JEQ | BPF_K) && fact->taken)
			return outcome(op->code, fact->k, op->k);
	}
	return -1;
}

static bool was_loaded(const struct knowledge *known, const struct load *load)
{
	for (unsigned int i = 0; i < known->count; i++) {
		if (same_load(&known->facts[i].load, load))
			return true;
	}
	return false;
}

static void learn(struct knowledge *known, const struct filter_op *op, bool taken)
{
	if (!known->a.code || !is_test(op->code) || known->count == FACTS_MAX ||
	    predict(known, &known->a, op) >= 0)
		return;
	known->facts[known->count++] =
		(struct fact){ .load = known->a, .code = op->code, .taken = taken, .k = op->k };
}

static bool same_fact(const struct fact *a, const struct fact *b)
{
	return same_load(&a->load, &b->load) && a->code == b->code && a->taken == b->taken &&
	       a->k == b->k;
}

/* Only what holds on both ways. */
static void merge(struct knowledge *to, const struct knowledge *from)
{
	uint8_t kept = 0;

	if (!to->visited) {
		*to = *from;
		to->visited = true;
		return;
	}
	if (!same_load(&to->a, &from->a))
		to->a.code = 0;
	if (!from->x_known || to->x != from->x)
		to->x_known = false;
	for (uint8_t i = 0; i < to->count; i++) {
		for (uint8_t j = 0; j < from->count; j++) {
			if (same_fact(&to->facts[i], &from->facts[j])) {
				to->facts[kept++] = to->facts[i];
				break;
			}
		}
	}
	to->count = kept;
}

/*
 * Where a way that leads to at may go on at once. A may stay behind (stale) on the way there, but
 * is then not read any more.
 */
static uint32_t skip(struct optimizer *optimizer, const struct knowledge *known, uint32_t at)
{
	struct load a = known->a;
	uint32_t best = at;
	bool stale = false;

	for (unsigned int steps = 0; steps < STEPS_MAX && optimizer->steps < STEPS_ALL; steps++) {
		const struct filter_op *op = &optimizer->ops[at];
		struct load load = load_of(op, known);

		optimizer->steps++;
		if (load.code && same_load(&load, &a)) {
			at = op->next;
		} else if (load.code && was_loaded(known, &load)) {
			a = load;
			stale = !same_load(&a, &known->a);
			at = op->next;
		} else if (filter_is_header_length(op->code) && known->x_known &&
			   known->x == op->k) {
			at = op->next;
		} else if (op->code == FILTER_NOP) {
			at = op->next;
		} else if (is_test(op->code) && a.code) {
			int taken = predict(known, &a, op);

			if (taken < 0)
				break;
			at = taken ? op->next : op->other;
		} else {
			break;
		}
		if (!stale || !optimizer->a_live[at])
			best = at;
	}
	return best;
}

static bool reads_a(uint16_t code)
{
	if (BPF_CLASS(code) == BPF_ALU || BPF_CLASS(code) == BPF_ST)
		return true;
	return filter_is_branch(code) || code == (BPF_RET | BPF_A) || code == (BPF_MISC | BPF_TAX);
}

static bool writes_a(uint16_t code)
{
	return BPF_CLASS(code) == BPF_LD || code == (BPF_MISC | BPF_TXA) || code == FILTER_NEXT;
}

static void find_live(struct optimizer *optimizer)
{
	for (size_t i = optimizer->count; i-- > 0;) {
		const struct filter_op *op = &optimizer->ops[i];
		bool live = false;

		if (!filter_is_return(op->code)) {
			live = optimizer->a_live[op->next];
			if (filter_is_branch(op->code))
				live |= optimizer->a_live[op->other];
		}
		optimizer->a_live[i] = reads_a(op->code) || (live && !writes_a(op->code));
	}
}

static void go(struct optimizer *optimizer, struct knowledge *known, uint32_t *successor)
{
	*successor = skip(optimizer, known, *successor);
	merge(&optimizer->known[*successor], known);
}

static void run_branch(struct optimizer *optimizer, struct filter_op *op,
		       const struct knowledge *known)
{
	struct knowledge taken = *known, not_taken = *known;

	learn(&taken, op, true);
	learn(&not_taken, op, false);
	go(optimizer, &taken, &op->next);
	go(optimizer, &not_taken, &op->other);
	if (op->next == op->other)
		op->code = FILTER_NOP;
}

static void run_op(struct optimizer *optimizer, uint32_t at)
{
	struct filter_op *op = &optimizer->ops[at];
	struct knowledge known = optimizer->known[at];
	struct load load = load_of(op, &known);

	if (filter_is_branch(op->code)) {
		run_branch(optimizer, op, &known);
		return;
	}
	if (load.code && same_load(&load, &known.a))
		op->code = FILTER_NOP;
	else if (BPF_CLASS(op->code) == BPF_ALU || writes_a(op->code))
		known.a = load;
	if (filter_is_header_length(op->code)) {
		if (known.x_known && known.x == op->k)
			op->code = FILTER_NOP;
		known.x_known = true;
		known.x = op->k;
	} else if (BPF_CLASS(op->code) == BPF_LDX || op->code == (BPF_MISC | BPF_TAX)) {
		known.x_known = false;
	}
	if (!filter_is_return(op->code))
		go(optimizer, &known, &op->next);
}

int filter_optimize(struct filter_op *ops, size_t count)
{
	struct optimizer optimizer = { .ops = ops, .count = count };
	int err = 0;

	optimizer.known = calloc(count, sizeof(*optimizer.known));
	optimizer.a_live = calloc(count, sizeof(*optimizer.a_live));
	if (!optimizer.known || !optimizer.a_live) {
		err = -ENOMEM;
		goto out;
	}
	find_live(&optimizer);
	optimizer.known[0].visited = true;
	for (uint32_t i = 0; i < count; i++) {
		/* A load that has failed is known to nobody there, and any may have led there. */
		if (ops[i].code == FILTER_NEXT)
			optimizer.known[i] = (struct knowledge){ .visited = true };
		ops[i].reachable = optimizer.known[i].visited;
		ops[i].x_is_header = optimizer.known[i].x_known;
		if (ops[i].reachable)
			run_op(&optimizer, i);
	}
out:
	free(optimizer.known);
	free(optimizer.a_live);
	return err;
}
