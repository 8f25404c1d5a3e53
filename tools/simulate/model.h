/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine and the server that the full simulation assumes: all its numbers, each settable by name.
 */
#ifndef KVOFF_SIMULATE_MODEL_H
#define KVOFF_SIMULATE_MODEL_H

#include <stddef.h>

#define SIM_DEVICES_MAX	8
#define SIM_SERVERS_MAX	64
#define SIM_BATCH_MAX	1024

/**
 * struct sim_model - the numbers; model.c describes each
 */
struct sim_model {
	double sessions_percent, speed;
	double block_bytes, block_tokens, capacity_percent, headroom_percent, reserve_percent;
	double dram_mbps, dram_ns, cxl_devices, cxl_mbps, cxl_ns, switched_devices, switched_mbps, switched_ns;
	double nvme_mbps, nvme_ns, nvme_percent, budget_percent;
	double servers, pcie_mbps, prefill_tps, overlap_percent, decode_ms, batch, sample_ms, tick_ms;
	double objective_ms, objective_token_ms, window_ms;
};

/**
 * struct sim_key - one number
 * @name:	for command lines and JSON
 * @about:	what it is, with its unit
 * @offset:	in struct sim_model
 * @min, @max:	what it may be
 */
struct sim_key {
	const char *name;
	const char *about;
	size_t offset;
	double min;
	double max;
};

extern const struct sim_key sim_keys[];
extern const unsigned int sim_nr_keys;

static inline double *sim_key_of(struct sim_model *model, const struct sim_key *key)
{
	return (double *)(void *)((char *)model + key->offset);
}

/* Who reads the blocks. */
enum sim_consumer { SIM_CPU, SIM_GPU, SIM_GPUS, SIM_NR_CONSUMERS };

extern const char *const sim_consumer_names[SIM_NR_CONSUMERS];
extern const char *const sim_consumer_titles[SIM_NR_CONSUMERS];

/** sim_model_init - a consumer's defaults */
void sim_model_init(struct sim_model *model, enum sim_consumer consumer);

/**
 * sim_model_set - "KEY=VALUE", or "CONSUMER.KEY=VALUE" for one of them
 * @models:	SIM_NR_CONSUMERS of them
 * @err:	out: on failure what would be right
 *
 * Returns 0 or -EINVAL.
 */
int sim_model_set(struct sim_model *models, const char *set, char *err, int len);

#endif
