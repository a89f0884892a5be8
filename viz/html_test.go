package viz_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/sym"
	"foundry/lower/plan"
	"foundry/runtime/child"
	"foundry/runtime/devicetest"
	"foundry/viz"
)

func report(t *testing.T, graphviz string) string {
	t.Helper()
	in, out := model(t, 2, sym.Const(1)), fused(t, 2, sym.Const(1))
	p := lowered(t, out)
	p.Model.Name = "<tiny> & \"small\""
	p.Decisions = []plan.Decision{
		{Pass: "fuse-residual", Pattern: "residual", Node: "layers.0.o_proj", Layer: 0, Outcome: "matched", Bytes: 512, Waves: 1},
		{Pass: "fuse-residual", Pattern: "residual", Node: "layers.1.o_proj", Layer: 1, Outcome: "matched", Bytes: 512, Waves: 1},
		{Pass: "fuse-swiglu-down", Pattern: "swiglu-down", Node: "layers.0.mul", Layer: 0, Outcome: "refused", Reason: "mul is taken"},
		{Pass: "fuse-swiglu-down", Pattern: "swiglu-down", Node: "layers.1.mul", Layer: 1, Outcome: "refused", Reason: "mul is taken"},
	}
	var b bytes.Buffer
	require.NoError(t, viz.HTML(t.Context(), &b, viz.Report{
		Title: "tiny", Plan: p, Graphviz: graphviz,
		Trace:    []viz.Snapshot{{Name: "input", Text: in.String()}, {Name: "cse", Text: in.String()}, {Name: "fuse", Text: out.String()}},
		Pictures: []viz.Picture{{Title: "fused", DOT: graph(t, out, collapsed).String()}},
	}))
	return b.String()
}

func TestHTML(t *testing.T) {
	in, out := model(t, 2, sym.Const(1)), fused(t, 2, sym.Const(1))
	text := report(t, "")
	for _, want := range []string{
		"cse changed nothing", fmt.Sprintf("%d nodes (%+d)", len(out.Nodes()), len(out.Nodes())-len(in.Nodes())),
		"&lt;tiny&gt; &amp; ", // what a model is called is text, not markup
		"command buffer 1", "layers.1.gate_up", "gate_up_swiglu", "rms_norm, matmul_nt, matmul_nt, silu, mul",
		"mul is taken", "<td>0..1</td>", `<span class="matched">2 matched</span>`, `<span class="refused">2 refused</span>`,
		"digraph", "Graphviz was not there",
	} {
		require.True(t, strings.Contains(text, want), want)
	}
	require.True(t, text == report(t, ""), "equal input gives equal bytes")
	for _, outside := range []string{"<script", "src=", "@import", "url(", "<link"} {
		require.False(t, strings.Contains(text, outside), "the page stands alone, but holds %s", outside)
	}
	balanced(t, text)
}

func TestHTMLWithPictures(t *testing.T) {
	path, err := child.Find("dot")
	devicetest.Need(t, err)
	text := report(t, path)
	require.True(t, strings.Contains(text, "<svg"))
	require.False(t, strings.Contains(text, "digraph"))
	balanced(t, text)
}

// balanced checks that every element that is opened is closed.
func balanced(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = true, []string{"meta"}, xml.HTMLEntity
	for {
		_, err := d.Token()
		if err == io.EOF {
			return
		}
		require.NoError(t, err)
	}
}
