package kernel

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// vocabulary is what may stand in the text of one main.
type vocabulary struct {
	main     string
	words    []string // words without a number
	settings []string // names before = and a number
	sized    bool     // blocks of a size, such as 64x64x16
}

var vocabularies = []vocabulary{
	{main: "rows", words: []string{"direct", "staged", "chunked"},
		settings: []string{"per-team", "teams", "share", "simdgroups", "vectors", "width", "loads", "held", "segment"}},
	{main: "tiles", words: []string{"copied", "narrowed", "expanded"}, settings: []string{"simdgroups", "stages", "ahead"}, sized: true},
	{main: "matrices", words: []string{"copied", "narrowed", "expanded", "once"}, settings: []string{"simdgroups", "stages", "ahead"}, sized: true},
	{main: "attention-rows", words: []string{OnePass}, settings: []string{"width", "lanes", "simdgroups", "ahead", "early"}},
	{main: AttentionInParts, settings: []string{"parts", "width", "lanes", "simdgroups", "ahead", "early"}},
	{main: "attention-tiles", words: []string{OnePass}, sized: true},
	{main: "attention-matrices", words: []string{OnePass}, settings: []string{"simdgroups"}, sized: true},
	{main: "batched-elements", settings: []string{"width"}},
	{main: "batched-columns"},
	{main: "elements", settings: []string{"width"}},
	{main: "positions", settings: []string{"width"}},
	{main: "heads", settings: []string{"simdgroups"}},
	{main: "row-norm", settings: []string{"width"}},
	{main: "softmax-row", settings: []string{"simdgroups"}},
	{main: "softmax-segments", settings: []string{"segment", "simdgroups"}},
	{main: "argmax-row", settings: []string{"threads"}},
	{main: "argmax-parts", settings: []string{"parts"}},
	{main: "argmax-merge", settings: []string{"parts"}},
	{main: "expansion", settings: []string{"width"}},
}

var (
	size  = regexp.MustCompile(`^\d+x\d+(x\d+)?$`)
	value = regexp.MustCompile(`^(\d+(x\d+)?|own|all)$`)
)

// has reports whether a kernel of the main may have the word w.
func (v vocabulary) has(w string) bool {
	if name, number, ok := strings.Cut(w, "="); ok {
		return slices.Contains(v.settings, name) && value.MatchString(number)
	}
	return w == v.main || slices.Contains(v.words, w) || v.sized && size.MatchString(w)
}

// Check is an error of a pin with words that no kernel of any node has, or that none of
// the named mains has together; nil mains are all of them.
func (p Pin) Check(mains []string) error {
	words := strings.Fields(string(p))
	for _, w := range words {
		if !slices.ContainsFunc(vocabularies, func(v vocabulary) bool { return v.has(w) }) {
			return fmt.Errorf("no kernel has the word %q; there are %s, sizes such as 64x64x16, and settings such as stages=2", w, strings.Join(allWords(), ", "))
		}
	}
	takes := func(v vocabulary) bool {
		return (mains == nil || slices.Contains(mains, v.main)) && !slices.ContainsFunc(words, func(w string) bool { return !v.has(w) })
	}
	switch {
	case len(words) == 0 || slices.ContainsFunc(vocabularies, takes):
		return nil
	case mains == nil:
		return fmt.Errorf("no kernel has these words together")
	case len(mains) == 0:
		return fmt.Errorf("there is one kernel for it, and nothing to choose")
	}
	return fmt.Errorf("none of its kernels has these words; they are %s", strings.Join(mains, ", "))
}

// allWords lists the words without a number, mains first.
func allWords() (out []string) {
	for _, v := range vocabularies {
		out = append(out, v.main)
	}
	for _, v := range vocabularies {
		for _, w := range v.words {
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out
}
