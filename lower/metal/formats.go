package metal

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/task"
	"foundry/lower/msl"
)

// format is how the text of kernels reads a weight format.
type format struct {
	task.Format
	name   string
	needs  []string     // stage files that the format's own builds on
	params []*msl.Value // template arguments of the readers, where they have any
	sized  bool         // a reader's last argument is its width, which its name holds otherwise
}

var (
	blocks  = []string{"prologue/blocks.metal"}
	planes  = []string{"prologue/blocks.metal", "prologue/planes.metal"}
	kblocks = []string{"prologue/blocks.metal", "prologue/k_scales.metal"}

	kplanes = []string{"prologue/blocks.metal", "prologue/planes.metal", "prologue/k_planes.metal"}

	iq4blocks = []string{"prologue/blocks.metal", "prologue/iq4_levels.metal"}
)

// ownStage are the formats with a stage file of their own.
var ownStage = map[dtype.Type]format{
	dtype.F32:    {name: "f32"},
	dtype.F16:    {name: "f16"},
	dtype.BF16:   {name: "bf16"},
	dtype.Q8_0:   {name: "q8_0", needs: blocks},
	dtype.Q4_0:   {name: "q4_0", needs: blocks},
	dtype.Q4_1:   {name: "q4_1", needs: blocks},
	dtype.Q5_0:   {name: "q5_0", needs: blocks},
	dtype.Q5_1:   {name: "q5_1", needs: blocks},
	dtype.Q4_K:   {name: "q4_k", needs: kblocks},
	dtype.Q5_K:   {name: "q5_k", needs: kblocks},
	dtype.Q6_K:   {name: "q6_k", needs: blocks},
	dtype.Q2_K:   {name: "q2_k", needs: blocks},
	dtype.Q3_K:   {name: "q3_k", needs: blocks},
	dtype.IQ4_NL: {name: "iq4_nl", needs: iq4blocks},
	dtype.IQ4_XS: {name: "iq4_xs", needs: iq4blocks},
}

// planed are the formats that have a stage file for rows in planes.
var planed = map[dtype.Type]format{
	dtype.Q8_0: {name: "q8_0_planes", needs: blocks},
	dtype.Q4_0: {name: "q4_0_planes", needs: planes},
	dtype.Q4_1: {name: "q4_1_planes", needs: planes},
	dtype.Q5_0: {name: "q5_0_planes", needs: planes},
	dtype.Q5_1: {name: "q5_1_planes", needs: planes},
	dtype.Q4_K: {name: "q4_k_planes", needs: kplanes},
	dtype.Q5_K: {name: "q5_k_planes", needs: kplanes},
	dtype.Q6_K: {name: "q6_k_planes", needs: planes},
}

// formatIn returns how weights of t, whose rows may lie in planes, are read; false
// where nothing reads them.
func formatIn(t ir.Type, planes bool) (f format, ok bool) {
	a, affine := t.DType.Affine()
	switch {
	case planes:
		f = planed[t.DType]
		f.params, f.sized = []*msl.Value{u(t.Shape.At(-1).C)}, true
	case affine:
		zeros := 0
		if a.Zeros {
			zeros = 1
		}
		f = format{name: "affine", needs: blocks, sized: true}
		f.params = []*msl.Value{u(a.Bits), u(a.Group), msl.Name("affine_" + a.Scales.String()), u(zeros)}
	default:
		f = ownStage[t.DType]
	}
	f.Format, ok = task.FormatIn(t.DType, planes)
	return f, ok
}

// format returns how a param of the region that holds weights is read.
func (r *region) format(v *ir.Value) format {
	f, _ := formatIn(ir.Type{DType: r.asked.Lies(v), Shape: v.Type.Shape}, r.operands[v.Index].Planes)
	return f
}

// files returns the stage files that read weights of the format.
func (f format) files() []string {
	return append(slices.Clone(f.needs), "prologue/dequant_"+f.name+".metal")
}

// rowBytes is how far apart rows of n weights of type t start, read in the format.
func (f format) rowBytes(t dtype.Type, n int64) int64 {
	if f.Planes {
		return t.PlaneBytes(n)
	}
	return t.Bytes(n)
}

// four is the MSL function that reads four adjacent weights of a block format.
func (f format) four() *msl.Value { return f.of("dequant4_" + f.name) }

// reader is the MSL type that reads chunks of the given width.
func (f format) reader(width int) *msl.Value {
	switch {
	case f.sized:
		return f.of("weight_"+f.name, u(width))
	case f.params != nil || len(f.Widths) == 1:
		return f.of("weight_" + f.name)
	}
	return msl.Name(fmt.Sprintf("weight_%s_%d", f.name, width))
}

// of is name with the format's template arguments, and more.
func (f format) of(name string, more ...*msl.Value) *msl.Value {
	params := append(slices.Clone(f.params), more...)
	if len(params) == 0 {
		return msl.Name(name)
	}
	return msl.Of(name, params...)
}
