package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/passes"
)

// A long list that nothing is measured of is counted in parts of partSize variants, on
// models of baseLayers and of one layer more: with equal layers every further layer adds
// what that one does.
const (
	partSize   = 256
	baseLayers = 1
)

// counted is an entry in numbers, before its times are predicted: all that grows by the
// same with each layer.
type counted struct {
	row     Row
	digest  string
	on      []*target.Target
	typical cost.Load     // the time of a typical step on the first of the targets, which the number of command buffers follows from
	loads   [][]cost.Load // loads by run, then by target
}

func (c *counted) load(g *ir.Graph, choices *cost.Choices, on []*target.Target, envs []sym.Env) {
	c.on = on
	c.typical = cost.LoadOf(cost.WavesOf(g, choices, cost.Typical(g.Bounds)), choices.Target)
	for _, env := range envs {
		waves, loads := cost.WavesOf(g, choices, env), make([]cost.Load, len(on))
		for i, t := range on {
			loads[i] = cost.LoadOf(waves, t)
		}
		c.loads = append(c.loads, loads)
	}
}

// predict fills in the row's modelled times.
func (c *counted) predict() {
	buffers := c.row.CommandBuffers / len(c.loads)
	for _, loads := range c.loads {
		for i, t := range c.on {
			us, _ := loads[i].Us(t, buffers)
			c.row.Modelled[t.Name] += us
		}
	}
}

// repeated is the entry with so many layers, of which base has baseLayers and longer one
// more. Its arena is left out: where buffers lie in it does not follow from few layers.
// buffers is the number of command buffers that was asked for, 0 for the best.
func repeated(base, longer *counted, layers, buffers int) *counted {
	further := layers - baseLayers
	grow := func(a, b int64) int64 { return a + int64(further)*(b-a) }
	load := func(a, b cost.Load) cost.Load {
		return cost.Load{DeviceUs: a.DeviceUs + float64(further)*(b.DeviceUs-a.DeviceUs), Dispatches: int(grow(int64(a.Dispatches), int64(b.Dispatches)))}
	}
	c := *longer
	for _, n := range []struct{ to, a, b *int }{
		{&c.row.Dispatches, &base.row.Dispatches, &longer.row.Dispatches},
		{&c.row.Waves, &base.row.Waves, &longer.row.Waves},
		{&c.row.Barriers, &base.row.Barriers, &longer.row.Barriers},
	} {
		*n.to = int(grow(int64(*n.a), int64(*n.b)))
	}
	c.row.ArenaBytes = 0
	c.row.WeightBytes = grow(base.row.WeightBytes, longer.row.WeightBytes)
	c.row.MovedBytes = grow(base.row.MovedBytes, longer.row.MovedBytes)
	c.row.Flops = grow(base.row.Flops, longer.row.Flops)
	c.typical = load(base.typical, longer.typical)
	c.loads = make([][]cost.Load, len(longer.loads))
	for i := range longer.loads {
		for j := range longer.loads[i] {
			c.loads[i] = append(c.loads[i], load(base.loads[i][j], longer.loads[i][j]))
		}
	}
	if buffers == 0 {
		_, buffers = c.typical.Us(c.on[0], 0)
	}
	c.row.CommandBuffers = max(1, min(buffers, c.typical.Dispatches)) * len(c.loads)
	return &c
}

// even reports whether all layers of g are of the same operations, types and attrs.
func even(g *ir.Graph) bool {
	layers := map[int]*strings.Builder{}
	for _, n := range g.Nodes() {
		if n.Layer() < 0 {
			continue
		}
		if layers[n.Layer()] == nil {
			layers[n.Layer()] = &strings.Builder{}
		}
		fmt.Fprintln(layers[n.Layer()], n.Key())
	}
	for _, l := range layers {
		if l.String() != layers[0].String() {
			return false
		}
	}
	return true
}

// counter counts variants.
type counter struct {
	whole        *distinctPlans
	base, longer *distinctPlans // nil where the layers differ or are few
}

func (b *distinctPlans) counter() (*counter, error) {
	c := &counter{whole: b}
	if b.m.Config.Layers <= baseLayers+1 || !even(b.graph) {
		return c, nil
	}
	for i, small := range []**distinctPlans{&c.base, &c.longer} {
		own, _, err := b.o.distinctPlans(b.m.WithLayers(baseLayers + i))
		if err != nil {
			return nil, err
		}
		*small = own
	}
	return c, nil
}

// count returns what the variants are in numbers. Where few layers tell variants apart
// otherwise than one layer more does, all layers are compiled.
func (c *counter) count(variants []passes.Subset) ([]*counted, error) {
	if c.base != nil {
		_, base, err := c.base.compile(variants)
		if err != nil {
			return nil, err
		}
		_, longer, err := c.longer.compile(variants)
		if err != nil {
			return nil, err
		}
		same := slices.EqualFunc(base, longer, func(a, b *counted) bool {
			return a.row.Variant == b.row.Variant && slices.Equal(a.row.Also, b.row.Also)
		})
		if same {
			out := make([]*counted, len(base))
			for i := range base {
				out[i] = repeated(base[i], longer[i], c.whole.m.Config.Layers, c.whole.graphs.Options.CommandBuffers)
			}
			return out, nil
		}
	}
	_, list, err := c.whole.compile(variants)
	return list, err
}

// count counts variants, as many parts at a time as there are processors, and tells of
// rows in the variants' order.
func (b *distinctPlans) count(ctx context.Context, variants []passes.Subset) error {
	c, err := b.counter()
	if err != nil {
		return err
	}
	if c.base != nil {
		b.o.Say(fmt.Sprintf("%d variants, counted on %d and %d of %d equal layers", len(variants), baseLayers, baseLayers+1, b.m.Config.Layers))
	}
	parts := slices.Collect(slices.Chunk(variants, partSize))
	lists := make([]chan []*counted, len(parts))
	for i := range lists {
		lists[i] = make(chan []*counted, 1)
	}
	group, ctx := errgroup.WithContext(ctx)
	work := make(chan int, len(parts))
	for i := range parts {
		work <- i
	}
	close(work)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for i := range work {
				if err := ctx.Err(); err != nil {
					return err
				}
				list, err := c.count(parts[i])
				if err != nil {
					return err
				}
				lists[i] <- list
			}
			return nil
		})
	}
	done := 0
	for i := range parts {
		select {
		case list := <-lists[i]:
			first := len(b.rows)
			b.take(list)
			if b.o.Counted != nil {
				b.o.Counted(b.rows[first:])
			}
		case <-ctx.Done():
			return group.Wait()
		}
		if done += len(parts[i]); b.o.Progress != nil {
			b.o.Progress("compile", int64(done), int64(len(variants)))
		}
	}
	return group.Wait()
}
