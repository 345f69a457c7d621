"""onnxruntime: onnxruntime_driver.py MODEL.onnx THREADS

Runs what onnx_export.py wrote, with top-k 40 sampling in numpy.
"""

import sys
import time

import numpy as np
import onnxruntime

from line_protocol import Generate, serve


def sample(random: np.random.Generator, logits: np.ndarray) -> np.ndarray:
    """[batch, vocabulary] to [batch, 1]."""
    best = np.argpartition(logits, -40, axis=-1)[:, -40:]
    scaled = np.take_along_axis(logits, best, axis=-1) / 0.7
    # The largest of logits plus Gumbel noise is a draw from their softmax.
    choice = np.argmax(scaled + random.gumbel(size=scaled.shape), axis=-1)[:, None]
    return np.take_along_axis(best, choice, axis=-1).astype(np.int64)


def load() -> Generate:
    path, threads = sys.argv[1], int(sys.argv[2])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait between measurements must not take the time of the other engines.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    layers, _, kv_heads, _, head_size = session.get_inputs()[1].shape
    random = np.random.default_rng(1)

    def generate(prompts: list[list[int]], new_tokens: int) -> tuple[float, float]:
        empty = np.zeros((layers, len(prompts), kv_heads, 0, head_size), dtype=np.float32)
        feed = {"ids": np.array(prompts, dtype=np.int64), "past_keys": empty, "past_values": empty}
        started = first = time.perf_counter()
        for i in range(new_tokens):
            logits, keys, values = session.run(None, feed)
            feed = {"ids": sample(random, logits), "past_keys": keys, "past_values": values}
            if i == 0:
                first = time.perf_counter()
        return first - started, time.perf_counter() - first

    return generate


serve(load)
