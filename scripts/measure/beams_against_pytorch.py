"""PyTorch's side of beams-against-pytorch.mjs: beams_against_pytorch.py MODEL.gguf RUNS.json

Searches with `transformers` in float64, which decides what float32 leaves open, and prints what differs.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
from beams import searched  # noqa: E402


def main(path, runs_path):
    folder, name = Path(path).parent, Path(path).name
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=torch.float64, attn_implementation="eager"
    ).eval()
    runs = json.loads(Path(runs_path).read_text())
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    equal, ended, difference, differing = 0, 0, 0.0, []
    for number, case in enumerate(runs["cases"]):
        found = searched(
            model,
            case["prompt"],
            eos_token_id=ends,
            pad_token_id=ends[0],
            length_penalty=case["lengthPenalty"],
            early_stopping=case["earlyStopping"],
        )
        ours = case["found"]
        ended += any(beam["ended"] for beam in found)
        if [[beam["tokens"], beam["ended"]] for beam in found] == [[beam["tokens"], beam["ended"]] for beam in ours]:
            equal += 1
            difference = max(difference, *(abs(a["score"] - b["score"]) for a, b in zip(found, ours)))
        else:
            differing.append(
                {
                    "search": number,
                    "scores": [beam["score"] for beam in found],
                    "ours": [beam["score"] for beam in ours],
                    "same": [a["tokens"] == b["tokens"] for a, b in zip(found, ours)],
                }
            )
    print(
        json.dumps(
            {
                "model": name,
                "ends": ends,
                "searches": len(runs["cases"]),
                "withEnds": ended,
                "equal": equal,
                "largestScoreDifference": difference,
                "differing": differing,
            },
            indent=2,
        )
    )


main(*sys.argv[1:])
