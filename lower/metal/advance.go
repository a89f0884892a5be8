package metal

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// tokenKind says what a kernel does with the token it chooses.
type tokenKind uint8

const (
	tokenPlain    tokenKind = iota
	tokenAdvances           // the step moves on: the token is the id of the next run
	tokenReplaces           // it takes the place of the token that a run before has chosen
)

// findToken finds the value that is the plan's token: the result `token` of a graph
// that takes `ids`, with which the step moves on, or of one that takes `history`
// and no ids, which chooses again behind a run of an entry before it. Without such
// an entry there is nothing to choose again, and the token is a result like others.
func (e *entry) findToken() {
	takes := map[string]bool{}
	for _, p := range e.g.Params {
		takes[p.Param.Name] = takes[p.Param.Name] || p.Param.Kind == ir.Input
	}
	for _, r := range e.g.Results {
		if r.Name != "token" || r.Value.Def == nil {
			continue
		}
		switch {
		case takes["ids"]:
			e.token, e.tokenKind = r.Value, tokenAdvances
		case takes["history"] && e.c.runs():
			e.token, e.tokenKind = r.Value, tokenReplaces
		}
	}
}

// runs says whether an entry lowered so far runs ids.
func (c *compiler) runs() bool { return c.shared[sharing{sharedInput, "ids"}] != nil }

// positions is how many tokens the history holds: one for each position of the
// context, and one for the token behind the last.
func (k tokenKind) positions(b sym.Bounds) int64 {
	if k == tokenReplaces {
		return b.SMax // the run is over: what it cached counts as P
	}
	return b.SMax + 1
}

// remember begins a kernel of one threadgroup that chooses the plan's token: it
// writes the ids of the run into the history. The function it returns writes, for
// one thread, what becomes of the token.
func (r *region) remember(k *kernel) (take func(token *msl.Value)) {
	if r.token == tokenPlain {
		return func(*msl.Value) {}
	}
	k.use("epilogue/advance.metal")
	step := k.slot(ref{kind: refStep}, "step", "Step", plan.ReadWrite)
	access := map[bool]plan.Access{true: plan.Write, false: plan.ReadWrite}[r.token == tokenReplaces]
	ids := k.slot(ref{kind: refIDs}, "ids", "int", access)
	history := k.slot(ref{kind: refHistory}, "history", "int", plan.Write)
	limit := r.token.positions(r.g.Bounds)
	if r.token == tokenReplaces {
		k.name += "_replace"
		return func(token *msl.Value) {
			k.phase("Epilogue: the token takes the place of the run's.")
			k.do(msl.Call("replace_token", step, ids, history, u(limit), token))
		}
	}
	k.name += "_advance"
	k.phase("Prologue: the run's ids become history.")
	keep := &msl.Do{Call: msl.Call("remember_ids", step, ids, history, u(limit), thread, u(k.threads))}
	if r.g.Bounds.TMax == 1 {
		k.add(msl.When(thread.Equal(u(0)), keep))
	} else {
		k.add(keep, &msl.Barrier{Memory: "mem_device"})
	}
	return func(token *msl.Value) {
		k.phase("Epilogue: the token is the input of the next run.")
		k.do(msl.Call("advance_step", step, ids, history, u(limit), token))
	}
}

// history returns the buffer of the ids of the sequence, which has more positions than an
// entry for short contexts asks for.
func (c *compiler) history(positions int64) *storage {
	if s := c.shared[sharing{sharedState, "history"}]; s != nil && s.bytes > dtype.I32.Bytes(positions) {
		return s
	}
	s, _ := c.share(sharing{sharedState, "history"}, plan.State, ir.TypeOf(dtype.I32, sym.Const(positions)), sym.Bounds{})
	s.role = plan.HistoryBuffer
	c.store(s)
	return s
}

// inStep are inputs that lie in the step buffer, from a word on.
var inStep = map[string]struct {
	t    ir.Type
	word int64
}{
	"step.sampling": {ir.TypeOf(dtype.F32, sym.Const(plan.StepRepetition+1-plan.StepTemperature)), plan.StepTemperature},
	"step.random":   {ir.TypeOf(dtype.I32, sym.Const(plan.StepCounter+1-plan.StepSeedLo)), plan.StepSeedLo},
}

// sessionInput places an input that a session keeps or another entry makes: part of the
// step, the history, or an output of an entry before, which from now on survives
// runs. ok is false for any other, and where no entry before runs ids: then the
// graph stands alone, and its inputs are the host's to write.
func (e *entry) sessionInput(p *ir.Value) (t tensor, ok bool) {
	if p.Param.Kind != ir.Input || !e.c.runs() {
		return tensor{}, false
	}
	l, ok := task.Contiguous(p.Type.Shape)
	if !ok {
		return tensor{}, false
	}
	if at, ok := inStep[p.Param.Name]; ok && at.t == p.Type {
		l.Off = sym.Poly{C: at.word}
		return tensor{e.c.step(), l}, true
	}
	if n, fixed := p.Type.Shape.At(0).Const(); fixed && p.Param.Name == "history" && p.Type == ir.TypeOf(dtype.I32, sym.Const(n)) {
		return tensor{e.c.history(n), l}, true
	}
	s := e.c.shared[sharing{sharedOutput, p.Param.Name}]
	if s == nil || s.dtype != p.Type.DType || s.bytes < p.Type.MaxBytes(e.g.Bounds) {
		return tensor{}, false
	}
	s.class = plan.State
	e.c.store(s)
	return tensor{s, l}, true
}

// advanceLast puts the dispatch that moves the step on, and what needs its token, behind
// all others: these run at T and P and for the ids as they are. What needs the token and
// one of these as well is an error.
func (e *entry) advanceLast() error {
	step := e.c.shared[sharing{sharedState, "step"}]
	moves := func(d *dispatch) bool {
		for j, s := range d.bind {
			if s == step && d.Bind[j].Offset <= 4*plan.StepS && d.Bind[j].Access.Writes() {
				return true
			}
		}
		return false
	}
	at := slices.IndexFunc(e.dispatches, moves)
	if step == nil || at < 0 {
		return nil
	}
	session := func(s *storage) bool {
		return s == step || s.role == plan.IDsBuffer || s.role == plan.HistoryBuffer
	}
	late, early := e.dispatches[at:at+1:at+1], []*dispatch(nil)
	for _, d := range e.dispatches[at+1:] {
		if !slices.ContainsFunc(late, func(l *dispatch) bool { return collide(l, d, session) }) {
			early = append(early, d)
			continue
		}
		late = append(late, d)
		for j, s := range d.bind {
			if session(s) && !(s == step && d.Bind[j].Offset > 4*plan.StepS) {
				return fmt.Errorf("%s: it needs the result token and what that moves on: T, P or the ids of the run; return the token under another name", d.Label)
			}
		}
	}
	e.dispatches = slices.Concat(e.dispatches[:at], early, late)
	return nil
}

// collide reports whether one of two dispatches writes bytes that the other touches, of
// storages but those of except.
func collide(a, b *dispatch, except func(*storage) bool) bool {
	for i, s := range a.bind {
		for j, t := range b.bind {
			x, y := a.Bind[i], b.Bind[j]
			if s == t && !except(s) && (x.Access.Writes() || y.Access.Writes()) && x.Offset < y.Offset+y.Bytes && y.Offset < x.Offset+x.Bytes {
				return true
			}
		}
	}
	return false
}
