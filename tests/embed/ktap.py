# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests as KTAP: decorate functions with @test("name"), then run(). One that raises has failed, Skip skips it."""

import sys
import time
import traceback

# a machine that shares its processors may not run us for long
PATIENCE_S = 120

_tests = []


class Skip(Exception):
    pass


def test(name):
    def add(function):
        _tests.append((name, function))
        return function

    return add


def check(holds, what="it does not hold"):
    if not holds:
        raise AssertionError(what)


def raises(kind, call, *args, errno=None, says="", **kwargs):
    """The exception, of this kind, with this error number and these words."""
    try:
        call(*args, **kwargs)
    except kind as e:
        check(errno is None or e.errno == errno, f"errno {getattr(e, 'errno', None)}, wanted {errno}: {e}")
        check(says in str(e), f"says {e}, wanted {says}")
        return e
    raise AssertionError(f"{kind.__name__} was not raised")


def wait_for(holds, what):
    # looks are counted, not seconds: the machine may stand still meanwhile
    for _ in range(PATIENCE_S * 100):
        if holds():
            return
        time.sleep(0.01)
    check(False, f"waited {PATIENCE_S} s for {what}")


def run(around=None):
    """Runs them all, each inside around() if that is given; ends the process."""
    failed = 0
    print(f"KTAP version 1\n1..{len(_tests)}", flush=True)
    for n, (name, function) in enumerate(_tests, 1):
        try:
            if around:
                with around():
                    function()
            else:
                function()
            print(f"ok {n} {name}", flush=True)
        except Skip as why:
            print(f"ok {n} {name} # SKIP {why}", flush=True)
        except Exception:
            failed += 1
            for line in traceback.format_exc().splitlines():
                print("#", line)
            print(f"not ok {n} {name}", flush=True)
    sys.exit(failed > 0)
