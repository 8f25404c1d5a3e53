// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Results as tables and as JSON. Every result comes with the numbers that it was computed with.
 */
#include <stdio.h>
#include <string.h>

#include "tools/json.h"
#include "tools/simulate/simulate.h"

#define LABEL	26
#define COLUMN	13

static void heading(FILE *f, const struct sim_options *o, const char *what)
{
	fprintf(f, "%-*s", LABEL, what);
	for (unsigned int p = 0; p < o->nr_policies; p++)
		if (!o->plain || o->policies[p]->plain)
			fprintf(f, "%*s", COLUMN, o->policies[p]->name);
	fputc('\n', f);
}

static double share_of(const struct sim_share *s)
{
	return s->rereads ? (double)s->fast / (double)s->rereads : 0;
}

static void plain_line(FILE *f, const struct sim_options *o, const struct sim_row *rows, const char *label, int what)
{
	fprintf(f, "%-*s", LABEL, label);
	for (unsigned int p = 0; p < o->nr_policies; p++) {
		const struct sim_share *s = &rows[p].share;

		if (!o->policies[p]->plain)
			continue;
		if (!what)
			fprintf(f, "%*.3f", COLUMN, share_of(s));
		else
			fprintf(f, "%*llu", COLUMN, (unsigned long long)(what == 1 ? s->promoted : s->demoted));
	}
	fputc('\n', f);
}

void sim_report_plain(FILE *f, const struct sim_options *o, const struct sim_load *load, const struct sim_row *rows)
{
	static const char *const heads[] = {
		"share of re-reads, fast", "blocks promoted", "blocks demoted",
	};
	char label[32];

	fprintf(f, "%u requests, %u sessions, %u references, %u blocks. A new block enters the fast tier, moving\n"
		"costs nothing; the fast tier is a share of all blocks. Reported from %.0f %% of the time on;\n"
		"kvoffd looks every %.0f ms; %.0f %% of the sessions announce their end; seed %llu.\n",
		load->nr, load->nr_sessions, load->refs.nr, load->refs.nr_blocks, o->split, o->tick_ms, o->hints,
		(unsigned long long)o->seed);
	for (int what = 0; what < 3; what++) {
		fputc('\n', f);
		heading(f, o, heads[what]);
		for (unsigned int i = 0; i < o->nr_fast; i++) {
			snprintf(label, sizeof(label), "  %g %%", o->fast[i]);
			plain_line(f, o, &rows[(size_t)i * o->nr_policies], label, what);
		}
	}
}

void sim_json_plain(struct json *j, const struct sim_options *o, const struct sim_row *rows)
{
	for (unsigned int i = 0; i < o->nr_fast * o->nr_policies; i++) {
		const struct sim_share *s = &rows[i].share;

		if (!rows[i].policy->plain)
			continue;
		json_object(j, NULL);
		json_double(j, "fast_percent", o->fast[i / o->nr_policies]);
		json_string(j, "policy", rows[i].policy->name);
		json_double(j, "share", share_of(s));
		json_u64(j, "rereads", s->rereads);
		json_u64(j, "rereads_fast", s->fast);
		json_u64(j, "promoted_blocks", s->promoted);
		json_u64(j, "demoted_blocks", s->demoted);
		json_double(j, "seconds", s->seconds);
		json_end(j);
	}
}

/* The rows of the full simulation: a name for JSON, one for people, and how to print it. */
enum full_row {
	ROW_RECOMPUTED, ROW_STALL_P50, ROW_STALL_P99, ROW_EXCESS_P50, ROW_EXCESS_P99, ROW_TTFT_P50, ROW_TTFT_P99,
	ROW_GOODPUT, ROW_KEPT, ROW_MOVED,
	ROW_MOVED_SHARE, ROW_PRECISION, ROW_TWICE, ROW_FAST, ROW_FAR, ROW_BUSY, ROW_FAST_BUSY, ROW_FAR_BUSY, NR_ROWS
};

static const struct {
	const char *key;
	const char *label;
	int digits;
	double scale;
} full_rows[NR_ROWS] = {
	[ROW_RECOMPUTED] = { "recomputed_tokens", "recomputed, 1000 tokens", 0, 1e-3 },
	[ROW_STALL_P50] = { "stall_p50_ms", "load stall p50, ms", 1, 1 },
	[ROW_STALL_P99] = { "stall_p99_ms", "load stall p99, ms", 1, 1 },
	[ROW_EXCESS_P50] = { "excess_p50_ms", "  over DRAM's p50, ms", 1, 1 },
	[ROW_EXCESS_P99] = { "excess_p99_ms", "  over DRAM's p99, ms", 1, 1 },
	[ROW_TTFT_P50] = { "ttft_p50_ms", "first token p50, ms", 0, 1 },
	[ROW_TTFT_P99] = { "ttft_p99_ms", "first token p99, ms", 0, 1 },
	[ROW_GOODPUT] = { "goodput_per_s", "goodput, requests/s", 3, 1 },
	[ROW_KEPT] = { "kept_share", "  kept the objective", 3, 1 },
	[ROW_MOVED] = { "moved_bytes", "moved, GB", 1, 1e-9 },
	[ROW_MOVED_SHARE] = { "moved_share", "  of the bytes read", 4, 1 },
	[ROW_PRECISION] = { "promotion_precision", "promotion precision", 3, 1 },
	[ROW_TWICE] = { "moved_twice", "moved to and fro", 0, 1 },
	[ROW_FAST] = { "reread_share_fast", "re-reads: fast tier", 3, 1 },
	[ROW_FAR] = { "reread_share_far", "  second tier", 3, 1 },
	[ROW_BUSY] = { "prefill_busy", "busy: prefill", 3, 1 },
	[ROW_FAST_BUSY] = { "fast_busy", "  fast tier's link", 3, 1 },
	[ROW_FAR_BUSY] = { "far_busy", "  second tier's links", 3, 1 },
};

static double ratio(double a, double b)
{
	return a / b;
}

static double full_value(const struct sim_result *r, enum full_row row)
{
	double moved = r->promoted_bytes + r->demoted_bytes, fast = ratio((double)r->fast_rereads, (double)r->rereads);

	switch (row) {
	case ROW_RECOMPUTED: return (double)r->recomputed;
	case ROW_STALL_P50: return r->stall.p50;
	case ROW_STALL_P99: return r->stall.p99;
	case ROW_EXCESS_P50: return r->excess.p50;
	case ROW_EXCESS_P99: return r->excess.p99;
	case ROW_TTFT_P50: return r->ttft.p50;
	case ROW_TTFT_P99: return r->ttft.p99;
	case ROW_GOODPUT: return r->goodput;
	case ROW_KEPT: return r->kept;
	case ROW_MOVED: return moved;
	case ROW_MOVED_SHARE: return ratio(moved, r->read_bytes);
	case ROW_PRECISION: return ratio(r->reread_bytes, r->promoted_bytes);
	case ROW_TWICE: return (double)r->twice;
	case ROW_FAST: return fast;
	case ROW_FAR: return 1 - fast;
	case ROW_BUSY: return r->busy;
	case ROW_FAST_BUSY: return r->fast_busy;
	default: return r->far_busy;
	}
}

static void print_model(FILE *f, const struct sim_model *model)
{
	int at = fprintf(f, " ");

	for (unsigned int i = 0; i < sim_nr_keys; i++) {
		char text[64];
		int n = snprintf(text, sizeof(text), "%s=%.10g", sim_keys[i].name,
				 *sim_key_of((struct sim_model *)model, &sim_keys[i]));

		if (at + 1 + n > 116) {
			fputc('\n', f);
			at = fprintf(f, " ");
		}
		at += fprintf(f, " %s", text);
	}
	fputc('\n', f);
}

void sim_report_full(FILE *f, const struct sim_options *o, enum sim_consumer c, const struct sim_load *load,
		     const struct sim_row *rows)
{
	fprintf(f, "%s\n%u requests, %u sessions, %u references, %u blocks; reported from %.0f %% of the time on;\n"
		"%.0f %% of the sessions announce their end; seed %llu. The model:\n",
		sim_consumer_titles[c], load->nr, load->nr_sessions, load->refs.nr, load->refs.nr_blocks, o->split,
		o->hints, (unsigned long long)o->seed);
	print_model(f, &o->models[c]);
	for (unsigned int i = 0; i < o->nr_fast; i++) {
		char label[48];

		snprintf(label, sizeof(label), "fast tier %g %%", o->fast[i]);
		fputc('\n', f);
		heading(f, o, label);
		for (int row = 0; row < NR_ROWS; row++) {
			fprintf(f, "%-*s", LABEL, full_rows[row].label);
			for (unsigned int p = 0; p < o->nr_policies; p++) {
				const struct sim_result *r = &rows[(size_t)i * o->nr_policies + p].full;
				double v = full_value(r, row) * full_rows[row].scale;

				if (v != v)
					fprintf(f, "%*s", COLUMN, "-");
				else
					fprintf(f, "%*.*f", COLUMN, full_rows[row].digits, v);
			}
			fputc('\n', f);
		}
	}
}

void sim_json_full(struct json *j, const struct sim_options *o, enum sim_consumer c, const struct sim_row *rows)
{
	for (unsigned int i = 0; i < o->nr_fast * o->nr_policies; i++) {
		const struct sim_result *r = &rows[i].full;

		json_object(j, NULL);
		json_string(j, "consumer", sim_consumer_names[c]);
		json_double(j, "fast_percent", o->fast[i / o->nr_policies]);
		json_string(j, "policy", rows[i].policy->name);
		json_u64(j, "requests", r->requests);
		json_double(j, "seconds", r->seconds);
		for (int row = 0; row < NR_ROWS; row++)
			json_double(j, full_rows[row].key, full_value(r, row));
		json_double(j, "prefilled_tokens", (double)r->prefilled);
		json_double(j, "read_bytes", r->read_bytes);
		json_double(j, "promoted_bytes", r->promoted_bytes);
		json_double(j, "demoted_bytes", r->demoted_bytes);
		json_double(j, "stall_mean_ms", r->stall.mean);
		json_double(j, "excess_mean_ms", r->excess.mean);
		json_double(j, "ttft_mean_ms", r->ttft.mean);
		json_end(j);
	}
}

void sim_json_load(struct json *j, const char *key, const struct sim_load *load)
{
	json_object(j, key);
	json_u64(j, "requests", load->nr);
	json_u64(j, "sessions", load->nr_sessions);
	json_u64(j, "references", load->refs.nr);
	json_u64(j, "blocks", load->refs.nr_blocks);
	json_end(j);
}
