"""What the logits processors of `transformers` forbid after random histories: repeated n-grams, bad words, an early end."""

import random

import torch
from transformers import MinNewTokensLengthLogitsProcessor, NoBadWordsLogitsProcessor, NoRepeatNGramLogitsProcessor

from fixture import versions, write_json

SEED = 20261217
VOCABULARY = 30
CASES = 120


def forbidden(processor, history):
    scores = processor(torch.tensor([history]), torch.zeros(1, VOCABULARY))[0]
    return [i for i, score in enumerate(scores.tolist()) if score == float("-inf")]


def make(out):
    rng = random.Random(SEED)
    some = lambda most: rng.randrange(most)
    ngrams, words, ends = [], [], []
    for _ in range(CASES):
        # Few different tokens, so that sequences come again.
        history = [some(rng.choice([3, 8, VOCABULARY])) for _ in range(1 + some(60))]
        size = 1 + some(4)
        ngrams.append({"history": history, "size": size, "forbidden": forbidden(NoRepeatNGramLogitsProcessor(size), history)})
        # No longer than the history: the processor passes over those that are.
        lengths = [1 + some(min(4, len(history))) for _ in range(1 + some(6))]
        bad = [[some(8) for _ in range(length)] for length in lengths]
        # One whose beginning stands at the end.
        known = 1 + some(len(history))
        bad.append(history[len(history) - known + 1 :] + [some(VOCABULARY)])
        # The end token is outside: it would not be forbidden.
        words.append({"history": history, "words": bad, "forbidden": forbidden(NoBadWordsLogitsProcessor(bad, [VOCABULARY]), history)})
        prompt, least = 1 + some(len(history)), some(20)
        processor = MinNewTokensLengthLogitsProcessor(prompt, least, [2, 5])
        ends.append({"history": history, "prompt": prompt, "least": least, "ends": [2, 5], "forbidden": forbidden(processor, history)})
    golden = {"versions": versions("torch", "transformers"), "seed": SEED, "vocabulary": VOCABULARY}
    write_json(out / "search" / "processors.json", golden | {"ngrams": ngrams, "badWords": words, "leastTokens": ends})
