package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"foundry/ir/dtype"
	"foundry/ir/sampling"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// Model is one context of a language model: caches that hold keys and values by
// position. Session runs on it; an Instance is one, and whatever else can prefill
// and decode may be. It is used by one goroutine at a time.
type Model interface {
	Limits() Limits
	// Prefill runs ids as the tokens at positions p, p+1, ..., of which there are 1
	// to Chunk; the caches hold what comes before p, or it is an error. It returns the token with the
	// largest logit behind the last one, the lowest id of equals.
	Prefill(ctx context.Context, p int, ids []int32) (int32, error)
	// Decode is Prefill of the one token id. With the id that the last run
	// returned, at the position behind it, nothing need travel to the device.
	Decode(ctx context.Context, p int, id int32) (int32, error)
	// Logits copies those of the last run, f32 [rows, Vocab] row-major: one row a
	// token with AllLogits, else one, the last token's.
	Logits() ([]float32, error)
	Close() error
}

// Batcher is implemented by models that decode several tokens without the host in
// between. Limits say whether this one can.
type Batcher interface {
	// DecodeN is n times Decode: of id at position p, then of the token that each
	// run chose. It returns the n tokens chosen, the last of which has not run. With
	// more, another n are wanted behind it: where n is the Chain of the Limits, the
	// model is at them when it returns, and has no Logits; else these are the last run's.
	DecodeN(ctx context.Context, p int, id int32, n int, more bool) ([]int32, error)
}

// Drawer is implemented by models that choose tokens by Sampling where they run.
// Limits say whether this one can. Random numbers are those of the seed and of the
// token's position.
type Drawer interface {
	// Choose chooses the token behind the last run anew.
	Choose(ctx context.Context, how Sampling) (int32, error)
	// DrawN is DecodeN with every token chosen by how.
	DrawN(ctx context.Context, p int, id int32, n int, more bool, how Sampling) ([]int32, error)
}

// Limits are the sizes that bound what a Model takes.
type Limits struct {
	Vocab     int  // the number of token ids, 0 to Vocab-1
	Context   int  // tokens that the caches hold
	Chunk     int  // most tokens of one Prefill
	Batch     int  // most tokens of one DecodeN of a Batcher or DrawN of a Drawer; 0: it cannot
	Chain     int  // tokens of a DecodeN or DrawN that go to the device as one command buffer; 0: it is at none ahead
	Draws     bool // a Drawer that can draw
	AllLogits bool // a row of Logits a token
}

// CheckRoom is an error where a sequence of have tokens cannot go on with ids and then
// be continued by more: an id that the vocabulary lacks, or too many tokens for the
// context. Of those that more asks for the last need not run.
func (l Limits) CheckRoom(have int, ids []int32, more int) error {
	for i, id := range ids {
		if id < 0 || int(id) >= l.Vocab {
			return fmt.Errorf("token id %d at position %d is outside the vocabulary: want 0 to %d", id, i, l.Vocab-1)
		}
	}
	n := have + len(ids)
	switch most := l.Context - n + 1; {
	case n > l.Context:
		return fmt.Errorf("prompt longer than the context: %d tokens, context %d; compile with a larger --context", n, l.Context)
	case more > most:
		return fmt.Errorf("%d tokens behind a prompt of %d do not fit the context of %d: ask for at most %d, or compile with a larger --context", more, n, l.Context, most)
	}
	return nil
}

// specials are the buffers that a language model's plan shares with the host.
type specials struct {
	step, ids, logits int
	history           int // the buffer of ids; -1 for none
	prefill, decode   int // entries
	sample            int // the entry that chooses behind a run, -1 for none
}

// findSpecials returns nil when p, which is checked, is no language model's.
func findSpecials(p *plan.Plan) *specials {
	s := &specials{
		p.BufferFor(plan.StepBuffer), p.BufferFor(plan.IDsBuffer), p.BufferFor(plan.LogitsBuffer), p.BufferFor(plan.HistoryBuffer),
		p.EntryFor(plan.Prefill), p.EntryFor(plan.Decode), p.EntryFor(plan.Sample),
	}
	if s.decode < 0 {
		return nil
	}
	return s
}

// content is what the last run left in the step buffer, ids and logits.
type content struct {
	valid bool
	rows  int   // rows of logits
	p     int   // position of the token that the device would decode next
	token int32 // the token at p
}

// Limits of the plan.
func (in *Instance) Limits() Limits {
	m := in.exec.Plan.Model
	l := Limits{Vocab: m.Vocab, Context: m.Context, Chunk: m.Chunk, AllLogits: in.exec.Plan.Options.AllLogits}
	if in.model != nil && in.model.history >= 0 {
		l.Batch, l.Chain = m.Context, in.chainSteps()
		l.Draws = in.model.sample >= 0
	}
	return l
}

// Prefill implements Model.
func (in *Instance) Prefill(ctx context.Context, p int, ids []int32) (int32, error) {
	if in.model == nil {
		return 0, errNoModel
	}
	return in.runTokens(ctx, in.model.prefill, p, ids)
}

// Decode implements Model.
func (in *Instance) Decode(ctx context.Context, p int, id int32) (int32, error) {
	if in.model == nil {
		return 0, errNoModel
	}
	return in.runTokens(ctx, in.decodeUpTo(p), p, []int32{id})
}

// decodeUpTo is the entry for decode steps of which the last runs at position p.
func (in *Instance) decodeUpTo(p int) int { return in.exec.Plan.EntryAt(plan.Decode, int64(p)) }

var errNoModel = errors.New("the plan is not a language model's: it has no entries of role prefill and decode")

func (in *Instance) runTokens(ctx context.Context, entry, p int, ids []int32) (int32, error) {
	return in.runSteps(ctx, entry, p, ids, 1, false)
}

// runSteps runs ids at p, and then n-1 times more the one token that the run
// before chose: the largest logit's or, with draw, the entry sample's. It returns
// the token that the last run chose.
func (in *Instance) runSteps(ctx context.Context, entry, p int, ids []int32, n int, draw bool) (int32, error) {
	if err := in.idle(); err != nil {
		return 0, err
	}
	e := &in.exec.Plan.Entries[entry]
	t := len(ids)
	if int64(t) < e.TMin || int64(t) > e.TMax || p < 0 || p > in.exec.Plan.Model.Context-t-(n-1) {
		return 0, fmt.Errorf("entry %s: %d tokens at position %d, want %d to %d within a context of %d",
			e.Name, t+n-1, p, e.TMin, e.TMax, in.exec.Plan.Model.Context)
	}
	if err := in.begin(in.walks[entry], p); err != nil {
		return 0, err
	}
	before := in.content
	in.content = content{} // until the run is known to be good
	if !(before.valid && t == 1 && before.p == p && before.token == ids[0]) {
		if err := in.writeStep(p, ids); err != nil {
			return 0, err
		}
	}
	walks := []*walk{in.walks[entry]}
	if draw {
		walks = append(walks, in.walks[in.model.sample])
	}
	if err := runRepeatedly(ctx, walks, sym.Env{T: int64(t), P: int64(p)}, n); err != nil {
		return 0, err
	}
	last := p + t + n - 1
	token, err := in.readStep(last)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", e.Name, err)
	}
	in.wrote(walks[0], last)
	in.content = content{valid: true, rows: 1, p: last, token: token}
	if in.exec.Plan.Options.AllLogits {
		in.content.rows = t
	}
	return token, nil
}

// writeStep tells the device what to run.
func (in *Instance) writeStep(p int, ids []int32) error {
	t := len(ids)
	head := words(uint32(t), uint32(p), uint32(p+t), uint32(ids[0]), plan.ErrNone, 0)
	if err := in.writeAt(in.model.step, 0, head); err != nil {
		return err
	}
	b := make([]byte, 0, 4*t)
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return in.writeAt(in.model.ids, 0, b)
}

// readStep returns the token that the run chose, and checks that the run went
// well and that its last kernel advanced the step to position p.
func (in *Instance) readStep(p int) (int32, error) {
	var b [4 * (plan.StepErrorArg + 1)]byte
	if err := in.readAt(in.model.step, 0, b[:]); err != nil {
		return 0, err
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	vocab := in.exec.Plan.Model.Vocab
	if err := refusal(word(plan.StepError), word(plan.StepErrorArg), fmt.Sprintf("vocabulary of %d", vocab)); err != nil {
		return 0, in.tell(err)
	}
	if t, at, s := word(plan.StepT), word(plan.StepP), word(plan.StepS); t != 1 || at != uint32(p) || s != uint32(p)+1 {
		return 0, fmt.Errorf("the run left T=%d P=%d S=%d in the step buffer, want 1, %d, %d", t, at, s, p, p+1)
	}
	token := int32(word(plan.StepToken))
	if token < 0 || int(token) >= vocab {
		return 0, fmt.Errorf("the run chose token %d of a vocabulary of %d", token, vocab)
	}
	return token, nil
}

// errCache stands for the error of in.tell, which says which cache it is.
var errCache = errors.New("a value is beyond what an f16 cache holds")

// tell names the cache that could not hold a value, where err is about one.
func (in *Instance) tell(err error) error {
	if err != errCache {
		return err
	}
	for i := range in.exec.Plan.Buffers {
		b := &in.exec.Plan.Buffers[i]
		if b.Class != plan.State || b.DType != dtype.F16 {
			continue
		}
		content := make([]byte, b.Bytes)
		if err := in.readAt(i, 0, content); err != nil {
			return err
		}
		for at := 0; at+1 < len(content); at += 2 {
			if binary.LittleEndian.Uint16(content[at:])&0x7fff == 0x7c00 {
				return fmt.Errorf("%s: %w, 65504 at most: compile with --cache f32", b.Name, err)
			}
		}
	}
	return fmt.Errorf("%w, 65504 at most: compile with --cache f32", err)
}

// refusal is what a kernel reported in the step's words error and error_argument.
func refusal(code, argument uint32, table string) error {
	switch code {
	case plan.ErrNone:
		return nil
	case plan.ErrToken:
		return fmt.Errorf("token id %d is outside the %s", int32(argument), table)
	case plan.ErrCache:
		return errCache
	case plan.ErrLogits:
		return sampling.ErrNotFinite
	}
	return fmt.Errorf("a kernel reported error %d about %d", code, argument)
}

// resetStep writes the settings that mean greedy choice.
func (in *Instance) resetStep() error {
	var step [plan.StepCounter]uint32
	step[plan.StepTopP] = math.Float32bits(1)
	step[plan.StepRepetition] = math.Float32bits(1)
	return in.writeAt(in.model.step, 0, words(step[:]...))
}

// Logits implements Model.
func (in *Instance) Logits() ([]float32, error) {
	if in.closed {
		return nil, errClosed
	}
	if !in.content.valid {
		return nil, errors.New("no logits: nothing has run")
	}
	b := make([]byte, 4*in.content.rows*in.exec.Plan.Model.Vocab)
	if err := in.readAt(in.model.logits, 0, b); err != nil {
		return nil, err
	}
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out, nil
}

func words(v ...uint32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, w := range v {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}
