package msl

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// elements are the names of a vector's elements.
const elements = "xyzw"

// writeSwizzles defines FOUNDRY_SWIZZLES2 to 4, the members of a vector of as many
// elements that read and write some of them, as zx does: those named. All 336 that
// a vector of four can have take a compiler twice as long as the rest of a small kernel
// and of the header.
func writeSwizzles(b *strings.Builder, named map[string]bool) {
	for n := 2; n <= len(elements); n++ {
		fmt.Fprintf(b, "#define FOUNDRY_SWIZZLES%d", n)
		for _, name := range slices.Sorted(maps.Keys(named)) {
			if strings.Trim(name, elements[:n]) != "" {
				continue // of a longer vector
			}
			fmt.Fprintf(b, " foundry_swizzle<vec<T, %d>, T, %d", len(name), n)
			for _, e := range name {
				fmt.Fprintf(b, ", %d", strings.IndexRune(elements, e))
			}
			fmt.Fprintf(b, "> %s;", name)
		}
		b.WriteByte('\n')
	}
}
