package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// row sums up the records of one folder of a kind.
type row struct {
	drawn, killed, equal, lived int
	stages                      map[string]int
}

func (r *row) add(x record) {
	switch {
	case !x.counts():
		r.stages[x.Stage]++
		return
	case x.Stage != "":
		r.killed++
		r.stages[x.Stage]++
	case x.Equal != "":
		r.equal++
	default:
		r.lived++
	}
	r.drawn++
}

// printTable writes the table by kind and folder, the stages, and the survivors. The
// error is that fewer than least percent of all were found, or that too many of a kind are
// called equivalent.
func printTable(w io.Writer, records []record, least float64) (err error) {
	kinds := map[string]map[string]*row{}
	for _, x := range records {
		if kinds[x.Kind] == nil {
			kinds[x.Kind] = map[string]*row{}
		}
		for _, name := range []string{x.Folder, "\xffall"} {
			if kinds[x.Kind][name] == nil {
				kinds[x.Kind][name] = &row{stages: map[string]int{}}
			}
			kinds[x.Kind][name].add(x)
		}
	}
	found, of := 0, 0
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(w, "%-28s %7s %7s %7s %7s %8s\n", kind, "mutants", "killed", "equal", "lived", "killed %")
		for _, name := range slices.Sorted(maps.Keys(kinds[kind])) {
			r := kinds[kind][name]
			counted := r.drawn - r.equal
			fmt.Fprintf(w, "  %-26s %7d %7d %7d %7d %8.1f\n", cmp.Or(map[bool]string{true: "all"}[name == "\xffall"], name), r.drawn, r.killed, r.equal, r.lived,
				100*float64(r.killed)/float64(max(counted, 1)))
		}
		stages, sum := kinds[kind]["\xffall"].stages, kinds[kind]["\xffall"]
		found, of = found+sum.killed, of+sum.drawn-sum.equal
		if float64(sum.equal) > max(1, mostEqual*float64(sum.drawn)) {
			err = errors.Join(err, fmt.Errorf("%s: %d of %d are called equivalent, at most %g %% are", kind, sum.equal, sum.drawn, 100*mostEqual))
		}
		for _, s := range slices.Sorted(maps.Keys(stages)) {
			note := ""
			if s == broken || s == late {
				note = ", not counted and drawn again"
			}
			fmt.Fprintf(w, "    %-24s %7d%s\n", s, stages[s], note)
		}
	}
	for _, x := range records {
		if x.Stage == "" && x.Equal == "" {
			fmt.Fprintf(w, "\nlived: %s %d, %s: %s\n%s", x.Kind, x.N, x.Place, x.What, x.Diff)
		}
	}
	if 100*float64(found) < least*float64(of) {
		err = errors.Join(err, fmt.Errorf("%d of %d mistakes were found, want %g %%", found, of, least))
	}
	return err
}
