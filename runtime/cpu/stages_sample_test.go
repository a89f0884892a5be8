package cpu

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// A level of the search for the cuts of top-k and top-p that settings do not ask for ends at
// once: it leaves the row's progress and the histograms as they are.
func TestSampleLevelsEndAtOnce(t *testing.T) {
	const part, vocabulary, words, histograms = 4096, 4000, 32, 5 * 3 * 2048
	var levels []sketch
	for level := range 5 {
		args := "scores, best, 1u, settings"
		if level < 4 {
			args += fmt.Sprintf(", %du", vocabulary)
		}
		if level > 0 {
			args += ", progress"
		}
		args += ", counts"
		if level > 0 {
			args += ", true"
		}
		args += ", gathered"
		if level > 0 {
			args += ", shared"
		}
		args += ", tid"
		if level > 0 {
			args += ", sg"
		}
		levels = append(levels, sketch{name: fmt.Sprint("level_", level), threads: 256, prelude: stages(t, "main/sample.metal", "main/sample_cut.metal"),
			slots: []plan.Slot{slot(plan.Read, "float", "scores"), slot(plan.Read, "float", "best"), slot(plan.Read, "float", "settings"),
				slot(plan.ReadWrite, "uint", "progress"), slot(plan.ReadWrite, "atomic_uint", "counts")},
			arrays: []plan.ThreadgroupArg{array("atomic_uint", "gathered", 4*3*2048), array("ulong", "shared", 128)},
			body:   fmt.Sprintf("sample_level_%d(%s, lane);", level, args)})
	}
	r := load(t, Options{OneRun: true}, levels...)
	scores := make([]float32, part)
	for i := range scores {
		scores[i] = -float32(i%17) / 4
	}
	worked := 0
	in, best := r.put(scores), r.put([]float32{0})
	for _, c := range []struct {
		name                    string
		temperature, topK, topP float32
		count, weight           bool
	}{
		{"none drawn", 0, 5, 0.5, false, false}, {"no cut", 1, 0, 1, false, false}, {"cut at all", 1, vocabulary, 1, false, false},
		{"top-k", 1, 5, 1, true, false}, {"top-p", 1, vocabulary, 0.5, false, true}, {"both", 1, 5, 0.5, true, true},
	} {
		for level := range levels {
			settings := r.put([]float32{c.temperature, c.topK, c.topP, 0, 1})
			progress, counts := make([]uint32, words), make([]uint32, histograms)
			for i := range counts {
				counts[i] = 3
			}
			p, h := r.put(progress), r.put(counts)
			require.NoError(t, r.run(launch(level, 1, bind(plan.Read, in), bind(plan.Read, best), bind(plan.Read, settings), bind(plan.ReadWrite, p), bind(plan.ReadWrite, h))))
			for i, n := range get[uint32](t, h, histograms) {
				// tokens are counted for top-k alone, in its own histograms; weights for top-p
				if tokens := i/2048%3 == 0; tokens && (!c.count || i/2048/3 > 2) || !tokens && !c.weight {
					require.EqualValues(t, 3, n, "%s, level %d, word %d", c.name, level, i)
				}
			}
			asked := [5]bool{c.count || c.weight, c.count, c.count, c.count || c.weight, c.weight}[level]
			noted, counted := get[uint32](t, p, words), get[uint32](t, h, histograms)
			if asked {
				if !slices.Equal(progress, noted) || !slices.Equal(counts, counted) {
					worked++
				}
				continue
			}
			require.Equal(t, progress, noted, "%s, level %d", c.name, level)
			require.Equal(t, counts, counted, "%s, level %d", c.name, level)
		}
	}
	require.Greater(t, worked, 5)
}

// The bin that a search finds is the first from above at which the tokens, or their weights,
// reach what is wanted, be it just so.
func TestSampleFindsBins(t *testing.T) {
	const bins = 2048
	r := load(t, Options{OneRun: true}, sketch{name: "find", threads: 256, prelude: stages(t, "main/sample.metal", "main/sample_cut.metal"),
		slots:  []plan.Slot{slot(plan.Read, "uint", "histogram"), slot(plan.Read, "uint", "wanted"), slot(plan.Write, "uint", "y")},
		arrays: []plan.ThreadgroupArg{array("ulong", "shared", 128)},
		body: `for (uint i = 0u; i < 64u; i++) {
				const SampleFound f = sample_find(histogram, i % 2u == 1u, wanted[i], ulong(wanted[i]), shared, tid, sg, lane);
				if (tid == i % 7u * 40u) { y[4u * i] = f.bin; y[4u * i + 1u] = f.count; y[4u * i + 2u] = uint(f.weight >> 20); y[4u * i + 3u] = uint(f.total >> 20); }
				threadgroup_barrier(mem_flags::mem_threadgroup);
			}`})
	histogram := make([]uint32, 3*bins)
	at := []int{2047, 2046, 2040, 2039, 1031, 1024, 8, 7, 0}
	const unit = 1 << 20
	for i, bin := range at {
		n := uint32(i%3 + 1)
		histogram[bin], histogram[bins+bin], histogram[2*bins+bin] = n, n<<20%(1<<26), n<<20>>26
	}
	var wanted, want []uint32
	for i := range uint32(32) {
		count := i%17 + 1
		above := uint32(0)
		for k, bin := range at {
			n := uint32(k%3 + 1)
			if above+n >= count {
				wanted = append(wanted, count, count*unit)
				for range 2 {
					want = append(want, uint32(bin), above, above, 18)
				}
				break
			}
			above += n
		}
	}
	y := r.alloc(4 * len(want))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(histogram)), bind(plan.Read, r.put(wanted)), bind(plan.Write, y))))
	require.Equal(t, want, get[uint32](t, y, len(want)))
}
