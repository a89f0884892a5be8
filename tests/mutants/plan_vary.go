package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"

	"foundry/ir/sym"
	"foundry/lower/plan"
)

// variation is a change after which a plan is as good as before.
type variation struct {
	name string
	vary func(p *plan.Plan, rng *rand.Rand)
}

// variations are the ways in which another compiler might have written a plan down.
var variations = []variation{
	{"dispatches of a wave in another order", func(p *plan.Plan, rng *rand.Rand) {
		for _, e := range p.Runs() {
			for first := 0; first < len(e.Steps); first++ {
				last := first
				for last < len(e.Steps) && e.Steps[last].Dispatch != nil {
					last++
				}
				wave := e.Steps[first:last]
				if !advances(p, wave) {
					rng.Shuffle(len(wave), func(i, j int) { wave[i], wave[j] = wave[j], wave[i] })
				}
				first = last
			}
		}
	}},
	{"buffers in another order", func(p *plan.Plan, rng *rand.Rand) {
		to := rng.Perm(len(p.Buffers))
		before := slices.Clone(p.Buffers)
		for i, b := range before {
			p.Buffers[to[i]] = b
		}
		for _, e := range p.Runs() {
			for i := range e.Results {
				e.Results[i].Buffer = to[e.Results[i].Buffer]
			}
			for _, d := range dispatches(e) {
				for i := range d.Bind {
					d.Bind[i].Buffer = to[d.Bind[i].Buffer]
				}
			}
		}
	}},
	{"kernels in another order", func(p *plan.Plan, rng *rand.Rand) {
		to := rng.Perm(len(p.Kernels))
		before := slices.Clone(p.Kernels)
		for i, k := range before {
			p.Kernels[to[i]] = k
		}
		for _, e := range p.Runs() {
			for _, d := range dispatches(e) {
				d.Kernel = to[d.Kernel]
			}
		}
	}},
	{"entries and results in another order", func(p *plan.Plan, rng *rand.Rand) {
		rng.Shuffle(len(p.Entries), reflect.Swapper(p.Entries))
		for _, e := range p.Runs() {
			rng.Shuffle(len(e.Results), reflect.Swapper(e.Results))
		}
	}},
	{"other names", func(p *plan.Plan, rng *rand.Rand) {
		suffix := fmt.Sprintf(".%d", rng.IntN(1000))
		for i := range p.Buffers {
			p.Buffers[i].Name += suffix
		}
		for i := range p.Entries {
			p.Entries[i].Name += suffix
		}
		for _, e := range p.Runs() {
			for i := range e.Results {
				e.Results[i].Name += suffix
			}
			for _, d := range dispatches(e) {
				d.Label += suffix
			}
		}
		for i := range p.Kernels {
			k := &p.Kernels[i]
			name := fmt.Sprintf("k%d_%d", i, rng.IntN(1000))
			for _, form := range []string{"kernel void %s(", "// %s:", "kernels/%s.metal"} { // where its text has its name
				k.Source = strings.ReplaceAll(k.Source, fmt.Sprintf(form, k.Name), fmt.Sprintf(form, name))
			}
			k.Name, k.File = name, ""
		}
	}},
	{"an arena with room in front", func(p *plan.Plan, rng *rand.Rand) {
		room := 256 * (1 + rng.Int64N(64))
		p.ArenaBytes += room + 256*rng.Int64N(64)
		for i := range p.Buffers {
			if b := &p.Buffers[i]; b.Class == plan.Transient {
				b.Offset += room
			}
		}
	}},
	{"a shorter context in the same caches", func(p *plan.Plan, rng *rand.Rand) {
		if slices.ContainsFunc(p.Buffers, func(b plan.Buffer) bool {
			return slices.ContainsFunc(b.Shape, func(d sym.Dim) bool { return d.P != 0 })
		}) {
			return // it would have to shrink, too
		}
		p.Model.Context -= 1 + rng.IntN(p.Model.Context-p.Model.Chunk)
	}},
	{"other chains", func(p *plan.Plan, rng *rand.Rand) {
		if i := p.EntryFor(plan.Decode); i >= 0 {
			p.Entries[i].Chain = rng.IntN(64)
		}
	}},
	{"other command buffers", func(p *plan.Plan, rng *rand.Rand) {
		for _, e := range p.Runs() {
			e.CommandBuffers = nil
			for first := 0; first < len(e.Steps); {
				last := min(len(e.Steps), first+1+rng.IntN(20))
				e.CommandBuffers = append(e.CommandBuffers, plan.CommandBuffer{First: first, Last: last})
				first = last
			}
		}
	}},
	{"more threadgroup memory", func(p *plan.Plan, rng *rand.Rand) {
		for i := range p.Kernels {
			args := p.Kernels[i].Threadgroup
			total := 0
			for _, a := range args {
				total += a.Bytes
			}
			if len(args) > 0 && total+64 <= plan.MaxThreadgroupBytes {
				args[rng.IntN(len(args))].Bytes += 16 * (1 + rng.IntN(4))
			}
		}
	}},
	{"ends in another order", func(p *plan.Plan, rng *rand.Rand) {
		rng.Shuffle(len(p.Tokens.Ends), reflect.Swapper(p.Tokens.Ends))
	}},
}

// advances reports whether a dispatch of the wave writes T, P and S, which others read
// before they go on: the one dispatch whose place in its wave means something.
func advances(p *plan.Plan, wave []plan.Step) bool {
	for _, s := range wave {
		for _, b := range s.Dispatch.Bind {
			if p.Buffers[b.Buffer].Role == plan.StepBuffer && b.Access.Writes() {
				return true
			}
		}
	}
	return false
}

func dispatches(e *plan.Entry) (out []*plan.Dispatch) {
	for i := range e.Steps {
		if d := e.Steps[i].Dispatch; d != nil {
			out = append(out, d)
		}
	}
	return out
}

// copyPlan is a plan of which nothing is shared with p.
func copyPlan(p *plan.Plan) *plan.Plan { return deepCopy(reflect.ValueOf(p)).Interface().(*plan.Plan) }

func deepCopy(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(deepCopy(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(deepCopy(v.Index(i)))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(deepCopy(v.Field(i)))
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
