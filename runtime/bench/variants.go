package bench

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir/dtype"
	"foundry/lower/compile"
	"foundry/passes"
)

// Variant is a pipeline to be measured: a list of passes under a name.
type Variant struct {
	Name, Passes   string
	PrefillPasses  string // the pipeline of prefill, where it shall be another
	CommandBuffers int    // command buffers that an entry is split into; 0: what Options.Compile says
	rival          rival  // the variant to compare with, in a list that has such
}

// options are o with the variant's pipelines.
func (v Variant) options(o compile.Options) compile.Options {
	o.Variant, o.Passes, o.PrefillPasses = "", v.Passes, v.PrefillPasses
	return o
}

// WithCommandBuffers returns each variant with each number of command buffers, 0 for
// the compiler's choice.
func WithCommandBuffers(variants []Variant, numbers []int) []Variant {
	var out []Variant
	for _, v := range variants {
		for _, n := range numbers {
			own := v
			own.CommandBuffers = n
			own.Name = fmt.Sprintf("%s/buffers=%d", v.Name, n)
			if n == 0 {
				own.Name = v.Name + "/buffers=auto"
			}
			out = append(out, own)
		}
	}
	return out
}

// VariantLists are the names that ParseVariants takes for many variants.
func VariantLists() []string {
	return []string{"ladder", "leave-one-out", "pairs", "all", "forms", compile.SearchPasses}
}

// layerSets are the sets of fusions of a layer that has all that fusions take, prefill and
// decode: a list names them before a model is opened. Of a model that makes the same of
// several, these are one row.
var layerSets = sync.OnceValues(func() ([]passes.Subset, error) {
	c, err := qwen25.Family.Preset("0.5b")
	if err != nil {
		return nil, err
	}
	c.Layers = 1
	prefill, err := decoder.Build(c, decoder.BuildOptions{Context: 64, Chunk: 8, Weights: dtype.F16, Cache: dtype.F16})
	if err != nil {
		return nil, err
	}
	decode, err := prefill.Specialise(1)
	if err != nil {
		return nil, err
	}
	return passes.BuiltIn().Subsets(&passes.Context{}, decode, prefill)
})

// ParseVariants reads a list of variants: names separated by commas, "ladder"
// (one fusion more a row), "leave-one-out" (the last rung without one of its
// fusions), "search" (what Search finds), "pairs" (every fusion alone and with each
// other that it goes with), "all" (every legal set of fusions, each of them whole) or
// "forms" (of fusions in part as well, five times as many).
func ParseVariants(list string) ([]Variant, error) {
	var out []Variant
	named := func(names ...string) error {
		for _, name := range names {
			p, err := passes.Variant(name)
			if err != nil {
				return err
			}
			out = append(out, Variant{Name: passes.VariantName(name), Passes: p.String()})
		}
		return nil
	}
	subsets := func(most int, parts bool) error {
		all, err := layerSets()
		for _, s := range all {
			if len(s.Names) <= most && (parts || s.Whole) {
				out = append(out, Variant{Name: s.String(), Passes: s.Pipeline.String()})
			}
		}
		return err
	}
	for _, name := range strings.Split(list, ",") {
		var err error
		switch name = strings.TrimSpace(name); name {
		case "":
		case "ladder":
			first, ladder := len(out), passes.Ladder()
			err = named(ladder...)
			for i := first + 1; i < len(out); i++ {
				out[i].rival = rival{variant: out[i-1].Name, fusion: passes.Rung(i - first)}
			}
		case "leave-one-out":
			first, left := len(out)+1, passes.LeaveOneOut()
			err = named(append([]string{"fewest"}, left...)...)
			for i := first; i < len(out); i++ {
				out[i].rival = rival{variant: "fewest", fusion: strings.TrimPrefix(out[i].Name, "no-"), lacks: true}
			}
		case compile.SearchPasses:
			out = append(out, Variant{Name: compile.SearchPasses, Passes: compile.SearchPasses})
		case "pairs":
			err = subsets(2, false)
		case "all":
			err = subsets(math.MaxInt, false)
		case "forms":
			err = subsets(math.MaxInt, true)
		default:
			err = named(name)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, errors.New("the list of variants is empty")
	}
	// Lists may share variants, such as the ladder's last, which the others lack a
	// fusion of: each is measured once, where it comes first.
	met := map[string]bool{}
	return slices.DeleteFunc(out, func(v Variant) bool {
		again := met[v.Name]
		met[v.Name] = true
		return again
	}), nil
}

// ParseVariantFile reads one variant a line: NAME, or NAME = PIPELINE. Empty
// lines and lines that begin with # are skipped.
func ParseVariantFile(name, text string) ([]Variant, error) {
	var out []Variant
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		variant, pipeline, own := strings.Cut(line, "=")
		if own && !strings.ContainsAny(variant, "{,") {
			p, err := passes.Parse(strings.TrimSpace(pipeline))
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
			}
			out = append(out, Variant{Name: strings.TrimSpace(variant), Passes: p.String()})
			continue
		}
		named, err := ParseVariants(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		out = append(out, named...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: holds no variant", name)
	}
	return out, nil
}
