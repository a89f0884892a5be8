"""Makes goldens.safetensors and goldens.json: logits of the last rows of 256 tokens, and
of 40, as Hugging Face transformers gives them in float32 with eager attention, of the
model in ../rand-hd64 with other configurations: scaled RoPE and sliding windows. Made
with transformers 5.24 and torch 2.15 on a CPU:

    pip install transformers==5.24 torch safetensors && python goldens.py
"""
import json, pathlib, random, shutil, tempfile
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

here = pathlib.Path(__file__).parent
base = json.loads((here / "../rand-hd64/config.json").read_text())
yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
window = {"use_sliding_window": True, "sliding_window": 24}
VARIANTS = {
    "yarn": {"rope_scaling": yarn},
    "yarn-new-spelling": {"rope_theta": None, "rope_parameters": {"rope_theta": 10000.0, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}},
    "yarn-attention": {"rope_scaling": {**yarn, "attention_factor": 0.8}},
    "yarn-betas": {"rope_theta": 1000.0, "rope_scaling": {**yarn, "beta_fast": 4.0, "beta_slow": 0.5, "truncate": False}},
    "yarn-mscale": {"rope_scaling": {**yarn, "mscale": 1.0, "mscale_all_dim": 0.5}},
    "yarn-factor-wins": {"max_position_embeddings": 512, "rope_scaling": {**yarn, "factor": 2.0}},
    "yarn-without-original": {"max_position_embeddings": 64, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
    "linear": {"rope_scaling": {"type": "linear", "factor": 4.0}},
    "scaling-empty": {"rope_scaling": {}},
    "window": {**window, "max_window_layers": 0},
    "window-second-layer": {**window, "max_window_layers": 1},
    "window-off": {"use_sliding_window": False, "sliding_window": 24, "max_window_layers": 0},
    "window-no-layer": {**window, "max_window_layers": 2},
    "window-by-types": {**window, "layer_types": ["sliding_attention", "full_attention"]},
    "window-of-one": {**window, "sliding_window": 1, "max_window_layers": 1},
    "window-wide": {**window, "sliding_window": 210, "max_window_layers": 1},
    "window-and-yarn": {**window, "max_window_layers": 0, "rope_scaling": yarn},
}
rng = random.Random(5)
ids = [rng.randrange(base["vocab_size"]) for _ in range(256)]
tensors = {}
for name, change in VARIANTS.items():
    with tempfile.TemporaryDirectory() as d:
        d = pathlib.Path(d)
        c = {k: v for k, v in {**base, **change}.items() if v is not None}
        (d / "config.json").write_text(json.dumps(c))
        shutil.copy(here / "../rand-hd64/model.safetensors", d)
        model = AutoModelForCausalLM.from_pretrained(d, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            for n, rows in ((256, 6), (40, 2)):
                tensors[f"{name}.{n}"] = model(torch.tensor([ids[:n]])).logits[0, -rows:].contiguous()
from transformers import Qwen2Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
# The table of Qwen2.5-7B as its card says to serve 131,072 tokens.
card = Qwen2Config(hidden_size=3584, num_attention_heads=28, num_key_value_heads=4, max_position_embeddings=32768, rope_theta=1000000.0,
    rope_scaling={"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"})
tensors["qwen2.5-7b.inv_freq"], attention = ROPE_INIT_FUNCTIONS["yarn"](card)
save_file(tensors, here / "goldens.safetensors")
(here / "goldens.json").write_text(json.dumps({"ids": ids, "attention": attention, "variants": VARIANTS}) + "\n")
a = lambda x, y: float(((tensors[x] - tensors[y]) ** 2).mean() / (tensors[y] ** 2).mean())
for name in VARIANTS:
    print(name, a(f"{name}.256", "scaling-empty.256"), a(f"{name}.40", "scaling-empty.40"))
