package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"foundry/ir/names"
)

// tableOf is a table of plain text; numbers stand on the right. On a terminal its last
// column is wrapped to fit, and what is wider still comes in parts below each other, each
// with the first column; elsewhere a row is a line.
type tableOf struct {
	columns []string
	right   []string
	rows    [][]string
}

func newTable(columns ...string) *tableOf { return &tableOf{columns: columns} }

func (t *tableOf) row(cells ...any) {
	texts := make([]string, len(t.columns))
	for i, c := range cells {
		texts[i] = names.Plain(fmt.Sprint(c))
	}
	t.rows = append(t.rows, texts)
}

// alignRight puts the named columns on the right, header included.
func (t *tableOf) alignRight(columns ...string) *tableOf {
	t.right = columns
	return t
}

// writer is a table of some of the columns; the last is at most so wide, 0 for no limit.
func (t *tableOf) writer(columns []int, last int) table.Writer {
	w := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	w.SetStyle(style)
	pick := func(cells []string) table.Row {
		var out table.Row
		for _, i := range columns {
			out = append(out, cells[i])
		}
		return out
	}
	w.AppendHeader(pick(t.columns))
	for _, r := range t.rows {
		w.AppendRow(pick(r))
	}
	var configs []table.ColumnConfig
	for k, i := range columns {
		config := table.ColumnConfig{Number: k + 1}
		if slices.Contains(t.right, t.columns[i]) {
			config.Align, config.AlignHeader = text.AlignRight, text.AlignRight
		}
		if k == len(columns)-1 && last > 0 {
			config.WidthMax, config.WidthMaxEnforcer = last, text.WrapSoft
		}
		configs = append(configs, config)
	}
	w.SetColumnConfigs(configs)
	return w
}

const (
	leastWidth = 24 // of a last column, however narrow the terminal
	aroundCell = 2  // blanks beside a cell
)

// render prints the table; parts of it stand below each other.
func (t *tableOf) render(w io.Writer) {
	for i, p := range t.parts(terminalWidth(w)) {
		if i > 0 {
			fmt.Fprintln(w)
		}
		for _, line := range strings.Split(t.writer(p.columns, p.last).Render(), "\n") {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
		}
	}
}

// tablePart is some columns of a table, of which the last is at most so wide, 0 for no limit.
type tablePart struct {
	columns []int
	last    int
}

// parts deals the columns out to tables that fit the width, 0 for any.
func (t *tableOf) parts(width int) []tablePart {
	wide := make([]int, len(t.columns))
	for i := range wide {
		for _, r := range append([][]string{t.columns}, t.rows...) {
			wide[i] = max(wide[i], text.LongestLineLen(r[i])+aroundCell)
		}
	}
	now, used := tablePart{columns: []int{0}}, wide[0]
	var out []tablePart
	for i := 1; i < len(wide); i++ {
		need := wide[i]
		if i == len(wide)-1 {
			need = min(need, leastWidth+aroundCell)
		}
		if width > 0 && used+need > width && len(now.columns) > 1 {
			out, now, used = append(out, now), tablePart{columns: []int{0}}, wide[0]
		}
		now.columns, used = append(now.columns, i), used+wide[i]
	}
	if width > 0 && used > width {
		now.last = max(leastWidth, width-(used-wide[len(wide)-1])-aroundCell)
	}
	return append(out, now)
}

// terminalWidth is the columns of the terminal that w is, 0 where it is none.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*folding); ok {
		return f.width
	}
	if o, ok := w.(*output); ok {
		w = o.to
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}

func (t *tableOf) markdown(w io.Writer) {
	all := make([]int, len(t.columns))
	for i := range all {
		all[i] = i
	}
	fmt.Fprintln(w, t.writer(all, 0).RenderMarkdown())
}

// usText prints a time of so many microseconds.
func usText(us float64) string { return names.Micros(us) }
