# SPDX-License-Identifier: GPL-2.0-or-later
"""What the ways to run the server came to, side by side. usage: report.py DIRECTORY"""

import json
import os
import sys

MIB = 1 << 20


def load(directory, mode):
    path = os.path.join(directory, f"{mode}.json")
    if not os.path.exists(path):
        return {}
    with open(path) as f:
        return json.load(f)


def percent(shares):
    return " ".join(f"{100 * s:.0f}" for s in shares)


def main():
    directory = sys.argv[1]
    kvoffd, plain = load(directory, "kvoffd"), load(directory, "plain")
    if not kvoffd or not plain:
        sys.exit("llama: the runs without kvoff and with kvoffd are needed, and one of them came to no end")
    failed = False
    print("\nThe KV cache is 64 MiB in four slots, 61.8 MiB of it in use; the fast tier holds 24 MiB.\n")
    print("share of a session's bytes in the fast tier, in percent, with kvoffd, at the end of each long visit")
    print(f"  the one that talks              {percent(kvoffd['active'])}")
    print(f"  the other three, on average     {percent(kvoffd['idle'])}")
    print(f"  three scans after one woke      {percent(kvoffd['woken'])}\n")
    print("read from CXL memory for a token of an answer")
    ours = kvoffd["far_bytes_a_token"]
    names = {"touch": "first touch", "interleave": "weighted interleave", "balancing": "NUMA balancing", "stress": "moving at random"}
    for mode, name in names.items():
        other = load(directory, mode).get("far_bytes_a_token")
        if other:
            print(f"  {name:30s} {other / MIB:6.2f} MiB")
            if mode != "stress":
                ok = ours <= other / 2
                failed |= not ok
                if not ok:
                    print(f"not ok 1 at most half of what {name} reads")
    print(f"  {'kvoffd':30s} {ours / MIB:6.2f} MiB\n")
    four, base = kvoffd["four"], plain["four"]
    server = four["server_s"]
    print("time on a processor while all four generate, of the server's")
    print(f"  kvoffd                         {100 * four['kvoffd_s'] / server:6.2f} %")
    print(f"  threads of the kernel          {100 * four['kernel_threads_s'] / server:6.2f} %")
    print(f"    in ordinary memory           {100 * base['kernel_threads_s'] / base['server_s']:6.2f} %\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
