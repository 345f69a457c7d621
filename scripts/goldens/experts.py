"""Tiny configurations of families with experts, and what llama.cpp's converters make of their checkpoints."""

import re

import gguf
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.core_model_loading import revert_weight_conversion

EXPERTS = {"intermediate_size": 12, "num_local_experts": 6, "num_experts_per_tok": 2}
QWEN = {"intermediate_size": 20, "num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 12}
SCALES = {
    "embedding_multiplier": 4.0,
    "residual_multiplier": 0.5,
    "attention_multiplier": 0.3,
    "logits_scaling": 0.5,
    "attention_bias": True,
}
CONFIGS = {
    "mixtral": EXPERTS | {"model_type": "mixtral", "rope_theta": 1000000.0},
    "qwen2_moe": QWEN | {"model_type": "qwen2_moe", "shared_expert_intermediate_size": 20},
    "qwen3_moe": QWEN | {"model_type": "qwen3_moe", "head_dim": 12, "norm_topk_prob": True},
    "olmoe": {"model_type": "olmoe", "intermediate_size": 12, "num_experts": 6, "num_experts_per_tok": 2},
    "granitemoe": EXPERTS | SCALES | {"model_type": "granitemoe"},
    "granitemoeshared": EXPERTS | SCALES | {"model_type": "granitemoeshared", "shared_intermediate_size": 20},
    "gpt_oss": EXPERTS
    | {
        "model_type": "gpt_oss",
        "head_dim": 12,
        "num_hidden_layers": 3,
        "sliding_window": 20,
        "rope_parameters": {
            "rope_type": "yarn",
            "factor": 8.0,
            "truncate": False,
            "original_max_position_embeddings": 32,
            "rope_theta": 10000.0,
        },
    },
    "glm4_moe": {
        "model_type": "glm4_moe",
        "head_dim": 12,
        "num_hidden_layers": 3,
        "intermediate_size": 20,
        "moe_intermediate_size": 12,
        "n_routed_experts": 6,
        "num_experts_per_tok": 2,
        "n_shared_experts": 2,
        "n_group": 3,
        "topk_group": 2,
        "routed_scaling_factor": 1.5,
        "partial_rotary_factor": 0.5,
        "use_qk_norm": True,
        "attention_bias": True,
    },
    "ernie4_5_moe": {
        "model_type": "ernie4_5_moe",
        "num_hidden_layers": 3,
        "intermediate_size": 20,
        "moe_intermediate_size": 12,
        "moe_num_experts": 6,
        "moe_k": 2,
        "moe_num_shared_experts": 2,
        "use_bias": True,
        "rope_theta": 500000.0,
    },
    "hunyuan_v1_moe": {
        "model_type": "hunyuan_v1_moe",
        "intermediate_size": 12,
        "num_experts": 6,
        "moe_topk": 2,
        "head_dim": 12,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "alpha": 50.0, "factor": 1.0},
    },
}
ARCHITECTURES = {
    "mixtral": "llama",
    "qwen2_moe": "qwen2moe",
    "qwen3_moe": "qwen3moe",
    "granitemoeshared": "granitemoe",
    "gpt_oss": "gpt-oss",
    "glm4_moe": "glm4moe",
    "ernie4_5_moe": "ernie4_5-moe",
    "hunyuan_v1_moe": "hunyuan-moe",
}
PERMUTED = {"mixtral", "granitemoe", "granitemoeshared"}

EACH = re.compile(r"(.*\.experts)\.(\d+)\.(\w+)\.weight")


def published(config, state):
    """Under the names that `save_pretrained` writes: those of published files, with a tensor for each expert where they have one."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    reverted = revert_weight_conversion(model, dict(state))
    return {tensor: value.clone().contiguous() for tensor, value in reverted.items()}


def _split(name, array):
    """One tensor, or the two that the converter makes of one: those of gates and those of ups."""
    if "gate_up_proj" in name:  # gpt-oss: they take turns
        gate, up = array[..., ::2], array[..., 1::2]
        return {name.replace("gate_up_proj", "gate_proj"): gate, name.replace("gate_up_proj", "up_proj"): up}
    if "input_linear" in name:
        gate, up = np.split(array, 2, axis=-2)
        at = name.replace("block_sparse_moe.input_linear", "mlp.experts.").replace("shared_mlp.input_linear", "mlp.shared_expert.")
        return {at.replace("..", ".gate_proj."): gate, at.replace("..", ".up_proj."): up}
    return {name: array}


def _renamed(name):
    """As the tensor map knows it."""
    if name.endswith("sinks"):
        return f"{name}.weight"
    name = name.replace("e_score_correction_bias", "e_score_correction.bias")
    return re.sub(r"(mlp\.experts\.\w+_proj)(_bias)?$", lambda m: f"{m[1]}.{'bias' if m[2] else 'weight'}", name)


def stacked(tensors):
    """name -> array of what `published` gives, to what a converter looks up in the tensor map: experts as one, gates and ups apart."""
    merged, parts = {}, {}
    for name, array in tensors.items():
        each = EACH.fullmatch(name)
        if each:
            parts.setdefault(f"{each[1]}.{each[3]}.weight", {})[int(each[2])] = array
            continue
        transposed = array.ndim == 3 and name.endswith("_proj")  # gpt-oss
        for part, values in _split(name, array).items():
            values = values.swapaxes(1, 2) if transposed else values
            merged[_renamed(part)] = values
    for name, arrays in parts.items():
        merged[name] = np.stack([arrays[expert] for expert in sorted(arrays)])
    return merged


def add_keys(writer, name, config):
    for keys, add in (
        (("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"), writer.add_expert_count),
        (("num_experts_per_tok", "moe_k", "moe_topk"), writer.add_expert_used_count),
        (("n_group",), writer.add_expert_group_count),
        (("topk_group",), writer.add_expert_group_used_count),
        (("n_shared_experts", "moe_num_shared_experts"), writer.add_expert_shared_count),
        (("routed_scaling_factor",), writer.add_expert_weights_scale),
    ):
        found = [config[key] for key in keys if key in config]
        if found:
            add(found[0])
    if "moe_intermediate_size" in config or name == "gpt_oss":
        writer.add_expert_feed_forward_length(config.get("moe_intermediate_size", config.get("intermediate_size")))
    shared = {
        "qwen2_moe": config.get("shared_expert_intermediate_size"),
        "qwen3_next": config.get("shared_expert_intermediate_size"),
        "qwen3_5_moe_text": config.get("shared_expert_intermediate_size"),
        "granitemoeshared": config.get("shared_intermediate_size"),
        "hunyuan_v1_moe": config.get("intermediate_size"),
        "ernie4_5_moe": config.get("intermediate_size", 0) // config["num_key_value_heads"],  # not what it says
    }.get(name)
    if shared is not None:
        writer.add_expert_shared_feed_forward_length(shared)
    if name in ("glm4_moe", "ernie4_5_moe"):
        writer.add_leading_dense_block_count(1)
    if name == "glm4_moe":
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        writer.add_expert_weights_norm(True)
    if name == "ernie4_5_moe":
        writer.add_interleave_moe_layer_step(1)
