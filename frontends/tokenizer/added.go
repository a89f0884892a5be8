package tokenizer

import (
	"cmp"
	"slices"
	"strings"
)

// matcher finds added tokens in text: the leftmost, and of several at one place
// the longest.
type matcher struct {
	byByte [256][]Added
}

func (m *matcher) add(a Added) {
	b := a.Content[0]
	m.byByte[b] = append(m.byByte[b], a)
	slices.SortStableFunc(m.byByte[b], func(a, b Added) int { return cmp.Compare(len(b.Content), len(a.Content)) })
}

// find returns where the first added token lies in text, and its id; begin and
// end are len(text) where there is none.
func (m *matcher) find(text string) (begin, end int, id int32) {
	for i := 0; i < len(text); i++ {
		for _, a := range m.byByte[text[i]] {
			if strings.HasPrefix(text[i:], a.Content) {
				return i, i + len(a.Content), a.ID
			}
		}
	}
	return len(text), len(text), 0
}
