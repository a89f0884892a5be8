package cost

import (
	"foundry/ir"
	"foundry/ir/sym"
	"foundry/ir/target"
)

// Repeated predicts, from a graph with one layer, the device time of the graph with
// that layer `layers` times, whose kernels are dealt out for the target of c and run on
// another: a wave that holds a kernel of the layer runs so often, any other once.
func Repeated(g *ir.Graph, c *Choices, on *target.Target, e sym.Env, layers int) float64 {
	run := c.Finished(g, e)
	kernels := func(n *ir.Node) []Kernel {
		ks := run.Kernels(n)
		for i := range ks {
			ks[i].Layered = n.Layer() >= 0
		}
		return ks
	}
	us := 0.0
	for _, w := range Waves(g.Nodes(), nil, kernels) {
		times := 1
		for _, k := range w {
			if k.Layered {
				times = layers
			}
		}
		us += float64(times) * Wave(w, on)
	}
	return us
}
