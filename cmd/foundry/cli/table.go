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
// column is wrapped to fit; elsewhere a row is a line.
type tableOf struct {
	w       table.Writer
	columns []string
	right   []string
}

func newTable(columns ...string) *tableOf {
	t := &tableOf{w: table.NewWriter(), columns: columns}
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	t.w.SetStyle(style)
	header := make(table.Row, len(columns))
	for i, c := range columns {
		header[i] = c
	}
	t.w.AppendHeader(header)
	return t
}

func (t *tableOf) row(cells ...any) {
	for i, c := range cells {
		if text, ok := c.(string); ok {
			cells[i] = names.Plain(text)
		}
	}
	t.w.AppendRow(cells)
}

// alignRight puts the named columns on the right, header included.
func (t *tableOf) alignRight(columns ...string) *tableOf {
	t.right = columns
	t.w.SetColumnConfigs(t.configs(0))
	return t
}

// configs are of all columns; the last is at most so wide, 0 for no limit.
func (t *tableOf) configs(last int) []table.ColumnConfig {
	var configs []table.ColumnConfig
	for i, c := range t.columns {
		config := table.ColumnConfig{Number: i + 1}
		if slices.Contains(t.right, c) {
			config.Align, config.AlignHeader = text.AlignRight, text.AlignRight
		}
		if i == len(t.columns)-1 && last > 0 {
			config.WidthMax, config.WidthMaxEnforcer = last, text.WrapSoft
		}
		configs = append(configs, config)
	}
	return configs
}

// leastWidth is that of a last column, however narrow the terminal.
const leastWidth = 24

func (t *tableOf) render(w io.Writer) {
	out := t.w.Render()
	if width := terminalWidth(w); width > 0 && text.LongestLineLen(out) > width {
		head := strings.LastIndex(strings.SplitN(out, "\n", 2)[0], " "+t.columns[len(t.columns)-1])
		t.w.SetColumnConfigs(t.configs(max(leastWidth, width-head-2)))
		out = t.w.Render()
	}
	fmt.Fprintln(w, out)
}

// terminalWidth is the columns of the terminal that w is, 0 where it is none.
func terminalWidth(w io.Writer) int {
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

func (t *tableOf) markdown(w io.Writer) { fmt.Fprintln(w, t.w.RenderMarkdown()) }

// usText prints a time of so many microseconds.
func usText(us float64) string { return names.Micros(us) }
