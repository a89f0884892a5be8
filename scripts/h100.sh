#!/usr/bin/env bash
# Everything that docs/performance.md says of one NVIDIA GPU, from one run:
#
#   CGO_ENABLED=0 go build -o foundry ./cmd/foundry
#   CGO_ENABLED=0 go test -c -o cuda.test ./runtime/cuda
#   scripts/h100.sh ./foundry ./cuda.test
#
# The comparison needs Python with torch and transformers; without them it is left
# out, and the script says so.
set -u
foundry=${1:?the foundry binary}
suite=${2:?the test binary of runtime/cuda}
here=$(cd "$(dirname "$0")" && pwd)

nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem --format=csv,noheader
"$foundry" devices
(cd "$here/../runtime/cuda" && "$suite" -test.v) | grep -E '^(---|    ---|ok|FAIL|PASS)'

echo "== the same ids on ref and cuda"
for device in ref cuda; do
  "$foundry" eval --device $device --prompt "And the LORD spake unto" --greedy 16 --json | grep -o '"greedy_ids":[^]]*]'
done

decode="$foundry bench --device cuda --prompt 128 --tokens 128 --reps 5 --per-kernel"
for size in 0.5b 1.5b 7b; do
  $decode --model synth:qwen2.5-$size --variants floor,default
done
$decode --model synth:qwen2.5-0.5b --weights q8_0 --variants floor
echo "== the ladder"
$foundry bench --device cuda --model synth:qwen2.5-0.5b --variants ladder --prompt 128 --tokens 64 --reps 3
echo "== prefill"
for size in 0.5b 7b; do
  $foundry bench --device cuda --model synth:qwen2.5-$size --variants default --phase prefill --prompt 512 --reps 5 --per-kernel
done
python3 "$here/torch_baseline.py" 0.5b 1.5b 7b 2>/dev/null | grep torch.compile || echo "no torch here: the comparison is left out"
