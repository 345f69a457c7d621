"""PyTorch through transformers, float32: pytorch_driver.py FOLDER THREADS

A plain loop over `forward` with its KV cache and top-k 40 sampling, which is faster than `generate()`.
"""

import sys
import time

import torch
from transformers import AutoModelForCausalLM

from line_protocol import Generate, serve


def sample(logits: torch.Tensor) -> torch.Tensor:
    """[batch, vocabulary] to [batch, 1]."""
    values, ids = torch.topk(logits, 40)
    chosen = torch.multinomial(torch.softmax(values / 0.7, dim=-1), 1)
    return ids.gather(1, chosen)


def load() -> Generate:
    folder, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def generate(prompts: list[list[int]], new_tokens: int) -> tuple[float, float]:
        started = time.perf_counter()
        output = model(input_ids=torch.tensor(prompts), use_cache=True, logits_to_keep=1)
        token = sample(output.logits[:, -1])
        first = time.perf_counter()
        for _ in range(new_tokens - 1):
            output = model(input_ids=token, past_key_values=output.past_key_values, logits_to_keep=1)
            token = sample(output.logits[:, -1])
        return first - started, time.perf_counter() - first

    return generate


serve(load)
