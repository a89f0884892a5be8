package tests

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/frontends/qwen25"
	"foundry/frontends/qwen3"
	"foundry/passes"
	"foundry/viz"
	"foundry/viz/graphviz"
)

// dotOf is the DOT of a model at a point of the pipeline.
func dotOf(t *testing.T, model string, o foundry.CompileOptions, point, entry string, picture viz.Options) string {
	t.Helper()
	m, err := foundry.Open(model, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	text, err := viz.Draw(m, o, point, entry, picture)
	require.NoError(t, err)
	return text
}

// Every stage of every preset is drawn with nothing installed: the folded graph behind each
// pass that changed it, and the folded plan. Without FOUNDRY_COMPLETE those of
// decode of the smallest of each family: sizes differ in what a folded picture says in
// numbers.
func TestPicturesOfEveryStage(t *testing.T) {
	var models []string
	for _, p := range qwen25.Family.Sizes {
		models = append(models, "qwen2.5-"+p.Size)
	}
	for _, p := range qwen3.Family.Sizes {
		models = append(models, "qwen3-"+p.Size)
	}
	entries := []string{"decode", "prefill"}
	if os.Getenv("FOUNDRY_COMPLETE") == "" {
		models, entries = []string{"qwen2.5-0.5b", "qwen3-0.6b"}, entries[:1]
	}
	slow := dotOf(t, "synth:qwen2.5-72b", foundry.CompileOptions{}, "input", "decode", viz.Options{Layer: viz.AllLayers})
	require.Greater(t, viz.DrawingTime("", slow), 10*time.Second, "80 layers that are not folded")
	own, err := graphviz.New(t.Context())
	require.NoError(t, err)
	defer own.Close()
	folded := viz.Options{Layer: viz.AllLayers, Collapse: true}
	for _, name := range models {
		for _, entry := range entries {
			start, pictures, largest := time.Now(), 0, time.Duration(0)
			seen := map[string]bool{}
			for _, point := range stages(t) {
				text := dotOf(t, "synth:"+name, foundry.CompileOptions{}, point, entry, folded)
				_, shown, _ := strings.Cut(text, "{")
				if shown = strings.ReplaceAll(shown, ", "+point, ""); seen[shown] {
					continue // the pass changed nothing that is drawn
				}
				seen[shown] = true
				require.Less(t, viz.DrawingTime("", text), 10*time.Second, "%s %s %s", name, entry, point)
				began := time.Now()
				svg, err := own.SVG(t.Context(), text)
				require.NoError(t, err, "%s %s %s", name, entry, point)
				largest = max(largest, time.Since(began))
				require.Regexp(t, `>layers \d+\.\.\d+ × \d+<`, string(svg), "%s %s %s", name, entry, point)
				pictures++
			}
			require.Greater(t, pictures, 5)
			t.Logf("%s %s: %d pictures in %s, the longest %s", name, entry, pictures, time.Since(start).Round(time.Millisecond), largest.Round(time.Millisecond))
		}
	}
}

// stages are the points at which the default pipeline is drawn.
func stages(t *testing.T) []string {
	t.Helper()
	p, err := passes.Variant("default")
	require.NoError(t, err)
	out := []string{"input"}
	for _, c := range p {
		if name := "after:" + c.Pass.Name; !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return append(out, "fused", "plan")
}

// Two compilations draw one DOT, to the byte; a pipeline with one fusion less draws one
// that differs in the lines of the nodes that it joined.
func TestDOTChangesWhereThePipelineDoes(t *testing.T) {
	whole := viz.Options{Layer: viz.AllLayers, Collapse: true}
	for _, point := range []string{"input", "fused", "plan"} {
		a := dotOf(t, "synth:qwen2.5-0.5b", foundry.CompileOptions{}, point, "decode", whole)
		b := dotOf(t, "synth:qwen2.5-0.5b", foundry.CompileOptions{}, point, "decode", whole)
		require.True(t, a == b, point)
	}
	p, err := passes.Variant("per-layer-6")
	require.NoError(t, err)
	full := p.String()
	less := strings.Replace(full, "fuse-gate-up-swiglu,", "", 1)
	require.NotEqual(t, full, less)
	a := dotOf(t, "synth:qwen2.5-0.5b", foundry.CompileOptions{Passes: full}, "fused", "decode", whole)
	b := dotOf(t, "synth:qwen2.5-0.5b", foundry.CompileOptions{Passes: less}, "fused", "decode", whole)
	only := func(a, b string) (lines []string) {
		have := map[string]int{}
		for l := range strings.Lines(b) {
			have[l]++
		}
		for l := range strings.Lines(a) {
			if have[l]--; have[l] < 0 {
				lines = append(lines, l)
			}
		}
		return lines
	}
	gone, come := only(a, b), only(b, a)
	require.NotEmpty(t, gone)
	t.Logf("%d lines gone, %d come, of %d", len(gone), len(come), strings.Count(a, "\n"))
	require.Less(t, len(gone)+len(come), 32, "of %d lines", strings.Count(a, "\n"))
}

// The gallery shows what is in its folder, nothing else, and is small enough for a
// repository.
func TestGallery(t *testing.T) {
	page, err := os.ReadFile("../docs/gallery.md")
	require.NoError(t, err)
	files, err := os.ReadDir("../docs/gallery")
	require.NoError(t, err)
	bytes := int64(0)
	for _, f := range files {
		require.Contains(t, string(page), "gallery/"+f.Name())
		info, err := f.Info()
		require.NoError(t, err)
		bytes += info.Size()
	}
	require.Less(t, bytes, int64(1e6))
	for _, shown := range regexp.MustCompile(`gallery/[a-z0-9-]+\.[a-z]+`).FindAllStringSubmatch(string(page), -1) {
		_, err := os.Stat("../docs/" + shown[0])
		require.NoError(t, err)
	}
}
