"""Every block type of GGUF, and tensors of safetensors with scales beside them, as their reference dequantizes them.

block-types        blocks.gguf: a tensor of random blocks of each type, with scales at the ends of what a file can say.
                   scaled.safetensors: FP8 and MXFP4, with such scales. golden.json: hashes of the float32 values.
tiny-llama-blocks  a small Llama in each block type of 256 values, whose narrow tensors are in one of 32, as llama.cpp mixes
                   them; and as an FP8 folder. golden.json: its logits, and hashes of its tensors.
"""

import hashlib

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import save_file
from transformers import LlamaForCausalLM
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

import checkpoints
import random_blocks
import small_tokenizer
import tiny
from fixture import versions, write_json

BLOCKS = 40
CONFIG = tiny.LLAMA | {
    "hidden_size": 256,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 131,
    "tie_word_embeddings": True,
}
# file -> (type of rows of 256, type of rows of 64)
FILES = {
    "q2_k.gguf": (Type.Q2_K, Type.Q5_0),
    "q3_k.gguf": (Type.Q3_K, Type.Q5_1),
    "q4_k.gguf": (Type.Q4_K, Type.IQ4_NL),
    "q5_k.gguf": (Type.Q5_K, Type.MXFP4),
    "q6_k.gguf": (Type.Q6_K, Type.Q8_0),
    "iq4_xs.gguf": (Type.IQ4_XS, Type.Q4_1),
}
FP8_BLOCK = 128
FP8_LARGEST = 448.0


def short_hashes(values):
    """The first 8 hex digits of the sha256 of each row's bytes."""
    rows = np.ascontiguousarray(values, "<f4")
    rows = np.where(np.isnan(rows), np.float32(np.nan), rows)
    return [hashlib.sha256(row.tobytes()).hexdigest()[:8] for row in rows]


def make_blocks(out, seed):
    random = np.random.default_rng(seed)
    stored, hashes = {}, {}
    for kind in random_blocks.HALVES:
        size = random_blocks.GGML_QUANT_SIZES[kind][1]
        blocks = random_blocks.extreme(kind, BLOCKS, random)
        if size <= 4:  # plain floats: rows of 32
            blocks = random_blocks.extreme(kind, BLOCKS * 32, random).reshape(BLOCKS, -1)
        stored[kind.name] = (blocks, kind)
        hashes[kind.name] = short_hashes(random_blocks.values_of(blocks, kind))
    random_blocks.write_gguf(out / "blocks.gguf", stored)
    return hashes


def fp8_values(weight, scales):
    return Fp8Dequantize(None)._dequantize_one(weight, scales, output_dtype=torch.float32)


def extreme_scales(shape, random):
    values = random.standard_normal(shape).astype(np.float32).reshape(-1)
    ends = np.array([0.0, -0.0, 1e-45, -1e-40, 1.2e-38, 3e38, -3e38, np.inf, -np.inf, np.nan], np.float32)
    chosen = random.random(values.size) < 0.3
    values[chosen] = random.choice(ends, chosen.sum())
    return torch.tensor(values.reshape(shape))


def make_scaled(out, seed):
    random = np.random.default_rng(seed)
    tensors, hashes = {}, {}
    fp8 = {"block": ((256, 384), (2, 3)), "row": ((48, 96), (48, 1)), "tensor": ((16, 32), (1,)), "experts": ((2, 128, 256), (2, 1, 2))}
    for name, (shape, grid) in fp8.items():
        weight = torch.tensor(random.integers(0, 256, shape, np.uint8)).view(torch.float8_e4m3fn)
        scales = extreme_scales(grid, random)
        tensors |= {f"{name}.weight": weight, f"{name}.weight_scale_inv": scales}
        values = fp8_values(weight, scales.reshape(1, 1) if name == "tensor" else scales)
        hashes[name] = short_hashes(values.reshape(-1, shape[-1]).numpy())
    blocks = torch.tensor(random.integers(0, 256, (3, 10, 2, 16), np.uint8))
    exponents = torch.tensor(random.integers(0, 256, (3, 10, 2), np.uint8))
    exponents.view(-1)[:9] = torch.tensor(random_blocks.EXTREME_EXPONENTS, dtype=torch.uint8)
    tensors |= {"experts_blocks": blocks, "experts_scales": exponents}
    # [experts, in, out]
    values = convert_moe_packed_tensors(blocks, exponents, dtype=torch.float32)
    hashes["mxfp4"] = short_hashes(values.reshape(-1, 10).numpy())
    save_file(tensors, out / "scaled.safetensors")
    (out / "scaled.safetensors").chmod(0o644)
    return hashes


def block_tensors(like, kinds, random):
    """GGUF name -> (stored, kind) of random weights of the sizes of `like`."""
    tensors = {}
    for name, value in checkpoints.gguf_tensors(like, CONFIG).items():
        if value.ndim == 1:
            tensors[name] = (value, Type.F32)
            continue
        spread = checkpoints.LOGIT_SPREAD if name == "token_embd.weight" else 1.4
        kind = kinds[0] if value.shape[1] == 256 else kinds[1]
        stored = random_blocks.weights(kind, value.shape, spread / np.sqrt(value.shape[1]), random)
        tensors[name] = (stored, kind)
    return tensors


def quantized_fp8(weight):
    """(E4M3 values, a scale for each block of 128 x 128)"""
    rows, columns = weight.shape
    blocks = [(rows + FP8_BLOCK - 1) // FP8_BLOCK, (columns + FP8_BLOCK - 1) // FP8_BLOCK]
    scales = torch.empty(blocks)
    values = torch.empty_like(weight)
    for i in range(blocks[0]):
        for j in range(blocks[1]):
            at = (slice(i * FP8_BLOCK, (i + 1) * FP8_BLOCK), slice(j * FP8_BLOCK, (j + 1) * FP8_BLOCK))
            scales[i, j] = weight[at].abs().max() / FP8_LARGEST
            values[at] = weight[at] / scales[i, j]
    return values.to(torch.float8_e4m3fn), scales


def make_fp8(folder, state, tokenizer):
    """Writes the folder; the state that it stands for."""
    stored, values = {}, {}
    for name, value in state.items():
        if "_proj" in name:
            weight, scales = quantized_fp8(value)
            stored |= {name: weight, f"{name}_scale_inv": scales}
            values[name] = fp8_values(weight, scales)
        else:
            stored[name] = value.to(torch.bfloat16)
            values[name] = stored[name].float()
    quantization = {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "quant_method": "fp8",
        "weight_block_size": [FP8_BLOCK, FP8_BLOCK],
    }
    config = CONFIG | {"quantization_config": quantization}
    checkpoints.write_folder(folder, config, stored, tokenizer, tiny.LLAMA_TOKENIZER)
    return values


def metadata(tokenizer):
    add = tiny.llama_metadata(CONFIG, tokenizer)

    def add_all(writer):
        add(writer)
        writer.add_key_length(CONFIG["head_dim"])
        writer.add_value_length(CONFIG["head_dim"])

    return add_all


def make_models(data, out, seed):
    text = (data / "frankenstein-150k.txt").read_text(encoding="utf-8")
    tokenizer = small_tokenizer.train(text, CONFIG["vocab_size"], ["<s>", "</s>"], all_bytes=False)
    small_tokenizer.add_bos(tokenizer, "<s>")
    state = tiny.random_checkpoint(LlamaForCausalLM, CONFIG, seed)
    prompts = tiny.random_prompts(seed, CONFIG["vocab_size"])
    random = np.random.default_rng(seed)
    values, hashes = {}, {}
    for name, kinds in FILES.items():
        path = out / name
        random_blocks.write_gguf(path, block_tensors(state, kinds, random), "llama", metadata(tokenizer))
        values[name] = checkpoints.state_from_gguf(path, state, CONFIG)
        hashes[name] = checkpoints.dequantized_hashes(path)
    values["fp8"] = make_fp8(out / "fp8", state, tokenizer)
    golden = {
        "versions": versions(*tiny.PACKAGES),
        "seed": seed,
        "computedIn": "float64",
        "rows": "the last 8 positions (or all, if fewer) of each prompt, one prompt after another",
        "prompts": prompts,
        "variants": {name: tiny.variant_golden(CONFIG, stored, prompts) for name, stored in values.items()},
        "dequantizedSha256": hashes,
    }
    write_json(out / "golden.json", golden)


def make(data, out, seed=20261215):
    folder = out / "block-types"
    folder.mkdir(parents=True, exist_ok=True)
    golden = {
        "versions": versions(*tiny.PACKAGES),
        "seed": seed,
        "hashes": "the first 8 hex digits of sha256 of the float32 bytes of each block or row; what is no number is 0x7fc00000",
        "blocks": make_blocks(folder, seed),
        "scaled": make_scaled(folder, seed),
    }
    write_json(folder / "golden.json", golden)
    make_models(data, out / "tiny-llama-blocks", seed)
