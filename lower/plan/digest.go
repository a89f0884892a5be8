package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest returns what the entries have in common that run the same, of one plan or
// of several: the same kernel texts over the same grids on the same ranges, with
// barriers in the same places. What only tells people something, such as labels
// and names, does not count, nor does the split into command buffers.
func (p *Plan) Digest(e *Entry) string { return p.digest(e, map[int][32]byte{}) }

// Digests returns the digest of each entry.
func (p *Plan) Digests() []string {
	out, texts := make([]string, len(p.Entries)), map[int][32]byte{}
	for i := range p.Entries {
		out[i] = p.digest(&p.Entries[i], texts)
	}
	return out
}

// digest remembers in texts what it made of kernels.
func (p *Plan) digest(e *Entry, texts map[int][32]byte) string {
	h := sha256.New()
	for i := range e.Steps {
		d := e.Steps[i].Dispatch
		if d == nil {
			fmt.Fprintln(h, "barrier")
			continue
		}
		text, ok := texts[d.Kernel]
		if !ok {
			k := &p.Kernels[d.Kernel]
			text = sha256.Sum256([]byte(strings.ReplaceAll(k.Source, k.Name, "kernel")))
			texts[d.Kernel] = text
		}
		fmt.Fprintf(h, "%x %v", text, d.Grid)
		for _, b := range d.Bind {
			buffer := &p.Buffers[b.Buffer]
			if buffer.Class == Transient {
				fmt.Fprintf(h, " arena %d %d", buffer.Offset+b.Offset, b.Bytes)
				continue
			}
			if buffer.Class == Prepared { // the places of ranges tell nothing
				fmt.Fprintf(h, " %s %d", buffer.Name, b.Bytes)
				continue
			}
			fmt.Fprintf(h, " %s %d %d", buffer.Name, b.Offset, b.Bytes)
		}
		fmt.Fprintln(h)
	}
	return hex.EncodeToString(h.Sum(nil))
}
