package mtl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/msl/gate"
)

// program is a plan's pipelines and the queue they run on.
type program struct {
	d       *Device
	queue   id
	kernels []kernel
	startup fruntime.Startup

	mu   sync.Mutex
	open map[*encoder]bool // encoders in use
	free []*encoder
}

// kernel is one pipeline and what its dispatches need.
type kernel struct {
	name        string
	pipeline    id
	slots       []plan.Slot
	threads     size
	threadgroup []uint64 // bytes of each threadgroup argument
}

var languages = map[string]uint64{"2.4": MTLLanguageVersion2_4, "3.0": MTLLanguageVersion3_0, "3.1": MTLLanguageVersion3_1, plan.MatrixMSL: MTLLanguageVersion4_0}

// needs says of each capability what has it.
var needs = map[plan.Need]string{
	plan.Matmul2D: "Metal language 4.0 and MetalPerformancePrimitives of macOS 26.2 or later, on an M5 or a later GPU",
}

// unmet is err of a plan's kernel, whose compilation shows whether GPU and system have
// what it needs.
func unmet(k *plan.Kernel, target string, err error) error {
	_, all := plan.Capabilities([]plan.Kernel{*k})
	for _, n := range all {
		err = fmt.Errorf("%w; the kernel needs %s: %s; where they are missing compile the plan for a target before %s", err, n, needs[n], target)
	}
	return err
}

// Load compiles the plan's kernels with fast math off. Where the device has a cache
// folder it keeps the pipelines; that they cannot be kept is told by Startup.
func (d *Device) Load(ctx context.Context, p *plan.Plan, progress fruntime.Progress) (fruntime.Program, error) {
	if !d.opts.TrustKernels {
		if err := gate.Check(p.Kernels); err != nil {
			return nil, fmt.Errorf("metal: %w", err)
		}
	}
	language, ok := languages[p.MSL]
	if !ok {
		return nil, fmt.Errorf("metal: the plan wants Metal language %q, which this version does not know", p.MSL)
	}
	if err := d.limits.check(p); err != nil {
		return nil, err
	}
	g := &program{d: d, open: make(map[*encoder]bool)}
	err := d.b.pool(func() (err error) {
		if g.queue, err = d.newQueue(); err != nil {
			return err
		}
		start := time.Now()
		a := d.openArchive(p)
		defer a.close()
		for i := range p.Kernels {
			if err := ctx.Err(); err != nil {
				return err
			}
			k, err := d.compile(&p.Kernels[i], language, a)
			if err != nil {
				return unmet(&p.Kernels[i], p.Options.Target, err)
			}
			g.kernels = append(g.kernels, k)
			if progress != nil {
				progress("compile kernels", int64(i+1), int64(len(p.Kernels)))
			}
		}
		g.startup.Add(fruntime.Phase{Name: "compile kernels (Metal)", Kernels: len(p.Kernels), Fresh: a.missed}, start)
		start = time.Now()
		if err := a.keep(); err != nil {
			g.startup.Add(fruntime.Phase{Name: "compiled kernels are not kept: " + err.Error()}, start)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// Startup says what compiling the kernels took.
func (g *program) Startup() []fruntime.Phase { return g.startup.Phases() }

// compile makes one kernel's pipeline.
func (d *Device) compile(k *plan.Kernel, language uint64, a *archive) (out kernel, err error) {
	b := d.b
	out = kernel{name: k.Name, slots: k.Slots, threads: size{uint64(k.Threads[0]), uint64(k.Threads[1]), uint64(k.Threads[2])}}
	for _, t := range k.Threadgroup {
		out.threadgroup = append(out.threadgroup, uint64(t.Bytes))
	}
	options := b.allocInit(b.MTLCompileOptions)
	defer b.release(options)
	b.setFastMath.Call(options, b.setFastMath.Sel, false)
	b.setLanguage.Call(options, b.setLanguage.Sel, language)
	var failure id
	library := b.newLibrary.Call(d.dev, b.newLibrary.Sel, b.str(k.Source), options, &failure)
	if library == 0 {
		return out, b.failure("kernel "+k.Name+" does not compile", failure)
	}
	defer b.release(library)
	function := b.newFunction.Call(library, b.newFunction.Sel, b.str(k.Name))
	if function == 0 {
		return out, fmt.Errorf("metal: the text of kernel %s holds no function of that name", k.Name)
	}
	defer b.release(function)
	desc := b.allocInit(b.MTLComputePipelineDescriptor)
	defer b.release(desc)
	b.setPipelineLabel.Call(desc, b.setPipelineLabel.Sel, b.str(k.Name))
	b.setFunction.Call(desc, b.setFunction.Sel, function)
	threads := out.threads.Width * out.threads.Height * out.threads.Depth
	b.setMaxThreads.Call(desc, b.setMaxThreads.Sel, threads)
	b.setIndirect.Call(desc, b.setIndirect.Sel, d.opts.Indirect)
	if out.pipeline, failure = a.pipeline(desc); out.pipeline == 0 {
		return out, b.failure("kernel "+k.Name+" makes no pipeline", failure)
	}
	defer func() {
		if err != nil {
			b.release(out.pipeline)
		}
	}()
	if limit := b.maxTotalThreads.Call(out.pipeline, b.maxTotalThreads.Sel); threads > limit {
		return out, fmt.Errorf("metal: kernel %s runs %d threads a threadgroup, its pipeline allows %d", k.Name, threads, limit)
	}
	if w := b.executionWidth.Call(out.pipeline, b.executionWidth.Sel); w != 32 {
		return out, fmt.Errorf("metal: kernel %s has simdgroups of %d lanes on this GPU; the plan needs 32", k.Name, w)
	}
	return out, nil
}

// Close releases pipelines and queue; what was committed and not waited for is
// waited for first. What is still encoded only its goroutine can end.
func (g *program) Close() error {
	g.mu.Lock()
	open := slices.Collect(maps.Keys(g.open))
	g.mu.Unlock()
	var err error
	for _, e := range open {
		if !e.committed {
			return fmt.Errorf("metal: the program is closed while a command buffer is encoded: commit it first")
		}
		err = errors.Join(err, e.Wait())
	}
	return errors.Join(err, g.d.b.pool(func() error {
		for _, k := range g.kernels {
			g.d.b.release(k.pipeline)
		}
		g.d.b.release(g.queue)
		g.kernels, g.queue = nil, 0
		return nil
	}))
}
