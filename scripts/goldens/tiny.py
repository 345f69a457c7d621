"""Tiny random checkpoints with what `transformers` computes from them.

tiny-llama           awkward sizes, head of its own, every hidden state, also with llama3 rope scaling
tiny-llama-variants  one smaller checkpoint in every container and dtype that we read
tiny-gpt2            Conv1D storage, biases, learned positions, tied head
"""

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import checkpoints
import small_tokenizer
from fixture import tensor, versions, write_json
from reference import error, greedy, hidden_of, logits_of, to_float64

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "gguf", "numpy")
LENGTHS = (1, 7, 40)
GREEDY = 16

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 96,
    "intermediate_size": 116,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "hidden_act": "silu",
    "vocab_size": 323,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
# Three of the eight frequencies stay, four are divided, one lies between.
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
# Rows of 64 and 96: what Q8_0, Q4_0 and Q4_1 need is a multiple of 32.
VARIANTS = LLAMA | {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "rope_theta": 100000.0,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}
GPT2 = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_inner": 136,
    "n_positions": 128,
    "n_ctx": 128,
    "vocab_size": 300,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
LLAMA_TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "add_bos_token": True,
    "add_eos_token": False,
    "clean_up_tokenization_spaces": False,
    "chat_template": small_tokenizer.LLAMA_TEMPLATE,
}
GPT2_TOKENIZER = {
    "tokenizer_class": "GPT2Tokenizer",
    "bos_token": "<|endoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "add_prefix_space": False,
    "clean_up_tokenization_spaces": False,
}
TEXTS = ["", "Hello", " the creature opened its eyes", "naïve 日本 🙂\n\ttabs  and 123", "<s>raw</s> special"]


def random_prompts(seed, vocab):
    random = np.random.default_rng(seed + 1)
    return [random.integers(2, vocab, length).tolist() for length in LENGTHS]


def load(kind, config, state):
    """A float32 model with these values."""
    model = kind((LlamaConfig if kind is LlamaForCausalLM else GPT2Config)(**config)).float().eval()
    missing, unexpected = model.load_state_dict({n: v.float() for n, v in state.items()}, strict=False)
    assert not unexpected and all(config["tie_word_embeddings"] and name == "lm_head.weight" for name in missing)
    model.tie_weights()
    return model


def random_checkpoint(kind, config, seed):
    model = kind((LlamaConfig if kind is LlamaForCausalLM else GPT2Config)(**config))
    checkpoints.randomize(model, seed)
    return checkpoints.state_of(model)


def full_golden(kind, config, state, seed):
    prompts = random_prompts(seed, config["vocab_size"])
    single = [hidden_of(load(kind, config, state), ids) for ids in prompts]
    model = to_float64(load(kind, config, state))
    exact = [hidden_of(model, ids) for ids in prompts]
    entries = []
    for ids, (hidden, logits) in zip(prompts, exact):
        continuation, gap = greedy(model, ids, GREEDY)
        entries.append(
            {
                "ids": ids,
                "hidden": tensor(hidden),
                "logits": tensor(logits),
                "greedyIds": continuation,
                "greedyMinGap": gap,
            }
        )
    return {
        "versions": versions(*PACKAGES),
        "seed": seed,
        "computedIn": "float64",
        "logitSpread": exact[-1][1].std().item(),
        "float32Error": {
            "hidden": error(torch.cat([h for h, _ in single], 1), torch.cat([h for h, _ in exact], 1)),
            "logits": error(torch.cat([x for _, x in single]), torch.cat([x for _, x in exact])),
        },
        "prompts": entries,
    }


def rope_golden(config, state, seed):
    config = config | {"rope_scaling": LLAMA3_ROPE}
    model = load(LlamaForCausalLM, config, state)
    frequencies = model.model.rotary_emb.inv_freq.clone()
    ids = random_prompts(seed, config["vocab_size"])[-1]
    logits = logits_of(model, ids)
    exact = logits_of(to_float64(model), ids)
    return {
        "ropeScaling": LLAMA3_ROPE,
        "inverseFrequencies": tensor(frequencies),
        "ids": ids,
        "logits": tensor(exact),
        "float32Error": error(logits, exact),
    }


def tokenization(tokenizer):
    return [{"text": text, "ids": tokenizer.encode(text).ids} for text in TEXTS]


def make_llama(data, out, seed=20250112):
    text = (data / "frankenstein-150k.txt").read_text(encoding="utf-8")
    tokenizer = small_tokenizer.train(text, LLAMA["vocab_size"], ["<s>", "</s>"])
    small_tokenizer.add_bos(tokenizer, "<s>")
    state = random_checkpoint(LlamaForCausalLM, LLAMA, seed)
    checkpoints.write_folder(out / "tiny-llama", LLAMA, state, tokenizer, LLAMA_TOKENIZER)
    golden = full_golden(LlamaForCausalLM, LLAMA, state, seed)
    golden["llama3Rope"] = rope_golden(LLAMA, state, seed)
    golden["tokenization"] = tokenization(tokenizer)
    write_json(out / "tiny-llama" / "golden.json", golden)
    make_variants(out / "tiny-llama-variants", tokenizer, seed + 1)


def llama_metadata(config, tokenizer):
    tokens, merges = small_tokenizer.tokens_and_merges(tokenizer)

    def add(writer):
        writer.add_name("tiny-llama")
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(config["num_attention_heads"])
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_rope_dimension_count(config["head_dim"])
        writer.add_rope_freq_base(config["rope_theta"])
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        writer.add_vocab_size(config["vocab_size"])
        add_tokenizer(writer, tokens, merges, n_special=2)
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(1)
        writer.add_add_bos_token(True)
        writer.add_chat_template(small_tokenizer.LLAMA_TEMPLATE)

    return add


def add_tokenizer(writer, tokens, merges, n_special):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if i < n_special else normal for i in range(len(tokens))])
    writer.add_token_merges(merges)


def type_rule(matrices, embedding=None):
    """Vectors stay float32, as every converter leaves them."""

    def rule(name, array):
        if array.ndim == 1:
            return Type.F32
        return embedding if embedding is not None and name == "token_embd.weight" else matrices

    return rule


def variant_golden(config, state, prompts):
    single = load(LlamaForCausalLM, config, state)
    logits = torch.cat([logits_of(single, ids)[-8:] for ids in prompts])
    model = to_float64(single)
    exact = torch.cat([logits_of(model, ids)[-8:] for ids in prompts])
    return {"logits": tensor(exact), "float32Error": error(logits, exact)}


def make_variants(out, tokenizer, seed):
    config = VARIANTS
    state = random_checkpoint(LlamaForCausalLM, config, seed)
    prompts = random_prompts(seed, config["vocab_size"])
    values, hashes = {}, {}
    for name, dtype, shards in [
        ("f32", torch.float32, 1),
        ("f16", torch.float16, 1),
        ("bf16", torch.bfloat16, 1),
        ("sharded", torch.float32, 3),
    ]:
        stored = {key: value.to(dtype) for key, value in state.items()}
        checkpoints.write_folder(out / name, config, stored, tokenizer, LLAMA_TOKENIZER, shards)
        values[name] = stored
    for name, rule in [
        ("f32.gguf", type_rule(Type.F32)),
        ("f16.gguf", type_rule(Type.F16)),
        ("bf16.gguf", type_rule(Type.BF16)),
        ("q8_0.gguf", type_rule(Type.Q8_0)),
        ("q4_0.gguf", type_rule(Type.Q4_0)),
        ("q4_1.gguf", type_rule(Type.Q4_1, embedding=Type.Q8_0)),
    ]:
        tensors = checkpoints.gguf_tensors(state, config)
        checkpoints.write_gguf(out / name, "llama", llama_metadata(config, tokenizer), tensors, rule)
        values[name] = checkpoints.state_from_gguf(out / name, state, config)
        hashes[name] = checkpoints.dequantized_hashes(out / name)
    golden = {
        "versions": versions(*PACKAGES),
        "seed": seed,
        "computedIn": "float64",
        "rows": "the last 8 positions (or all, if fewer) of each prompt, one prompt after another",
        "prompts": prompts,
        "variants": {name: variant_golden(config, stored, prompts) for name, stored in values.items()},
        "dequantizedSha256": hashes,
        "tokenization": tokenization(tokenizer),
    }
    write_json(out / "golden.json", golden)


def gpt2_metadata(config, tokenizer):
    tokens, merges = small_tokenizer.tokens_and_merges(tokenizer)

    def add(writer):
        writer.add_name("tiny-gpt2")
        writer.add_context_length(config["n_positions"])
        writer.add_embedding_length(config["n_embd"])
        writer.add_block_count(config["n_layer"])
        writer.add_feed_forward_length(config["n_inner"])
        writer.add_head_count(config["n_head"])
        writer.add_layer_norm_eps(config["layer_norm_epsilon"])
        add_tokenizer(writer, tokens, merges, n_special=1)
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(0)

    return add


def make_gpt2(data, out, seed=20250202):
    text = (data / "frankenstein-150k.txt").read_text(encoding="utf-8")
    tokenizer = small_tokenizer.train(text, GPT2["vocab_size"], ["<|endoftext|>"])
    state = random_checkpoint(GPT2LMHeadModel, GPT2, seed)
    checkpoints.write_folder(out / "tiny-gpt2", GPT2, state, tokenizer, GPT2_TOKENIZER)
    half = {name: value.half() for name, value in state.items()}
    checkpoints.write_folder(out / "tiny-gpt2-f16", GPT2, half, tokenizer, GPT2_TOKENIZER)
    path = out / "tiny-gpt2" / "tiny-gpt2-f32.gguf"
    tensors = checkpoints.gguf_tensors(state, GPT2)
    checkpoints.write_gguf(path, "gpt2", gpt2_metadata(GPT2, tokenizer), tensors, type_rule(Type.F32))
    back = checkpoints.state_from_gguf(path, state, GPT2)
    assert all(torch.equal(back[name], value) for name, value in state.items())
    for folder, stored in [("tiny-gpt2", state), ("tiny-gpt2-f16", half)]:
        golden = full_golden(GPT2LMHeadModel, GPT2, stored, seed)
        golden["tokenization"] = tokenization(tokenizer)
        write_json(out / folder / "golden.json", golden)
