"""Families with gated delta nets: tiny configurations, what llama.cpp's converter makes of their checkpoints, and a layer that
predicts further tokens, which published checkpoints have too and no text asks for.
"""

import re

import numpy as np
import torch

SMALL = {
    "num_hidden_layers": 3,
    "full_attention_interval": 3,
    "linear_conv_kernel_dim": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "mtp_num_hidden_layers": 1,
    "tie_word_embeddings": True,
}
EXPERTS = {
    "head_dim": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
    "shared_expert_intermediate_size": 12,
}
# Of the heads' 16 or 8 dimensions four rotate.
SECTIONS = {"mrope_section": [11, 11, 10], "mrope_interleaved": True}
CONFIGS = {
    "qwen3_next": SMALL
    | EXPERTS
    | {
        "model_type": "qwen3_next",
        "linear_key_head_dim": 12,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    },
    "qwen3_5_text": SMALL
    | {
        "model_type": "qwen3_5_text",
        "num_hidden_layers": 4,
        "layer_types": ["linear_attention", "full_attention", "linear_attention", "full_attention"],
        "full_attention_interval": 4,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25} | SECTIONS,
    },
    "qwen3_5_moe_text": SMALL
    | EXPERTS
    | {
        "model_type": "qwen3_5_moe_text",
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5} | SECTIONS,
    },
}
ROUTED = {"qwen3_next", "qwen3_5_moe_text"}
ARCHITECTURES = {"qwen3_next": "qwen3next", "qwen3_5_text": "qwen35", "qwen3_5_moe_text": "qwen35moe"}
# What is only in the layer that predicts: published name -> GGUF's.
PREDICTING = {
    "fc": "eh_proj",
    "pre_fc_norm_embedding": "enorm",
    "pre_fc_norm_hidden": "hnorm",
    "norm": "shared_head_norm",
}


def is_less_one(name):
    """Of the norms' weights, those that are stored less one."""
    return name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight")


def _predicting(state, config, random):
    """A full layer and what stands around it."""
    size, last = config["hidden_size"], config["num_hidden_layers"] - 1
    at = f"model.layers.{last}."
    shapes = {f"layers.0.{name.removeprefix(at)}": value.shape for name, value in state.items() if name.startswith(at)}
    shapes |= {f"{name}.weight": (size, 2 * size) if name == "fc" else (size,) for name in PREDICTING}
    return {f"mtp.{name}": _random(shape, random) for name, shape in shapes.items()}


def _random(shape, random):
    return torch.tensor(0.2 * random.standard_normal(tuple(shape)), dtype=torch.float32)


def published(config, state):
    """`state` with a layer that predicts."""
    return state | _predicting(state, config, np.random.default_rng(1))


def _tiled(array, config, head_dim):
    """Rows of value heads, from those of each key head together to one of each key head in turn."""
    keys, values = config["linear_num_key_heads"], config["linear_num_value_heads"]
    parts = array.reshape(keys, values // keys, head_dim, *array.shape[1:])
    return parts.swapaxes(0, 1).reshape(array.shape)


def _reordered(name, array, config):
    """Value heads as llama.cpp has them in Qwen3.5."""
    size = config["linear_value_head_dim"]
    keys = 2 * config["linear_num_key_heads"] * config["linear_key_head_dim"]
    if "in_proj_qkv." in name or "conv1d" in name:
        return np.concatenate([array[:keys], _tiled(array[keys:], config, size)])
    if "in_proj_z" in name:
        return _tiled(array, config, size)
    if "out_proj" in name:
        return _tiled(array.T, config, size).T
    return array if "linear_attn.norm" in name else _tiled(array, config, 1)


def _qkv_and_z(array, config):
    """Of Qwen3-Next: rows of each key head together, to all queries, keys and values, and to z."""
    keys, size = config["linear_num_key_heads"], config["linear_key_head_dim"]
    values = config["linear_num_value_heads"] // keys * config["linear_value_head_dim"]
    groups = array.reshape(keys, 2 * size + 2 * values, -1)
    q, k, v, z = (part.reshape(-1, array.shape[1]) for part in np.split(groups, np.cumsum([size, size, values]), axis=1))
    return np.concatenate([q, k, v]), z


def gguf_arrays(name, config, tensors):
    """name -> array of what is published, to (name that the tensor map knows or that a GGUF file has, array)."""
    for tensor, array in tensors.items():
        layer = config["num_hidden_layers"]
        tensor = re.sub(r"^mtp\.layers\.0\.", f"model.layers.{layer}.", tensor)
        if is_less_one(tensor) or tensor.startswith("mtp.pre_fc_norm"):
            array = array + np.float32(1)
        if tensor.startswith("mtp."):
            yield f"blk.{layer}.nextn.{PREDICTING[tensor.split('.')[1]]}.weight", array
            continue
        if "linear_attn." in tensor and name != "qwen3_next":
            array = _reordered(tensor, array, config)
        if tensor.endswith("A_log"):
            array = -torch.exp(torch.tensor(array)).numpy()
        if "in_proj_qkvz" in tensor:
            at = f"blk.{tensor.split('.')[2]}"
            yield from zip((f"{at}.attn_qkv.weight", f"{at}.attn_gate.weight"), _qkv_and_z(array, config))
            continue
        if "gate_up_proj" in tensor:
            parts = zip(("gate_proj", "up_proj"), np.split(array, 2, axis=1))
            yield from ((f"{tensor.replace('gate_up_proj', part)}.weight", values) for part, values in parts)
            continue
        is_stacked = tensor.endswith("experts.down_proj")
        yield tensor.replace(".dt_bias", ".dt_proj.bias") + (".weight" if is_stacked else ""), array


def add_keys(writer, name, config):
    predicting = config["mtp_num_hidden_layers"]
    writer.add_nextn_predict_layers(predicting)
    writer.add_ssm_conv_kernel(config["linear_conv_kernel_dim"])
    writer.add_ssm_state_size(config["linear_key_head_dim"])
    writer.add_ssm_group_count(config["linear_num_key_heads"])
    writer.add_ssm_time_step_rank(config["linear_num_value_heads"])
    writer.add_ssm_inner_size(config["linear_value_head_dim"] * config["linear_num_value_heads"])
    interval = config["full_attention_interval"]
    every = ["linear_attention" if (i + 1) % interval else "full_attention" for i in range(config["num_hidden_layers"])]
    recurrent = [kind == "linear_attention" for kind in config.get("layer_types", every)]
    writer.add_array(f"{ARCHITECTURES[name]}.attention.recurrent_layers", recurrent + [False] * predicting)
    writer.add_full_attention_interval(interval)
    rope = config["rope_parameters"]
    writer.add_rope_dimension_count(int(config["head_dim"] * rope["partial_rotary_factor"]))
    if "mrope_section" in rope:
        writer.add_rope_dimension_sections(rope["mrope_section"] + [0])
