package cli

import (
	"runtime/debug"
	"testing"

	"foundry/runtime"
	"foundry/runtime/bench"

	"github.com/stretchr/testify/require"
)

func TestStartupTable(t *testing.T) {
	s, out, _ := streams()
	device := runtime.Phase{Name: "open", Seconds: 0.5}
	printStartups(s, []bench.Row{
		{Variant: "a", Startup: []runtime.Phase{device, {Name: "compile kernels", Seconds: 2, Kernels: 9, Fresh: 9}, {Name: "upload", Seconds: 0.1, Bytes: 2e8}}},
		{Variant: "b", Startup: []runtime.Phase{device, {Name: "compile kernels", Seconds: 0.25, Kernels: 8, Fresh: 1}, {Name: "record decode", Seconds: 0.001}}},
		{Variant: "c", Startup: []runtime.Phase{device, {Name: "compile kernels", Seconds: 0.25, Kernels: 7}}},
	})
	require.Equal(t, `
start-up, once, before the runs (`+startupNote+`)
 phase            a                                  the other 2 together
 open             500 ms                             shared
 compile kernels  2 s, 9 kernels (9 cold, 0 cached)  500 ms, 15 kernels (1 cold, 14 cached)
 upload           100 ms, 200 MB at 2 GB/s           shared
 record decode                                       1 ms
`, out.String())
}

// What lets the collector run less often leaves it as it was.
func TestCollectSeldomGoesBack(t *testing.T) {
	before := debug.SetGCPercent(70)
	defer debug.SetGCPercent(before)
	back := collectSeldom()
	require.Equal(t, 400, debug.SetGCPercent(400))
	back()
	require.Equal(t, 70, debug.SetGCPercent(70))
}
