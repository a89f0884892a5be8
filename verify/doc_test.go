package verify

import (
	"fmt"
	"io"
	"strings"

	"foundry/ir/target"
)

// WriteDoc writes docs/kernels.md: the table of kernels, where plans of a model
// dispatch each, and what a whole run of it proves.
func WriteDoc(w io.Writer, t *target.Target, model string, plans []Compiled) error {
	k, err := kindsFor(t)
	if err != nil {
		return err
	}
	uses, strangers := k.usesIn(plans)
	if len(strangers) > 0 {
		return fmt.Errorf("no row of the table stands for %s", strings.Join(strangers, ", "))
	}
	all, err := trials(t, false, nil)
	if err != nil {
		return err
	}
	r := newReport(Options{Target: t})
	for _, s := range all {
		row := r.row(s.kernel, s.format)
		row.Cases += len(s.sizesOf(false))
		for _, b := range s.bounds {
			row.loosen(b)
		}
		if s.twin != nil {
			row.Twin = &Twin{}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, docHead, model, pipelinesOf(plans))
	for i := range table {
		x := &table[i]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", x.name, x.checklist, usedIn(x, uses[x.name]), x.logic, r.proof(x), x.ideas)
	}
	for _, x := range preparations {
		fmt.Fprintf(&b, "| %s | preparation | %s | %s | %s | %s |\n", x.name, usedIn(&kernelKind{}, uses[x.name]), x.logic, x.proof, x.ideas)
	}
	fmt.Fprint(&b, docBounds)
	seen := map[string]bool{}
	for _, row := range r.Rows {
		if line := fmt.Sprintf("| %s | %s |\n", row.Bound, row.Bound.Why); !seen[line] {
			seen[line] = true
			b.WriteString(line)
		}
	}
	_, err = io.WriteString(w, b.String())
	return err
}

const docHead = `# Kernels

Generated from the table of package verify by ` + "`go test ./verify -run Doc -update`" + `; do not
edit. ` + "`foundry verify`" + ` runs it: every kernel is reached through the compiler, from a
graph that the passes fuse as in a model, and its results are compared with the float64
interpreter's. A fused kernel runs beside its unfused twin, and the two are compared as
well. Blocks are read as stored; "in planes" are rows with their levels and scales
apart, as targets have them that say so (Planes in ir/target/data.go).

Used in: plans of %s, pipelines %s (of the
ladder's rungs the first that has the kernel, where none of those has it), N any layer. Proof: what a
whole run covers; ` + "`--quick`" + ` takes a part of it.

| kernel | of the list | used in | logic | proof | open ideas |
|---|---|---|---|---|---|
`

const docBounds = `
## Bounds

Against the float64 interpreter on the same operands (quantised weights: on what they
stand for). They live in one table, in ir/interp/bounds.go.

| bound | why |
|---|---|
`

func pipelinesOf(plans []Compiled) string {
	var names []string
	for _, c := range plans {
		if !c.Rung {
			names = append(names, c.Pipeline)
		}
	}
	return strings.Join(names, ", ")
}

// proof says what the rows of a kernel cover.
func (r *Report) proof(k *kernelKind) string {
	var formats, bounds []string
	cases, twin := 0, ""
	for _, row := range r.Rows {
		if row.Kernel != k.name {
			continue
		}
		formats = append(formats, row.Format)
		cases += row.Cases
		if row.Twin != nil {
			twin = ", each beside its unfused twin"
		}
		if b := row.Bound.String(); len(bounds) == 0 || bounds[len(bounds)-1] != b {
			bounds = append(bounds, b)
		}
	}
	return fmt.Sprintf("%d runs in %s%s; %s", cases, strings.Join(formats, ", "), twin, strings.Join(compact(bounds), ", "))
}

// compact drops repeated strings.
func compact(list []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s] {
			out = append(out, s)
		}
		seen[s] = true
	}
	return out
}
