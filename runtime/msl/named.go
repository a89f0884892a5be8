package msl

import (
	"fmt"
	"strings"

	"foundry/lower/plan"
)

// vectorFunctions are the functions of each element of vectors, by how many vectors they take.
var vectorFunctions = [...]string{
	1: "abs exp exp2 exp10 log log2 log10 sqrt rsqrt sin cos tan tanh floor ceil trunc round rint fract sign saturate popcount clz ctz",
	2: "min max fmin fmax pow fmod step copysign mulhi rotate absdiff",
	3: "fma clamp mix smoothstep",
}

// named defines what of the header's vectors the kernels' texts name: their swizzles, and
// as FOUNDRY_VECTOR_FUNCTIONS the functions of each element. Compilers read each function
// once for each width and once more for each type of elements; all of them are a fifth of what
// the header takes.
func named(kernels []*plan.Kernel) string {
	found := map[string]bool{}
	for _, names := range vectorFunctions {
		for name := range strings.FieldsSeq(names) {
			found[name] = false
		}
	}
	for _, k := range kernels {
		nameVectors(k.Source, found)
	}
	var b strings.Builder
	b.WriteString("#define FOUNDRY_VECTOR_FUNCTIONS")
	for vectors, names := range vectorFunctions {
		for name := range strings.FieldsSeq(names) {
			if found[name] {
				fmt.Fprintf(&b, " FOUNDRY_MATH%d(%s)", vectors, name)
			}
			delete(found, name)
		}
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
