"""Writes a Llama-3.2-1B-shaped model with random weights as Q8_0 GGUF, which llama.cpp and Kvasir read both.

Only its speed means anything. Its tokenizer is the least that both accept: one token per byte, the rest unused.

Usage: weights_1b.py OUT
"""

import sys
from pathlib import Path

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, KV_HEADS, HEAD, FFN, VOCABULARY = 2048, 16, 32, 8, 64, 8192, 128_256
CONTEXT = 4096
ROWS_AT_ONCE = 8192
Q8_0 = gguf.GGMLQuantizationType.Q8_0


def random_q8_0(random: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """[rows, bytes of a row]; values as of a freshly initialized network, deviation columns^-0.5."""
    blocks = []
    for start in range(0, rows, ROWS_AT_ONCE):
        shape = (min(ROWS_AT_ONCE, rows - start), columns)
        values = random.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(columns))
        blocks.append(gguf.quantize(values, Q8_0))
    return np.concatenate(blocks)


def byte_characters() -> list[str]:
    """GPT-2's spelling of the 256 bytes: printable ones as they are, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    spelling = {byte: chr(byte) for byte in printable}
    spelling.update({byte: chr(0x100 + i) for i, byte in enumerate(others)})
    return [spelling[byte] for byte in range(256)]


def add_metadata(writer: gguf.GGUFWriter) -> None:
    writer.add_name("random 1B")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(500_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    bytes_ = byte_characters()
    unused = [f"unused{i}" for i in range(VOCABULARY - len(bytes_))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(bytes_ + unused)
    # A hundred thousand control tokens would be searched for in every text.
    ends = [gguf.TokenType.CONTROL] * 2
    writer.add_token_types([gguf.TokenType.NORMAL] * len(bytes_) + ends + [gguf.TokenType.NORMAL] * len(unused[2:]))
    writer.add_token_merges([f"{bytes_[ord('t')]} {bytes_[ord('h')]}"])
    writer.add_bos_token_id(len(bytes_))
    writer.add_eos_token_id(len(bytes_) + 1)
    writer.add_add_bos_token(False)


def add_tensors(writer: gguf.GGUFWriter, random: np.random.Generator) -> None:
    def add(name: str, rows: int, columns: int) -> None:
        writer.add_tensor(f"{name}.weight", random_q8_0(random, rows, columns), raw_dtype=Q8_0)

    def add_norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))

    add("token_embd", VOCABULARY, WIDTH)
    add_norm("output_norm")
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        add_norm(f"{block}.attn_norm")
        add(f"{block}.attn_q", HEADS * HEAD, WIDTH)
        add(f"{block}.attn_k", KV_HEADS * HEAD, WIDTH)
        add(f"{block}.attn_v", KV_HEADS * HEAD, WIDTH)
        add(f"{block}.attn_output", WIDTH, HEADS * HEAD)
        add_norm(f"{block}.ffn_norm")
        add(f"{block}.ffn_gate", FFN, WIDTH)
        add(f"{block}.ffn_up", FFN, WIDTH)
        add(f"{block}.ffn_down", WIDTH, FFN)


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(out / "q8_0.gguf", "llama")
    add_metadata(writer)
    add_tensors(writer, np.random.default_rng(1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
