package strict

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// The rules say of stages and of a function behind them what they say of the whole text,
// wherever in it the complaint is, and of names that only the other half declares.
func TestRulesBehindStages(t *testing.T) {
	const (
		head  = "#include <metal_stdlib>\nusing namespace metal;\n"
		twice = "struct Pair { float a, b; };\ntemplate <typename T> inline T twice(T x)\n{\n    return x + x;\n}\n"
		first = "[[max_total_threads_per_threadgroup(32)]] kernel void k(device float *x [[buffer(0)]])\n{\n"
		last  = "    x[0] = twice(x[0]);\n}\n"
	)
	complaints := 0
	for _, stages := range []string{
		"", twice, twice + "inline float f(float *p) { return p[0]; }\n", twice + "inline uint f(uint n)\n{\n    return f(n - 1u);\n}\n",
		twice + "float scale = 2.0f;\n", twice + "inline float f()\n{\n    static float n;\n    return n;\n}\n", twice + "constant float c[1] = {1.0f};\n",
		twice + "inline float g(float x);\ninline float f(float x)\n{\n    return g(x);\n}\n", twice + "struct Open {\n", twice + "double wide;\n", twice + "inline float f(float x) { return x; }\nconstant float y =\n",
	} {
		accept := rulesBehind(head + stages)
		for _, own := range []string{
			first + last, first + "    float *p = x;\n" + last, first + "    Pair *p;\n" + last, first + "    device const Pair *p = (device const Pair *)x;\n" + last,
			first + "    T *p;\n" + last, first + "    static float n;\n" + last, first + "    double d;\n" + last, first + "    auto f = [](float v) { return v; };\n" + last,
			"float more = 1.0f;\n" + first + last, "};\n" + first + last, "struct Own { float a; };\n" + first + "    Own *p;\n" + last,
			"inline float g(float x)\n{\n    return f(x);\n}\n" + first + last, "kernel float k(device float *x [[buffer(0)]])\n{\n" + last,
			"[[max_total_threads_per_threadgroup(4096)]] kernel void k(device float *x [[buffer(31)]])\n{\n" + last,
		} {
			whole := Rules(head + stages + plan.FunctionBanner + own)
			require.Equal(t, len(whole) == 0, accept(own), "%s\nbehind\n%s\n%q", own, stages, whole)
			if len(whole) > 0 {
				complaints++
			}
		}
	}
	require.Greater(t, complaints, 100)
}
