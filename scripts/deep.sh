#!/bin/sh
# What is too long for each push: sh scripts/deep.sh FOLDER. Results are left in FOLDER, and a
# second run goes on where one was stopped. MUTANTS_SEED draws other mutants.
set -eu
cd "$(dirname "$0")/.."
out=${1:?a folder for results}
mkdir -p "$out"
seed=${MUTANTS_SEED:-$(cat "$out/seed" 2>/dev/null || date +%s)}
echo "$seed" >"$out/seed"

# Shapes, formats and orders of which a plain run takes a part, each with each other.
FOUNDRY_COMPLETE=1 go test -timeout 3h ./lower/metal -run 'Models|SharedTurns|NormFormats|Planes|Preparation|SampleAgrees'

# The page's recipes with all that a change of an operation is held to.
FOUNDRY_COMPLETE=1 go test -timeout 1h ./tests -run ArchitectureRecipes

# What quick rows of the default target do not have: products and attention in matrix units,
# which mistakes in their stage files meet below.
go run ./cmd/foundry verify --quick --device cpu --target apple-m5 >"$out/matrices.txt"

# Changed plans, and variations of them. What needs no run takes milliseconds each; what
# no check refuses is run, and what no run notices is run with every access looked at.
# 1,000 took 20 minutes on two cores of which others had most.
FOUNDRY_COMPLETE=1 go test ./tests/mutants
go run ./tests/mutants -seed "$seed" -plan 1000 -results "$out/plans.jsonl" >"$out/plans.txt"
cat "$out/plans.txt"
# Mistakes in sources. Those in Go are built into one program, behind switches; a test's
# program is built once, and says which mistakes each test meets: sources must stay as they
# are meanwhile. Most take under a second each in Go, in a stage file some 3 seconds of
# processor time, in a header of cpu some 10; one that nobody notices meets every probe, and takes
# two or three minutes: 200 in Metal text are some 50 minutes of a core.
go run ./tests/mutants -seed "$seed" -go "${MUTANTS_GO:-300}" -checker "${MUTANTS_CHECKER:-50}" -msl "${MUTANTS_MSL:-200}" -stages "${MUTANTS_STAGES:-2}" -results "$out/sources.jsonl" >"$out/sources.txt"
cat "$out/sources.txt"
