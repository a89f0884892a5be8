"""Writes, here, what MLX makes of two models and computes with them.

    pip install "mlx[cpu]" mlx-lm numpy
    python mlx_lm_models.py

mlx-mixed is a folder of a small random model as mlx-lm saves it, whose layers differ
in bits and groups; one is not quantised. kjv-2m.json has the SHA-256 of each tensor
of kjv-2m as mlx-lm quantises it to 4 and to 8 bits, and kjv-2m.safetensors `ids` and,
for each, the logits of the last positions. Logits are in float32.
"""

import hashlib
import json
import os
import shutil

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models import qwen2
from mlx_lm.utils import load_model, quantize_model, save_config, save_model
from pathlib import Path

LAST = 3  # positions with logits of kjv-2m


def wide(model, ids):
    """Logits of every position in float32."""
    model.set_dtype(mx.float32)
    return model(mx.array([ids]))[0]


def mixed(name):
    config = {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu",
        "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 96,
        "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "tie_word_embeddings": False, "use_sliding_window": False,
    }
    mx.random.seed(5)
    model = qwen2.Model(qwen2.ModelArgs.from_dict(config))
    model.update(tree_map(lambda p: mx.random.normal(p.shape) * (p.shape[-1] ** -0.5 if p.ndim > 1 else 0.3), model.parameters()))
    model.set_dtype(mx.float16)
    special = {
        "model.layers.0.self_attn.q_proj": False,
        "model.layers.0.self_attn.o_proj": {"bits": 3, "group_size": 32},
        "model.layers.0.mlp.down_proj": {"bits": 6, "group_size": 64},
        "model.layers.1.mlp.up_proj": {"bits": 8, "group_size": 32},
        "model.layers.1.mlp.gate_proj": {"bits": 2, "group_size": 64},
        "lm_head": {"bits": 5, "group_size": 64},
    }
    model, config = quantize_model(model, config, group_size=32, bits=4, quant_predicate=lambda path, _: special.get(path, True))
    shutil.rmtree(name, ignore_errors=True)
    os.makedirs(name)
    save_model(name, model)
    save_config(config, Path(name) / "config.json")
    for extra in os.listdir(name):
        if extra not in ("config.json", "model.safetensors"):
            os.remove(f"{name}/{extra}")
    ids = [(7 * i + 3) % 96 for i in range(12)]
    mx.save_safetensors(f"{name}/logits.safetensors", {"ids": mx.array(ids, mx.int32), "logits": wide(model, ids)})


def kjv():
    ids = [(i * 7919) % 2048 for i in range(20)]
    hashes, arrays = {}, {"ids": mx.array(ids, mx.int32)}
    for bits in (4, 8):
        model, config = load_model(Path("../../kjv2m"))
        model, _ = quantize_model(model, config, group_size=64, bits=bits)
        raw = lambda p: np.array(p.view(mx.uint16) if p.dtype == mx.bfloat16 else p).tobytes()
        hashes[str(bits)] = {n: hashlib.sha256(raw(p)).hexdigest() for n, p in sorted(tree_flatten(model.parameters()))}
        arrays[f"logits{bits}"] = wide(model, ids)[-LAST:]
    with open("kjv-2m.json", "w") as f:
        json.dump(hashes, f, indent=1)
    mx.save_safetensors("kjv-2m.safetensors", arrays)


mixed("mlx-mixed")
kjv()
