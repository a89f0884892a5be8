package passes

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
)

// known lists the table of fusions that the field has, or lacks, with the pattern
// or the edit that makes each.
var knownFusions = [...]struct {
	what string
	not  string // why no pattern makes it
}{
	1:  {what: "x * inv_rms * gamma in one kernel"},
	2:  {what: "residual add into the norm, two outputs"},
	3:  {what: "Q, K, V in one product"},
	4:  {what: "Q, K, V with their biases"},
	5:  {what: "Q, K, V with RMSNorm as prologue"},
	6:  {what: "RoPE of q and of k"},
	7:  {what: "RoPE and the cache writes"},
	8:  {what: "Q, K, V, biases, RoPE and cache writes in one kernel"},
	9:  {what: "o_proj and down_proj with their residual"},
	10: {what: "flash decode: scores, softmax, PV; a split's merge in o_proj's prologue"},
	11: {what: "RoPE of q inside attention"},
	12: {what: "repeat_kv replaced by indexing"},
	13: {what: "gate and up in one product"},
	14: {what: "gate and up with SwiGLU as epilogue"},
	15: {what: "gate and up with RMSNorm as prologue"},
	16: {what: "SwiGLU as down_proj's prologue"},
	17: {what: "gate, up, SwiGLU and down in one kernel", not: "every row of down needs all rows of gate and up: it takes a wait of the whole grid, which Metal does not have, or atomic sums, which are added in another order, and so rounded differently, in every run"},
	18: {what: "final norm, lm_head, argmax partials"},
	19: {what: "embedding and the first norm"},
	20: {what: "sums of squares left by o and down for the next norm"},
	21: {what: "chains of elementwise operations"},
}

// edits are the fusions that an edit makes, not a region.
var edits = map[int]string{12: "drop-repeat-kv", 20: "split-norm"}

// apart says why two neighbours never share a kernel.
var apart = map[[2]ir.Op]string{
	{ir.OpKVWrite, ir.OpSlice}:        "the slice is a view of the cache through which attention reads rows that many threadgroups wrote, so a wave ends between them",
	{ir.OpSumSquares, ir.OpRMSScale}:  "the scale needs the sums of the whole row, which many threadgroups make, so a wave ends between them",
	{ir.OpAdd, ir.OpRMSScale}:         "the scale needs the sums of the whole row, so it stands a wave after what makes the row",
	{ir.OpEmbedding, ir.OpRMSScale}:   "the scale needs the sums of the whole row, so it stands a wave after what makes the row",
	{ir.OpAdd, ir.OpAdd}:              "the residual stream: between two of its sums lies half a layer (elementwise joins sums that have nothing between them)",
	{ir.OpRandomUniform, ir.OpSample}: "left alone: one number for a token, and only where tokens are drawn; the greedy plan has neither",
	{ir.OpEmbedding, ir.OpAdd}:        "the row is the residual that a product adds waves later; it stays in memory until then",
}

// edges lists the pairs of producer and user inside the regions of each pattern.
func edges() map[[2]ir.Op][]string {
	out := map[[2]ir.Op][]string{}
	for _, p := range patterns {
		for _, f := range builtIn().byName["fuse-"+p.Name].fusion.forms {
			for _, n := range f.nodes {
				for _, r := range n.args {
					if r.node < 0 || n.context || f.nodes[r.node].context {
						continue
					}
					for _, a := range f.nodes[r.node].ops {
						for _, b := range n.ops {
							pair := [2]ir.Op{a, b}
							if !slices.Contains(out[pair], p.Name) {
								out[pair] = append(out[pair], p.Name)
							}
						}
					}
				}
			}
		}
	}
	return out
}

// neighbours lists the pairs that the graphs of the model have: as the frontend
// emits them and with norms split, for prefill, for decode and for drawing a token.
func neighbours(t *testing.T) [][2]ir.Op {
	t.Helper()
	c, err := qwen25.Family.Preset("0.5b")
	require.NoError(t, err)
	c.Layers = 2
	seen := map[[2]ir.Op]bool{}
	see := func(g *ir.Graph) {
		for _, n := range g.Nodes() {
			for _, a := range n.Args {
				if a.Def != nil {
					seen[[2]ir.Op{a.Def.Op, n.Op}] = true
				}
			}
		}
	}
	sampler, err := decoder.Sampler(c, 64)
	require.NoError(t, err)
	see(sampler)
	for _, all := range []bool{false, true} {
		for _, pipeline := range []string{"dce", "canonicalize", "canonicalize,drop-repeat-kv,split-norm"} {
			for _, tokens := range []int64{0, 1} {
				g, err := decoder.Build(c, decoder.BuildOptions{Context: 64, Chunk: 8, Weights: dtype.F16, Cache: dtype.F16, AllLogits: all})
				require.NoError(t, err)
				if tokens > 0 {
					g, err = g.Specialise(tokens)
					require.NoError(t, err)
				}
				p, err := Parse(pipeline)
				require.NoError(t, err)
				require.NoError(t, p.Run(g, &Context{}))
				see(g)
			}
		}
	}
	var out [][2]ir.Op
	for pair := range seen {
		out = append(out, pair)
	}
	slices.SortFunc(out, func(a, b [2]ir.Op) int {
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		return int(a[1]) - int(b[1])
	})
	return out
}

func verdict(pair [2]ir.Op, fused map[[2]ir.Op][]string) string {
	switch {
	case apart[pair] != "":
		return "apart: " + apart[pair]
	case len(fused[pair]) > 0:
		return "fused: " + strings.Join(fused[pair], ", ")
	case pair[0] == ir.OpRepeatKV || pair[1] == ir.OpRepeatKV:
		return "gone: drop-repeat-kv lets the products index the heads of the cache"
	case pair[0].Is(ir.View) || pair[1].Is(ir.View):
		return "a view: what reads it follows its strides"
	}
	return ""
}

// docs/fusions.md is what the table of patterns says; -update writes it.
func TestFusionsDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Fusions\n\nWhich fusions of a Qwen2.5 layer are known, and which pattern makes each; for every pair of\n" +
		"neighbours in the model's graphs, whether they can share a kernel, and if not why; and the\n" +
		"patterns. What was done to one model, site by site and with the numbers, `foundry compile\n" +
		"--explain` says. Generated from the table of patterns by `go test ./passes -update`; do not edit.\n\n")
	b.WriteString("## Known fusions\n\n| # | fusion | made by |\n|---|---|---|\n")
	for i, k := range knownFusions {
		if i == 0 {
			continue
		}
		var by []string
		for _, p := range patterns {
			if slices.Contains(p.Fusions, i) {
				by = append(by, p.Name)
			}
		}
		if e := edits[i]; e != "" {
			by = append([]string{e}, by...)
		}
		if k.not != "" {
			require.Empty(t, by, i)
			by = []string{"nothing: " + k.not}
		}
		require.NotEmpty(t, by, "fusion %d (%s) has no pattern and no reason", i, k.what)
		fmt.Fprintf(&b, "| %d | %s | %s |\n", i, k.what, strings.Join(by, ", "))
	}
	fused := edges()
	b.WriteString("\n## Every pair of neighbours\n\nEach operation with each that takes its result in the graphs of the model, prefill, decode and\n" +
		"sampling, as the frontend emits them and with norms split. *fused* names the patterns whose region holds both;\n" +
		"*apart* says why no kernel can; *a view* is no dispatch, so nothing is to be fused; *gone* is what\n" +
		"an edit removes before.\n\n| operation | taken by | verdict |\n|---|---|---|\n")
	for _, pair := range neighbours(t) {
		v := verdict(pair, fused)
		require.NotEmpty(t, v, "%s taken by %s has no verdict", pair[0], pair[1])
		fmt.Fprintf(&b, "| %s | %s | %s |\n", pair[0], pair[1], v)
	}
	b.WriteString("\n## Which of them `default` takes\n\nIt is greedy: it splits the norms without weighing that, then goes through the patterns once,\n" +
		"those that take more first, weighs each site against what its rivals still to come would make of\n" +
		"it, and takes nothing back. So it can miss the best set: a decode step of 7b on an H100 is modelled\n" +
		"at 5,535 us behind it, at 5,331 us behind the best of all sets, which has rmsnorm-qkv and rope-kv in\n" +
		"the place of qkv-rope-kv. `--passes search` looks at all of them.\n")
	b.WriteString("\n## Patterns\n\nThe text of a pattern is the region it forms; passes/template.go says how to read it.\n" +
		"Patterns compete where they can take the same operation; below are those that do in the graphs of\n" +
		"Qwen2.5 and Qwen3, and in one whose gate and up have biases.\n")
	rivals := rivalsInModels(t)
	for _, p := range patterns {
		fmt.Fprintf(&b, "\n### %s\n\n%s%s.", p.Name, strings.ToUpper(p.Doc[:1]), p.Doc[1:])
		if len(rivals[p.Name]) > 0 {
			fmt.Fprintf(&b, " Competes with %s.", strings.Join(rivals[p.Name], ", "))
		}
		if len(p.Off) > 0 {
			fmt.Fprintf(&b, " Off unless asked for: %s.", strings.Join(p.Off, ", "))
		}
		b.WriteString("\n\n")
		for line := range strings.Lines(p.Text) {
			if line = strings.TrimSpace(line); line != "" {
				b.WriteString("    " + strings.Join(strings.Fields(line), " ") + "\n")
			}
		}
	}
	const file = "../docs/fusions.md"
	if flag.Lookup("update").Value.String() == "true" {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o666))
	}
	have, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(have), "run go test ./passes -update")
}
