# SPDX-License-Identifier: GPL-2.0-or-later
"""llama-server in its root, started as its users start it, and asked over HTTP."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request

ROOT = "/llama"
PORT = 8080
PATIENCE_S = 300


def say(*what):
    print("#", *what, flush=True)


def cpu_ns(pid):
    """Time on a processor of all threads of a process."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat") as f:
                total += int(f.read().split()[0])
    except FileNotFoundError:  # a thread has ended meanwhile
        pass
    return total


def kernel_threads_ns():
    """The same of all threads of the kernel."""
    total = 0
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open(f"/proc/{pid}/stat") as f:
                    # what follows the name, which is in parentheses: state, parent
                    parent = int(f.read().rpartition(")")[2].split()[1])
                if parent == 2:
                    total += cpu_ns(pid)
            except FileNotFoundError:
                pass
    return total


class Server:
    """One llama-server.

    under    what it is to run under in its root, as kvoff-run and its options
    outside  the same outside of it
    """

    def __init__(self, log, model, options, under=(), outside=()):
        self.log = log
        # one thread, which waits for work without polling: the emulated machine has two processors, one is for others
        server = ["llama-server", "-m", model, "--host", "127.0.0.1", "--port", str(PORT), "-t", "1", "-tb", "1"]
        server += ["--poll", "0", "--no-warmup", *options]
        with open(log, "wb") as f:
            # chroot and kvoff-run become the server: the process stays the same
            command = [*outside, "chroot", ROOT, *under, *server]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        self.pid = self.process.pid
        end = time.monotonic() + PATIENCE_S
        while not self._healthy():
            if self.process.poll() is not None or time.monotonic() > end:
                self.tell()
                raise SystemExit(f"llama-server does not come up: {self.process.poll()}")
            time.sleep(0.2)

    def _healthy(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=10):
                return True
        except (OSError, urllib.error.HTTPError):
            return False

    def tell(self, lines=30):
        """The end of its log."""
        with open(self.log, errors="replace") as f:
            for line in f.readlines()[-lines:]:
                print("#   |", line.rstrip(), flush=True)

    def complete(self, prompt, tokens, slot=-1):
        """An answer of so many tokens to a prompt of tokens: the server's own object. Each probability is asked for, so
        that two answers are the same only where all that was read was the same."""
        body = {
            "prompt": prompt,
            "n_predict": tokens,
            "temperature": 0,
            "seed": 1,
            "id_slot": slot,
            "cache_prompt": True,
            "ignore_eos": True,
            "return_tokens": True,
            "n_probs": 3,
        }
        return self._post("completion", body)

    def slot(self, action, slot, name):
        """Save what is in a slot to a file in the server's --slot-save-path, or restore it."""
        self._post(f"slots/{slot}?action={action}", {"filename": name})

    def _post(self, path, body):
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def cpu_ns(self):
        return cpu_ns(self.pid)

    def system_share(self):
        """Share of its time that it spent in the kernel."""
        with open(f"/proc/{self.pid}/stat") as f:
            user, system = (int(n) for n in f.read().rpartition(")")[2].split()[11:13])
        return system / max(user + system, 1)

    def stop(self):
        self.process.terminate()
        return self.process.wait()
