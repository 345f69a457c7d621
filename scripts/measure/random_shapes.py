"""Checkpoints of real sizes with random weights, for random-shapes.mjs: only their speed means anything.

    random_shapes.py <folder> [shape...]     into <folder>/<shape>, safetensors of bfloat16, up to 3.4 GB each

pip install -r scripts/goldens/requirements.txt; 12 GB of memory for the experts.
"""

import os
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "goldens"))
import small_tokenizer  # noqa: E402

TOKENS = 1000
COMMON = {"tie_word_embeddings": True, "max_position_embeddings": 32768, "bos_token_id": 0, "eos_token_id": 1}
SHAPES = {
    # Qwen3-0.6B
    "dense": {
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    # Four layers of OLMoE-1B-7B
    "experts": {
        "model_type": "olmoe",
        "vocab_size": 50304,
        "hidden_size": 2048,
        "intermediate_size": 1024,
        "num_hidden_layers": 4,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "num_experts": 64,
        "num_experts_per_tok": 8,
    },
    # Qwen3.5-0.8B with a smaller vocabulary
    "delta_net": {
        "model_type": "qwen3_5_text",
        "vocab_size": 50304,
        "hidden_size": 1024,
        "intermediate_size": 3584,
        "num_hidden_layers": 24,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 16,
    },
}


def main():
    folder, *names = sys.argv[1:]
    novel = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "texts", "frankenstein.txt")
    with open(novel, encoding="utf8") as file:
        tokenizer = small_tokenizer.train(file.read()[:200_000], TOKENS, ["<s>", "</s>"])
    for name in names or SHAPES:
        shape = COMMON | SHAPES[name]
        torch.manual_seed(1)
        torch.set_default_dtype(torch.bfloat16)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape))
        target = os.path.join(folder, name)
        model.save_pretrained(target, max_shard_size="8GB")
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(target)
        print(target, sum(parameter.numel() for parameter in model.parameters()), flush=True)
        del model


main()
