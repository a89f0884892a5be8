package cli

import (
	"cmp"
	"fmt"
	"slices"

	"foundry"
	"foundry/ir/names"
	"foundry/runtime/bench"
)

// printSavings prints what each fusion of a list saves, where the list compares its
// variants.
func printSavings(s IO, rows []bench.Row, format string) {
	byName := map[string]*bench.Row{}
	for i := range rows {
		byName[rows[i].Variant] = &rows[i]
		for _, name := range rows[i].Also {
			byName[name] = &rows[i]
		}
	}
	var list []*bench.Saving
	var against []string
	for i := range rows {
		if v := rows[i].Saves; v != nil {
			list = append(list, v)
			rival := v.With
			if rival == rows[i].Variant {
				rival = v.Without
			}
			against = append(against, rival)
		}
	}
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(s.Out, "\nwhat each fusion saves: the difference of two rows")
	columns := append([]string{"fusion", "against", "dispatches", "moved"}, savingColumns(&rows[0])...)
	t := newTable(columns...).alignRight(columns[2 : len(columns)-1]...)
	for i, v := range list {
		with, without := byName[v.With], byName[v.Without]
		t.row(append([]any{v.Fusion, against[i], v.Dispatches, names.Bytes(v.MovedBytes)}, savingCells(v, with, without)...)...)
	}
	if format == "markdown" {
		fmt.Fprintln(s.Out)
		t.markdown(s.Out)
	} else {
		t.render(s.Out)
	}
	for _, v := range list {
		if v.Why != "" {
			names.Line(s.Out, "%s costs: %s\n", v.Fusion, v.Why)
		}
	}
}

// savingColumns are a saving's times, in columns as the row's, and what they are worth.
func savingColumns(row *bench.Row) []string {
	var out []string
	for _, name := range modelledTargets(row) {
		out = append(out, name, "%")
	}
	if row.Measured != nil {
		out = append(out, "measured", "95 % within", "% ")
	}
	return append(out, "")
}

// savingCells are what a saving has in savingColumns.
func savingCells(v *bench.Saving, with, without *bench.Row) []any {
	share := func(us, of float64) string { return fmt.Sprintf("%+.1f", 100*us/of) }
	var out []any
	mark := ""
	for _, name := range modelledTargets(without) {
		out = append(out, usText(v.Modelled[name]), share(v.Modelled[name], without.Modelled[name]))
		if v.Modelled[name] < 0 {
			mark = "costs on " + name
		}
	}
	if without.Measured != nil {
		if i := v.Measured; i != nil {
			out = append(out, usText(i.Mid), usText(i.Low)+" to "+usText(i.High), share(i.Mid, without.Measured.Median))
			switch {
			case !i.Sure():
				mark = "noise is larger"
			case i.Mid < 0:
				mark = "costs on " + with.Device
			}
		} else {
			out = append(out, "", "", "")
		}
	}
	return append(out, mark)
}

// rowStream prints the rows of a long list as they are found. What is known of a row
// only at the end, how many variants give its plan, is left to the sum.
type rowStream struct {
	s       IO
	m       *foundry.Model
	begun   bool
	targets []string
}

const rowStreamLine = "%10v  %5v  %8v"

func (r *rowStream) rows(rows []bench.Row) {
	if len(rows) == 0 {
		return
	}
	if !r.begun {
		r.begun = true
		r.targets = modelledTargets(&rows[0])
		printHeading(r.s, r.m, &rows[0])
		fmt.Fprintf(r.s.Out, rowStreamLine, "dispatches", "waves", "moved")
		for _, name := range r.targets {
			fmt.Fprintf(r.s.Out, "  %*s", max(8, len(name)), name)
		}
		fmt.Fprintln(r.s.Out, "  variant")
	}
	for i := range rows {
		fmt.Fprintf(r.s.Out, rowStreamLine, rows[i].Dispatches, rows[i].Waves, names.Bytes(rows[i].MovedBytes))
		for _, name := range r.targets {
			fmt.Fprintf(r.s.Out, "  %*s", max(8, len(name)), usText(rows[i].Modelled[name]))
		}
		names.Line(r.s.Out, "  %s\n", rows[i].Variant)
	}
}

// bestOf is how many of a long list are named again at its end.
const bestOf = 10

// end names the best of all rows.
func (r *rowStream) end(rows []bench.Row) {
	best, target := slices.Clone(rows), rows[0].Target
	slices.SortStableFunc(best, func(a, b bench.Row) int { return cmp.Compare(a.Modelled[target], b.Modelled[target]) })
	fmt.Fprintf(r.s.Out, "\n%d plans; the fastest on %s, modelled:\n", len(rows), target)
	t := newTable("time", "dispatches", "variants", "first of them").alignRight("time", "dispatches", "variants")
	for _, b := range best[:min(bestOf, len(best))] {
		t.row(usText(b.Modelled[target]), b.Dispatches, 1+len(b.Also), b.Variant)
	}
	t.render(r.s.Out)
}
