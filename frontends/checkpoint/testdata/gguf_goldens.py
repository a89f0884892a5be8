"""GGUF as the published `gguf` package writes and reads it.

    pip install gguf==0.19.0
    python gguf_goldens.py write python.gguf      a small model in every format
    python gguf_goldens.py read FILE              what the package finds in FILE

`python.gguf` and its description `python.json` (the output of `read`) are goldens
of our reader. `written.json` is the output of `read` on the file that the test
TestGGUFIsReadElsewhere writes (go test -run Elsewhere . -keep-gguf FILE); that
test compares it with what was meant, and its own file with the one that was read,
by the hash of all its bytes.
"""

import hashlib
import json
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGUFReader, GGUFWriter
from gguf import GGMLQuantizationType as T
from gguf import GGUFValueType as V


def write(path):
    rng = np.random.default_rng(5)
    w = GGUFWriter(path, "qwen2")
    w.add_context_length(512)
    w.add_embedding_length(256)
    w.add_block_count(1)
    w.add_feed_forward_length(512)
    w.add_head_count(4)
    w.add_head_count_kv(2)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(1e6)
    w.add_uint8("odd.u8", 200)
    w.add_int8("odd.i8", -100)
    w.add_uint16("odd.u16", 60000)
    w.add_int16("odd.i16", -30000)
    w.add_int32("odd.i32", -2000000000)
    w.add_uint64("odd.u64", 2**63 + 1)
    w.add_int64("odd.i64", -(2**62))
    w.add_float64("odd.f64", 0.1)
    w.add_bool("odd.bool", True)
    w.add_string("odd.string", " spaces and \u00e9 \n")
    w.add_array("odd.array", [1, -2, 3])
    w.add_array("odd.strings", ["a", " b ", ""])
    names = {
        T.F32: "blk.0.attn_norm.weight", T.F16: "blk.0.attn_q.weight", T.BF16: "blk.0.attn_k.weight",
        T.Q8_0: "blk.0.attn_v.weight", T.Q4_0: "blk.0.attn_output.weight", T.Q4_1: "blk.0.ffn_gate.weight",
        T.Q5_0: "blk.0.ffn_up.weight", T.Q5_1: "blk.0.ffn_down.weight", T.Q4_K: "token_embd.weight",
        T.Q5_K: "output.weight", T.Q6_K: "odd.weight",
    }
    for kind, name in names.items():
        block, size = GGML_QUANT_SIZES[kind]
        if kind == T.F32:
            w.add_tensor(name, rng.standard_normal(256).astype(np.float32))
            continue
        data = rng.integers(0, 256, (3, 256 // block * size), dtype=np.uint8)
        if kind == T.F16:
            w.add_tensor(name, rng.standard_normal((3, 256)).astype(np.float16))
        else:
            w.add_tensor(name, data, raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def read(path):
    r = GGUFReader(path)
    meta = {}
    for key, field in r.fields.items():
        if key.startswith("GGUF."):
            continue
        value = field.contents()
        if field.types == [V.FLOAT32]:
            value = float(str(np.float32(value)))
        if isinstance(value, list) and len(value) > 8:
            value = hashlib.sha256("\0".join(map(str, value)).encode()).hexdigest()
        meta[key] = value
    tensors = {
        t.name: {
            "type": t.tensor_type.name.lower(),
            "shape": [int(d) for d in reversed(t.shape)],
            "sha256": hashlib.sha256(t.data.tobytes()).hexdigest(),
        }
        for t in r.tensors
    }
    with open(path, "rb") as f:
        whole = hashlib.sha256(f.read()).hexdigest()
    json.dump({"meta": meta, "sha256": whole, "tensors": tensors}, sys.stdout, indent=1, sort_keys=True)


{"write": write, "read": read}[sys.argv[1]](sys.argv[2])
