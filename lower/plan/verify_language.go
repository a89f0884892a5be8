package plan

import (
	"fmt"
	"slices"

	"foundry/ir/sym"
)

// verifyLanguage holds what a plan says of its language model to its buffers: a driver
// allocates, loops, stops and displays by these numbers and words, and nothing else
// would contradict them. Plans of other graphs have no entry of these roles.
func (p *Plan) verifyLanguage() error {
	if p.EntryFor(Prefill) < 0 && p.EntryFor(Decode) < 0 {
		return nil
	}
	for _, e := range p.Entries {
		if e.Role == "" {
			return fmt.Errorf("entry %s: no role, in a plan of a language model", e.Name)
		}
	}
	for _, r := range []EntryRole{Prefill, Decode} {
		if p.EntryFor(r) < 0 {
			return fmt.Errorf("no entry of role %s, in a plan of a language model", r)
		}
	}
	if i := p.EntryFor(Sample); i >= 0 && p.Entries[i].TMax != 1 {
		e := &p.Entries[i]
		return fmt.Errorf("entry %s: T from %d to %d, want 1: it draws one token", e.Name, e.TMin, e.TMax)
	}
	for _, r := range []BufferRole{StepBuffer, IDsBuffer, LogitsBuffer, TokenBuffer} {
		if p.BufferFor(r) < 0 {
			return fmt.Errorf("no buffer of role %s, in a plan of a language model", r)
		}
	}
	m := p.Model
	if m.Vocab == 0 || m.Context == 0 || m.Chunk == 0 {
		return fmt.Errorf("a language model with a vocabulary of %d tokens, a context of %d and a chunk of %d", m.Vocab, m.Context, m.Chunk)
	}
	table := []sym.Dim{sym.Const(int64(m.Vocab)), sym.Const(int64(m.Hidden))}
	matrix := func(b Buffer) bool { return b.Class == Weight && len(b.Shape) == len(table) }
	if slices.ContainsFunc(p.Buffers, matrix) && !slices.ContainsFunc(p.Buffers, func(b Buffer) bool { return matrix(b) && slices.Equal(b.Shape, table) }) {
		return fmt.Errorf("no weight of shape %v, which the table of %d tokens of width %d has", table, m.Vocab, m.Hidden)
	}
	cache := slices.IndexFunc(p.Buffers, func(b Buffer) bool { return b.Cache })
	for _, b := range p.Buffers {
		if cache >= 0 && b.Class == State && b.Role == NoRole && !b.Cache {
			return fmt.Errorf("buffer %s: a state without a role and no cache, as %s is", b.Name, p.Buffers[cache].Name)
		}
	}
	for _, e := range p.Entries {
		layers := 0
		for _, s := range e.Steps {
			if s.Dispatch != nil {
				layers = max(layers, s.Dispatch.Layer+1)
			}
		}
		if (e.Role == Prefill || e.Role == Decode) && layers != m.Layers {
			return fmt.Errorf("entry %s: the model has %d layers, the last dispatch of a layer is of layer %d", e.Name, m.Layers, layers-1)
		}
	}
	logits := &p.Buffers[p.BufferFor(LogitsBuffer)]
	rows, want := int64(1), int64(1)
	for _, d := range logits.Shape[:max(0, len(logits.Shape)-1)] {
		rows *= d.Eval(sym.Env{T: int64(m.Chunk)})
	}
	if p.Options.AllLogits {
		want = int64(m.Chunk)
	}
	if rows != want {
		return fmt.Errorf("buffer %s of shape %v has %d rows of a chunk's logits, want %d", logits.Name, logits.Shape, rows, want)
	}
	return p.verifyVocabulary()
}

// verifyVocabulary checks what is said of the tokens of a language model's vocabulary.
func (p *Plan) verifyVocabulary() error {
	t := p.Tokens
	if t == nil { // lowered without a checkpoint
		return nil
	}
	texts := map[string]bool{}
	for _, s := range t.Special {
		if s.Text == "" || texts[s.Text] {
			return fmt.Errorf("the special token %d has the text %q, which is empty or another's", s.ID, s.Text)
		}
		if int(s.ID) >= p.Model.Vocab {
			return fmt.Errorf("the special token %q has the id %d of a vocabulary of %d", s.Text, s.ID, p.Model.Vocab)
		}
		texts[s.Text] = true
	}
	for i, id := range t.Ends { // which may be tokens like any other
		if int(id) >= p.Model.Vocab || slices.Contains(t.Ends[:i], id) {
			return fmt.Errorf("the end token %d stands twice or is beyond a vocabulary of %d", id, p.Model.Vocab)
		}
	}
	return nil
}

// verifyWeights refuses two weights with the same bytes: one of them names a tensor that
// is not its own.
func (p *Plan) verifyWeights() error {
	type content struct {
		recipe WeightRecipe
		dtype  string
	}
	seen := map[content]string{}
	for _, b := range p.Buffers {
		if b.Weight == nil {
			continue
		}
		c := content{*b.Weight, b.DType.String()}
		if other, ok := seen[c]; ok {
			return fmt.Errorf("buffer %s: tensor %q as %s, as buffer %s has", b.Name, c.recipe.Tensor, c.dtype, other)
		}
		seen[c] = b.Name
	}
	return nil
}

// verifyRanges checks that a dispatch which touches what is kept in a range binds that
// range, and that bindings of ranges are whole ones behind the first.
func (p *Plan) verifyRanges(d *Dispatch) error {
	ranges := func(b Binding) bool { return p.Buffers[b.Buffer].Role == RangesBuffer }
	for i, b := range d.Bind {
		buf := &p.Buffers[b.Buffer]
		slot := p.Kernels[d.Kernel].Slots[i].Name
		if ranges(b) && (b.Offset%RangeBytes != 0 || b.Bytes%RangeBytes != 0) {
			return fmt.Errorf("slot %s: %d bytes at %d of %s, want whole ranges of %d", slot, b.Bytes, b.Offset, buf.Name, RangeBytes)
		}
		if buf.Range == 0 {
			continue
		}
		if !slices.ContainsFunc(d.Bind, func(r Binding) bool {
			return ranges(r) && r.Offset <= buf.Range && buf.Range+RangeBytes <= r.Offset+r.Bytes
		}) {
			return fmt.Errorf("slot %s: buffer %s is kept in the range at %d, which the dispatch does not bind", slot, buf.Name, buf.Range)
		}
	}
	return nil
}
