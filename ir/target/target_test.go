package target_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/target"
)

func TestEveryTargetIsComplete(t *testing.T) {
	names := map[string]bool{}
	for _, x := range target.All() {
		require.False(t, names[x.Name], x.Name)
		names[x.Name] = true
		for what, v := range map[string]float64{
			"cores": float64(x.Cores), "bandwidth": x.BandwidthGBs, "cache bandwidth": x.CacheGBs, "cache": float64(x.CacheBytes),
			"flops": x.TFlops, "tile flops": x.TileTFlops, "threads": float64(x.CoreThreads), "line": float64(x.LineBytes),
			"tile floats": float64(x.TileFloats), "copy stages": float64(x.CopyStages),
			"dispatch": x.DispatchUs, "wave": x.WaveUs, "group": x.GroupUs, "latency": x.LatencyUs, "command buffer": x.CommandBufferUs,
		} {
			require.Positive(t, v, "%s: %s", x.Name, what)
		}
		require.NotEmpty(t, x.Note)
		require.Equal(t, 31, x.Limits.Slots)
		for _, w := range append(x.Limits.Weights, x.Limits.Cache...) {
			typ, err := dtype.ParseWeights(w)
			require.NoError(t, err)
			require.Equal(t, w, typ.Format())
		}
	}
	require.True(t, names[target.Default])
}

func TestFind(t *testing.T) {
	x, err := target.Find("apple-m4-max")
	require.NoError(t, err)
	require.Equal(t, 546.0, x.BandwidthGBs)
	require.True(t, x.Limits.HasWeights("q8_0"))
	x.Limits.Weights[0] = "changed"
	again, err := target.Find("apple-m4-max")
	require.NoError(t, err)
	require.Equal(t, "f32", again.Limits.Weights[0])
	_, err = target.Find("apple-m3pro")
	require.ErrorContains(t, err, `there is no target "apple-m3pro", want one of apple-m1, `)
	require.ErrorContains(t, err, `, cpu; did you mean "apple-m3-pro"?`)
	_, err = target.Find("something")
	require.NotContains(t, err.Error(), "did you mean")
	_, err = target.Find("")
	require.Error(t, err)
}

func TestAppleByName(t *testing.T) {
	for gpu, want := range map[string]string{
		"Apple M1": "apple-m1", "Apple M3 Pro": "apple-m3-pro", "Apple M4 Max": "apple-m4-max", "Apple M2 Ultra": "apple-m2-ultra",
		"Apple M9 Pro": "", "Apple Paravirtual device": "", "AMD Radeon Pro 5500M": "", "": "",
	} {
		require.Equal(t, want, target.Apple(gpu), gpu)
	}
}

func TestNVIDIAByNameOrCapability(t *testing.T) {
	for _, c := range []struct {
		gpu   string
		major int
		want  string
	}{
		{"NVIDIA H100 80GB HBM3", 9, "h100"}, {"NVIDIA H200", 9, "h200"}, {"NVIDIA GH200 480GB", 9, "h200"},
		{"NVIDIA H800", 9, "h100"}, {"NVIDIA A100-SXM4-80GB", 8, ""},
	} {
		require.Equal(t, c.want, target.NVIDIA(c.gpu, c.major), c.gpu)
	}
}
