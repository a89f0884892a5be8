"""Writes goldens.json: block formats as the published `gguf` package sees them.

    pip install gguf==0.19.0 && python goldens.py > goldens.json

For each format: `blocks`, bytes in hexadecimal, and `values`, the float32 bit
patterns (hexadecimal, little endian) that the package reads from them. Formats
that the package can write also have `input` (float32 bit patterns), from which
it made the blocks. K formats have random valid blocks instead.
"""

import json

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

rng = np.random.default_rng(20250101)


def inputs():
    """Rows that reach every branch: plain, tiny, huge, one-sided, constant, zero, ties."""
    rows = [rng.standard_normal(32) * s for s in (1, 0.02, 1e-4, 3e3, 1e-7)]
    rows += [np.abs(rng.standard_normal(32)), -np.abs(rng.standard_normal(32))]
    rows += [np.zeros(32), np.full(32, 0.75), np.full(32, -2.0)]
    rows += [np.arange(32) - 15.5, np.arange(-16, 16) / 2, np.arange(32) * 0.0]
    peak_first = rng.uniform(-0.5, 0.5, 32)
    peak_first[0], peak_first[31] = 1, -1  # equal magnitudes, the first one counts
    rows.append(peak_first)
    one = np.zeros(32)
    one[17] = -127
    rows.append(one)
    return np.stack(rows).astype(np.float32)


def random_blocks(kind):
    """Random bytes, with scales that are finite f16 numbers of ordinary size."""
    size = GGML_QUANT_SIZES[kind][1]
    blocks = rng.integers(0, 256, (4, size), dtype=np.uint8)
    at = {T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.Q2_K: [80, 82], T.Q3_K: [108], T.IQ4_NL: [0], T.IQ4_XS: [0]}[kind]
    for offset in at:
        d = (rng.standard_normal((4, 1)) * 0.05).astype(np.float16)
        blocks[:, offset : offset + 2] = d.view(np.uint8)
    return blocks


out = {}
for kind in (T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1):
    x = inputs()
    blocks = quantize(x, kind)
    out[kind.name.lower()] = {
        "input": x.tobytes().hex(),
        "blocks": blocks.tobytes().hex(),
        "values": dequantize(blocks, kind).astype(np.float32).tobytes().hex(),
    }
for kind in (T.Q4_K, T.Q5_K, T.Q6_K, T.Q2_K, T.Q3_K, T.IQ4_NL, T.IQ4_XS):
    blocks = random_blocks(kind)
    out[kind.name.lower()] = {
        "blocks": blocks.tobytes().hex(),
        "values": dequantize(blocks, kind).astype(np.float32).tobytes().hex(),
    }
print(json.dumps(out, indent=1))
