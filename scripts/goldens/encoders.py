"""A tiny random checkpoint of each encoder family, with what `transformers` and `sentence-transformers` compute from it.

One folder a family below test/fixtures/encoders/: the checkpoint as `transformers` saves it, the files of
sentence-transformers beside it, and the same weights as GGUF where llama.cpp's converter knows the family. golden.json has the
hidden states of all layers in float64, and the vectors of a few texts.
"""

import copy
import json
import shutil
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel

import checkpoints
import jina_bert  # noqa: F401  makes its model type known to `transformers`
import small_tokenizer
from encoder_shapes import BYTE_LEVEL, DENSE, ENCODERS, LONG, PUBLISHED, PUBLISHED_PREFIX, ROPE_BASES, VOCAB, WORD_PIECES
from fixture import tensor, versions, write_json
from reference import error, to_float64

PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers", "safetensors", "gguf", "numpy")
LENGTHS = (1, 7, 48)
TEXTS = ["A", "The creature opened its eyes.", "My dear sister, I write these lines in haste. " * 2]


def word_pieces(text):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = list(WORD_PIECES.values())
    trainer = trainers.WordPieceTrainer(vocab_size=VOCAB, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def framed(tokenizer, special):
    """With what begins and ends a text."""
    first, last = special["cls"], special["sep"]
    ids = [(token, tokenizer.token_to_id(token)) for token in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=f"{first} $A {last} $B:1 {last}:1", special_tokens=ids
    )
    assert tokenizer.get_vocab_size() == VOCAB
    return tokenizer


def model_of(name, config, state=None):
    """In float32; `state` has the names of the model, not those of a file."""
    made = AutoModel.from_config(
        AutoConfig.for_model(**({"model_type": name} | copy.deepcopy(config))), attn_implementation="eager", dtype=torch.float32
    ).eval()
    if state is not None:
        made.load_state_dict(state)
    return made


def randomize(model, seed):
    """Norms around 1, biases away from 0, linears that keep the size of what passes."""
    random = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        values = random.standard_normal(shape)
        if name.endswith("bias"):
            values *= 0.3
        elif "norm" in name.lower():
            values = random.uniform(0.5, 1.5, shape)
            if model.config.model_type.startswith("gemma"):  # stored less one
                values -= 1
        elif "embed" not in name and "relative" not in name:
            values *= 1.4 / np.sqrt(shape[-1])
        with torch.no_grad():
            parameter.copy_(torch.tensor(values, dtype=torch.float32))


@torch.no_grad()
def hidden_of(model, ids):
    """[layers + 1, len(ids), hidden], with a final norm one more: embeddings, after each layer, after that norm."""
    stack = model.encoder if hasattr(model, "encoder") else getattr(model, "transformer", model)
    blocks = stack.layer if hasattr(stack, "layer") else stack.layers
    final = [getattr(model, name) for name in ("final_norm", "norm") if hasattr(model, name)]
    taken = []

    def take_input(_module, args, kwargs):
        taken.append(args[0] if args else kwargs["hidden_states"])

    def take_output(_module, _args, output):
        taken.append(output[0] if isinstance(output, tuple) else output)

    hooks = [blocks[0].register_forward_pre_hook(take_input, with_kwargs=True)]
    hooks += [module.register_forward_hook(take_output) for module in [*blocks, *final]]
    try:
        last = model(torch.tensor([ids])).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    assert torch.equal(last, taken[-1])
    return torch.stack([x.reshape(len(ids), -1) for x in taken])


def golden_of(name, config, state, seed):
    random = np.random.default_rng(seed + 1)
    texts = [random.integers(5, VOCAB, length).tolist() for length in LONG.get(name, LENGTHS)]
    single = [hidden_of(model_of(name, config, state), ids) for ids in texts]
    model = to_float64(model_of(name, config, state))
    exact = [hidden_of(model, ids) for ids in texts]
    return {
        "versions": versions(*PACKAGES),
        "seed": seed,
        "computedIn": "float64",
        "float32Error": {"hidden": error(torch.cat(single, 1), torch.cat(exact, 1))},
        "prompts": [{"ids": ids, "hidden": tensor(hidden)} for ids, hidden in zip(texts, exact)],
    }


def as_saved(model):
    """The tensors of a checkpoint, under the names that `transformers` gives them."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(Path(folder) / "model.safetensors")


def dense_modules(name, size, seed):
    random = np.random.default_rng(seed)
    modules = []
    for outputs, bias, activation in DENSE.get(name, []):
        weight = torch.tensor(random.standard_normal((outputs, size)) / np.sqrt(size), dtype=torch.float32)
        offsets = torch.tensor(0.3 * random.standard_normal(outputs), dtype=torch.float32)
        modules.append(Dense(size, outputs, bias, activation, init_weight=weight, init_bias=offsets))
        size = outputs
    return modules


def add_sentence_files(name, folder, pooling, seed):
    """The files of sentence-transformers; vectors of TEXTS."""
    transformer = Transformer(str(folder), model_kwargs={"dtype": torch.float32})
    pool = Pooling(transformer.get_embedding_dimension(), pooling_mode=pooling)
    dense = dense_modules(name, transformer.get_embedding_dimension(), seed)
    model = SentenceTransformer(modules=[transformer, pool, *dense, Normalize()], device="cpu")
    # One at a time: nothing is padded.
    vectors = np.stack([model.encode(text, convert_to_numpy=True) for text in TEXTS])
    with tempfile.TemporaryDirectory() as saved:
        model.save(saved)
        for file in ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json"):
            value = json.loads((Path(saved) / file).read_text())
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        for module in sorted(Path(saved).glob("*_Dense")):
            shutil.copytree(module, folder / module.name, dirs_exist_ok=True)
            (folder / module.name / "model.safetensors").chmod(0o644)
    return vectors


def gguf_tensors(name, arch, config, saved):
    """Without what llama.cpp's converter leaves out."""
    key = next(key for key, text in gguf.MODEL_ARCH_NAMES.items() if text == arch)
    names = gguf.get_tensor_name_map(key, config.get("num_hidden_layers", config.get("n_layers")))
    tensors = {}
    for stored, value in saved.items():
        if "pooler." in stored:
            continue
        array = value.float().numpy()
        if name == "embeddinggemma" and stored.endswith("norm.weight"):
            array = array + np.float32(1)
        if name == "roberta" and "position_embeddings" in stored:
            array = array[config["pad_token_id"] + 1 :]
        tensors[names.get_name(stored, try_suffixes=(".weight", ".bias"))] = array
    return tensors


def add_tokenizer(writer, tokenizer, special):
    vocab = tokenizer.get_vocab()
    tokens = sorted(vocab, key=vocab.get)
    control = set(special.values())
    types = [gguf.TokenType.CONTROL if token in control else gguf.TokenType.NORMAL for token in tokens]
    if special is WORD_PIECES:
        # There a word begins with U+2581, and what goes on has no mark.
        marked = lambda token: token[2:] if token.startswith("##") else "\u2581" + token  # noqa: E731
        writer.add_tokenizer_model("bert")
        writer.add_token_list([token if token in control else marked(token) for token in tokens])
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(tokens)
        writer.add_token_merges(small_tokenizer.tokens_and_merges(tokenizer)[1])
        writer.add_add_bos_token(True)
        writer.add_add_eos_token(True)
        writer.add_bos_token_id(vocab[special["cls"]])
        writer.add_eos_token_id(vocab[special["sep"]])
    writer.add_token_types(types)
    writer.add_uint32("tokenizer.ggml.cls_token_id", vocab[special["cls"]])
    writer.add_sep_token_id(vocab[special["sep"]])
    writer.add_pad_token_id(vocab[special["pad"]])
    writer.add_unk_token_id(vocab[special["unk"]])
    writer.add_mask_token_id(vocab[special["mask"]])


def gguf_dense(folder):
    """The linear steps as llama.cpp's converter names them; they have no biases there."""
    steps = sorted(folder.glob("*_Dense"))
    assert all(json.loads((step / "config.json").read_text())["bias"] is False for step in steps)
    weights = [load_file(step / "model.safetensors")["linear.weight"].numpy() for step in steps]
    return {f"dense_{2 + i}.weight": weight for i, weight in enumerate(weights)}


def write_gguf(path, name, saved, tokenizer):
    config, special, pooling, arch = ENCODERS[name]
    own = lambda key, other: config.get(key, config.get(other))  # noqa: E731

    def metadata(writer):
        offset = config["pad_token_id"] + 1 if name == "roberta" else 0
        writer.add_context_length(config["max_position_embeddings"] - offset)
        writer.add_embedding_length(own("hidden_size", "dim"))
        writer.add_feed_forward_length(own("intermediate_size", "hidden_dim"))
        writer.add_block_count(own("num_hidden_layers", "n_layers"))
        writer.add_head_count(own("num_attention_heads", "n_heads"))
        if name in ("modernbert", "eurobert", "embeddinggemma"):  # any "norm_eps" is taken for one of an RMS norm
            writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-5))
        else:
            writer.add_layer_norm_eps(config.get("layer_norm_eps", 1e-12))
        if name in ROPE_BASES:
            writer.add_rope_freq_base(ROPE_BASES[name])
        if name == "modernbert":
            writer.add_rope_freq_base_swa(10000.0)
            writer.add_string("modern-bert.hidden_activation", "gelu")
            writer.add_sliding_window(config["local_attention"])
            writer.add_sliding_window_pattern(config["global_attn_every_n_layers"])
        if name == "embeddinggemma":
            writer.add_key_length(config["head_dim"])
            writer.add_value_length(config["head_dim"])
            writer.add_rope_freq_base_swa(config["rope_local_base_freq"])
            writer.add_sliding_window(config["sliding_window"])
            writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])
        if "num_key_value_heads" in config:
            writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_causal_attention(False)
        writer.add_pooling_type({"mean": gguf.PoolingType.MEAN, "cls": gguf.PoolingType.CLS}[pooling])
        writer.add_token_type_count(config.get("type_vocab_size", 1))
        for tensor, weight in dense.items():
            writer.add_dense_features_dims(tensor.split(".")[0], weight.shape[1], weight.shape[0])
        add_tokenizer(writer, tokenizer, special)

    tensors = gguf_tensors(name, arch, config, saved)
    dense = gguf_dense(path.parent)
    tensors |= dense
    checkpoints.write_gguf(path, arch, metadata, tensors, lambda _name, _array: Type.F32)


def make_encoder(name, folder, tokenizers, seed):
    config, special, pooling, arch = ENCODERS[name]
    tokenizer = tokenizers[special["cls"]]
    model = model_of(name, config)
    randomize(model, seed)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    saved = as_saved(model)
    ends = {"bos_token_id": tokenizer.token_to_id(special["cls"]), "eos_token_id": tokenizer.token_to_id(special["sep"])}
    tokens = {f"{kind}_token": token for kind, token in special.items()}
    whole = {"model_type": name} | config | ends
    tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast"} | tokens
    checkpoints.write_folder(folder, whole, saved, tokenizer, tokenizer_config)
    (folder / "generation_config.json").unlink()
    vectors = add_sentence_files(name, folder, pooling, seed + 2)
    if name in PUBLISHED:
        published = {key: value for key, value in whole.items() if key != "rope_parameters"} | PUBLISHED[name]
        stored = {PUBLISHED_PREFIX.get(name, "") + tensor: value for tensor, value in saved.items()}
        checkpoints.write_folder(folder, published, stored, tokenizer, tokenizer_config)
        (folder / "generation_config.json").unlink()
    if arch is not None:
        write_gguf(folder / f"{name}.gguf", name, saved, tokenizer)
    golden = golden_of(name, config, state, seed) | {"texts": TEXTS, "vectors": tensor(vectors)}
    write_json(folder / "golden.json", golden)


def make(data, out, names=tuple(ENCODERS), seed=20261401):
    text = (data / "frankenstein-150k.txt").read_text(encoding="utf-8")
    bytes_of = small_tokenizer.train(text, VOCAB, list(BYTE_LEVEL.values()), all_bytes=False)
    tokenizers = {
        WORD_PIECES["cls"]: framed(word_pieces(text), WORD_PIECES),
        BYTE_LEVEL["cls"]: framed(bytes_of, BYTE_LEVEL),
    }
    for name in names:
        make_encoder(name, out / "encoders" / name, tokenizers, seed)
