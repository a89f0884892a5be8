"""Makes goldens-forms.json: ids as Hugging Face transformers gives them, of tokenizers in
the forms that models are published in. Each is the small model's tokenizer (beside the
checkpoint package) with some parts of tokenizer.json replaced ("patch"), and a
tokenizer_config.json; a form without a patch lies in vocab.json and merges.txt. pieces is
what the pre-tokenizer makes of the text as it is.

    pip install transformers==5.24 tokenizers==0.23.3 && python goldens_forms.py
"""
import json, os, pathlib, random, tempfile, unicodedata
os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

here = pathlib.Path(__file__).parent
base = json.loads((here / "../../checkpoint/kjv2m/tokenizer.json").read_text())
level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
split = lambda pattern, behavior="Isolated", invert=False: {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
seq = lambda *parts: {"type": "Sequence", "pretokenizers": list(parts)}
qwen2 = base["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
llama3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
template = lambda *ids: {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}} if i is None else {"SpecialToken": {"id": i, "type_id": 0}} for i in ids],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {i: {"id": i, "ids": [next(a["id"] for a in base["added_tokens"] if a["content"] == i)], "tokens": [i]} for i in ids if i is not None}}
processors = lambda *p: {"type": "Sequence", "processors": list(p)}
added = lambda i, content, special, normalized=False: {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": normalized, "special": special}
eot, start, end = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

FORMS = {
    "no-op template": ({"post_processor": template(None)}, {}),
    "bos by template": ({"post_processor": template(start, None)}, {}),
    "bos and eos by template": ({"post_processor": processors(level, template(start, None, end))}, {}),
    "bos by configuration": ({}, {"add_bos_token": True, "bos_token": start}),
    "eos by configuration": ({}, {"add_bos_token": False, "add_eos_token": True, "eos_token": {"__type": "AddedToken", **{k: v for k, v in added(0, end, True).items() if k != "id"}}}),
    "configuration over template": ({"post_processor": template(start, None, end)}, {"add_bos_token": False, "bos_token": start}),
    "bos of a model without": ({}, {"add_bos_token": True, "bos_token": None}),
    "r1": ({"post_processor": template(start, None), "added_tokens": base["added_tokens"] + [added(2048, "<｜User｜>", False), added(2049, "<think>", False)]}, {"add_bos_token": True, "add_eos_token": False, "bos_token": start, "eos_token": end}),
    "tokens in the configuration": ({}, {"added_tokens_decoder": {str(a["id"]): {k: v for k, v in a.items() if k != "id"} for a in base["added_tokens"] + [added(2048, "<think>", True)]}}),
    "normalized token": ({"added_tokens": base["added_tokens"] + [added(2048, "caf\u00e9", False, True), added(2049, "<n>", False, True)]}, {}),
    "llama3 split": ({"pre_tokenizer": seq(split({"Regex": llama3}), level)}, {}),
    "gpt2 split": ({"pre_tokenizer": {**level, "use_regex": True}}, {}),
    "digits": ({"pre_tokenizer": seq({"type": "Digits", "individual_digits": True}, {**level, "use_regex": True})}, {}),
    "digit runs": ({"pre_tokenizer": seq({"type": "Digits", "individual_digits": False}, level)}, {}),
    "several splits": ({"pre_tokenizer": seq(split({"Regex": r"\p{N}{1,3}"}), split({"Regex": "[\u4e00-\u9fa5\u3040-\u309f]+"}), split({"Regex": qwen2}), level)}, {}),
    "string split": ({"pre_tokenizer": seq(split({"String": "the"}), split({"Regex": qwen2}), level)}, {}),
    "matches only": ({"pre_tokenizer": seq(split({"Regex": r"\p{L}+| +"}, "Removed", True), level)}, {}),
    "one piece": ({"pre_tokenizer": level}, {}),
    "ignored merges": ({"model": {**base["model"], "ignore_merges": True}}, {}),
    "vocab and merges with bos and eos": (None, {"add_bos_token": True, "add_eos_token": True, "bos_token": start, "eos_token": end, "added_tokens_decoder": {str(a["id"]): {k: v for k, v in a.items() if k != "id"} for a in base["added_tokens"]}}),
    "vocab and merges without a bos": (None, {"add_bos_token": True, "bos_token": None, "eos_token": eot, "added_tokens_decoder": {str(a["id"]): {k: v for k, v in a.items() if k != "id"} for a in base["added_tokens"]}}),
    "vocab and merges": (None, {"added_tokens_decoder": {str(a["id"]): {k: v for k, v in a.items() if k != "id"} for a in base["added_tokens"]}}),
}

rng = random.Random(11)
old = unicodedata.ucd_3_2_0
pool = [chr(c) for c in range(0x3000) if old.category(chr(c)) not in ("Cn", "Cs", "Co")]
texts = ["", "In the beginning God created the heaven and the earth.", " 12345 the 6 of 78  ", "it's IT'S we'LL\n\n x  \n", "<|im_start|>user\nhello<think>x</think><|im_end|>", "<｜User｜>hi",
         "cafe\u0301 caf\u00e9 <n>\u0338 <n>", "日本語とひらがな123 漢字", "a\tb\r\nc \u00a0 d", "....!!! ??\n?"]
texts += ["".join(rng.choice(pool if rng.random() < 0.4 else list("  \n'aeiosthTH019.,!<|>n")) for _ in range(rng.randrange(1, 40))) for _ in range(12)]

out = []
for name, (patch, config) in FORMS.items():
    if patch and "model" in patch:  # the vocabulary is known
        stored = {"model": {"ignore_merges": True}}
    else:
        stored = patch
    config = {"tokenizer_class": "Qwen2Tokenizer" if patch is None else "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **config}
    with tempfile.TemporaryDirectory() as d:
        d = pathlib.Path(d)
        (d / "tokenizer_config.json").write_text(json.dumps(config))
        (d / "config.json").write_text('{"model_type": "qwen2"}')
        if patch is None:
            (d / "vocab.json").write_text(json.dumps(base["model"]["vocab"]))
            (d / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in base["model"]["merges"]))
        else:
            (d / "tokenizer.json").write_text(json.dumps({**base, **patch}))
        tok = (Qwen2Tokenizer if patch is None else PreTrainedTokenizerFast).from_pretrained(d)
        out.append({"name": name, "patch": stored, "config": config, "cases": [
            {"text": t, "ids": tok(t)["input_ids"], "part": tok(t, add_special_tokens=False)["input_ids"],
            "pieces": [t[a:b] for _, (a, b) in tok.backend_tokenizer.pre_tokenizer.pre_tokenize_str(t)]} for t in texts]})
(here / "goldens-forms.json").write_text(json.dumps(out, ensure_ascii=False) + "\n")
print(len(out), "forms", [o["cases"][1]["ids"][:3] for o in out])
