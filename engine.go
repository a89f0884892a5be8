package foundry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"foundry/frontends/checkpoint"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/cuda"
	"foundry/runtime/mtl"
)

// The devices that a model runs on.
const (
	Ref   = "ref"   // the interpreter, on the fused graphs; needs nothing installed
	CPU   = "cpu"   // the plan's Metal text, compiled by the system's C++ compiler
	CUDA  = "cuda"  // the same text on an NVIDIA GPU; cuda:1 is the second
	Metal = "metal" // an Apple GPU; metal:1 is the second
	Auto  = "auto"  // the fastest that works here
)

// Devices lists the names that CompileOptions.Device takes.
func Devices() []string { return []string{Ref, CPU, CUDA, Metal, Auto} }

// deviceKind splits a device name such as cuda:1 into its kind and ordinal.
func deviceKind(name string) (kind string, ordinal int, err error) {
	kind, number, numbered := strings.Cut(name, ":")
	if !slices.Contains(Devices(), kind) || numbered && kind != CUDA && kind != Metal {
		return "", 0, unknownDevice(name)
	}
	if numbered {
		if ordinal, err = strconv.Atoi(number); err != nil || ordinal < 0 {
			return "", 0, fmt.Errorf("device %q: want a number behind the colon, as in %s:1", name, kind)
		}
	}
	return kind, ordinal, nil
}

// Engine is a model ready to run. Any number of sessions share it.
type Engine struct {
	Device string  // where it runs: Ref, CPU, CUDA or Metal
	Graphs *Graphs // nil for a plan that was read from disk
	// Plan is what runs or, on ref, what the graphs would run as; its numbers
	// are reported.
	Plan *plan.Plan
	Loss checkpoint.Narrowing // what the conversion of weights to narrower types lost

	model    *Model
	ref      *reference
	dev      runtime.Device // which it owns; nil for one that others use too
	exec     *runtime.Executable
	compiled *runtime.Phase // what Start took to compile the plan; nil for one from disk
	reads    bool           // the GPU reads the model's mapped files
	chunk    int            // most tokens of one run, where fewer than the plan allows are wanted; 0: the plan's
}

// Interpret makes graphs ready to run on the reference, and reads their weights.
func Interpret(ctx context.Context, g *Graphs) (*Engine, error) {
	if err := g.Model.speaks(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ref, err := newReference(g, &weights{source: g.Model.source})
	if err != nil {
		return nil, err
	}
	return &Engine{Device: Ref, Graphs: g, model: g.Model, ref: ref}, nil
}

// Load makes a plan ready to run on a device that executes kernels, which the
// engine owns from now on, and reads the model's weights. g may be nil.
func Load(ctx context.Context, dev runtime.Device, m *Model, p *plan.Plan, g *Graphs, progress Progress) (*Engine, error) {
	if err := m.fits(p); err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	w := &weights{source: m.source}
	exec, err := runtime.New(ctx, dev, p, w, progress)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	e := &Engine{Device: dev.Info().Kind, Graphs: g, Plan: p, Loss: w.loss, model: m, dev: dev, exec: exec, reads: w.lent.Load()}
	if e.reads {
		m.readers.Add(1)
	}
	return e, nil
}

// fits reports how a plan differs from the model that shall give it weights.
func (m *Model) fits(p *plan.Plan) error {
	if err := m.speaks(); err != nil {
		return err
	}
	c := m.Config
	if have := p.Model; have.Layers != c.Layers || have.Hidden != c.Hidden || have.Vocab != c.Vocab {
		return fmt.Errorf("the plan was compiled from %s (%d layers, hidden %d, vocabulary %d), not from %s (%d, %d, %d)",
			have.Name, have.Layers, have.Hidden, have.Vocab, m.Name, c.Layers, c.Hidden, c.Vocab)
	}
	return nil
}

// Startup lists what came before the first run and was done once: compiling the
// model, opening the device, compiling kernels, filling weights, recording entries.
// It is empty on ref.
func (e *Engine) Startup() []runtime.Phase {
	if e.exec == nil {
		return nil
	}
	var out []runtime.Phase
	if e.compiled != nil {
		out = append(out, *e.compiled)
	}
	return append(out, e.exec.Startup()...)
}

// open returns a context of its own: caches, and a position in them.
func (e *Engine) open() (runtime.Model, error) {
	if e.ref != nil {
		return e.ref.open(), nil
	}
	m, err := e.exec.NewInstance()
	if err != nil || e.chunk == 0 {
		return m, err
	}
	return smallChunks{m, e.chunk}, nil
}

// smallChunks is an instance that takes fewer tokens a run than its plan allows.
type smallChunks struct {
	*runtime.Instance
	chunk int
}

func (m smallChunks) Limits() runtime.Limits {
	l := m.Instance.Limits()
	l.Chunk = m.chunk
	return l
}

// Close gives back weights, kernels and device. Every session must be closed.
func (e *Engine) Close() error {
	if e.exec == nil {
		return nil
	}
	err := e.exec.Close()
	if err == nil && e.reads {
		e.reads = false
		e.model.readers.Add(-1)
	}
	if e.dev != nil {
		err = errors.Join(err, e.dev.Close())
	}
	return err
}

// OpenDevice opens a device that executes kernels. The error says what it lacks.
func OpenDevice(name string, c cpu.Options) (runtime.Device, error) {
	kind, ordinal, err := deviceKind(name)
	if err != nil {
		return nil, err
	}
	switch kind {
	case CPU:
		return cpu.Open(c)
	case CUDA:
		return opened(cuda.Open(cuda.Options{Ordinal: ordinal, CacheDir: kernelCache(c, CUDA), Dependent: true}))
	case Metal:
		return opened(mtl.Open(mtl.Options{Ordinal: ordinal, CacheDir: kernelCache(c, Metal)}))
	case Ref:
		return nil, errors.New("ref runs graphs, not plans: take --device cpu for a plan")
	}
	return nil, unknownDevice(name)
}

// kernelCache is where a GPU's compiled kernels are kept: in the folder that the
// options name, else in the user's cache; "", nowhere, for a user without one.
func kernelCache(c cpu.Options, kind string) string {
	dir := c.CacheDir
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(user, "foundry")
	}
	return filepath.Join(dir, kind)
}

// opened keeps a nil device of a concrete type from becoming a Device.
func opened[D runtime.Device](d D, err error) (runtime.Device, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

func unknownDevice(name string) error {
	return fmt.Errorf("there is no device %q, want one of %s%s", name, strings.Join(Devices(), ", "), Nearest(name, Devices()))
}
