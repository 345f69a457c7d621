"""nano-gpt-sort: what PyTorch makes of all 729 inputs of six letters, and the published intermediate tensors."""

import itertools
import json
import shutil

import torch
from transformers import GPT2LMHeadModel

from fixture import array, tensor, versions, write_json

LETTERS = "ABC"
LENGTH = 6


def check_against_partials(model, partials):
    """The converted model must be the model whose tensors were published."""
    ids = torch.tensor(array(partials["idx"]), dtype=torch.long)
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits
    worst = (logits - torch.tensor(array(partials["lm_head"]))).abs().max().item()
    assert worst < 1e-5, f"logits differ from the published ones by {worst}"


def make(data, out, models):
    source = data / "gpt-nano-sort-t0-partials.json"
    model = GPT2LMHeadModel.from_pretrained(models / "nano-gpt-sort", dtype=torch.float32).eval()
    check_against_partials(model, json.loads(source.read_text()))

    model = model.double()
    inputs = ["".join(letters) for letters in itertools.product(LETTERS, repeat=LENGTH)]
    ids = torch.tensor([[LETTERS.index(letter) for letter in text] for text in inputs])
    with torch.no_grad():
        for _ in range(LENGTH):
            logits = model(ids, use_cache=False).logits
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], 1)
    top = logits[:, LENGTH - 1 :].sort(-1).values
    outputs = ["".join(LETTERS[i] for i in row) for row in ids[:, LENGTH:].tolist()]
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, out / "nano-gpt-sort-partials.json")
    (out / "nano-gpt-sort-partials.json").chmod(0o644)
    write_json(
        out / "nano-gpt-sort.json",
        {
            "about": "greedy sort of every six-letter input, A = 0, B = 1, C = 2; logits of the 11 tokens the model sees",
            "versions": versions("torch", "transformers"),
            "computedIn": "float64",
            "inputs": inputs,
            "outputs": outputs,
            "sorted": sum("".join(sorted(a)) == b for a, b in zip(inputs, outputs)),
            "logits": tensor(logits),
            "minGap": (top[..., -1] - top[..., -2]).min().item(),
        },
    )
