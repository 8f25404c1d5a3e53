/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kvoff: what the module's files share.
 *
 * Locks, in the order in which they nest:
 *	kvoff_tier_admin	tiers and tenants come and go, sysfs included
 *	region->window_mutex	a framed region's windows grow; held over waiting for pools
 *	kvoff_tier_mutex	the set of tiers and their sizes
 *	kvoff_named::mutex	a named region rests, is opened, ends
 *	region->unit_sem	a region's units; held over discards and seals, taken by no fault
 *	region->chunk_mutex	a region's block records come into being; never taken under a block lock
 *	block lock		a bit of struct kvoff_block::flags; sleeps; not held over user copies or throttling; who
 *				has one waits for no other, but may try
 *	folio lock		of a block's frame
 *	i_mmap_rwsem, page-table lock
 *				the core's, inside unmap_mapping_range()
 *	attach_lock, account_lock, tenant->lock, pool->lock, link->lock, window->lock
 *				spinlocks; only the next three, and an eventfd's in attach_lock, nest in them
 *	kvoff_names_lock, kvoff_commit_lock, the lock of the array of frames
 *				spinlocks, innermost
 */
#ifndef KVOFF_H
#define KVOFF_H

#include <linux/device.h>
#include <linux/fs.h>
#include <linux/kobject.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rbtree.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "uapi/kvoff.h"

/* A mover looks into every attachment's references: so many a region at most. */
#define KVOFF_ATTACH_MAX	4096

/* Block records and state entries live in chunks of so many blocks: one page of struct kvoff_state. */
#define KVOFF_CHUNK_BLOCKS	(PAGE_SIZE / sizeof(struct kvoff_state))

struct kvoff_named;
struct kvoff_tenant;
struct kvoff_tier;

/* ---- counters, in sysfs.c ---- */
enum kvoff_counter {
	KVOFF_FAULTS,
	KVOFF_WRITE_FAULTS,
	KVOFF_FIRST_TOUCHES,
	KVOFF_FIRST_TOUCH_ZEROED,
	KVOFF_MOVES,
	KVOFF_MOVED_BYTES,
	KVOFF_FLIPS,
	KVOFF_TWINS_WRITTEN,
	KVOFF_TWINS_ROOM,
	KVOFF_MOVES_BUSY,
	KVOFF_MOVES_ACQUIRED,
	KVOFF_MOVES_WRITTEN,
	KVOFF_MOVES_CANCELLED,
	KVOFF_MOVES_NO_FRAME,
	KVOFF_MOVES_OVER_QUOTA,
	KVOFF_MOVES_DRAINING,
	KVOFF_MOVES_POISONED,
	KVOFF_MOVES_INVALID,
	KVOFF_SAMPLES,
	KVOFF_REFAULTS,
	KVOFF_ORPHANED,
	KVOFF_COMMIT_REFUSED,
	KVOFF_COMMIT_OVER_QUOTA,
	KVOFF_COMMIT_BROKEN,
	KVOFF_CONVERTED_BYTES,
	KVOFF_SEALS,
	KVOFF_SEALS_BUSY,
	KVOFF_NAMES_EXPIRED,
	KVOFF_POISON_REPAIRED,
	KVOFF_POISON_COPIED,
	KVOFF_POISON_LOST,
	KVOFF_NR_COUNTERS
};

struct kvoff_counters {
	u64 v[KVOFF_NR_COUNTERS];
};
DECLARE_PER_CPU(struct kvoff_counters, kvoff_counters);

static inline void kvoff_count(enum kvoff_counter c, u64 n)
{
	this_cpu_add(kvoff_counters.v[c], n);
}

u64 kvoff_counter_read(enum kvoff_counter c);

/* ---- tuning, in sysfs.c ---- */
extern unsigned int kvoff_sample_interval_ms;
extern unsigned int kvoff_sample_percent;
extern unsigned int kvoff_reserve_percent;
extern unsigned int kvoff_twins;

/* ---- pool.c ---- */

/* How long a pool leaves a node in peace that had nothing to give. */
#define KVOFF_SHORT_INTERVAL	HZ

/* Pools that grow on demand do so by at least so much at a time, so that small demands do not wait each time. */
#define KVOFF_GROW_BYTES	(16UL << 20)

/**
 * struct kvoff_pool - a tier's frames of one size
 * @tier:	whose
 * @kobj:	/sys/class/kvoff/tiers/<tier>/pools/<size>
 * @index:	which block size: KVOFF_BLOCK_SIZE_MIN << @index
 * @order:	page order of a frame
 * @lock:	protects everything below
 * @clean:	free frames, zeroed
 * @dirty:	free frames with somebody's old bytes
 * @orphans:	frames whose block is gone but which something still pins
 * @twins:	clean copies that blocks left behind, oldest first: free, but the last to be taken
 * @poisoned:	frames with a memory error, out of use for ever
 * @target:	how many frames the pool shall have
 * @floor:	so many the admin gave it: other sizes cannot take these. Under kvoff_tier_mutex
 * @restore:	the target it gets back when the drain ends. Under kvoff_tier_mutex
 * @filled:	how many it has, in whatever list or use
 * @nr_clean:	length of @clean
 * @nr_dirty:	length of @dirty
 * @nr_orphans:	length of @orphans
 * @nr_twins:	length of @twins
 * @nr_poisoned: length of @poisoned
 * @nr_used:	frames that hold a block, or are the target of a copy
 * @nr_zeroing:	frames the tier's thread is zeroing
 * @backing:	frames this pool answers for in the commit account
 * @short_of:	the node had no frame to give when last asked
 * @retry:	when to ask again, in jiffies
 * @wanting:	a move found no target: grow if the tier has capacity that no pool has. Without the lock
 */
struct kvoff_pool {
	struct kvoff_tier *tier;
	struct kobject kobj;
	unsigned int index;
	unsigned int order;
	spinlock_t lock;
	struct list_head clean;
	struct list_head dirty;
	struct list_head orphans;
	struct list_head twins;
	struct list_head poisoned;
	unsigned long target;
	unsigned long floor;
	unsigned long restore;
	unsigned long filled;
	unsigned long nr_clean;
	unsigned long nr_dirty;
	unsigned long nr_orphans;
	unsigned long nr_twins;
	unsigned long nr_poisoned;
	unsigned long nr_used;
	unsigned long nr_zeroing;
	unsigned long backing;
	bool short_of;
	unsigned long retry;
	bool wanting;
};

void kvoff_pool_init(struct kvoff_pool *pool, struct kvoff_tier *tier, unsigned int index);
int kvoff_pool_set_target(struct kvoff_pool *pool, unsigned long target);
int kvoff_pool_limit(struct kvoff_pool *pool, unsigned long target);
void kvoff_pool_add(struct kvoff_pool *pool, struct folio *folio);
bool kvoff_pool_has_work(const struct kvoff_pool *pool);
void kvoff_pool_tell(struct kvoff_pool *pool, bool work);
void kvoff_pool_shed_twins(struct kvoff_pool *pool);
bool kvoff_pool_work(struct kvoff_pool *pool);
bool kvoff_pool_empty(struct kvoff_pool *pool);
unsigned long kvoff_pool_gain(struct kvoff_pool *pool, unsigned long more);
unsigned long kvoff_pool_idle(struct kvoff_pool *pool);
void kvoff_pool_yield(struct kvoff_pool *pool, unsigned long frames);
void kvoff_pool_forget_orphans(struct kvoff_pool *pool);
void kvoff_pool_restore_target(struct kvoff_pool *pool, unsigned long target);
bool kvoff_pool_in_use(struct kvoff_pool *pool);
bool kvoff_pool_settled(struct kvoff_pool *pool);
unsigned long kvoff_pool_spare(struct kvoff_pool *pool);
unsigned long kvoff_pool_reserve(const struct kvoff_pool *pool, unsigned long frames);
void kvoff_pool_account(struct kvoff_pool *pool);
void kvoff_pool_account_locked(struct kvoff_pool *pool);
struct folio *kvoff_pool_take(struct kvoff_pool *pool, unsigned long leave, bool want_clean, bool *zeroed);

void kvoff_frame_put(struct folio *folio, unsigned int index, u32 tier);
void kvoff_frame_zero(struct folio *folio);
extern wait_queue_head_t kvoff_frame_wait;

static inline size_t kvoff_size_of(unsigned int index)
{
	return (size_t)KVOFF_BLOCK_SIZE_MIN << index;
}

static inline unsigned int kvoff_order_of(unsigned int index)
{
	return ilog2(KVOFF_BLOCK_SIZE_MIN) - PAGE_SHIFT + index;
}

/* ---- frame.c ---- */

/* Rounds of kvoff_frame_walk() over the tiers. */
#define KVOFF_PASSES		3

typedef struct folio *(*kvoff_take_fn)(void *arg, struct kvoff_tier *tier, unsigned int pass);
struct folio *kvoff_frame_walk(kvoff_take_fn take, void *arg, u32 *id);
struct folio *kvoff_frame_first(struct kvoff_tenant *tenant, unsigned int index, u32 *tier, bool *zeroed);
struct folio *kvoff_frame_target(unsigned int index, u32 tier);
struct folio *kvoff_frame_window(unsigned int index, u32 tier, bool *zeroed);

/* ---- tier.c ---- */

/**
 * struct kvoff_tier - memory of one class
 * @kobj:	/sys/class/kvoff/tiers/<name>; its count is the tier's lifetime
 * @pools_kobj:	/sys/class/kvoff/tiers/<name>/pools
 * @name:	never changes
 * @id:		never changes; a slot in the tier set
 * @node:	never changes
 * @rank:	0 is the fastest; under kvoff_tier_mutex
 * @capacity:	bytes, under kvoff_tier_mutex
 * @latency_ns:	for information
 * @bandwidth_mbps: for information
 * @pools:	one a block size
 * @thread:	fills, zeroes, empties the pools and looks after orphans
 * @wake:	where @thread waits
 * @kicked:	there is work for @thread
 * @settled:	woken whenever a pool may have reached its target
 * @going:	the tier is being removed: no frame leaves its pools any more. Looked at under the pools' locks
 * @fixed:	being drained, or about to be: its pools do not grow. Written under kvoff_tier_mutex
 * @keep:	bytes of frames that may be in use while it is being drained, else KVOFF_KEEP_ALL. Written under
 *		kvoff_tier_mutex
 */
struct kvoff_tier {
	struct kobject kobj;
	struct kobject *pools_kobj;
	char name[KVOFF_NAME_LEN];
	u32 id;
	int node;
	u32 rank;
	u64 capacity;
	u32 latency_ns;
	u32 bandwidth_mbps;
	struct kvoff_pool pools[KVOFF_NR_BLOCK_SIZES];
	struct task_struct *thread;
	wait_queue_head_t wake;
	bool kicked;
	wait_queue_head_t settled;
	bool going;
	bool fixed;
	u64 keep;
};

/* struct kvoff_tier::keep of a tier that is not being drained. */
#define KVOFF_KEEP_ALL		U64_MAX

/**
 * struct kvoff_tier_set - all tiers, replaced as a whole under kvoff_tier_mutex, read under RCU
 * @nr:		how many
 * @by_rank:	fastest first
 * @by_id:	NULL where there is none
 */
struct kvoff_tier_set {
	unsigned int nr;
	struct kvoff_tier *by_rank[KVOFF_MAX_TIERS];
	struct kvoff_tier *by_id[KVOFF_MAX_TIERS];
};

extern struct mutex kvoff_tier_admin;
extern struct mutex kvoff_tier_mutex;
extern struct kvoff_tier_set __rcu *kvoff_tiers;

int kvoff_tier_add(struct kvoff_ctl_tier *arg);
int kvoff_tier_change(struct kvoff_ctl_tier *arg);
int kvoff_tier_set_capacity(struct kvoff_tier *tier, u64 capacity);
int kvoff_tier_remove(const char *name);
int kvoff_tier_pool_set(struct kvoff_ctl_pool *arg);
int kvoff_tier_pool_resize(struct kvoff_pool *pool, u64 bytes);
void kvoff_tier_kick(struct kvoff_tier *tier);
void kvoff_tiers_account(void);
u64 kvoff_tier_unassigned(struct kvoff_tier *tier);
const char *kvoff_tier_state(struct kvoff_tier *tier);
bool kvoff_tier_exists(u32 id);
int kvoff_tiers_init(void);
void kvoff_tiers_exit(void);

/* ---- commit.c ---- */
extern spinlock_t kvoff_commit_lock;
int kvoff_commit(unsigned int index, u64 nr, u64 *available);
void kvoff_uncommit(unsigned int index, u64 nr);
u64 kvoff_commit_room(unsigned int index);
u64 kvoff_commit_available(unsigned int index);
int kvoff_commit_extend(unsigned int index, u64 nr);
int kvoff_commit_rebase(unsigned int index, unsigned long *backing, unsigned long want, bool refuse);
struct kvoff_tier *kvoff_tier_hold(u32 id);
u64 kvoff_tier_room(struct kvoff_tier *tier, unsigned int index);
int kvoff_tier_make_room(struct kvoff_tier *tier, unsigned int index, u64 nr);

/* ---- shared.c ---- */

/**
 * struct kvoff_shared - a region's shared arrays and its address space
 * @ref:	held by the region and by each view, so that views outlive the region without keeping it
 * @anchor:	the file whose inode gives @mapping; never handed out
 * @mapping:	every attachment and view uses it as its f_mapping
 * @state:	struct page by chunk number
 * @hint:	struct page by page number
 * @zero:	what readers see where no page exists yet. Its page lock orders mapping it against populating
 * @nr_blocks:	length of the arrays
 * @dead:	the region is gone
 * @wait:	views polling for @dead
 */
struct kvoff_shared {
	struct kref ref;
	struct file *anchor;
	struct address_space *mapping;
	struct xarray state;
	struct xarray hint;
	struct page *zero;
	u64 nr_blocks;
	bool dead;
	wait_queue_head_t wait;
};

struct kvoff_shared *kvoff_shared_create(u64 nr_blocks);
void kvoff_shared_put(struct kvoff_shared *shared);
struct kvoff_state *kvoff_shared_state(struct kvoff_shared *shared, unsigned long chunk);
void kvoff_shared_die(struct kvoff_shared *shared);
int kvoff_shared_mmap(struct kvoff_shared *shared, struct vm_area_struct *vma, bool client);
int kvoff_refs_mmap(struct kvoff_shared *shared, struct xarray *refs, struct vm_area_struct *vma);
void kvoff_pages_free(struct xarray *xa);
int kvoff_view_create(u32 id, unsigned int fd_flags);

/* ---- region.c ---- */

/**
 * struct kvoff_block - one block of a region
 * @flags:	KVOFF_B_*; bit KVOFF_B_LOCK is the block lock: it serialises faults, writes and moves of this block
 *		and is taken before the folio lock
 * @frame:	where the bytes are, NULL while the block is empty or poisoned; changes under the block lock, and the
 *		old frame's folio lock where there is one
 * @twin:	a clean copy in another tier, NULL if none; see twin.c for who changes it
 * @tier:	the frame's tier, under the block lock
 * @twin_tier:	the twin's, under the block lock
 * @gen:	counts the frames the block has had, in framed regions its users; under the block lock; wraps
 * @slot:	framed regions: the frame's place in its window, under the block lock
 */
struct kvoff_block {
	unsigned long flags;
	struct folio *frame;
	struct folio *twin;
	u8 tier;
	u8 twin_tier;
	u16 gen;
	u32 slot;
};

#define KVOFF_B_LOCK	0	/* the block lock */
#define KVOFF_B_WRITTEN	1	/* a write came since the block was armed; under the block lock */
#define KVOFF_B_COPYING	2	/* a mover reads the frame; changed under the block lock, waited for by wait_on_bit() */
#define KVOFF_B_SAMPLED	3	/* unmapped by the sampler, nobody came back yet; atomic */
#define KVOFF_B_SEALED	4	/* the bytes do not change; under the block lock */
#define KVOFF_B_POISONED	5	/* lost to a memory error, without a frame; under the block lock */

/**
 * struct kvoff_chunk - block records of KVOFF_CHUNK_BLOCKS neighbours
 * @state:	their entries in the shared state array
 * @blocks:	the records: an allocation of their own, a power of two, of which nothing is lost to rounding up
 */
struct kvoff_chunk {
	struct kvoff_state *state;
	struct kvoff_block *blocks;
};

/**
 * struct kvoff_region - one tenant's blocks
 * @kobj:	/sys/class/kvoff/regions/<id>; its count is the lifetime of this structure, not of the memory
 * @rcu:	for its end
 * @id:		number; comes again after 2^31 regions at the earliest
 * @tenant:	whose node it was made through; pays for it, never changes
 * @index:	block size index
 * @nr_blocks:	span
 * @unit_size:	bytes, 0 if none was given
 * @label:	for people
 * @pid:	creator, or who opened it last when nobody was attached; under @account_lock
 * @uid:	creator
 * @shared:	arrays and address space
 * @chunks:	struct kvoff_chunk by number; entries are only added, until the region ends
 * @chunk_mutex: serialises adding to @chunks
 * @attachments: all attachments, under @attach_lock
 * @attach_lock: protects @attachments
 * @nr_attached: number of attachments; when it falls to zero the memory goes, or a named region rests
 * @account_lock: protects @committed, @used and @pid
 * @committed:	blocks that may be used
 * @used:	blocks that have a frame or are poisoned, never more than @committed
 * @tier_used:	blocks in each tier
 * @high:	one more than the highest block that ever had a frame
 * @poisoned:	blocks that are poisoned
 * @sample_next: where the sampler goes on; the sampler's own
 * @sealed:	sealed blocks
 * @units:	units by their first block, see seal.c
 * @unit_sem:	protects @units
 * @named:	NULL for a region that ends with its last attachment; never changes
 * @windows:	of a framed region, by tier; NULL for the mapped kind. Never changes
 * @window_mutex: serialises the growth of @windows
 */
struct kvoff_region {
	struct kobject kobj;
	struct rcu_head rcu;
	u32 id;
	struct kvoff_tenant *tenant;
	unsigned int index;
	u64 nr_blocks;
	u64 unit_size;
	char label[KVOFF_NAME_LEN];
	struct pid *pid;
	kuid_t uid;
	struct kvoff_shared *shared;
	struct xarray chunks;
	struct mutex chunk_mutex;
	struct list_head attachments;
	spinlock_t attach_lock;
	atomic_t nr_attached;
	spinlock_t account_lock;
	u64 committed;
	u64 used;
	atomic64_t tier_used[KVOFF_MAX_TIERS];
	atomic64_t high;
	atomic64_t poisoned;
	u64 sample_next;
	atomic64_t sealed;
	struct rb_root units;
	struct rw_semaphore unit_sem;
	struct kvoff_named *named;
	struct kvoff_window *windows;
	struct mutex window_mutex;
};

/**
 * struct kvoff_attach - an attachment: an open file of a region
 * @region:	which
 * @node:	in region->attachments
 * @refs:	pages of this attachment's reference array, by page number
 * @event:	told of moves, under region->attach_lock; NULL for nothing
 */
struct kvoff_attach {
	struct kvoff_region *region;
	struct list_head node;
	struct xarray refs;
	struct eventfd_ctx *event;
};

int kvoff_region_create(struct kvoff_tenant *tenant, struct kvoff_region_create *arg);
struct kvoff_region *kvoff_region_get(u32 id);
void kvoff_region_put(struct kvoff_region *region);
void kvoff_region_info(struct kvoff_region *region, struct kvoff_region_info *info);
u32 kvoff_region_list(u32 after, u32 *ids, u32 nr);
struct kvoff_region *kvoff_region_next(u32 *id);
void kvoff_region_free(struct kvoff_region *region);
void kvoff_region_detach(struct kvoff_region *region);
void kvoff_region_empty(struct kvoff_region *region, bool sealed);
void kvoff_region_uncommit_unused(struct kvoff_region *region);
void kvoff_region_adopt(struct kvoff_region *region);
pid_t kvoff_region_pid(struct kvoff_region *region);
void kvoff_region_end(struct kvoff_region *region);

static inline size_t kvoff_region_bs(const struct kvoff_region *region)
{
	return kvoff_size_of(region->index);
}

/* ---- attach.c ---- */
int kvoff_attach_fd(struct kvoff_region *region, unsigned int fd_flags, fmode_t have);
bool kvoff_region_referenced(struct kvoff_region *region, u64 block);

/* ---- block.c ---- */
struct kvoff_chunk *kvoff_chunk(struct kvoff_region *region, u64 block, bool create);
void kvoff_chunk_free(struct kvoff_chunk *chunk);
void kvoff_block_lock(struct kvoff_block *b);
bool kvoff_block_trylock(struct kvoff_block *b);
void kvoff_block_lock_idle(struct kvoff_block *b);
void kvoff_block_unlock(struct kvoff_block *b);
void kvoff_block_settled(struct kvoff_block *b);
void kvoff_block_reason(struct kvoff_chunk *chunk, u64 block, u16 reason);
void kvoff_block_publish(struct kvoff_chunk *chunk, u64 block, u32 extra);
void kvoff_block_unmap(struct kvoff_region *region, u64 block, u64 nr);
int kvoff_block_discard(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block);
void kvoff_block_teardown(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block);

static inline struct kvoff_block *kvoff_chunk_block(struct kvoff_chunk *chunk, u64 block)
{
	return &chunk->blocks[block % KVOFF_CHUNK_BLOCKS];
}

static inline struct kvoff_state *kvoff_chunk_state(struct kvoff_chunk *chunk, u64 block)
{
	return &chunk->state[block % KVOFF_CHUNK_BLOCKS];
}

/* ---- twin.c ---- */
struct folio *kvoff_twin_steal(struct kvoff_pool *pool);
void kvoff_twin_keep(struct kvoff_block *b, struct folio *folio, unsigned int index, u32 tier);
struct folio *kvoff_twin_take(struct kvoff_block *b, unsigned int index);
void kvoff_twin_drop(struct kvoff_block *b, unsigned int index);
void kvoff_twin_evict(struct kvoff_pool *pool, struct folio *folio);

/* ---- fault.c ---- */
void kvoff_region_raise_high(struct kvoff_region *region, u64 high);
extern const struct vm_operations_struct kvoff_data_vmops;

/* ---- map.c ---- */
vm_flags_t kvoff_map_flags(unsigned int order);
bool kvoff_map_block(struct vm_fault *vmf, struct folio *folio, bool write);

/* ---- batch.c ---- */
struct io_uring_cmd;
int kvoff_batch_ioctl(struct kvoff_ctl_move *arg, bool lease);
int kvoff_batch_uring(struct io_uring_cmd *cmd, unsigned int issue_flags, bool lease);
void kvoff_links_reset(u32 tier);
int kvoff_link_set(const struct kvoff_ctl_link *arg);
extern struct workqueue_struct *kvoff_workers;
int kvoff_batch_init(void);
void kvoff_batch_exit(void);

/* ---- sample.c ---- */
void kvoff_sample_set(unsigned int interval);

/* ---- call.c ---- */

/**
 * struct kvoff_call - one ioctl
 * @cmd:	its number
 * @size:	what this kernel knows of its structure
 * @min_size:	the structure's first version
 * @write:	needs a writable descriptor
 * @out_on_error: the structure is copied back not only on success
 * @makes_fd:	returns a new descriptor
 * @fn:		does it on a kernel copy of the structure
 */
struct kvoff_call {
	unsigned int cmd;
	u32 size;
	u32 min_size;
	bool write;
	bool out_on_error;
	bool makes_fd;
	long (*fn)(struct file *file, void *arg);
};

long kvoff_call(const struct kvoff_call *calls, size_t nr, struct file *file, unsigned int cmd, unsigned long arg);
int kvoff_copy_struct(void *to, size_t known, size_t min_size, u64 addr);
int kvoff_check_name(const char *name, bool may_be_empty);

/* ---- control.c ---- */
extern const struct file_operations kvoff_control_fops;
void kvoff_control_regions_changed(void);
pid_t kvoff_control_policy_pid(void);

/* ---- sysfs.c ---- */
extern const struct class kvoff_class;
extern struct kobject *kvoff_tiers_kobj;
extern struct kobject *kvoff_regions_kobj;
extern const struct kobj_type kvoff_tier_ktype;
extern const struct kobj_type kvoff_pool_ktype;
extern const struct kobj_type kvoff_region_ktype;
int kvoff_sysfs_init(dev_t devt);
void kvoff_sysfs_exit(void);
void kvoff_sysfs_policy_changed(void);

/* ---- tests only: delays that widen races, copies that fail; absent from a normal build ---- */
#ifdef KVOFF_TEST_HOOKS
extern unsigned int kvoff_hook_fault_ms, kvoff_hook_mkwrite_ms, kvoff_hook_copy_ms, kvoff_hook_flip_ms;
extern bool kvoff_hook_copy_bad;
void kvoff_hook_wait(const unsigned int *ms);
#define kvoff_hook(name)	kvoff_hook_wait(&kvoff_hook_##name##_ms)
#else
#define kvoff_hook(name)	no_printk(#name)
#endif

#endif /* KVOFF_H */
