#!/usr/bin/env bash
# Everything that docs/performance.md says of one NVIDIA GPU, in parts, each of a few
# minutes at most:
#
#   CGO_ENABLED=0 go build -o foundry ./cmd/foundry
#   CGO_ENABLED=0 go test -c -o cuda.test ./runtime/cuda
#   CGO_ENABLED=0 go test -c -o models.test ./tests/generated
#   FOUNDRY=./foundry CUDA_TEST=./cuda.test MODELS_TEST=./models.test scripts/nvidia.sh conformance decode torch
#
# conformance  the device suite, foundry verify, the goldens of five models, generated
#              models whose values are up to 2^20 times larger or smaller, in 20 formats
# decode       one token after the other at 0.5b, 1.5b, 7b and Q8_0, with shares
# prefill      512 tokens at 0.5b, 1.5b and 7b
# ladder       every rung at 0.5b, 1.5b and 7b against the cost model
# context      128 to 32k tokens, T = 1 and 512, every attention backend
# kernels      each kernel alone, its constants varied
# units        prefill of 512 tokens by matrix units, with all of a core's threadgroup memory and
#              with the 32 KiB that Metal has; of two products the whole, without run(), run() alone
# torch        the same models through torch.compile, and torch's matmul rate
# startup      what comes before the first token, cold and cached
# formats      decode and prefill in every format, to the file MEASURED: docs/performance.md
#              says how its tables are made of that
#
# SIZES="0.5b" takes some of the sizes only, REPS other than 5 runs; DEVICE=cpu,
# MODELS=kjv-2m and CONTEXTS=128,512 try the script out where there is no GPU. No part
# is all of them. Neither Go nor a CUDA toolkit is needed on the GPU's machine, NVRTC
# is (a CUDA build of torch brings it). A part that fails does not stop the others; the
# exit code says whether any did.
set -u
foundry=$(realpath "${FOUNDRY:?the foundry binary}")
here=$(cd "$(dirname "$0")" && pwd)
data=$here/../tests/testdata
reps=${REPS:-5}
device=${DEVICE:-cuda}
sizes=${SIZES:-0.5b 1.5b 7b}
failed=()

# step says what runs and how long it took.
step() {
  local start=$SECONDS
  echo "== $*" | sed "s|$foundry|foundry|; s|$here/../||g"
  "$@" || failed+=("${*:2:6}")
  echo "-- $((SECONDS - start)) s"
}
bench() { step "$foundry" bench --device "$device" --reps "$reps" "$@"; }
goldens() { step "$foundry" eval --device "$device" "$@"; }

# models names those of the sizes asked for that are among the given ones.
models() {
  [[ -n ${MODELS:-} ]] && echo "$MODELS" && return
  local size
  for size in $sizes; do
    [[ " $* " == *" $size "* ]] && echo "synth:qwen2.5-$size"
  done
}

conformance() {
  step "$foundry" devices
  if [[ -n ${CUDA_TEST:-} ]]; then
    local suite
    suite=$(realpath "$CUDA_TEST")
    step bash -c "cd '$here/../runtime/cuda' && '$suite' -test.v | grep -E '^ *--- |^(ok|FAIL|PASS|panic)' ; exit \${PIPESTATUS[0]}"
  else
    echo "CUDA_TEST is not set: the device suite is left out" && failed+=("device suite")
  fi
  step "$foundry" verify --device "$device"
  if [[ -n ${MODELS_TEST:-} ]]; then
    local rescaled
    rescaled=$(realpath "$MODELS_TEST")
    step bash -c "cd '$here/../tests/generated' && FOUNDRY_COMPLETE=1 '$rescaled' -test.run 'TestRescaled(Formats)?\$' -rescaled-on '$device'"
  else
    echo "MODELS_TEST is not set: rescaled models are left out" && failed+=("rescaled models")
  fi
  # As on cpu: an f16 cache and f16 operands against float32.
  local by model
  for by in "" "--chunk 1"; do # tiles for many rows, and row by row
    goldens --goldens "$data/kjv-2m/goldens.safetensors" --nmse 2e-6 --margin 0.02 $by
    for model in rand-hd64 rand-hd128; do
      goldens --model "$data/$model" --goldens "$data/$model/goldens.safetensors" --nmse 2e-6 --margin 0.02 $by
    done
  done
  [[ -n ${MODELS:-} ]] && return
  for model in $(models 0.5b 1.5b); do
    goldens --model "$model" --goldens "$data/synth-goldens.json"
  done
  for model in $(models 7b); do # which has no goldens: the reference makes them here, in 30 GB
    local want
    want=$(mktemp -d)
    step "$foundry" eval --model "$model" --device ref --ids 13,7932,15851,23770 --logits-out "$want/logits.safetensors"
    goldens --model "$model" --ids 13,7932,15851,23770 --goldens "$want/logits.safetensors"
    rm -r "$want"
  done
}

decode() {
  local model
  for model in $(models 0.5b 1.5b 7b); do
    bench --model "$model" --variants fewest,default --context 512 --prompt 128 --tokens 128
  done
  for model in $(models 0.5b); do
    bench --model "$model" --variants fewest,default --prompt 128 --tokens 128 --per-kernel
    bench --model "$model" --weights q8_0 --variants fewest,default --context 512 --prompt 128 --tokens 128 --per-kernel
  done
}

prefill() {
  local model
  for model in $(models 0.5b 1.5b 7b); do
    bench --model "$model" --variants default --phase prefill --prompt "${PROMPT:-512}" --per-kernel
  done
}

ladder() {
  local model
  for model in $(models 0.5b 1.5b 7b); do
    bench --model "$model" --variants ladder --score --prompt 128 --tokens 64
  done
}

context() {
  local model
  for model in $(models 0.5b 7b); do
    bench --model "$model" --contexts "${CONTEXTS:-128,2k,8k,32k}" --prompt "${PROMPT:-512}"
  done
}

kernels() {
  local model
  for model in $(models 0.5b 7b); do
    step "$foundry" bench --device "$device" --model "$model" --kernels --chunk "${PROMPT:-512}"
  done
}

# stages makes two folders of stage files in $1: in "still" matrix units multiply nothing, in
# "alone" they multiply zeros, which lie in threadgroup memory from each place's first copy.
stages() {
  mkdir -p "$1/still/common" "$1/alone/common"
  sed '/product\.run(l, r, sum);/d' "$here/../shaders/common/matrix.metal" > "$1/still/common/matrix.metal"
  {
    cat "$here/../shaders/common/flight.metal"
    cat << 'END'
struct flight_of_zeros {
    uint begun = 0u;
    void start(device const uchar *, threadgroup half *to)
    {
        if (begun++ < 8u) *(threadgroup uint4 *)to = uint4(0u);
    }
    void start_row(device const uchar *from, threadgroup half *to) { start(from, to); }
    void land(threadgroup half *) {}
};
#define tile_flight flight_of_zeros
END
  } > "$1/alone/common/flight.metal"
}

# units compares two targets that differ in threadgroup memory: the GPU's and its -32k. The first
# pipeline lets the cost model choose between tiles and matrix units, in the second all
# products are made by the units, behind norms of their own.
units() {
  local folder default units model target what product
  folder=$(mktemp -d)
  stages "$folder"
  default=$("$foundry" variants default)
  units=${default/fuse-attention-split-o\{when=cheaper\},fuse-rope-attention\{when=cheaper\},/}
  units=${units/fuse-qkv-rope-kv\{/fuse-qkv-rope-kv\{norm=false,kernel=matrices,}
  units=${units/fuse-gate-up-swiglu\{/fuse-gate-up-swiglu\{norm=false,kernel=matrices,}
  units=${units/fuse-residual\{/fuse-residual\{kernel=matrices,}
  printf '%s\n' "default = $default" "units = ${units//kernel=matrices,when=cheaper/kernel=matrices}" > "$folder/pipelines"
  for model in $(models 7b); do
    for target in ${TARGETS:-h200 h200-32k}; do
      bench --model "$model" --target "$target" --variants "@$folder/pipelines" --phase prefill --prompt "${PROMPT:-512}"
      for product in gate_up resid_mlp; do
        for what in whole still alone; do
          local shaders=(--shaders "$folder/$what" --trust-kernels)
          [[ $what == whole ]] && shaders=()
          echo "$target, $what"
          step "$foundry" bench --device "$device" --model "$model" --target "$target" --kernels="$product" --chunk "${PROMPT:-512}" --variants default "${shaders[@]}"
        done
      done
    done
  done
  rm -r "$folder"
}

torch() {
  if ! python3 -c 'import torch, transformers; assert torch.cuda.is_available()' 2>/dev/null; then
    echo "no torch and transformers with CUDA here: the comparison is left out"
    return
  fi
  step python3 "$here/torch_baseline.py" matmul $sizes
}

startup() {
  local cache what model
  cache=$(mktemp -d)
  for what in cold cached; do
    echo "kernels $what"
    XDG_CACHE_HOME=$cache step "$foundry" run --device "$device" --prompt "In the beginning" -n 16 --verbose
  done
  for model in $(models 0.5b 7b); do
    for what in cold cached; do
      echo "kernels $what"
      XDG_CACHE_HOME=$cache step "$foundry" bench --device "$device" --model "$model" --variants fewest --tokens 8 --reps 1
    done
  done
  rm -r "$cache"
}

# formats writes where and when, then a line of bench --json a variant, with the weights.
formats() {
  local out=${MEASURED:-measured.jsonl} size weights
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader |
    sed "s/\(.*\), \(.*\)/{\"date\":\"$(date +%F)\",\"machine\":\"\1\",\"driver\":\"\2\"}/" > "$out"
  for size in $sizes; do
    for weights in ${WEIGHTS:-f16 q8_0 q6_k q5_k q4_0 q4_k affine4_g64_bf16}; do
      [[ $size == 0.5b && $weights == *_k ]] && continue # whose rows of 896 blocks of 256 do not divide
      for phase in "decode --tokens 128 --prompt 128 --context 512 --variants fewest,default --per-kernel" "prefill --prompt 512 --variants default"; do
        # shellcheck disable=SC2086
        "$foundry" bench --device "$device" --reps "$reps" --model "synth:qwen2.5-$size" --weights "$weights" --phase $phase --json |
          sed "s/^{/{\"weights\":\"$weights\",/" >> "$out" || failed+=("formats $size $weights")
      done
    done
  done
  wc -l "$out"
}

parts=(conformance decode prefill ladder context kernels units torch startup formats)
(($#)) || set -- "${parts[@]}"
for part; do
  if [[ " ${parts[*]} " != *" $part "* ]]; then
    echo "there is no part $part, want some of: ${parts[*]}" >&2
    exit 2
  fi
done
nvidia-smi --query-gpu=name,memory.total,driver_version,clocks.max.sm,clocks.max.mem --format=csv,noheader || echo "no nvidia-smi here"
for part; do
  start=$SECONDS
  echo "==== $part"
  $part
  echo "==== $part took $((SECONDS - start)) s"
done
if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
