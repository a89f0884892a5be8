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

// vocabularies returns what may stand in the texts of the mains of some kernels: the words
// that theirs have.
func vocabularies(of []Kernel) (out []vocabulary) {
	for _, k := range of {
		words := strings.Fields(k.String())
		i := slices.IndexFunc(out, func(v vocabulary) bool { return v.main == words[0] })
		if i < 0 {
			i, out = len(out), append(out, vocabulary{main: words[0]})
		}
		for _, w := range words[1:] {
			out[i].add(w)
		}
	}
	return out
}

func (v *vocabulary) add(w string) {
	to := &v.words
	if name, _, ok := strings.Cut(w, "="); ok {
		to, w = &v.settings, name
	} else if size.MatchString(w) {
		v.sized = true
		return
	}
	if !slices.Contains(*to, w) {
		*to = append(*to, w)
	}
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

// Check is an error of a pin with words that none of all kernels' mains has, or that none of
// those of its own has together.
func (p Pin) Check(all, own []Kernel) error {
	words := strings.Fields(string(p))
	known := vocabularies(all)
	for _, w := range words {
		if !slices.ContainsFunc(known, func(v vocabulary) bool { return v.has(w) }) {
			return fmt.Errorf("no kernel has the word %q; there are %s, sizes such as 64x64x16, and settings such as stages=2", w, strings.Join(allWords(known), ", "))
		}
	}
	takes := func(v vocabulary) bool { return !slices.ContainsFunc(words, func(w string) bool { return !v.has(w) }) }
	mine := vocabularies(own)
	switch {
	case len(words) == 0 || slices.ContainsFunc(mine, takes):
		return nil
	case len(mine) == 0:
		return fmt.Errorf("there is one kernel for it, and nothing to choose")
	case len(mine) == len(known):
		return fmt.Errorf("no kernel has these words together")
	}
	var mains []string
	for _, v := range mine {
		mains = append(mains, v.main)
	}
	return fmt.Errorf("none of its kernels has these words; they are %s", strings.Join(mains, ", "))
}

// allWords lists the words without a number, mains first.
func allWords(of []vocabulary) (out []string) {
	for _, v := range of {
		out = append(out, v.main)
	}
	for _, v := range of {
		for _, w := range v.words {
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out
}
