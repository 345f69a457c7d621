"""Vectors of texts as sentence-transformers pools them, from the embedded stories-260k."""

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer

from fixture import tensor, versions, write_json

TEXTS = [
    "Once",
    "Once upon a time, there was a little girl named Lily.",
    "naïve café 日本語 🙂",
    "The quick brown fox jumps over the lazy dog. " * 12,
]
PROMPT = "A story: "
MODES = ["mean", "cls", "lasttoken", "max", "weightedmean", "mean_sqrt_len_tokens"]


def encode(transformer, mode, include_prompt=True, prompt=None):
    size = transformer.get_embedding_dimension()
    pooling = Pooling(size, pooling_mode=mode, include_prompt=include_prompt)
    model = SentenceTransformer(modules=[transformer, pooling], device="cpu")
    # One at a time: nothing is padded.
    return np.stack([model.encode(text, prompt=prompt, convert_to_numpy=True) for text in TEXTS])


def make(out, models):
    transformer = Transformer(str(models / "stories-260k"), model_kwargs={"torch_dtype": torch.float32})
    # One text at a time has nothing to pad, but it must be named.
    transformer.tokenizer.pad_token = transformer.tokenizer.eos_token
    vectors = {mode: tensor(encode(transformer, mode)) for mode in MODES}
    # The first text has no token of its own beside the prompt.
    prompted = tensor(encode(transformer, "mean", True, PROMPT))
    # `max` over nothing is -inf there: left out.
    without = {mode: tensor(encode(transformer, mode, False, PROMPT)) for mode in MODES if mode != "max"}
    write_json(
        out / "embeddings" / "stories-260k.json",
        {
            "versions": versions("sentence-transformers", "transformers", "torch"),
            "texts": TEXTS,
            "prompt": PROMPT,
            "vectors": vectors,
            "prompted": prompted,
            "withoutPrompt": without,
        },
    )
