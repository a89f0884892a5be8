package metal_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/lower/metal"
	"foundry/lower/plan"
)

// A plan says what the cost model says of its entries: in the command buffers that it has, in one, and
// of decode in a chain, to a tenth of a microsecond.
func TestModelledTimesOfAPlan(t *testing.T) {
	c, x := tiny()["hd64"], m3Pro(t)
	o := decoder.BuildOptions{Context: 256, Chunk: 32, Weights: dtype.F16, Cache: dtype.F16}
	for _, asked := range []struct{ buffers, chain int }{{0, 7}, {1, 1}, {3, 7}, {1000, 2}} {
		in, made := entries(t, c, o, pipelineDefault, x), options(c, o, x)
		made.CommandBuffers, made.Chain, made.Choices = asked.buffers, asked.chain, metal.NewChoices(x)
		p, err := metal.Compile(in, made)
		require.NoError(t, err)
		for i, e := range p.Entries {
			at := cost.Typical(in[i].Graph.Bounds)
			load := cost.LoadOf(cost.WavesOf(in[i].Graph, made.Choices, at), x)
			n := min(asked.buffers, load.Dispatches)
			us, best := load.Us(x, n)
			one, _ := load.Us(x, 1)
			want := plan.Modelled{T: at.T, P: at.P, DeviceUs: load.DeviceUs, EncodeUs: float64(load.Dispatches) * x.EncodeUs, Us: us, OneBufferUs: one}
			if e.Role == plan.Decode {
				want.ChainedUs = cost.ChainedUs(load.DeviceUs, want.EncodeUs, x, asked.chain)
			}
			have := *e.Modelled
			require.Equal(t, []int64{want.T, want.P}, []int64{have.T, have.P})
			for j, pair := range [][2]float64{{want.DeviceUs, have.DeviceUs}, {want.EncodeUs, have.EncodeUs}, {want.Us, have.Us}, {want.OneBufferUs, have.OneBufferUs}, {want.ChainedUs, have.ChainedUs}} {
				require.InDelta(t, pair[0], pair[1], 0.051, "%+v, entry %d, number %d", asked, i, j)
				require.InDelta(t, math.Round(10*pair[1]), 10*pair[1], 1e-6)
			}
			require.Len(t, e.CommandBuffers, best, "%+v", asked)
		}
	}
}
