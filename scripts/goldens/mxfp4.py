"""gpt-oss-mxfp4: a tiny gpt-oss whose experts are MXFP4, as its published safetensors have them and as GGUF has them.

Both hold the same values: those that transformers dequantizes, on which the golden's logits are computed.
"""

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

import checkpoints
import decoders
import families
import random_blocks
import small_tokenizer
from fixture import tensor, versions, write_json
from reference import error, logits_of, to_float64

CONFIG = decoders.DECODERS["gpt_oss"] | {
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_local_experts": 4,
    "hidden_size": 64,
}
QUANTIZATION = {
    "quant_method": "mxfp4",
    "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"],
}
EXPERTS = ("gate_up_proj", "down_proj")


def packed(values):
    """float32 [experts, in, out] -> u8 blocks [experts, out, in / 32, 16], u8 exponents [experts, out, in / 32]."""
    rows = np.ascontiguousarray(values.numpy().swapaxes(1, 2))
    blocks = quantize(rows, Type.MXFP4).reshape(*rows.shape[:2], -1, 17)
    # GGUF has the first half of a block in low nibbles, gpt-oss has every other value there.
    codes = np.concatenate([blocks[..., 1:] & 15, blocks[..., 1:] >> 4], -1)
    pairs = codes[..., ::2] | codes[..., 1::2] << 4
    return torch.tensor(pairs), torch.tensor(np.ascontiguousarray(blocks[..., 0]))


def quantized(state):
    """What the checkpoint stores, and the float32 values that it stands for."""
    stored, values = {}, {}
    for name, value in state.items():
        if name.endswith(EXPERTS):
            blocks, scales = packed(value)
            stored |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
            values[name] = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
        else:
            stored[name] = value.to(torch.bfloat16)
            values[name] = stored[name].float()
    return stored, values


def gguf_tensors(values):
    tensors = {}
    for name, array in decoders.gguf_tensors("gpt_oss", CONFIG, values).items():
        if not name.endswith("_exps.weight"):
            tensors[name] = (array, Type.F32)
            continue
        blocks = quantize(array, Type.MXFP4)
        assert np.array_equal(dequantize(blocks, Type.MXFP4), array), name
        tensors[name] = (blocks, Type.MXFP4)
    return tensors


def make(data, out, seed=20261216):
    folder = out / "gpt-oss-mxfp4"
    text = (data / "frankenstein-150k.txt").read_text(encoding="utf-8")
    tokenizer = small_tokenizer.train(text, decoders.VOCAB, ["<s>", "</s>"], all_bytes=False)
    small_tokenizer.add_bos(tokenizer, "<s>")
    model = families.model_of(CONFIG)
    checkpoints.randomize(model, seed)
    stored, values = quantized(checkpoints.state_of(model))
    config = CONFIG | {"quantization_config": QUANTIZATION}
    checkpoints.write_folder(folder / "safetensors", config, stored, tokenizer, families.TOKENIZER)

    def metadata(writer):
        decoders.add_keys(writer, "gpt_oss", CONFIG)
        families.add_tokenizer(writer, tokenizer)

    path = folder / "mxfp4.gguf"
    random_blocks.write_gguf(path, gguf_tensors(values), "gpt-oss", metadata)
    random = np.random.default_rng(seed)
    prompts = [random.integers(2, decoders.VOCAB, length).tolist() for length in decoders.LENGTHS]
    single = families.model_of(CONFIG, values)
    logits = torch.cat([logits_of(single, ids)[-8:] for ids in prompts])
    double = to_float64(single)
    exact = torch.cat([logits_of(double, ids)[-8:] for ids in prompts])
    variant = {"logits": tensor(exact), "float32Error": error(logits, exact)}
    golden = {
        "versions": versions(*families.PACKAGES),
        "seed": seed,
        "computedIn": "float64",
        "rows": "the last 8 positions (or all, if fewer) of each prompt, one prompt after another",
        "prompts": prompts,
        "variants": {"safetensors": variant, "mxfp4.gguf": variant},
        "dequantizedSha256": {"mxfp4.gguf": checkpoints.dequantized_hashes(path)},
    }
    write_json(folder / "golden.json", golden)
