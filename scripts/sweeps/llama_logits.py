"""llama.cpp's own logits of the GGUF files of test/fixtures/families/ beside those of `transformers` in their goldens.

LLAMA_CPP_LIB_PATH=<folder of libllama.so> python scripts/sweeps/llama_logits.py [NAME ...]   # status 1: one is further off

pip install numpy llama-cpp-python. Everything in float32, the cache too. The tolerance is that of llama.cpp's own float32:
0.002 of the standard deviation of a family's logits, 0.02 where its activation is GELU, which it looks up in a table of float16.
That llama.cpp does not take a file counts as too far, but for those of UNLOADED.
"""

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

FAMILIES = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "families"
TOLERANCE = 0.002
GELU_TOLERANCE = 0.02
F32 = 0  # ggml_type
# Where llama.cpp computes something else than the family's authors; docs/models.md says so too.
DIFFERENT = {
    "exaone4": "has windows only in a model of 64 layers",
    "gpt_oss": "rounds the corners of YaRN's ramp to whole dimensions",
    "starcoder2": "has no windows: it is near within the first one",
}
# Tiny files whose sizes it expects to be those of the published models.
UNLOADED = {"ernie4_5", "ernie4_5_moe", "hunyuan_v1_moe", "olmoe", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_next"}


def values(tensor):
    return np.frombuffer(base64.b64decode(tensor["data"]), "<f4").reshape(tensor["shape"])


def measure(name):
    """Largest and root mean square difference, and the deviation of the logits."""
    from llama_cpp import Llama

    golden = json.loads((FAMILIES / name / "golden.json").read_text())
    model = Llama(
        str(FAMILIES / name / f"{name}.gguf"),
        n_ctx=128, n_batch=128, n_ubatch=128, n_threads=1, n_threads_batch=1,
        type_k=F32, type_v=F32, logits_all=True, flash_attn=False, verbose=False,
    )  # fmt: skip
    differences, truths = [], []
    for prompt in golden["prompts"]:
        truth = values(prompt["logits"])
        model.reset()
        model.eval(prompt["ids"])
        differences.append(np.asarray(model.scores[: len(truth), : truth.shape[1]], np.float64) - truth)
        truths.append(truth)
    difference = np.concatenate(differences)
    return [float(np.abs(difference).max()), float(np.sqrt((difference**2).mean())), float(np.concatenate(truths).std())]


def check(name):
    """Whether it is near enough; prints a line. In a process of its own, which llama.cpp may end."""
    if not (FAMILIES / name / f"{name}.gguf").exists():
        print(f"{name}: has no GGUF file", flush=True)
        return True
    run = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True)
    if run.returncode != 0:
        last = (run.stderr.strip().splitlines() or [f"status {run.returncode}"])[-1]
        print(f"{name}: {last}", flush=True)
        return name in UNLOADED
    largest, rms, deviation = json.loads(run.stdout.strip().splitlines()[-1])
    config = json.loads((FAMILIES / name / "config.json").read_text())
    activation = str(config.get("hidden_activation") or config.get("hidden_act") or config.get("activation") or "")
    if name in DIFFERENT:
        print(f"{name}: {DIFFERENT[name]}, max {largest:.2e}", flush=True)
        return True
    near = largest <= (GELU_TOLERANCE if "gelu" in activation else TOLERANCE) * deviation
    print(f"{name}: {'near' if near else 'FAR'}, max {largest:.2e}, rms {rms:.2e}, deviation {deviation:.2f} {activation}", flush=True)
    return near


def main():
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
        return 0
    names = sys.argv[1:] or sorted(path.name for path in FAMILIES.iterdir())
    return 0 if all([check(name) for name in names]) else 1


if __name__ == "__main__":
    sys.exit(main())
