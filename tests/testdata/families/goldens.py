"""Makes goldens.safetensors and goldens.json: what Hugging Face transformers computes in
float32 with eager attention of small Qwen3 and Llama 3.2 models. Weights are those that
foundry generates (bf16; the seed is a tensor's name), times powers of two, which are
exact. Made with transformers 5.24 and torch 2.9 on a CPU:

    pip install transformers==5.24 torch safetensors numpy && python goldens.py
"""
import json, pathlib, re, tempfile
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

here = pathlib.Path(__file__).parent
ROWS, GREEDY = 4, 12  # last rows of logits, greedy ids


def synth(name, shape):
    seed = 0xcbf29ce484222325
    for b in name.encode():
        seed = (seed ^ b) * 0x100000001b3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, np.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    r = ((z >> np.uint64(40)).astype(np.int64) - 2**23).astype(np.float32) * np.float32(2**-23)
    scale, offset = np.float32(np.sqrt(3 / shape[-1])), np.float32(0)
    if name.endswith("norm.weight"):
        scale, offset = np.float32(0.25), np.float32(1)
    elif name in ("model.embed_tokens.weight", "lm_head.weight"):
        scale = np.float32(0.25)
    return torch.from_numpy((r * scale + offset).reshape(shape)).to(torch.bfloat16)


def model(family, layers, hidden, heads, kv, dim, **more):
    c = {"model_type": family, "architectures": [{"qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM"}[family]], "hidden_act": "silu",
         "num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": 3 * hidden // 2, "num_attention_heads": heads,
         "num_key_value_heads": kv, "head_dim": dim, "vocab_size": 120, "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
         "rope_theta": 1000000.0, "tie_word_embeddings": True, "attention_bias": False}
    return {**c, **more}


# config: of config.json. powers: by a tensor's last name the exponents of two that its
# columns are multiplied by, in turn. Those of the norms are opposite, and alike
# for elements that are turned together, so that scores stay
# of a size that halves can tell apart.
far = {"q_norm": [3, -4, 1, -2, 0, 2, -3, 4], "k_norm": [-3, 4, -1, 2, 0, -2, 3, -4]}
llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
MODELS = {
    "hd128": (model("qwen3", 2, 96, 4, 2, 128), {}),
    "hd64": (model("qwen3", 2, 128, 4, 1, 64, tie_word_embeddings=False, rms_norm_eps=1e-5), {}),
    "ratio1": (model("qwen3", 1, 64, 2, 2, 128, rope_theta=10000.0), {}),
    "ratio8": (model("qwen3", 1, 96, 8, 1, 64), {}),
    "gammas": (model("qwen3", 2, 96, 4, 2, 128), far),
    "gammas-hd64": (model("qwen3", 2, 160, 6, 2, 64), {"q_norm": [-5, 3, 1, -2], "k_norm": [6, -3, -2, 2]}),
    "q-up": (model("qwen3", 2, 96, 4, 2, 128), {"q_proj": [20], "k_proj": [-20]}),
    "q-down": (model("qwen3", 2, 128, 4, 2, 64), {"q_proj": [-13], "k_proj": [13], **far}),
    "norms-apart": (model("qwen3", 2, 96, 4, 2, 128), {"q_norm": [17], "k_norm": [-17], "v_proj": [15], "o_proj": [-15]}),
    "yarn": (model("qwen3", 1, 96, 4, 2, 128, rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}, max_position_embeddings=128), {}),
    "llama": (model("llama", 2, 128, 4, 2, 64, rms_norm_eps=1e-5, rope_theta=500000.0, rope_scaling=llama3), {}),
}

tensors, out = {}, {}
for name, (config, powers) in MODELS.items():
    ids = [(i * 7919 + 13) % config["vocab_size"] for i in range(48)]
    with tempfile.TemporaryDirectory() as d:
        d = pathlib.Path(d)
        (d / "config.json").write_text(json.dumps(config))
        shell = AutoModelForCausalLM.from_config(__import__("transformers").AutoConfig.from_pretrained(d))
        weights = {}
        for n, p in shell.named_parameters():
            w = synth(n, tuple(p.shape))
            exponents = powers.get(n.split(".")[-2], [0])
            by = torch.tensor([2.0 ** exponents[i % len(exponents)] for i in range(w.shape[-1])])
            weights[n] = (w.float() * by).to(torch.bfloat16).contiguous()
        save_file(weights, d / "model.safetensors", metadata={"format": "pt"})
        m = AutoModelForCausalLM.from_pretrained(d, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        tensors[name] = m(torch.tensor([ids])).logits[0, -ROWS:].contiguous()
        greedy, margins = [], []
        for _ in range(GREEDY):
            top = m(torch.tensor([ids + greedy])).logits[0, -1].topk(2)
            greedy.append(int(top.indices[0]))
            margins.append(float(top.values[0] - top.values[1]))
    out[name] = {"config": config, "powers": powers, "ids": ids, "greedy": greedy, "margins": margins}
    print(name, float(tensors[name].std()), greedy, min(margins))
save_file(tensors, here / "goldens.safetensors")
(here / "goldens.json").write_text(json.dumps(out) + "\n")
