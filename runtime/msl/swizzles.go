package msl

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"foundry/lower/plan"
)

// elements are the names of a vector's elements.
const elements = "xyzw"

var swizzle = regexp.MustCompile(`\b[` + elements + `]{2,4}\b`)

// swizzles defines FOUNDRY_SWIZZLES2 to 4, the members of a vector of as many
// elements that read and write some of them, as zx does: those that the kernels'
// texts name. All 336 that a vector of four can have take a compiler twice as long as
// the rest of a small kernel and of the header.
func swizzles(kernels []*plan.Kernel) string {
	named := map[string]bool{}
	for _, k := range kernels {
		for _, name := range swizzle.FindAllString(k.Source, -1) {
			named[name] = true
		}
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
