"""Families whose layers have a state in the place of attention, and what llama.cpp's converter makes of their checkpoints."""

import numpy as np

LAYERS = ["conv", "full_attention", "conv", "conv"]

CONFIGS = {
    "lfm2": {
        "model_type": "lfm2",
        "tie_word_embeddings": True,
        "num_hidden_layers": 4,
        "layer_types": LAYERS,
        "intermediate_size": 60,
        "block_multiple_of": 8,
        "block_auto_adjust_ff_dim": True,
        "block_ffn_dim_multiplier": 1.0,
        "conv_L_cache": 3,
        "norm_eps": 1e-5,
        "rope_theta": 1000000.0,
    },
}


def is_state_layer(kind):
    return kind in ("conv", "linear_attention")


def own_scale(name, shape, random):
    """Values of parameters that only these families have, or None."""
    if "conv" in name and len(shape) == 3:
        return random.standard_normal(shape) * 1.2 / np.sqrt(shape[2])
    if name.endswith("A_log"):  # some states fade within a few rows, others hardly
        return np.log(random.uniform(0.02, 2.0, shape))
    return random.standard_normal(shape) if name.endswith("dt_bias") else None


def gguf_array(tensor, array):
    """Convolutions lose their dimension of one."""
    return array.squeeze(1) if "conv" in tensor and array.ndim == 3 else array


def ffn_size(config):
    size = int(2 * config["intermediate_size"] / 3)
    unit = config["block_multiple_of"]
    return unit * -(-int(config["block_ffn_dim_multiplier"] * size) // unit)


def add_keys(writer, config):
    if config["model_type"] == "lfm2":
        writer.add_shortconv_l_cache(config["conv_L_cache"])


def kv_heads(config):
    return [0 if is_state_layer(kind) else config["num_key_value_heads"] for kind in config["layer_types"]]
