package foundry

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/runtime/cuda"
	"foundry/runtime/mtl"
)

// CompileOptions say how a model is compiled. The zero value leaves every choice
// to the compiler.
type CompileOptions struct {
	Device  string     // what the result shall run on; it decides the defaults of the next three
	Weights dtype.Type // of matrices; unset, quantised ones run as stored and others as f32 on ref, f16 elsewhere; vectors are always f32
	Cache   dtype.Type // f32 on ref, otherwise f16
	Target  string     // the machine whose limits and costs decide; DefaultTarget unless the device has its own

	Variant string // a named pipeline; "default" when neither it nor Passes is given
	Passes  string // a pipeline: "canonicalize,cse,fuse-rmsnorm-qkv"
	// PrefillPasses is the pipeline of the entry prefill, where that shall be another
	// than Variant or Passes say.
	PrefillPasses string
	Fuel          *int // most rewrites that passes may apply; nil: no limit

	Context   int  // tokens a cache holds: the model's limit, at most DefaultContext
	Chunk     int  // most tokens of one prefill run: DefaultChunk, at most Context
	AllLogits bool // logits of every row of a run, not of the last one only
	Sampler   bool // the plan draws tokens where it runs, by settings given at run time; with AllLogits the host does

	Attention       string // one of AttentionBackends; "auto" when empty
	AttentionChosen string // who chose it: flag | environment | default

	CommandBuffers int   // command buffers an entry is split into; 0: the compiler's choice
	Shaders        fs.FS // stage files that replace the built-in ones

	Tuning metal.Tuning // constants of kernels, for measurement; zero leaves them to the compiler

	// AfterPass, where set, sees each graph of the model (prefill, decode) as it
	// stands after every pass, and first under the pass name "input".
	AfterPass func(pass string, g *ir.Graph)
}

// resolve fills in what is left to the compiler.
func (o CompileOptions) resolve(m *Model) (CompileOptions, *target.Target, error) {
	if o.Weights != dtype.Invalid && !o.Weights.CanQuantise() {
		return o, nil, fmt.Errorf("weights cannot be made %s: it can only be read; take f32, f16, bf16, q8_0, q4_0, q4_1, q5_0 or q5_1", o.Weights)
	}
	if o.Weights == dtype.Invalid {
		o.Weights = o.plain()
		if m.Graph == nil {
			_, o.Weights, _ = m.matrices(dtype.Invalid, o.plain())
		}
	}
	if o.Cache == dtype.Invalid {
		o.Cache = o.plain()
	}
	if o.Target == "" {
		o.Target = o.deviceTarget()
	}
	if o.Attention == "" {
		o.Attention, o.AttentionChosen = "auto", "default"
	}
	switch {
	case o.Variant != "" && o.Passes != "":
		return o, nil, fmt.Errorf("a variant (%s) and a list of passes are both given; take one", o.Variant)
	case o.PrefillPasses != "" && m.Graph != nil:
		return o, nil, fmt.Errorf("%s is one graph, which has one pipeline: leave out the passes for prefill", m.Name)
	case !slices.Contains(attentionBackends[:], o.Attention):
		return o, nil, fmt.Errorf("attention backend %q (from %s) does not exist, want one of %s%s", o.Attention, o.AttentionChosen,
			strings.Join(attentionBackends[:], ", "), Nearest(o.Attention, attentionBackends[:]))
	}
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
	t, err := target.Find(o.Target)
	if err != nil {
		return o, nil, err
	}
	return o, t, nil
}

// deviceTarget is the target of the device: of a GPU, the one that the driver's name
// for it says; where that says nothing, the H100's or Apple's default.
func (o CompileOptions) deviceTarget() string {
	kind, ordinal, err := deviceKind(o.Device)
	switch {
	case err == nil && kind == CUDA:
		return cmp.Or(cuda.Target(ordinal), "h100")
	case err == nil && kind == Metal:
		return cmp.Or(mtl.Target(ordinal), DefaultTarget)
	}
	return DefaultTarget
}
