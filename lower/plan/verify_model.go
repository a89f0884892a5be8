package plan

import "fmt"

// verifyModel checks that what drivers act upon without looking at a dispatch, the
// sizes of the model and the ways to run it, is what the entries and buffers have.
func (p *Plan) verifyModel() error {
	for _, e := range p.Runs() {
		if e.Chain < 0 || e.Chain > maxChain || e.Chain != 0 && e.Role != Decode {
			return fmt.Errorf("entry %s: chains of %d runs, want 0 to %d of decode and none of others", e.Name, e.Chain, maxChain)
		}
		// What is left of a prompt behind whole chunks may be one token.
		if (e.Role == Prefill || e.Role == Decode) && e.TMin != 1 || e.Role == Decode && e.TMax != 1 {
			return fmt.Errorf("entry %s: T from %d to %d, want 1 to the chunk of prefill and 1 of decode", e.Name, e.TMin, e.TMax)
		}
		if e.Role == Prefill && e.TMax != int64(p.Model.Chunk) {
			return fmt.Errorf("entry %s: T up to %d, the chunk is %d", e.Name, e.TMax, p.Model.Chunk)
		}
	}
	if l := p.BufferFor(LogitsBuffer); l >= 0 && p.Model.Vocab > 0 { // a graph has logits, too, and no vocabulary
		b := &p.Buffers[l]
		if n, fixed := rowOf(b); !fixed || n != int64(p.Model.Vocab) {
			return fmt.Errorf("buffer %s of shape %v, the vocabulary has %d tokens", b.Name, b.Shape, p.Model.Vocab)
		}
	}
	return nil
}
