// Package graphviz draws DOT as SVG with nothing installed: it runs, in a machine of
// WebAssembly, the Graphviz that pages carry to draw themselves (vizjs/). A picture in a
// page and one in a file are the same drawing.
//
// The machine has memory of its own, no files, no clock and no random numbers: equal text
// gives equal bytes. It ends with its context.
//
// Read next: host.go, for what Graphviz asks of the world, and package viz, whose Render
// draws with this or with the system's Graphviz.
package graphviz

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// memoryPages is the largest memory of a drawing, in pages of 64 KiB: 1 GiB. The whole
// plan of a model of 24 layers takes 20 MB.
const memoryPages = 1 << 14

// Graphviz is a compiled Graphviz. One may draw several pictures at a time.
type Graphviz struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
}

// New compiles Graphviz for this machine, in about a second of processor time. Close it.
func New(ctx context.Context) (*Graphviz, error) {
	code, err := module(Script)
	if err != nil {
		return nil, err
	}
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(memoryPages).WithCloseOnContextDone(true))
	g := &Graphviz{runtime: r}
	if g.compiled, err = r.CompileModule(ctx, code); err == nil {
		err = provide(ctx, r, g.compiled.ImportedFunctions())
	}
	if err != nil {
		g.Close()
		return nil, fmt.Errorf("graphviz: the build in vizjs does not run here: %w", err)
	}
	return g, nil
}

// Close frees what New compiled.
func (g *Graphviz) Close() {
	_ = g.runtime.Close(context.Background()) // memory only
}

// SVG lays the graph of the DOT text out with dot and returns the picture. The error is
// ctx's where that ended, and Graphviz's own words where it refused the text.
func (g *Graphviz) SVG(ctx context.Context, text string) ([]byte, error) {
	said := &messages{}
	m, err := g.runtime.InstantiateModule(context.WithValue(ctx, messagesKey{}, said), g.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, fmt.Errorf("graphviz: %w", err)
	}
	defer m.Close(context.Background())
	d := &drawing{ctx: context.WithValue(ctx, messagesKey{}, said), module: m}
	d.call("initialise")
	graph := d.call("read", d.text(text))
	if d.err == nil && graph == 0 {
		return nil, said.refusal("the text holds no graph")
	}
	d.call("invert y", 0)
	d.call("reduce", 0)
	context := d.call("context")
	d.call("reset errors")
	if d.call("lay out", context, graph, d.text("dot")) != 0 && d.err == nil {
		return nil, said.refusal("it could not lay the graph out")
	}
	picture := d.call("render", context, graph, d.text("svg"))
	if d.err == nil && picture == 0 {
		return nil, said.refusal("it could not draw the graph")
	}
	out := d.stringAt(uint32(picture))
	var exit *sys.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(d.err, &exit):
		return nil, said.refusal("it ended")
	case d.err != nil:
		return nil, fmt.Errorf("graphviz: %w", d.err)
	}
	return out, nil
}

// drawing is one run; err is the first that it met, and what follows it does nothing.
type drawing struct {
	ctx    context.Context
	module api.Module
	err    error
}

func (d *drawing) call(what string, args ...uint64) uint64 {
	if d.err != nil {
		return 0
	}
	f := d.module.ExportedFunction(exports[what])
	if f == nil {
		d.err = fmt.Errorf("the build exports nothing to %s", what)
		return 0
	}
	results, err := f.Call(d.ctx, args...)
	if err != nil {
		d.err = err
		return 0
	}
	if len(results) == 0 {
		return 0
	}
	return results[0]
}

// text copies s to the machine and returns its place.
func (d *drawing) text(s string) uint64 {
	at := d.call("allocate", uint64(len(s)+1))
	if d.err == nil && (at == 0 || !d.module.Memory().Write(uint32(at), append([]byte(s), 0))) {
		d.err = errors.New("no memory is left for the text")
	}
	return at
}

// stringAt copies the text at a place, which a zero ends.
func (d *drawing) stringAt(at uint32) []byte {
	if d.err != nil {
		return nil
	}
	return textAt(d.module.Memory(), at)
}

func textAt(m api.Memory, at uint32) []byte {
	all, ok := m.Read(at, m.Size()-min(at, m.Size()))
	if !ok {
		return nil
	}
	n := bytes.IndexByte(all, 0)
	if n < 0 {
		return nil
	}
	return bytes.Clone(all[:n])
}
