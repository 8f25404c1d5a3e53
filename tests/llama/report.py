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
    kvoffd = load(directory, "kvoffd")
    if not kvoffd:
        sys.exit("llama: the run with kvoffd came to no end")
    failed = False
    print("\nThe KV cache is 64 MiB in four slots, 61.8 MiB of it in use; the fast tier holds 24 MiB.\n")
    print("share of a session's bytes in the fast tier, in percent, with kvoffd, at the end of each long visit")
    print(f"  the one that talks              {percent(kvoffd['active'])}")
    print(f"  the other three, on average     {percent(kvoffd['idle'])}")
    print(f"  three scans after one woke      {percent(kvoffd['woken'])}\n")
    print("read from CXL memory for a token of an answer")
    ours = kvoffd["far_bytes_a_token"]
    names = {
        "touch": "first touch",
        "interleave": "weighted interleave",
        "stress": "moving at random",
    }
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
    cost, base, saved = load(directory, "cost"), load(directory, "base"), load(directory, "saved")
    if cost and base:
        print("instructions while all four generate, in percent of the server's")
        server = cost["four"]["server_s"]
        print(f"  kvoffd                         {100 * cost['four']['kvoffd_s'] / server:6.2f}")
        print(f"  threads of the kernel          {100 * cost['four']['kernel_threads_s'] / server:6.2f}")
        plainly = base["four"]["kernel_threads_s"] / base["four"]["server_s"]
        print(f"    without kvoff                {100 * plainly:6.2f}\n")
    if saved:
        print("with the server's defaults, which save idle sessions: in the fast tier, in percent")
        print(f"  the session that talks          {percent(saved['active'])}")
        print(f"  saved prompts                   {percent(saved['saved'])}")
        back = sum(saved["back_ms"]) / len(saved["back_ms"])
        print(f"  coming back took {back:.0f} ms, computing the prompt anew {saved['computed_ms']:.0f} ms\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
