package jinja

import "strings"

// pieceBytes is the length from which text is a piece by itself.
const pieceBytes = 32 << 10

// pieces is text that grows. Long parts stay as they are and are put together once, at the
// end, so that of a text which is stopped on its way nothing long was copied.
type pieces struct {
	whole []string
	bytes int // bytes of whole
	last  strings.Builder
}

func (p *pieces) add(s string) {
	if len(s) >= pieceBytes {
		p.cut()
		p.whole, p.bytes = append(p.whole, s), p.bytes+len(s)
		return
	}
	p.room()
	p.last.WriteString(s)
}

func (p *pieces) addByte(c byte) {
	p.room()
	p.last.WriteByte(c)
}

func (p *pieces) addRune(r rune) {
	p.room()
	p.last.WriteRune(r)
}

// room begins another piece where the last one is long.
func (p *pieces) room() {
	if p.last.Len() >= pieceBytes {
		p.cut()
	}
}

func (p *pieces) cut() {
	if n := p.last.Len(); n > 0 {
		p.whole, p.bytes = append(p.whole, p.last.String()), p.bytes+n
		p.last.Reset()
	}
}

// Len is in bytes.
func (p *pieces) Len() int { return p.bytes + p.last.Len() }

func (p *pieces) String() string {
	if len(p.whole) == 0 {
		return p.last.String()
	}
	p.cut()
	return strings.Join(p.whole, "")
}
