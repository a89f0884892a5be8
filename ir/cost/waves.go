package cost

import (
	"foundry/ir"
	"foundry/ir/sym"
	"foundry/ir/target"
)

// Summary is a graph in numbers, for one run.
type Summary struct {
	Dispatches int
	Waves      int
	Memory     float64 // bytes
	Moved      int64   // bytes, each operand of each dispatch once
	Flops      int64
	Us         float64 // time of the device, in one command buffer
}

// Summarise returns the numbers of g, which may still be fused, on the target of c in the
// run e.
func Summarise(g *ir.Graph, c *Choices, e sym.Env) Summary {
	t := c.Target
	nodes, run := g.Nodes(), Run{Target: t, Choices: c, Bounds: g.Bounds, Env: e}
	waves := Waves(nodes, nil, run.Kernels)
	s := Summary{Waves: len(waves)}
	for _, w := range waves {
		s.Us += Wave(w, t)
		s.Dispatches += len(w)
		for _, k := range w {
			s.Memory += k.Memory
		}
	}
	for _, n := range nodes {
		s.Moved += Moved(n).Eval(e)
		s.Flops += Flops(n).Eval(e)
	}
	return s
}

// Predict returns the time on t, us, of the kernels that lowering makes of g for
// the target of c, or for t, in so many command buffers: how they are dealt out
// follows from the one, what that costs from the other.
func Predict(g *ir.Graph, c *Choices, t *target.Target, e sym.Env, buffers int) float64 {
	us, _ := LoadOf(WavesOf(g, c, e), t).Us(t, buffers)
	return us
}

// WavesOf puts the kernels that lowering makes of g for the target of c into waves.
func WavesOf(g *ir.Graph, c *Choices, e sym.Env) [][]Kernel {
	return Waves(g.Nodes(), nil, c.Finished(g, e).Kernels)
}

// Waves puts the kernels of nodes into the earliest wave that each can run in;
// what other nodes make is there from the start. A node that stands in replaced
// counts as the node it maps to, so that a region can be weighed before the graph
// is edited. kernels says what a node becomes.
func Waves(nodes []*ir.Node, replaced map[*ir.Node]*ir.Node, kernels func(*ir.Node) []Kernel) [][]Kernel {
	s := scheduler{replaced: replaced, kernels: kernels, done: make(map[*ir.Node]int, len(nodes))}
	for _, n := range nodes {
		s.done[n] = unplaced
	}
	for _, n := range nodes {
		s.firstWave(n)
	}
	return s.waves
}

const unplaced = -1

type scheduler struct {
	replaced map[*ir.Node]*ir.Node
	kernels  func(*ir.Node) []Kernel
	done     map[*ir.Node]int // the first wave that sees the node's results
	waves    [][]Kernel
}

func (s *scheduler) put(k Kernel, wave int) {
	for len(s.waves) <= wave {
		s.waves = append(s.waves, nil)
	}
	s.waves[wave] = append(s.waves[wave], k)
}

// firstWave returns the first wave that may use n's results.
func (s *scheduler) firstWave(n *ir.Node) int {
	if m := s.replaced[n]; m != nil {
		n = m
	}
	wave, ours := s.done[n]
	if !ours {
		return 0
	}
	if wave != unplaced {
		return wave
	}
	wave = 0
	for _, a := range n.Args {
		if a.Def != nil {
			wave = max(wave, s.firstWave(a.Def))
		}
	}
	for _, k := range s.kernels(n) {
		if k.Early {
			wave = max(wave, 1)
			s.put(k, wave-1)
			continue
		}
		s.put(k, wave)
		wave++
	}
	s.done[n] = wave
	return wave
}
