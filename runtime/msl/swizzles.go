package msl

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"foundry/lower/plan"
)

// elements are the names of a vector's elements.
const elements = "xyzw"

// swizzles defines FOUNDRY_SWIZZLES2 to 4, the members of a vector of as many
// elements that read and write some of them, as zx does: those that the kernels'
// texts name. All 336 that a vector of four can have take a compiler twice as long as
// the rest of a small kernel and of the header.
func swizzles(kernels []*plan.Kernel) string {
	named := map[string]bool{}
	for _, k := range kernels {
		nameSwizzles(k.Source, named)
	}
	var b strings.Builder
	for n := 2; n <= len(elements); n++ {
		fmt.Fprintf(&b, "#define FOUNDRY_SWIZZLES%d", n)
		for _, name := range slices.Sorted(maps.Keys(named)) {
			if strings.Trim(name, elements[:n]) != "" {
				continue // of a longer vector
			}
			fmt.Fprintf(&b, " foundry_swizzle<vec<T, %d>, T, %d", len(name), n)
			for _, e := range name {
				fmt.Fprintf(&b, ", %d", strings.IndexRune(elements, e))
			}
			fmt.Fprintf(&b, "> %s;", name)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// nameSwizzles adds the words of two to four elements' names.
func nameSwizzles(text string, named map[string]bool) {
	for at := 0; at < len(text); at++ {
		if notInName(rune(text[at])) {
			continue
		}
		begin, other := at, false
		for ; at < len(text) && !notInName(rune(text[at])); at++ {
			other = other || text[at] < 'w' || text[at] > 'z'
		}
		if n := at - begin; !other && n >= 2 && n <= len(elements) {
			named[text[begin:at]] = true
		}
	}
}
