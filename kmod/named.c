// SPDX-License-Identifier: GPL-2.0-only
/*
 * Named regions: they outlive their processes. Unlike any other region, one with a name does not end with its last
 * attachment but rests: sealed blocks keep their bytes, everything else is given back, and it waits to be opened
 * again, for its time to live or for its name to be taken away.
 *
 * named->mutex orders what ends a state: the last detach (which takes it with the count in one step, so that an open
 * under it never sees the count fall to zero), opening, expiry and removal. A region that is in the table of names can
 * be opened; once it is out of it, it ends with its last attachment, or at once if it rests. Both change under the
 * mutex only. A region that rests holds the module, a timer that is pending the region's structure.
 */
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/slab.h>

#include "compat.h"
#include "kvoff.h"
#include "named.h"
#include "tenant.h"

/* Timers do not reach farther than days: a longer wait is several. */
#define KVOFF_NAMED_STEP	(3600UL * HZ)

/**
 * struct kvoff_named - the name of a region, and its life without processes
 * @region:	whose; this is part of its structure's life
 * @node:	in kvoff_names while the region can be opened; under @mutex and kvoff_names_lock
 * @name:	never changes, as what follows up to @ttl_s
 * @ipc:	IPC namespace of the creator
 * @uid:	effective user of the creator
 * @gid:	effective group of the creator
 * @mode:	who may open it
 * @ttl_s:	seconds to wait, 0 for ever
 * @mutex:	see above; outside of unit_sem and block locks
 * @resting:	nobody is attached and the region waits; under @mutex
 * @until:	when a resting region ends, in 64-bit jiffies; 0 if never
 * @expire:	looks whether it is time
 */
struct kvoff_named {
	struct kvoff_region *region;
	struct hlist_node node;
	char name[KVOFF_NAME_LEN];
	u64 ipc;
	kuid_t uid;
	kgid_t gid;
	umode_t mode;
	u32 ttl_s;
	struct mutex mutex;
	bool resting;
	u64 until;
	struct delayed_work expire;
};

static DEFINE_HASHTABLE(kvoff_names, 8);
/* Protects kvoff_names and kvoff_tenant::named; innermost. */
static DEFINE_SPINLOCK(kvoff_names_lock);

static u32 kvoff_name_hash(const char *name, kuid_t uid)
{
	return jhash(name, strlen(name), __kuid_val(uid));
}

static struct kvoff_named *kvoff_name_find(struct kvoff_tenant *tenant, const char *name, kuid_t uid)
{
	u64 ipc = kvoff_ipc_namespace();
	struct kvoff_named *named;

	lockdep_assert_held(&kvoff_names_lock);
	hash_for_each_possible(kvoff_names, named, node, kvoff_name_hash(name, uid))
		if (named->region->tenant == tenant && named->ipc == ipc && uid_eq(named->uid, uid) &&
		    !strcmp(named->name, name))
			return named;
	return NULL;
}

/* Names are counted by tenant: they outlive whatever else bounds a process. */
static int kvoff_name_add(struct kvoff_named *named)
{
	struct kvoff_tenant *tenant = named->region->tenant;
	int ret = 0;

	spin_lock(&kvoff_names_lock);
	if (kvoff_name_find(tenant, named->name, named->uid)) {
		ret = -EEXIST;
	} else if (tenant->named == KVOFF_NAMED_MAX) {
		ret = -EUSERS;
	} else {
		tenant->named++;
		hash_add(kvoff_names, &named->node, kvoff_name_hash(named->name, named->uid));
	}
	spin_unlock(&kvoff_names_lock);
	return ret;
}

static void kvoff_name_del(struct kvoff_named *named)
{
	spin_lock(&kvoff_names_lock);
	hash_del(&named->node);
	named->region->tenant->named--;
	spin_unlock(&kvoff_names_lock);
}

static bool kvoff_has_name(const struct kvoff_named *named)
{
	return named && !hlist_unhashed_lockless(&named->node);
}

/* ---- rest ---- */

static void kvoff_named_expire(struct work_struct *work);

/*
 * Look at the time again when it may have come. Takes a reference to the region's structure with it, unless the timer
 * is pending already.
 */
static void kvoff_named_arm(struct kvoff_named *named)
{
	u64 left = named->until - get_jiffies_64();

	kobject_get(&named->region->kobj);
	if (!queue_delayed_work(kvoff_workers, &named->expire, min_t(u64, left, KVOFF_NAMED_STEP)))
		kvoff_region_put(named->region);
}

/* Nobody is attached any more. Called with the mutex held. */
static void kvoff_named_rest(struct kvoff_named *named)
{
	struct kvoff_region *region = named->region;

	lockdep_assert_held(&named->mutex);
	kvoff_region_empty(region, false);
	kvoff_region_uncommit_unused(region);
	/* data is lost if the module goes: only the admin may end the region */
	__module_get(THIS_MODULE);
	WRITE_ONCE(named->resting, true);
	WRITE_ONCE(named->until, named->ttl_s ? get_jiffies_64() + (u64)named->ttl_s * HZ : 0);
	if (named->ttl_s)
		kvoff_named_arm(named);
}

/* A resting region is opened, or ends; the module's reference is for the caller to drop. Called with the mutex held. */
static void kvoff_named_wake(struct kvoff_named *named)
{
	lockdep_assert_held(&named->mutex);
	WRITE_ONCE(named->resting, false);
	WRITE_ONCE(named->until, 0);
	/* one that has begun waits for the mutex, and finds nothing to do */
	if (cancel_delayed_work(&named->expire))
		kvoff_region_put(named->region);
}

static void kvoff_named_expire(struct work_struct *work)
{
	struct kvoff_named *named = container_of(to_delayed_work(work), struct kvoff_named, expire);
	struct kvoff_region *region = named->region;
	bool end = false;

	mutex_lock(&named->mutex);
	if (named->resting && named->until) {
		if (time_before64(get_jiffies_64(), named->until)) {
			kvoff_named_arm(named);
		} else {
			kvoff_named_wake(named);
			kvoff_name_del(named);
			end = true;
		}
	}
	mutex_unlock(&named->mutex);
	if (end) {
		kvoff_region_end(region);
		kvoff_count(KVOFF_NAMES_EXPIRED, 1);
	}
	kvoff_region_put(region);
	/* last of all: unloading waits for the workers, but for nothing else of this */
	if (end)
		module_put(THIS_MODULE);
}

/* An attachment is gone: the region's structure may go with it. */
void kvoff_named_detach(struct kvoff_region *region)
{
	struct kvoff_named *named = region->named;
	bool end;

	/* somebody else may be the last and end the region while this one unlocks */
	kobject_get(&region->kobj);
	if (atomic_dec_and_mutex_lock(&region->nr_attached, &named->mutex)) {
		end = !kvoff_has_name(named);
		if (!end)
			kvoff_named_rest(named);
		mutex_unlock(&named->mutex);
		if (end)
			kvoff_region_end(region);
	}
	kvoff_region_put(region);
}

/* ---- create ---- */

static int kvoff_named_check(const struct kvoff_region_create *arg)
{
	if (arg->flags & KVOFF_REGION_NAMED)
		return arg->mode & ~0666 ? -EINVAL : kvoff_check_name(arg->name, false);
	return arg->mode || arg->ttl_s || memchr_inv(arg->name, 0, sizeof(arg->name)) ? -EINVAL : 0;
}

/**
 * kvoff_named_begin - give a region that is being made its name, if it shall have one
 * @region:	not visible to anybody yet
 * @arg:	what its creator wants
 *
 * On success kvoff_named_begun() is to follow; until then whoever finds the region waits.
 */
int kvoff_named_begin(struct kvoff_region *region, const struct kvoff_region_create *arg)
{
	int ret = kvoff_named_check(arg);
	struct kvoff_named *named;

	if (ret || !(arg->flags & KVOFF_REGION_NAMED))
		return ret;
	named = kzalloc(sizeof(*named), GFP_KERNEL_ACCOUNT);
	if (!named)
		return -ENOMEM;
	named->region = region;
	strscpy(named->name, arg->name, sizeof(named->name));
	named->ipc = kvoff_ipc_namespace();
	named->uid = current_euid();
	named->gid = current_egid();
	named->mode = arg->mode ?: 0600;
	named->ttl_s = arg->ttl_s;
	mutex_init(&named->mutex);
	INIT_DELAYED_WORK(&named->expire, kvoff_named_expire);
	mutex_lock(&named->mutex);
	ret = kvoff_name_add(named);
	if (ret) {
		mutex_unlock(&named->mutex);
		kfree(named);
		return ret;
	}
	region->named = named;
	/* whom KVOFF_REGION_OPEN must name */
	region->uid = named->uid;
	return 0;
}

void kvoff_named_begun(struct kvoff_region *region, bool success)
{
	struct kvoff_named *named = region->named;

	if (!named)
		return;
	if (!success)
		kvoff_name_del(named);
	mutex_unlock(&named->mutex);
}

/* The region's structure ends. */
void kvoff_named_free(struct kvoff_region *region)
{
	kfree(region->named);
}

/* ---- open ---- */

/* As of a file of its creator's. */
static bool kvoff_named_may_open(const struct kvoff_named *named, bool write)
{
	umode_t mode = named->mode, want = write ? 06 : 04;

	if (uid_eq(current_euid(), named->uid))
		mode >>= 6;
	else if (in_egroup_p(named->gid))
		mode >>= 3;
	return (mode & want) == want || capable(CAP_DAC_OVERRIDE);
}

/* The region of this name, held and with its mutex locked. */
static struct kvoff_region *kvoff_named_get(struct kvoff_tenant *tenant, const char *name, kuid_t uid, bool write)
{
	struct kvoff_region *region;
	struct kvoff_named *named;
	int ret;

	for (;;) {
		spin_lock(&kvoff_names_lock);
		named = kvoff_name_find(tenant, name, uid);
		region = named ? named->region : NULL;
		/* what has a name has not ended */
		if (region)
			kobject_get(&region->kobj);
		spin_unlock(&kvoff_names_lock);
		if (!region)
			return ERR_PTR(-ENOENT);
		ret = -EACCES;
		if (!kvoff_named_may_open(named, write))
			break;
		ret = -EINTR;
		if (mutex_lock_killable(&named->mutex))
			break;
		if (kvoff_has_name(named))
			return region;
		/* it has lost its name meanwhile; there may be another */
		mutex_unlock(&named->mutex);
		kvoff_region_put(region);
	}
	kvoff_region_put(region);
	return ERR_PTR(ret);
}

/* Attach. Called with the mutex held: the last detach waits for it. */
static int kvoff_named_attach(struct kvoff_named *named, unsigned int fd_flags, fmode_t have)
{
	struct kvoff_region *region = named->region;
	int fd = kvoff_attach_fd(region, fd_flags, have);

	if (fd >= 0) {
		if (!named->resting)
			return fd;
		kvoff_named_wake(named);
		kvoff_region_adopt(region);
		/* the caller's own descriptors hold it */
		module_put(THIS_MODULE);
	} else if (!atomic_read(&region->nr_attached) && !named->resting) {
		/* the others left while this one was counted */
		kvoff_named_rest(named);
	}
	return fd;
}

int kvoff_region_open(struct kvoff_tenant *tenant, struct kvoff_region_open *arg, fmode_t have)
{
	bool write = (arg->fd_flags & O_ACCMODE) == O_RDWR;
	struct kvoff_region *region;
	kuid_t uid = current_euid();
	int ret;

	ret = kvoff_check_name(arg->name, false);
	if (ret)
		return ret;
	if (arg->flags || arg->reserved || arg->fd_flags & ~(O_CLOEXEC | O_ACCMODE) ||
	    (!write && (arg->fd_flags & O_ACCMODE) != O_RDONLY))
		return -EINVAL;
	if (arg->uid != KVOFF_UID_SELF)
		uid = make_kuid(current_user_ns(), arg->uid);
	if (!uid_valid(uid))
		return -ENOENT;
	region = kvoff_named_get(tenant, arg->name, uid, write);
	if (IS_ERR(region))
		return PTR_ERR(region);
	arg->id = region->id;
	ret = kvoff_named_attach(region->named, arg->fd_flags, have);
	mutex_unlock(&region->named->mutex);
	kvoff_region_put(region);
	return ret;
}

/* ---- remove ---- */

int kvoff_region_remove(struct kvoff_ctl_region_remove *arg)
{
	struct kvoff_region *region;
	struct kvoff_named *named;
	bool rested = false;
	int ret = -EINVAL;

	if (arg->flags)
		return -EINVAL;
	region = kvoff_region_get(arg->id);
	if (!region)
		return -ENOENT;
	named = region->named;
	if (!named)
		goto out_put;
	ret = -EINTR;
	if (mutex_lock_killable(&named->mutex))
		goto out_put;
	ret = -EINVAL;
	if (kvoff_has_name(named)) {
		ret = 0;
		kvoff_name_del(named);
		arg->nr_attached = atomic_read(&region->nr_attached);
		rested = named->resting;
		if (rested)
			kvoff_named_wake(named);
	}
	mutex_unlock(&named->mutex);
	if (rested) {
		kvoff_region_end(region);
		/* the caller's own descriptor holds it */
		module_put(THIS_MODULE);
	}
out_put:
	kvoff_region_put(region);
	return ret;
}

/* ---- looking ---- */

const char *kvoff_named_name(const struct kvoff_region *region)
{
	return kvoff_has_name(region->named) ? region->named->name : "";
}

umode_t kvoff_named_mode(const struct kvoff_region *region)
{
	return kvoff_has_name(region->named) ? region->named->mode : 0;
}

u32 kvoff_named_ttl(const struct kvoff_region *region)
{
	return kvoff_has_name(region->named) ? region->named->ttl_s : 0;
}

void kvoff_named_info(const struct kvoff_region *region, struct kvoff_region_info *info)
{
	if (!kvoff_has_name(region->named))
		return;
	info->flags |= KVOFF_REGION_NAMED;
	info->mode = region->named->mode;
	info->ttl_s = region->named->ttl_s;
	strscpy_pad(info->name, region->named->name, sizeof(info->name));
}

/* Seconds until a resting region ends, rounded up; -1 if it does not end by itself. */
s64 kvoff_named_left(const struct kvoff_region *region)
{
	const struct kvoff_named *named = region->named;
	u64 until = named ? READ_ONCE(named->until) : 0, now = get_jiffies_64();

	if (!until)
		return -1;
	return time_before64(now, until) ? DIV_ROUND_UP_ULL(until - now, HZ) : 0;
}
