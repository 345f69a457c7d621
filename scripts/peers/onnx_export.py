"""Writes a Llama in ONNX for onnxruntime: float32, and INT8 by onnxruntime's own dynamic quantization.

The exporters for transformers models are packages of their own, so the few lines that a Llama is are written here and
checked against transformers before they are exported. Usage: onnx_export.py HUGGING_FACE_FOLDER OUT
"""

import sys
from pathlib import Path

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

LARGEST_DIFFERENCE = 1e-3
OPSET = 17


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


class CachedLlama(nn.Module):
    """ids [B, T], past keys and values [layers, B, KV heads, P, head] to logits [B, vocabulary] and the new caches."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        config = model.config
        self.body, self.head = model.model, model.lm_head
        self.head_size = config.hidden_size // config.num_attention_heads
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        frequencies = config.rope_parameters["rope_theta"] ** (-torch.arange(0, self.head_size, 2) / self.head_size)
        angles = torch.outer(torch.arange(config.max_position_embeddings).float(), frequencies)
        self.register_buffer("cos", torch.cat((angles, angles), -1).cos())
        self.register_buffer("sin", torch.cat((angles, angles), -1).sin())

    def attend(self, layer: nn.Module, x: Tensor, cache: tuple[Tensor, Tensor], mask: Tensor, at: Tensor):
        batch, length, width = x.shape
        attention = layer.self_attn
        q = attention.q_proj(x).view(batch, length, self.heads, self.head_size).transpose(1, 2)
        k = attention.k_proj(x).view(batch, length, self.kv_heads, self.head_size).transpose(1, 2)
        v = attention.v_proj(x).view(batch, length, self.kv_heads, self.head_size).transpose(1, 2)
        cos, sin = self.cos[at], self.sin[at]
        keys = torch.cat((cache[0], rotate(k, cos, sin)), dim=2)
        values = torch.cat((cache[1], v), dim=2)
        # Query heads that share a key head are rows of one product, so keys are not repeated.
        group = self.heads // self.kv_heads
        q = rotate(q, cos, sin).reshape(batch, self.kv_heads, group, length, self.head_size)
        scores = q @ keys.unsqueeze(2).transpose(-1, -2) / self.head_size**0.5 + mask
        out = (torch.softmax(scores, dim=-1) @ values.unsqueeze(2)).reshape(batch, self.heads, length, -1)
        return attention.o_proj(out.transpose(1, 2).reshape(batch, length, width)), keys, values

    def forward(self, ids: Tensor, past_keys: Tensor, past_values: Tensor):
        past, length = past_keys.shape[3], ids.shape[1]
        at = torch.arange(past, past + length)
        ahead = torch.arange(past + length)[None, :] > at[:, None]
        mask = torch.zeros(ahead.shape).masked_fill(ahead, float("-inf"))
        x = self.body.embed_tokens(ids)
        keys, values = [], []
        for i, layer in enumerate(self.body.layers):
            cache = (past_keys[i], past_values[i])
            out, k, v = self.attend(layer, layer.input_layernorm(x), cache, mask, at)
            x = x + out
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            keys.append(k)
            values.append(v)
        return self.head(self.body.norm(x[:, -1])), torch.stack(keys), torch.stack(values)


def check(model: nn.Module, cached: CachedLlama, empty: Tensor) -> None:
    ids = torch.arange(1, 9)[None]
    _, keys, values = cached(ids[:, :5], empty, empty)
    logits, _, _ = cached(ids[:, 5:], keys, values)
    difference = (logits - model(input_ids=ids).logits[:, -1]).abs().max().item()
    if difference > LARGEST_DIFFERENCE:
        raise SystemExit(f"the ONNX form differs from transformers by {difference}")


@torch.inference_mode()
def main() -> None:
    folder, out = sys.argv[1], Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    cached = CachedLlama(model).eval()
    empty = torch.zeros(model.config.num_hidden_layers, 1, cached.kv_heads, 0, cached.head_size)
    check(model, cached, empty)
    past = empty.new_zeros(*empty.shape[:3], 3, empty.shape[4])
    cache_axes = {1: "batch", 3: "past"}
    float32 = out / "float32.onnx"
    torch.onnx.export(
        cached,
        (torch.arange(1, 5)[None], past, past),
        float32,
        input_names=["ids", "past_keys", "past_values"],
        output_names=["logits", "keys", "values"],
        dynamic_axes={"ids": {0: "batch", 1: "length"}, "past_keys": cache_axes, "past_values": cache_axes},
        opset_version=OPSET,
        dynamo=False,
    )
    quantize_dynamic(float32, out / "int8.onnx", weight_type=QuantType.QInt8)


main()
