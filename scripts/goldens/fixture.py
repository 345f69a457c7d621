"""How a golden file is written: JSON whose tensors are {shape, dtype, data}, data being base64 little endian.

Writes what it is given and compares two such files; computes nothing of its own.
"""

import base64
import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

DTYPES = {"float32": "<f4", "float64": "<f8", "int32": "<i4"}


def tensor(values, dtype="float32"):
    """A tensor (numpy or torch) as a JSON object."""
    array = np.ascontiguousarray(np.asarray(values), dtype=DTYPES[dtype])
    return {
        "shape": list(array.shape),
        "dtype": dtype,
        "data": base64.b64encode(array.tobytes()).decode("ascii"),
    }


def array(golden):
    """The reverse of `tensor`."""
    raw = base64.b64decode(golden["data"])
    return np.frombuffer(raw, DTYPES[golden["dtype"].removeprefix("torch.")]).reshape(golden["shape"])


def versions(*packages):
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def write_json(path, golden):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


# Another CPU may round a few last places otherwise; a wrong golden is off by far more.
TOLERANCE = 1e-4


def differences(a, b, where=""):
    """Where two golden values differ; tensors and floats may by TOLERANCE, what describes the run may freely."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return [f"{where}: keys {sorted(a.keys() ^ b.keys())}"]
        if "data" in a and "shape" in a and "dtype" in a:
            x, y = array(a), array(b)
            if x.shape != y.shape:
                return [f"{where}: shape {x.shape} and {y.shape}"]
            differ = x != y  # a masked score is -inf in both
            worst = float(np.abs(x[differ] - y[differ]).max(initial=0))
            return [f"{where}: off by {worst}"] if not worst <= TOLERANCE else []
        return [d for key in a if key != "versions" for d in differences(a[key], b[key], f"{where}.{key}")]
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return [f"{where}: {len(a)} and {len(b)} entries"]
        return [d for i, (x, y) in enumerate(zip(a, b)) for d in differences(x, y, f"{where}[{i}]")]
    if isinstance(a, float) and isinstance(b, float):
        return [] if abs(a - b) <= TOLERANCE else [f"{where}: {a} and {b}"]
    return [] if a == b else [f"{where}: {a!r} and {b!r}"]
