"""Tiny random classifiers, and what the pipelines of `transformers` and CrossEncoder of sentence-transformers give.

One folder a checkpoint below test/fixtures/classifiers/, without its tokenizer: `tokenizer` of golden.json names a folder
whose files belong to it. All in float32.
"""

import copy
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import CrossEncoder
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from fixture import versions, write_json

SEED = 20261221
TEXTS = ["A", "The creature opened its eyes.", "My dear sister, I write these lines in haste; I am safe and well."]
QUERY = "Who opened its eyes?"
DOCUMENTS = ["The creature opened its eyes.", "I am safe.", "My dear sister, I write in haste.", "A"]
# name -> fixture whose configuration and tokenizer are taken, task, labels, more configuration
CASES = {
    "bert": ("encoders/bert", "sequence", 3, {}),
    "bert-pairs": ("encoders/bert", "pairs", 1, {}),
    "bert-pairs-raw": ("encoders/bert", "pairs", 1, {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}),
    "bert-tokens": ("encoders/bert", "tokens", 5, {}),
    "roberta-pairs": ("encoders/roberta", "pairs", 1, {}),
    "roberta": ("encoders/roberta", "sequence", 4, {"problem_type": "multi_label_classification"}),
    "distilbert": ("encoders/distilbert", "sequence", 2, {}),
    "distilbert-tokens": ("encoders/distilbert", "tokens", 5, {}),
    "mpnet": ("encoders/mpnet", "sequence", 3, {}),
    "modernbert": ("encoders/modernbert", "sequence", 3, {"classifier_pooling": "mean"}),
    "modernbert-pairs": ("encoders/modernbert", "pairs", 1, {"classifier_pooling": "cls"}),
    "modernbert-tokens": ("encoders/modernbert", "tokens", 5, {}),
    "qwen3": ("families/qwen3", "sequence", 3, {}),
    "qwen3-pairs": ("families/qwen3", "pairs", 1, {}),
    "qwen2": ("families/qwen2", "sequence", 1, {"problem_type": "regression"}),
    "llama": ("tiny-llama", "sequence", 2, {}),
}
ENTITY_LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def labels_of(task, count):
    names = ENTITY_LABELS if task == "tokens" else [f"label {i}" for i in range(count)]
    return {i: name for i, name in enumerate(names)}


def model_of(source, task, count, more, seed):
    raw = json.loads((source / "config.json").read_text())
    kept = {key: value for key, value in raw.items() if key not in ("architectures", "torch_dtype", "dtype", "model_type")}
    config = AutoConfig.for_model(raw["model_type"], **copy.deepcopy(kept))
    config.num_labels = count
    config.id2label = labels_of(task, count)
    config.label2id = {name: i for i, name in config.id2label.items()}
    for key, value in more.items():
        setattr(config, key, value)
    if config.pad_token_id is None:
        config.pad_token_id = 0
    kind = AutoModelForTokenClassification if task == "tokens" else AutoModelForSequenceClassification
    model = kind.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            if "norm" in name.lower() and name.endswith("weight"):
                values = random.uniform(0.5, 1.5, shape)
            elif len(shape) == 2:
                values = random.standard_normal(shape) * (1.5 / np.sqrt(shape[1]) if "embed" not in name else 1.0)
            else:
                values = random.standard_normal(shape) * 0.3
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    return model


def plain(value):
    return value.item() if hasattr(value, "item") else value


def golden_of(model, tokenizer, task, folder):
    if task == "pairs":
        encoder = CrossEncoder(str(folder), device="cpu", max_length=None)
        # One at a time: nothing is padded.
        return {"scores": [float(encoder.predict([(QUERY, document)])[0]) for document in DOCUMENTS]}
    if task == "tokens":
        found = {}
        for strategy in ("none", "simple"):
            pipe = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=strategy, device="cpu")
            found[strategy] = [[{key: plain(value) for key, value in one.items()} for one in pipe(text)] for text in TEXTS]
        return found
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, device="cpu")
    return {"labels": [[[one["label"], one["score"]] for one in pipe([text])[0]] for text in TEXTS]}


def make_case(fixtures, out, name, seed):
    source, task, count, more = CASES[name]
    model = model_of(fixtures / source, task, count, more, seed)
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "model"
        shutil.copytree(folder, whole)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(fixtures / source / file, whole / file)
        config = json.loads((whole / "tokenizer_config.json").read_text())
        # As BERT's own class says.
        config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"][:: 1 if source == "encoders/bert" else 2]
        (whole / "tokenizer_config.json").write_text(json.dumps(config))
        tokenizer = AutoTokenizer.from_pretrained(whole)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
            tokenizer.save_pretrained(whole)
        golden = golden_of(model, tokenizer, task, whole)
    return {"tokenizer": source, "task": task, **golden}


def make_reranker(fixtures, out, seed):
    """A tiny Qwen3 that answers yes or no, by the formula that Qwen3-Reranker is published with."""
    source = fixtures / "families" / "qwen3"
    folder = out / "qwen3-reranker"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_tokens(["yes", "no"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.save_pretrained(folder)
    raw = json.loads((source / "config.json").read_text())
    kept = {key: value for key, value in raw.items() if key not in ("architectures", "torch_dtype", "dtype", "model_type")}
    kept |= {"vocab_size": len(tokenizer), "max_position_embeddings": 1024}
    config = AutoConfig.for_model("qwen3", **kept)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    before = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. "
        'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    )
    after = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"

    def ids(text):
        return tokenizer.encode(text, add_special_tokens=False)

    def scores(instruction):
        found = []
        for document in DOCUMENTS:
            text = f"<Instruct>: {instruction}\n<Query>: {QUERY}\n<Document>: {document}"
            with torch.no_grad():
                logits = model(torch.tensor([ids(before) + ids(text) + ids(after)])).logits[0, -1]
            answers = torch.stack([logits[tokenizer.convert_tokens_to_ids(word)] for word in ("no", "yes")])
            found.append(float(torch.nn.functional.log_softmax(answers, dim=0)[1].exp()))
        return found

    asked = "Judge by the weather"
    default = "Given a web search query, retrieve relevant passages that answer the query"
    return {"scores": scores(default), "instruction": asked, "instructed": scores(asked)}


def make(out):
    """Configurations and tokenizers are those of the kept fixtures."""
    fixtures = Path(__file__).resolve().parents[2] / "test" / "fixtures"
    folder = out / "classifiers"
    cases = {name: make_case(fixtures, folder, name, SEED + i) for i, name in enumerate(CASES)}
    write_json(
        folder / "golden.json",
        {
            "versions": versions("torch", "transformers", "sentence-transformers", "tokenizers", "numpy"),
            "seed": SEED,
            "texts": TEXTS,
            "query": QUERY,
            "documents": DOCUMENTS,
            "cases": cases,
            "reranker": make_reranker(fixtures, folder, SEED),
        },
    )
