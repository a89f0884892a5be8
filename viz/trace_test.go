package viz_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	models "foundry/frontends/model"
	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/lower/compile"
	"foundry/viz"
)

// A trace has each dispatch of each run once, none beside another on its thread, and the
// plan's modelled time, or the measured one, between its ends.
func TestTrace(t *testing.T) {
	m, err := models.Open("kjv-2m", checkpoint.Hub{})
	require.NoError(t, err)
	c, err := compile.Model(m, compile.Options{})
	require.NoError(t, err)
	g, err := c.Entry("decode")
	require.NoError(t, err)
	entry, err := c.Plan.Entry("decode")
	require.NoError(t, err)
	var labels []string
	measured, sum := map[string]float64{}, 0.0
	for _, s := range entry.Steps {
		if s.Dispatch != nil {
			labels = append(labels, s.Dispatch.Label)
			measured[c.Plan.Kernels[s.Dispatch.Kernel].Name] = float64(s.Dispatch.Kernel + 1)
			sum += float64(s.Dispatch.Kernel + 1)
		}
	}
	at := cost.Typical(g.Bounds)
	list := []viz.Traced{
		{Name: "a", Compiled: c, Entry: "decode", Runs: []sym.Env{at}},
		{Name: "b", Compiled: c, Entry: "decode", Runs: []sym.Env{at, at}, Times: measured, Device: "cuda"},
	}
	var b bytes.Buffer
	require.NoError(t, viz.WriteTrace(&b, list))
	var out struct {
		Events []struct {
			Name     string
			Ph       string
			Pid, Tid int
			Ts, Dur  float64
			Args     map[string]any
		} `json:"traceEvents"`
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &out))
	type thread struct{ process, thread int }
	end := map[thread]float64{}
	var have [2][]string
	for _, e := range out.Events {
		if e.Ph != "X" {
			continue
		}
		at := thread{e.Pid, e.Tid}
		require.InDelta(t, end[at], e.Ts, 1e-6, "%s stands behind the one before", e.Name)
		end[at] = e.Ts + e.Dur
		if e.Tid == 1 {
			have[e.Pid-1] = append(have[e.Pid-1], e.Name)
		}
	}
	require.Equal(t, labels, have[0])
	require.Equal(t, append(labels, labels...), have[1])
	for i := range 3 {
		require.InDelta(t, entry.Modelled.DeviceUs, end[thread{1, i + 1}], 0.06, "plan.json rounds to a tenth of a us")
		require.InEpsilon(t, 2*sum, end[thread{2, i + 1}], 1e-9)
	}
	require.Contains(t, b.String(), `"b, measured on cuda"`)
	list[1].Times = map[string]float64{}
	require.ErrorContains(t, viz.WriteTrace(&b, list), "b: no time was measured of kernel")
}
