"""PyTorch's side of against-pytorch.mjs: against_pytorch.py MODEL.gguf RUNS.json

Reads prompt and continuation of each run in one pass in float32, and prints how far the given log-probabilities are from its
own, and whether the best token after each position is the one that was chosen.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM


def main(path, runs_path):
    folder, name = Path(path).parent, Path(path).name
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    runs, results = json.loads(Path(runs_path).read_text()), []
    for run in runs:
        ids, tokens = run["ids"], run["tokens"]
        with torch.no_grad():
            logits = model(torch.tensor([ids + tokens[:-1]])).logits[0, len(ids) - 1 :]
        mine = torch.log_softmax(logits.double(), -1)
        difference = max(
            abs(mine[i, entry["id"]].item() - entry["logprob"])
            for i, entries in enumerate(run["logprobs"])
            for entry in entries
        )
        best = mine.argmax(-1).tolist()
        same = next((i for i, (a, b) in enumerate(zip(best, tokens)) if a != b), len(tokens))
        margin = None
        if same < len(tokens):
            margin = mine[same, best[same]].item() - mine[same, tokens[same]].item()
        results.append(
            {"promptTokens": len(ids), "largestDifference": difference, "sameTokens": same, "margin": margin}
        )
    whole = sum(result["sameTokens"] == len(run["tokens"]) for result, run in zip(results, runs))
    print(
        json.dumps(
            {
                "model": name,
                "largestDifference": max(result["largestDifference"] for result in results),
                "equalContinuations": whole,
                "of": len(runs),
                "prompts": results,
            },
            indent=2,
        )
    )


main(*sys.argv[1:])
