"""An embedding engine for embedding-peers.mjs: embedding_driver.py ENGINE HUGGING_FACE_FOLDER THREADS SCRATCH

ENGINE: sentence-transformers, onnxruntime-fp32 or onnxruntime-int8 (its own dynamic quantization of the linears; texts of a
call are padded to the longest, as its users do). Each line on stdin is a JSON list of texts; each answer is {"seconds", "first":
the first vector, "peakBytes"}.

pip install sentence-transformers onnx onnxruntime onnxscript
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
engine, folder, threads, scratch = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])


def sentence_transformers():
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer

    torch.set_num_threads(threads)
    words = Transformer(folder, max_seq_length=512)
    model = SentenceTransformer(modules=[words, Pooling(words.get_word_embedding_dimension(), "mean"), Normalize()], device="cpu")
    return lambda texts: model.encode(texts, batch_size=64, show_progress_bar=False)


def export():
    """model.onnx and model-int8.onnx in the scratch folder."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import AutoModel

    class Hidden(torch.nn.Module):
        """ids, mask and types [batch, length] to the last hidden states [batch, length, width]."""

        def __init__(self):
            super().__init__()
            self.model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

        def forward(self, ids, mask, types):
            return self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    ids = torch.ones((2, 8), dtype=torch.int64)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {name: {0: "batch", 1: "length"} for name in [*names, "last_hidden_state"]}
    torch.onnx.export(
        Hidden(), (ids, ids, ids * 0), str(scratch / "model.onnx"), input_names=names, output_names=["last_hidden_state"],
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )  # fmt: skip
    quantize_dynamic(scratch / "model.onnx", scratch / "model-int8.onnx", weight_type=QuantType.QInt8)


def onnxruntime(file):
    import numpy as np
    import onnxruntime as ort
    from tokenizers import Tokenizer

    if not (scratch / file).exists():
        export()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(scratch / file), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.enable_truncation(512)
    tokenizer.enable_padding()

    def embed(texts):
        encoded = tokenizer.encode_batch(texts)
        ids, mask, types = (
            np.array([getattr(one, field) for one in encoded], np.int64) for field in ("ids", "attention_mask", "type_ids")
        )
        hidden = session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})[0]
        weights = mask[:, :, None].astype(np.float32)
        pooled = (hidden * weights).sum(1) / weights.sum(1)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    return embed


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    loaders = {
        "sentence-transformers": sentence_transformers,
        "onnxruntime-fp32": lambda: onnxruntime("model.onnx"),
        "onnxruntime-int8": lambda: onnxruntime("model-int8.onnx"),
    }
    embed = loaders[engine]()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        texts = json.loads(line)
        begun = time.perf_counter()
        vectors = embed(texts)
        seconds = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "first": [float(x) for x in vectors[0]], "peakBytes": peak}), file=answers, flush=True)


main()
