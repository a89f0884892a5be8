package runtime

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"foundry/ir/sampling"
)

// Session is a sequence of token ids on a Model: it knows which of them the
// caches hold, cuts long prompts into chunks, and chooses the next token. One
// goroutine uses it at a time.
type Session struct {
	model  Model
	limits Limits
	tokens []int32
	cached int // tokens[:cached] are in the caches; the others wait for the next run
	// ahead is what the model chose behind tokens[:cached], token after token: all
	// but the last have run too, and are in the caches. It is empty when the model's
	// last run is not known to have been of this sequence.
	ahead []int32
	// by is how the model chooses: greedily, unless it is a Drawer.
	by    Sampling
	batch int  // tokens that the next run of several is asked for
	flown bool // the model is at tokens behind those ahead
}

// NewSession starts an empty sequence on m, which it owns from now on.
func NewSession(m Model) *Session { return &Session{model: m, limits: m.Limits()} }

// Close closes the model.
func (s *Session) Close() error { return s.model.Close() }

// Tokens returns the sequence: prompts and what was generated. It is only read.
func (s *Session) Tokens() []int32 { return s.tokens }

// Limits returns the model's.
func (s *Session) Limits() Limits { return s.limits }

// Prefill appends ids to the sequence and runs them. Ids that the vocabulary
// lacks and a sequence longer than the context are errors before anything runs.
func (s *Session) Prefill(ctx context.Context, ids []int32) error {
	return s.prefill(ctx, ids, nil)
}

// PrefillEach is Prefill for a model with AllLogits: it calls visit with the
// position and the logits [Vocab] of every token that runs, in order.
func (s *Session) PrefillEach(ctx context.Context, ids []int32, visit func(p int, logits []float32) error) error {
	if !s.limits.AllLogits {
		return errors.New("the plan keeps the logits of the last token only; compile with the logits of all")
	}
	return s.prefill(ctx, ids, visit)
}

func (s *Session) prefill(ctx context.Context, ids []int32, visit func(int, []float32) error) error {
	if len(ids) == 0 {
		return errors.New("the prompt is empty: no token to run")
	}
	kept := len(s.tokens)
	if err := s.limits.CheckRoom(kept, ids, 0); err != nil {
		return err
	}
	s.tokens = append(s.tokens, ids...)
	if err := s.catchUp(ctx, visit); err != nil {
		s.truncate(max(kept, s.cached)) // what did run stays
		return err
	}
	return nil
}

// catchUp runs the tokens that the caches do not hold yet, in chunks.
func (s *Session) catchUp(ctx context.Context, visit func(int, []float32) error) error {
	if visit == nil {
		s.take()
	}
	for s.cached < len(s.tokens) {
		chunk := s.tokens[s.cached:min(len(s.tokens), s.cached+s.limits.Chunk)]
		s.ahead, s.flown = nil, false
		var next int32
		var err error
		if len(chunk) == 1 {
			next, err = s.model.Decode(ctx, s.cached, chunk[0])
		} else {
			next, err = s.model.Prefill(ctx, s.cached, chunk)
		}
		if err != nil {
			return err
		}
		first := s.cached
		s.cached += len(chunk)
		if s.cached == len(s.tokens) && !s.by.Greedy() {
			if next, err = s.model.(Drawer).Choose(ctx, s.by); err != nil {
				s.forget()
				return err
			}
		}
		s.ahead = []int32{next}
		if visit == nil {
			continue
		}
		logits, err := s.model.Logits()
		if err != nil {
			return err
		}
		for i := range chunk {
			row := logits[i*s.limits.Vocab : (i+1)*s.limits.Vocab]
			if err := sampling.Finite(row); err != nil {
				return fmt.Errorf("position %d: %w", first+i, err)
			}
			if err := visit(first+i, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// Rewind forgets all but the first n tokens. Generate from there runs the last
// kept token again, unless that was the last to run.
func (s *Session) Rewind(n int) error {
	if n < 0 || n > len(s.tokens) {
		return fmt.Errorf("cannot rewind to %d tokens: the sequence has %d", n, len(s.tokens))
	}
	s.truncate(n)
	return nil
}

// truncate keeps n tokens, and leaves at least one of them to run unless it is
// known what the model chose behind them: else there would be no next token.
func (s *Session) truncate(n int) {
	s.tokens = s.tokens[:n]
	if s.cached >= n && !(s.cached == n && len(s.ahead) > 0) {
		s.cached, s.ahead = max(n-1, 0), nil
	}
}

// Generate yields n tokens chosen by how, each appended to the sequence; at an
// error it yields that and ends. Breaking off is fine at any point: the last
// token yielded runs with whatever comes next. Random numbers are drawn by seed
// and position, so the same sequence and seed give the same tokens however they
// are asked for. A Batcher runs several tokens ahead of the consumer; a Drawer
// chooses them where it runs.
func (s *Session) Generate(ctx context.Context, n int, how Sampling) iter.Seq2[int32, error] {
	return s.generate(ctx, n, how, true)
}

func (s *Session) generate(ctx context.Context, n int, how Sampling, runAhead bool) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		if err := how.Validate(); err != nil {
			yield(0, err)
			return
		}
		by, onHost := how, false
		if how.Greedy() {
			by = Sampling{}
		} else if _, ok := s.model.(Drawer); !ok || !s.limits.Draws {
			by, onHost = Sampling{}, true
		}
		if err := s.chooseBy(ctx, by); err != nil {
			yield(0, err)
			return
		}
		s.batch = 1
		for ; n > 0; n-- {
			wanted := 1
			if runAhead && !onHost {
				wanted = n
			}
			id, err := s.step(ctx, wanted)
			if err == nil && onHost {
				id, err = s.drawOnHost(how)
			}
			if err == nil {
				s.tokens = append(s.tokens, id)
			}
			if !yield(id, err) || err != nil {
				return
			}
		}
	}
}

// chooseBy makes what the model chose behind the sequence, and will choose, by's.
func (s *Session) chooseBy(ctx context.Context, by Sampling) error {
	if s.by == by {
		return nil
	}
	s.by = by
	s.take()
	switch {
	case len(s.ahead) == 0 || s.cached < len(s.tokens):
	case len(s.ahead) == 1 && !by.Greedy():
		next, err := s.model.(Drawer).Choose(ctx, by)
		if err == nil {
			s.ahead[0] = next
			return nil
		}
		s.forget()
		return err
	default:
		s.forget()
	}
	return nil
}

// forget leaves the last cached token to be run again.
func (s *Session) forget() { s.cached, s.ahead = max(s.cached-1, 0), nil }

// drawOnHost chooses from the logits of the last run.
func (s *Session) drawOnHost(how Sampling) (int32, error) {
	logits, err := s.Logits()
	if err != nil {
		return 0, err
	}
	return how.Choose(logits, s.tokens, sampling.Uniform(how.Seed, uint32(len(s.tokens))))
}

// step brings the caches up to date and returns the token that the model chose. It
// may run further, towards wanted tokens, for the steps to come.
func (s *Session) step(ctx context.Context, wanted int) (int32, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(s.tokens) == 0 {
		return 0, errors.New("nothing to continue: prefill a prompt first")
	}
	if len(s.tokens) > s.limits.Context {
		return 0, fmt.Errorf("the context is full: %d tokens; compile with a larger --context", s.limits.Context)
	}
	if err := s.runAhead(ctx, wanted); err != nil {
		return 0, err
	}
	if err := s.catchUp(ctx, nil); err != nil {
		return 0, err
	}
	return s.ahead[0], nil
}

// take counts the tokens that the model ran ahead, and that became the
// sequence's, as cached.
func (s *Session) take() {
	for len(s.ahead) > 1 && s.cached < len(s.tokens) && s.tokens[s.cached] == s.ahead[0] {
		s.ahead = s.ahead[1:]
		s.cached++
	}
}

// Where the model takes chains, a run is one: what it takes, and how long it holds back
// its tokens, was weighed when the plan was made. Elsewhere a batch grows while it takes less than batchTime, so that a consumer who shows
// tokens as they come sees them flow, and a slow model runs none in vain.
const (
	batchTime = 20 * time.Millisecond
	maxBatch  = 32
)

// runAhead runs the last token and some of those that the model chooses behind
// it, without a round trip in between, where the model can do so. Of the wanted
// tokens the last need not run.
func (s *Session) runAhead(ctx context.Context, wanted int) error {
	s.take()
	n := min(s.batch, wanted, s.limits.Batch, s.limits.Context-s.cached)
	chain, more := s.limits.Chain, false
	if chain > 0 {
		n = min(chain, wanted, s.limits.Context-s.cached)
		more = n == chain && wanted >= 2*chain
	}
	if len(s.tokens)-s.cached != 1 || wanted < 2 || n < 1 {
		return nil
	}
	s.ahead, s.flown = nil, more
	start := time.Now()
	var ids []int32
	var err error
	if s.by.Greedy() {
		ids, err = s.model.(Batcher).DecodeN(ctx, s.cached, s.tokens[s.cached], n, more)
	} else {
		ids, err = s.model.(Drawer).DrawN(ctx, s.cached, s.tokens[s.cached], n, more, s.by)
	}
	if err != nil {
		return err
	}
	s.ahead = ids
	s.cached++
	if time.Since(start) < batchTime {
		s.batch = min(2*s.batch, maxBatch)
	} else {
		s.batch = max(s.batch/2, 1)
	}
	return nil
}

// Logits returns those [Vocab] that the next token is chosen from, or the last
// one was: of the last token that ran. Where the model has run ahead, it runs that
// token again.
func (s *Session) Logits() ([]float32, error) {
	switch {
	case len(s.ahead) == 0:
		return nil, errors.New("no logits: nothing has run since the sequence was changed")
	case len(s.ahead) > 1 || s.flown:
		s.flown = false
		last := s.cached - 1
		if _, err := s.model.Decode(context.Background(), last, s.tokens[last]); err != nil {
			s.forget()
			return nil, err
		}
		s.ahead = s.ahead[:1]
	}
	logits, err := s.model.Logits()
	if err != nil {
		return nil, err
	}
	return logits[len(logits)-s.limits.Vocab:], nil
}

// Greedy generates n tokens, each the one with the largest logit, the lowest id
// of equals, and returns with them the margins: the largest logit minus the
// second. It reads all logits and makes sure that the model chose as they say.
func (s *Session) Greedy(ctx context.Context, n int) (ids []int32, margins []float32, err error) {
	for id, err := range s.generate(ctx, n, Sampling{}, false) {
		if err != nil {
			return ids, margins, err
		}
		logits, err := s.Logits()
		if err != nil {
			return ids, margins, err
		}
		top, err := Top(logits, 2)
		if err != nil {
			return ids, margins, err
		}
		if top[0].ID != id {
			return ids, margins, fmt.Errorf("position %d: the model chose token %d, but the largest logit is token %d's", len(s.tokens)-1, id, top[0].ID)
		}
		margin := float32(math.Inf(1)) // a vocabulary of one
		if len(top) > 1 {
			margin = top[0].Logit - top[1].Logit
		}
		ids, margins = append(ids, id), append(margins, margin)
	}
	return ids, margins, nil
}
