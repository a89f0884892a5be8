package engine

import (
	"context"
	"iter"
	"slices"

	"foundry/runtime"
)

// Session is one text under way on an Engine. IDs is the same text as token ids,
// for who has no tokenizer or wants more say. One goroutine uses a Session at a
// time; sessions of one Engine are independent.
type Session struct {
	IDs    *runtime.Session
	engine *Engine
}

// NewSession starts an empty text. Close gives its caches back.
func (e *Engine) NewSession() (*Session, error) {
	m, err := e.Open()
	if err != nil {
		return nil, err
	}
	return &Session{IDs: runtime.NewSession(m), engine: e}, nil
}

// Close gives the session's memory back.
func (s *Session) Close() error { return s.IDs.Close() }

// GenerateOptions say how a text goes on. The zero value of Sampling is greedy.
type GenerateOptions struct {
	Max       int // tokens at most
	Sampling  runtime.Sampling
	IgnoreEnd bool // no end behind a token that ends a text
}

// Token is one generated token and the text that it completes, which may be
// empty in the middle of a character. A text that ends in the middle of one closes
// with a Token of ID -1, U+FFFD.
type Token struct {
	ID   int32
	Text string
}

// Generate appends prompt to the text and yields what the model goes on with.
// It ends at Max tokens, behind a token that ends a text (which it does not
// yield), when the consumer breaks off, or with an error, which it yields.
func (s *Session) Generate(ctx context.Context, prompt string, o GenerateOptions) iter.Seq2[Token, error] {
	return s.yielding(func(yield func(Token, error) bool) error {
		t, err := s.engine.model.Tokenizer()
		if err != nil {
			return err
		}
		encode := t.Encode
		if len(s.IDs.Tokens()) > 0 { // the text goes on: nothing begins it again
			encode = t.EncodePart
		}
		ids, err := encode(prompt)
		if err != nil {
			return err
		}
		return s.generate(ctx, ids, o, yield)
	})
}

// Answer is Generate behind the whole text given as ids, in place of what the session
// holds: a conversation that grew, of which the caches keep what did not change.
func (s *Session) Answer(ctx context.Context, ids []int32, o GenerateOptions) iter.Seq2[Token, error] {
	return s.yielding(func(yield func(Token, error) bool) error {
		kept := 0
		for have := s.IDs.Tokens(); kept < min(len(have), len(ids)-1) && have[kept] == ids[kept]; kept++ {
		}
		if err := s.IDs.Rewind(kept); err != nil {
			return err
		}
		return s.generate(ctx, ids[kept:], o, yield)
	})
}

// yielding makes a sequence that ends with the error of run, if it has one.
func (s *Session) yielding(run func(yield func(Token, error) bool) error) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		if err := run(yield); err != nil {
			yield(Token{}, err)
		}
	}
}

func (s *Session) generate(ctx context.Context, ids []int32, o GenerateOptions, yield func(Token, error) bool) error {
	t, err := s.engine.model.Tokenizer()
	if err != nil {
		return err
	}
	var ends []int32
	if !o.IgnoreEnd {
		if ends, err = s.engine.ends(); err != nil {
			return err
		}
	}
	before := len(s.IDs.Tokens())
	if err := s.IDs.Prefill(ctx, ids); err != nil {
		return s.engine.Diagnose(ctx, append(slices.Clone(s.IDs.Tokens()[:before]), ids...), err)
	}
	decoder := t.NewDecoder()
	for id, err := range s.IDs.Generate(ctx, o.Max, o.Sampling) {
		if err != nil {
			return s.engine.Diagnose(ctx, s.IDs.Tokens(), err)
		}
		if slices.Contains(ends, id) {
			break
		}
		text, err := decoder.Next(id)
		if err != nil {
			return err
		}
		if !yield(Token{id, text}, nil) {
			return nil
		}
	}
	if rest := decoder.Flush(); rest != "" {
		yield(Token{ID: -1, Text: rest}, nil)
	}
	return nil
}
