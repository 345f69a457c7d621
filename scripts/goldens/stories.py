"""stories-260k as its reference C program computes it: float32, every sum in ascending order.

Reads the published files, not our conversion of them, so that the conversion is tested too.
"""

import struct

import numpy as np

from fixture import versions, write_json

F = np.float32
PROMPT = "Once upon a time"
COUNT = 200

TEXTS = [
    "",
    " ",
    "  ",
    "Once upon a time",
    " Once upon a time",
    "Once upon a time, there was a little girl named Lily.",
    "hello",
    "Hello World!",
    "the the the thethe",
    "aaaaaaaaaaaaaaaa",
    "lalalalala lll lllly",
    "line one\nline two\n\n\tindented",
    "trailing space ",
    "many    spaces     inside",
    "\"Don't!\" she said; 'why?' [no] ~ ok",
    "1234567890 3.14 -42",
    "naïve café Zürich",
    "日本語のテキスト",
    "Привет, мир",
    "emoji 👩‍👩‍👧 and 🙂",
    "e\u0301 combining \u200b zero width",
    "<0x41> is no byte",
    "trade mark ™ and hair\u200aspace",
    "Lily's mom said, \"Lily, let's go to the park.\"",
    "The quick brown fox jumps over the lazy dog. " * 3,
]


def read_model(path):
    """(config dict, tensors by the names of the C program)."""
    raw = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocab, positions = struct.unpack_from("<7i", raw)
    assert vocab > 0, "the classifier is tied in this file"
    floats = np.frombuffer(raw, "<f4", offset=28)
    head = dim // heads
    kv = kv_heads * head
    shapes = {
        "embedding": (vocab, dim),
        "att_norm": (layers, dim),
        "wq": (layers, dim, dim),
        "wk": (layers, kv, dim),
        "wv": (layers, kv, dim),
        "wo": (layers, dim, dim),
        "ffn_norm": (layers, dim),
        "w1": (layers, hidden, dim),
        "w2": (layers, dim, hidden),
        "w3": (layers, hidden, dim),
        "final_norm": (dim,),
    }
    weights, at = {}, 0
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        weights[name] = floats[at : at + count].reshape(shape)
        at += count
    return {"layers": layers, "heads": heads, "kv_heads": kv_heads, "head": head}, weights


def matvec(w, x):
    out = np.zeros(w.shape[0], F)
    for column in range(w.shape[1]):
        out += w[:, column] * x[column]
    return out


def ascending_sum(values):
    total = F(0)
    for value in values:
        total = F(total + value)
    return total


def rms_norm(x, weight):
    mean = F(ascending_sum(x * x) / F(x.size)) + F(1e-5)
    return weight * (F(1) / np.sqrt(mean, dtype=F) * x)


def softmax(x):
    e = np.exp(x - x.max(), dtype=F)
    return e / ascending_sum(e)


def rotate(x, position, head):
    """Adjacent pairs (2i, 2i + 1), in place."""
    for i in range(0, x.size, 2):
        angle = F(position) * (F(1) / np.power(F(10000), F(i % head) / F(head), dtype=F))
        cos, sin = np.cos(angle, dtype=F), np.sin(angle, dtype=F)
        x[i], x[i + 1] = x[i] * cos - x[i + 1] * sin, x[i] * sin + x[i + 1] * cos


def attend(q, keys, values, config):
    """q [dim], keys and values [positions, kv_dim] -> [dim]."""
    head, group = config["head"], config["heads"] // config["kv_heads"]
    out = np.zeros_like(q)
    for h in range(config["heads"]):
        own = slice(h * head, (h + 1) * head)
        shared = slice(h // group * head, (h // group + 1) * head)
        scores = np.array([ascending_sum(q[own] * k[shared]) for k in keys], F) / np.sqrt(F(head))
        for weight, v in zip(softmax(scores), values):
            out[own] += weight * v[shared]
    return out


def forward(config, w, cache, token):
    """Logits after `token`; `cache` holds one (keys, values) pair of lists per layer."""
    x = w["embedding"][token].copy()
    for n, (keys, values) in enumerate(cache):
        normed = rms_norm(x, w["att_norm"][n])
        q, k = matvec(w["wq"][n], normed), matvec(w["wk"][n], normed)
        position = len(keys)
        rotate(q, position, config["head"])
        rotate(k, position, config["head"])
        keys.append(k)
        values.append(matvec(w["wv"][n], normed))
        x += matvec(w["wo"][n], attend(q, keys, values, config))
        normed = rms_norm(x, w["ffn_norm"][n])
        gate = matvec(w["w1"][n], normed)
        gate *= F(1) / (F(1) + np.exp(-gate, dtype=F))
        x += matvec(w["w2"][n], gate * matvec(w["w3"][n], normed))
    return matvec(w["embedding"], rms_norm(x, w["final_norm"]))


def read_vocabulary(path):
    raw = path.read_bytes()
    at, pieces = 4, []
    while at < len(raw):
        score, length = struct.unpack_from("<fi", raw, at)
        pieces.append((raw[at + 8 : at + 8 + length], score))
        at += 8 + length
    return pieces


def encode(pieces, text):
    """BOS, a space before everything, code points or their bytes, then always the best-scored merge."""
    ids = {piece: i for i, (piece, _) in enumerate(pieces)}
    tokens = [1]
    if text:
        tokens.append(ids[b" "])
    for character in text:
        raw = character.encode()
        tokens += [ids[raw]] if raw in ids else [byte + 3 for byte in raw]
    while True:
        pairs = [pieces[a][0] + pieces[b][0] for a, b in zip(tokens, tokens[1:])]
        known = [(-pieces[ids[pair]][1], i) for i, pair in enumerate(pairs) if pair in ids]
        if not known:
            return tokens
        _, best = min(known)
        tokens[best : best + 2] = [ids[pairs[best]]]


def decode(pieces, previous, token):
    piece = pieces[token][0]
    if previous == 1 and piece.startswith(b" "):
        piece = piece[1:]
    return bytes([int(piece[3:5], 16)]) if 3 <= token < 259 else piece


def make(data, out):
    config, weights = read_model(data / "stories260K.bin")
    pieces = read_vocabulary(data / "tok512.bin")
    prompt_ids = encode(pieces, PROMPT)
    cache = [([], []) for _ in range(config["layers"])]
    tokens, gaps = list(prompt_ids), []
    for position in range(len(prompt_ids) + COUNT - 1):
        logits = forward(config, weights, cache, tokens[position])
        if position >= len(prompt_ids) - 1:
            tokens.append(int(logits.argmax()))
            second, first = np.sort(logits)[-2:]
            gaps.append(float(first - second))
    text = b"".join(decode(pieces, a, b) for a, b in zip(tokens, tokens[1:]))
    prompt_text = b"".join(decode(pieces, a, b) for a, b in zip(prompt_ids, prompt_ids[1:]))
    assert prompt_text.decode() == PROMPT and text.startswith(prompt_text)
    write_json(
        out / "stories-260k.json",
        {
            "about": "greedy continuation and token ids by the arithmetic of the model's reference C program",
            "versions": versions("numpy"),
            "prompt": PROMPT,
            "promptIds": prompt_ids,
            "ids": tokens[len(prompt_ids) :],
            "text": text[len(prompt_text) :].decode(),
            "minGap": min(gaps),
            "gaps": [round(gap, 6) for gap in gaps],
            "tokenization": [{"text": text, "ids": encode(pieces, text)} for text in TEXTS],
        },
    )
