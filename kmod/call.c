// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way into every ioctl: structures that may be shorter or longer than this kernel's, and names.
 */
#include <linux/ctype.h>
#include <linux/uaccess.h>

#include "kvoff.h"

/* No structure of the interface is larger. */
#define KVOFF_CALL_MAX	512

/**
 * kvoff_copy_struct - read a structure that begins with its size
 * @to:		where to, zeroed beyond what the caller gave
 * @known:	its size here
 * @min_size:	its first version's
 * @addr:	where from; the size is read once
 */
int kvoff_copy_struct(void *to, size_t known, size_t min_size, u64 addr)
{
	void __user *from = u64_to_user_ptr(addr);
	u32 size;
	int ret;

	if (get_user(size, (u32 __user *)from))
		return -EFAULT;
	if (size < min_size)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(to, known, from, size);
	if (ret)
		return ret;
	/* user space may have changed it between the two reads */
	*(u32 *)to = size;
	return 0;
}

/**
 * kvoff_call - run an ioctl
 * @calls:	what this kind of descriptor knows
 * @nr:		how many
 * @file:	the descriptor
 * @cmd:	which call
 * @arg:	user address of its structure
 */
long kvoff_call(const struct kvoff_call *calls, size_t nr, struct file *file, unsigned int cmd, unsigned long arg)
{
	u64 buf[KVOFF_CALL_MAX / sizeof(u64)];
	const struct kvoff_call *call;
	size_t size;
	long ret;

	for (call = calls; call < calls + nr; call++)
		if (call->cmd == cmd)
			break;
	if (call == calls + nr)
		return -ENOTTY;
	if (WARN_ON_ONCE(call->size > sizeof(buf)))
		return -EIO;
	if (call->write && !(file->f_mode & FMODE_WRITE))
		return -EACCES;
	ret = kvoff_copy_struct(buf, call->size, call->min_size, arg);
	if (ret)
		return ret;
	size = min_t(size_t, *(u32 *)buf, call->size);
	/* a descriptor that has been made cannot be taken back: see first that its number can be told */
	if (call->makes_fd && copy_to_user((void __user *)arg, buf, size))
		return -EFAULT;
	ret = call->fn(file, buf);
	if (ret < 0 && !call->out_on_error)
		return ret;
	if (copy_to_user((void __user *)arg, buf, size) && ret >= 0 && !call->makes_fd)
		return -EFAULT;
	return ret;
}

/* A name as kvoff.h documents it: zero-terminated, of letters, digits, '-', '_' and '.', not beginning with '.'. */
int kvoff_check_name(const char *name, bool may_be_empty)
{
	size_t len = strnlen(name, KVOFF_NAME_LEN), i;

	if (len == KVOFF_NAME_LEN || (!len && !may_be_empty) || name[0] == '.')
		return -EINVAL;
	for (i = 0; i < len; i++)
		if (!isascii(name[i]) || (!isalnum(name[i]) && !strchr("-_.", name[i])))
			return -EINVAL;
	return 0;
}
