# SPDX-License-Identifier: GPL-2.0-or-later
"""llama-server with its KV cache in kvoff, in the emulated machine: the same requests in one mode after another.

usage: guest MODEL OUT MODE...

  plain    ordinary memory, no kvoff-run
  touch    under kvoff-run, without kvoffd: blocks stay where first touch put them
  kvoffd   under kvoff-run, with kvoffd
  interleave  ordinary memory on both nodes in proportion (weighted interleave), as much in DRAM as the fast tier has
  numa-eager  ordinary memory on both nodes, which NUMA balancing and demotion move; numa.py has further tries
  stress   under kvoff-run, while blocks move to anywhere at random
  trouble  with kvoffd, which is killed and started again, and the CXL tier is drained, while the server answers
  base     plain, and only what it takes to see the time on a processor while all four generate
  cost     kvoffd, and only that
  saved    with kvoffd, and the server's defaults: one cache for all slots, idle sessions saved to a prompt cache

KTAP on standard output; OUT gets MODE.answers, MODE.json and MODE.csv (where the blocks are over time).
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numa
from residency import Layout, Pages, Residency, Unified
from server import ROOT, Server, cpu_ns, kernel_threads_ns, say
from sessions import FILL, SESSIONS, TALK, USED, Sessions, Watch

SRC = "/src"
BIN = f"{SRC}/build/trixie/bin"
CTL = f"{BIN}/kvoffctl"
SYSFS = "/sys/class/kvoff"

LAYERS, ROW, CONTEXT = 4, 32 * 128 * 2, 256
LAYOUT = Layout(LAYERS, ROW, CONTEXT, SESSIONS)
# 37.5 % of the cache: capacities are multiples of 2 MiB, and 40 % would be between two of them
FAST_MIB = 24
FAST, CXL, ALL = f"{FAST_MIB}M", "128M", "256M"
WEIGHTS = 3, 5  # of DRAM and CXL, for the same share
OPTIONS = f"-c {CONTEXT * SESSIONS} -np {SESSIONS} --no-kv-unified --cache-ram 0 -ctk bf16 -ctv bf16 -fa on".split()
# of these only the context's length and type are not the server's own
DEFAULTS = f"-c {CONTEXT * SESSIONS} -ctk bf16 -ctv bf16".split()
UNDER = [f"{BIN}/kvoff-run", "--min-size", "4M", "--"]
SCAN_S = 1.5
# kvoffd.conf; see README.md for why
CONF = """\
[daemon]
interval_ms = 500
[policy]
free_low = 4%
free_high = 20%
residence_ms = 500
[discover]
tiers = no
[links]
budget = 0
"""

results = {"n": 0, "failed": 0}


def result(ok, name, why=""):
    results["n"] += 1
    results["failed"] += not ok
    if not ok and why:
        say(why)
    print(f"{'' if ok else 'not '}ok {results['n']} {name}", flush=True)


def figure(path):
    with open(f"{SYSFS}/{path}") as f:
        return int(f.read().split()[0])


def set_figure(path, value):
    with open(f"{SYSFS}/{path}", "w") as f:
        f.write(str(value))


def ctl(*what):
    return subprocess.run([CTL, *what], check=True, capture_output=True, text=True, timeout=600).stdout


def wait_for(holds, what):
    end = time.monotonic() + 120
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"waited 120 s for {what}")
        time.sleep(0.1)


class Daemon:
    def __init__(self, log, conf=CONF):
        with open("/tmp/kvoffd.conf", "w") as f:
            f.write(conf)
        with open(log, "ab") as f:
            self.process = subprocess.Popen([f"{BIN}/kvoffd", "--config", "/tmp/kvoffd.conf"], stdout=f, stderr=f)
        wait_for(lambda: figure("control/policy_pid") == self.process.pid, "kvoffd to have the lease")

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait()


def mover(log):
    process = subprocess.Popen([f"{SRC}/tests/embed/python", f"{SRC}/tests/embed/mover.py"], stdout=log, stderr=log)
    wait_for(lambda: figure("control/policy_pid") == process.pid, "the mover to have the lease")
    return process


def far_node():
    with open("/sys/devices/system/node/has_memory") as f:
        return f.read().strip().replace("-", ",").split(",")[-1]


@contextlib.contextmanager
def tiers():
    far = far_node()
    ctl("tier", "add", "fast", "--node", "0", "--rank", "0", "--capacity", FAST)
    ctl("tier", "add", "cxl0", "--node", far, "--rank", "1", "--capacity", CXL)
    set_figure("tuning/sample_interval_ms", int(SCAN_S * 1000))
    set_figure("tuning/sample_percent", 100)
    yield
    wait_for(lambda: not any(figure(f"tiers/{t}/used_bytes") for t in ("fast", "cxl0")), "the tiers to be empty")
    for t in ("cxl0", "fast"):
        ctl("tier", "remove", t)


class Visits:
    """Talks as TALK has it, and notes where blocks are when they must have come."""

    def __init__(self, sessions, watch):
        self.sessions, self.watch = sessions, watch
        self.woken, self.active, self.idle = [], [], []

    def visit(self, session, questions):
        start, noted = time.monotonic(), self.watch is None
        for _ in range(questions):
            self.sessions.ask(session)
            if not noted and time.monotonic() - start >= 3 * SCAN_S:
                self.woken.append(self.watch.shares()[0][session])
                noted = True
        if self.watch:
            shares = self.watch.shares()[0]
            seconds = time.monotonic() - start
            say(f"session {session}, {questions} questions in {seconds:.1f} s: in the fast tier", shares)
            # who was there for a short time only was away for a short time only
            if time.monotonic() - start >= 3 * SCAN_S:
                self.active.append(shares.pop(session))
                self.idle.append(sum(shares) / len(shares))

    def all(self):
        for session, questions in TALK:
            self.visit(session, questions)


def four_at_once(server, sessions, daemon):
    """All sessions generate: seconds on a processor of the server, of kvoffd, and of the kernel's threads."""

    def now():
        ours = cpu_ns(daemon.process.pid) if daemon else 0
        return [cpu_ns(server.pid), ours, kernel_threads_ns(), figure("stats/moves") * 1e9]

    # answers depend on which requests the server happens to compute together
    kept, asked = list(sessions.answers), list(sessions.asked)
    before = now()
    threads = [threading.Thread(target=sessions.visit, args=(s, 6)) for s in range(SESSIONS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    spent = [(b - a) / 1e9 for a, b in zip(before, now())]
    sessions.answers, sessions.asked = kept, asked
    return dict(zip(("server_s", "kvoffd_s", "kernel_threads_s", "moves"), spent))


def trouble(daemon, log, going):
    """While requests run: kvoffd is killed and comes back, the CXL tier is drained and comes back, again and again."""
    rounds = 0
    while going.is_set() or not rounds:
        daemon.end(signal.SIGKILL)
        time.sleep(3)
        daemon.__init__(log)
        time.sleep(3)
        ctl("tier", "set", "fast", "--capacity", ALL)
        ctl("tier", "drain", "cxl0", "--timeout", "300")
        empty = figure("tiers/cxl0/used_bytes") == 0
        ctl("tier", "undrain", "cxl0")
        ctl("tier", "set", "fast", "--capacity", FAST)
        time.sleep(3)
        rounds += empty
    return rounds


def run(mode, model, out):
    say(f"--- {mode}")
    log, prompts = f"{out}/{mode}.log", f"{out}/prompts"
    os.makedirs(prompts, exist_ok=True)
    summary = {"mode": mode}
    with contextlib.ExitStack() as stack:
        under, outside, daemon, watch, balanced = (), (), None, None, mode in numa.TRIES
        if mode == "interleave":
            weight = "/sys/kernel/mm/mempolicy/weighted_interleave/node"
            # huge pages would give some slots all of it, and others none
            values = {weight + "0": WEIGHTS[0], weight + far_node(): WEIGHTS[1], numa.THP: "never"}
            stack.enter_context(numa.settings(values))
            outside = ["numactl", f"--weighted-interleave=0,{far_node()}"]
        elif balanced:
            stack.enter_context(numa.settings(numa.DEFAULTS | numa.TRIES[mode]))
            stack.callback(numa.let_go)
        elif mode not in ("plain", "base"):
            under = UNDER
            stack.enter_context(tiers())
        if mode in ("kvoffd", "trouble", "cost"):
            daemon = Daemon(log)
            stack.callback(lambda: daemon.end())
        moves, promoted, demoted = figure("stats/moves"), *numa.moved()
        server = Server(f"{out}/{mode}-server.log", model, [*OPTIONS, "--slot-save-path", prompts], under, outside)
        if mode not in ("plain", "base"):
            residency = (Residency if under else numa.Balanced if balanced else Pages)(server.pid, LAYOUT)
            watch = Watch(residency, f"{out}/{mode}.csv")
            watch.start()
        if mode == "stress":
            moving = mover(subprocess.DEVNULL)
        sessions = Sessions(server, watch)
        for session, questions in FILL:
            start = time.monotonic()
            # to compute it while blocks move is a test of its own
            sessions.load(session, prompts, anew=mode in ("stress", "trouble"))
            sessions.visit(session, questions)
            say(f"session {session}: first question answered after {time.monotonic() - start:.1f} s")
        if watch:
            result(residency.check_layout(USED), f"{mode}: slots are where we look for them")
            if balanced:
                say(f"node 0 has {residency.squeeze(FAST_MIB << 20) / 2**20:.1f} MiB for the KV cache")
            watch.begin()
        visits = Visits(sessions, watch)
        if mode == "trouble":
            going, rounds = threading.Event(), []
            going.set()
            thread = threading.Thread(target=lambda: rounds.append(trouble(daemon, log, going)))
            thread.start()
            visits.all()
            going.clear()
            thread.join()
            say("kvoffd killed and cxl0 drained", rounds)
            done = bool(rounds) and rounds[0] > 0
            result(done, "trouble: kvoffd was killed and the CXL tier empty while the server answered")
        elif mode not in ("base", "cost"):
            visits.all()
        if watch:
            summary["far_bytes_a_token"] = watch.far_bytes / max(watch.looks, 1)
            summary["fast_bytes"] = watch.fast_bytes / max(watch.looks, 1)
            summary["visits"] = watch.visits
            watch.active = -1
        summary["moves"] = figure("stats/moves") - moves
        summary["generated"] = sessions.generated
        if balanced:
            up, down = numa.moved()
            summary |= {"promoted": up - promoted, "demoted": down - demoted, "room": residency.mean_room()}
        if mode in ("base", "cost"):
            if watch:
                watch.stop()
            summary["four"] = four_at_once(server, sessions, daemon)
        summary["system_share"] = server.system_share()
        if mode == "stress":
            moving.send_signal(signal.SIGTERM)
            moving.wait()
        if watch:
            watch.stop()
            residency.close()
        status = server.stop()
        result(status == 0, f"{mode}: the server ends as it should", f"status {status}")
        if status:
            server.tell()
    summary |= {"woken": visits.woken, "active": visits.active, "idle": visits.idle}
    judge(mode, summary, out)
    with open(f"{out}/{mode}.json", "w") as f:
        json.dump(summary, f, indent=1)
    with open(f"{out}/{mode}.answers", "w") as f:
        f.write("\n".join(sessions.answers) + "\n")
    say(json.dumps(summary))
    return sessions.answers


class SavedWatch(threading.Thread):
    """Looks every now and then where the session that talks is, and where saved prompts are."""

    def __init__(self, residency, file):
        super().__init__(daemon=True)
        self.residency, self.file, self.ended = residency, file, threading.Event()
        self.active, self.used, self.start_s = -1, {}, time.monotonic()

    def shares(self):
        def share(tiers):
            return float((tiers == 0).mean()) if len(tiers) else 0.0

        saved = self.residency.saved()
        return share(self.residency.active()), share(saved), len(saved) * self.residency.block / 2**20

    def run(self):
        with open(self.file, "w") as f:
            print("seconds,active,active_percent,saved_percent,saved_mib", file=f)
            while not self.ended.wait(Watch.EVERY_S):
                active, saved, mib = self.shares()
                seconds = time.monotonic() - self.start_s
                print(f"{seconds:.2f},{self.active},{100 * active:.1f},{100 * saved:.1f},{mib:.2f}", file=f, flush=True)

    def stop(self):
        self.ended.set()
        self.join()


def run_saved(model, out):
    """The server as it is without options: idle sessions go to a prompt cache of its own, and that is what is cold."""
    say("--- saved")
    summary = {"mode": "saved", "active": [], "saved": [], "back_ms": []}
    with contextlib.ExitStack() as stack:
        stack.enter_context(tiers())
        # nothing needs to be kept free here: what is saved is cold whatever it makes way for
        daemon = Daemon(f"{out}/saved.log", CONF.replace("free_high = 20%", "free_high = 6%"))
        stack.callback(lambda: daemon.end())
        server = Server(f"{out}/saved-server.log", model, DEFAULTS, UNDER)
        residency = Unified(server.pid, Layout(LAYERS, ROW, CONTEXT * SESSIONS, 1))
        watch = SavedWatch(residency, f"{out}/saved.csv")
        sessions = Sessions(server, watch, by_slot=False)
        first = sessions.ask(0)
        residency.base_is_now()
        residency.learn(0)
        watch.start()
        for session, _ in FILL[1:]:
            sessions.ask(session)
            residency.learn(session)
        summary["computed_ms"] = first["prompt_ms"]
        for session, questions in TALK:
            start = time.monotonic()
            back = sessions.ask(session)
            summary["back_ms"].append(round((time.monotonic() - start) * 1000 - back["predicted_ms"]))
            tokens = residency.look_for(session)
            result(back["cache_n"] > 200, "saved: a session that comes back finds what was computed for it", back)
            for _ in range(questions - 1):
                sessions.ask(session)
            active, saved, mib = watch.shares()
            say(f"session {session}: {active:.2f} of its {tokens} tokens are fast, {saved:.2f} of {mib:.0f} MiB saved")
            summary["active"].append(active)
            summary["saved"].append(saved)
            summary["saved_mib"] = mib
        watch.stop()
        residency.close()
        result(server.stop() == 0, "saved: the server ends as it should")
    # its tokens are strewn over the cache, with others' between: its blocks are nearly as much as the fast tier has
    enough = min(summary["active"]) >= 0.75
    result(enough, "saved: three quarters of the session that talks are in the fast tier", summary)
    result(max(summary["saved"]) <= 0.1, "saved: at most 10 % of the saved prompts", summary)
    with open(f"{out}/saved.json", "w") as f:
        json.dump(summary, f, indent=1)
    say(json.dumps(summary))


def judge(mode, s, out):
    if mode in ("stress", "trouble"):
        result(s["moves"] > 200, f"{mode}: blocks moved meanwhile", f"{s['moves']} moves")
    if mode in numa.TRIES:
        # else it was no peer
        room = s["room"] >= FAST_MIB << 20
        result(room, f"{mode}: the KV cache had room for as much in DRAM as the fast tier has", s)
        result(min(s["promoted"], s["demoted"]) > 1 << 20, f"{mode}: pages were promoted and demoted", s)
    if mode == "cost":
        with open(f"{out}/base.json") as f:
            base = json.load(f)["four"]
        four = s["four"]
        spent = four["kvoffd_s"] + max(four["kernel_threads_s"] - base["kernel_threads_s"], 0)
        s["cost_share"] = spent / four["server_s"]
        result(s["cost_share"] <= 0.02, "cost: kvoffd and the module have at most 2 % of the server's time", s)
    if mode != "kvoffd":
        return
    result(min(s["active"]) >= 0.9, "kvoffd: 90 % of the active slot are in the fast tier", s["active"])
    result(max(s["idle"]) <= 0.1, "kvoffd: at most 10 % of the idle ones", s["idle"])
    result(min(s["woken"]) >= 0.9, "kvoffd: 90 % of a slot three scans after it woke", s["woken"])


def main():
    model, out, modes = sys.argv[1], sys.argv[2], sys.argv[3:]
    print("KTAP version 1", flush=True)
    os.makedirs(out, exist_ok=True)
    for place in ("proc", "dev", "sys", "src", "tmp"):
        subprocess.run(["mount", "--rbind", f"/{place}", f"{ROOT}/{place}"], check=True)
    first = None
    for mode in modes:
        if mode == "saved":
            run_saved(model, out)
            continue
        answers = run(mode, model, out)
        if mode == "cost":
            continue
        if first:
            result(answers == first[1], f"{mode}: the same answers as {first[0]}")
        first = first or (mode, answers)
    result(figure("stats/commit_broken") == 0, "no committed memory was missing")
    print(f"1..{results['n']}")
    sys.exit(results["failed"] > 0)


if __name__ == "__main__":
    main()
