"""Writes affine.json: mx.quantize and mx.dequantize of MLX on a few hundred numbers.

    pip install "mlx[cpu]" numpy
    python affine.py > affine.json

MLX rounds the numbers to the dtype of the scales before it quantises them. Its
dequantisation is taken in float32, of the scales and biases as they were stored.
"""

import base64
import json

import mlx.core as mx
import numpy as np


def text(a):
    return base64.b64encode(np.ascontiguousarray(a).tobytes()).decode()


def stored(a):
    return text(np.array(a.view(mx.uint16) if a.dtype in (mx.float16, mx.bfloat16) else a))


def numbers():
    """Groups of 32: of many sizes, one-sided, equal, zero, tiny, with an outlier, with ties."""
    r = np.random.default_rng(17)
    rows = [r.normal(0, 10.0**e, 32) for e in (0, -2, -6, 3)]
    rows += [r.uniform(0, 2, 32), r.uniform(-3, 0, 32), r.uniform(5, 6, 32), r.uniform(-6, -5.5, 32)]
    rows += [np.zeros(32), np.full(32, 0.75), np.full(32, -2.0), np.full(32, 3e-8)]
    rows += [np.where(np.arange(32) == 7, -100.0, 0.01), np.arange(-16, 16) / 2, np.arange(0, 32) / 4, -np.arange(0, 32) / 8]
    return np.concatenate(rows).astype(np.float32)


src = numbers()
out = {"input": text(src), "types": {}}
for bits in (2, 3, 4, 5, 6, 8):
    for group in (32, 64, 128):
        for name, dtype in (("f16", mx.float16), ("bf16", mx.bfloat16), ("f32", mx.float32)):
            levels, scales, biases = mx.quantize(mx.array(src.reshape(1, -1)).astype(dtype), group_size=group, bits=bits)
            entry = {"levels": stored(levels), "scales": stored(scales), "biases": stored(biases)}
            if group == 64:
                f32 = mx.float32
                entry["values"] = stored(mx.dequantize(levels, scales.astype(f32), biases.astype(f32), group_size=group, bits=bits))
            out["types"][f"affine{bits}_g{group}_{name}"] = entry
print(json.dumps(out, indent=0))
