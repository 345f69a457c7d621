"""Folders of model2vec, and what model2vec makes of texts; the nearest tokens are gensim's."""

import json
from pathlib import Path

import numpy as np
from gensim.models import KeyedVectors
from model2vec import StaticModel
from tokenizers import Tokenizer

from fixture import tensor, versions, write_json

DIMENSIONS, SEED = 16, 20261225
TEXTS = [
    "",
    "A",
    "The creature opened its eyes.",
    "naïve café 日本語 🙂 the creature",
    "日本語",
    "My dear sister, I write these lines in haste. " * 60,
]
# name -> tokenizer of a fixture, type of the vectors, whether vectors have length 1, rows that tokens share
CASES = {
    "word-piece": ("encoders/bert", np.float32, True, None),
    "half": ("encoders/roberta", np.float16, False, None),
    "shared-rows": ("encoders/bert", np.float32, True, 40),
}


def vectors(random, rows):
    """In a few clusters; lengths differ."""
    centres = random.standard_normal((12, DIMENSIONS))
    values = centres[random.integers(0, 12, rows)] + 0.6 * random.standard_normal((rows, DIMENSIONS))
    values *= np.exp(0.5 * random.standard_normal((rows, 1)))
    return values


def make_case(fixtures, folder, name, seed):
    source, dtype, normalize, rows = CASES[name]
    random = np.random.default_rng(seed)
    tokenizer = Tokenizer.from_file(str(fixtures / source / "tokenizer.json"))
    count = tokenizer.get_vocab_size()
    config = {"model_type": "model2vec", "architectures": ["StaticModel"], "normalize": normalize, "hidden_dim": DIMENSIONS}
    shared = {}
    if rows is not None:
        shared = {
            "weights": random.uniform(0.2, 2, count),
            "token_mapping": random.integers(0, rows, count),
        }
    model = StaticModel(vectors(random, rows or count).astype(dtype), tokenizer, config, normalize=normalize, **shared)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    loaded = StaticModel.from_pretrained(folder)
    tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]
    own = loaded._encode_helper(list(range(count))).astype(np.float32)
    keyed = KeyedVectors(DIMENSIONS)
    keyed.add_vectors(tokens, own)
    # Tokens that share a row are equally near.
    asked = [tokens[i] for i in (30, 60, 120, 170)] if rows is None else []
    near = lambda word: [[other, float(score)] for other, score in keyed.most_similar(word, topn=10)]  # noqa: E731
    return {
        "tokenizer": source,
        "tokens": tokens,
        "vectors": tensor(own),
        "encoded": tensor(loaded.encode(TEXTS).astype(np.float32)),
        "short": tensor(loaded.encode(TEXTS, max_length=7).astype(np.float32)),
        "nearest": {word: near(word) for word in asked},
    }


def make(out):
    """Tokenizers are those of the kept fixtures, which lie there once."""
    fixtures = Path(__file__).resolve().parents[2] / "test" / "fixtures"
    folder = out / "static-models"
    cases = {name: make_case(fixtures, folder / name, name, SEED + i) for i, name in enumerate(CASES)}
    for name in CASES:
        (folder / name / "tokenizer.json").unlink()
    write_json(
        folder / "golden.json",
        {
            "versions": versions("model2vec", "gensim", "tokenizers", "numpy"),
            "seed": SEED,
            "texts": TEXTS,
            "cases": cases,
        },
    )
