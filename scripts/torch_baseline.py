"""Decode and prefill of a Qwen2.5 architecture through torch.compile with CUDA
graphs and a static cache: the line that docs/performance.md compares with. The
word matmul adds torch's own rate of large products.

Weights are random bf16; times do not depend on them. Usage:
python3 torch_baseline.py matmul 0.5b 1.5b 7b
"""
import statistics
import sys
import time

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM, StaticCache

SIZES = {  # hidden, layers, intermediate, heads, kv heads, vocabulary, tied
    "0.5b": (896, 24, 4864, 14, 2, 151936, True),
    "1.5b": (1536, 28, 8960, 12, 2, 151936, True),
    "3b": (2048, 36, 11008, 16, 2, 151936, True),
    "7b": (3584, 28, 18944, 28, 4, 152064, False),
}


def matmul(t=4096, n=8192, k=8192):
    """TFLOP/s of x w^T, median of 5 times 10 products."""
    for dtype in (torch.bfloat16, torch.float16):
        x, w = (torch.randn(rows, k, device="cuda", dtype=dtype) for rows in (t, n))
        runs = []
        for _ in range(6):
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(10):
                torch.nn.functional.linear(x, w)
            torch.cuda.synchronize()
            runs.append((time.perf_counter() - start) / 10)
        rate = 2 * t * n * k / statistics.median(runs[1:]) / 1e12
        print(f"torch matmul {t} x {n} x {k} {dtype}: {rate:.0f} TFLOP/s", flush=True)


def main(size):
    hidden, layers, inter, heads, kv, vocab, tied = SIZES[size]
    config = Qwen2Config(hidden_size=hidden, num_hidden_layers=layers, intermediate_size=inter, num_attention_heads=heads,
                         num_key_value_heads=kv, vocab_size=vocab, tie_word_embeddings=tied, max_position_embeddings=32768)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = Qwen2ForCausalLM(config).eval()
    cache = StaticCache(config=config, max_cache_len=512)
    prompt = torch.randint(0, vocab, (1, 128), device="cuda")

    def step(token, position):
        out = model(token, past_key_values=cache, cache_position=position, position_ids=position[None], use_cache=True)
        return out.logits[:, -1].argmax(-1, keepdim=True)

    with torch.inference_mode():
        compiled = torch.compile(step, mode="reduce-overhead", fullgraph=True)
        positions = [torch.tensor([i], device="cuda") for i in range(512)]

        def decode():
            """One token a call, from position 128 to 255; seconds a token."""
            cache.reset()
            token = step(prompt, torch.arange(128, device="cuda"))
            torch.cuda.synchronize()
            start = time.perf_counter()
            for i in range(128, 256):
                token = compiled(token, positions[i]).clone()
            torch.cuda.synchronize()
            return (time.perf_counter() - start) / 128

        for _ in range(2):
            decode()
        runs = [decode() for _ in range(5)]
        print(f"torch.compile {size}: decode {1e3 * statistics.median(runs):.3f} ms a token ({1 / statistics.median(runs):.0f} tok/s), "
              f"min {1e3 * min(runs):.3f}, max {1e3 * max(runs):.3f}", flush=True)
        long = torch.randint(0, vocab, (1, 512), device="cuda")
        at = torch.arange(512, device="cuda")

        def prefill():
            cache.reset()
            torch.cuda.synchronize()
            start = time.perf_counter()
            compiled(long, at)
            torch.cuda.synchronize()
            return time.perf_counter() - start

        for _ in range(4):
            prefill()
        runs = [prefill() for _ in range(10)]
        print(f"torch.compile {size}: prefill of 512 {1e3 * statistics.median(runs):.3f} ms ({512 / statistics.median(runs):.0f} tok/s)", flush=True)
    del model, cache
    torch.cuda.empty_cache()


for name in sys.argv[1:]:
    if name == "matmul":
        matmul()
    elif not name.startswith("--"):
        main(name)
