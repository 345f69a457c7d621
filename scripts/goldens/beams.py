"""Beam search of `transformers` on the tiny checkpoints: prompts, length penalties and ways to stop early."""

import random

import torch
from transformers import AutoModelForCausalLM

from fixture import versions, write_json

SEED = 20261218
PROMPTS = 20
BEAMS = 4
NEW_TOKENS = 24
FOLDERS = ("tiny-llama", "tiny-gpt2")


def searched(model, prompt, **options):
    """All beams, best first: what follows the prompt, without the end token, and its score."""
    out = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        num_beams=BEAMS,
        num_return_sequences=BEAMS,
        max_new_tokens=NEW_TOKENS,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    found = []
    for ids, beams, score in zip(out.sequences.tolist(), out.beam_indices.tolist(), out.sequences_scores.tolist()):
        # What is longer is padding.
        tokens = ids[len(prompt) : len(prompt) + sum(index >= 0 for index in beams)]
        ended = tokens[-1] in options["eos_token_id"]
        found.append({"tokens": tokens[:-1] if ended else tokens, "ended": ended, "score": score})
    return found


def usual_ends(model, prompts, vocabulary):
    """Tokens that come early in greedy texts, as ends: random weights hardly ever choose a given one."""
    counts = [0] * vocabulary
    for prompt in prompts:
        out = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False, max_new_tokens=12, eos_token_id=None)
        for token in set(out[0, len(prompt) :].tolist()):
            counts[token] += 1
    return sorted(sorted(range(vocabulary), key=lambda token: -counts[token])[2:4])


def make(out, fixtures):
    golden = {"versions": versions("torch", "transformers"), "seed": SEED, "beams": BEAMS, "maxTokens": NEW_TOKENS, "models": {}}
    for folder in FOLDERS:
        rng = random.Random(SEED)
        model = AutoModelForCausalLM.from_pretrained(fixtures / folder, dtype=torch.float64).eval()
        vocabulary = model.config.vocab_size
        prompts = [[rng.randrange(5, vocabulary) for _ in range(1 + rng.randrange(20))] for _ in range(PROMPTS)]
        ends = usual_ends(model, prompts, vocabulary)
        cases = []
        for prompt in prompts:
            for penalty in (0.5, 1.0, 2.0):
                for early in (False, True, "never"):
                    found = searched(model, prompt, eos_token_id=ends, pad_token_id=ends[0], length_penalty=penalty, early_stopping=early)
                    cases.append({"prompt": prompt, "lengthPenalty": penalty, "earlyStopping": early, "found": found})
            found = searched(model, prompt, eos_token_id=ends, pad_token_id=ends[0], no_repeat_ngram_size=2, min_new_tokens=6)
            cases.append({"prompt": prompt, "noRepeatNgram": 2, "minTokens": 6, "found": found})
        golden["models"][folder] = {"ends": ends, "cases": cases}
    write_json(out / "search" / "beams.json", golden)
