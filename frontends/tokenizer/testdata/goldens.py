"""Writes goldens-more.json: hard texts and broken byte sequences, as Hugging Face's
`tokenizers` sees them.

    pip install tokenizers==0.23.3 && python goldens.py > goldens-more.json

Run it in this folder; the small model's tokenizer is beside the checkpoint
package. `encode` holds {text, ids} per tokenizer, `decode` {ids, text}.
"""

import gzip
import json
import random
import sys
import unicodedata

from tokenizers import Tokenizer

rng = random.Random(7)
# Characters of Unicode 3.2: on newer ones, normalisers with tables of different age differ.
old = unicodedata.ucd_3_2_0
assigned = [chr(c) for c in range(0x30000) if old.category(chr(c)) not in ("Cn", "Cs", "Co")]
odd = [chr(c) for c in (0x85, 0x1C, 0x1F, 0x200B, 0x3000, 0x2028, 0x180E, 0xA0, 0x0B, 0x0C, 0x17F, 0x212A, 0x130)]
marks = [c for c in assigned if old.category(c).startswith("M") or old.combining(c)]
hangul = [chr(c) for c in (*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A8, 0x11C3))]
common = list("  \t\n\r'aeiosStTLldDmMrRvV019.,!?-_<|>")

texts = [
    "it's it'S it\u017f IT'S we'Ve they'LL I'm I'M he'd 're've",
    "x'\u017f x'\u017ft \u212aelvin '\u212a",
    "<|im_start|><|im_end|><|im_start|", "<|im_start|>user\n<tool_call>{}</tool_call><|im_end|>",
    "<|<|im_start|>|>", "<|endoftext|>\u0301e", "e<|endoftext|>\u0301", "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>",
    "\u212b \u0344 \u0958 \u2126 \u1100\u1161\u11a8 \uac00\u11a8 a\u0323\u0307 a\u0307\u0323",
    "a" * 300, " " * 50 + "x" + " " * 7, "\n" * 9 + " \n \n\t\n x", "  \r\n  \r\n", "x \u0085 y\u001cz \u2028\u2029 \u3000\u3000a",
    "\u00bd \u2167 \u0e51\u0e52 \u2460 \u00b2x\u00b3", "a\u200bb\u200dc\ufeffd", "\U0001f469\U0001f3fd\u200d\U0001f680",
    "http://example.com/a?b=c&d=%20#e", "\tif (x!=y) {\r\n\t\treturn -1;\r\n\t}", "....\n\n\n!!!\r\n  ", "\u0000\u0001\u007f",
    "".join(rng.choice("the quick brown fox ") for _ in range(400)),
]
for pool, n in ((common, 30), (common + odd, 40), (common + marks + hangul, 40), (assigned, 40)):
    for _ in range(n):
        texts.append("".join(rng.choice(pool) for _ in range(rng.randrange(1, 40))))

out = {"encode": {}, "decode": {}}
for name, raw in (
    ("kjv", open("../../checkpoint/kjv2m/tokenizer.json", encoding="utf-8").read()),
    ("qwen2.5", gzip.open("qwen2.5-tokenizer.json.gz", "rt", encoding="utf-8").read()),
):
    tok = Tokenizer.from_str(raw)
    out["encode"][name] = [{"text": t, "ids": tok.encode(t, add_special_tokens=False).ids} for t in texts]
    # Ids in any order break characters apart.
    size = tok.get_vocab_size()
    bytes_only = [tok.encode(c, add_special_tokens=False).ids for c in "\u00e9\u65e5\U0001f600\u05d0\u0e01\u1fff"]
    flat = [i for ids in bytes_only for i in ids]
    decode = []
    for _ in range(60):
        ids = [rng.choice(flat) if rng.random() < 0.7 else rng.randrange(size) for _ in range(rng.randrange(1, 12))]
        decode.append({"ids": ids, "text": tok.decode(ids, skip_special_tokens=False)})
    out["decode"][name] = decode

json.dump(out, sys.stdout, ensure_ascii=True, separators=(",", ":"))
