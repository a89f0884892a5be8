package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/names"
	"foundry/ir/sym"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/engine"
)

// ContextOptions say at which points attention is measured.
type ContextOptions struct {
	Bench    Options  // Compile (Variant or Passes in which backends stand), Reps, Tokens of a decode measurement, CPU, Progress, Say
	Contexts []int    // tokens in the cache
	Rows     []int    // tokens of a step: 1 is decode, more prefill
	Backends []string // backends, each of AttentionBackends
	// Measured is told, behind each context, the rows so far; nil: nobody is.
	Measured func([]ContextRow)
}

// ContextRow is one backend at one point.
type ContextRow struct {
	Model      string   `json:"model"`
	Device     string   `json:"device"`
	Context    int      `json:"context"`        // the context asked for
	P          int      `json:"cached"`         // tokens before the step
	T          int      `json:"t"`              // tokens of the step
	Cache      int      `json:"cache"`          // tokens that the plan's cache holds
	Backend    string   `json:"backend"`        // the backend asked for
	ForLargest bool     `json:"full_cache"`     // auto for the largest cache, not for the point's
	Chosen     string   `json:"took,omitempty"` // backend that the entry has: what auto took
	Refused    string   `json:"refused,omitempty"`
	Measured   *Spread  `json:"measured_us"`     // a step; null when refused
	Attention  *float64 `json:"attention_share"` // attention's part of the kernels' own times; of auto
	OverBest   *float64 `json:"over_best"`       // the measured time over the point's best, less 1
	Times      string   `json:"times,omitempty"`
	Machine    *Machine `json:"machine,omitempty"`
}

// Within reports whether the row is no slower than its point's best by more than
// the given part.
func (r *ContextRow) Within(part float64) bool { return r.OverBest != nil && *r.OverBest <= part }

// Contexts measures every backend at every point, the backends of a point
// interleaved. auto is compiled twice: for a cache of the point's size and, where that
// is another, for the largest. The caches hold a pattern of small numbers instead of a text's keys and
// values, on which times do not depend.
func Contexts(ctx context.Context, m *model.Model, o ContextOptions) (rows []ContextRow, err error) {
	if m.Graph != nil {
		return nil, fmt.Errorf("%s is a graph: contexts are a language model's", m.Name)
	}
	if o.Bench.Device == engine.Ref {
		return nil, errors.New("ref runs no kernels: take --device cpu or a GPU")
	}
	for _, backend := range o.Backends {
		if !slices.Contains(compile.AttentionBackends(), backend) {
			return nil, fmt.Errorf("attention backend %q does not exist, want one of %s%s", backend, strings.Join(compile.AttentionBackends(), ", "), names.DidYouMean(backend, compile.AttentionBackends()))
		}
	}
	if err := behindPositions(m, o.Contexts); err != nil {
		return nil, err
	}
	o.Bench.Compile = engine.Defaults(o.Bench.Device, o.Bench.Compile)
	where, err := o.Bench.openShared(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, where.close()) }()
	b := contextBench{ContextOptions: o, m: m, on: where}
	most := slices.Max(o.Contexts)
	full, err := b.loadBackend(ctx, "auto", b.cache(most))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, full.close()) }()
	full.forLargest = true
	for i, n := range o.Contexts {
		if o.Bench.Progress != nil {
			o.Bench.Progress("contexts", int64(i), int64(len(o.Contexts)))
		}
		point, err := b.context(ctx, n, full)
		if err != nil {
			return nil, fmt.Errorf("context %d: %w", n, err)
		}
		rows = append(rows, point...)
		if o.Measured != nil {
			o.Measured(slices.Clone(rows))
		}
	}
	return rows, nil
}

// behindPositions is an error where m has not so many positions as a context wants.
func behindPositions(m *model.Model, contexts []int) error {
	for _, n := range contexts {
		if n > m.Config.MaxPositions {
			return fmt.Errorf("a context of %d tokens is longer than the %d positions of %s", n, m.Config.MaxPositions, m.Name)
		}
	}
	return nil
}

// contextBench is the work of Contexts.
type contextBench struct {
	ContextOptions
	m  *model.Model
	on *sharedDevice
}

// cache is how many tokens the plan for a context holds: the context and the
// longest step, as far as the model has positions.
func (b *contextBench) cache(context int) int {
	return min(context+max(slices.Max(b.Rows), b.Bench.Tokens), b.m.Config.MaxPositions)
}

// loadedBackend is a plan with one backend, ready to be timed.
type loadedBackend struct {
	backend    string
	forLargest bool
	engine     *engine.Engine
	model      *runtime.Instance
	refused    error
}

func (c *loadedBackend) close() error {
	if c.refused != nil {
		return nil
	}
	return errors.Join(c.model.Close(), c.engine.Close())
}

// loadBackend compiles and loads a plan. A backend that the compiler refuses is a
// loadedBackend, too, which says so.
func (b *contextBench) loadBackend(ctx context.Context, backend string, cache int) (*loadedBackend, error) {
	o := b.Bench.Compile
	o.Attention, o.AttentionChosen, o.Context = backend, "flag", cache
	o.Chunk = min(max(slices.Max(b.Rows), 2), cache)
	compiled, err := compile.Model(b.m, o)
	if err != nil {
		if backend == "auto" {
			return nil, err
		}
		return &loadedBackend{backend: backend, refused: err}, nil
	}
	c := &loadedBackend{backend: backend}
	if c.engine, err = b.on.load(ctx, b.m, compiledVariant{name: backend, plan: compiled.Plan, graphs: compiled.Graphs}, b.Bench.Progress); err != nil {
		return nil, err
	}
	if c.model, err = openInstance(c.engine); err != nil {
		return nil, errors.Join(err, c.engine.Close())
	}
	return c, nil
}

// fillStates gives the caches a content without which all scores would be equal.
func fillStates(in *runtime.Instance, p *plan.Plan) error {
	var content []byte
	for i := range p.Buffers {
		buffer := &p.Buffers[i]
		if buffer.Class != plan.State || buffer.Role != plan.NoRole {
			continue
		}
		if int64(len(content)) < buffer.Bytes {
			content = noiseBytes(buffer.Bytes)
		}
		if err := in.Write(buffer.Name, content[:buffer.Bytes]); err != nil {
			return err
		}
	}
	return nil
}

// context measures the backends at one size of the cache.
func (b *contextBench) context(ctx context.Context, n int, full *loadedBackend) (rows []ContextRow, err error) {
	all := []*loadedBackend{}
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.close())
		}
	}()
	for _, backend := range b.Backends {
		c, err := b.loadBackend(ctx, backend, b.cache(n))
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	backends := slices.Clone(all)
	if full.engine.Plan.Model.Context != b.cache(n) || !slices.Contains(b.Backends, full.backend) { // else it is there already
		backends = append(backends, full)
	}
	for _, t := range b.Rows {
		point, err := b.point(ctx, n, t, backends)
		if err != nil {
			return nil, err
		}
		rows = append(rows, point...)
	}
	return rows, nil
}

// point measures the backends at one step, interleaved.
func (b *contextBench) point(ctx context.Context, n, t int, all []*loadedBackend) ([]ContextRow, error) {
	steps := 1
	if t == 1 {
		steps = b.Bench.Tokens
	}
	rows := make([]ContextRow, len(all))
	for i, c := range all {
		rows[i] = ContextRow{Model: b.m.BaseName(), Device: b.Bench.Device, Context: n, P: min(n, b.cache(n)-t*steps), T: t,
			Backend: c.backend, ForLargest: c.forLargest, Machine: b.on.machine}
		if b.on.dev.Info().Emulation {
			rows[i].Times = "emulation"
		}
		if c.refused != nil {
			rows[i].Refused = c.refused.Error()
			continue
		}
		rows[i].Cache = c.engine.Plan.Model.Context
		// The point before timed kernels alone, over and over: what that left in the
		// caches need not be finite.
		err := fillStates(c.model, c.engine.Plan)
		if err != nil {
			return nil, err
		}
		if rows[i].Chosen, err = backendOf(c.engine.Graphs, entryAt(c.engine.Plan, t, rows[i].P+t*steps-1)); err != nil {
			return nil, err
		}
	}
	if rows[0].P < 0 {
		return nil, fmt.Errorf("a step of %d tokens does not fit the model's %d positions", t*steps, b.m.Config.MaxPositions)
	}
	list := make([]*measured, len(all))
	var running []*measured
	for i, c := range all {
		if c.refused != nil {
			continue
		}
		run := loadedVariant{engine: c.engine, model: c.model, tokens: steps, row: &Row{Phase: compile.EntryOf(t)}, envs: []sym.Env{{T: int64(t), P: int64(rows[i].P)}}}
		list[i] = &measured{name: fmt.Sprintf("attention %s, T=%d", c.backend, t), run: run.run}
		running = append(running, list[i])
	}
	if err := interleave(ctx, running, untilRounds(b.Bench.Reps), nil, nil); err != nil {
		return nil, err
	}
	best := 0.0
	for i := range rows {
		if list[i] != nil {
			s := spread(list[i].samples)
			rows[i].Measured = &s
			if best == 0 || s.Median < best {
				best = s.Median
			}
		}
	}
	for i, c := range all {
		if rows[i].Measured == nil {
			continue
		}
		over := rows[i].Measured.Median/best - 1
		rows[i].OverBest = &over
		if c.backend != "auto" {
			continue
		}
		share, err := attentionShare(ctx, c.model, c.engine.Plan, entryAt(c.engine.Plan, t, rows[i].P+t*steps-1), sym.Env{T: int64(t), P: int64(rows[i].P)})
		if err != nil {
			return nil, err
		}
		rows[i].Attention = &share
	}
	return rows, nil
}

// entryAt names the entry that runs steps of t tokens up to P = past.
func entryAt(p *plan.Plan, t, past int) string {
	if t == 1 {
		return p.Entries[p.EntryAt(plan.Decode, int64(past))].Name
	}
	return compile.EntryOf(t)
}

// backendOf says which backend an entry's graph has; where its layers differ, each
// that there is.
func backendOf(g *compile.Graphs, entry string) (string, error) {
	graph, err := g.Entry(entry)
	if err != nil {
		return "", err
	}
	var found []string
	costs := g.Choices.Finished(graph, cost.Typical(graph.Bounds))
	for _, n := range graph.Nodes() {
		name := ""
		switch ops := regionOps(n); {
		case ops[ir.OpSoftmax] && ops[ir.OpBmmNT] && len(costs.Kernels(n)) > 1: // parts and their merge
			name = "split"
		case ops[ir.OpSoftmax] && ops[ir.OpBmmNT]:
			name = "flash"
		case ops[ir.OpSoftmax]:
			name = "chained"
		}
		if name != "" && !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	return strings.Join(found, "+"), nil
}

func regionOps(n *ir.Node) map[ir.Op]bool {
	out := map[ir.Op]bool{n.Op: true}
	if n.Region != nil {
		for _, inner := range n.Region.Nodes() {
			out[inner.Op] = true
		}
	}
	return out
}

// attentionShare is the part of the kernels' own times that attention takes: scores,
// softmax, weighted values and what only moves their results.
func attentionShare(ctx context.Context, in *runtime.Instance, p *plan.Plan, entry string, env sym.Env) (float64, error) {
	times, err := in.KernelTimes(ctx, entry, env, 2)
	if err != nil {
		return 0, err
	}
	e, err := p.Entry(entry)
	if err != nil {
		return 0, err
	}
	attention := map[string]bool{}
	result := map[int]bool{} // buffers that attention wrote last
	for _, s := range e.Steps {
		if s.Dispatch == nil || !isAttention(s.Dispatch) && !moves(s.Dispatch, result) {
			continue
		}
		attention[p.Kernels[s.Dispatch.Kernel].Name] = true
		clear(result)
		for _, b := range s.Dispatch.Bind {
			result[b.Buffer] = b.Access.Writes()
		}
	}
	part, all := 0.0, 0.0
	for _, t := range times {
		took := t.Each.Seconds() * float64(t.Dispatches)
		all += took
		if attention[t.Kernel] {
			part += took
		}
	}
	return part / all, nil
}

// isAttention reports whether a dispatch is part of attention between the
// projections.
func isAttention(d *plan.Dispatch) bool {
	return slices.ContainsFunc(d.Nodes, func(n plan.Node) bool {
		return n.Op == ir.OpBmmNT.String() || n.Op == ir.OpBmmNN.String() || n.Op == ir.OpSoftmax.String()
	})
}

// moves reports whether a dispatch only moves the elements of one of the buffers.
func moves(d *plan.Dispatch, buffers map[int]bool) bool {
	computes := slices.ContainsFunc(d.Nodes, func(n plan.Node) bool {
		op, err := ir.ParseOp(n.Op)
		return err != nil || !op.Is(ir.View)
	})
	return !computes && slices.ContainsFunc(d.Bind, func(b plan.Binding) bool { return b.Access.Reads() && buffers[b.Buffer] })
}
