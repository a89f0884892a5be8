#!/bin/sh
# What is too long for each push: sh scripts/deep.sh FOLDER. Results are left in FOLDER, and a
# second run goes on where one was stopped. MUTANTS_SEED draws other mutants.
set -eu
cd "$(dirname "$0")/.."
out=${1:?a folder for results}
mkdir -p "$out"
seed=${MUTANTS_SEED:-$(cat "$out/seed" 2>/dev/null || date +%s)}
echo "$seed" >"$out/seed"

# Changed plans, and variations of them: hours, since those that no check refuses are run.
FOUNDRY_COMPLETE=1 go test ./tests/mutants
go run ./tests/mutants -seed "$seed" -plan 1000 -results "$out/plans.jsonl" >"$out/plans.txt"
cat "$out/plans.txt"
# Mistakes in sources, each through its package's tests, further ones with -stages 9.
go run ./tests/mutants -seed "$seed" -go "${MUTANTS_GO:-100}" -checker "${MUTANTS_CHECKER:-30}" -msl "${MUTANTS_MSL:-30}" -stages 1 -results "$out/sources.jsonl" >"$out/sources.txt"
cat "$out/sources.txt"
