package metal_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl/gate"
	"foundry/runtime/msl/strict"
	"foundry/shaders"
)

// forMatrices is forTiles where matrix units are what is fast, and memory is so slow that
// nobody expands weights once.
func forMatrices(t *testing.T) *target.Target {
	x := forTiles(t, "apple-m5-max")
	x.TileTFlops = x.TFlops
	x.BandwidthGBs /= 1e6
	return x
}

// requireMatrices wants a plan's products of many rows in matrix units.
func requireMatrices(t *testing.T, p *plan.Plan) {
	t.Helper()
	for _, k := range p.Kernels {
		if k.Main == plan.ProductRows || k.Main == plan.ProductTiles {
			require.NotContains(t, k.Name, "_many")
		}
		t.Log(k.Name, k.Params)
	}
	require.Equal(t, plan.MatrixMSL, p.MSL)
}

// TestMatrices runs products over the edges of blocks in every direction.
func TestMatrices(t *testing.T) {
	graphs := productsOverEdges(t)
	for _, checked := range []bool{false, true} {
		rows := []int64{1, 2, 7, 8, 9, 16, 17, 33, 64, 65, 129}
		if checked {
			graphs, rows = graphs[1:5], rows[6:8]
		}
		b := newBatchFor(t, graphs, checked, forMatrices(t))
		requireMatrices(t, b.plan)
		require.NoError(t, gate.Check(b.plan.Kernels))
		if clang, err := strict.Find(); err == nil {
			require.NoError(t, strict.CheckAll(background, clang, b.plan.Kernels))
		}
		for i, g := range graphs {
			t.Run(fmt.Sprintf("%s/checked=%t", g.Name, checked), func(t *testing.T) {
				for _, n := range rows {
					b.run(t, i, sym.Env{T: n}, uint64(n))
				}
			})
		}
	}
}

// TestPrefillInMatrices runs whole small models whose products are all in matrix units:
// every prologue and epilogue, weights of several formats, a cache that is part full; with
// the elements of sums dealt to threads, the stages' eights and the threads in orders of
// several seeds.
func TestPrefillInMatrices(t *testing.T) {
	models := tiny()
	for _, x := range []struct {
		model, pipeline string
		weights         func(string) dtype.Type
		seeds           []uint64
		once            bool // weights of other formats expanded once
	}{{"hd64", pipelineUnfused, nil, []uint64{1}, false}, {"hd64", pipelineFewest, mixed, []uint64{1, 2}, false}, {"hd64", pipelineFewest, mixed, []uint64{3}, true},
		{"hd80", pipelineFewest, nil, []uint64{4}, false}, {"hd128", pipelineDefault, nil, []uint64{5}, false}} {
		o := decoder.BuildOptions{Context: 96, Chunk: 80, Weights: dtype.F16, Cache: dtype.F16, WeightType: x.weights}
		on := forMatrices(t)
		if x.once {
			on.BandwidthGBs *= 1e6
		}
		g := alone(entries(t, models[x.model], o, x.pipeline, on)[0].Graph, x.model)
		for _, seed := range x.seeds {
			d, err := cpu.Open(context.Background(), cpu.Options{OneRun: true, ThreadOrder: cpu.Random, Seed: seed})
			devicetest.Need(t, err)
			b := newBatchOn(t, []*ir.Graph{g}, d, on)
			requireMatrices(t, b.plan)
			t.Run(fmt.Sprintf("%s/%d", x.model, seed), func(t *testing.T) {
				for i, env := range []sym.Env{{T: 1, P: 3}, {T: 7}, {T: 33, P: 40}, {T: 80, P: 9}} {
					b.run(t, 0, env, uint64(i))
				}
			})
		}
	}
}

// mutants are mistakes that run as they should on one GPU and not on another: each must
// show here.
var mutants = map[string][2]string{
	"a coordinate that is known to somebody": {"uint(at[0])", "(uint(i) % 32u + uint(at[0]) / 32u * 32u)"},
	"a row that is known to somebody":        {"uint(at[1]) - begin", "uint(i) - begin"},
	"row and column swapped":                 {"const auto at = sum.get_multidimensional_index(i);", "const auto is = sum.get_multidimensional_index(i);\n        const int at[2] = {is[1], is[0]};"},
	"elements that are none":                 {"if (!sum.is_valid_element(i)) continue;", ""},
	"stages in rows":                         {"return matrix_at<DEPTH>(row, k);", "return row * DEPTH + k;"},
	"sums that nobody waits for":             {"product.run(l, r, sum);", "product.run(l, r, sum);\n    sum[0] += 0.0f;"},
	"an operand for the other":               {"l(left, ", "l(right, "},
	"not all threads":                        {"    product.run(l, r, sum);", "    if (sum.get_multidimensional_index(0)[0] < 8) product.run(l, r, sum);"},
}

// TestMutantsOfMatrices makes such mistakes in the stage files, one at a time.
func TestMutantsOfMatrices(t *testing.T) {
	d, err := cpu.Open(context.Background(), cpu.Options{TrustKernels: true, OneRun: true})
	devicetest.Need(t, err)
	env := sym.Env{T: 64}
	run := func(stages fstest.MapFS) ([]byte, error) {
		g := alone(parse(t, "T=1..64, P=0..0, S<=64", "%0 = input \"x\" : f32[T, 64]\n%1 = weight \"w\" : f16[64, 64]\n%2 = matmul_nt %0, %1 : f32[T, 64]\nreturn y=%2"), "square")
		b := newBatchOn(t, []*ir.Graph{g}, d, forMatrices(t), stages)
		requireMatrices(t, b.plan)
		return firstResult(t, b, env, 4*64*64)
	}
	requireNoticed(t, mutants, []string{"common/matrix.metal", "main/gemm_matrices.metal"}, run)
}

// firstResult runs b's only graph once, with seeded inputs and states, and returns so many
// bytes of its first result.
func firstResult(t *testing.T, b *batch, env sym.Env, bytes int) ([]byte, error) {
	t.Helper()
	g := b.graphs[0]
	in, err := b.exec.NewInstance()
	require.NoError(t, err)
	defer in.Close()
	for name, x := range seeded.Inputs(g, env, 5) {
		require.NoError(t, in.Write(name, stored(x)))
	}
	state := b.programs[0].NewState()
	require.NoError(t, seeded.FillState(state, 5))
	for _, name := range state.Names() {
		x, err := state.Tensor(name)
		require.NoError(t, err)
		require.NoError(t, in.Write(name, stored(x)))
	}
	if err := in.Run(background, g.Name, env); err != nil {
		return nil, err
	}
	y := make([]byte, bytes)
	require.NoError(t, in.Read(g.Results[0].Name, y))
	return y, nil
}

// requireNoticed makes changes of stage files, one at a time where a file has its first text,
// and wants of each that it fails or that results are other ones.
func requireNoticed(t *testing.T, changes map[string][2]string, files []string, run func(fstest.MapFS) ([]byte, error)) {
	t.Helper()
	want, err := run(stageFiles(t))
	require.NoError(t, err)
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			changed, found := stageFiles(t), false
			for _, file := range files {
				if before, after, ok := strings.Cut(string(changed[file].Data), change[0]); ok {
					found = true
					changed[file] = &fstest.MapFile{Data: []byte(before + change[1] + after)}
				}
			}
			require.True(t, found, "the stage files no longer have what the mutant changes")
			have, err := run(changed)
			t.Log(err)
			require.True(t, err != nil || !bytes.Equal(want, have), "nothing shows")
		})
	}
}

// stageFiles is a copy of the stage files, to be changed.
func stageFiles(t *testing.T) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(shaders.FS, ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			var text []byte
			text, err = fs.ReadFile(shaders.FS, path)
			out[path] = &fstest.MapFile{Data: text}
		}
		return err
	}))
	return out
}
