package cli

import (
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"foundry/ir/names"
)

// tableOf is a table of plain text; numbers stand on the right.
type tableOf struct{ w table.Writer }

func newTable(columns ...string) *tableOf {
	t := &tableOf{w: table.NewWriter()}
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
	var configs []table.ColumnConfig
	for _, c := range columns {
		configs = append(configs, table.ColumnConfig{Name: c, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.w.SetColumnConfigs(configs)
	return t
}

func (t *tableOf) render(w io.Writer) { fmt.Fprintln(w, t.w.Render()) }

func (t *tableOf) markdown(w io.Writer) { fmt.Fprintln(w, t.w.RenderMarkdown()) }
