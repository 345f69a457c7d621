"""Random blocks of every GGUF type in one file, and beside it TYPE.f32: what the `gguf` package makes of them.

usage: block_types.py FOLDER BLOCKS SEED
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "goldens"))
import random_blocks  # noqa: E402

folder, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
# As many as one call of readTensor takes.
PART = 1024
random = np.random.default_rng(seed)
tensors = {}
for kind in random_blocks.HALVES:
    blocks = random_blocks.extreme(kind, count, random)
    random_blocks.values_of(blocks, kind).astype("<f4").tofile(folder / f"{kind.name}.f32")
    for part in range(0, count, PART):
        tensors[f"{kind.name}.{part // PART}"] = (blocks[part : part + PART], kind)
random_blocks.write_gguf(folder / "blocks.gguf", tensors)
