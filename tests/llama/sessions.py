# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions that talk, pause and come back, one after another: the same requests each time.

Each session has a long prompt of its own, and asks it many short questions: the server keeps what it computed for the
prompt in the session's slot, and reads all of it for each token of an answer.
"""

import json
import os
import random
import threading
import time

# the byte 0 is token 3, see model.py
BYTES = range(3, 259)
SESSIONS = 4
PROMPT, QUESTION, ANSWER = 228, 4, 16
USED = PROMPT + QUESTION + ANSWER - 1  # the last token of an answer is never computed with

# (session, questions)
FILL = [(s, 1) for s in range(SESSIONS)]
TALK = [(0, 8), (2, 6), (1, 6), (0, 4), (3, 4)]


def tokens(seed, n):
    chance = random.Random(seed)
    return [chance.choice(BYTES) for _ in range(n)]


class Sessions:
    """by_slot: each session asks for a slot of its own; else the server chooses."""

    def __init__(self, server, watch=None, by_slot=True):
        self.server, self.by_slot = server, by_slot
        self.watch = watch or Watch(None, None)
        self.prompts = [tokens(f"prompt {s}", PROMPT) for s in range(SESSIONS)]
        self.asked = [0] * SESSIONS
        self.answers = []
        self.generated = 0

    def load(self, session, prompts, anew):
        """Bring a session's prompt into its slot: from a file in `prompts`, where it is, else compute it and leave one.

        Computing it takes as long as all the rest, and each way to run the server would come to the same bytes.
        """
        file = os.path.join(prompts, str(session))
        self.watch.active = session
        if os.path.exists(file) and not anew:
            self.server.slot("restore", session, str(session))
        else:
            self.server.complete(self.prompts[session], 0, session)
            # two machines may share the directory, and the last rename wins
            new = f"{session}.{os.urandom(4).hex()}"
            self.server.slot("save", session, new)
            os.rename(os.path.join(prompts, new), file)
        self.watch.used[session] = PROMPT

    def ask(self, session):
        prompt = self.prompts[session] + tokens(f"question {session} {self.asked[session]}", QUESTION)
        self.asked[session] += 1
        self.watch.active = session
        answer = self.server.complete(prompt, ANSWER, session if self.by_slot else -1)
        self.watch.used[session] = USED
        self.generated += len(answer["tokens"])
        chances = [
            [c["id"], c["logprob"], [t["logprob"] for t in c["top_logprobs"]]]
            for c in answer["completion_probabilities"]
        ]
        self.answers.append(json.dumps([session, answer["tokens"], chances]))
        return answer["timings"]

    def visit(self, session, questions):
        """Seconds that it took."""
        start = time.monotonic()
        for _ in range(questions):
            self.ask(session)
        return time.monotonic() - start


class Watch(threading.Thread):
    """Looks every now and then where the blocks of each session are."""

    EVERY_S = 0.25

    def __init__(self, residency, file):
        super().__init__(daemon=True)
        self.residency, self.file = residency, file
        self.active = -1
        self.used = [0] * SESSIONS
        self.start_s = time.monotonic()
        self.ended = threading.Event()
        self.begin()

    def begin(self):
        """While a session talks: times looked, bytes that a token of it reads from the far tiers, bytes of the cache in
        the fast one. And for each visit: who, how long, and the bytes times the seconds that they were far."""
        self.looks = self.far_bytes = self.fast_bytes = 0
        self.visits = []

    def shares(self):
        """Of each session's bytes in use, how many are in the fast tier; how many of the active one's are not."""
        fast = self.residency.tiers() == 0
        weights = [self.residency.weight(s, n) for s, n in enumerate(self.used)]
        shares = [float(w[fast].sum() / w.sum()) if w.any() else 0.0 for w in weights]
        return shares, int(weights[self.active][~fast].sum()) if self.active >= 0 else 0, fast.sum()

    def run(self):
        mib = 1 << 20
        with open(self.file, "w") as f:
            print("seconds,active," + ",".join(f"slot{s}" for s in range(SESSIONS)) + ",fast_mib", file=f)
            last = time.monotonic()
            while not self.ended.wait(self.EVERY_S):
                now = time.monotonic()
                passed, last = now - last, now
                shares, far, fast = self.shares()
                if self.active >= 0 and self.used[self.active]:
                    self.looks += 1
                    self.far_bytes += far
                    if not self.visits or self.visits[-1][0] != self.active:
                        self.visits.append([self.active, 0, 0])
                    self.visits[-1][1] += passed
                    self.visits[-1][2] += far * passed
                    self.fast_bytes += int(fast) * self.residency.block
                row = [f"{time.monotonic() - self.start_s:.2f}", str(self.active), *(f"{100 * s:.1f}" for s in shares)]
                print(",".join(row) + f",{fast * self.residency.block / mib:.2f}", file=f, flush=True)

    def stop(self):
        self.ended.set()
        if self.is_alive():
            self.join()
