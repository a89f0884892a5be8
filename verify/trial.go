package verify

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/target"
)

// trial is one probe of a kernel, made ready to run: the graph as it stands in a
// frontend, the graph that reaches the kernel, and for a fused kernel its unfused
// twin.
type trial struct {
	kernel    *kernelKind
	format    string
	place     int // the probe's place in its row
	probe     probe
	flatGraph *ir.Graph               // the graph that the interpreter runs in float64
	fused     *ir.Graph               // the graph behind the probe's passes
	twin      *ir.Graph               // the same without fusion; nil where nothing is fused
	bounds    map[string]interp.Bound // bounds by result
}

// entries lists the graphs that a device runs.
func (s *trial) entries() []*ir.Graph {
	if s.twin == nil {
		return []*ir.Graph{s.fused}
	}
	return []*ir.Graph{s.fused, s.twin}
}

// trials returns the probes of the table for t that are wanted; nil: all.
func trials(t *target.Target, quick bool, only func(k *kernelKind, format string, place int) bool) ([]*trial, error) {
	var out []*trial
	add := func(k *kernelKind, format string, probes []probe) error {
		if t.MatrixTFlops > 0 {
			for _, f := range probes {
				if f, is := f.inMatrices(united); is {
					probes = append(probes, f)
				}
				if f, is := f.inMatrices(united | once); is && format != dtype.F16.String() {
					probes = append(probes, f)
				}
			}
		}
		for i, f := range probes {
			if only != nil && !only(k, format, i) {
				continue
			}
			name := fmt.Sprintf("%s %s %d", k.name, format, i) // which seeds the numbers of the probe, whatever else the table has
			flat, err := f.graph(name)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", k.name, format, err)
			}
			s, err := newTrial(name, k, format, f, flat, f.on.target(t))
			if err != nil {
				return fmt.Errorf("%s, %s: %w", k.name, format, err)
			}
			s.place = i
			if err := s.check(); err != nil {
				return err
			}
			out = append(out, s)
		}
		return nil
	}
	for i := range table {
		k := &table[i]
		for _, f := range k.formatsOf(i, quick) {
			if err := add(k, f.String(), k.probes(f, quick)); err != nil {
				return nil, err
			}
		}
		for _, f := range k.planedFormats(quick) {
			probes, err := k.planedProbes(f, quick)
			if err != nil {
				return nil, err
			}
			if err := add(k, f.String()+" in planes", probes); err != nil {
				return nil, err
			}
		}
		if k.mixed != nil {
			if err := add(k, "mixed", k.mixed(quick)); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// formatsOf returns the types that row i is run with. A quick run takes all of them
// in the kernels that do little else than read them, and elsewhere the first and one
// other, which the rows share out among them.
func (k *kernelKind) formatsOf(i int, quick bool) []dtype.Type {
	if !quick || k.every || len(k.formats) < 3 {
		return k.formats
	}
	return []dtype.Type{k.formats[0], k.formats[1+i%(len(k.formats)-1)]}
}

// planedFormats returns the formats that a row is run with in planes. A quick run takes
// all of them where a product does little else than read them, and none elsewhere.
func (k *kernelKind) planedFormats(quick bool) []dtype.Type {
	var out []dtype.Type
	for _, f := range k.formats {
		n, _ := f.Block()
		if f.HasPlanes(int64(n)) {
			out = append(out, f)
		}
	}
	if quick && !(k.every && slices.Contains(k.ops, ir.OpMatmulNT)) {
		return nil
	}
	return out
}

// planedProbes are those of a format in which a weight can lie in planes, on a machine
// that has it so; a quick run takes one.
func (k *kernelKind) planedProbes(t dtype.Type, quick bool) ([]probe, error) {
	var out []probe
	for _, f := range k.probes(t, false) {
		g, err := f.graph("planes")
		if err != nil {
			return nil, fmt.Errorf("%s, %s in planes: %w", k.name, t, err)
		}
		if slices.ContainsFunc(g.Params, liesInPlanes) {
			out = append(out, f.inPlanes())
		}
	}
	return firstFew(quick, 1, out), nil
}

func liesInPlanes(p *ir.Value) bool {
	if p.Param.Kind != ir.Weight || !p.Type.DType.Quantised() {
		return false
	}
	cols, ok := p.Type.Shape.At(-1).Const()
	return ok && p.Type.DType.HasPlanes(cols)
}

// newTrial takes flat, which nobody else has.
func newTrial(name string, k *kernelKind, format string, f probe, flat *ir.Graph, t *target.Target) (*trial, error) {
	rename(flat, name)
	s := &trial{kernel: k, format: format, probe: f, flatGraph: flat}
	var err error
	s.bounds = boundsOf(flat)
	if s.fused, err = f.fused(flat, t); err != nil {
		return nil, err
	}
	if f.twin != "" {
		plain := f
		plain.body = f.twin
		if s.twin, err = plain.graph(name); err != nil {
			return nil, err
		}
		rename(s.twin, name)
		s.twin.Name += "_twin"
	}
	if slices.ContainsFunc(s.fused.Nodes(), func(n *ir.Node) bool { return n.Op == ir.OpFused }) {
		plain := f
		plain.passes, plain.pipeline = "", nil
		if s.twin, err = plain.fused(flat, t); err != nil {
			return nil, err
		}
		s.twin.Name += "_twin"
	}
	return s, nil
}

// rename puts the probe's name before params and results, so that the graphs of one
// plan share nothing but what a fused graph shares with its twin.
func rename(g *ir.Graph, name string) {
	g.Name = name
	for _, p := range g.Params {
		p.Param.Name = name + "." + p.Param.Name
	}
	for i := range g.Results {
		g.Results[i].Name = name + "." + g.Results[i].Name
	}
}

// nodes are those of the trial's graph that its row stands for.
func (s *trial) nodes() []*ir.Node {
	return slices.DeleteFunc(slices.Clone(s.fused.Nodes()), func(n *ir.Node) bool {
		if s.kernel.pattern != "" {
			return n.Attr.Pattern != s.kernel.pattern
		}
		return !slices.Contains(s.kernel.ops, n.Op)
	})
}
