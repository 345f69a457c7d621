"""Models and logits for kl-against-llama.mjs, from llama.cpp itself through llama-cpp-python.

    llama_logits.py convert <any.gguf> <f32.gguf> <q8_0.gguf>   the same weights in F32 and, requantized, in Q8_0
    llama_logits.py logits <model.gguf> <base.kld>               rows of float32 logits to stdout

`base.kld` is what `llama-perplexity --kl-divergence-base` wrote: its header holds the tokens of the windows. For each
window the rows are those that llama-perplexity scores: after tokens n/2 .. n-2.

pip install numpy gguf llama-cpp-python; LLAMA_CPP_LIB_PATH names the folder of libllama.so where that is another build.
"""

import struct
import sys

import gguf
import numpy as np


def convert(source, f32, q8_0):
    reader = gguf.GGUFReader(source)
    arch = str(bytes(reader.fields["general.architecture"].parts[-1]), "utf8")
    kept = {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture", "general.file_type",
            "general.quantization_version"}
    for path, target in ((f32, gguf.GGMLQuantizationType.F32), (q8_0, gguf.GGMLQuantizationType.Q8_0)):
        writer = gguf.GGUFWriter(path, arch)
        for name, field in reader.fields.items():
            if name not in kept:
                value_type = field.types[0]
                item_type = field.types[-1] if value_type == gguf.GGUFValueType.ARRAY else None
                writer.add_key_value(name, field.contents(), value_type, sub_type=item_type)
        for tensor in reader.tensors:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            is_matrix = len(tensor.shape) > 1
            kind = target if is_matrix else gguf.GGMLQuantizationType.F32
            data = gguf.quants.quantize(values, kind) if kind != gguf.GGMLQuantizationType.F32 else values
            writer.add_tensor(tensor.name, data, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def read_windows(path):
    with open(path, "rb") as file:
        if file.read(8) != b"_logits_":
            raise SystemExit(f"{path} was not written by llama-perplexity")
        n_ctx, n_vocab, n_chunk = struct.unpack("<Iii", file.read(12))
        tokens = np.frombuffer(file.read(4 * n_ctx * n_chunk), dtype="<i4").reshape(n_chunk, n_ctx)
    return n_vocab, tokens


def logits(model_path, base_path):
    from llama_cpp import Llama

    n_vocab, windows = read_windows(base_path)
    n_ctx = windows.shape[1]
    model = Llama(model_path, n_ctx=n_ctx, n_batch=n_ctx, n_ubatch=n_ctx, n_threads=2, n_threads_batch=2,
                  logits_all=True, flash_attn=False, verbose=False)
    add_bos = bool(model._model.add_bos_token())
    for window in windows:
        tokens = window.tolist()
        if add_bos:
            tokens[0] = model.token_bos()
        model.reset()
        model.eval(tokens)
        rows = np.asarray(model.scores[n_ctx // 2 : n_ctx - 1, :n_vocab], dtype="<f4")
        sys.stdout.buffer.write(rows.tobytes())


if __name__ == "__main__":
    {"convert": convert, "logits": logits}[sys.argv[1]](*sys.argv[2:])
