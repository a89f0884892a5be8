package jinja

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// Pieces are what was added, in order, whatever lengths meet; long text is not copied before
// the end.
func TestPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	long := strings.Repeat("long ", pieceBytes)
	var p pieces
	var want strings.Builder
	require.Empty(t, p.String())
	for range 500 {
		switch r.IntN(4) {
		case 0:
			s := long[:r.IntN(3*pieceBytes)]
			p.add(s)
			want.WriteString(s)
		case 1:
			s := long[:r.IntN(20)]
			p.add(s)
			want.WriteString(s)
		case 2:
			p.addByte('b')
			want.WriteByte('b')
		case 3:
			p.addRune('ü')
			want.WriteRune('ü')
		}
		require.Equal(t, want.Len(), p.Len())
	}
	require.True(t, want.String() == p.String())
	p.add("more")
	require.True(t, want.String()+"more" == p.String(), "String leaves what there is")
	for range 10 * pieceBytes {
		p.addByte('c')
	}
	for _, s := range p.whole {
		require.NotEmpty(t, s)
	}
	require.Less(t, p.last.Len(), pieceBytes+1, "what grows is short")
	var short pieces
	for range 10 {
		short.add("a few bytes")
	}
	require.Empty(t, short.whole, "what is short is put together at once")
	for name, grow := range map[string]func(p *pieces){
		"add": func(p *pieces) { p.add("b") }, "byte": func(p *pieces) { p.addByte('b') }, "rune": func(p *pieces) { p.addRune('b') },
	} {
		for first, whole := range map[int]int{pieceBytes - 1: 0, pieceBytes: 1} {
			var p pieces
			p.add(long[:first])
			grow(&p)
			require.Len(t, p.whole, whole, "%s: a piece by itself from %d bytes on", name, first)
			grow(&p)
			require.Len(t, p.whole, 1, "%s: and what grew to that length", name)
		}
	}
	var kept pieces
	kept.add(long)
	require.Same(t, unsafe.StringData(long), unsafe.StringData(kept.whole[0]), "long text is kept, not copied")
}
