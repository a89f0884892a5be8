#!/usr/bin/env python3
"""What `foundry convert` writes, read by llama.cpp and mlx-lm: prints, for each file, the
NMSE of their logits against those of ref or of transformers (docs/checkpoints.md has the
numbers of a run).

    pip install llama-cpp-cffi==0.4.42 psutil "mlx[cpu]==0.32.4" mlx-lm==0.32.2 gguf==0.19 safetensors numpy
    go build -o foundry ./cmd/foundry && scripts/elsewhere.py ./foundry

Run it in the repository's root. llama.cpp has caches of f32 here. It rounds activations to
eight bits where matrices are quantised, so such files are also written as f32, which holds
the same values.
"""
import importlib.util, json, pathlib, shutil, subprocess, sys, sysconfig, tempfile
import gguf
import mlx.core as mx
import numpy as np
from mlx_lm.utils import load_model
from safetensors.numpy import load_file

foundry = str(pathlib.Path(sys.argv[1]).resolve())
out = pathlib.Path(tempfile.mkdtemp())
quantised = pathlib.Path("frontends/checkpoint/testdata/quantised")
goldens = pathlib.Path("tests/testdata")
KJV = [(i * 7919) % 2048 for i in range(20)]

found = next(pathlib.Path(sysconfig.get_path("purelib")).glob("llama/_llama_cpp_cpu.*.so"))
spec = importlib.util.spec_from_file_location("_llama_cpp_cpu", found)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
lib, ffi = module.lib, module.ffi
lib.llama_backend_init()


def llama(path, ids, vocab):
    params = lib.llama_model_default_params()
    model = lib.llama_load_model_from_file(str(path).encode(), params)
    assert model != ffi.NULL, path
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = 512
    params.type_k = params.type_v = 0
    context = lib.llama_new_context_with_model(model, params)
    batch = lib.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = int(token), i, 1, 0, 1
    assert lib.llama_decode(context, batch) == 0
    return np.array([ffi.unpack(lib.llama_get_logits_ith(context, i), vocab) for i in range(len(ids))])


def mlx(folder, ids):
    model, _ = load_model(pathlib.Path(folder))
    model.set_dtype(mx.float32)
    return np.array(model(mx.array([[int(i) for i in ids]]))[0])


def run(*args):
    r = subprocess.run([foundry, *map(str, args)], capture_output=True, text=True)
    return r.returncode, r.stderr.strip()


def convert(model, to, *args):
    path = out / to
    code, said = run("convert", "--model", model, "-o", path, *args)
    assert code == 0, said
    return path


def ref(model, ids):
    path = out / "ref.safetensors"
    path.unlink(missing_ok=True)
    code, said = run("eval", "--device", "ref", "--model", model, "--ids", ",".join(map(str, ids)), "--logits-out", path)
    assert code == 0, said
    return next(v for v in load_file(path).values() if v.ndim == 2)


def compare(what, have, want):
    have, want = have[-len(want):].astype(float), want.astype(float)
    print(f"{what}: {((have - want) ** 2).sum() / (want ** 2).sum():.1e}, same best token at {np.mean(have.argmax(1) == want.argmax(1)):.0%}", flush=True)


f32 = convert("kjv-2m", "f32.gguf", "--weights", "f32")
compare("llama.cpp, kjv-2m in f32, against ref", llama(f32, KJV, 2048), ref(f32, KJV))
for weights in ("q4_k_m", "q8_0"):
    blocks = convert("kjv-2m", f"{weights}.gguf", "--weights", weights)
    values = convert(blocks, f"{weights}-f32.gguf", "--weights", "f32")
    compare(f"llama.cpp, kjv-2m in {weights}, its values in f32, against ref", llama(values, KJV, 2048), ref(values, KJV))
    compare(f"llama.cpp, kjv-2m in {weights}, against ref", llama(blocks, KJV, 2048), ref(blocks, KJV))

ids = [(i * 37 + 5) % 512 for i in range(40)]
for weights in ("q4_k", "q5_k", "q6_k"):
    blocks = convert(goldens / "rand-hd128", f"r-{weights}.gguf", "--weights", weights)
    values = convert(blocks, f"r-{weights}-f32.gguf", "--weights", "f32")
    theirs = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(blocks).tensors}
    same = all(np.array_equal(theirs[t.name].ravel(), t.data.ravel()) for t in gguf.GGUFReader(values).tensors)
    print(f"gguf package, {weights}: values {'equal' if same else 'differ'}")
    compare(f"llama.cpp, a random model in {weights}, against ref", llama(blocks, ids, 512), ref(blocks, ids))

long = json.loads((goldens / "long/goldens.json").read_text())
theirs = load_file(goldens / "long/goldens.safetensors")
base = json.loads((goldens / "rand-hd64/config.json").read_text())
for name, change in long["variants"].items():
    folder = out / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({k: v for k, v in {**base, **change}.items() if v is not None}))
    shutil.copy(goldens / "rand-hd64/model.safetensors", folder)
    code, said = run("convert", "--model", folder, "--weights", "f32", "-o", out / f"{name}.gguf")
    if code:
        print(f"{name}: refused: {said.split('config.json: ')[-1]}")
        continue
    compare(f"llama.cpp, {name}, 256 tokens, against transformers", llama(out / f"{name}.gguf", long["ids"], 320), theirs[name + ".256"])

for name in ("awq", "gptq4-sym", "gptq4-v2", "gptq8", "mlx-mixed"):
    recorded = load_file(quantised / name / "logits.safetensors")
    written = convert(quantised / name, f"{name}.gguf", "--weights", "f32")
    compare(f"llama.cpp, {name} in f32, against what was recorded", llama(written, recorded["ids"], 96), recorded["logits"])
for weights in ("affine4", "affine8", "affine4_g32_f16", "affine3_g64_bf16"):
    folder = convert("kjv-2m", weights, "--weights", weights)
    compare(f"mlx-lm, kjv-2m in {weights}, against ref", mlx(folder, KJV), ref(folder, KJV))
for name, args in (("mlx-mixed", ()), ("gptq4-sym", ("--weights", "f32")), ("awq", ("--weights", "f32"))):
    recorded = load_file(quantised / name / "logits.safetensors")
    compare(f"mlx-lm, {name} written anew, against what was recorded", mlx(convert(quantised / name, name, *args), recorded["ids"]), recorded["logits"])
shutil.rmtree(out)
