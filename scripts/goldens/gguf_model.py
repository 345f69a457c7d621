"""A Llama GGUF file as a `transformers` model and a `tokenizers` tokenizer, for files that name no other source."""

import gguf
import torch
from gguf.quants import dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import checkpoints

CONTROL = int(gguf.TokenType.CONTROL)


class GgufFile:
    def __init__(self, path):
        self.path = path
        self.fields = gguf.GGUFReader(path).fields

    def __getitem__(self, key):
        return self.fields[key].contents()

    def get(self, key, default=None):
        return self[key] if key in self.fields else default

    def config(self):
        heads = self["llama.attention.head_count"]
        hidden = self["llama.embedding_length"]
        return {
            "hidden_size": hidden,
            "intermediate_size": self["llama.feed_forward_length"],
            "num_hidden_layers": self["llama.block_count"],
            "num_attention_heads": heads,
            "num_key_value_heads": self["llama.attention.head_count_kv"],
            "head_dim": self.get("llama.rope.dimension_count", hidden // heads),
            "vocab_size": len(self["tokenizer.ggml.tokens"]),
            "max_position_embeddings": self["llama.context_length"],
            # The file holds float32; the number meant has few digits.
            "rms_norm_eps": float(f"{self['llama.attention.layer_norm_rms_epsilon']:.6g}"),
            "rope_theta": self["llama.rope.freq_base"],
            "tie_word_embeddings": True,
        }

    def model(self, attention="sdpa"):
        """LlamaForCausalLM in float32 with the dequantized weights."""
        config = self.config()
        with torch.device("meta"):
            like = checkpoints.state_of(LlamaForCausalLM(LlamaConfig(**config)))
        model = LlamaForCausalLM(LlamaConfig(**config, attn_implementation=attention)).float().eval()
        state = checkpoints.state_from_gguf(self.path, like, config)
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert missing == ["lm_head.weight"] and not unexpected
        model.tie_weights()
        return model

    def tokenizer(self):
        """Byte-level BPE; digits one by one, which is what the pre-tokenizer named "smollm" adds to GPT-2's."""
        assert self["tokenizer.ggml.model"] == "gpt2" and self["tokenizer.ggml.pre"] == "smollm"
        tokens = self["tokenizer.ggml.tokens"]
        merges = [tuple(merge.split(" ")) for merge in self["tokenizer.ggml.merges"]]
        tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        special = [t for t, kind in zip(tokens, self["tokenizer.ggml.token_type"]) if kind == CONTROL]
        tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
        assert tokenizer.get_vocab_size() == len(tokens)
        return tokenizer

    def chat(self, tokenizer):
        """The tokenizer with the chat template of the file."""
        tokens = self["tokenizer.ggml.tokens"]
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token=tokens[self["tokenizer.ggml.bos_token_id"]],
            eos_token=tokens[self["tokenizer.ggml.eos_token_id"]],
            chat_template=self["tokenizer.chat_template"],
        )
