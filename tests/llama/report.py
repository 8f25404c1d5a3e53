# SPDX-License-Identifier: GPL-2.0-or-later
"""What the ways to run the server came to, side by side. usage: report.py DIRECTORY"""

import json
import os
import sys

from sessions import USED

MIB = 1 << 20
SESSION = USED * 65536  # bytes that a token of a full session reads


def load(directory, mode):
    path = os.path.join(directory, f"{mode}.json")
    if not os.path.exists(path):
        return {}
    with open(path) as f:
        return json.load(f)


def percent(shares):
    return " ".join(f"{100 * s:.0f}" for s in shares)


def read_from_cxl(directory, kvoffd):
    """Who moves blocks takes some seconds to see who talks, be the machine fast or slow. Had it computed as fast as the
    one with kvoffd did, the same seconds would have been another part of all that was read: where a try's machine had
    less of the host, what it reads for a token is too little, and the other way round. So that is what is compared."""

    def at_pace(one):
        # of a visit that is shorter then, no more than all of it
        pairs = list(zip(one["visits"], kvoffd["visits"]))
        return sum(min(v[2], SESSION * ours[1]) for v, ours in pairs) / sum(ours[1] for _, ours in pairs)

    tries = [file[:-5] for file in sorted(os.listdir(directory)) if file.startswith("numa") and file.endswith(".json")]
    # what counts of NUMA balancing is the try that reads least
    best = min(tries, key=lambda t: at_pace(load(directory, t)), default=None)
    names = {"touch": "first touch", "interleave": "weighted interleave", **{t: f"NUMA balancing, {t}" for t in tries}}
    names |= {"stress": "moving at random", "kvoffd": "kvoffd"}
    print("for a token of an answer      read from CXL memory  at kvoffd's pace  visits took  the cache's DRAM")
    verdicts = []
    for mode, name in names.items():
        one = load(directory, mode)
        if not one:
            continue
        read = one["far_bytes_a_token"]
        moves = mode in (*tries, "kvoffd")
        pace = f"{at_pace(one) / MIB:6.2f} MiB" if moves else ""
        seconds = sum(v[1] for v in one["visits"])
        print(f"  {name:32s} {read / MIB:6.2f} MiB {pace:>17s} {seconds:10.0f} s {one['fast_bytes'] / MIB:13.1f} MiB")
        if mode in ("touch", "interleave", best):
            ok = at_pace(kvoffd) <= (at_pace(one) if moves else read) / 2
            verdicts.append(f"{'' if ok else 'not '}ok 1 kvoffd: at most half of what {name} reads")
    print("", *verdicts, "", sep="\n")
    return any(v.startswith("not") for v in verdicts)


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
    failed |= read_from_cxl(directory, kvoffd)
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
