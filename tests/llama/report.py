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
    print("read from CXL memory for a token of an answer; of the cache in DRAM meanwhile, on average")
    tries = [file[:-5] for file in sorted(os.listdir(directory)) if file.startswith("numa") and file.endswith(".json")]
    # what counts of NUMA balancing is the try that reads least
    best = min(tries, key=lambda t: load(directory, t)["far_bytes_a_token"], default=None)
    ours = kvoffd["far_bytes_a_token"]
    names = {"touch": "first touch", "interleave": "weighted interleave", **{t: f"NUMA balancing ({t})" for t in tries}}
    verdicts = []
    for mode, name in (names | {"stress": "moving at random", "kvoffd": "kvoffd"}).items():
        other = load(directory, mode)
        if other:
            print(f"  {name:30s} {other['far_bytes_a_token'] / MIB:6.2f} MiB {other['fast_bytes'] / MIB:6.1f} MiB")
        if other and mode in ("touch", "interleave", best):
            ok = ours <= other["far_bytes_a_token"] / 2
            failed |= not ok
            verdicts.append(f"{'' if ok else 'not '}ok 1 kvoffd: at most half of what {name} reads")
    print("", *verdicts, "", sep="\n")
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
