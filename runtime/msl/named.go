package msl

import (
	"fmt"
	"strings"

	"foundry/lower/plan"
)

// vectorFunctions are the functions of each element of vectors, with how many vectors
// they take.
var vectorFunctions = []struct {
	vectors int
	name    string
}{
	{1, "abs"}, {1, "exp"}, {1, "exp2"}, {1, "exp10"}, {1, "log"}, {1, "log2"}, {1, "log10"}, {1, "sqrt"}, {1, "rsqrt"},
	{1, "sin"}, {1, "cos"}, {1, "tan"}, {1, "tanh"}, {1, "floor"}, {1, "ceil"}, {1, "trunc"}, {1, "round"}, {1, "rint"},
	{1, "fract"}, {1, "sign"}, {1, "saturate"}, {1, "popcount"}, {1, "clz"}, {1, "ctz"},
	{2, "min"}, {2, "max"}, {2, "fmin"}, {2, "fmax"}, {2, "pow"}, {2, "fmod"}, {2, "step"}, {2, "copysign"}, {2, "mulhi"},
	{2, "rotate"}, {2, "absdiff"},
	{3, "fma"}, {3, "clamp"}, {3, "mix"}, {3, "smoothstep"},
}

// named defines what of the header's vectors the kernels' texts name: their swizzles, and
// as FOUNDRY_VECTOR_FUNCTIONS the functions of each element. Compilers read each function
// once for each width and once more for each type of elements; all of them are a fifth of what
// the header takes.
func named(kernels []*plan.Kernel) string {
	found := map[string]bool{}
	for _, f := range vectorFunctions {
		found[f.name] = false
	}
	for _, k := range kernels {
		nameVectors(k.Source, found)
	}
	var b strings.Builder
	b.WriteString("#define FOUNDRY_VECTOR_FUNCTIONS")
	for _, f := range vectorFunctions {
		if found[f.name] {
			fmt.Fprintf(&b, " FOUNDRY_MATH%d(%s)", f.vectors, f.name)
		}
		delete(found, f.name)
	}
	b.WriteByte('\n')
	writeSwizzles(&b, found)
	return b.String()
}

// nameVectors marks the words of the text that found has, and those of two to four
// elements' names.
func nameVectors(text string, found map[string]bool) {
	for at := 0; at < len(text); at++ {
		if notInName(rune(text[at])) {
			continue
		}
		begin, other := at, false
		for ; at < len(text) && !notInName(rune(text[at])); at++ {
			other = other || text[at] < 'w' || text[at] > 'z'
		}
		word := text[begin:at]
		if !other && len(word) >= 2 && len(word) <= len(elements) {
			found[word] = true
		} else if marked, ok := found[word]; ok && !marked {
			found[word] = true
		}
	}
}
