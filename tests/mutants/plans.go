package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"foundry"
	"foundry/ir/dtype"
	"foundry/lower/plan"
	"foundry/runtime/msl/gate"
)

// planModel is the model whose plans are changed: it has weights, and its sizes are small.
const planModel = "kjv-2m"

// planOptions are the plans that are changed.
var planOptions = []foundry.CompileOptions{
	{Context: 64, Chunk: 16, Sampler: true},
	{Variant: "unfused", Context: 64, Chunk: 16},
	{Variant: "fewest", Context: 64, Chunk: 16, AllLogits: true, CommandBuffers: 2},
	{Context: 64, Chunk: 16, Weights: dtype.Q8_0, Sampler: true},
	{Context: 64, Chunk: 16, Cache: dtype.F32, Weights: dtype.BF16},
}

// planBase is a plan to change, and what is known of it unchanged.
type planBase struct {
	name   string
	plan   *plan.Plan
	tokens *plan.Tokens // what the checkpoint says
	out    [2]outcome   // outcomes of a run, and of a checked one
}

func planBases() (out []*planBase, err error) {
	m, err := foundry.Open(planModel, foundry.Hub{})
	if err != nil {
		return nil, err
	}
	tokens, _, err := m.Tokens()
	if err != nil {
		return nil, err
	}
	for i, o := range planOptions {
		c, err := foundry.Compile(m, o)
		if err != nil {
			return nil, err
		}
		if err := c.Plan.Check(); err != nil {
			return nil, err
		}
		out = append(out, &planBase{name: fmt.Sprintf("plan %d", i), plan: c.Plan, tokens: tokens})
	}
	return out, nil
}

// planMutant is one change of a plan.
type planMutant struct {
	field string
	change
}

// drawPlan draws different changes of a plan n at most: fields in turn, of each
// a place and a way of changing it by chance, so that a field with few values counts as
// much as bindings.
func drawPlan(p *plan.Plan, rng *rand.Rand, n int) (out []planMutant) {
	sites := planSites(p)
	fields := sortedKeys(sites)
	rng.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	drawn := map[string]bool{}
	for try := 0; len(out) < n && try < 20*n; try++ {
		field := fields[try%len(fields)]
		of := sites[field]
		some := make([]site, 4)
		for i := range some {
			some[i] = of[rng.IntN(len(of))]
		}
		ways := of[rng.IntN(len(of))].ways(some)
		if len(ways) == 0 {
			continue
		}
		if c := ways[rng.IntN(len(ways))]; !drawn[c.what] {
			drawn[c.what] = true
			out = append(out, planMutant{field, c})
		}
	}
	return out
}

// The stages of a changed plan. The first three are in this process, and count as one.
const (
	byVerify     = "plan.Check"
	byGate       = "gate"
	byCheckpoint = "the checkpoint's tokens"
	byRun        = "run on cpu"
	byChecked    = "run on cpu, checked"
)

// refuse returns the stage in this process that refuses the plan as it is, and why.
func (b *planBase) refuse(field string) (stage string, why error) {
	if err := b.plan.Check(); err != nil {
		return byVerify, err
	}
	of, _, _ := strings.Cut(field, ".")
	if slices.Contains([]string{"Kernel", "Slot", "ThreadgroupArg"}, of) {
		if err := gate.Check(b.plan.Kernels); err != nil {
			return byGate, err
		}
	}
	if (strings.HasPrefix(of, "Token") || field == "Plan.Tokens") && (b.plan.Tokens == nil || !reflect.DeepEqual(sortedEnds(b.plan.Tokens), sortedEnds(b.tokens))) {
		return byCheckpoint, fmt.Errorf("the tokens are not those of %s", planModel)
	}
	return "", nil
}

// sortedEnds is t with its ends in order, which means nothing.
func sortedEnds(t *plan.Tokens) plan.Tokens {
	out := *t
	out.Ends = slices.Sorted(slices.Values(t.Ends))
	return out
}

// planRunner runs plan mutants.
type planRunner struct {
	bases []*planBase
	self  []string // how to run this program
	work  string   // a folder for bundles
	limit time.Duration
}

// runs are the stages that run the plan, the checked one last.
var runs = [2]string{byRun, byChecked}

// known makes sure that the outcome of the base is known. A run is the same each time.
func (r *planRunner) known(ctx context.Context, b *planBase, checked int) error {
	if b.out[checked].IDs != nil {
		return nil
	}
	dir, err := r.save(b.plan)
	if err != nil {
		return err
	}
	if b.out[checked], _, err = inChild(ctx, r.self, dir, planModel, checked == 1, 10*r.limit); err != nil {
		return fmt.Errorf("%s unchanged: %w", b.name, err)
	}
	return nil
}

func (r *planRunner) save(p *plan.Plan) (dir string, err error) {
	dir = filepath.Join(r.work, "plan")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, p.Save(dir)
}

// run does to a mutant what is done to plans, until something notices. most is how many
// stages may be used: one is what needs no run.
func (r *planRunner) run(ctx context.Context, b *planBase, m planMutant, most int) (rec record, err error) {
	start := time.Now()
	rec = record{Folder: m.field, Place: b.name, What: m.what}
	undo := m.make()
	stage, why := b.refuse(m.field)
	undo()
	if stage == "" {
		rec.Equal = m.equal
	}
	for checked := range runs {
		if stage != "" || rec.Equal != "" || most < 2+checked {
			break
		}
		if stage, why, err = r.execute(ctx, b, m, checked); err != nil {
			return rec, err
		}
	}
	rec.Stage, rec.Seconds = stage, time.Since(start).Seconds()
	if why != nil {
		rec.Why = why.Error()
	}
	return rec, ctx.Err()
}

// execute runs the changed plan; the stage is empty where nobody noticed.
func (r *planRunner) execute(ctx context.Context, b *planBase, m planMutant, checked int) (stage string, why, err error) {
	if err := r.known(ctx, b, checked); err != nil {
		return "", nil, err
	}
	undo := m.make()
	dir, err := r.save(b.plan)
	undo()
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", m.what, err)
	}
	out, timedOut, why := inChild(ctx, r.self, dir, planModel, checked == 1, r.limit)
	switch {
	case timedOut:
		return late, why, nil
	case why != nil:
		return runs[checked], why, nil
	case b.out[checked].differs(out) != "":
		return runs[checked], errors.New(b.out[checked].differs(out)), nil
	}
	return "", nil, nil
}

// runAll runs n mutants of plans, of one base after the other.
func (r *planRunner) runAll(ctx context.Context, j *journal, seed uint64, n, most int) (out []record, err error) {
	if r.bases, err = planBases(); err != nil {
		return nil, err
	}
	each := n/len(r.bases) + 20 // some do not count
	draws := make([][]planMutant, len(r.bases))
	for i, b := range r.bases {
		draws[i] = drawPlan(b.plan, rand.New(rand.NewPCG(seed, uint64(i))), each)
	}
	counted := 0
	for k := 0; counted < n && k < each*len(r.bases); k++ {
		b, m := k%len(r.bases), k/len(r.bases)
		if m >= len(draws[b]) {
			continue
		}
		rec, done := j.had[key("plan", seed, k)]
		if !done {
			if rec, err = r.run(ctx, r.bases[b], draws[b][m], most); err != nil {
				return out, err
			}
			rec.Kind, rec.Seed, rec.N = "plan", seed, k
			if err := j.write(rec); err != nil {
				return out, err
			}
		}
		out = append(out, rec)
		if rec.counts() {
			counted++
		}
	}
	return out, nil
}
