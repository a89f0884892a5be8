package interp_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sampling"
	"foundry/ir/seeded"
	"foundry/ir/sym"
)

// at reads element (i, j, k, ..) of a row-major tensor.
func at(t interp.Tensor, index ...int) float64 {
	pos := 0
	for d, i := range index {
		pos = pos*t.Shape[d] + i
	}
	if t.I32 != nil {
		return float64(t.I32[pos])
	}
	return t.Float64s()[pos]
}

// cases holds, for each op, graphs of that op alone and what an element of the
// result is, written down from the op's definition. In all of them T=3, P=2.
var cases = map[ir.Op][]struct {
	text string // the statements of a graph whose result is %y
	want func(x map[string]interp.Tensor, i []int) float64
}{
	ir.OpEmbedding: {
		{`%a = input "a" : i32[T]
		  %b = weight "b" : f16[7, 32]
		  %y = embedding %a, %b`, func(x map[string]interp.Tensor, i []int) float64 {
			return at(x["b"], int(at(x["a"], i[0])), i[1])
		}},
		{`%a = input "a" : i32[T]
		  %b = weight "b" : q4_k[7, 256]
		  %y = embedding %a, %b`, func(x map[string]interp.Tensor, i []int) float64 {
			return at(x["b"], int(at(x["a"], i[0])), i[1])
		}},
	},
	ir.OpRMSNorm: {
		{`%a = input "a" : f32[2, T, 33]
		  %b = weight "b" : bf16[33]
		  %y = rms_norm %a, %b {eps=0.01}`, func(x map[string]interp.Tensor, i []int) float64 { return normCase(x, i, 33) }},
		{`%a = input "a" : f16[2, T, 33]
		  %b = weight "b" : f32[33]
		  %y = rms_norm %a, %b {eps=0.01}`, func(x map[string]interp.Tensor, i []int) float64 { return normCase(x, i, 33) }},
		{`%a = weight "a" : q5_1[2, 3, 96]
		  %b = weight "b" : f32[96]
		  %y = rms_norm %a, %b {eps=0.01}`, func(x map[string]interp.Tensor, i []int) float64 { return normCase(x, i, 96) }},
	},
	ir.OpSumSquares: {{`%a = input "a" : f32[T, 12]
		%y = sum_squares %a {size=4}`, func(x map[string]interp.Tensor, i []int) (sum float64) {
		for k := range 4 {
			sum += math.Pow(at(x["a"], i[0], 4*i[1]+k), 2)
		}
		return sum
	}}},
	ir.OpRMSScale: {{`%a = input "a" : f32[T, 4]
		%b = weight "b" : f32[4]
		%s = sum_squares %a {size=2}
		%y = rms_scale %a, %s, %b {eps=0.5}`, func(x map[string]interp.Tensor, i []int) float64 {
		sum := 0.0
		for k := range 4 {
			sum += at(x["a"], i[0], k) * at(x["a"], i[0], k)
		}
		return at(x["a"], i...) / math.Sqrt(sum/4+0.5) * at(x["b"], i[1])
	}}},
	ir.OpMatmulNT: {
		{`%a = input "a" : f32[T, 35]
		  %b = weight "b" : f32[5, 35]
		  %y = matmul_nt %a, %b`, matmulCase},
		{`%a = input "a" : f32[T, 64]
		  %b = weight "b" : q5_1[33, 64]
		  %y = matmul_nt %a, %b`, matmulCase},
		{`%a = input "a" : f32[T, 256]
		  %b = weight "b" : q6_k[2, 256]
		  %y = matmul_nt %a, %b`, matmulCase},
		{`%a = input "a" : f32[T, 7]
		  %b = input "b" : f32[S, 7]
		  %y = matmul_nt %a, %b`, matmulCase},
	},
	ir.OpAdd: {
		{`%a = input "a" : f32[2, T, 5]
		  %b = weight "b" : f16[5]
		  %y = add %a, %b`, func(x map[string]interp.Tensor, i []int) float64 { return at(x["a"], i...) + at(x["b"], i[2]) }},
		{`%a = input "a" : f32[2, T, 5]
		  %b = input "b" : f32[T, 5]
		  %y = add %a, %b`, func(x map[string]interp.Tensor, i []int) float64 { return at(x["a"], i...) + at(x["b"], i[1:]...) }},
	},
	ir.OpMul: {{`%a = input "a" : f32[T, 5]
		%b = input "b" : f32[T, 5]
		%y = mul %a, %b`, func(x map[string]interp.Tensor, i []int) float64 { return at(x["a"], i...) * at(x["b"], i...) }}},
	ir.OpSilu: {{`%a = input "a" : f32[T, 5]
		%y = silu %a`, func(x map[string]interp.Tensor, i []int) float64 {
		v := at(x["a"], i...)
		return v / (1 + math.Exp(-v))
	}}},
	ir.OpRope: {{`%a = input "a" : f32[2, T, 6]
		%b = weight "b" : f32[3]
		%y = rope %a, %b {start=P}`, func(x map[string]interp.Tensor, i []int) float64 {
		pair := i[2] % 3
		angle := (2 + float64(i[1])) * at(x["b"], pair)
		lo, hi := at(x["a"], i[0], i[1], pair), at(x["a"], i[0], i[1], pair+3)
		if i[2] < 3 {
			return lo*math.Cos(angle) - hi*math.Sin(angle)
		}
		return hi*math.Cos(angle) + lo*math.Sin(angle)
	}}},
	ir.OpKVRearrange: {{`%a = input "a" : f32[T, 6]
		%y = kv_rearrange %a {heads=2}`, func(x map[string]interp.Tensor, i []int) float64 { return at(x["a"], i[1], i[0]*3+i[2]) }}},
	ir.OpKVWrite: {
		{`%c = state "c" : f16[2, 9, 3]
		  %a = input "a" : f32[2, T, 3]
		  %y = kv_write %c, %a {start=P+1}`, func(x map[string]interp.Tensor, i []int) float64 {
			if t := i[1] - 3; t >= 0 && t < 3 {
				return float64(dtype.F16ToF32(dtype.F32ToF16(float32(at(x["a"], i[0], t, i[2])))))
			}
			return at(x["c"], i...)
		}},
	},
	ir.OpRepeatKV: {{`%a = input "a" : f16[2, S, 3]
		%y = repeat_kv %a {times=3}`, func(x map[string]interp.Tensor, i []int) float64 { return at(x["a"], i[0]/3, i[1], i[2]) }}},
	ir.OpBmmNT: {{`%a = input "a" : f32[6, T, 5]
		%b = input "b" : f16[2, S, 5]
		%y = bmm_nt %a, %b {scale=0.3}`, func(x map[string]interp.Tensor, i []int) (sum float64) {
		for k := range 5 {
			sum += at(x["a"], i[0], i[1], k) * at(x["b"], i[0]/3, i[2], k)
		}
		return 0.3 * sum
	}}},
	ir.OpBmmNN: {{`%a = input "a" : f32[6, T, S]
		%b = input "b" : f32[3, S, 4]
		%y = bmm_nn %a, %b`, func(x map[string]interp.Tensor, i []int) (sum float64) {
		for k := range 5 {
			sum += at(x["a"], i[0], i[1], k) * at(x["b"], i[0]/2, k, i[2])
		}
		return sum
	}}},
	ir.OpSoftmax: {
		{`%a = input "a" : f32[2, T, 5]
		  %y = softmax %a {causal=false, start=0}`, func(x map[string]interp.Tensor, i []int) float64 { return softmaxCase(x, i, 5) }},
		{`%a = input "a" : f32[2, T, S]
		  %y = softmax %a {causal=true, start=P}`, func(x map[string]interp.Tensor, i []int) float64 { return softmaxCase(x, i, 3+i[1]) }},
		{`%a = input "a" : f32[2, T, S]
		  %y = softmax %a {causal=true, start=2*P+100}`, func(x map[string]interp.Tensor, i []int) float64 { return softmaxCase(x, i, 5) }},
		{`%a = input "a" : f32[2, T, S]
		  %y = softmax %a {causal=true, start=P, window=2}`, func(x map[string]interp.Tensor, i []int) float64 {
			var sum float64
			for _, seen := range []int{1 + i[1], 2 + i[1]} { // of 3 + i[1]
				sum += math.Exp(at(x["a"], i[0], i[1], seen))
			}
			if i[2] < 1+i[1] || i[2] > 2+i[1] {
				return 0
			}
			return math.Exp(at(x["a"], i[0], i[1], i[2])) / sum
		}},
	},
	ir.OpArgmax: {{`%a = input "a" : f32[T, 40]
		%y = argmax %a`, func(x map[string]interp.Tensor, i []int) float64 {
		best := 0
		for k := range 40 {
			if at(x["a"], i[0], k) > at(x["a"], i[0], best) {
				best = k
			}
		}
		return float64(best)
	}}},
	ir.OpSample: {{`%a = input "a" : f32[T, 40]
		%b = input "b" : f32[5]
		%u = input "u" : f32[T]
		%s = input "s" : i32[6]
		%y = sample %a, %b, %u, %s`, sampleCase}},
	ir.OpArange: {{`%y = arange {start=P+1, size=T}`, func(_ map[string]interp.Tensor, i []int) float64 { return float64(3 + i[0]) }}},
	ir.OpOnes:   {{`%y = ones {size=7}`, func(map[string]interp.Tensor, []int) float64 { return 1 }}},
	ir.OpRandomUniform: {{`%a = input "a" : i32[3]
		%y = random_uniform %a {size=9}`, func(x map[string]interp.Tensor, i []int) float64 {
		k := x["a"].I32
		words := sampling.Philox([4]uint32{uint32(k[2]), uint32(i[0] / 4)}, [2]uint32{uint32(k[0]), uint32(k[1])})
		return float64(words[i[0]%4]>>8) / (1 << 24)
	}}},
	ir.OpCast: {
		{`%a = input "a" : f32[T, 5]
		  %y = cast %a {to=f16}`, func(x map[string]interp.Tensor, i []int) float64 {
			return float64(dtype.F16ToF32(dtype.F32ToF16(float32(at(x["a"], i...)))))
		}},
		{`%a = input "a" : f32[T, 5]
		  %y = cast %a {to=bf16}`, func(x map[string]interp.Tensor, i []int) float64 {
			return float64(dtype.BF16ToF32(dtype.F32ToBF16(float32(at(x["a"], i...)))))
		}},
	},
	ir.OpReshape: {
		{`%a = input "a" : i32[T, 6]
		  %y = reshape %a {shape=[2,T,3]}`, func(x map[string]interp.Tensor, i []int) float64 {
			flat := (i[0]*3+i[1])*3 + i[2]
			return at(x["a"], flat/6, flat%6)
		}},
		{`%a = input "a" : f32[T, 4]
		  %t = transpose %a {perm=[1,0,0,0]}
		  %y = reshape %t {shape=[4*T]}`, func(x map[string]interp.Tensor, i []int) float64 { return at(x["a"], i[0]%3, i[0]/3) }},
	},
	ir.OpSlice: {{`%a = input "a" : f32[4, S, 6]
		%b = slice %a {axis=1, start=T-1, size=P}
		%y = slice %b {axis=2, start=1, size=4}`, func(x map[string]interp.Tensor, i []int) float64 { return at(x["a"], i[0], i[1]+2, i[2]+1) }}},
	ir.OpTranspose: {
		{`%a = input "a" : f32[2, T, 5]
		  %y = transpose %a {perm=[2,0,1,0]}`, func(x map[string]interp.Tensor, i []int) float64 { return at(x["a"], i[1], i[2], i[0]) }},
		{`%a = input "a" : i32[T, 5]
		  %y = transpose %a {perm=[1,0,0,0]}`, func(x map[string]interp.Tensor, i []int) float64 { return at(x["a"], i[1], i[0]) }},
	},
	ir.OpConcat: {
		{`%a = input "a" : f32[2, T, 5]
		  %b = input "b" : f32[2, P, 5]
		  %y = concat %a, %b, %a {axis=1}`, func(x map[string]interp.Tensor, i []int) float64 {
			switch {
			case i[1] < 3:
				return at(x["a"], i...)
			case i[1] < 5:
				return at(x["b"], i[0], i[1]-3, i[2])
			}
			return at(x["a"], i[0], i[1]-5, i[2])
		}},
		{`%a = input "a" : i32[T]
		  %b = input "b" : i32[2]
		  %y = concat %a, %b {axis=0}`, func(x map[string]interp.Tensor, i []int) float64 {
			if i[0] < 3 {
				return at(x["a"], i[0])
			}
			return at(x["b"], i[0]-3)
		}},
	},
	ir.OpFused: {{`%a = input "a" : f32[T, 5]
		%z, %y = fused %a {pattern="square"} {
			%u = arg : f32[T, 5]
			%m = mul %u, %u
			%n = transpose %m {perm=[1,0,0,0]}
			return %m, %n
		}`, func(x map[string]interp.Tensor, i []int) float64 { return math.Pow(at(x["a"], i[1], i[0]), 2) }}},
}

func matmulCase(x map[string]interp.Tensor, i []int) (sum float64) {
	for k := range x["a"].Shape[1] {
		sum += at(x["a"], i[0], k) * at(x["b"], i[1], k)
	}
	return sum
}

// sampleCase is the definition with a penalty, a temperature, top-p and min-p; the
// top-k of the input is below one token, and so off.
func sampleCase(x map[string]interp.Tensor, i []int) float64 {
	set := x["b"].Float64s()
	score := make([]float64, 40)
	seen := map[int32]bool{}
	for _, id := range x["s"].I32 {
		seen[id] = true
	}
	for k := range score {
		score[k] = at(x["a"], i[0], k)
		if seen[int32(k)] && score[k] > 0 {
			score[k] = float64(float32(score[k] / set[4]))
		} else if seen[int32(k)] {
			score[k] = float64(float32(score[k] * set[4]))
		}
	}
	top := slices.Max(score)
	sum, weight := 0.0, make([]float64, 40)
	for k, s := range score {
		weight[k] = math.Exp((s - top) / set[0])
		sum += weight[k]
	}
	var kept []int
	total := 0.0
	for k, s := range score {
		before := 0.0 // the weight of what stands before k in the order of scores
		for j, r := range score {
			if r > s || r == s && j < k {
				before += weight[j]
			}
		}
		if before == 0 || before < set[2]*sum && weight[k] >= set[3] {
			kept = append(kept, k)
			total += weight[k]
		}
	}
	cumulative := 0.0
	for _, k := range kept {
		if cumulative += weight[k]; cumulative > at(x["u"], i[0])*total {
			return float64(k)
		}
	}
	return -1
}

func normCase(x map[string]interp.Tensor, i []int, cols int) float64 {
	sum := 0.0
	for k := range cols {
		sum += math.Pow(at(x["a"], i[0], i[1], k), 2)
	}
	return at(x["a"], i...) / math.Sqrt(sum/float64(cols)+0.01) * at(x["b"], i[2])
}

func softmaxCase(x map[string]interp.Tensor, i []int, seen int) float64 {
	if i[2] >= seen {
		return 0
	}
	sum := 0.0
	for k := range min(seen, 5) {
		sum += math.Exp(at(x["a"], i[0], i[1], k))
	}
	return math.Exp(at(x["a"], i...)) / sum
}

func TestOps(t *testing.T) {
	e := sym.Env{T: 3, P: 2}
	for _, op := range ir.Ops() {
		require.NotEmpty(t, cases[op], "%v has no case", op)
		for _, c := range cases[op] {
			result := "y"
			if op == ir.OpKVWrite {
				result = "c"
			}
			g, err := ir.Parse(op.String(), "graph @g (T=2..5, P=1..4, S<=8) {\n"+c.text+"\nreturn "+result+"=%y\n}")
			require.NoError(t, err)
			for _, precision := range []interp.Precision{interp.Float32, interp.Float64} {
				p, err := interp.New(g, seeded.Weights(g, 1), precision)
				require.NoError(t, err)
				s := p.NewState()
				require.NoError(t, seeded.FillState(s, 1))
				x := seeded.Inputs(g, e, 1)
				given := seeded.Inputs(g, e, 1)
				for _, v := range g.Params {
					switch v.Param.Kind {
					case ir.Weight:
						given[v.Param.Name], err = seeded.Weights(g, 1)(v.Param.Name, v.Type)
					case ir.State:
						given[v.Param.Name], err = s.Clone().Tensor(v.Param.Name)
					}
					require.NoError(t, err)
				}
				out, err := p.Run(context.Background(), interp.Run{Env: e, Inputs: x, State: s})
				require.NoError(t, err)
				have := out["y"]
				if op == ir.OpKVWrite {
					have, err = s.Tensor("c")
					require.NoError(t, err)
				}
				// One rounding of the result; the float64 sums differ in their order.
				bound := 0x1p-24
				if precision == interp.Float64 {
					bound = 1e-14
				}
				for i := range have.Len() {
					index := make([]int, len(have.Shape))
					for d, rest := len(index)-1, i; d >= 0; d-- {
						index[d], rest = rest%have.Shape[d], rest/have.Shape[d]
					}
					want := c.want(given, index)
					require.InDelta(t, want, at(have, index...), bound*max(1e-3, math.Abs(want))*1.001,
						"%v %v at %v of %v", op, precision, index, have.Shape)
				}
			}
		}
	}
}
