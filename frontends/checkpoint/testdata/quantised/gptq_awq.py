"""Writes folders of a small random Qwen2 model, quantised as GPTQ and AWQ, here.

    pip install torch transformers gptqmodel autoawq safetensors
    python gptq_awq.py

gptqmodel and autoawq pack the matrices and dequantise what they packed, with the
scales taken to float32. Each folder has logits.safetensors: `ids`, and `logits` of
every position, as transformers computes them in float32 from the dequantised
matrices.
"""

import json
import os

import torch
from awq.modules.linear.gemm import WQLinear_GEMM
from awq.utils.packing_utils import dequantize_gemm
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM


def config(hidden, layers, tied):
    return {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu",
        "hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": layers,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 96,
        "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "tie_word_embeddings": tied, "use_sliding_window": False,
    }


def model(c):
    torch.manual_seed(c["hidden_size"])
    m = Qwen2ForCausalLM(Qwen2Config(**{k: v for k, v in c.items() if k != "architectures"})).float().eval()
    for name, p in m.named_parameters():
        scale = 0.2 if name.endswith("bias") else p.shape[-1] ** -0.5
        p.data = torch.randn_like(p) * scale + (1 if name.endswith("norm.weight") else 0)
    return m


def grid(w, bits, group, sym):
    """Scales, of both signs, and zero points [rows, groups] of a matrix [rows, cols]."""
    g = w.reshape(w.shape[0], -1, group)
    top = 2**bits - 1
    if sym:
        scale, zero = g.abs().amax(-1) * 2 / top, torch.full(g.shape[:2], 2.0 ** (bits - 1))
    else:
        low, high = g.amin(-1), g.amax(-1)
        scale = (high - low) / top
        zero = torch.round(-low / scale)
        scale[::3], zero[::3] = -scale[::3], top - zero[::3]
    return scale.half().float(), zero.clamp(1, top)


def quantised(m, c, pack):
    """The tensors of a checkpoint, and m with its matrices dequantised."""
    tensors = {}
    for name, p in m.named_parameters():
        layer = name.removesuffix(".weight")
        if not layer.endswith("_proj"):
            if not (name == "lm_head.weight" and c["tie_word_embeddings"]):
                tensors[name] = p.data.half()
                p.data = p.data.half().float()
            continue
        parts, p.data = pack(p.data)
        tensors.update({f"{layer}.{part}": t.contiguous() for part, t in parts.items()})
    return tensors


def gptq(bits, group, sym, version, index):
    def pack(w):
        scale, zero = grid(w, bits, group, sym)
        rows, cols = w.shape
        linear = torch.nn.Linear(cols, rows, bias=False)
        linear.weight.data = w
        q = TorchLinear(bits=bits, group_size=group, sym=sym, desc_act=False, in_features=cols, out_features=rows)
        g_idx = (torch.arange(cols) // group).to(torch.int32)
        q.pack_original(linear, scale, zero, g_idx)
        q.eval()
        q.qzero_format(format=2)
        q.scales = q.scales.float()
        q.post_init()
        dequantised = q.dequantize_weight().float().T
        parts = {"qweight": q.qweight, "qzeros": q.qzeros.clone(), "scales": scale.T.half()}
        if version == "gptq":  # zero points less one, each in its bits: none is zero
            parts["qzeros"] = parts["qzeros"] - {4: 0x11111111, 8: 0x01010101}[bits]
        if index:
            parts["g_idx"] = g_idx
        return parts, dequantised

    return pack


def awq(group):
    def pack(w):
        scale, zero = grid(w, 4, group, False)
        linear = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
        linear.weight.data = w
        q = WQLinear_GEMM.from_linear(linear, 4, group, scales=scale.T.contiguous(), zeros=zero.T.contiguous())
        dequantised = dequantize_gemm(q.qweight, q.qzeros, q.scales.float(), 4, group).T
        return {"qweight": q.qweight, "qzeros": q.qzeros, "scales": q.scales}, dequantised

    return pack


def write(name, hidden, layers, tied, pack, settings, zero_biases=False):
    c = config(hidden, layers, tied)
    m = model(c)
    with torch.no_grad():
        tensors = quantised(m, c, pack)
        ids = torch.tensor([(7 * i + 3) % c["vocab_size"] for i in range(12)])
        logits = m(ids[None]).logits[0]
    if zero_biases:
        for layer in range(layers):
            for part, rows in (("self_attn.o_proj", hidden), ("mlp.up_proj", 2 * hidden)):
                tensors[f"model.layers.{layer}.{part}.bias"] = torch.zeros(rows).half()
    os.makedirs(name, exist_ok=True)
    with open(f"{name}/config.json", "w") as f:
        json.dump({**c, "quantization_config": settings}, f, indent=1)
    save_file(tensors, f"{name}/model.safetensors")
    save_file({"ids": ids.to(torch.int32), "logits": logits.contiguous()}, f"{name}/logits.safetensors")


def settings(bits, group, sym, **more):
    return {"quant_method": "gptq", "bits": bits, "group_size": group, "sym": sym, "desc_act": False, **more}


# As the published Qwen2.5 ones are.
write("gptq4-sym", 128, 1, True, gptq(4, 128, True, "gptq", True), settings(4, 128, True), zero_biases=True)
write("gptq4-v2", 64, 1, False, gptq(4, 32, False, "gptq_v2", False), settings(4, 32, False, checkpoint_format="gptq_v2"))
write("gptq8", 64, 1, True, gptq(8, 64, False, "gptq", True), settings(8, 64, False, checkpoint_format="gptq"))
write("awq", 64, 2, True, awq(64), {"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemm", "zero_point": True})
