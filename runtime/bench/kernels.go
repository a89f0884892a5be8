package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/lower/compile"
	"foundry/runtime"
	"foundry/runtime/engine"
)

// KernelsOptions say which kernels are measured alone.
type KernelsOptions struct {
	Bench  Options // Compile, Variants, Prompt (tokens behind which decode kernels run), CPU, Progress, Say
	Name   string  // part of a kernel's or dispatch's name; "" is every kernel
	Rows   []int   // tokens of a step: 1 is decode, more prefill
	Behind []int   // tokens behind which steps run; nil: Bench.Prompt for one of one token, none for others
	// Rotate is how many bytes of weights and caches lie between two reads of the
	// same: several times the last-level cache. 0 is 4 times 60 MB.
	Rotate int64
	// Measured is told the rows so far; nil: nobody is.
	Measured func([]AloneRow)

	tried int // KernelsTried when 0
}

// AloneRow is one text of one kernel.
type AloneRow struct {
	Model    string   `json:"model"`
	Device   string   `json:"device"`
	Variant  string   `json:"variant"` // the variant of the pipeline that makes the kernel
	T        int      `json:"t"`
	P        int      `json:"cached"`
	Dispatch string   `json:"dispatch"` // the label in the first layer
	Kernel   string   `json:"kernel"`
	Threads  int      `json:"threads"`
	Choices  []string `json:"choices"` // the words of kernels that have this text, such as "tiles 64x64x16 ..."; of none where there is nothing to choose
	Chosen   bool     `json:"chosen"`  // the cost model takes it
	Us       float64  `json:"us"`
	Bytes    int64    `json:"bytes"` // bytes moved
	GBs      float64  `json:"gb_s"`
	// Share is of the measured read bandwidth; null on emulation and where weights
	// and caches are too small to be read from memory.
	Share   *float64 `json:"bandwidth_share"`
	TFlops  float64  `json:"tflop_s"`
	Rotated int64    `json:"rotated"` // bytes of weights and caches read in turn
	Times   string   `json:"times,omitempty"`
	Machine *Machine `json:"machine,omitempty"`
}

// KernelsTried is how many kernels of a node Kernels measures, those that the cost model
// predicts to be fastest first.
const KernelsTried = 8

// Kernels times each kernel of a model's first layers alone, and those that its node could
// have got instead. Weights are a pattern of small numbers.
func Kernels(ctx context.Context, m *model.Model, o KernelsOptions) (rows []AloneRow, err error) {
	if m.Graph != nil {
		return nil, fmt.Errorf("%s is a graph: kernels are measured at a language model's shapes", m.Name)
	}
	if o.Bench.Device == engine.Ref {
		return nil, errors.New("ref runs no kernels: take --device cpu or a GPU")
	}
	if err := behindPositions(m, o.Behind); err != nil {
		return nil, err
	}
	o.Bench.Compile = engine.Defaults(o.Bench.Device, o.Bench.Compile)
	if o.tried == 0 {
		o.tried = KernelsTried
	}
	if o.Rotate == 0 {
		o.Rotate = 4 * 60e6
	}
	short := m.WithLayers(2) // all layers are made of the kernels of the first
	where, err := o.Bench.openShared(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, where.close()) }()
	b := kernelsBench{KernelsOptions: o, m: short, on: where, seen: map[string]int{}, names: map[string]bool{}, times: 64}
	if where.dev.Info().Emulation { // whose times say nothing
		b.Rotate, b.times = min(b.Rotate, 1<<18), 1
	}
	for i, v := range o.Bench.Variants {
		for j := range o.tried {
			if o.Bench.Progress != nil {
				o.Bench.Progress("kernels", int64(i*o.tried+j), int64(len(o.Bench.Variants)*o.tried))
			}
			if err := b.measure(ctx, v, j); err != nil {
				return nil, fmt.Errorf("variant %s, choice %d: %w", v.Name, j, err)
			}
			if o.Measured != nil {
				o.Measured(slices.Clone(b.rows))
			}
		}
	}
	if len(b.rows) == 0 {
		return nil, fmt.Errorf("no kernel's name has %q in it; there are %s", o.Name, strings.Join(beginningsOf(b.names), ", "))
	}
	// Texts of one kernel stand together, in the order in which the step has them.
	first := map[string]int{}
	for i, r := range slices.Backward(b.rows) {
		first[r.dispatch()] = i
	}
	slices.SortStableFunc(b.rows, func(x, y AloneRow) int {
		return cmp.Or(cmp.Compare(x.T, y.T), cmp.Compare(x.P, y.P), cmp.Compare(first[x.dispatch()], first[y.dispatch()]))
	})
	return b.rows, nil
}

// beginningsOf returns what kernels' names have before their numbers, such as "attention" of
// "attention_3x64", in order.
func beginningsOf(kernels map[string]bool) []string {
	begin := map[string]bool{}
	for k := range kernels {
		at := strings.IndexAny(k, "0123456789")
		if at < 0 {
			at = len(k)
		}
		begin[strings.TrimRight(k[:at], "_")] = true
	}
	return slices.Sorted(maps.Keys(begin))
}

// dispatch says which dispatch of which step a row is about.
func (r *AloneRow) dispatch() string { return fmt.Sprint(r.T, r.P, r.Variant, r.Dispatch) }

type kernelsBench struct {
	KernelsOptions
	m     *model.Model
	on    *sharedDevice
	rows  []AloneRow
	seen  map[string]int // row by dispatch, T and text
	names map[string]bool
	times int // a dispatch is run in one submission, at least
}

// measure times the kernels that nodes get as their choice of that number, 0 for what the
// cost model takes.
func (b *kernelsBench) measure(ctx context.Context, v Variant, choice int) (err error) {
	o := v.options(b.Bench.Compile)
	o.Chunk = slices.Max(b.Rows)
	if o.Context == 0 {
		o.Context = min(b.m.Config.MaxPositions, b.furthest()+aloneRoom)
	}
	graphs, err := compile.Fuse(b.m, o)
	if err != nil {
		return err
	}
	for _, g := range graphs.Entries {
		pin(g, graphs.Choices, choice)
	}
	compiled, err := graphs.Lower()
	if err != nil {
		return err
	}
	var todo []wantedKernel
	for _, t := range b.Rows {
		for _, behind := range b.behind(t) {
			wanted, err := b.wanted(compiled, v, choice, t, behind)
			if err != nil {
				return err
			}
			todo = append(todo, wanted...)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	p := compiled.Plan
	exec, err := runtime.NewSharing(ctx, b.on.dev, p, patterned{}, b.on.weights, b.Bench.Progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, exec.Close()) }()
	in, err := exec.NewInstance()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := fillStates(in, p); err != nil {
		return err
	}
	for _, w := range todo {
		if err := b.time(ctx, in, w); err != nil {
			return fmt.Errorf("%s: %w", b.rows[w.row].Dispatch, err)
		}
	}
	return nil
}

// aloneRoom is what a cache holds behind the last step, for dispatches that advance.
const aloneRoom = 64

// behind lists the tokens behind which a step of t tokens is measured.
func (b *kernelsBench) behind(t int) []int {
	switch {
	case b.Behind != nil:
		out := slices.Clone(b.Behind)
		for i := range out {
			out[i] = max(0, min(out[i], b.m.Config.MaxPositions-t))
		}
		return out
	case t == 1:
		return []int{b.Bench.Prompt}
	}
	return []int{0}
}

// furthest is how many tokens the cache holds behind the longest step.
func (b *kernelsBench) furthest() int {
	most := 0
	for _, t := range b.Rows {
		most = max(most, slices.Max(b.behind(t))+t)
	}
	return most
}

// wantedKernel is a kernel to be timed for a row.
type wantedKernel struct {
	row   int
	entry string
	env   sym.Env
}

// pin gives each node of g the kernel that is its choice of that number, of those that the
// pipeline leaves it; one with fewer gets the first again.
func pin(g *ir.Graph, choices *cost.Choices, choice int) {
	costs := choices.Finished(g, cost.Typical(g.Bounds))
	for _, n := range g.Nodes() {
		at, left := 0, kernel.Pin(n.Attr.Kernel)
		for k := range costs.Candidates(n) {
			if !left.Takes(k) {
				continue
			}
			if at == 0 || at == choice {
				n.Attr.Kernel = k.String()
			}
			if at == choice {
				break
			}
			at++
		}
	}
}

// words returns what nodes of that label are pinned to, by label of the dispatch.
func words(g *ir.Graph, label string) []string {
	for _, n := range g.Nodes() {
		if n.Label == strings.TrimSuffix(label, ".merge") && n.Attr.Kernel != "" {
			return []string{n.Attr.Kernel}
		}
	}
	return nil
}

// wanted lists the kernels of the step of t tokens behind others whose text is new, one
// dispatch of each; of the others the choice is noted.
func (b *kernelsBench) wanted(c *compile.Compiled, v Variant, choice, t, behind int) ([]wantedKernel, error) {
	p := c.Plan
	graph, err := c.Entry(compile.EntryOf(t))
	if err != nil {
		return nil, err
	}
	entry, err := p.Entry(compile.EntryOf(t))
	if err != nil {
		return nil, err
	}
	env := sym.Env{T: int64(t), P: int64(behind)}
	if env.P > p.MaxP(entry, env.T) {
		return nil, fmt.Errorf("%d tokens behind %d do not fit the context of %d", t, env.P, p.Model.Context)
	}
	var out []wantedKernel
	done := map[int]bool{}
	for _, step := range entry.Steps {
		if step.Dispatch == nil || done[step.Dispatch.Kernel] {
			continue
		}
		d, k := step.Dispatch, &p.Kernels[step.Dispatch.Kernel]
		done[d.Kernel] = true
		b.names[k.Name] = true
		if b.Name != "" && !strings.Contains(k.Name, b.Name) && !strings.Contains(d.Label, b.Name) {
			continue
		}
		key := fmt.Sprint(env, d.Label, strings.ReplaceAll(k.Source, k.Name, ""), d.Grid, d.Moved)
		if row, seen := b.seen[key]; seen {
			if r := &b.rows[row]; r.Variant == v.Name {
				for _, w := range words(graph, d.Label) {
					if !slices.Contains(r.Choices, w) {
						r.Choices = append(r.Choices, w)
					}
				}
			}
			continue
		}
		b.seen[key] = len(b.rows)
		out = append(out, wantedKernel{len(b.rows), entry.Name, env})
		b.rows = append(b.rows, AloneRow{
			Model: b.m.BaseName(), Device: b.Bench.Device, Variant: v.Name, T: t, P: int(env.P), Dispatch: d.Label,
			Kernel: k.Name, Threads: k.Threads[0] * k.Threads[1] * k.Threads[2], Choices: words(graph, d.Label), Chosen: choice == 0, Machine: b.on.machine,
		})
	}
	return out, nil
}

func (b *kernelsBench) time(ctx context.Context, in *runtime.Instance, w wantedKernel) error {
	r := &b.rows[w.row]
	alone, err := in.TimeAlone(ctx, w.entry, w.env, r.Dispatch, b.Rotate, b.times)
	if err != nil {
		return err
	}
	r.Us, r.Bytes, r.Rotated = float64(alone.Each.Nanoseconds())/1e3, alone.Bytes, alone.Rotated
	r.GBs, r.TFlops = float64(r.Bytes)/r.Us/1e3, float64(alone.Flops)/r.Us/1e6
	if b.on.dev.Info().Emulation {
		r.Times = "emulation"
	}
	if b.on.machine != nil && r.Rotated >= b.Rotate {
		share := r.GBs / b.on.machine.ReadGBs
		r.Share = &share
	}
	return nil
}
