"""Runs a `transformers` model and records what it computes, in float32 as it comes and in true float64.

`transformers` converts to float32 in the middle of its models, whatever their dtype: norms, rotary angles, softmax. `to_float64`
leaves these conversions out. Rotary frequencies keep their float32 values: they are parameters of the model.
"""

from contextlib import contextmanager

import torch

TENSOR, FUNCTIONAL = torch.Tensor, torch.nn.functional


@contextmanager
def no_float32():
    """Meanwhile whoever asks for float32 gets float64."""
    to, to_type, to_float, softmax = TENSOR.to, TENSOR.type, TENSOR.float, FUNCTIONAL.softmax
    wide = lambda value: torch.float64 if value is torch.float32 else value  # noqa: E731
    TENSOR.to = lambda self, *a, **k: to(self, *map(wide, a), **{name: wide(value) for name, value in k.items()})
    TENSOR.type = lambda self, *a, **k: to_type(self, *map(wide, a), **k)
    TENSOR.float = lambda self: to(self, torch.float64)
    FUNCTIONAL.softmax = lambda *a, **k: softmax(*a, **{name: wide(value) for name, value in k.items()})
    try:
        yield
    finally:
        TENSOR.to, TENSOR.type, TENSOR.float, FUNCTIONAL.softmax = to, to_type, to_float, softmax


def to_float64(model):
    """The model itself, changed to compute everything in float64."""
    frequencies = {name: buffer.clone() for name, buffer in model.named_buffers() if name.endswith("inv_freq")}
    model = model.double().eval()
    buffers = dict(model.named_buffers())
    assert all(torch.equal(buffers[name].float(), buffer) for name, buffer in frequencies.items())
    forward = model.forward

    def in_float64(*args, **kwargs):
        with no_float32():
            return forward(*args, **kwargs)

    model.forward = in_float64
    return model


@torch.no_grad()
def logits_of(model, ids):
    """[len(ids), vocab]"""
    return model(torch.tensor([ids]), use_cache=False).logits[0]


@torch.no_grad()
def hidden_of(model, ids):
    """[n_layers + 2, len(ids), hidden]: embeddings, after each block, after the final norm; and the logits."""
    body = model.base_model
    blocks = body.layers if hasattr(body, "layers") else body.h
    names = ("norm", "ln_f", "final_layernorm", "final_layer_norm", "embedding_norm")
    final_norm = next(getattr(body, name) for name in names if hasattr(body, name))
    taken = []

    def take_input(_module, args, kwargs):
        taken.append(args[0] if args else kwargs["hidden_states"])

    def take_output(_module, _args, output):
        taken.append(output[0] if isinstance(output, tuple) else output)

    hooks = [blocks[0].register_forward_pre_hook(take_input, with_kwargs=True)]
    hooks += [module.register_forward_hook(take_output) for module in [*blocks, final_norm]]
    try:
        logits = logits_of(model, ids)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack([x.reshape(len(ids), -1) for x in taken]), logits


@torch.no_grad()
def greedy(model, ids, count):
    """(the next `count` ids, end-of-text ignored; the smallest distance between the best two logits)."""
    tokens, gap = torch.tensor([ids]), float("inf")
    cache, step = None, tokens
    for _ in range(count):
        out = model(step, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        best = out.logits[0, -1].topk(2)
        gap = min(gap, (best.values[0] - best.values[1]).item())
        step = best.indices[:1][None]
        tokens = torch.cat([tokens, step], 1)
    return tokens[0, len(ids) :].tolist(), gap


def error(measured, truth):
    """Largest and root mean square difference."""
    difference = torch.as_tensor(measured).double() - torch.as_tensor(truth).double()
    return {"max": difference.abs().max().item(), "rms": difference.pow(2).mean().sqrt().item()}
