package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime"
)

// Machine is what a device was measured to do: what the shares in a benchmark are
// shares of.
type Machine struct {
	ReadGBs      float64 `json:"read_gb_s"`      // 10^9 bytes a second from memory
	ReadBytes    int64   `json:"read_bytes"`     // bytes of the memory that was read
	MatmulTFlops float64 `json:"matmul_tflop_s"` // rate of our tiled product, f16 weights, f32 sums
	MatmulShape  [3]int  `json:"matmul_t_n_k"`   // dims of that product
	MatmulKernel string  `json:"matmul_kernel"`  // name of its kernel
}

// machineSize is how much work a measurement of a machine takes.
type machineSize struct {
	bytes   int64 // bytes to read
	t, n, k int   // dims of the product
}

// machineWork takes a GPU of today milliseconds and reads many times what its cache
// holds.
func machineWork() machineSize { return machineSize{4 << 30, 4096, 8192, 8192} }

// measureMachine measures a device whose kernels are compiled for the named target.
func measureMachine(ctx context.Context, dev runtime.Device, targetName string, s machineSize) (*Machine, error) {
	t, err := target.Find(targetName)
	if err != nil {
		return nil, err
	}
	if have := dev.Info().MemoryBytes; have > 0 {
		s.bytes = min(s.bytes, have/8)
	}
	m := &Machine{MatmulShape: [3]int{s.t, s.n, s.k}, ReadBytes: s.bytes}
	read, err := runtime.ReadBandwidth(ctx, dev, s.bytes)
	if err != nil {
		return nil, err
	}
	m.ReadGBs = read / 1e9
	if m.MatmulTFlops, m.MatmulKernel, err = matmulRate(ctx, dev, t, s); err != nil {
		return nil, fmt.Errorf("measure the matmul rate: %w", err)
	}
	return m, nil
}

// flops counts what an entry's products compute in one run.
func flops(e *plan.Entry, env sym.Env) int64 {
	n := int64(0)
	for _, s := range e.Steps {
		if s.Dispatch != nil {
			n += s.Dispatch.Flops.Eval(env)
		}
	}
	return n
}

// matmulRate times y = x w^T, x f32 [T, K] that another kernel makes, as it is in a
// model, w f16 [N, K], in the kernel that lowering makes of it for the target: 10^12
// operations a second.
func matmulRate(ctx context.Context, dev runtime.Device, t *target.Target, s machineSize) (rate float64, kernel string, err error) {
	g, err := ir.Parse("matmul.fir", fmt.Sprintf(`graph @matmul (T=1..%d, P=0..0, S<=%d) {
%%0 = input "x" : f32[T, %d]
%%1 = weight "w" : f16[%d, %d]
%%2 = weight "gamma" : f32[%d]
%%3 = rms_norm %%0, %%2 {eps=1e-06} : f32[T, %d]
%%4 = matmul_nt %%3, %%1 : f32[T, %d]
return y=%%4
}
`, s.t, s.t, s.k, s.n, s.k, s.k, s.k, s.n))
	if err != nil {
		return 0, "", err
	}
	p, err := metal.Compile([]metal.Entry{{Name: "matmul", Graph: g}}, metal.Options{
		Target: t, Model: plan.Model{Context: s.t}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16},
	})
	if err != nil {
		return 0, "", err
	}
	exec, err := runtime.New(ctx, dev, p, patterned{}, nil)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, exec.Close()) }()
	in, err := exec.NewInstance()
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := in.Write("x", noiseBytes(4*int64(s.t)*int64(s.k))); err != nil {
		return 0, "", err
	}
	times, err := in.KernelTimes(ctx, "matmul", sym.Env{T: int64(s.t)}, 4)
	if err != nil {
		return 0, "", err
	}
	product := slices.MaxFunc(times, func(a, b runtime.KernelTime) int { return cmp.Compare(a.Flops, b.Flops) })
	return float64(product.Flops) / product.Each.Seconds() / 1e12, product.Kernel, nil
}

// patterned makes weights whose values do not matter.
type patterned struct{}

func (patterned) Weight(b *plan.Buffer) ([]byte, error) { return noiseBytes(b.StoredBytes()), nil }

// noiseBytes returns bytes that are small finite numbers of both signs as f32, f16 and
// bf16, and differ enough to cost a GPU what real numbers cost it.
func noiseBytes(n int64) []byte {
	out := make([]byte, n)
	x := uint64(0x9e3779b97f4a7c15)
	for i := range out {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out[i] = byte(x>>32) & 0xbb
	}
	return out
}
