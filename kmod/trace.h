/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvoff

#if !defined(KVOFF_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KVOFF_TRACE_H

#include <linux/tracepoint.h>

/* A fault on a block's data; first: it had no frame */
TRACE_EVENT(kvoff_fault,
	TP_PROTO(u32 region, u64 block, u32 tier, bool write, bool first),
	TP_ARGS(region, block, tier, write, first),
	TP_STRUCT__entry(
		__field(u64, block)
		__field(u32, region)
		__field(u32, tier)
		__field(bool, write)
		__field(bool, first)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->block = block;
		__entry->tier = tier;
		__entry->write = write;
		__entry->first = first;
	),
	TP_printk("region=%u block=%llu tier=%u write=%d first=%d",
		  __entry->region, __entry->block, __entry->tier, __entry->write, __entry->first)
);

/* A move has its target frame and begins; reason is the policy's code */
TRACE_EVENT(kvoff_move_start,
	TP_PROTO(u32 region, u64 block, u32 from, u32 to, u32 reason),
	TP_ARGS(region, block, from, to, reason),
	TP_STRUCT__entry(
		__field(u64, block)
		__field(u32, region)
		__field(u32, from)
		__field(u32, to)
		__field(u32, reason)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->block = block;
		__entry->from = from;
		__entry->to = to;
		__entry->reason = reason;
	),
	TP_printk("region=%u block=%llu from=%u to=%u reason=%u",
		  __entry->region, __entry->block, __entry->from, __entry->to, __entry->reason)
);

/* A move has ended; error as in struct kvoff_move_result */
TRACE_EVENT(kvoff_move_end,
	TP_PROTO(u32 region, u64 block, u32 from, u32 to, u32 reason, int error),
	TP_ARGS(region, block, from, to, reason, error),
	TP_STRUCT__entry(
		__field(u64, block)
		__field(u32, region)
		__field(u32, from)
		__field(u32, to)
		__field(u32, reason)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->block = block;
		__entry->from = from;
		__entry->to = to;
		__entry->reason = reason;
		__entry->error = error;
	),
	TP_printk("region=%u block=%llu from=%u to=%u reason=%u error=%d",
		  __entry->region, __entry->block, __entry->from, __entry->to, __entry->reason, __entry->error)
);

#endif /* KVOFF_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
