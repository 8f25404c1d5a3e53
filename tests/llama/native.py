# SPDX-License-Identifier: GPL-2.0-or-later
"""What needs no server: the model is a GGUF file, the same each time; requests are; slots are told apart. KTAP."""

import hashlib
import io
import os
import random
import struct
import sys
import tempfile

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, "../embed")]

import model  # noqa: E402
import sessions  # noqa: E402
from ktap import check, run, test  # noqa: E402
from residency import Cache, Layout  # noqa: E402

SMALL = ["--layers", "2", "--heads", "2", "--head-size", "8", "--embedding", "4", "--feed", "4"]
# of SMALL with seed 1: other bytes are another model, and other answers
SHA256 = "0763bafc13f2adb97900a275aea2b19572a6ff3f51bfc743bbc3c33784e9130d"

SIZES = {4: "<I", 5: "<i", 6: "<f", 7: "<?"}


def written(*args):
    f = io.BytesIO()
    model.write(f, model.arguments().parse_args([*SMALL, *args, "-"]))
    return f.getvalue()


class Reader:
    """As the format's description has it, and not as model.py writes it."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, fmt):
        values = struct.unpack_from(fmt, self.data, self.at)
        self.at += struct.calcsize(fmt)
        return values if len(values) > 1 else values[0]

    def string(self):
        n = self.take("<Q")
        self.at += n
        return self.data[self.at - n : self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            kind, n = self.take("<IQ")
            return [self.value(kind) for _ in range(n)]
        return self.take(SIZES[kind])

    def all(self):
        check(self.take("<4sI") == (b"GGUF", 3), "magic and version")
        nr_tensors, nr_pairs = self.take("<QQ")
        pairs = dict((self.string(), self.value(self.take("<I"))) for _ in range(nr_pairs))
        tensors = {}
        for _ in range(nr_tensors):
            name, n = self.string(), self.take("<I")
            shape = [self.take("<Q") for _ in range(n)]
            kind, offset = self.take("<IQ")
            tensors[name] = (shape, kind, offset)
        align = pairs["general.alignment"]
        return pairs, tensors, -(-self.at // align) * align


@test("the header says what is in the file")
def header():
    data = written()
    pairs, tensors, start = Reader(data).all()
    check(pairs["general.architecture"] == "llama" and pairs["llama.block_count"] == 2, pairs)
    names = [f"tokenizer.ggml.{n}" for n in ("tokens", "scores", "token_type")]
    check([len(pairs[n]) for n in names] == [pairs["llama.vocab_size"]] * 3, "tokens")
    end = start
    for name, (shape, kind, offset) in sorted(tensors.items(), key=lambda t: t[1][2]):
        check(kind == 0 and offset % 32 == 0 and start + offset == end, f"{name} at {offset}, expected {end - start}")
        size = 4
        for n in shape:
            size *= n
        end = -(-(start + offset + size) // 32) * 32
    check(end == len(data), f"{len(data)} bytes, expected {end}")
    check(tensors["blk.1.attn_k.weight"][0] == [4, 16] and tensors["blk.1.attn_output.weight"][0] == [16, 4], "shapes")


@test("each byte has its token")
def vocabulary():
    pairs = Reader(written()).all()[0]
    tokens, kinds = pairs["tokenizer.ggml.tokens"], pairs["tokenizer.ggml.token_type"]
    check([tokens[model.FIRST_BYTE + b] for b in range(256)] == [f"<0x{b:02X}>" for b in range(256)])
    check(set(kinds[model.FIRST_BYTE :]) == {6} and len(tokens) == 259)


@test("the same seed gives the same bytes, another one others")
def deterministic():
    data = written()
    check(data == written() and data != written("--seed", "2"))
    check(hashlib.sha256(data).hexdigest() == SHA256, hashlib.sha256(data).hexdigest())


@test("weights are as large as they should be")
def scale():
    w = model.weights(random.Random(1).random, 300, 30)
    mean = sum(w) / len(w)
    variance = sum((x - mean) ** 2 for x in w) / len(w)
    check(abs(mean) < 0.005 and 0.9 < variance * 300 < 1.1, f"mean {mean}, variance times columns {variance * 300}")


class Numbered(Cache):
    def __init__(self, layout, block):
        self.layout, self.block = layout, block
        self.index = range(-(-layout.bytes // block))


@test("each byte of a full cache is one slot's, and few tokens use few")
def slots():
    layout = Layout(3, 64, 16, 4)
    whole = [Numbered(layout, 512).weight(s, 16) for s in range(4)]
    check(all(int(sum(w[b] for w in whole)) == 512 for b in range(len(whole[0]))), "blocks are full")
    check([int(w.sum()) for w in whole] == [layout.bytes // 4] * 4, "slots are equal")
    check(all(int((w > 0).sum()) == layout.bytes // 4 // 512 for w in whole), "no block is of two slots")
    check(int(Numbered(layout, 512).weight(1, 3).sum()) == 3 * 64 * 6, "three tokens")


@test("the cache is found in memory that has more, and only where it is")
def found():
    cache = Numbered(Layout(2, 128, 8, 4), 512)
    memory = np.full(cache.layout.bytes + 5000, 255, np.uint8)
    at = 4096 - 64
    memory[at : at + cache.layout.bytes] = 0
    for slot in range(4):
        for start, end in cache.layout.ranges(slot, 7):
            memory[at + start : at + end] = slot + 1
    check(list(cache.laid_out(memory, 7)) == [at], cache.laid_out(memory, 7))
    check(not len(cache.laid_out(memory, 6)) and not len(cache.laid_out(memory[: cache.layout.bytes], 7)))
    memory[at + end - 128 : at + end] = 0
    check(not len(cache.laid_out(memory, 7)), "the last token of the last slot")


class Answering:
    def __init__(self):
        self.prompts, self.slots = [], []

    def slot(self, action, slot, name):
        self.slots.append((action, slot))
        if action == "save":
            with open(os.path.join(self.files, name), "w"):
                pass

    def complete(self, prompt, tokens, slot):
        self.prompts.append((slot, prompt))
        return {"tokens": [5] * tokens, "completion_probabilities": [], "timings": {}}


@test("sessions ask the same each time, and something new with each question")
def requests():
    servers = [Answering(), Answering()]
    for server in servers:
        s = sessions.Sessions(server)
        for session, questions in sessions.FILL + sessions.TALK:
            s.visit(session, questions)
    prompts = servers[0].prompts
    check(prompts == servers[1].prompts and len(set(map(str, prompts))) == len(prompts))
    check({len(p) for _, p in prompts} == {sessions.PROMPT + sessions.QUESTION})
    check({tuple(p[: sessions.PROMPT]) for slot, p in prompts if slot == 2} == {tuple(s.prompts[2])})


@test("prompts are computed once, and again where they are asked for anew")
def prompts():
    server = Answering()
    with tempfile.TemporaryDirectory() as server.files:
        for anew in (False, False, True):
            sessions.Sessions(server).load(1, server.files, anew)
        check(server.slots == [("save", 1), ("restore", 1), ("save", 1)], server.slots)
        check(len(server.prompts) == 2 and os.listdir(server.files) == ["1"], os.listdir(server.files))


run()
