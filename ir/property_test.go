package ir_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/interp"
	"foundry/ir/irgen"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/tests/mutate"
)

// graphs calls f with random graphs, a small one where f fails.
func graphs(t *testing.T, count uint64, f func(t require.TestingT, g *ir.Graph, r *rand.Rand)) {
	t.Helper()
	for seed := range count {
		g := irgen.Graph(seed)
		fails := func(g *ir.Graph) bool {
			quiet := &silent{}
			f(quiet, g.Clone(), rand.New(rand.NewPCG(seed, 7)))
			return quiet.failed
		}
		if fails(g) {
			g = irgen.Shrink(g, fails)
			t.Logf("seed %d shrinks to\n%s", seed, g)
			f(t, g.Clone(), rand.New(rand.NewPCG(seed, 7)))
			t.FailNow()
		}
	}
}

// silent notes a failure and goes on, so it suits checks that end in one require.
type silent struct{ failed bool }

func (s *silent) Errorf(string, ...any) { s.failed = true }
func (s *silent) FailNow()              { s.failed = true }

func TestParsePrintIdentity(t *testing.T) {
	graphs(t, 300, func(t require.TestingT, g *ir.Graph, r *rand.Rand) {
		outlineSome(g, r)
		text := g.String()
		p, err := ir.Parse("g.fir", text)
		if err != nil {
			require.NoError(t, err)
			return
		}
		require.Equal(t, text, p.String())
	})
}

// outlineSome outlines a few random sets of nodes that hang together, and
// returns how many it could.
func outlineSome(g *ir.Graph, r *rand.Rand) (done int) {
	for range 1 + r.IntN(3) {
		nodes := g.Nodes()
		if len(nodes) == 0 {
			break
		}
		set := []*ir.Node{nodes[r.IntN(len(nodes))]}
		for range r.IntN(6) {
			n := set[r.IntN(len(set))]
			if k := len(n.Args); k > 0 && r.IntN(2) == 0 {
				if a := n.Args[r.IntN(k)]; a.Def != nil {
					set = append(set, a.Def)
				}
			} else if u := n.Results[0].Users(); len(u) > 0 {
				set = append(set, u[r.IntN(len(u))])
			}
		}
		before := g.String()
		if _, err := g.Outline(set, "random", set[0].Label); err == nil {
			done++
		} else if g.String() != before {
			panic("a refused outline changed the graph: " + err.Error())
		}
	}
	return done
}

// values runs g and returns every result and state, flat.
func values(g *ir.Graph, seed uint64, e sym.Env, p interp.Precision) (map[string][]float64, error) {
	prog, err := interp.New(g, seeded.Weights(g, seed), p)
	if err != nil {
		return nil, err
	}
	s := prog.NewState()
	if err := seeded.FillState(s, seed); err != nil {
		return nil, err
	}
	out, err := prog.Run(context.Background(), interp.Run{Env: e, Inputs: seeded.Inputs(g, e, seed), State: s})
	if err != nil {
		return nil, err
	}
	for _, name := range s.Names() {
		if out[name], err = s.Tensor(name); err != nil {
			return nil, err
		}
	}
	flat := make(map[string][]float64, len(out))
	for name, r := range out {
		if r.I32 != nil {
			for _, id := range r.I32 {
				flat[name] = append(flat[name], float64(id))
			}
			continue
		}
		flat[name] = r.Float64s()
	}
	return flat, nil
}

// Outlining and inlining change neither a bit of any result nor, in the end, the
// graph.
func TestOutlineKeepsResults(t *testing.T) {
	outlined := 0
	graphs(t, 300, func(t require.TestingT, g *ir.Graph, r *rand.Rand) {
		e := irgen.Env(g, 1)
		want, err := values(g, 1, e, interp.Float32)
		if err != nil {
			require.NoError(t, err)
			return
		}
		text := g.Canonical()
		outlined += outlineSome(g, r)
		have, err := values(g, 1, e, interp.Float32)
		if err != nil {
			require.NoError(t, err, "%s", g)
			return
		}
		require.Equal(t, want, have)
		g.InlineAll()
		require.NoError(t, ir.Verify(g))
		require.Equal(t, text, g.Canonical())
	})
	t.Log(outlined, "regions")
	require.Greater(t, outlined, 300)
}

// The graph for T = 1 computes what the symbolic graph computes at T = 1.
func TestSpecialisedIsSymbolic(t *testing.T) {
	symbolic := 0
	graphs(t, 200, func(t require.TestingT, g *ir.Graph, r *rand.Rand) {
		if g.Bounds.TMax == 1 {
			return
		}
		symbolic++
		tokens := 1 + r.Int64N(g.Bounds.TMax)
		s, err := g.Specialise(tokens)
		if err != nil {
			require.NoError(t, err)
			return
		}
		e := irgen.Env(s, 1)
		want, err := values(g, 1, e, interp.Float32)
		if err != nil {
			require.NoError(t, err)
			return
		}
		have, err := values(s, 1, e, interp.Float32)
		if err != nil {
			require.NoError(t, err)
			return
		}
		require.Equal(t, want, have)
	})
	require.Greater(t, symbolic, 50)
}

// Clones share nothing: edits of one leave the other's text.
func TestCloneIsApart(t *testing.T) {
	graphs(t, 50, func(t require.TestingT, g *ir.Graph, r *rand.Rand) {
		text := g.String()
		c := g.Clone()
		outlineSome(c, r)
		c.InlineAll()
		require.Equal(t, text, g.String())
		require.NoError(t, ir.Verify(g))
	})
}

// Every text that Parse takes, it takes again as it prints it.
func FuzzParse(f *testing.F) {
	for seed := range uint64(30) {
		g := irgen.Graph(seed)
		if seed%2 == 0 {
			outlineSome(g, rand.New(rand.NewPCG(seed, 7)))
		}
		f.Add(g.String())
	}
	f.Add("graph @g (T=1..1, P=0..0, S<=1) {\n %0 = const \"c\" [1, -2e-3, nan] : f32[3]\n return y=%0\n}")
	f.Add("graph @g (T=1..2147483647, P=0..2147483647, S<=2147483647) {\n %0 = input \"x\" : f32[9*T-3*P+7]\n return y=%0\n}")
	f.Fuzz(func(t *testing.T, text string) { parseTwice(t, text) })
}

// FuzzNearlyGraph is FuzzParse on texts of random graphs that are changed in few places:
// first operations, attrs and operands, with the types that follow, then words.
func FuzzNearlyGraph(f *testing.F) {
	words := wordsOfGraphs()
	for seed := range uint64(20) {
		f.Add(seed, []byte{}, []byte{})
		f.Add(seed, []byte{byte(seed), 3, 1, 7, byte(seed)}, []byte{})
		f.Add(seed, []byte{}, []byte{1, byte(seed), 3, 1, 0, 7})
	}
	f.Fuzz(func(t *testing.T, seed uint64, nodes, text []byte) {
		g := irgen.Graph(seed)
		if seed%2 == 0 {
			outlineSome(g, rand.New(rand.NewPCG(seed, 7)))
		}
		written := nearly(g, mutate.From(nodes)).String()
		if seed%3 == 0 {
			written = mutate.Text(written, words, mutate.From(text))
		}
		parseTwice(t, written)
	})
}

// wordsOfGraphs are words that may come into a graph's text.
func wordsOfGraphs() []string {
	words := []string{"f32", "f16", "bf16", "i32", "q8_0", "q4_k", "true", "false", "T", "P", "S", "kernel", "pattern"}
	for _, op := range ir.Ops() {
		words = append(words, op.String())
		for _, field := range op.Info().Fields {
			words = append(words, field.String())
		}
	}
	return words
}

// nearly returns g with some nodes changed: another operation, attr or operand. What reads
// the result of one gets what type it has then, or an input where it cannot take that.
func nearly(g *ir.Graph, c *mutate.Choices) *ir.Graph {
	changed := map[int]bool{}
	for c.More() && len(g.Nodes()) > 0 {
		changed[c.Below(len(g.Nodes()))] = true
	}
	if len(changed) == 0 {
		return g
	}
	out := ir.NewGraph(g.Name, g.Bounds)
	now := map[*ir.Value]*ir.Value{}
	input := func(v *ir.Value) {
		now[v] = out.Param(ir.Input, fmt.Sprintf("in%d", len(out.Params)), v.Type)
	}
	var all []*ir.Value
	for _, p := range g.Params {
		if p.Param.Kind == ir.Const {
			now[p] = out.ConstParam(p.Param.Name, p.Type, p.Param.Values)
		} else {
			now[p] = out.Param(p.Param.Kind, p.Param.Name, p.Type)
		}
		all = append(all, now[p])
	}
	for i, n := range g.Nodes() {
		if n.Region != nil { // a changed graph is flat where it is changed
			for _, r := range n.Results {
				input(r)
			}
			continue
		}
		op, a := n.Op, n.Attr
		var args []*ir.Value
		for _, v := range n.Args {
			args = append(args, now[v])
		}
		if changed[i] {
			switch fields := op.Info().Fields; c.Below(3) {
			case 0:
				if len(args) > 0 {
					args[c.Below(len(args))] = mutate.Of(c, all)
				}
			case 1:
				op = mutate.Of(c, ir.Ops())
			default:
				if len(fields) > 0 {
					_ = mutate.Of(c, fields).Set(&a, mutate.Of(c, []string{"0", "1", "2", "7", "-1", "0.5", "true", "T", "P", "S", "P+1", "T-1", "[0,1]", "[2,0,1]", "[T,32]", "f16", "f32"}))
				}
			}
		}
		v, err := out.Add(op, n.Label, a, args...)
		if err != nil {
			input(n.Result())
			continue
		}
		now[n.Result()] = v
		all = append(all, v)
	}
	for _, r := range g.Results {
		out.Return(r.Name, now[r.Value])
	}
	return out
}

// parseTwice holds a text that may be a graph to what it prints as, and its copies and
// forms without regions to the verifier.
func parseTwice(t *testing.T, text string) {
	t.Helper()
	g, err := ir.Parse("f.fir", text)
	if err != nil {
		require.NotContains(t, err.Error(), "\n")
		return
	}
	printed := g.String()
	again, err := ir.Parse("f.fir", printed)
	require.NoError(t, err, "%s", printed)
	require.Equal(t, printed, again.String())
	if ir.Verify(g) != nil {
		return
	}
	flat := g.Clone()
	flat.InlineAll()
	require.NoError(t, ir.Verify(flat), "%s", printed)
	require.Equal(t, printed, g.String())
}

// What the verifier refuses beyond types: reads of a cache that is gone, through
// views and regions too, and values that cannot be.
func TestVerifyRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`%c = state "c" : f32[1, 8, 4]
		 %v = slice %c {axis=1, start=0, size=T}
		 %d = kv_write %c, %v {start=P}
		 return c=%d`: "operand 1 is a cache (or a view of one) that the node itself overwrites as operand 0",
		`%x = input "x" : f32[1, T, 4]
		 %c = state "c" : f32[1, 8, 4]
		 %v = fused %c {pattern="view"} {
			%0 = arg : f32[1, 8, 4]
			%1 = slice %0 {axis=1, start=0, size=1}
			return %1
		 }
		 %d = kv_write %c, %x {start=P}
		 %y = silu %v
		 return c=%d, y=%y`: "operand 0 is a cache (or a view of one) that n kv_write has overwritten",
		`%x = input "x" : f32[1, T, S]
		 %y = softmax %x {causal=true, start=P-1}
		 return y=%y`: "start P-1 can be -1, and row 0 would see no column",
		`%c = state "c" : f32[S]
		 return y=%c`: "outlives the run, so its dims are constants",
		`%c = const "c" [1, 2] : f16[4]
		 return y=%c`: "a const is f32",
		`%c = const "c" [1, 2] : f32[3]
		 return y=%c`: "has 2 values",
		`%x = input "x" : f32[1, T, 4]
		 %y = repeat_kv %x {times=65537}
		 return y=%y`: "times=65537, wants 1 to 65536",
	} {
		text = strings.Replace(text, "start=P}\n", "start=P} @\"n\"\n", 1)
		_, err := ir.Parse("g.fir", "graph @g (T=1..4, P=0..4, S<=8) {\n"+text+"\n}")
		require.ErrorContains(t, err, want)
	}
}

// A node that depends on the region reads the cache; what stands before the
// region overwrites it. Outlining would swap them.
func TestOutlineKeepsReadsBeforeWrites(t *testing.T) {
	g, err := ir.Parse("g.fir", `graph @g (T=1..4, P=0..4, S<=8) {
		%x = input "x" : f32[1, T, 4]
		%c = state "c" : f32[1, 8, 4]
		%v = slice %c {axis=1, start=0, size=T}
		%a = silu %x @"first"
		%u = add %a, %v
		%d = kv_write %c, %x {start=P}
		%b = silu %a @"second"
		return c=%d, u=%u, b=%b
	}`)
	require.NoError(t, err)
	before := g.String()
	n := g.Nodes()
	_, err = g.Outline([]*ir.Node{n[1], n[4]}, "pair", "pair")
	require.ErrorContains(t, err, "reads the cache that")
	require.Equal(t, before, g.String())
}
