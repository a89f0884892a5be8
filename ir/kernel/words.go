package kernel

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// words are those of all kernels' texts that have no number in them.
var words = []string{
	"rows", "tiles", "attention-rows", AttentionInParts, "attention-tiles", "batched-elements", "batched-columns", "elements",
	"positions", "heads", "row-norm", "argmax-row", "argmax-parts", "argmax-merge",
	"direct", "staged", "chunked", "copied", "narrowed", "expanded", OnePass,
}

// numbered are the others: sizes, and settings with their number.
var numbered = regexp.MustCompile(`^(\d+x\d+(x\d+)?|(per-team|teams|share|simdgroups|vectors|held|segment|stages|ahead|lanes|early|parts|threads)=\d+|simdgroups=\d+x\d+|width=(\d+|own)|loads=(\d+|all))$`)

// Check is an error of a pin with a word that no kernel of any node has.
func (p Pin) Check() error {
	for _, w := range strings.Fields(string(p)) {
		if !slices.Contains(words, w) && !numbered.MatchString(w) {
			return fmt.Errorf("no kernel has the word %q; there are %s, sizes such as 64x64x16, and settings such as stages=2", w, strings.Join(words, ", "))
		}
	}
	return nil
}
