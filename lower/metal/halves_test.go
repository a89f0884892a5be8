package metal_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/interp"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/ir/target"
)

// madeRows is a product of rows that another dispatch makes, through a reshape. What it
// makes has a bound.
const madeRows = `%%0 = input "x" : f32[T, 2, %[1]d]
%%1 = weight "w" : f16[40, %[2]d]
%%2 = weight "gamma" : f32[%[1]d]
%%3 = rms_norm %%0, %%2 {eps=1e-06} : f32[T, 2, %[1]d]
%%4 = reshape %%3 {shape=[T,%[2]d]} : f32[T, %[2]d]
%%5 = matmul_nt %%4, %%1 : f32[T, 40]
`

// Rows that only tiles read are stored as the halves that tiles would make of them:
// the result is that of rows kept as f32, bit for bit, and what else reads a value, or
// returns it, keeps it f32.
func TestHalves(t *testing.T) {
	x := manyToTiles(t)
	env := sym.Env{T: 77}
	run := func(body, results string) (made, product string, y []byte) {
		g := parse(t, "T=1..80, P=0..8, S<=88", body+"return "+results)
		b := newBatchFor(t, []*ir.Graph{g}, true, x)
		b.run(t, 0, env, 3)
		made, product = ends(t, b, g.Name)
		return made, product, b.outcome(t, env, 3, once)
	}
	for _, n := range []int64{192, 96, 48} { // blocks of 64, 32 and 16 elements
		body := fmt.Sprintf(madeRows, n/2, n)
		made, product, y := run(body, "y=%5")
		require.Contains(t, made, "device half *y")
		require.Contains(t, product, "left.start(from")
		made, product, want := run(body, "y=%5, s=%3")
		require.Contains(t, made, "device float *y")
		require.Contains(t, product, "held[")
		require.Equal(t, want, y, "rows of %d", n)
	}
	made, product, _ := run(fmt.Sprintf(madeRows, 20, 40), "y=%5") // no whole blocks
	require.Contains(t, made, "device float *y")
	require.Contains(t, product, "gemm_block<")
	// Of what has no bound its maker cannot know how to make halves.
	made, product, _ = run(strings.Replace(fmt.Sprintf(madeRows, 96, 192), "rms_norm %0, %2 {eps=1e-06}", "silu %0", 1), "y=%5")
	require.Contains(t, made, "device float *y")
	require.Contains(t, product, "gemm_block<")
}

// Rows are copied beside weights that are expanded, in the order of these: the same products
// as of rows that are narrowed. Formats whose pieces lie apart have them narrowed.
func TestHalvesBesideExpanded(t *testing.T) {
	x := manyToTiles(t)
	env := sym.Env{T: 77}
	var kept, narrowed []*ir.Graph
	for _, format := range []string{"bf16", "q8_0", "q5_1", "q4_k", "affine5_g32_f16"} {
		body := strings.Replace(fmt.Sprintf(madeRows, 256, 512), "f16[", format+"[", 1)
		named := func(results string) *ir.Graph {
			text := "graph @" + format + " (T=1..80, P=0..8, S<=88) {\n" + body + "return " + results + "\n}\n"
			g, err := ir.Parse(format, regexp.MustCompile(`"(x|w|gamma)"|\b(y|s)=`).ReplaceAllStringFunc(text, func(name string) string {
				return strings.Replace(strings.Replace(name, "=", "_"+format+"=", 1), `"`, `"`+format+".", 1)
			}))
			require.NoError(t, err)
			return g
		}
		kept = append(kept, named("y=%5"))
		narrowed = append(narrowed, named("y=%5, s=%3"))
	}
	have, want := newBatchFor(t, kept, true, x), newBatchFor(t, narrowed, true, x)
	for i, g := range kept {
		_, product := ends(t, have, g.Name)
		require.Contains(t, product, "left.start(from")
		require.Contains(t, product, "weights[0].start(row")
		_, product = ends(t, want, narrowed[i].Name)
		require.Contains(t, product, "held[")
		nmse := distance(floats(have.outcomeOf(t, i, env, 3, once)), floats(want.outcomeOf(t, i, env, 3, once)))
		require.LessOrEqual(t, nmse, 512*0x1p-48, "%s", g) // the sum of 512 products, in another order
	}
	_, product := ends(t, newBatchFor(t, []*ir.Graph{parse(t, "T=1..80, P=0..8, S<=88",
		strings.Replace(fmt.Sprintf(madeRows, 256, 512), "f16[", "q3_k[", 1)+"return y=%5")}, true, x), "g")
	require.Contains(t, product, "held[")
}

// distance is the NMSE of have.
func distance(have, want []float32) float64 {
	var errors, squares float64
	for i, w := range want {
		e := float64(have[i]) - float64(w)
		errors, squares = errors+e*e, squares+float64(w)*float64(w)
	}
	return errors / squares
}

// manyToTiles is an H100 without matrix units on which many rows go to tiles, however few.
func manyToTiles(t testing.TB) *target.Target {
	x, err := target.Find("h100")
	require.NoError(t, err)
	x.TFlops, x.MatrixTFlops, x.Cores = 1e-6, 0, 1
	return x
}

// once leaves inputs as they are.
func once(int) float32 { return 1 }

// ends returns the texts of an entry's first and last dispatches.
func ends(t testing.TB, b *batch, entry string) (first, last string) {
	t.Helper()
	e, err := b.plan.Entry(entry)
	require.NoError(t, err)
	for _, s := range e.Steps {
		if s.Dispatch == nil {
			continue
		}
		last = b.plan.Kernels[s.Dispatch.Kernel].Source
		if first == "" {
			first = last
		}
	}
	return first, last
}

// outcome runs the batch's first graph on irgen's inputs, element i times gain(i), and
// returns the bytes of its first result.
func (b *batch) outcome(t testing.TB, env sym.Env, seed uint64, gain func(i int) float32) []byte {
	t.Helper()
	return b.outcomeOf(t, 0, env, seed, gain)
}

func (b *batch) outcomeOf(t testing.TB, graph int, env sym.Env, seed uint64, gain func(i int) float32) []byte {
	t.Helper()
	g := b.graphs[graph]
	in, err := b.exec.NewInstance()
	require.NoError(t, err)
	defer in.Close()
	for name, x := range seeded.Inputs(g, env, seed) {
		values := x.Float32s()
		for i := range values {
			values[i] *= gain(i)
		}
		require.NoError(t, in.Write(name, stored(interp.Floats(values, x.Shape...))))
	}
	require.NoError(t, in.Run(background, g.Name, env))
	v := g.Results[0].Value
	have := make([]byte, v.Type.DType.Bytes(v.Type.Shape.Elems(env)))
	require.NoError(t, in.Read(g.Results[0].Name, have))
	return have
}
