package mtl

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// TestLimitsOfTheDevice has the GPU say less of itself than the plan needs: each
// limit is one error that names what is too large.
func TestLimitsOfTheDevice(t *testing.T) {
	for _, c := range []struct {
		limit string
		value int64
		want  string
	}{
		{"family", 1006, "Apple M3 Pro is of family Apple6; the plan's kernels need Apple7 (M1) or later"},
		{"family", 0, "is of no family of Apple's"},
		{"threadgroup-memory", 64, "kernel copy wants 128 bytes of threadgroup memory, Apple M3 Pro has 64; the plan was compiled for apple-m3-pro"},
		{"buffer", 1 << 20, "buffer cache: metal: a buffer of 2 MiB is wanted, the longest of Apple M3 Pro is 1 MiB"},
		{"pipeline-threads", 16, "kernel copy runs 32 threads a threadgroup, its pipeline allows 16"},
		{"lanes", 64, "kernel copy has simdgroups of 64 lanes on this GPU; the plan needs 32"},
	} {
		t.Run(c.limit, func(t *testing.T) {
			e := emulate(t)
			defer e.Limit(c.limit, c.value)()
			d, err := openOn(e, Options{})
			require.NoError(t, err)
			defer d.Close()
			p := copyPlan()
			p.Options.Target = "apple-m3-pro"
			p.Buffers = []plan.Buffer{{Name: "cache", Class: plan.State, Bytes: 2 << 20}}
			e.Prepare(context.Background(), p)
			_, err = d.Load(context.Background(), p, nil)
			require.ErrorContains(t, err, c.want)
			require.Empty(t, e.Noted())
		})
	}
}
