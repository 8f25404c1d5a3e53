/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels kvoff builds for: 6.12 and 7.x. Nothing else in this directory looks at the
 * kernel's version.
 */
#ifndef KVOFF_COMPAT_H
#define KVOFF_COMPAT_H

#include <linux/io_uring/cmd.h>
#include <linux/ipc_namespace.h>
#include <linux/mm.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)

static inline void kvoff_uring_done(struct io_uring_cmd *cmd, int ret, unsigned int issue_flags)
{
	io_uring_cmd_done(cmd, ret, issue_flags);
}

static inline u64 kvoff_uring_arg(const struct io_uring_cmd *cmd, unsigned int word)
{
	return READ_ONCE(io_uring_sqe_cmd(cmd->sqe, u64)[word]);
}

/*
 * A task-work function @name that calls @fn(cmd, issue_flags, dead); dead: the submitter is gone, touch no
 * memory of it
 */
#define KVOFF_DEFINE_URING_TW(name, fn)							\
static void name(struct io_tw_req req, io_tw_token_t tw)				\
{											\
	fn(io_uring_cmd_from_tw(req), IO_URING_CMD_TASK_WORK_ISSUE_FLAGS, tw.cancel);	\
}

/* What tells the caller's IPC namespace from all others, for ever. */
static inline u64 kvoff_ipc_namespace(void)
{
	return current->nsproxy->ipc_ns->ns.ns_id;
}

/* A fault maps all of a folio, not one page of it. */
#define kvoff_core_maps_folios	true

/* Change page table entries of user space that are there; needed only where the core does not map folios. */
static inline int kvoff_apply_to_ptes(struct mm_struct *mm, unsigned long addr, unsigned long size, pte_fn_t fn,
				      void *data)
{
	return -EOPNOTSUPP;
}

#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)

static inline void kvoff_uring_done(struct io_uring_cmd *cmd, int ret, unsigned int issue_flags)
{
	io_uring_cmd_done(cmd, ret, 0, issue_flags);
}

static inline u64 kvoff_uring_arg(const struct io_uring_cmd *cmd, unsigned int word)
{
	return READ_ONCE(((const u64 *)io_uring_sqe_cmd(cmd->sqe))[word]);
}

#define KVOFF_DEFINE_URING_TW(name, fn)							\
static void name(struct io_uring_cmd *cmd, unsigned int issue_flags)			\
{											\
	fn(cmd, issue_flags, issue_flags & IO_URING_F_TASK_DEAD);			\
}

/*
 * What tells the caller's IPC namespace from all others there are. The number of one that is gone may come again. A
 * reference to the namespace would prevent that, and would keep all of its System V memory as long.
 */
static inline u64 kvoff_ipc_namespace(void)
{
	return current->nsproxy->ipc_ns->ns.inum;
}

#define kvoff_core_maps_folios	false

static inline int kvoff_apply_to_ptes(struct mm_struct *mm, unsigned long addr, unsigned long size, pte_fn_t fn,
				      void *data)
{
	return apply_to_existing_page_range(mm, addr, size, fn, data);
}

#else
#error "kvoff is made for and tested on 6.12 and 7.x"
#endif

#endif /* KVOFF_COMPAT_H */
