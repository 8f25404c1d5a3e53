#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes a tiny model of the llama architecture as a GGUF file: random weights, a vocabulary of bytes.

It answers nonsense, and always the same. What matters is its KV cache, which is as large as that of a much larger
model: each layer's heads are many and wide, the embedding is narrow, so that keys and values are nearly all that there
is to read for a token, and the weights cost next to nothing.

The same arguments give the same bytes, with any version of Python.
"""
import argparse
import array
import random
import struct
import sys

ALIGNMENT = 32
U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9  # types of values
TENSOR_F32 = 0
UNKNOWN, CONTROL, BYTE = 2, 3, 6  # types of tokens
TOKENS = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
FIRST_BYTE = 3  # the token of byte 0


def text(s):
    data = s.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, what):
    if kind == STRING:
        return text(what)
    return struct.pack({U32: "<I", F32: "<f", BOOL: "<?"}[kind], what)


def pair(key, kind, what):
    return text(key) + struct.pack("<I", kind) + value(kind, what)


def many(key, kind, what):
    head = text(key) + struct.pack("<IIQ", ARRAY, kind, len(what))
    return head + b"".join(value(kind, w) if kind != 5 else struct.pack("<i", w) for w in what)


def metadata(m):
    """(number of pairs, their bytes)"""
    a = "llama."
    pairs = [
        pair("general.architecture", STRING, "llama"),
        pair("general.name", STRING, "random"),
        pair("general.alignment", U32, ALIGNMENT),
        pair(a + "block_count", U32, m.layers),
        pair(a + "context_length", U32, m.context),
        pair(a + "embedding_length", U32, m.embedding),
        pair(a + "feed_forward_length", U32, m.feed),
        pair(a + "vocab_size", U32, len(TOKENS)),
        pair(a + "attention.head_count", U32, m.heads),
        pair(a + "attention.head_count_kv", U32, m.heads),
        pair(a + "attention.key_length", U32, m.head_size),
        pair(a + "attention.value_length", U32, m.head_size),
        pair(a + "attention.layer_norm_rms_epsilon", F32, 1e-5),
        pair(a + "rope.dimension_count", U32, m.head_size),
        pair(a + "rope.freq_base", F32, 10000.0),
        pair("tokenizer.ggml.model", STRING, "llama"),
        many("tokenizer.ggml.tokens", STRING, TOKENS),
        many("tokenizer.ggml.scores", F32, [0.0] * len(TOKENS)),
        many("tokenizer.ggml.token_type", 5, [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256),
        pair("tokenizer.ggml.unknown_token_id", U32, 0),
        pair("tokenizer.ggml.bos_token_id", U32, 1),
        pair("tokenizer.ggml.eos_token_id", U32, 2),
        pair("tokenizer.ggml.add_bos_token", BOOL, False),
        pair("tokenizer.ggml.add_space_prefix", BOOL, False),
    ]
    return len(pairs), b"".join(pairs)


def tensors(m):
    """(name, columns, rows) of each, rows 0 where it is a vector; columns are next to each other in memory"""
    wide = m.heads * m.head_size
    yield "token_embd.weight", m.embedding, len(TOKENS)
    yield "output_norm.weight", m.embedding, 0
    yield "output.weight", m.embedding, len(TOKENS)
    for i in range(m.layers):
        b = f"blk.{i}."
        yield b + "attn_norm.weight", m.embedding, 0
        yield b + "attn_q.weight", m.embedding, wide
        yield b + "attn_k.weight", m.embedding, wide
        yield b + "attn_v.weight", m.embedding, wide
        yield b + "attn_output.weight", wide, m.embedding
        yield b + "ffn_norm.weight", m.embedding, 0
        yield b + "ffn_gate.weight", m.embedding, m.feed
        yield b + "ffn_up.weight", m.embedding, m.feed
        yield b + "ffn_down.weight", m.feed, m.embedding


def weights(source, columns, rows):
    """Uniform, of variance 1 / columns, so that what comes out is about as large as what goes in; norms are 1."""
    if not rows:
        return array.array("f", [1.0] * columns)
    scale = 2 * (3 / columns) ** 0.5
    return array.array("f", [(source() - 0.5) * scale for _ in range(columns * rows)])


def write(f, m):
    source = random.Random(m.seed).random  # promised to give the same numbers in every version
    nr, pairs = metadata(m)
    infos, data, offset = [], [], 0
    for name, columns, rows in tensors(m):
        shape = (columns, rows) if rows else (columns,)
        infos.append(text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, TENSOR_F32, offset))
        w = weights(source, columns, rows)
        if sys.byteorder != "little":
            w.byteswap()
        data.append(w.tobytes())
        data.append(bytes(-len(data[-1]) % ALIGNMENT))
        offset += len(data[-2]) + len(data[-1])
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), nr) + pairs + b"".join(infos)
    f.write(head + bytes(-len(head) % ALIGNMENT))
    f.writelines(data)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--layers", type=int, default=4)
    p.add_argument("--heads", type=int, default=32)
    p.add_argument("--head-size", type=int, default=128)
    p.add_argument("--embedding", type=int, default=16)
    p.add_argument("--feed", type=int, default=16, help="width of the feed-forward layers")
    p.add_argument("--context", type=int, default=131072, help="tokens the model claims to be trained for")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("file")
    return p


def main():
    m = arguments().parse_args()
    with open(m.file, "wb") as f:
        write(f, m)
    numbers = 2 * m.layers * m.heads * m.head_size
    print(f"{m.file}: {m.layers} layers of {m.heads} heads, {numbers} numbers of KV a token")


if __name__ == "__main__":
    main()
