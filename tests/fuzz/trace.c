// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Request traces: what is taken is in order and whole; what is not is named with its line.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "tools/trace.h"

const char * const fuzz_seeds[] = {
	"{\"timestamp\": 0, \"input_length\": 6758, \"output_length\": 500, \"hash_ids\": [0, 1, 2, 3]}\n"
	"{\"timestamp\": 3000, \"input_length\": 1, \"output_length\": 0, \"hash_ids\": [9223372036854775807]}\n",
	"{\"hash_ids\":[1],\"output_length\":4294967295,\"input_length\":7,\"timestamp\":5}",
	NULL
};

const char * const fuzz_words[] = {
	"{", "}", "[", "]", ",", ":", "\"", "\n", " ", "\t", "\"timestamp\":", "\"input_length\":", "\"output_length\":",
	"\"hash_ids\":[",
	"{\"hash_ids\":[1],\"output_length\":2,\"input_length\":7,\"timestamp\":5}\n",
	NULL
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], err[300];
	struct trace t;
	size_t i, ids = 0;
	int fd, ret;

	if (size < 2)
		return 0;
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)size - 1)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* the first byte chooses a part of the trace, "{" all of it */
	ret = trace_load(&t, path, *data == '{' ? 0 : *data % 4, *data == '{' ? 0 : *data / 4 % 4, err, sizeof(err));
	close(fd);
	if (ret) {
		must(ret < 0 && *err && !t.requests && !t.ids);
		return 0;
	}
	must(!*err && t.nr_requests);
	for (i = 0; i < t.nr_requests; i++) {
		must(t.requests[i].nr_ids && t.requests[i].first_id == ids);
		must(!i || t.requests[i].timestamp_ms >= t.requests[i - 1].timestamp_ms);
		ids += t.requests[i].nr_ids;
	}
	must(ids == t.nr_ids);
	for (i = 0; i < ids; i++)
		must(t.ids[i] <= INT64_MAX);
	trace_free(&t);
	return 0;
}
