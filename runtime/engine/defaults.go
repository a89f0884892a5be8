package engine

import (
	"cmp"

	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/compile"
	"foundry/runtime/cuda"
	"foundry/runtime/mtl"
)

// Defaults fills in what o leaves open and the device decides: the target and the
// dtypes of what is not quantised. The reference computes best in f32, every other
// device in f16. Where o has no target, this may start the GPU's driver to learn its
// name.
func Defaults(device string, o compile.Options) compile.Options {
	floats := dtype.F16
	if device == Ref {
		floats = dtype.F32
	}
	o.Floats, o.Cache = cmp.Or(o.Floats, floats), cmp.Or(o.Cache, floats)
	if o.Target == "" {
		o.Target = targetOf(device)
	}
	return o
}

// targetOf is the target of the device: of a GPU, the one that the driver's name for
// it says; where that says nothing, the H100 or target.Default.
func targetOf(device string) string {
	kind, ordinal, err := ParseDevice(device)
	switch {
	case err == nil && kind == CUDA:
		return cmp.Or(cuda.Target(ordinal), "h100")
	case err == nil && kind == Metal:
		return cmp.Or(mtl.Target(ordinal), target.Default)
	}
	return target.Default
}
