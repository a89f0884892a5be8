package metal_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"foundry/ir"
	"foundry/ir/sym"
)

// TestOps runs every primitive operation against the interpreter, once at full
// speed and, in a few steps, with every access checked.
func TestOps(t *testing.T) {
	var graphs []*ir.Graph
	cases := opCases()
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		graphs = append(graphs, alone(parse(t, "T=1..33, P=0..64, S<=96", cases[name]), strings.ReplaceAll(name, " ", "_")))
	}
	for _, checked := range []bool{false, true} {
		if checked { // every access is looked at, of rows that are not long
			graphs = slices.DeleteFunc(graphs, func(g *ir.Graph) bool {
				return strings.HasSuffix(g.Name, "896") || strings.HasSuffix(g.Name, "1001")
			})
		}
		b := newBatch(t, graphs, checked)
		steps := []sym.Env{{T: 1}, {T: 2, P: 1}, {T: 7, P: 3}, {T: 33, P: 40}}
		if checked {
			steps = steps[2:3]
		}
		for i, g := range graphs {
			t.Run(fmt.Sprintf("%s/checked=%t", g.Name, checked), func(t *testing.T) {
				for seed, env := range steps {
					b.run(t, i, env, uint64(seed))
				}
			})
		}
	}
}

func opCases() map[string]string {
	cases := map[string]string{
		"embedding":      "%0 = input \"ids\" : i32[T]\n%1 = weight \"w\" : f16[50, 96]\n%2 = embedding %0, %1 : f32[T, 96]\nreturn y=%2",
		"embedding odd":  "%0 = input \"ids\" : i32[T]\n%1 = weight \"w\" : f32[50, 33]\n%2 = embedding %0, %1 : f32[T, 33]\nreturn y=%2",
		"embedding bf16": "%0 = input \"ids\" : i32[T]\n%1 = weight \"w\" : bf16[50, 64]\n%2 = embedding %0, %1 : f32[T, 64]\nreturn y=%2",
		"add":            "%0 = input \"x\" : f32[T, 96]\n%1 = input \"b\" : f32[96]\n%2 = add %0, %1 : f32[T, 96]\nreturn y=%2",
		"add 2d":         "%0 = input \"x\" : f32[T, 33]\n%1 = input \"b\" : f32[T, 33]\n%2 = add %0, %1 : f32[T, 33]\nreturn y=%2",
		"mul f16":        "%0 = input \"x\" : f32[3, T, 32]\n%1 = input \"b\" : f16[T, 32]\n%2 = mul %0, %1 : f32[3, T, 32]\nreturn y=%2",
		"silu":           "%0 = input \"x\" : f32[T, 31]\n%1 = silu %0 : f32[T, 31]\nreturn y=%1",
		"silu one":       "%0 = input \"x\" : f32[S]\n%1 = silu %0 : f32[S]\nreturn y=%1",
		"rope":           "%0 = input \"x\" : f32[3, T, 64]\n%1 = input \"f\" : f32[32]\n%2 = rope %0, %1 {start=P} : f32[3, T, 64]\nreturn y=%2",
		"rope odd":       "%0 = input \"x\" : f32[3, T, 6]\n%1 = input \"f\" : f32[3]\n%2 = rope %0, %1 {start=P} : f32[3, T, 6]\nreturn y=%2",
		"kv_rearrange":   "%0 = input \"x\" : f32[T, 192]\n%1 = kv_rearrange %0 {heads=3} : f32[3, T, 64]\nreturn y=%1",
		"kv_write":       "%0 = state \"c\" : f16[2, 96, 32]\n%1 = input \"x\" : f32[2, T, 32]\n%2 = kv_write %0, %1 {start=P} : f16[2, 96, 32]\nreturn c=%2",
		"repeat_kv":      "%0 = input \"x\" : f16[2, S, 32]\n%1 = repeat_kv %0 {times=3} : f16[6, S, 32]\nreturn y=%1",
		"bmm_nt":         "%0 = input \"x\" : f32[6, T, 32]\n%1 = input \"k\" : f16[2, S, 32]\n%2 = bmm_nt %0, %1 {scale=0.25} : f32[6, T, S]\nreturn y=%2",
		"bmm_nt one":     "%0 = input \"x\" : f32[2, T, 5]\n%1 = input \"k\" : f32[2, 1, 5]\n%2 = bmm_nt %0, %1 : f32[2, T, 1]\nreturn y=%2",
		"bmm_nt odd":     "%0 = input \"x\" : f32[2, T, 33]\n%1 = input \"k\" : f32[2, S, 33]\n%2 = bmm_nt %0, %1 {scale=0.25} : f32[2, T, S]\nreturn y=%2",
		"bmm_nn":         "%0 = input \"x\" : f32[6, T, S]\n%1 = input \"v\" : f16[2, S, 40]\n%2 = bmm_nn %0, %1 : f32[6, T, 40]\nreturn y=%2",
		"softmax":        "%0 = input \"x\" : f32[3, T, S]\n%1 = softmax %0 {causal=true, start=P} : f32[3, T, S]\nreturn y=%1",
		"softmax rows":   "%0 = input \"x\" : f32[T, 300]\n%1 = softmax %0 {causal=false, start=0} : f32[T, 300]\nreturn y=%1",
		"softmax cut":    "%0 = input \"x\" : f32[3, T, S]\n%1 = softmax %0 {causal=true, start=P, kernel=\"softmax-segments segment=128\"} : f32[3, T, S]\nreturn y=%1",
		"softmax q4_0":   "%0 = weight \"w\" : q4_0[3, 96]\n%1 = softmax %0 {causal=false, start=0} : f32[3, 96]\nreturn y=%1",
		"softmax q6_k":   "%0 = weight \"w\" : q6_k[3, 512]\n%1 = softmax %0 {causal=false, start=0, kernel=\"softmax-segments segment=128\"} : f32[3, 512]\nreturn y=%1",
		"softmax bf16":   "%0 = input \"x\" : bf16[T, 77]\n%1 = softmax %0 {causal=false, start=0} : f32[T, 77]\nreturn y=%1",
		"argmax":         "%0 = input \"x\" : f32[T, 9000]\n%1 = argmax %0 : i32[T]\nreturn y=%1",
		"argmax short":   "%0 = input \"x\" : f32[T, 5]\n%1 = argmax %0 : i32[T]\nreturn y=%1",
		"cast":           "%0 = input \"x\" : f32[T, 64]\n%1 = cast %0 {to=f16} : f16[T, 64]\nreturn y=%1",
		"cast bf16":      "%0 = input \"x\" : f32[T, 9]\n%1 = cast %0 {to=bf16} : bf16[T, 9]\n%2 = cast %1 {to=f32} : f32[T, 9]\nreturn y=%1, z=%2",
		"transpose":      "%0 = input \"x\" : f32[3, T, 8]\n%1 = transpose %0 {perm=[1,0,2,0]} : f32[T, 3, 8]\n%2 = reshape %1 {shape=[T,24]} : f32[T, 24]\nreturn y=%2",
		"transpose last": "%0 = input \"x\" : f32[T, 12]\n%1 = transpose %0 {perm=[1,0,0,0]} : f32[12, T]\n%2 = silu %1 : f32[12, T]\nreturn y=%2",
		"slice":          "%0 = input \"x\" : f32[T, 12]\n%1 = slice %0 {axis=0, start=T-1, size=1} : f32[1, 12]\n%2 = silu %1 : f32[1, 12]\nreturn y=%2, z=%1",
		"slice columns":  "%0 = input \"x\" : f32[T, 12]\n%1 = slice %0 {axis=1, start=3, size=5} : f32[T, 5]\n%2 = silu %1 : f32[T, 5]\nreturn y=%2",
		"concat":         "%0 = input \"x\" : f32[T, 12]\n%1 = input \"z\" : f32[T, 8]\n%2 = concat %0, %1, %0 {axis=1} : f32[T, 32]\nreturn y=%2",
		"concat rows":    "%0 = input \"x\" : f32[T, 7]\n%1 = input \"z\" : f32[3, 7]\n%2 = concat %0, %1 {axis=0} : f32[T+3, 7]\nreturn y=%2",
		"reshape split":  "%0 = input \"x\" : f32[T, 24]\n%1 = silu %0 : f32[T, 24]\n%2 = reshape %1 {shape=[T,2,3,4]} : f32[T, 2, 3, 4]\n%3 = transpose %2 {perm=[0,2,1,3]} : f32[T, 3, 2, 4]\nreturn y=%3",
		"param returned": "%0 = input \"x\" : f32[T, 24]\n%1 = silu %0 : f32[T, 24]\nreturn x2=%0, y=%1, z=%1",
	}
	cases["arange"] = "%0 = arange {start=P+3, size=S} : f32[S]\n%1 = arange {start=0, size=4097} : f32[4097]\nreturn y=%0, z=%1"
	cases["ones"] = "%0 = ones {size=T} : f32[T]\n%1 = ones {size=33} : f32[33]\n%2 = add %0, %0 : f32[T]\nreturn y=%0, z=%1, two=%2"
	cases["random_uniform"] = "%0 = input \"k\" : i32[3]\n%1 = random_uniform %0 {size=1} : f32[1]\n%2 = random_uniform %0 {size=2049} : f32[2049]\nreturn y=%1, z=%2"
	for _, n := range []int{1, 500, 9001} {
		cases[fmt.Sprintf("sample %d", n)] = fmt.Sprintf("%%0 = input \"x\" : f32[T, %d]\n%%1 = input \"s\" : f32[5]\n%%2 = input \"k\" : i32[3]\n%%3 = input \"seen\" : i32[S]\n%%4 = random_uniform %%2 {size=T} : f32[T]\n%%5 = sample %%0, %%1, %%4, %%3 : i32[T]\nreturn y=%%5", n)
	}
	cases["sum_squares"] = "%0 = input \"x\" : f32[T, 96]\n%1 = sum_squares %0 {size=8} : f32[T, 12]\nreturn y=%1"
	cases["rms_scale"] = "%0 = input \"x\" : f32[T, 96]\n%1 = weight \"w\" : f32[96]\n%2 = sum_squares %0 {size=8} : f32[T, 12]\n%3 = rms_scale %0, %2, %1 {eps=1e-6} : f32[T, 96]\nreturn y=%3"
	for _, n := range []int{1, 31, 32, 33, 896, 1001} {
		cases[fmt.Sprintf("rms_norm %d", n)] = fmt.Sprintf("%%0 = input \"x\" : f32[T, %d]\n%%1 = weight \"w\" : f32[%d]\n%%2 = rms_norm %%0, %%1 {eps=1e-6} : f32[T, %d]\nreturn y=%%2", n, n, n)
		cases[fmt.Sprintf("rms_norm f16 %d", n)] = fmt.Sprintf("%%0 = input \"x\" : f16[T, %d]\n%%1 = weight \"w\" : f32[%d]\n%%2 = rms_norm %%0, %%1 {eps=1e-6} : f32[T, %d]\nreturn y=%%2", n, n, n)
		for _, w := range []string{"f32", "f16", "bf16"} {
			if w != "f16" && n != 33 {
				continue
			}
			cases[fmt.Sprintf("matmul_nt %s %d", w, n)] = fmt.Sprintf("%%0 = input \"x\" : f32[T, %d]\n%%1 = weight \"w\" : %s[37, %d]\n%%2 = matmul_nt %%0, %%1 : f32[T, 37]\nreturn y=%%2", n, w, n)
		}
	}
	// A function of one element needs no case of its own.
	for _, op := range ir.Ops() {
		if name := op.String(); op.IsFunction() && cases[name] == "" {
			var attrs []string
			for _, f := range op.Info().Fields {
				attrs = append(attrs, f.String()+"=0.25")
			}
			if attrs != nil {
				name += " {" + strings.Join(attrs, ", ") + "}"
			}
			cases[op.String()] = fmt.Sprintf("%%0 = input \"x\" : f32[T, 31]\n%%1 = %s : f32[T, 31]\nreturn y=%%1", strings.Replace(name+" ", " ", " %0 ", 1))
		}
	}
	return cases
}
