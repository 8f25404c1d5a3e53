// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The status file: what the daemon knows and has done, as JSON, written anew each second in one step.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvoffd.h"
#include "log.h"
#include "tools/json.h"

static void report_tier(struct json *j, const struct kvoffd *d, unsigned int t)
{
	const struct tier *tier = &d->tiers.tier[t];

	json_object(j, NULL);
	json_string(j, "name", tier->name);
	json_u64(j, "id", t);
	json_i64(j, "node", tier->node);
	json_u64(j, "rank", tier->rank);
	json_string(j, "kind", node_kind_name(tier->kind));
	json_u64(j, "capacity_bytes", tier->capacity);
	json_bool(j, "draining", tier->draining);
	json_u64(j, "used_bytes", tier->used);
	json_u64(j, "free_bytes", tier->free);
	json_u64(j, "poisoned_bytes", tier->poisoned);
	json_u64(j, "latency_ns", tier->latency_ns);
	json_string(j, "latency_source", node_source_name(tier->latency_source));
	json_u64(j, "bandwidth_mbps", tier->bandwidth_mbps);
	json_string(j, "bandwidth_source", node_source_name(tier->bandwidth_source));
	json_string(j, "path", tier->path);
	json_u64(j, "switches", tier->switches);
	json_end(j);
}

static void report_links(struct json *j, const struct kvoffd *d)
{
	json_array(j, "links");
	for (unsigned int a = 0; a < KVOFF_MAX_TIERS; a++) {
		for (unsigned int b = 0; b < KVOFF_MAX_TIERS; b++) {
			if (a == b || !d->tiers.tier[a].present || !d->tiers.tier[b].present)
				continue;
			json_object(j, NULL);
			json_string(j, "from", d->tiers.tier[a].name);
			json_string(j, "to", d->tiers.tier[b].name);
			json_u64(j, "budget_mbps", d->tiers.budget_mbps[a][b]);
			json_u64(j, "pending_bytes", d->act.pending_bytes[a][b]);
			json_end(j);
		}
	}
	json_end(j);
}

static void report_moves(struct json *j, const struct kvoffd *d)
{
	const struct act_counters *c = &d->act.counters;

	json_object(j, "moves");
	json_u64(j, "promoted_blocks", c->promoted);
	json_u64(j, "promoted_bytes", c->promoted_bytes);
	json_u64(j, "promoted_reread_blocks", d->observed.rereads);
	json_u64(j, "promoted_reread_bytes", d->observed.reread_bytes);
	json_u64(j, "demoted_blocks", c->demoted);
	json_u64(j, "demoted_bytes", c->demoted_bytes);
	json_object(j, "reasons");
	for (unsigned int r = DECIDE_NONE + 1; r < DECIDE_NR_REASONS; r++)
		json_u64(j, decide_reason_name(r), c->reasons[r]);
	json_end(j);
	json_object(j, "refused");
	for (unsigned int r = ACT_MOVED + 1; r < ACT_NR_RESULTS; r++)
		json_u64(j, act_result_name(r), c->results[r]);
	json_end(j);
	json_end(j);
}

static void report_poison(struct json *j, const struct poison *p)
{
	json_object(j, "memory_errors");
	json_u64(j, "listening", p->pipe >= 0);
	json_u64(j, "records", p->records);
	json_u64(j, "frames", p->frames);
	json_u64(j, "failed", p->failed);
	json_u64(j, "scans", p->scans);
	json_end(j);
}

static void report_all(const struct kvoffd *d, FILE *out)
{
	struct json j = { .out = out };

	json_object(&j, NULL);
	json_string(&j, "version", KVOFF_VERSION);
	json_i64(&j, "pid", getpid());
	json_i64(&j, "started", d->started);
	json_string(&j, "policy", decide_policy_name((enum decide_policy)d->conf.policy));
	json_string(&j, "moves_by", d->act.send ? "io_uring" : "ioctl");
	json_array(&j, "tiers");
	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++)
		if (d->tiers.tier[t].present)
			report_tier(&j, d, t);
	json_end(&j);
	report_links(&j, d);
	report_moves(&j, d);
	report_poison(&j, &d->poison);
	json_object(&j, "ticks");
	json_u64(&j, "count", d->ticks);
	json_u64(&j, "interval_ms", d->interval_ms);
	json_u64(&j, "last_cpu_us", d->tick_us);
	json_u64(&j, "total_cpu_us", d->cpu_us);
	json_u64(&j, "regions", d->regions.nr);
	json_u64(&j, "blocks", d->observed.looked);
	json_end(&j);
	json_end(&j);
}

void report_write(const struct kvoffd *d)
{
	char fresh[CONF_PATH_LEN + 8], folder[CONF_PATH_LEN], *slash;
	static bool complained;
	FILE *out;
	int err = 0;

	if (!d->conf.status_file[0])
		return;
	strcpy(folder, d->conf.status_file);
	slash = strrchr(folder, '/');
	*slash = 0;
	snprintf(fresh, sizeof(fresh), "%s.new", d->conf.status_file);
	out = fopen(fresh, "we");
	if (!out && errno == ENOENT && !mkdir(folder, 0755))
		out = fopen(fresh, "we");
	if (!out)
		err = errno;
	if (out) {
		report_all(d, out);
		err = ferror(out) ? EIO : 0;
		if (fclose(out) && !err)
			err = errno;
		if (!err && rename(fresh, d->conf.status_file))
			err = errno;
	}
	if (err && !complained)
		log_warn("status file cannot be written: choose another status_file in [daemon], or nothing for none",
			 "file=\"%s\" error=\"%s\"", d->conf.status_file, strerror(err));
	complained = err != 0;
}

void report_remove(const struct conf *conf)
{
	if (conf->status_file[0])
		unlink(conf->status_file);
}
