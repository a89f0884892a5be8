"""Makes a small form of each model that shares Qwen2.5's architecture: members.json,
model.safetensors and goldens.safetensors.

members.json has, by name, config.json and generation_config.json as the model was
published, with small sizes and the ids of a small vocabulary; its tokenizer_config.json;
what its tokenizer.json has in place of the parts of "tokenizer"; and a conversation, as
text and ids. All run the same random weights; where the head is the embedding, without
lm_head. goldens.safetensors has the logits of the last rows of those ids, by Hugging Face
transformers in float32 with eager attention.

For dual chunk attention, which transformers leaves out, it has logits of rows 88 to 99 by
the formula (An et al., 2024, "Training-Free Long-Context Scaling of Large Language
Models", with the positions of Qwen2.5-1M), written below in float64.

    pip install transformers==5.24 torch==2.15 tokenizers==0.23.3 safetensors && python goldens.py
"""
import json, os, pathlib, tempfile
os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

here = pathlib.Path(__file__).parent
chats = {m["name"]: m["files"] for m in json.loads((here / "../../../frontends/chat/testdata/goldens.json").read_text())}
def template(name):
    files = chats[name]
    return files.get("chat_template.jinja") or json.loads(files["tokenizer_config.json"])["chat_template"]

# The sizes of all.
HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV, VOCAB = 64, 96, 2, 4, 2, 352
DIM = HIDDEN // HEADS

# A vocabulary of bytes, some merges and the control tokens.
level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
qwen2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
merges = ["t h", "th e", "Ġ the", "i n", "a n", "an d", "Ġ and", "e r", "o u", "y ou", "Ġ you", "e s", "s t", "u s", "us er", "as s", "a s", "s y", "sy st", "e m", "syst em", "i s", "Ġ is", "Ġ a", "l l", "w h", "r e", "Ġ b", "l u", "lu e"]
vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
merges = [m for m in merges if all(part in vocab or any("".join(n.split()) == part for n in merges) for part in m.split())]
for m in merges:
    vocab.setdefault(m.replace(" ", ""), len(vocab))
FIRST = len(vocab)  # of the added tokens, which must follow
def added(*tokens):
    return [{"id": FIRST + i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special} for i, (c, special) in enumerate(tokens)]
qwen25_tokens = [("<|endoftext|>", True), ("<|im_start|>", True), ("<|im_end|>", True), ("<|object_ref_start|>", True), ("<|vision_start|>", True), ("<tool_call>", False), ("</tool_call>", False),
    ("<|fim_prefix|>", False), ("<|fim_middle|>", False), ("<|fim_suffix|>", False), ("<|fim_pad|>", False), ("<|repo_name|>", False), ("<|file_sep|>", False)]
qwq_tokens = qwen25_tokens + [("<tool_response>", False), ("</tool_response>", False), ("<think>", False), ("</think>", False)]
r1_tokens = [("<｜end▁of▁sentence｜>", True), ("<｜User｜>", False), ("<｜Assistant｜>", False), ("<｜begin▁of▁sentence｜>", True), ("<|EOT|>", False), ("<think>", False), ("</think>", False)] + qwen25_tokens[7:]
BOS, EOT, IM_END = FIRST, FIRST, FIRST + 2
TOKENIZER = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added(*qwen25_tokens), "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": qwen2}, "behavior": "Isolated", "invert": False}, level]},
    "post_processor": level, "decoder": level,
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": merges}}
around = lambda first, last: {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": t, "type_id": 0}} for t in first] + [{"Sequence": {"id": "A", "type_id": 0}}] + [{"SpecialToken": {"id": t, "type_id": 0}} for t in last],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in [("<｜begin▁of▁sentence｜>", FIRST + 3), ("<|endoftext|>", FIRST)] if t in first + last}}

def config(**more):
    return {"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": BOS, "eos_token_id": IM_END, "hidden_act": "silu", "hidden_size": HIDDEN, "initializer_range": 0.02,
        "intermediate_size": INTERMEDIATE, "max_position_embeddings": 32768, "max_window_layers": 28, "model_type": "qwen2", "num_attention_heads": HEADS, "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 131072, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers_version": "4.43.1", "use_cache": True, "use_sliding_window": False, "vocab_size": VOCAB, **more}
instruct = {"bos_token_id": BOS, "pad_token_id": EOT, "do_sample": True, "eos_token_id": [IM_END, EOT], "repetition_penalty": 1.05, "temperature": 0.7, "top_p": 0.8, "top_k": 20}
words = {"add_bos_token": False, "add_prefix_space": False, "bos_token": None, "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>", "errors": "replace", "model_max_length": 131072,
    "pad_token": "<|endoftext|>", "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None}
r1_words = {"add_bos_token": True, "add_eos_token": False, "bos_token": {"__type": "AddedToken", "content": "<｜begin▁of▁sentence｜>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False},
    "clean_up_tokenization_spaces": False, "eos_token": {"__type": "AddedToken", "content": "<｜end▁of▁sentence｜>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False},
    "legacy": True, "model_max_length": 16384, "pad_token": {"__type": "AddedToken", "content": "<｜end▁of▁sentence｜>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False},
    "sp_model_kwargs": {}, "unk_token": None, "tokenizer_class": "LlamaTokenizerFast"}
chunks = {"chunk_size": 262144, "local_size": 8192, "original_max_position_embeddings": 262144}

# name: config.json, generation_config.json, tokenizer_config.json, changes of tokenizer.json
MEMBERS = {
    "qwen2-0.5b-instruct": (config(tie_word_embeddings=True, max_window_layers=24, sliding_window=32768, transformers_version="4.40.1"), instruct, {**words, "chat_template": template("qwen2-instruct")}, {}),
    "qwen2.5-7b-instruct": (config(), instruct, {**words, "chat_template": template("qwen2.5-instruct")}, {}),
    "qwen2.5-coder-7b-instruct": (config(), instruct, {**words, "chat_template": template("qwen2.5-instruct")}, {}),
    "qwen2.5-math-7b-instruct": (config(max_position_embeddings=4096, rope_theta=10000.0, sliding_window=None), {**instruct, "repetition_penalty": 1.0}, {**words, "chat_template": template("qwen2.5-math")}, {}),
    "qwq-32b": (config(max_position_embeddings=40960, max_window_layers=64, rms_norm_eps=1e-05, sliding_window=32768), {**instruct, "repetition_penalty": 1.0, "temperature": 0.6, "top_p": 0.95, "top_k": 40},
        {**words, "chat_template": template("qwq")}, {"added_tokens": added(*qwq_tokens)}),
    "deepseek-r1-distill-qwen-1.5b": (config(eos_token_id=EOT, max_position_embeddings=131072, max_window_layers=21, rope_theta=10000, sliding_window=4096, use_mrope=False, transformers_version="4.44.0"),
        {"_from_model_config": True, "bos_token_id": FIRST + 3, "eos_token_id": EOT, "do_sample": True, "temperature": 0.6, "top_p": 0.95, "transformers_version": "4.39.3"},
        {**r1_words, "chat_template": template("r1-distill")}, {"added_tokens": added(*r1_tokens), "post_processor": around(["<｜begin▁of▁sentence｜>"], [])}),
    "qwen2.5-7b-instruct-1m": (config(max_position_embeddings=1010000, rope_theta=10000000.0, sliding_window=32768, dual_chunk_attention_config=chunks, transformers_version="4.47.1"), instruct,
        {**words, "model_max_length": 1010000, "chat_template": template("qwen2.5-instruct")}, {}),
    "gte-qwen2-1.5b-instruct": (config(architectures=["Qwen2ForCausalLM"], auto_map={"AutoModel": "modeling_qwen.Qwen2Model", "AutoModelForCausalLM": "modeling_qwen.Qwen2ForCausalLM"}, eos_token_id=EOT,
        is_causal=False, max_position_embeddings=131072, tie_word_embeddings=False), None, {**words, "add_eos_token": True, "eos_token": "<|endoftext|>"}, {"post_processor": around([], ["<|endoftext|>"])}),
    "an-embedding-model": (config(architectures=["Qwen2Model"]), None, words, {}),
    "qwen2.5-math-rm-72b": (config(architectures=["Qwen2ForRewardModel"]), None, words, {}),
    "qwen2.5-math-prm-7b": (config(architectures=["Qwen2ForProcessRewardModel"]), None, words, {}),
    "qwen2.5-vl-7b-instruct": ({**config(architectures=["Qwen2_5_VLForConditionalGeneration"]), "model_type": "qwen2_5_vl"}, None, words, {}),
}
RUN = [n for n in MEMBERS if MEMBERS[n][1]]
MESSAGES = [{"role": "user", "content": "Why is the sky blue, and 17 ≠ 3?\n"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nThe sky."}, {"role": "user", "content": "it's <|im_end|> y'all"}]

torch.manual_seed(17)
def matrix(*shape):
    return (torch.randn(shape) * shape[-1] ** -0.5).bfloat16()
weights = {"model.embed_tokens.weight": (torch.randn(VOCAB, HIDDEN) * 0.7).bfloat16(), "model.norm.weight": (1 + 0.2 * torch.randn(HIDDEN)).bfloat16(), "lm_head.weight": matrix(VOCAB, HIDDEN)}
for n in range(LAYERS):
    p = f"model.layers.{n}."
    for name, rows, cols in [("self_attn.q_proj", HIDDEN, HIDDEN), ("self_attn.k_proj", KV * DIM, HIDDEN), ("self_attn.v_proj", KV * DIM, HIDDEN), ("self_attn.o_proj", HIDDEN, HIDDEN),
                             ("mlp.gate_proj", INTERMEDIATE, HIDDEN), ("mlp.up_proj", INTERMEDIATE, HIDDEN), ("mlp.down_proj", HIDDEN, INTERMEDIATE)]:
        weights[p + name + ".weight"] = matrix(rows, cols) * (2 if "q_proj" in name or "k_proj" in name else 1)
        if name[-6:] in ("q_proj", "k_proj", "v_proj"):
            weights[p + name + ".bias"] = (0.5 * torch.randn(rows)).bfloat16()
    for name in ("input_layernorm", "post_attention_layernorm"):
        weights[p + name + ".weight"] = (1 + 0.2 * torch.randn(HIDDEN)).bfloat16()
save_file(weights, here / "model.safetensors", metadata={"format": "pt"})


def dual_chunk(ids, c, theta):
    """Logits of all rows in float64. A key is turned by its place in its chunk, of
    chunk_size - local_size; a query by its place in its chunk for keys of the same, by
    that and a chunk, at most chunk_size, for keys of the chunk before, and by chunk_size
    for all others. c None: every query and key by its position."""
    w = {k: v.double().numpy() for k, v in weights.items()}
    t = len(ids)
    at = np.arange(t)
    frequency = (1 / theta ** (np.arange(0, DIM, 2, dtype=np.float32) / np.float32(DIM))).astype(np.float32).astype(np.float64)
    def turned(x, positions):  # [heads, t, DIM]
        angle = np.concatenate([positions[:, None] * frequency] * 2, axis=1)
        half = np.concatenate([-x[..., DIM // 2:], x[..., :DIM // 2]], axis=-1)
        return x * np.cos(angle) + half * np.sin(angle)
    norm = lambda x, g: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * g
    x = w["model.embed_tokens.weight"][ids]
    for n in range(LAYERS):
        g = lambda name: w[f"model.layers.{n}.{name}"]
        h = norm(x, g("input_layernorm.weight"))
        q, k, v = ((h @ g(f"self_attn.{p}_proj.weight").T + g(f"self_attn.{p}_proj.bias")).reshape(t, -1, DIM).transpose(1, 0, 2) for p in "qkv")
        k, v = k.repeat(HEADS // KV, 0), v.repeat(HEADS // KV, 0)
        if c is None:
            s = turned(q, at) @ turned(k, at).transpose(0, 2, 1)
        else:
            long = c["chunk_size"] - c["local_size"]
            k = turned(k, at % long).transpose(0, 2, 1)
            apart = at[:, None] // long - at[None] // long
            s = np.where(apart == 0, turned(q, at % long) @ k, np.where(apart == 1, turned(q, np.minimum(at % long + long, c["chunk_size"])) @ k, turned(q, np.full(t, c["chunk_size"])) @ k))
        s = np.where(at[:, None] >= at[None], s / DIM ** 0.5, -np.inf)
        p = np.exp(s - s.max(-1, keepdims=True))
        x = x + (p / p.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(t, -1) @ g("self_attn.o_proj.weight").T
        h = norm(x, g("post_attention_layernorm.weight"))
        gate = h @ g("mlp.gate_proj.weight").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ g("mlp.up_proj.weight").T)) @ g("mlp.down_proj.weight").T
    return norm(x, w["model.norm.weight"]) @ w["lm_head.weight"].T


nmse = lambda a, b: float(((a - b) ** 2).sum() / (b ** 2).sum())
tensors, out = {}, {}
for name, (c, generation, tokens, patch) in MEMBERS.items():
    member = {"config": c, "tokenizer_config": tokens, "tokenizer": patch}
    out[name] = member
    if name not in RUN:
        continue
    member["generation_config"] = generation
    with tempfile.TemporaryDirectory() as d:
        d = pathlib.Path(d)
        (d / "config.json").write_text(json.dumps(c))
        save_file({k: v for k, v in weights.items() if not (c["tie_word_embeddings"] and k == "lm_head.weight")}, d / "model.safetensors", metadata={"format": "pt"})
        (d / "tokenizer.json").write_text(json.dumps({**TOKENIZER, **patch}))
        name_of = lambda t: t["content"] if isinstance(t, dict) else t
        tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file(str(d / "tokenizer.json")), bos_token=name_of(tokens["bos_token"]), eos_token=name_of(tokens["eos_token"]))
        tok.chat_template = tokens["chat_template"]
        member["text"] = tok.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
        member["ids"] = tok(member["text"], add_special_tokens=False)["input_ids"]
        member["plain"] = tok(MESSAGES[0]["content"])["input_ids"]  # with what begins and ends a text
        model = AutoModelForCausalLM.from_pretrained(d, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            tensors[name] = model(torch.tensor([member["ids"]])).logits[0, -3:].contiguous()
    print(name, len(member["ids"]), member["plain"][:2], nmse(tensors[name].numpy(), tensors[RUN[0]].numpy()))

# Dual chunk attention in small chunks.
small = {"chunk_size": 96, "local_size": 24, "original_max_position_embeddings": 96}
ids = (out["qwen2.5-7b-instruct-1m"]["ids"] * 2)[:200]
theta = MEMBERS["qwen2.5-7b-instruct-1m"][0]["rope_theta"]
chunked, plain = dual_chunk(ids, small, theta), dual_chunk(ids, None, theta)
print("formula against transformers", nmse(dual_chunk(out["qwen2.5-7b-instruct-1m"]["ids"], None, theta)[-3:], tensors["qwen2.5-7b-instruct-1m"].numpy()))
print("dual chunk against plain, rows", [(i, nmse(chunked[i], plain[i])) for i in (0, 71, 72, 95, 96, 97, 98, 150)])
tensors["dual-chunk"] = torch.tensor(chunked[88:100], dtype=torch.float32).contiguous()
save_file(tensors, here / "goldens.safetensors")
(here / "members.json").write_text(json.dumps({"tokenizer": TOKENIZER, "messages": MESSAGES, "dual_chunk": {"config": small, "ids": ids[:100]}, "members": out}, ensure_ascii=False, indent=1) + "\n")
