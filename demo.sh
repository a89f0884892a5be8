#!/bin/sh
# The whole way once, on the model that is embedded in the program: compile it,
# draw its fused graph, show what each fusion saves on an Apple GPU as modelled, generate
# text. Times of the emulation on a CPU say nothing of that and are not shown.
# Needs Go. With a C++ compiler the plan's own Metal text is compiled and run;
# without one the reference stands in, and the lines below say so.
set -eu
cd "$(dirname "$0")"
export CGO_ENABLED=0
mkdir -p out

# show prints a command as it can be pasted, and runs it.
show() {
  line=./out/foundry
  for word; do
    case $word in
    *[!A-Za-z0-9_./,=-]*) line="$line \"$word\"" ;;
    *) line="$line $word" ;;
    esac
  done
  echo
  echo "\$ $line"
  ./out/foundry "$@"
}

# begin prints the first lines of a longer output and says where the rest is.
begin() {
  lines=$1 file=out/$2.txt
  shift
  show "$@" >"$file"
  head -n "$lines" "$file"
  echo "... the rest is in $file"
}

echo "building out/foundry"
go build -o out/foundry ./cmd/foundry

prompt="And the LORD spake unto Moses, saying,"
begin 9 compile -o out/kjv-2m
show dot --collapse -o out/kjv-2m.dot
show dot -o out/kjv-2m.html
begin 15 fusions
if command -v "${CXX:-g++}" >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1 || command -v c++ >/dev/null 2>&1; then
  show run --device cpu --plan out/kjv-2m --prompt "$prompt" -n 32
else
  echo
  echo "no C++ compiler found: the plan's Metal text is not run; the text comes from the reference (--device ref)"
  show run --device ref --prompt "$prompt" -n 32
fi
