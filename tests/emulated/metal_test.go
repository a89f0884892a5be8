// Package emulated runs models through runtime/mtl, and drivers in other languages, on a
// Metal framework of ours, beside the CPU device.
package emulated

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/frontends/model"
	"foundry/ir/dtype"
	"foundry/lower/plan"
	inference "foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/eval"
	"foundry/runtime/mtl"
	"foundry/runtime/mtl/emulator"
	"foundry/tests/goldens"
)

var metalSteps = flag.Int("metal-steps", 200, "decode steps of TestDecodeOnEmulatedMetal")

var framework = sync.OnceValues(func() (*emulator.Framework, error) {
	dir, err := filepath.Abs("../../runtime/mtl/testdata/build")
	if err != nil {
		return nil, err
	}
	return emulator.Build(dir)
})

// emulated returns the framework; the test skips where it cannot be had.
func emulated(t *testing.T) *emulator.Framework {
	t.Helper()
	f, err := framework()
	devicetest.Need(t, err)
	return f
}

// onEmulatedMetal runs a bundle on runtime/mtl over the emulated framework.
func onEmulatedMetal(t *testing.T, m *foundry.Model, p *plan.Plan, o mtl.Options) *foundry.Engine {
	t.Helper()
	f := emulated(t)
	o.Libraries = mtl.Libraries{ObjC: f.Path, Foundation: f.Path, CoreGraphics: f.Path, Metal: f.Path}
	dev, err := mtl.Open(o)
	require.NoError(t, err)
	e, err := foundry.Load(context.Background(), f.Wrap(dev), m, p, nil, nil)
	require.NoError(t, err)
	return e
}

// clean asserts that nothing was noted and that no object is left.
func clean(t *testing.T) {
	t.Helper()
	f, err := framework()
	require.NoError(t, err)
	require.Empty(t, f.Noted())
	require.Zero(t, f.Live(), "objects are left")
}

// bundle writes the plan to disk and reads it back.
func bundle(t *testing.T, m *foundry.Model, o foundry.CompileOptions) *plan.Plan {
	t.Helper()
	c, err := foundry.Compile(m, o)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "plan")
	require.NoError(t, c.Plan.Save(dir))
	p, err := plan.Load(dir)
	require.NoError(t, err)
	return p
}

// onCPU runs a bundle on the CPU device.
func onCPU(t *testing.T, m *foundry.Model, p *plan.Plan) *foundry.Engine {
	t.Helper()
	dev, err := foundry.OpenDevice(t.Context(), foundry.CPU, cpu.Options{FewRuns: true})
	require.NoError(t, err)
	e, err := foundry.Load(context.Background(), dev, m, p, nil, nil)
	require.NoError(t, err)
	return e
}

// TestGoldensOnEmulatedMetal runs one bundle from disk on the CPU device and, encoded
// and replayed, through runtime/mtl: the goldens' ids, and the CPU's logits to the bit.
func TestGoldensOnEmulatedMetal(t *testing.T) {
	emulated(t)
	for _, name := range goldens.Models {
		for _, variant := range []string{"unfused", "per-layer-6"} {
			t.Run(name+"/"+variant, func(t *testing.T) {
				m, prompts := goldens.Open(t, name)
				p := bundle(t, m, foundry.CompileOptions{Variant: variant, Context: 512, Chunk: 64, AllLogits: true})
				g := prompts[0]
				run := func(t *testing.T, e *foundry.Engine) *eval.Evaluation {
					out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: g.IDs(t, "input_ids"), Greedy: len(g.IDs(t, "greedy_ids")), Top: 1})
					require.NoError(t, err)
					require.NoError(t, e.Close())
					return out
				}
				want := run(t, onCPU(t, m, p))
				for _, indirect := range []bool{false, true} {
					t.Run(fmt.Sprintf("indirect=%v", indirect), func(t *testing.T) {
						out := run(t, onEmulatedMetal(t, m, p, mtl.Options{Indirect: indirect}))
						require.LessOrEqual(t, g.WorstRow(t, out.Logits, m.Config.Vocab), goldens.OnCPU)
						g.RequireGreedy(t, out.GreedyIDs, goldens.Margin)
						require.Equal(t, want.GreedyIDs, out.GreedyIDs)
						require.True(t, slices.Equal(want.Logits, out.Logits), "logits differ from the CPU device's")
						require.Equal(t, want.GreedyMargins, out.GreedyMargins)
						clean(t)
					})
				}
			})
		}
	}
}

// TestMappedWeightsOnEmulatedMetal runs a q8_0 file: the GPU reads its matrices
// where the file is mapped, and the ids are those of a device that copies them.
func TestMappedWeightsOnEmulatedMetal(t *testing.T) {
	from, prompts := goldens.Open(t, goldens.Models[0])
	path := filepath.Join(t.TempDir(), "x.gguf")
	_, err := model.Convert(t.Context(), from, dtype.Q8_0, path, nil)
	require.NoError(t, err)
	m, err := foundry.Open(path, foundry.Hub{})
	require.NoError(t, err)
	p := bundle(t, m, foundry.CompileOptions{Variant: "fewest", Context: 512, Chunk: 64})
	var ids [2][]int32
	for i, device := range []string{"mapped", "copied"} {
		var e *foundry.Engine
		if device == "mapped" {
			e = onEmulatedMetal(t, m, p, mtl.Options{})
			require.ErrorContains(t, m.Close(), "the GPU reads its files", "nothing was mapped")
		} else {
			e = onCPU(t, m, p)
		}
		out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: prompts[0].IDs(t, "input_ids"), Greedy: 8, Top: 1})
		require.NoError(t, err)
		ids[i] = out.GreedyIDs
		require.NoError(t, e.Close())
	}
	require.Equal(t, ids[1], ids[0])
	require.NoError(t, m.Close())
	clean(t)
}

// TestMetalWithoutMemory has the GPU's working set end below what the plan needs.
func TestMetalWithoutMemory(t *testing.T) {
	m, _ := goldens.Open(t, goldens.Models[0])
	p := bundle(t, m, foundry.CompileOptions{Variant: "fewest", Context: 512, Chunk: 64})
	f := emulated(t)
	defer f.Limit("working-set", 1<<20)()
	dev, err := mtl.Open(mtl.Options{Libraries: mtl.Libraries{ObjC: f.Path, Foundation: f.Path, CoreGraphics: f.Path, Metal: f.Path}})
	require.NoError(t, err)
	_, err = foundry.Load(context.Background(), f.Wrap(dev), m, p, nil, nil)
	require.ErrorContains(t, err, "Apple M3 Pro has 1.05 MB of memory, the plan needs")
	clean(t)
}

// TestDecodeOnEmulatedMetal decodes in sessions, one after the other, and looks at
// memory between them: as many objects of the framework as after the first, and no
// more of Go's heap. -metal-steps 10000 runs longer ones, of 500 positions.
func TestDecodeOnEmulatedMetal(t *testing.T) {
	m, _ := goldens.Open(t, goldens.Models[0])
	p := bundle(t, m, foundry.CompileOptions{Variant: "fewest", Context: 512, Chunk: 16})
	length := min(max(*metalSteps/5, 1), 500)
	for _, indirect := range []bool{false, true} {
		t.Run(fmt.Sprintf("indirect=%v", indirect), func(t *testing.T) {
			e := onEmulatedMetal(t, m, p, mtl.Options{Indirect: indirect})
			f := emulated(t)
			var heap, objects []int64
			for range max(*metalSteps/length, 3) {
				s, err := e.NewSession()
				require.NoError(t, err)
				require.NoError(t, s.IDs.Prefill(context.Background(), []int32{1062, 258, 342}))
				_, _, err = s.IDs.Greedy(context.Background(), length)
				require.NoError(t, err)
				require.NoError(t, s.Close())
				heap, objects = append(heap, heapInUse()), append(objects, f.Live())
			}
			t.Logf("%d sessions of %d steps: objects %v, heap %v", len(heap), length, objects, heap)
			for i := range heap {
				require.Equal(t, objects[0], objects[i], "objects of the framework after session %d", i)
				require.Less(t, heap[i]-heap[0], int64(16<<10), "Go's heap after session %d", i)
			}
			require.NoError(t, e.Close())
			clean(t)
		})
	}
}

// Chains of decode steps, the next always in flight, give the tokens of single steps,
// greedy and drawn, on the strict framework, and leave no object.
func TestChainsOnEmulatedMetal(t *testing.T) {
	emulated(t)
	m, _ := goldens.Open(t, goldens.Models[0])
	drawn := inference.Sampling{Temperature: 0.9, TopK: 40, TopP: 0.95, Repetition: 1.1, Seed: 7}
	var want [2][]int32
	for _, n := range []int{1, 2, 3, 4, 8, 16} {
		short := []int{} // with chains of several, entries for short contexts, which some chains end beyond
		if n > 1 {
			short = []int{12, 30}
		}
		p := bundle(t, m, foundry.CompileOptions{Variant: "fewest", Context: 512, Chunk: 16, Sampler: true, Chain: n, Short: short})
		e := onEmulatedMetal(t, m, p, mtl.Options{})
		for i, how := range []inference.Sampling{{}, drawn} {
			s, err := e.NewSession()
			require.NoError(t, err)
			require.Equal(t, n, s.IDs.Limits().Chain)
			require.NoError(t, s.IDs.Prefill(t.Context(), []int32{1062, 258, 342}))
			var ids []int32
			for id, err := range s.IDs.Generate(t.Context(), 41, how) {
				require.NoError(t, err)
				ids = append(ids, id)
			}
			require.NoError(t, s.Close())
			if n == 1 {
				want[i] = ids
			}
			require.Len(t, ids, 41)
			require.Equal(t, want[i], ids, "chains of %d", n)
		}
		require.NoError(t, e.Close())
	}
	require.NotEqual(t, want[0], want[1])
	clean(t)
}

// heapInUse returns the bytes of Go's heap that something refers to.
func heapInUse() int64 {
	var ms runtime.MemStats
	for range 2 { // what sync.Pool holds goes with the second
		runtime.GC()
	}
	runtime.ReadMemStats(&ms)
	return int64(ms.HeapAlloc)
}

// TestTwoSessionsOnEmulatedMetal runs two sessions of one device in two
// goroutines; CI repeats it under the race detector.
func TestTwoSessionsOnEmulatedMetal(t *testing.T) {
	m, _ := goldens.Open(t, goldens.Models[0])
	p := bundle(t, m, foundry.CompileOptions{Variant: "per-layer-6", Context: 64, Chunk: 16})
	e := onEmulatedMetal(t, m, p, mtl.Options{})
	var out [2][]int32
	var errs [2]error
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			s, err := e.NewSession()
			if err != nil {
				errs[i] = err
				return
			}
			if err := s.IDs.Prefill(context.Background(), []int32{1062, 258, 342}); err != nil {
				errs[i] = err
				return
			}
			out[i], _, errs[i] = s.IDs.Greedy(context.Background(), 12)
			errs[i] = errors.Join(errs[i], s.Close())
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs[:]...))
	require.Equal(t, out[0], out[1])
	require.NoError(t, e.Close())
	clean(t)
}
