// Package names turns names and numbers into what people read: the name that a
// misspelt one was meant to be, a label without its layer.
//
// Read next: ir, whose parser asks for the nearest name.
package names

import (
	"fmt"

	"github.com/agnivade/levenshtein"
)

// Nearest returns `; did you mean "NAME"?` for the name of the list that lies
// nearest to a misspelt one, and nothing where none is near.
func Nearest(misspelt string, names []string) string {
	nearest, best := "", max(2, len(misspelt)/2)+1
	for _, name := range names {
		if d := levenshtein.ComputeDistance(misspelt, name); d < best {
			nearest, best = name, d
		}
	}
	if nearest == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", nearest)
}
