package tests

import (
	"os"
	"path/filepath"
	"testing"

	"foundry"
	"foundry/ir/dtype"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

// What the compiler writes follows the schema that others read it by, and the page
// names each entry of a language model.
func TestCompiledBundlesAreAsDocumented(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../docs/plan-schema.json")
	require.NoError(t, err)
	page, err := os.ReadFile("../docs/plan-format.md")
	require.NoError(t, err)
	for name, x := range map[string]struct {
		model   string
		options foundry.CompileOptions
	}{
		"unfused":    {"", foundry.CompileOptions{Variant: "unfused", Sampler: true}},
		"default":    {"", foundry.CompileOptions{Sampler: true}},
		"fewest":     {"", foundry.CompileOptions{Variant: "fewest", Sampler: true, CommandBuffers: 3}},
		"own passes": {"", foundry.CompileOptions{Passes: "canonicalize,fuse-residual"}},
		"all logits": {"", foundry.CompileOptions{AllLogits: true}},
		"q8_0":       {"synth:qwen2.5-0.5b", foundry.CompileOptions{Weights: dtype.Q8_0, Sampler: true}},
		"planes":     {"synth:qwen2.5-0.5b", foundry.CompileOptions{Weights: dtype.Q8_0, Target: "h200", Sampler: true}},
		"graph":      {firFile(t), foundry.CompileOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := foundry.Open(x.model, foundry.Hub{})
			require.NoError(t, err)
			defer func() { require.NoError(t, m.Close()) }()
			c, err := foundry.Compile(m, x.options)
			require.NoError(t, err)
			dir := t.TempDir()
			require.NoError(t, c.Plan.Save(dir))
			f, err := os.Open(filepath.Join(dir, "plan.json"))
			require.NoError(t, err)
			defer f.Close()
			doc, err := jsonschema.UnmarshalJSON(f)
			require.NoError(t, err)
			require.NoError(t, schema.Validate(doc))
			for _, e := range c.Plan.Entries {
				if m.Graph == nil {
					require.Contains(t, string(page), "`"+e.Name+"`")
				}
			}
		})
	}
}
