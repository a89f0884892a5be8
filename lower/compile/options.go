// Package compile turns a model into graphs behind passes, and these into a plan:
// the compiler as one call, with every choice that it leaves open as an option.
//
//	Build   a Model  -> Graphs: prefill and decode as the frontend makes them
//	Fuse    a Model  -> Graphs: the same behind the passes
//	Lower   Graphs   -> Compiled: the Graphs and their Plan
//	Model   a Model  -> Compiled: all of it
//
// Read next: passes for what happens to the graphs, lower/metal for how they become
// a plan.
package compile

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/names"
	"foundry/ir/target"
	"foundry/passes"
)

// Version is what plans record as their compiler.
const Version = "foundry 0.1"

// Default sizes, where an option leaves them to the compiler.
const (
	DefaultContext = 4096
	DefaultChunk   = 512
)

// SearchPasses is the value of Options.Passes that asks for the pipelines that a
// search finds. Passes behind a search are those; Fuse takes no others.
const SearchPasses = "search"

// Options say how a model is compiled. The zero value leaves every choice to the
// compiler; engine.Defaults makes those that depend on where the result runs.
type Options struct {
	Weights dtype.Type // dtype of matrices; unset, quantised ones run as stored and others as Floats; vectors are always f32
	Floats  dtype.Type // dtype of matrices that are not quantised, where Weights is unset; f16
	Cache   dtype.Type // f16
	Target  string     // the machine whose limits and costs decide; target.Default

	Variant string        // a named pipeline; "default" when neither it nor Passes is given
	Passes  string        // a pipeline: "canonicalize,cse,fuse-rmsnorm-qkv"
	Table   *passes.Table // the passes that Passes and PrefillPasses name; nil: passes.BuiltIn()
	// PrefillPasses is the pipeline of the entry prefill, where that shall be another
	// than Variant or Passes say.
	PrefillPasses string
	Fuel          *int // most rewrites that passes may apply; nil: no limit

	Context   int  // tokens a cache holds: the model's limit, at most DefaultContext
	Chunk     int  // most tokens of one prefill run: DefaultChunk, at most Context
	AllLogits bool // logits of every row of a run, not of the last one only
	Sampler   bool // the plan draws tokens where it runs, by settings given at run time; with AllLogits the host does

	// Short lists the positions of more entries decode, for runs that have no more behind
	// them; nil: the compiler's choice; empty: none.
	Short []int

	Attention       string // one of AttentionBackends; "auto" when empty
	AttentionChosen string // the chooser of the backend: flag | environment | default

	CommandBuffers int   // command buffers an entry is split into; 0: the compiler's choice
	Chain          int   // decode steps a command buffer; 0: the compiler's choice
	Shaders        fs.FS // stage files that replace the built-in ones

	// AfterPass, where set, sees each graph of the model (prefill, decode) as it
	// stands after every pass, and first under the pass name "input".
	AfterPass func(pass string, g *ir.Graph)
}

// Resolve fills in what is left to the compiler.
func (o Options) Resolve(m *model.Model) (Options, *target.Target, error) {
	if o.Weights != dtype.Invalid && !o.Weights.CanQuantise() {
		return o, nil, fmt.Errorf("weights cannot be made %s: it can only be read; take f32, f16, bf16, q8_0, q6_k, q5_1, q5_0, q4_k, q4_1, q4_0 or an affine type such as affine4", o.Weights)
	}
	o.Floats = cmp.Or(o.Floats, dtype.F16)
	if o.Weights == dtype.Invalid {
		o.Weights = o.Floats
		if m.Graph == nil {
			_, o.Weights, _ = m.MatrixTypes(dtype.Invalid, o.Floats)
		}
	}
	o.Cache = cmp.Or(o.Cache, dtype.F16)
	o.Target = cmp.Or(o.Target, target.Default)
	if o.Attention == "" {
		o.Attention, o.AttentionChosen = "auto", "default"
	}
	switch {
	case o.Variant != "" && o.Passes != "":
		return o, nil, fmt.Errorf("a variant (%s) and a list of passes are both given; take one", o.Variant)
	case o.PrefillPasses != "" && m.Graph != nil:
		return o, nil, fmt.Errorf("%s is one graph, which has one pipeline: leave out the passes for prefill", m.Name)
	case !slices.Contains(AttentionBackends(), o.Attention):
		return o, nil, fmt.Errorf("attention backend %q (from %s) does not exist, want one of %s%s", o.Attention, o.AttentionChosen,
			strings.Join(AttentionBackends(), ", "), names.DidYouMean(o.Attention, AttentionBackends()))
	}
	o.Variant = passes.VariantName(o.Variant)
	if o.Variant == "" && o.Passes == "" {
		o.Variant = "default"
	}
	if m.Graph == nil {
		if o.Context == 0 {
			o.Context = min(m.Config.MaxPositions, DefaultContext)
		}
		if o.Chunk == 0 {
			o.Chunk = min(o.Context, DefaultChunk)
		}
		if err := m.Config.CheckContext(o.Context); err != nil {
			return o, nil, fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	if err := o.checkShort(m); err != nil {
		return o, nil, err
	}
	t, err := target.Find(o.Target)
	if err != nil {
		return o, nil, err
	}
	return o, t, nil
}
