# SPDX-License-Identifier: GPL-2.0-or-later
"""Several processes and threads with one region."""

import errno
import multiprocessing
import os
import socket
import threading
import traceback

import kvoff
import numpy as np
from ktap import check, raises, test
from world import BS, NR, mapped


def same_bytes(fd, offset, want):
    """In another process: a read-only and a writing attachment see what is there."""
    try:
        with kvoff.attach(fd, readonly=True) as region:
            there = region.memory(offset, BS).numpy()
            assert there[0] == want and not there.flags.writeable
            assert region.query([0])[0].tier >= 0
            raises(kvoff.Error, region.touch, [0], errno=errno.EACCES)
        with kvoff.attach(fd) as region:
            raises(kvoff.Error, region.alloc, BS, errno=errno.EPERM)
            region.touch([0])
            region.memory(offset, BS).numpy()[1] = want + 1
            assert region.stats().nr_attached >= 2
        return 0
    except BaseException:
        traceback.print_exc()
        return 1


def child(call, *args):
    """Its exit status in a forked child."""
    pid = os.fork()
    if pid == 0:
        os._exit(call(*args))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@test("a forked child is told so, and attaches by the descriptor")
def forked():
    region = mapped()
    a = region.alloc(BS)
    a.numpy()[:] = 3

    def in_child():
        raises(ValueError, region.touch, [0], says="forked")
        raises(ValueError, a.view, says="forked")
        return same_bytes(region.fileno(), 0, 3)

    check(child(in_child) == 0)
    check(a.numpy()[1] == 4 and region.stats().nr_allocated == 1)
    region.close()


@test("descriptors go over sockets")
def passed():
    here, there = socket.socketpair()
    with mapped() as region, here, there:
        a = region.alloc(BS)
        a.numpy()[:] = 9

        def in_child():
            _, fds, _, _ = socket.recv_fds(there, 1, 1)
            return same_bytes(fds[0], region_offset, 9)

        region_offset = region.offset(a)
        socket.send_fds(here, [b"x"], [region.fileno()])
        check(child(in_child) == 0 and a.numpy()[1] == 10)


def worker(region, offset, pipe):
    with region:
        there = region.memory(offset, BS).numpy()
        pipe.send((int(there[0]), region.stats().region_id))


@test("a region is an argument of a process that multiprocessing spawns")
def spawned():
    context = multiprocessing.get_context("spawn")
    with mapped() as region:
        a = region.alloc(BS)
        a.numpy()[:] = 21
        here, there = context.Pipe()
        process = context.Process(target=worker, args=(region, region.offset(a), there))
        process.start()
        check(here.poll(600), "no answer")
        check(here.recv() == (21, region.stats().region_id))
        process.join()
        check(process.exitcode == 0)


@test("threads share a region; each sees its own errors")
def threads():
    wrong = []
    with mapped() as region:
        ids = np.arange(NR, dtype="u8")
        a = region.alloc(NR * BS)

        def work(n):
            try:
                for i in range(50):
                    with region.acquire(ids), region.alloc(BS // (n + 1)):
                        region.touch(ids)
                    raises(kvoff.Error, region.alloc, BS, alignment=3 + n, errno=errno.EINVAL, says=str(3 + n))
                    raises(kvoff.Error, region.touch, [1 << 50 | i], errno=errno.ERANGE)
            except Exception as e:
                wrong.append(e)

        some = [threading.Thread(target=work, args=(2 * n,)) for n in range(4)]
        for t in some:
            t.start()
        for t in some:
            t.join()
        check(not wrong, f"{wrong}")
        check(not any(b.acquired for b in region.query(ids)) and a.free() and region.stats().nr_allocated == 0)
