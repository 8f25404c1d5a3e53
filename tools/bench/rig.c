// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include "tests/kselftest/rig.h"
#include "tools/bench/bench.h"

int bench_rig_down(struct bench_out *out, struct rig *rig, int ret)
{
	const char *wrong = rig_down(rig);

	if (wrong)
		bench_note(out, "afterwards: %s", wrong);
	return ret ?: wrong ? -EIO : 0;
}
