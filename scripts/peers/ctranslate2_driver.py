"""CTranslate2: ctranslate2_driver.py FOLDER THREADS

Generates with top-k 40 and temperature 0.7. Prompts go through `generate_batch`, which computes the logits of the last
position only; `forward_batch` would compute all of them.
"""

import sys
import time
from pathlib import Path

import ctranslate2
import json

from line_protocol import Generate, serve


def load() -> Generate:
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    vocabulary = json.loads((folder / "vocabulary.json").read_text())
    generator = ctranslate2.Generator(str(folder), device="cpu", inter_threads=1, intra_threads=threads)

    def generate(prompts: list[list[int]], new_tokens: int) -> tuple[float, float]:
        tokens = [[vocabulary[i] for i in prompt] for prompt in prompts]
        steps: list[float] = []

        def note(_step: ctranslate2.GenerationStepResult) -> bool:
            steps.append(time.perf_counter())
            return False

        started = time.perf_counter()
        results = generator.generate_batch(
            tokens,
            max_length=new_tokens,
            min_length=new_tokens,
            sampling_topk=40,
            sampling_temperature=0.7,
            include_prompt_in_result=False,
            callback=note,
        )
        made = [len(result.sequences_ids[0]) for result in results]
        if any(count != new_tokens for count in made):
            raise RuntimeError(f"wanted {new_tokens} tokens, got {made}")
        first = steps[len(prompts) - 1]
        return first - started, steps[-1] - first

    return generate


serve(load)
