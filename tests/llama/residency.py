# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the KV cache of a running llama-server is, seen from outside: in its kvoff region, or in ordinary memory."""

import ctypes
import os

import kvoff
import numpy as np

PIDFD_GETFD, MOVE_PAGES = 438, 279


def _region_of(pid):
    """A descriptor of the process's region, which is our own then."""
    libc = ctypes.CDLL(None, use_errno=True)
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            what = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        if what == "anon_inode:[kvoff-region]":
            process = os.pidfd_open(pid)
            ours = libc.syscall(PIDFD_GETFD, process, int(fd), 0)
            os.close(process)
            if ours >= 0:
                return ours
    raise RuntimeError(f"process {pid} has no region")


class Layout:
    """What lies where in the KV cache of llama.cpp with a stream of its own for each slot: for each layer all keys,
    then all values, each of them slot after slot, token after token."""

    def __init__(self, layers, row, tokens, slots):
        self.row, self.tokens, self.slots = row, tokens, slots
        self.tensors = 2 * layers
        self.part = row * tokens  # of one slot in one tensor
        self.bytes = self.tensors * slots * self.part

    def ranges(self, slot, tokens):
        """Offsets of what a slot has used after so many tokens."""
        for tensor in range(self.tensors):
            start = (tensor * self.slots + slot) * self.part
            yield start, start + tokens * self.row


class Cache:
    """The KV cache, cut into blocks; what has one says where they are."""

    def weight(self, slot, tokens):
        """Bytes of each block that a slot uses after so many tokens."""
        use = np.zeros(len(self.index), np.int64)
        for start, end in self.layout.ranges(slot, tokens):
            for b in range(start // self.block, (end - 1) // self.block + 1):
                use[b] += min(end, (b + 1) * self.block) - max(start, b * self.block)
        return use

    STEP = 64  # what the server aligns its buffers to

    def laid_out(self, memory, tokens):
        """Offsets in `memory` where a cache may begin: the last token that each slot has used has bytes that are not
        zero, what follows it has none."""
        used = memory[: len(memory) // self.STEP * self.STEP].view(np.uint64).reshape(-1, self.STEP // 8).any(axis=1)
        before = np.concatenate(([0], np.cumsum(used)))
        at = np.arange(max(len(used) - self.layout.bytes // self.STEP + 1, 0))
        for slot in range(self.layout.slots):
            for start, end in self.layout.ranges(slot, tokens):
                last, zeros, rest = (n // self.STEP for n in (end - self.layout.row, end, start + self.layout.part))
                here = (before[at + zeros] > before[at + last]) & (before[at + rest] == before[at + zeros])
                at = at[here]
        return at * self.STEP


class Residency(Cache):
    """Blocks of the KV cache in a region; it is the first thing in there of its size."""

    def __init__(self, pid, layout):
        fd = _region_of(pid)
        self.region = kvoff.attach(fd, readonly=True)
        os.close(fd)
        self.block = self.region.block_size
        self.layout = layout
        self.first = self._find(layout.bytes // self.block)
        self.index = np.arange(self.first, self.first + -(-layout.bytes // self.block), dtype=np.uint64)

    def _find(self, wanted):
        """The first run of so many blocks that have memory: the server has cleared the cache."""
        most = 1 << 15
        tier = np.asarray(self.region.query(np.arange(most, dtype=np.uint64)))["tier"]
        run = 0
        for i in range(most):
            run = run + 1 if tier[i] >= 0 else 0
            if run >= wanted:
                return i + 1 - run
        raise RuntimeError(f"no {wanted} blocks of {self.block} bytes with memory in the region")

    def tiers(self):
        """The tier of each block."""
        return np.asarray(self.region.query(self.index))["tier"].copy()

    def check_layout(self, tokens):
        """The cache is where it is thought to be, so many tokens of each slot used. Reads, so it counts as a use: no more
        than it takes."""
        region = self.region.memory(int(self.first) * self.block, self.layout.bytes).numpy(np.uint8)
        memory = np.zeros(self.layout.bytes, np.uint8)
        for slot in range(self.layout.slots):
            for start, end in self.layout.ranges(slot, tokens):
                part = slice(end - self.layout.row, start + self.layout.part)
                memory[part] = region[part]
        return len(self.laid_out(memory, tokens)) == 1

    def close(self):
        self.region.close()


class Unified(Residency):
    """A cache that all slots share, and beside it, in the same region, prompts that the server has saved."""

    MOST = 1 << 14

    def __init__(self, pid, layout):
        super().__init__(pid, layout)
        self.all = np.arange(self.MOST, dtype=np.uint64)
        self.rows = np.zeros_like(self._rows())
        self.mine, self.known = np.zeros(len(self.rows), bool), {}
        self.base = self._all() >= 0

    def _all(self):
        return np.asarray(self.region.query(self.all))["tier"].copy()

    def _rows(self):
        """Something of each token's keys in the first layer. Reads, so it counts as a use."""
        memory = self.region.memory(int(self.first) * self.block, self.layout.part).numpy(np.uint64)
        return memory.reshape(self.layout.tokens, -1)[:, :16].copy()

    def learn(self, session):
        """What was written since the last time is this session's: known by its content wherever the server puts it."""
        rows = self._rows()
        self.known[session] = {r.tobytes() for r in rows[(rows != self.rows).any(axis=1)]}
        self.rows = rows

    def look_for(self, session):
        """From now on this session is the one that talks. How many tokens of it are in the cache."""
        self.mine = np.array([r.tobytes() in self.known[session] for r in self._rows()])
        return int(self.mine.sum())

    def base_is_now(self):
        """What has memory now is not a saved prompt."""
        self.base = self._all() >= 0

    def active(self):
        """Tiers of the blocks that the session that talks uses."""
        use = np.zeros(len(self.index), bool)
        for tensor in range(self.layout.tensors):
            for row in np.flatnonzero(self.mine):
                use[(tensor * self.layout.part + row * self.layout.row) // self.block] = True
        return self.tiers()[use]

    def saved(self):
        """Tiers of the blocks of saved prompts."""
        tier = self._all()
        return tier[(tier >= 0) & ~self.base]


class Pages(Cache):
    """Pages of the KV cache in ordinary memory: the largest anonymous mapping has it."""

    block = 4096

    def __init__(self, pid, layout):
        self.pid, self.layout = pid, layout
        with open(f"/proc/{pid}/maps") as f:
            maps = [line.split() for line in f]
        anonymous = [[int(a, 16) for a in m[0].split("-")] for m in maps if len(m) == 5 and m[1].startswith("rw-p")]
        self.start, self.end = max(anonymous, key=lambda m: m[1] - m[0])
        self._begins(self.start)
        self.move_pages = ctypes.CDLL(None, use_errno=True).syscall

    def tiers(self):
        """0 for each page on node 0, 1 for others; -1 for those that have no memory."""
        status = np.zeros(len(self.index), np.int32)
        ret = self.move_pages(
            MOVE_PAGES, self.pid, ctypes.c_ulong(len(self.index)), self.index.ctypes.data_as(ctypes.c_void_p), None,
            status.ctypes.data_as(ctypes.c_void_p), 0
        )
        if ret:
            raise OSError(ctypes.get_errno(), "move_pages")
        return np.where(status < 0, -1, status > 0)

    def _begins(self, address):
        """The cache does, somewhere in this page."""
        self.index = np.arange(address, address + self.layout.bytes, self.block, dtype=np.uint64)

    def check_layout(self, tokens):
        """Look for it: the mapping may have other memory, too."""
        with open(f"/proc/{self.pid}/mem", "rb") as f:
            f.seek(self.start)
            memory = np.frombuffer(f.read(self.end - self.start), np.uint8)
        at = self.laid_out(memory, tokens)
        if len(at) == 1:
            self._begins(self.start + int(at[0]) // self.block * self.block)
        return len(at) == 1

    def close(self):
        pass
