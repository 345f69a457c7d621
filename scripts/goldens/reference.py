"""Runs a `transformers` model and records what it computes, in float32 as it comes and in true float64.

`transformers` computes the RMS norms of Llama and of those after it and rotary angles in float32 whatever the dtype of the model; `to_float64`
replaces those two. (GPT-2 and the attention need no help.) Rotary frequencies keep their float32 values: they
are parameters of the model.
"""

import types

import torch


def _rms_norm(self, x):
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


def _rotary(self, x, position_ids, layer_type=None):
    angles = position_ids[..., None].to(x.dtype) * self.inv_freq.to(x.dtype)
    angles = torch.cat([angles, angles], -1)
    return angles.cos() * self.attention_scaling, angles.sin() * self.attention_scaling


def to_float64(model):
    """The model itself, changed to compute everything in float64."""
    frequencies = {name: buffer.clone() for name, buffer in model.named_buffers() if name.endswith("inv_freq")}
    model = model.double().eval()
    for name, module in model.named_modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = types.MethodType(_rms_norm, module)
        if type(module).__name__.endswith("RotaryEmbedding"):
            module.forward = types.MethodType(_rotary, module)
            assert torch.equal(module.inv_freq.float(), frequencies[f"{name}.inv_freq"])
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
    final_norm = body.norm if hasattr(body, "norm") else body.ln_f
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
