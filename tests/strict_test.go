package tests

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"testing"

	"foundry"
	"foundry/ir/dtype"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime/msl/strict"
	"foundry/shaders"
	"foundry/tests/blocks"
	"foundry/tests/goldens"

	"github.com/stretchr/testify/require"

	"foundry/runtime/devicetest"
)

// madeFormats are the weight formats that weights can be made of; of the affine ones
// three, of which each has other bits, groups and scales.
func madeFormats(t *testing.T) (out []dtype.Type) {
	t.Helper()
	for _, w := range dtype.AllButAffine() {
		if w.CanQuantise() {
			out = append(out, w)
		}
	}
	for _, name := range []string{"affine4", "affine3_g32_f16", "affine8_g64_f32"} {
		w, err := dtype.ParseWeights(name)
		require.NoError(t, err)
		out = append(out, w)
	}
	return out
}

// strictKernels gathers kernels by their text, whatever their names are.
type strictKernels map[string]plan.Kernel

func (s strictKernels) add(t *testing.T, m *foundry.Model, o foundry.CompileOptions) {
	t.Helper()
	c, err := foundry.Compile(m, o)
	require.NoError(t, err)
	for _, k := range c.Plan.Kernels {
		s[k.Source] = k
	}
}

// TestEveryKernelIsMSL gives every kernel that the compiler emits to the strict
// check: the three models with goldens in every variant, one of them in every
// weight format that can be made, and a model of mixed blocks with the others.
func TestEveryKernelIsMSL(t *testing.T) {
	t.Parallel()
	clang, err := strict.Find()
	devicetest.Need(t, err)
	all := strictKernels{}
	for _, name := range goldens.Models {
		m, _ := goldens.Open(t, name)
		variants := passes.Variants()
		if name != goldens.Models[0] && !isComplete() {
			variants = []string{"unfused", "default", "fewest"}
		}
		for _, v := range variants {
			all.add(t, m, foundry.CompileOptions{Variant: v, Sampler: true})
		}
	}
	kjv, _ := goldens.Open(t, goldens.Models[0])
	for _, w := range madeFormats(t) {
		all.add(t, kjv, foundry.CompileOptions{Weights: w})
	}
	for _, v := range []string{"unfused", "default", "fewest", "per-layer-6"} {
		all.add(t, blocks.New(t, blocks.TwoLayers, blocks.Mixed).Open(t), foundry.CompileOptions{Variant: v})
	}
	t.Logf("%d kernels", len(all))
	for _, k := range all {
		require.Empty(t, idleStages(t, &k), "%s: compilers read stages that it does not use", k.Name)
	}
	require.NoError(t, strict.CheckAll(context.Background(), clang, slices.Collect(maps.Values(all))))
}

// Names that stage files declare: functions and constants, types, enumerators.
var (
	declaredName = regexp.MustCompile(`(?m)^(?:inline|constant|constexpr)\b[^;{(=]*?(\w+)\s*[(\[=]|\bstruct\s+(\w+)|^typedef\b.*?(\w+);`)
	enumerators  = regexp.MustCompile(`\benum\b[^{]*\{([^}]*)\}`)
	word         = regexp.MustCompile(`\w+`)
	comment      = regexp.MustCompile(`//.*`)
)

// idleStages lists the stage files of a kernel's text of which neither its body nor a stage
// that this needs names anything; common/phases.metal belongs to every kernel.
func idleStages(t *testing.T, k *plan.Kernel) (idle []string) {
	t.Helper()
	text, err := k.Split(shaders.FS)
	require.NoError(t, err)
	declares := map[string]string{} // the stage of a name
	words := map[string][]string{}
	for _, s := range text.Stages {
		code := comment.ReplaceAllString(s.Text, "")
		words[s.Path] = word.FindAllString(code, -1)
		for _, m := range declaredName.FindAllStringSubmatch(code, -1) {
			declares[m[1]+m[2]+m[3]] = s.Path
		}
		for _, m := range enumerators.FindAllStringSubmatch(code, -1) {
			for _, name := range word.FindAllString(m[1], -1) {
				declares[name] = s.Path
			}
		}
	}
	used := map[string]bool{"common/phases.metal": true}
	for todo := [][]string{word.FindAllString(text.Body, -1), slotTypes(k)}; len(todo) > 0; {
		names := todo[0]
		todo = todo[1:]
		for _, name := range names {
			if path := declares[name]; path != "" && !used[path] {
				used[path] = true
				todo = append(todo, words[path])
			}
		}
	}
	for _, s := range text.Stages {
		if !used[s.Path] {
			idle = append(idle, s.Path)
		}
	}
	return idle
}

func slotTypes(k *plan.Kernel) (out []string) {
	for _, s := range k.Slots {
		out = append(out, s.Type)
	}
	return out
}
