package mtl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
)

// program is a plan's pipelines and the queue they run on.
type program struct {
	d       *Device
	queue   id
	kernels []kernel

	mu   sync.Mutex
	open map[*encoder]bool // in use
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

var languages = map[string]uint64{"2.4": MTLLanguageVersion2_4, "3.0": MTLLanguageVersion3_0, "3.1": MTLLanguageVersion3_1}

// Load compiles the plan's kernels with fast math off, and keeps the pipelines
// in a binary archive where the device has a cache folder.
func (d *Device) Load(ctx context.Context, p *plan.Plan, progress fruntime.Progress) (fruntime.Program, error) {
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
		a := d.openArchive(p.Hash)
		defer a.close()
		for i := range p.Kernels {
			if err := ctx.Err(); err != nil {
				return err
			}
			k, err := d.compile(&p.Kernels[i], language, a)
			if err != nil {
				return err
			}
			g.kernels = append(g.kernels, k)
			if progress != nil {
				progress("compile kernels", int64(i+1), int64(len(p.Kernels)))
			}
		}
		return a.save()
	})
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// compile makes one kernel's pipeline.
func (d *Device) compile(k *plan.Kernel, language uint64, a *archive) (kernel, error) {
	b := d.b
	out := kernel{name: k.Name, slots: k.Slots, threads: size{uint64(k.Threads[0]), uint64(k.Threads[1]), uint64(k.Threads[2])}}
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
	if a != nil {
		b.setArchives.Call(desc, b.setArchives.Sel, b.arrayWith.Call(b.NSArray, b.arrayWith.Sel, a.object))
	}
	failure = 0
	out.pipeline = b.newPipeline.Call(d.dev, b.newPipeline.Sel, desc, 0, nil, &failure)
	if out.pipeline == 0 {
		return out, b.failure("kernel "+k.Name+" makes no pipeline", failure)
	}
	if limit := b.maxTotalThreads.Call(out.pipeline, b.maxTotalThreads.Sel); threads > limit {
		b.release(out.pipeline)
		return out, fmt.Errorf("metal: kernel %s runs %d threads a threadgroup, its pipeline allows %d", k.Name, threads, limit)
	}
	if w := b.executionWidth.Call(out.pipeline, b.executionWidth.Sel); w != 32 {
		b.release(out.pipeline)
		return out, fmt.Errorf("metal: kernel %s has simdgroups of %d lanes on this GPU; the plan needs 32", k.Name, w)
	}
	return out, a.add(desc)
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

// archive is the binary archive of one plan on disk; nil keeps nothing.
type archive struct {
	b      *bridge
	object id
	path   string
	fresh  bool // nothing stood on disk
}

// openArchive reads the plan's archive, or starts one. A damaged or foreign
// archive is started anew: the pipelines then compile from source as without it.
func (d *Device) openArchive(hash string) *archive {
	if d.opts.CacheDir == "" || hash == "" {
		return nil
	}
	b := d.b
	a := &archive{b: b, path: filepath.Join(d.opts.CacheDir, hash+".metalarchive")}
	desc := b.allocInit(b.MTLBinaryArchiveDescriptor)
	defer b.release(desc)
	if _, err := os.Stat(a.path); err == nil {
		b.setArchiveURL.Call(desc, b.setArchiveURL.Sel, a.url())
		var failure id
		a.object = b.newArchive.Call(d.dev, b.newArchive.Sel, desc, &failure)
	}
	if a.object == 0 {
		a.fresh = true
		b.setArchiveURL.Call(desc, b.setArchiveURL.Sel, 0)
		var failure id
		if a.object = b.newArchive.Call(d.dev, b.newArchive.Sel, desc, &failure); a.object == 0 {
			return nil
		}
	}
	return a
}

func (a *archive) url() id {
	return a.b.fileURL.Call(a.b.NSURL, a.b.fileURL.Sel, a.b.str(a.path))
}

func (a *archive) add(desc id) error {
	if a == nil || !a.fresh {
		return nil
	}
	var failure id
	if !a.b.addToArchive.Call(a.object, a.b.addToArchive.Sel, desc, &failure) {
		return a.b.failure("the pipeline cache refuses a kernel", failure)
	}
	return nil
}

func (a *archive) save() error {
	if a == nil || !a.fresh {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(a.path), 0o755); err != nil {
		return fmt.Errorf("metal: no folder for compiled pipelines: %w", err)
	}
	var failure id
	if !a.b.saveArchive.Call(a.object, a.b.saveArchive.Sel, a.url(), &failure) {
		return a.b.failure("the pipeline cache cannot be written to "+a.path, failure)
	}
	return nil
}

func (a *archive) close() {
	if a != nil {
		a.b.release(a.object)
	}
}
