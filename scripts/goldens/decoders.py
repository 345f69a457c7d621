"""Tiny configurations of decoder families, and what llama.cpp's converters make of their checkpoints.

Each entry is a configuration, the GGUF architecture, the keys that its converter writes beside those of all, and how it
rearranges tensors. Names of GGUF tensors are those of the `gguf` package.
"""

import math

import gguf
import numpy as np
from gguf import RopeScalingType as Scaling

import checkpoints
import delta_nets
import experts
import states

VOCAB = 131
WINDOW = 20
LENGTHS = (1, 5, 40)
# Prompts and what follows them go beyond the window and the original positions of a scaling.
BASE = {
    "hidden_size": 32,
    "intermediate_size": 28,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCAB,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32, "rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 10000.0,
}
PHI3_FACTORS = {"short_factor": [1.0, 1.1, 1.2], "long_factor": [1.0, 2.5, 6.0]}

CONFIGS = {
    "gemma": {"model_type": "gemma", "head_dim": 12, "tie_word_embeddings": True, "num_key_value_heads": 1},
    "gemma2": {
        "model_type": "gemma2",
        "head_dim": 12,
        "tie_word_embeddings": True,
        "query_pre_attn_scalar": 12,
        "sliding_window": WINDOW,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 6.0,
        "num_hidden_layers": 3,
    },
    "gemma3_text": {
        "model_type": "gemma3_text",
        "head_dim": 12,
        "tie_word_embeddings": True,
        "query_pre_attn_scalar": 12,
        "sliding_window": WINDOW,
        "layer_types": LAYERS,
        "num_hidden_layers": 3,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
    "phi3": {
        "model_type": "phi3",
        "original_max_position_embeddings": 32,
        "partial_rotary_factor": 0.75,
        "rope_scaling": {"type": "longrope", **PHI3_FACTORS},
        "sliding_window": 60,
    },
    "granite": {
        "model_type": "granite",
        "embedding_multiplier": 4.0,
        "residual_multiplier": 0.5,
        "attention_multiplier": 0.3,
        "logits_scaling": 0.5,
        "attention_bias": True,
    },
    "smollm3": {"model_type": "smollm3", "no_rope_layer_interval": 4, "num_hidden_layers": 4, "rope_theta": 50000.0},
    "olmo2": {"model_type": "olmo2"},
    "olmo3": {
        "model_type": "olmo3",
        "sliding_window": WINDOW,
        "layer_types": LAYERS,
        "num_hidden_layers": 3,
        "rope_scaling": {name: value for name, value in YARN.items() if name != "rope_theta"},
        "rope_theta": 500000.0,
    },
    "exaone4": {
        "model_type": "exaone4",
        "sliding_window": WINDOW,
        "sliding_window_pattern": 2,
        "layer_types": LAYERS,
        "num_hidden_layers": 3,
        "rope_parameters": LLAMA3,
    },
    "ministral3": {
        "model_type": "ministral3",
        "head_dim": 12,
        "rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.3},
    },
    "cohere2": {
        "model_type": "cohere2",
        "tie_word_embeddings": True,
        "sliding_window": WINDOW,
        "layer_types": LAYERS,
        "num_hidden_layers": 3,
        "logit_scale": 0.5,
    },
    "glm4": {"model_type": "glm4", "head_dim": 12, "partial_rotary_factor": 0.5},
    "hunyuan_v1_dense": {
        "model_type": "hunyuan_v1_dense",
        "head_dim": 12,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "alpha": 50.0, "factor": 1.0},
    },
    "ernie4_5": {"model_type": "ernie4_5", "head_dim": 12, "tie_word_embeddings": True, "use_bias": True, "rope_theta": 500000.0},
    "starcoder2": {"model_type": "starcoder2", "tie_word_embeddings": True, "sliding_window": WINDOW},
    "gpt_neox": {"model_type": "gpt_neox", "rotary_pct": 0.5, "rotary_emb_base": 10000},
    "falcon": {
        "model_type": "falcon",
        "tie_word_embeddings": True,
        "new_decoder_architecture": True,
        "num_kv_heads": 2,
        "bias": False,
    },
    "stablelm": {"model_type": "stablelm", "partial_rotary_factor": 0.5, "use_qkv_bias": True},
    "seed_oss": {"model_type": "seed_oss", "head_dim": 12},
    "phi": {"model_type": "phi", "partial_rotary_factor": 0.5},
}
# The first seed of each, beside which its greedy steps are clear.
SEEDS = {"stablelm": 20261301, "qwen3_5_moe_text": 20261302}
DECODERS = {
    name: BASE | own for name, own in (CONFIGS | experts.CONFIGS | states.CONFIGS | delta_nets.CONFIGS).items()
}

# The converter's class by GGUF architecture, where it is not the model type.
ARCHITECTURES = {
    "gemma3_text": "gemma3",
    "olmo3": "olmo2",
    "ministral3": "mistral3",
    "hunyuan_v1_dense": "hunyuan-dense",
    "gpt_neox": "gptneox",
    "phi": "phi2",
} | experts.ARCHITECTURES | delta_nets.ARCHITECTURES
# Those whose converter reorders the rows of q and k, so that neighbours rotate together.
PERMUTED = {"granite", "smollm3", "ministral3"} | experts.PERMUTED
ROUTED = {*experts.CONFIGS} | delta_nets.ROUTED
LAYER_NORM = {"cohere2", "starcoder2", "gpt_neox", "falcon", "stablelm", "phi"}
HF_NAMES = {"gpt_neox": {"lm_head.weight": "embed_out.weight"}}


def blocks(config):
    """Layers, and those behind the last one that predict further tokens."""
    return config["num_hidden_layers"] + config.get("mtp_num_hidden_layers", 0)


def stored(name, state):
    """The checkpoint under the names of published files."""
    if name in experts.CONFIGS or name == "qwen3_next":
        state = experts.published(DECODERS[name], state)
    if name in delta_nets.CONFIGS:
        state = delta_nets.published(DECODERS[name], state)
    names = HF_NAMES.get(name, {})
    return {names.get(tensor, tensor): value for tensor, value in state.items()}


def _grouped(value, heads, kv_heads):
    """Fused rows of each group of heads, to all queries, all keys, all values."""
    queries = heads // kv_heads
    groups = value.reshape(kv_heads, queries + 2, -1, *value.shape[1:])
    parts = groups[:, :queries], groups[:, queries : queries + 1], groups[:, queries + 1 :]
    return np.concatenate([part.reshape(-1, *value.shape[1:]) for part in parts])


def gguf_tensors(name, config, state):
    arch = ARCHITECTURES.get(name, name)
    key = next(key for key, text in gguf.MODEL_ARCH_NAMES.items() if text == arch)
    names = gguf.get_tensor_name_map(key, blocks(config))
    heads = config["num_attention_heads"]
    kv_heads = config["num_key_value_heads"]
    tensors = {}
    arrays = {tensor: states.gguf_array(tensor, value.float().numpy()) for tensor, value in stored(name, state).items()}
    if name in delta_nets.CONFIGS:
        arrays = dict(delta_nets.gguf_arrays(name, config, arrays))
    for tensor, array in (experts.stacked(arrays) if name in ROUTED else arrays).items():
        if name.startswith("gemma") and tensor.endswith("norm.weight"):
            array = array + np.float32(1)
        if name in PERMUTED and ("q_proj." in tensor or "k_proj." in tensor):
            array = checkpoints.halves_to_pairs(array, heads if "q_proj" in tensor else kv_heads)
        if name == "gpt_neox" and "query_key_value" in tensor:
            array = _grouped(array, heads, heads)
        if name == "falcon" and "query_key_value" in tensor:
            array = _grouped(array, heads, config["num_kv_heads"])
        found = tensor if tensor.startswith("blk.") else names.get_name(tensor, try_suffixes=(".weight", ".bias"))
        assert found is not None, f"gguf has no name for {tensor}"
        tensors[found] = np.ascontiguousarray(array)
    if name == "phi3":
        for kind in ("long", "short"):
            factors = np.array(PHI3_FACTORS[f"{kind}_factor"], np.float32)
            tensors[f"rope_factors_{kind}.weight"] = factors
    if config.get("rope_parameters", {}).get("rope_type") == "llama3":
        tensors["rope_freqs.weight"] = _llama3_factors(config["rope_parameters"], config["hidden_size"] // heads)
    return tensors


def _llama3_factors(rope, dim):
    frequencies = 1.0 / (rope["rope_theta"] ** (np.arange(0, dim, 2, dtype=np.float32) / dim))
    original, low, high = (rope[f"{n}"] for n in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor"))
    factors = []
    for wavelength in 2 * math.pi / frequencies:
        smooth = (original / wavelength - low) / (high - low)
        blend = 1 / ((1 - smooth) / rope["factor"] + smooth)
        factors.append(1.0 if smooth > 1 else rope["factor"] if smooth < 0 else blend)
    return np.array(factors, np.float32)


def _rope_keys(writer, name, config):
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type")
    theta = rope.get("rope_theta", config.get("rope_theta", 10000.0))
    if kind == "dynamic":
        theta *= rope["alpha"] ** (config["head_dim"] / (config["head_dim"] - 2))
    writer.add_rope_freq_base(theta)
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(Scaling.LINEAR if kind == "linear" else Scaling.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if name == "phi3":
        original, context = config["original_max_position_embeddings"], config["max_position_embeddings"]
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(context / original) / math.log(original)))
    if name == "ministral3":
        writer.add_rope_scaling_yarn_log_mul(rope["mscale_all_dim"])
        writer.add_attn_temperature_scale(rope["llama_4_scaling_beta"])


def _dimension_keys(writer, name, config):
    head_dim = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    if "head_dim" in config:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    part = config.get("partial_rotary_factor", config.get("rotary_pct"))
    if part is not None:
        writer.add_rope_dimension_count(int(head_dim * part))
    heads = config["num_attention_heads"]
    kv_heads = {"gpt_neox": heads, "falcon": config.get("num_kv_heads")}.get(name, config["num_key_value_heads"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(states.kv_heads(config) if name == "lfm2" else kv_heads)


# (key of the configuration, what writes it)
WRITTEN = {
    "sliding_window": "add_sliding_window",
    "attn_logit_softcapping": "add_attn_logit_softcapping",
    "final_logit_softcapping": "add_final_logit_softcapping",
    "embedding_multiplier": "add_embedding_scale",
    "residual_multiplier": "add_residual_scale",
    "attention_multiplier": "add_attention_scale",
    "logits_scaling": "add_logit_scale",
    "logit_scale": "add_logit_scale",
}


def add_keys(writer, name, config):
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(blocks(config))
    sizes = {"falcon": 4 * config["hidden_size"], "lfm2": name == "lfm2" and states.ffn_size(config)}
    if "intermediate_size" in config:
        writer.add_feed_forward_length(sizes.get(name, config["intermediate_size"]))
    if name in LAYER_NORM:
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    _dimension_keys(writer, name, config)
    _rope_keys(writer, name, config)
    for key, method in WRITTEN.items():
        if config.get(key) is not None:
            getattr(writer, method)(config[key])
    if name in states.CONFIGS:
        states.add_keys(writer, config)
    elif name in delta_nets.CONFIGS:
        delta_nets.add_keys(writer, name, config)
    elif "layer_types" in config:
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])
    if name in ROUTED:
        experts.add_keys(writer, name, config)
    if name in ("gpt_neox", "stablelm"):
        writer.add_parallel_residual(name == "gpt_neox")


for _name, _config in DECODERS.items():
    if _name not in LAYER_NORM:
        _config["rms_norm_eps"] = 1e-5
del DECODERS["qwen3_5_moe_text"]["intermediate_size"]  # all of its layers have experts
