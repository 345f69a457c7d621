"""Random blocks of every GGUF type: with scales at the ends of what a file can say, or as weights of a usable size."""

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

# Where a block has its binary16 scales, that of its values first.
HALVES = {
    Type.Q4_0: (0,),
    Type.Q4_1: (0, 2),
    Type.Q5_0: (0,),
    Type.Q5_1: (0, 2),
    Type.Q8_0: (0,),
    Type.Q2_K: (80, 82),
    Type.Q3_K: (108,),
    Type.Q4_K: (0, 2),
    Type.Q5_K: (0, 2),
    Type.Q6_K: (208,),
    Type.IQ4_NL: (0,),
    Type.IQ4_XS: (0,),
    Type.MXFP4: (),
    Type.F16: (0,),
    Type.BF16: (),
    Type.F32: (),
}
# Zeros, subnormals, the smallest and largest normal numbers, infinities, and what is no number.
EXTREME_HALVES = (0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFDFF)
EXTREME_EXPONENTS = (0, 1, 2, 3, 127, 252, 253, 254, 255)
# What centres values: the second scale over the first, where one is that of minimums.
MINIMUMS = {Type.Q4_1: -7.5, Type.Q5_1: -15.5, Type.Q2_K: 1.5, Type.Q4_K: 7.5, Type.Q5_K: 15.5}


def set_half(blocks, at, values):
    blocks[:, at : at + 2] = np.asarray(values).reshape(-1, 1).view(np.uint8)


def extreme(kind, count, random):
    """u8 [count, block bytes]: half of the scales are from the lists above."""
    blocks = random.integers(0, 256, (count, GGML_QUANT_SIZES[kind][1]), np.uint8)
    for at in HALVES[kind]:
        halves = random.integers(0, 1 << 16, count, np.uint16)
        chosen = random.choice(np.array(EXTREME_HALVES, np.uint16), count)
        set_half(blocks, at, np.where(random.random(count) < 0.5, chosen, halves))
    if kind == Type.MXFP4:
        chosen = random.choice(np.array(EXTREME_EXPONENTS, np.uint8), count)
        blocks[:, 0] = np.where(random.random(count) < 0.5, chosen, blocks[:, 0])
    return blocks


def values_of(blocks, kind):
    """float32 [count, block elements]; what is no number has one pattern of bits."""
    with np.errstate(all="ignore"):
        values = np.array(dequantize(blocks, kind), np.float32).reshape(len(blocks), -1)
    values[np.isnan(values)] = np.float32(np.nan)
    return values


def weights(kind, shape, spread, random):
    """u8 [rows, row bytes]: all patterns of bits, scaled so that values spread by about `spread` around zero."""
    elements, size = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (shape[0] * shape[1] // elements, size), np.uint8)
    factors = spread * random.uniform(0.7, 1.3, len(blocks)) * random.choice([-1, 1], len(blocks))
    if kind == Type.MXFP4:
        blocks[:, 0] = 127
        deviation = values_of(blocks, kind).std()
        blocks[:, 0] = np.round(np.log2(np.abs(factors) / deviation)) + 127
    else:
        second = MINIMUMS.get(kind, 0.0)
        for at, value in zip(HALVES[kind], (1.0, second)):
            set_half(blocks, at, np.full(len(blocks), value, np.float16))
        deviation = values_of(blocks, kind).std()
        for at, value in zip(HALVES[kind], (1.0, second)):
            set_half(blocks, at, (factors * value / deviation).astype(np.float16))
    return blocks.reshape(shape[0], -1)


def write_gguf(path, tensors, arch="none", metadata=None):
    """tensors: name -> (u8 or float32 array as stored, kind)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, arch)
    if metadata is not None:
        metadata(writer)
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
