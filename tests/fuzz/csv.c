// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Traces as CSV: what is taken is in order and whole; what is not is named with its line.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "tools/simulate/csv.h"

const char * const fuzz_seeds[] = {
	"{t,b,r,i\n0,1,x,7\n0,2,x,7\n5,\"a \"\"b\"\"\",y,8\n",
	"{b,t,r,i,more\r\n1,2.5e3,,0,\r\n",
	NULL
};

const char * const fuzz_words[] = {
	",", "\n", "\r\n", "\"", "\"\"", "t,b,r,i\n", "0,1,x,7\n", "1e300", "-1", "nan", "inf", "0x10", NULL
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const columns[] = {
		"time=t,block=b", "time=t,block=b,request=r", "time=t,block=b,request=r,input=i",
	};
	char path[64], err[300];
	struct sim_csv csv;
	struct trace t;
	size_t i, ids = 0;
	int fd, ret;

	if (size < 2)
		return 0;
	must(!sim_csv_parse(&csv, columns[*data % 3], err, sizeof(err)));
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)size - 1)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* the first byte chooses columns and a part of the trace, "{" all of it */
	ret = sim_csv_load(&t, path, &csv, *data == '{' ? 0 : *data / 4 % 4, *data == '{' ? 0 : *data / 16 % 4, err,
			   sizeof(err));
	close(fd);
	if (ret) {
		must(ret < 0 && *err && !t.requests && !t.ids);
		return 0;
	}
	must(t.nr_requests);
	for (i = 0; i < t.nr_requests; i++) {
		must(t.requests[i].nr_ids && t.requests[i].first_id == ids);
		must(!i || t.requests[i].timestamp_ms >= t.requests[i - 1].timestamp_ms);
		ids += t.requests[i].nr_ids;
	}
	must(ids == t.nr_ids);
	trace_free(&t);
	return 0;
}
