/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Request traces: JSON lines of {"timestamp", "input_length", "output_length", "hash_ids"}.
 */
#ifndef KVOFF_TOOLS_TRACE_H
#define KVOFF_TOOLS_TRACE_H

#include <stddef.h>
#include <stdint.h>

/* A line, and the blocks of one request, are bounded: a trace is input from somewhere else. */
#define TRACE_LINE_MAX	(4U << 20)
#define TRACE_IDS_MAX	(1U << 18)

/**
 * struct trace_request - one request of the trace
 * @timestamp_ms:	arrival, milliseconds since the trace began; never less than that of the request before
 * @input_length:	tokens of the prompt
 * @output_length:	tokens of the answer
 * @nr_ids:		blocks of the prompt, at least 1
 * @first_id:		the first of them is ids[@first_id] of the trace
 */
struct trace_request {
	uint64_t timestamp_ms;
	uint32_t input_length;
	uint32_t output_length;
	uint32_t nr_ids;
	size_t first_id;
};

/**
 * struct trace - a part of a trace, in memory
 * @requests:	@nr_requests of them, in order of arrival
 * @ids:	the block ids of all requests, one after the other
 */
struct trace {
	struct trace_request *requests;
	size_t nr_requests;
	uint64_t *ids;
	size_t nr_ids;
};

/**
 * trace_load - read a trace
 * @t:		out: the trace, to be given to trace_free()
 * @path:	the file, "-" for standard input
 * @skip:	leave out so many requests at the beginning; they are checked all the same
 * @limit:	read at most so many requests after that, 0 for all; what follows is not read
 * @err:	out: on failure "FILE:LINE: what is wrong, what is expected"
 * @errlen:	bytes of @err
 *
 * Returns 0; -EINVAL for a malformed trace or one with no request left; -errno if the file cannot be read.
 */
int trace_load(struct trace *t, const char *path, size_t skip, size_t limit, char *err, size_t errlen);
void trace_free(struct trace *t);

#endif
