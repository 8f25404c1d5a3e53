# SPDX-License-Identifier: GPL-2.0-or-later
"""libkvoff from Python: every function.

Without the module (LIBKVOFF_FALLBACK=1) what needs it is skipped. With it, as root, each test has two tiers of its own
and moves blocks between them.
"""

# each brings its tests
import arguments  # noqa: F401
import blocks  # noqa: F401
import sharing  # noqa: F401
import views  # noqa: F401
import world
from ktap import check, run, test


@test("every function of the library was called")
def all_called():
    never = [name for name, n in world.calls.items() if not n]
    check(not never, f"never: {never}")


if __name__ == "__main__":
    world.count_calls()
    run(world.world)
