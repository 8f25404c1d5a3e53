# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy's side of the module for tests in Python: tiers, moves, memory errors. kmod/uapi/kvoff.h in ctypes."""

import ctypes
import fcntl
import os
import struct

KIB, MIB = 1 << 10, 1 << 20
SYSFS = "/sys/class/kvoff"


def _iowr(nr, size):
    return 3 << 30 | size << 16 | ord("K") << 8 | nr


class Tier(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("name", ctypes.c_char * 32)] + [
        ("node", ctypes.c_int32),
        ("rank", ctypes.c_uint32),
        ("capacity", ctypes.c_uint64),
        ("latency_ns", ctypes.c_uint32),
        ("bandwidth_mbps", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


class Pool(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("tier", ctypes.c_char * 32)] + [
        ("block_size", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("bytes", ctypes.c_uint64),
        ("filled", ctypes.c_uint64),
    ]


def far_node():
    with open("/sys/devices/system/node/has_memory") as f:
        return int(f.read().strip().replace("-", ",").split(",")[-1])


def figure(path):
    with open(f"{SYSFS}/{path}") as f:
        return int(f.read().split()[0])


def tiers():
    """Numbers of the tiers, the fastest first."""
    names = [n for n in os.listdir(f"{SYSFS}/tiers") if os.path.exists(f"{SYSFS}/tiers/{n}/rank")]
    return [figure(f"tiers/{n}/id") for n in sorted(names, key=lambda n: figure(f"tiers/{n}/rank"))]


class Control:
    """Holds the lease until it is closed, and whatever tiers it made."""

    def __init__(self):
        self.fd = os.open("/dev/kvoff/control", os.O_RDWR | os.O_CLOEXEC)
        self.made = []
        self._call(0x40, struct.pack("=II", 8, 0))

    def _call(self, nr, arg):
        raw = bytearray(arg)
        fcntl.ioctl(self.fd, _iowr(nr, len(raw)), raw)
        return raw

    def add_tiers(self, block_size, nbytes):
        """ "dram" and "cxl0", of nbytes each; their numbers."""
        ids = []
        for rank, (name, node) in enumerate((("dram", 0), ("cxl0", far_node()))):
            tier = Tier(ctypes.sizeof(Tier), 0, name.encode(), node, rank, -(-nbytes // (2 * MIB)) * 2 * MIB)
            ids.append(Tier.from_buffer_copy(self._call(0x41, tier)).id)
            self.made.append(name)
            self._call(0x44, Pool(ctypes.sizeof(Pool), 1, name.encode(), block_size, 0, nbytes))
        return ids

    def move(self, moves):
        """(region, block, tier) each; what became of each, 0 or a negative error number."""
        descs, results = bytearray(), bytearray(8 * len(moves))
        for region, block, to in moves:
            descs += struct.pack("=IHHQH6x", region, to, 0, block, 0)
        at = [ctypes.addressof((ctypes.c_char * len(b)).from_buffer(b)) for b in (descs, results)]
        self._call(0x48, struct.pack("=IIIIQQ", 32, 0, len(moves), 0, *at))
        return [error for error, _from, _reserved in struct.iter_unpack("=iHH", results)]

    def poison(self, address, nbytes):
        """A device says that these bytes of physical memory are bad."""
        self._call(0x4D, struct.pack("=IIQQII", 32, 0, address, nbytes, 0, 0))

    def forget(self, region):
        """Take a region's name away, if it is still there."""
        try:
            self._call(0x4E, struct.pack("=IIII", 16, 0, region, 0))
        except OSError:
            pass

    def close(self):
        for name in self.made:
            self._call(0x43, Tier(ctypes.sizeof(Tier), 0, name.encode()))
        os.close(self.fd)


def physical(address):
    """Where in physical memory the page is that is mapped at an address."""
    with open("/proc/self/pagemap", "rb") as f:
        f.seek(address // 4096 * 8)
        entry = int.from_bytes(f.read(8), "little")
    return (entry & ((1 << 55) - 1)) * 4096 + address % 4096 if entry >> 63 else None
