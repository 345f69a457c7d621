"""A tiny random checkpoint of each family beside Llama and GPT-2, with what `transformers` computes from it.

One folder a family below test/fixtures/families/: config.json, the weights, and the same weights as GGUF where llama.cpp has
a name of its own for the family. All share one tokenizer.
"""

import copy

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

import checkpoints
import decoders
import small_tokenizer
from fixture import tensor, versions, write_json
from reference import error, greedy, hidden_of, to_float64

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "gguf", "numpy")
LENGTHS = (1, 7, 48)
GREEDY = 64

# Awkward sizes; heads that are not hidden / heads wide where a family can have them.
SMALL = {
    "hidden_size": 48,
    "intermediate_size": 44,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "hidden_act": "silu",
    "vocab_size": 323,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
# name -> (configuration, GGUF architecture or None)
FAMILIES = {
    "qwen2": ({"model_type": "qwen2", "use_sliding_window": False}, "qwen2"),
    "qwen3": ({"model_type": "qwen3", "head_dim": 16, "attention_bias": False}, "qwen3"),
    "mistral": ({"model_type": "mistral", "sliding_window": 20, "head_dim": 16}, None),
}
TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "add_bos_token": True,
    "add_eos_token": False,
}
GGUF_NAMES = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}


def model_of(config, state=None):
    made = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**copy.deepcopy(config), experts_implementation="eager"),
        attn_implementation="eager",
        dtype=torch.float32,
    ).eval()
    if state is not None:
        missing, unexpected = made.load_state_dict(state, strict=False)
        assert missing in ([], ["lm_head.weight"]) and not unexpected
        made.tie_weights()
    return made


def in_long_context(model):
    """LongRoPE as a model that is loaded for long contexts has it: the long factors from the first position on."""
    rotary = model.base_model.rotary_emb
    if getattr(rotary, "rope_type", None) == "longrope":
        original = model.config.rope_parameters["original_max_position_embeddings"]
        frequencies, _ = ROPE_INIT_FUNCTIONS["longrope"](model.config, "cpu", seq_len=original + 1)
        rotary.inv_freq.copy_(frequencies)
        rotary.original_inv_freq.copy_(frequencies)
    return model


def golden_of(config, state, seed, lengths=LENGTHS):
    """None if a greedy step is decided by too little for float32."""
    random = np.random.default_rng(seed + 1)
    prompts = [random.integers(2, config["vocab_size"], length).tolist() for length in lengths]
    single = [hidden_of(in_long_context(model_of(config, state)), ids) for ids in prompts]
    model = to_float64(in_long_context(model_of(config, state)))
    exact = [hidden_of(model, ids) for ids in prompts]
    entries = []
    for ids, (hidden, logits) in zip(prompts, exact):
        continuation, gap = greedy(model, ids, GREEDY)
        if gap < 1e-3:
            return None
        entries.append(
            {"ids": ids, "hidden": tensor(hidden), "logits": tensor(logits), "greedyIds": continuation, "greedyMinGap": gap}
        )
    return {
        "versions": versions(*PACKAGES),
        "seed": seed,
        "computedIn": "float64",
        "float32Error": {
            "hidden": error(torch.cat([h for h, _ in single], 1), torch.cat([h for h, _ in exact], 1)),
            "logits": error(torch.cat([x for _, x in single]), torch.cat([x for _, x in exact])),
        },
        "prompts": entries,
    }


def short_context(config, state, seed):
    """Logits of a model whose LongRoPE is loaded for no more than the original positions."""
    length = config["original_max_position_embeddings"]
    ids = np.random.default_rng(seed + 2).integers(2, config["vocab_size"], length).tolist()
    logits = hidden_of(to_float64(model_of(config, state)), ids)[1]
    return {
        "contextLength": length,
        "ids": ids,
        "logits": tensor(logits),
        "float32Error": error(hidden_of(model_of(config, state), ids)[1], logits),
    }


def gguf_name(name):
    stem, kind = name.rsplit(".", 1)
    if stem in checkpoints.TOP_NAMES:
        return f"{checkpoints.TOP_NAMES[stem]}.{kind}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{(checkpoints.LLAMA_NAMES | GGUF_NAMES)[rest]}.{kind}"


def add_tokenizer(writer, tokenizer):
    tokens, merges = small_tokenizer.tokens_and_merges(tokenizer)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if i < 2 else normal for i in range(len(tokens))])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(True)


def write_gguf(path, arch, config, state, tokenizer):
    def metadata(writer):
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(config["num_attention_heads"])
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
        writer.add_rope_freq_base(config["rope_theta"])
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        add_tokenizer(writer, tokenizer)

    tensors = {gguf_name(name): value.float().numpy() for name, value in state.items()}
    checkpoints.write_gguf(path, arch, metadata, tensors, lambda _name, _array: Type.F32)


def write_decoder_gguf(path, name, config, state, tokenizer):
    def metadata(writer):
        decoders.add_keys(writer, name, config)
        add_tokenizer(writer, tokenizer)

    tensors = decoders.gguf_tensors(name, config, state)
    arch = decoders.ARCHITECTURES.get(name, name)
    checkpoints.write_gguf(path, arch, metadata, tensors, lambda _name, _array: Type.F32)


def make_decoder(name, folder, tokenizer, seed):
    """The first seed from `seed` on whose greedy steps are clear."""
    config = decoders.DECODERS[name]
    while True:
        model = model_of(config)
        checkpoints.randomize(model, seed)
        state = checkpoints.state_of(model)
        golden = golden_of(config, state, seed, decoders.LENGTHS)
        if golden is not None:
            break
        seed += 1
    if name == "phi3":
        golden["short"] = short_context(config, state, seed)
    checkpoints.write_folder(folder, config, decoders.stored(name, state), tokenizer, TOKENIZER)
    write_decoder_gguf(folder / f"{name}.gguf", name, config, state, tokenizer)
    write_json(folder / "golden.json", golden)


def make(data, out, seed=20261130):
    text = (data / "frankenstein-150k.txt").read_text(encoding="utf-8")
    tokenizer = small_tokenizer.train(text, SMALL["vocab_size"], ["<s>", "</s>"])
    small_tokenizer.add_bos(tokenizer, "<s>")
    for index, (name, (own, arch)) in enumerate(FAMILIES.items()):
        config = SMALL | own
        model = model_of(config)
        checkpoints.randomize(model, seed + index)
        state = checkpoints.state_of(model)
        folder = out / "families" / name
        checkpoints.write_folder(folder, config, state, tokenizer, TOKENIZER)
        if arch is not None:
            write_gguf(folder / f"{name}.gguf", arch, config, state, tokenizer)
        golden = golden_of(config, state, seed + index)
        assert golden is not None, f"{name}: choose another seed"
        write_json(folder / "golden.json", golden)
    make_decoders(text, out)


def make_decoders(text, out, names=tuple(decoders.DECODERS)):
    tokenizer = small_tokenizer.train(text, decoders.VOCAB, ["<s>", "</s>"], all_bytes=False)
    small_tokenizer.add_bos(tokenizer, "<s>")
    for name in names:
        make_decoder(name, out / "families" / name, tokenizer, decoders.SEEDS.get(name, 20261201))
