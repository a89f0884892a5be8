package devicetest

import (
	"math"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/lower/plan"
)

// floats returns n small distinct values, exact in f16 as well.
func floats(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i%97)*0.25 - 12
	}
	return v
}

func elementwise(r *rig) {
	const n = 1000 // not a multiple of the 64 threads
	prog := r.load(source{
		name:     "axpy",
		slots:    []plan.Slot{in("x", "float"), inout("y", "float")},
		builtins: []plan.Builtin{plan.ThreadPosition},
		threads:  [3]int{64, 1, 1},
		body: `    uint i = position.x;
    if (i >= 1000u) return;
    y[i] = 2.0f * x[i] + y[i];`,
	})
	x := floats(n)
	mx, my := r.put(x), r.put(x)
	defer mx.Free()
	defer my.Free()
	r.once(prog, [3]int64{16, 1, 1}, whole(mx, 4*n, plan.Read), whole(my, 4*n, plan.ReadWrite))
	for i, y := range get[float32](r, my, n) {
		require.Equal(r, 3*x[i], y, "element %d", i)
	}
	require.Equal(r, x, get[float32](r, mx, n), "the operand that is only read")
}

func vectors(r *rig) {
	const n = 64
	prog := r.load(source{
		name:     "swap_halves",
		slots:    []plan.Slot{in("x", "float4"), out("y", "float4")},
		builtins: []plan.Builtin{plan.ThreadPosition},
		threads:  [3]int{n, 1, 1},
		body: `    float4 v = x[position.x];
    y[position.x] = float4(v.zw, v.x + 1.0f, dot(v, float4(1.0f)));`,
	})
	x := floats(4 * n)
	mx, my := r.put(x), r.alloc(16*n)
	defer mx.Free()
	defer my.Free()
	r.once(prog, [3]int64{1, 1, 1}, whole(mx, 16*n, plan.Read), whole(my, 16*n, plan.Write))
	want := make([]float32, 0, 4*n)
	for i := 0; i < len(x); i += 4 {
		want = append(want, x[i+2], x[i+3], x[i]+1, x[i]+x[i+1]+x[i+2]+x[i+3]) // exact: quarters below 2^8
	}
	require.Equal(r, want, get[float32](r, my, 4*n))
}

func halfConversion(r *rig) {
	x := []float32{0, 1, -1, 0.5, 65504, -65504, 65519, 65520, 1e9, 1.0 / (1 << 24), 1.0 / (1 << 25),
		3.0 / (1 << 26), 1.0 / (1 << 14), 1.0009766, 1.00048828125, 1.00146484375, 0.1, 3.14159274,
		float32(math.Inf(1)), float32(math.Copysign(0, -1))}
	n := len(x)
	prog := r.load(source{
		name:     "to_half_and_back",
		slots:    []plan.Slot{in("x", "float"), out("h", "half"), out("y", "float")},
		builtins: []plan.Builtin{plan.ThreadIndex},
		threads:  [3]int{n, 1, 1},
		body: `    half v = half(x[thread_index]);
    h[thread_index] = v;
    y[thread_index] = float(v);`,
	})
	mx, mh, my := r.put(x), r.alloc(int64(2*n)), r.alloc(int64(4*n))
	defer mx.Free()
	defer mh.Free()
	defer my.Free()
	r.once(prog, [3]int64{1, 1, 1},
		whole(mx, int64(4*n), plan.Read), whole(mh, int64(2*n), plan.Write), whole(my, int64(4*n), plan.Write))
	h, y := get[uint16](r, mh, n), get[float32](r, my, n)
	for i, v := range x {
		require.Equal(r, dtype.F32ToF16(v), h[i], "half(%g)", v)
		require.Equal(r, math.Float32bits(dtype.F16ToF32(h[i])), math.Float32bits(y[i]), "float(half(%g))", v)
	}
}

func bits(r *rig) {
	const n = 128
	prog := r.load(source{
		name:     "bits",
		slots:    []plan.Slot{in("q", "char"), in("b", "ushort"), out("y", "float"), out("u", "uint")},
		builtins: []plan.Builtin{plan.ThreadIndex},
		threads:  [3]int{n, 1, 1},
		body: `    uint i = thread_index;
    y[i] = as_type<float>(uint(b[i]) << 16) + float(q[i]);
    u[i] = (uint(uchar(q[i])) >> 4) | (popcount(i) << 8);`,
	})
	q, b := make([]int8, n), make([]uint16, n)
	for i := range n {
		q[i], b[i] = int8(2*i-128), dtype.F32ToBF16(float32(i)*0.5)
	}
	mq, mb, my, mu := r.put(q), r.put(b), r.alloc(4*n), r.alloc(4*n)
	defer mq.Free()
	defer mb.Free()
	defer my.Free()
	defer mu.Free()
	r.once(prog, [3]int64{1, 1, 1}, whole(mq, n, plan.Read), whole(mb, 2*n, plan.Read),
		whole(my, 4*n, plan.Write), whole(mu, 4*n, plan.Write))
	y, u := get[float32](r, my, n), get[uint32](r, mu, n)
	for i := range n {
		require.Equal(r, float32(i)*0.5+float32(q[i]), y[i], "element %d", i)
		ones := uint32(0)
		for v := i; v > 0; v >>= 1 {
			ones += uint32(v & 1)
		}
		require.Equal(r, uint32(uint8(q[i]))>>4|ones<<8, u[i], "element %d", i)
	}
}

// noContraction: a product and a sum round twice unless fma is written.
func noContraction(r *rig) {
	x := []float32{1 + 1.0/(1<<12), 1 + 1.0/(1<<13), 3.3333333, 0.1, 1e-3, 7.7}
	n := len(x)
	prog := r.load(source{
		name:     "squares",
		slots:    []plan.Slot{in("x", "float"), out("y", "float"), out("z", "float")},
		builtins: []plan.Builtin{plan.ThreadIndex},
		threads:  [3]int{n, 1, 1},
		body: `    float v = x[thread_index];
    y[thread_index] = v * v - 1.0f;
    z[thread_index] = fma(v, v, -1.0f);`,
	})
	mx, my, mz := r.put(x), r.alloc(int64(4*n)), r.alloc(int64(4*n))
	defer mx.Free()
	defer my.Free()
	defer mz.Free()
	size := int64(4 * n)
	r.once(prog, [3]int64{1, 1, 1}, whole(mx, size, plan.Read), whole(my, size, plan.Write), whole(mz, size, plan.Write))
	y, z := get[float32](r, my, n), get[float32](r, mz, n)
	for i, v := range x {
		square := float32(v * v) // the conversion forces the rounding
		require.Equal(r, square-1, y[i], "%g * %g - 1", v, v)
		require.Equal(r, float32(float64(v)*float64(v)-1), z[i], "fma(%g, %g, -1)", v, v)
	}
}
