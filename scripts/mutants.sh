#!/bin/sh
# 40 small mistakes, others with each commit, of which the tests must notice most: in
# plans by what needs no run, in Go of packages whose tests take seconds, by those. About a
# minute on four cores. The seed is the commit's hash; MUTANTS_SEED takes another.
set -eu
cd "$(dirname "$0")/.."
seed=${MUTANTS_SEED:-$(printf %d "0x$(git rev-parse --short=12 HEAD)")}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
go run ./tests/mutants -seed "$seed" -plan 20 -checker 8 -go 12 -stages 1 -least 60 \
  -in '^(lower/plan|ir|passes|frontends/(chat|jinja|tokenizer))/[^/]*$' -results "$out/mutants.jsonl"
