"""Random weights that are not degenerate, and how a checkpoint is written as a Hugging Face folder or as GGUF."""

import hashlib
import json

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from safetensors.torch import save_file

import delta_nets
import states

# How much the logits of a random model spread.
LOGIT_SPREAD = 3.0

LLAMA_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
GPT2_NAMES = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
TOP_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
}


def randomize(model, seed):
    """Fills every parameter: norms around 1, biases away from 0, linears that keep the size of what passes."""
    random = np.random.default_rng(seed)
    config = model.config
    has_delta_nets = hasattr(config, "linear_num_key_heads")
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        values = random.standard_normal(shape)
        own = states.own_scale(name, shape, random)
        if own is not None:
            values = own
        elif name.endswith("bias"):
            values *= 0.1 if "e_score_correction" in name else 0.3
        elif name.endswith("sinks"):
            pass
        elif "norm" in name or ".ln_" in name:
            values = random.uniform(0.5, 1.5, shape)
            if config.model_type.startswith("gemma") or (has_delta_nets and delta_nets.is_less_one(name)):  # stored less one
                values -= 1
        elif any(table in name for table in ("embed_tokens", "wte", "embed_in", "word_embeddings")):
            tied = config.tie_word_embeddings
            values *= LOGIT_SPREAD / np.sqrt(shape[1]) if tied else 1.0
        elif "wpe" in name:
            values *= 0.3
        elif "lm_head" in name:
            values *= LOGIT_SPREAD / np.sqrt(shape[1])
        else:
            transposed = ".c_" in name or (config.model_type == "gpt_oss" and len(shape) == 3)
            values *= 1.4 / np.sqrt(shape[-2] if transposed else shape[-1])
            if config.model_type == "gpt_oss":  # gates and ups that the clamp changes
                values *= 3.0 if "gate_up_proj" in name else 0.03 if "down_proj" in name else 1.0
        with torch.no_grad():
            parameter.copy_(torch.tensor(values, dtype=torch.float32))
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            buffer.copy_(torch.tensor(0.1 * random.standard_normal(tuple(buffer.shape)), dtype=torch.float32))


def state_of(model):
    """The tensors that a checkpoint stores, in the order of the model."""
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    return {name: value.contiguous() for name, value in model.state_dict().items() if name not in tied}


def write_folder(folder, config, state, tokenizer, tokenizer_config, shards=1):
    """config and tokenizer_config: dicts; tokenizer: a tokenizers.Tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(state)
    if shards == 1:
        _save(state, folder / "model.safetensors")
    else:
        files = {f"model-{n + 1:05}-of-{shards:05}.safetensors": names[n::shards] for n in range(shards)}
        for file, own in files.items():
            _save({name: state[name] for name in own}, folder / file)
        index = {
            "metadata": {"total_size": sum(value.nbytes for value in state.values())},
            "weight_map": dict(sorted((name, file) for file, own in files.items() for name in own)),
        }
        _write(folder / "model.safetensors.index.json", index)
    dtype = str(next(iter(state.values())).dtype).removeprefix("torch.")
    _write(folder / "config.json", config | {"torch_dtype": dtype})
    ends = {key: config[key] for key in ("bos_token_id", "eos_token_id")}
    _write(folder / "generation_config.json", ends)
    _write(folder / "tokenizer_config.json", tokenizer_config)
    (folder / "tokenizer.json").write_text(tokenizer.to_str() + "\n", encoding="utf-8")


def _save(state, path):
    save_file(state, path, metadata={"format": "pt"})
    path.chmod(0o644)


def _write(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def halves_to_pairs(weight, heads):
    """Rows of each head (or values of its bias) from rotary halves (i, i + d/2) to adjacent pairs (2i, 2i + 1), as GGUF has them."""
    rows, *columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, *columns).swapaxes(1, 2).reshape(rows, *columns)


def pairs_to_halves(weight, heads):
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def gguf_name(name):
    stem, kind = name.rsplit(".", 1)
    if stem in TOP_NAMES:
        return f"{TOP_NAMES[stem]}.{kind}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{(LLAMA_NAMES | GPT2_NAMES)[rest]}.{kind}"


def gguf_tensors(state, config):
    """What a GGUF file of this checkpoint stores, in float32: name -> [out, in]."""
    tensors = {}
    for name, value in state.items():
        array = value.float().numpy()
        if name.endswith("q_proj.weight"):
            array = halves_to_pairs(array, config["num_attention_heads"])
        elif name.endswith("k_proj.weight"):
            array = halves_to_pairs(array, config["num_key_value_heads"])
        elif ".c_" in name and name.endswith(".weight"):
            array = array.T
        tensors[gguf_name(name)] = np.ascontiguousarray(array)
    return tensors


def state_from_gguf(path, state, config):
    """The dequantized tensors of a GGUF file under the names and in the layout of `state`."""
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    result = {}
    for name, like in state.items():
        tensor = stored[gguf_name(name)]
        array = dequantize(tensor.data, tensor.tensor_type)
        if name.endswith("q_proj.weight"):
            array = pairs_to_halves(array, config["num_attention_heads"])
        elif name.endswith("k_proj.weight"):
            array = pairs_to_halves(array, config["num_key_value_heads"])
        elif ".c_" in name and name.endswith(".weight"):
            array = array.T
        result[name] = torch.tensor(np.ascontiguousarray(array, np.float32)).reshape(like.shape)
    return result


def dequantized_hashes(path):
    """sha256 of the float32 bytes of every tensor, rows as the file has them."""
    hashes = {}
    for tensor in gguf.GGUFReader(path).tensors:
        values = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), "<f4")
        hashes[tensor.name] = hashlib.sha256(values.tobytes()).hexdigest()
    return hashes


def write_gguf(path, arch, metadata, tensors, types):
    """metadata(writer) adds the keys; types(name, array) -> GGMLQuantizationType."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, arch)
    metadata(writer)
    for name, array in tensors.items():
        kind = types(name, array)
        data = quantize(array, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
