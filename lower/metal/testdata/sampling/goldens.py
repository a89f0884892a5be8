#!/usr/bin/env python3
"""Writes goldens.json: the probabilities that Hugging Face's logits processors give.

It states the processors' documented algorithm in numpy (float64): repetition penalty,
temperature, top-k, top-p, min-p, in the order in which generate() applies them, then
softmax. Where transformers and torch are installed, --check holds every case against
the published classes themselves (done with transformers 5.23.0, torch 2.9.1). Usage: python3 goldens.py [--check] > goldens.json
"""
import json
import sys

import numpy as np

NEVER = -np.inf


def softmax(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum()


def repetition(scores, seen, penalty):
    out = scores.copy()
    for token in set(seen):
        out[token] = scores[token] * penalty if scores[token] < 0 else scores[token] / penalty
    return out


def top_k(scores, k):
    kth = np.sort(scores)[-min(k, len(scores))]
    return np.where(scores < kth, NEVER, scores)


def top_p(scores, p):
    order = np.argsort(scores, kind="stable")  # ascending: what the tail sums to is cut
    tail = np.cumsum(softmax(scores[order])) <= 1 - p
    tail[-1] = False
    out = scores.copy()
    out[order[tail]] = NEVER
    return out


def min_p(scores, p):
    probabilities = softmax(scores)
    return np.where(probabilities < p * probabilities.max(), NEVER, scores)


def process(logits, seen, s):
    scores = np.array(logits, dtype=np.float64)
    if s.get("repetition", 1) != 1:
        scores = repetition(scores, seen, s["repetition"])
    scores = scores / s.get("temperature", 1)
    if s.get("top_k", 0) > 0:
        scores = top_k(scores, s["top_k"])
    if s.get("top_p", 1) < 1:
        scores = top_p(scores, s["top_p"])
    if s.get("min_p", 0) > 0:
        scores = min_p(scores, s["min_p"])
    return softmax(scores)


def published(logits, seen, s):
    import torch
    from transformers.generation import logits_process as hf

    processors = hf.LogitsProcessorList()
    if s.get("repetition", 1) != 1:
        processors.append(hf.RepetitionPenaltyLogitsProcessor(float(s["repetition"])))
    processors.append(hf.TemperatureLogitsWarper(float(s.get("temperature", 1))))
    if s.get("top_k", 0) > 0:
        processors.append(hf.TopKLogitsWarper(s["top_k"]))
    if s.get("top_p", 1) < 1:
        processors.append(hf.TopPLogitsWarper(float(s["top_p"])))
    if s.get("min_p", 0) > 0:
        processors.append(hf.MinPLogitsWarper(float(s["min_p"])))
    scores = torch.tensor([logits], dtype=torch.float64)
    return torch.softmax(processors(torch.tensor([seen]), scores), -1)[0].numpy()


def all_logits():
    """Logits without equals, multiples of 1/64 that f32 holds: a broad row, a peaked
    one, one below zero."""
    r = np.random.default_rng(7)
    steps = [r.permutation(48) * 8 - 190, (np.round(np.linspace(-5, 3.4, 48) ** 3 * 16) + np.arange(48))[r.permutation(48)], r.permutation(48) * 5 - 600]
    return [(s / 64).tolist() for s in steps]


SETTINGS = [
    {"temperature": 1}, {"temperature": 0.5}, {"temperature": 2.5}, {"top_k": 1}, {"top_k": 5}, {"top_k": 47}, {"top_k": 100},
    {"top_p": 0.1}, {"top_p": 0.5}, {"top_p": 0.9}, {"top_p": 0.99}, {"min_p": 0.02}, {"min_p": 0.3}, {"min_p": 1},
    {"repetition": 1.3}, {"repetition": 0.7}, {"repetition": 5, "temperature": 0.25},
    {"top_k": 10, "top_p": 0.8}, {"top_k": 10, "min_p": 0.2}, {"top_p": 0.95, "min_p": 0.1},
    {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition": 1.05}, {"temperature": 1.7, "top_k": 30, "top_p": 0.95, "min_p": 0.05, "repetition": 1.2},
]


def main():
    rows, cases = [], []
    for i, logits in enumerate(all_logits()):
        best = int(np.argmax(logits))
        seen = [best, 3, 3, 17, 40]
        assert len(set(logits)) == len(logits)
        rows.append({"logits": logits, "seen": seen})
        for s in SETTINGS:
            p = process(logits, seen, s)
            if "--check" in sys.argv:
                assert np.allclose(p, published(logits, seen, s), rtol=1e-9, atol=0), (i, s)
            cases.append({"row": i, **s, "kept": [[int(t), float(p[t])] for t in np.flatnonzero(p)]})
    lines = ",\n".join(json.dumps(c) for c in cases)
    text = ",\n".join(json.dumps(r) for r in rows)
    print(f'{{"rows": [\n{text}\n], "cases": [\n{lines}\n]}}')


main()
