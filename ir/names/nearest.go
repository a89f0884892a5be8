// Package names turns names and numbers into what people read: the name that a
// misspelt one was meant to be, a label without its layer, bytes, times.
//
// Read next: ir, whose parser asks for the nearest name.
package names

import (
	"fmt"

	"github.com/agnivade/levenshtein"
)

// Nearest returns the name of the list that a misspelt one was meant to be, and nothing
// where none is near: a third of its letters may be wrong, one of a short name, and never all.
func Nearest(misspelt string, names []string) string {
	nearest, least := "", min(max(1, len(misspelt)/3)+1, len(misspelt))
	for _, name := range names {
		if d := levenshtein.ComputeDistance(misspelt, name); d < least {
			nearest, least = name, d
		}
	}
	return nearest
}

// DidYouMean returns `; did you mean "NAME"?` for the nearest name of the list, and
// nothing where none is near.
func DidYouMean(misspelt string, names []string) string {
	nearest := Nearest(misspelt, names)
	if nearest == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", nearest)
}
