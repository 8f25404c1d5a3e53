// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The numbers of the model, and what they are for each consumer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/simulate/model.h"

#define KEY(field, lowest, highest, text) \
	{ .name = #field, .about = text, .offset = offsetof(struct sim_model, field), .min = lowest, .max = highest }

const struct sim_key sim_keys[] = {
	KEY(sessions_percent, 0.01, 100, "share of the trace's sessions that this machine serves, drawn by the seed"),
	KEY(speed, 0.001, 1000, "seconds of the trace in a second"),
	KEY(block_bytes, 65536, 1e10, "bytes of a KV block"),
	KEY(block_tokens, 1, 1e6, "tokens of a KV block"),
	KEY(capacity_percent, 0.1, 100, "all tiers together, of the bytes of all blocks of the trace"),
	KEY(headroom_percent, 0, 25,
	    "free frames that the reference policies keep for new blocks, of the fast tier; and the server, of all"),
	KEY(reserve_percent, 0, 50, "free frames of a tier that new blocks may not take"),
	KEY(dram_mbps, 1, 1e7, "bandwidth of DRAM, 10^6 bytes a second"),
	KEY(dram_ns, 0, 1e6, "its latency"),
	KEY(cxl_devices, 1, SIM_DEVICES_MAX, "CXL devices, each with a link of its own"),
	KEY(cxl_mbps, 1, 1e7, "bandwidth of one, 10^6 bytes a second in each direction"),
	KEY(cxl_ns, 0, 1e6, "its latency"),
	KEY(switched_devices, 0, SIM_DEVICES_MAX, "so many of them are behind a switch, and a tier rank of their own"),
	KEY(switched_mbps, 1, 1e7, "bandwidth of one of these"),
	KEY(switched_ns, 0, 1e6, "its latency"),
	KEY(nvme_mbps, 1, 1e7, "bandwidth of the disks of DRAM + NVMe, 10^6 bytes a second"),
	KEY(nvme_ns, 0, 1e9, "their latency"),
	KEY(nvme_percent, 0.1, 1000, "their capacity, of the bytes of all blocks of the trace"),
	KEY(budget_percent, 1, 100, "bandwidth of the slower tier that moves from one tier to another may take"),
	KEY(servers, 1, SIM_SERVERS_MAX, "requests that are prefilled side by side, each on a GPU of its own"),
	KEY(pcie_mbps, 0, 1e7, "bandwidth of a GPU's link; 0: blocks are read in place"),
	KEY(prefill_tps, 1, 1e8, "tokens a second that one prefill computes"),
	KEY(overlap_percent, 0, 100, "part of a prefill that blocks can be loaded beside"),
	KEY(decode_ms, 0, 1e5, "computing one token for the whole batch, where blocks are read in place"),
	KEY(batch, 1, SIM_BATCH_MAX, "answers that are decoded side by side, reading all their blocks for each token"),
	KEY(sample_ms, 100, 1e6, "time after which sampling finds a block that is being read in place"),
	KEY(tick_ms, 1, 60000, "time between two ticks of kvoffd"),
	KEY(objective_ms, 0, 1e9, "time to first token that a request of the goodput keeps"),
	KEY(objective_token_ms, 0, 1e9, "mean time to each further token that it keeps, if blocks are read in place"),
	KEY(window_ms, 0, 1e9, "a block that moves twice in so long counts as moved to and fro"),
};
const unsigned int sim_nr_keys = sizeof(sim_keys) / sizeof(sim_keys[0]);

const char *const sim_consumer_names[SIM_NR_CONSUMERS] = { "cpu", "gpu", "gpus" };
const char *const sim_consumer_titles[SIM_NR_CONSUMERS] = {
	"CPU attention that reads every block for each token", "one GPU behind PCIe 5",
	"eight GPUs that share the CXL links",
};

/* 512 tokens of Llama-3.1-8B in bf16 are 64 MiB. DRAM: eight or twelve channels of DDR5; CXL: Gen5 x8 links. */
static const struct sim_model base = {
	.sessions_percent = 100, .speed = 1,
	.block_bytes = 64 << 20, .block_tokens = 512, .capacity_percent = 60,
	.headroom_percent = 3, .reserve_percent = 2,
	.dram_mbps = 300000, .dram_ns = 100, .cxl_devices = 2, .cxl_mbps = 30000, .cxl_ns = 250,
	.switched_mbps = 30000, .switched_ns = 400,
	.nvme_mbps = 12000, .nvme_ns = 100000, .nvme_percent = 100, .budget_percent = 25,
	.servers = 1, .pcie_mbps = 55000, .prefill_tps = 20000, .overlap_percent = 90, .decode_ms = 20, .batch = 32,
	.sample_ms = 5000, .tick_ms = 100, .objective_ms = 2000, .objective_token_ms = 200, .window_ms = 30000,
};

void sim_model_init(struct sim_model *model, enum sim_consumer consumer)
{
	*model = base;
	switch (consumer) {
	case SIM_CPU:
		model->sessions_percent = 10;
		model->pcie_mbps = 0;
		break;
	case SIM_GPU:
		model->sessions_percent = 50;
		model->objective_ms = 5000;
		break;
	default:
		model->servers = 8;
		model->speed = 4;
		break;
	}
}


int sim_model_set(struct sim_model *models, const char *set, char *err, int len)
{
	const char *equal = strchr(set, '='), *name = set;
	int only = -1;
	char *end;
	double v;

	for (int c = 0; c < SIM_NR_CONSUMERS; c++) {
		size_t n = strlen(sim_consumer_names[c]);

		if (!strncmp(set, sim_consumer_names[c], n) && set[n] == '.') {
			only = c;
			name = set + n + 1;
		}
	}
	if (!equal) {
		snprintf(err, len, "expected KEY=VALUE or CONSUMER.KEY=VALUE");
		return -EINVAL;
	}
	for (unsigned int i = 0; i < sim_nr_keys; i++) {
		const struct sim_key *key = &sim_keys[i];

		if (strlen(key->name) != (size_t)(equal - name) || strncmp(key->name, name, equal - name))
			continue;
		v = strtod(equal + 1, &end);
		if (end == equal + 1 || *end || !(v >= key->min && v <= key->max)) {
			snprintf(err, len, "expected a number from %g to %g: %s", key->min, key->max, key->about);
			return -EINVAL;
		}
		for (int c = 0; c < SIM_NR_CONSUMERS; c++)
			if (only < 0 || only == c)
				*sim_key_of(&models[c], key) = v;
		return 0;
	}
	snprintf(err, len, "there is no such number; --simulate --help lists them");
	return -EINVAL;
}
