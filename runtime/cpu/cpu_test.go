package cpu

import (
	"testing"

	"github.com/stretchr/testify/require"

	fruntime "foundry/runtime"
	"foundry/runtime/devicetest"
)

// open returns a device, or skips where there is no compiler. Objects are kept
// in the user's cache: tests are fast the second time.
func open(t testing.TB, o Options) *Device {
	t.Helper()
	o.TrustKernels = true // they are written by hand
	d, err := Open(t.Context(), o)
	devicetest.Need(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name string
		opts Options
	}{
		{"fast", Options{}},
		{"one-thread", Options{Threads: 1}},
		{"checked", Options{Checked: true}},
		{"reversed", Options{ThreadOrder: Reversed, GroupOrder: Reversed, WaveOrder: Reversed}},
		{"random", Options{ThreadOrder: Random, GroupOrder: Random, WaveOrder: Random, Seed: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			open(t, c.opts) // skips
			devicetest.Run(t, func() (fruntime.Device, error) { c.opts.TrustKernels = true; return Open(t.Context(), c.opts) })
		})
	}
}
