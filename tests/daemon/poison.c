// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which memory do trace events call bad? The lines are the kernel's.
 */
#include <string.h>

#include "daemon/poison.h"
#include "tap.h"

#define POISON	"  cxl-312   [001] .....    40.150: cxl_poison: memdev=mem0 host=0000:0d:00.0 serial=1 trace_type=%s "
#define MEDIA	"  irq/29-88 [000] .....    41.007: %s: memdev=mem0 host=0000:0d:00.0 serial=1 log=Fatal : time=0 "

static bool says(const char *line, uint64_t addr, uint64_t length)
{
	struct poison_range range = { 0 };

	return poison_event(line, 4096, &range) && range.addr == addr && range.length == length;
}

static bool silent(const char *line)
{
	struct poison_range range;

	return !poison_event(line, 4096, &range);
}

static bool poison_says(const char *type, const char *rest, uint64_t addr, uint64_t length)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), POISON, type);

	snprintf(line + n, sizeof(line) - (size_t)n, "%s", rest);
	return addr ? says(line, addr, length) : silent(line);
}

static bool media_says(const char *event, const char *rest, uint64_t addr)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), MEDIA, event);

	snprintf(line + n, sizeof(line) - (size_t)n, "%s", rest);
	return addr ? says(line, addr, 64) : silent(line);
}

int main(void)
{
	static const char known[] = "region=region0 region_uuid=00000000-0000-0000-0000-000000000000 hpa=0x490100000 "
				    "dpa=0x100000 dpa_length=0x40 source=Injected flags= overflow_time=0";
	static const char alias[] = "region=region0 region_uuid=0 hpa=0x490100000 hpa_alias0=0xffffffffffffffff dpa=0x100000 "
				    "dpa_length=0x1000 source=Internal flags= overflow_time=0";
	static const char nowhere[] = "region= region_uuid=0 hpa=0xffffffffffffffff dpa=0x100000 "
				      "dpa_length=0x40 source=Injected";
	static const char fatal[] = "len=128 flags='' handle=1 dpa=200000 dpa_flags='' "
				    "descriptor='UNCORRECTABLE_EVENT|THRESHOLD_EVENT' type='ECC Error' hpa=490200000 region=region0";
	static const char mild[] = "len=128 dpa=200000 dpa_flags='' descriptor='THRESHOLD_EVENT' type='UNCORRECTABLE' "
				   "hpa=490200000 region=region0";

	tap_plan(17);
	check(poison_says("List", known, 0x490100000, 0x40), "an entry of a device's list");
	check(poison_says("Inject", known, 0x490100000, 0x40), "poison as it is injected");
	check(poison_says("Clear", known, 0, 0), "what is cleared is not bad");
	check(poison_says("List", alias, 0x490100000, 0x1000), "other fields whose names end alike");
	check(poison_says("List", nowhere, 0, 0), "memory that no region has");
	check(poison_says("List", "hpa=0x490100000 dpa=0x0 dpa_length=0x0", 0, 0), "no bytes at all");
	check(poison_says("List", "hpa=0x4901zz dpa_length=0x40", 0, 0), "no number");
	check(poison_says("List", "hpa= dpa_length=0x40", 0, 0), "an empty one");
	check(poison_says("List", "dpa_length=0x40", 0, 0), "a cut line");
	check(media_says("cxl_general_media", fatal, 0x490200000), "an uncorrectable media event");
	check(media_says("cxl_dram", fatal, 0x490200000), "one of DRAM");
	check(media_says("cxl_general_media", mild, 0), "what could be corrected is not bad");
	check(media_says("cxl_memory_module", fatal, 0), "an event of another kind");
	check(says("           <...>-9       [000] .....    42.1: memory_failure_event: pfn 0x490040: recovery action for "
		   "unknown page: Ignored", 0x490040000, 4096), "a failure that the kernel found");
	check(silent("           <...>-9       [000] .....    42.1: memory_failure_event: pfn 0xffffffffffffff0: recovery"),
	      "a page beyond all memory");
	check(silent("CPU:0 [LOST 12 EVENTS]"), "what trace_pipe says itself");
	check(silent(""), "nothing");
	return tap_end();
}
