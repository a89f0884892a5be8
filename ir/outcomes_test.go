package ir_test

import (
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/irgen"
	"foundry/ir/sym"
	"foundry/tests/mutate"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// What Parse says of texts of random graphs of which a few nodes and words are others is
// kept; of what it takes, the sum of the text that it prints.
func TestNearlyGraphs(t *testing.T) {
	words := wordsOfGraphs()
	var graphs []*ir.Graph
	for seed := range uint64(40) {
		g := irgen.Graph(seed)
		if seed%2 == 0 {
			outlineSome(g, rand.New(rand.NewPCG(seed, 7)))
		}
		if len(g.Nodes()) < 40 {
			graphs = append(graphs, g)
		}
	}
	have := mutate.Outcomes(600, func(i int, c *mutate.Choices) string {
		g := graphs[i%len(graphs)]
		if i%3 == 0 {
			g = nearly(g, c)
		}
		parsed, err := ir.Parse("g.fir", mutate.Text(g.String(), words, c))
		if err != nil {
			return err.Error()
		}
		text := parsed.String()
		return fmt.Sprintf("%d nodes, %08x", len(parsed.Nodes()), crc32.ChecksumIEEE([]byte(text)))
	})
	require.NoError(t, mutate.Keep("testdata/nearly.txt", have, *update))
}

// What Add says of an operation whose operand or attr is another than one that it takes is
// kept: of each operation some that random graphs have, with each operand of other types and
// each number of its attrs one more or less.
func TestOtherOperands(t *testing.T) {
	const most = 6 // nodes of an operation
	seen := map[string]int{}
	var b strings.Builder
	for seed := range uint64(60) {
		for _, n := range irgen.Graph(seed).Nodes() {
			key := fmt.Sprintf("%s of %d", n.Op, len(n.Args))
			if n.Region != nil || seen[key] == most {
				continue
			}
			seen[key]++
			var said strings.Builder
			add := func(what string, attr ir.Attr, types []ir.Type) {
				g := ir.NewGraph("g", sym.Bounds{TMin: 1, TMax: 64, PMax: 63, SMax: 64})
				args := make([]*ir.Value, len(types))
				for i, x := range types {
					args[i] = g.Param(ir.Input, fmt.Sprint(i), x)
				}
				v, err := g.Add(n.Op, "", attr, args...)
				if err != nil {
					fmt.Fprintf(&said, "%s: %v\n", what, err)
				} else {
					fmt.Fprintf(&said, "%s: %s\n", what, v.Type)
				}
			}
			types := make([]ir.Type, len(n.Args))
			for i, a := range n.Args {
				types[i] = a.Type
			}
			add("as it is", n.Attr, types)
			add("one less", n.Attr, types[:max(0, len(types)-1)])
			add("one more", n.Attr, append(slices.Clone(types), ir.TypeOf(dtype.F32, sym.Const(4))))
			for i := range types {
				for _, other := range otherTypes(types[i]) {
					changed := slices.Clone(types)
					changed[i] = other
					add(fmt.Sprintf("%d %s", i, other), n.Attr, changed)
				}
			}
			for _, f := range n.Op.Info().Fields {
				for _, value := range otherValues(f.Format(&n.Attr)) {
					attr := n.Attr
					if err := f.Set(&attr, value); err != nil {
						fmt.Fprintf(&said, "%s=%s: %v\n", f, value, err)
					} else {
						add(fmt.Sprintf("%s=%s", f, value), attr, types)
					}
				}
			}
			fmt.Fprintf(&b, "%s %v: %08x\n", n.Op, types, crc32.ChecksumIEEE([]byte(said.String())))
			for i, line := range strings.Split(strings.TrimSpace(said.String()), "\n") {
				if i%5 == seen[key]%5 { // some of them in words
					fmt.Fprintf(&b, "  %s\n", line)
				}
			}
		}
	}
	require.NoError(t, mutate.Keep("testdata/operands.txt", b.String(), *update))
}

// otherTypes are types that differ from t in one respect.
func otherTypes(t ir.Type) (out []ir.Type) {
	for _, d := range []dtype.Type{dtype.F32, dtype.F16, dtype.I32, dtype.Q8_0} {
		if d != t.DType {
			out = append(out, ir.Type{DType: d, Shape: t.Shape})
		}
	}
	dims := t.Shape.Slice()
	if len(dims) < ir.MaxRank {
		out = append(out, ir.TypeOf(t.DType, append([]sym.Dim{sym.Const(1)}, dims...)...))
	}
	if len(dims) > 1 {
		out = append(out, ir.TypeOf(t.DType, dims[1:]...))
	}
	for i, d := range dims {
		for _, other := range []sym.Dim{sym.Const(1), d.Sub(sym.Const(-1)), sym.T} {
			if other != d {
				changed := slices.Clone(dims)
				changed[i] = other
				out = append(out, ir.TypeOf(t.DType, changed...))
			}
		}
	}
	return out
}

// otherValues are texts of an attr that differ from one in one number.
func otherValues(text string) (out []string) {
	for _, at := range regexp.MustCompile(`\d+`).FindAllStringIndex(text, -1) {
		n, err := strconv.ParseInt(text[at[0]:at[1]], 10, 64)
		if err == nil {
			out = append(out, text[:at[0]]+strconv.FormatInt(n+1, 10)+text[at[1]:], text[:at[0]]+strconv.FormatInt(n-1, 10)+text[at[1]:], text[:at[0]]+"0"+text[at[1]:])
		}
	}
	return append(out, "T", "true", "i32")
}
