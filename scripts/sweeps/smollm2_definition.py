"""Writes the vocabulary of SmolLM2's GGUF file as a tokenizer.json.

usage: smollm2_definition.py FILE.gguf OUT.json
"""

import sys

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

fields = gguf.GGUFReader(sys.argv[1]).fields


def value(name):
    return fields[f"tokenizer.ggml.{name}"].contents()


assert value("model") == "gpt2" and value("pre") == "smollm"
tokens = value("tokens")
merges = [tuple(merge.split(" ")) for merge in value("merges")]
tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
# Digits one by one are what this rule adds to GPT-2's.
digits = pre_tokenizers.Digits(individual_digits=True)
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
tokenizer.decoder = decoders.ByteLevel()
control = [token for token, kind in zip(tokens, value("token_type")) if kind == gguf.TokenType.CONTROL]
tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
assert tokenizer.get_vocab_size() == len(tokens)
tokenizer.save(sys.argv[2])
