# SPDX-License-Identifier: GPL-2.0-or-later
"""The README's code is that of files which tests run: each block is lines of the file that was named last before it.

Native.
"""

import pathlib
import re

from ktap import check, run, test

TOP = pathlib.Path(__file__).resolve().parents[2]
# what a server author is shown, and tests run as it is
PROGRAMS = {
    "libkvoff/example.c",
    "libkvoff/examples/mapped.c",
    "libkvoff/examples/pool.c",
    "libkvoff/python/example.py",
}


def section():
    text = (TOP / "README.md").read_text()
    return re.search(r"^## How a server uses it\n(.*?)^## ", text, re.M | re.S).group(1)


def blocks():
    """(file, code)"""
    before = 0
    for block in re.finditer(r"^```(?:c|python)\n(.*?)^```$", section(), re.M | re.S):
        names = re.findall(r"`([\w/]+\.(?:c|py))`", section()[before : block.start()])
        before = block.end()
        yield names[-1] if names else None, block.group(1)


@test("each block of code in the README is lines of the file that it is named after")
def verbatim():
    found = list(blocks())
    check(len(found) >= 3, f"only {len(found)} blocks were found")
    for name, code in found:
        check(name in PROGRAMS, f"a block that begins with {code.splitlines()[0]!r} is from {name}")
        text = (TOP / name).read_text()
        check(f"\n{code}" in f"\n{text}", f"the block from {name} is not in it as it stands: {code[:200]}")


@test("the first one is a whole program, and short")
def whole():
    name, code = next(blocks())
    check(name == "libkvoff/example.c" and code == (TOP / name).read_text(), f"{name} is not shown as it is")
    check(len(code.splitlines()) < 40, f"{len(code.splitlines())} lines")


@test("and every example is shown or named there")
def complete():
    missing = [name for name in PROGRAMS if f"`{name}`" not in section()]
    check(not missing, f"not named: {missing}")
    files = {str(p.relative_to(TOP)) for p in (TOP / "libkvoff/examples").iterdir()}
    check(files <= PROGRAMS, f"examples that are not: {files - PROGRAMS}")


if __name__ == "__main__":
    run()
