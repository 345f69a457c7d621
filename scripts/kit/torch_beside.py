"""PyTorch beside Kvasir: matrix peaks, or a Llama's shape in FP16 with random weights. One JSON result a line.

Usage: torch_beside.py peaks|1b|8b|tiny cuda|cpu
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

SHAPES = {  # width, layers, heads, kv heads, head, feed-forward, vocabulary
    "1b": (2048, 16, 32, 8, 64, 8192, 128_256),
    "8b": (4096, 32, 32, 8, 128, 14_336, 128_256),
    "tiny": (64, 2, 2, 1, 32, 128, 300),
}


def say(name: str, text: str, **values: float) -> None:
    print(json.dumps({"name": f"PyTorch {name}", "text": text, **values}), flush=True)


def seconds_of(work, device: str, repetitions: int) -> float:
    """Median seconds of one call, after two that do not count."""
    samples = []
    for i in range(repetitions + 2):
        if device == "cuda":
            torch.cuda.synchronize()
        begun = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if i >= 2:
            samples.append(time.perf_counter() - begun)
    return sorted(samples)[len(samples) // 2]


def peaks(device: str) -> None:
    n = 8192 if device == "cuda" else 64
    half = torch.randn(n, n, device=device).to(torch.float16)
    rate = 2 * n**3 / seconds_of(lambda: half @ half, device, 10)
    say("FP16", f"{rate / 1e12:.4g} tera-operations/s", perSecond=rate)
    a = torch.randint(-127, 127, (n, n), dtype=torch.int8, device=device)
    b = torch.randint(-127, 127, (n, n), dtype=torch.int8, device=device).t()
    rate = 2 * n**3 / seconds_of(lambda: torch._int_mm(a, b), device, 10)
    say("INT8", f"{rate / 1e12:.4g} tera-operations/s", perSecond=rate)


class Llama:
    """The linears, attention and norms of a Llama; a cache of fixed size; positions are not rotated."""

    def __init__(self, shape: tuple, device: str, batch: int, positions: int) -> None:
        self.width, self.n_layers, self.heads, self.kv_heads, self.head, self.feed, vocabulary = shape

        def weight(rows: int, columns: int) -> torch.Tensor:
            return torch.randn(rows, columns, device=device, dtype=torch.float16) * columns**-0.5

        joined = (self.heads + 2 * self.kv_heads) * self.head
        self.table = weight(vocabulary, self.width)
        self.layers = [
            (
                weight(joined, self.width),
                weight(self.width, self.heads * self.head),
                weight(2 * self.feed, self.width),
                weight(self.width, self.feed),
            )
            for _ in range(self.n_layers)
        ]
        self.resize(batch, positions)

    def resize(self, batch: int, positions: int) -> None:
        shape = (self.n_layers, 2, batch, self.kv_heads, positions, self.head)
        self.cache = torch.zeros(shape, device=self.table.device, dtype=torch.float16)

    def step(self, tokens: torch.Tensor, start: int) -> torch.Tensor:
        """tokens [batch, n] at positions start...; logits [batch, vocabulary] of the last."""
        batch, n = tokens.shape
        x = self.table[tokens]
        end = start + n
        for layer, (qkv, out, gate_up, down) in enumerate(self.layers):
            h = F.rms_norm(x, (self.width,))
            parts = (h @ qkv.t()).view(batch, n, -1, self.head).transpose(1, 2)
            q, k, v = parts.split([self.heads, self.kv_heads, self.kv_heads], dim=1)
            keys, values = self.cache[layer]
            keys[:, :, start:end] = k
            values[:, :, start:end] = v
            mixed = F.scaled_dot_product_attention(
                q, keys[:, :, :end], values[:, :, :end], is_causal=n > 1, enable_gqa=True
            )
            x = x + mixed.transpose(1, 2).reshape(batch, n, -1) @ out.t()
            gate, up = (F.rms_norm(x, (self.width,)) @ gate_up.t()).chunk(2, dim=-1)
            x = x + (F.silu(gate) * up) @ down.t()
        return F.rms_norm(x[:, -1], (self.width,)) @ self.table.t()


def replayed(work, device: str):
    """The same work as one CUDA graph."""
    if device != "cuda":
        return work
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def measure(name: str, device: str) -> None:
    small = name == "tiny"
    lengths = (8, 24) if small else (512, 4096)
    batches = (1, 3) if small else (1, 8, 32, 128)
    model = Llama(SHAPES[name], device, 1, lengths[1] + 1)
    for length in lengths:
        tokens = torch.randint(0, 256, (1, length), device=device)
        seconds = seconds_of(lambda: model.step(tokens, 0), device, 3)
        say(f"prefill {length}", f"{length / seconds:.0f} tokens/s", seconds=seconds)
    for depth in (0, lengths[1]):
        for batch in batches:
            try:
                model.cache = None
                model.resize(batch, depth + 1)
                tokens = torch.randint(0, 256, (batch, 1), device=device)
                work = replayed(lambda: model.step(tokens, depth), device)
                seconds = seconds_of(work, device, 20)
                text = f"{batch / seconds:.0f} tokens/s, {1e6 * seconds:.0f} us a step"
                say(f"decode, depth {depth}, batch {batch}", text, seconds=seconds)
            except torch.cuda.OutOfMemoryError:
                say(f"decode, depth {depth}, batch {batch}", "it does not fit into the memory")


with torch.inference_mode():
    peaks(sys.argv[2]) if sys.argv[1] == "peaks" else measure(sys.argv[1], sys.argv[2])
