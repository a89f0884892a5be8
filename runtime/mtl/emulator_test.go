package mtl

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	fruntime "foundry/runtime"
	"foundry/runtime/devicetest"
	"foundry/runtime/mtl/emulator"
)

// framework starts the emulated framework once a test process.
var framework = sync.OnceValues(func() (*emulator.Framework, error) { return emulator.Build("testdata/build") })

// emulate returns the framework; the test skips where it cannot be had.
func emulate(t testing.TB) *emulator.Framework {
	t.Helper()
	f, err := framework()
	devicetest.Need(t, err)
	return f
}

// openOn returns a device on the framework.
func openOn(f *emulator.Framework, o Options) (*Device, error) {
	o.Libraries = Libraries{f.Path, f.Path, f.Path, f.Path}
	o.TrustKernels = true // kernels are written by hand
	return Open(o)
}

// TestConformanceOnMetal needs a Mac with Apple's silicon.
func TestConformanceOnMetal(t *testing.T) {
	for name, indirect := range map[string]bool{"encoded": false, "indirect": true} {
		t.Run(name, func(t *testing.T) {
			d, err := Open(Options{Indirect: indirect, TrustKernels: true})
			devicetest.Need(t, err)
			require.NoError(t, d.Close())
			devicetest.Run(t, func() (fruntime.Device, error) { return Open(Options{Indirect: indirect, TrustKernels: true}) })
		})
	}
}

func TestConformanceOnTheEmulatedFramework(t *testing.T) {
	f := emulate(t)
	for _, o := range []struct {
		name    string
		options Options
	}{{"encoded", Options{}}, {"indirect", Options{Indirect: true}}} {
		t.Run(o.name, func(t *testing.T) {
			devicetest.Run(t, func() (fruntime.Device, error) {
				d, err := openOn(f, o.options)
				if err != nil {
					return nil, err
				}
				return f.Wrap(d), nil
			})
			require.Empty(t, f.Noted())
			require.Zero(t, f.Live())
		})
	}
}
