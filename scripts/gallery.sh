#!/bin/sh
# The pictures of docs/gallery.md, drawn with this program alone: equal compilers give equal
# bytes. 20 s. The screenshot is taken where there is Chromium.
set -eu
cd "$(dirname "$0")/.."
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
go build -o "$made/foundry" ./cmd/foundry
# With an empty PATH no Graphviz of the system's is found, whose pictures differ by version.
foundry() { PATH= "$made/foundry" "$@" >/dev/null; }
out=docs/gallery
mkdir -p "$out"
small="--model synth:qwen2.5-0.5b"
foundry dot $small --at input --layer 3 -o "$out/layer-input.svg"
foundry dot $small --layer 3 -o "$out/layer.svg"
foundry dot $small --at plan --collapse -o "$out/plan.svg"
foundry dot --model synth:qwen2.5-72b --at plan --collapse --entry prefill -o "$out/plan-72b-prefill.svg"
for size in 0.6b 4b 8b; do
	foundry dot --model synth:qwen3-$size --layer 3 -o "$out/qwen3-$(echo $size | tr . -).svg"
done
foundry diff $small per-layer-6 default -o "$out/diff.svg"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -n "$browser" ]; then
	foundry dot --model synth:qwen2.5-7b -o "$made/7b.html"
	# The row that asks why gate-up was refused is clicked, as a reader would.
	sed -i.bak 's|</body>|<script>setTimeout(() => [...document.querySelectorAll("#fusions tr.link")].find(r => r.textContent.startsWith("gate-up{")).click(), 3000)</script></body>|' "$made/7b.html"
	"$browser" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$made/profile" \
		--window-size=1280,800 --virtual-time-budget=20000 --screenshot="$out/page.png" "file://$made/7b.html" >/dev/null 2>&1
fi
wc -c "$out"/*
