package viz_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"foundry/ir"
	"foundry/runtime/child"
	"foundry/runtime/devicetest"
	"foundry/viz"
)

var update = flag.Bool("update", false, "rewrite the expected DOT in testdata")

// TestGolden draws the graph of each file of testdata and compares the DOT.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			require.NoError(t, err)
			section := map[string]*txtar.File{}
			for i := range ar.Files {
				section[ar.Files[i].Name] = &ar.Files[i]
			}
			g, err := ir.Parse(file, string(section["graph.fir"].Data))
			require.NoError(t, err)
			got := drawAs(t, g, string(section["options"].Data))
			if *update {
				section["want.dot"].Data = []byte(got)
				require.NoError(t, os.WriteFile(file, txtar.Format(ar), 0o644))
			}
			require.Equal(t, string(section["want.dot"].Data), got)
			accepted(t, got)
		})
	}
}

// drawAs draws g with options written one a line: weights, collapse, layer K, plan.
func drawAs(t *testing.T, g *ir.Graph, options string) string {
	t.Helper()
	o, asPlan := viz.Options{Layer: viz.AllLayers}, false
	for line := range strings.Lines(options) {
		switch word, value, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "weights":
			o.Weights = true
		case "collapse":
			o.Collapse = true
		case "plan":
			asPlan, o.Source = true, g
		case "layer":
			var err error
			o.Layer, err = strconv.Atoi(value)
			require.NoError(t, err)
		default:
			t.Fatalf("unknown option %q", word)
		}
	}
	if asPlan {
		d, err := viz.Plan(lowered(t, g), g.Name, o)
		require.NoError(t, err)
		return d
	}
	d, err := viz.Graph(g, o)
	require.NoError(t, err)
	return d
}

// accepted checks that Graphviz, where it is installed, takes the text without a
// word of complaint.
func accepted(t *testing.T, text string) {
	t.Helper()
	path, err := child.Find("dot")
	devicetest.Need(t, err)
	cmd := exec.Command(path, "-Tcanon")
	cmd.Stdin = strings.NewReader(text)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	require.NoError(t, cmd.Run(), complaint.String())
	require.Empty(t, complaint.String())
}
