"""LoRA adapters that PEFT saves on tiny checkpoints, and what they compute there; one of them also as llama.cpp's converter
writes it. Only the adapters are kept: their bases are other fixtures."""

import json
import shutil

import gguf
import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from checkpoints import LLAMA_NAMES, halves_to_pairs
from fixture import tensor, versions, write_json
from reference import error, logits_of, to_float64

SEED = 20261222
TOKENS = 12
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LLAMA = "tiny-llama-variants/f32"

# name: base, configuration
ADAPTERS = {
    "llama-qv": (LLAMA, {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]}),
    "llama-qk": (LLAMA, {"r": 2, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj"]}),
    "llama-all": (
        LLAMA,
        {
            "r": 3,
            "lora_alpha": 5,
            "target_modules": LINEARS,
            "use_rslora": True,
            "rank_pattern": {"model.layers.1.self_attn.q_proj": 5, "up_proj": 1},
            "alpha_pattern": {"k_proj": 9, "model.layers.0.mlp.down_proj": 2},
        },
    ),
    "llama-head": (LLAMA, {"r": 2, "lora_alpha": 4, "target_modules": ["lm_head", "o_proj"]}),
    "gpt2": ("tiny-gpt2", {"r": 3, "lora_alpha": 6, "target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
    "phi3": ("families/phi3", {"r": 3, "lora_alpha": 6, "target_modules": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]}),
    "neox": ("families/gpt_neox", {"r": 2, "lora_alpha": 4, "target_modules": ["query_key_value", "dense_4h_to_h"]}),
}
# Of these the converted form is kept too.
AS_GGUF = ("llama-qk",)


def randomize(model, seed):
    """B begins as zeros; here both matrices are large enough to change what comes out by much."""
    random = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        if "lora_" not in name:
            continue
        values = random.standard_normal(tuple(parameter.shape)) / np.sqrt(parameter.shape[1])
        with torch.no_grad():
            parameter.copy_(torch.tensor(0.5 * values, dtype=torch.float32))


def keep(model, folder):
    """What PEFT saves, without its README and without paths of this machine."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = folder.name
    config["target_modules"] = sorted(config["target_modules"])
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    weights = folder / "adapter_model.safetensors"
    save_file(dict(sorted(load_file(weights).items())), weights, metadata={"format": "pt"})
    weights.chmod(0o644)


def write_gguf(folder, path, config):
    """As llama.cpp's convert_lora_to_gguf.py has it: rows of B of query and key in pairs."""
    heads = {"self_attn.q_proj": config.num_attention_heads, "self_attn.k_proj": config.num_key_value_heads}
    said = json.loads((folder / "adapter_config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(said["lora_alpha"]))
    for name, values in load_file(folder / "adapter_model.safetensors").items():
        layer, module = name.removeprefix("base_model.model.model.layers.").split(".", 1)
        module, side = module.removesuffix(".weight").split(".lora_")
        if side == "B" and module in heads:
            values = halves_to_pairs(values, heads[module])
        writer.add_tensor(f"blk.{layer}.{LLAMA_NAMES[module]}.weight.lora_{side.lower()}", values.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(out, fixtures):
    golden = {"versions": versions("torch", "transformers", "peft"), "seed": SEED, "adapters": {}}
    random = np.random.default_rng(SEED)
    for i, (name, (base, options)) in enumerate(ADAPTERS.items()):
        folder = out / "adapters" / name
        plain = AutoModelForCausalLM.from_pretrained(fixtures / base, dtype=torch.float32).eval()
        ids = random.integers(3, plain.config.vocab_size, TOKENS).tolist()
        without = logits_of(plain, ids)
        adapted = get_peft_model(plain, LoraConfig(task_type="CAUSAL_LM", **options))
        randomize(adapted, SEED + i)
        keep(adapted, folder)
        if name in AS_GGUF:
            write_gguf(folder, folder.with_suffix(".gguf"), plain.config)
        # As they are read from the file.
        fresh = AutoModelForCausalLM.from_pretrained(fixtures / base, dtype=torch.float32).eval()
        loaded = PeftModel.from_pretrained(fresh, folder).eval()
        single = logits_of(loaded, ids)
        truth = logits_of(to_float64(loaded), ids)
        change = (truth - without).abs().mean().item()
        assert change > 0.2, f"{name} changes logits by {change} only"
        golden["adapters"][name] = {
            "base": base,
            "ids": ids,
            "logits": tensor(truth.numpy()[-4:]),
            "float32Error": error(single[-4:], truth[-4:]),
        }
    write_json(out / "adapters" / "golden.json", golden)
