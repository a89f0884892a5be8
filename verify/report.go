package verify

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"foundry/ir/dtype"
	"foundry/ir/interp"
)

// Report is what a verification found.
type Report struct {
	Device string `json:"device"`
	Target string `json:"target"` // the machine whose costs and limits the kernels were chosen for
	Model  string `json:"model"`  // the model whose plans say where a kernel is dispatched
	Quick  bool   `json:"quick"`
	Cases  int    `json:"cases"`
	Failed int    `json:"failed"` // the number of rows out of their bound
	Note   string `json:"note,omitempty"`
	Rows   []*Row `json:"rows"`
	// Strangers are dispatches of the model's plans that no row stands for: kernels
	// without a proof.
	Strangers []string `json:"strangers,omitempty"`

	uses map[string][]Use // uses by kernel
}

// Row is one kernel and format.
type Row struct {
	Kernel    string  `json:"kernel"`
	Checklist string  `json:"checklist"` // the row of the kernel library's list that it serves
	Format    string  `json:"format"`
	Cases     int     `json:"cases"` // runs of a graph at one T and P
	NMSE      Number  `json:"nmse"`
	MaxAbs    Number  `json:"max_abs"`
	ULP       *uint64 `json:"max_ulp,omitempty"` // float32 steps, where exactness, or a rounding, is due
	Bound     Bound   `json:"bound"`             // the loosest of the row's graphs; each is held to its own
	Twin      *Twin   `json:"unfused,omitempty"`
	Pass      bool    `json:"pass"`
	Failure   string  `json:"failure,omitempty"` // the first
	Uses      []Use   `json:"dispatched"`
}

// Bound is what a row may differ from the reference.
type Bound struct {
	NMSE float64 `json:"nmse"`
	ULP  uint64  `json:"ulp"` // float32 steps, where NMSE is 0
	Why  string  `json:"why"`
}

// Twin is what the same graph without fusion does, and how far the fused one is
// from it.
type Twin struct {
	NMSE    Number `json:"nmse"`
	Between Number `json:"from_fused"`
}

// Number is a float64 that JSON can hold: what is infinite is its largest number.
type Number float64

// MarshalJSON writes an infinite number as the largest one.
func (n Number) MarshalJSON() ([]byte, error) {
	return json.Marshal(min(float64(n), math.MaxFloat64))
}

// fail notes the row's first failure.
func (r *Row) fail(what string) {
	if r.Pass {
		r.Pass, r.Failure = false, what
	}
}

// measure takes up how far one result is from the reference. A choice (i32) is
// right or wrong.
func (r *Row) measure(d interp.Difference, b interp.Bound) {
	r.NMSE, r.MaxAbs = max(r.NMSE, Number(d.NMSE)), max(r.MaxAbs, Number(d.MaxAbs))
	if b.NMSE == 0 {
		if r.ULP == nil {
			r.ULP = new(uint64)
		}
		*r.ULP = max(*r.ULP, d.MaxULP)
	}
	r.loosen(b)
}

// loosen keeps the loosest of the bounds of a row's graphs.
func (r *Row) loosen(b interp.Bound) {
	if b.NMSE > r.Bound.NMSE || b.NMSE == r.Bound.NMSE && b.ULP >= r.Bound.ULP {
		r.Bound = Bound{b.NMSE, b.ULP, b.Why}
	}
}

// difference compares a result with the reference's, or with another's.
func difference(have, want interp.Tensor) interp.Difference {
	if want.DType == dtype.I32 {
		return interp.Compare(ints(have), ints(want))
	}
	return interp.Compare(have.Float32s(), want.Float64s())
}

// ints widens an i32 tensor.
func ints(t interp.Tensor) []float64 {
	b := stored(t)
	out := make([]float64, t.Len())
	for i := range out {
		out[i] = float64(int32(uint32(b[4*i]) | uint32(b[4*i+1])<<8 | uint32(b[4*i+2])<<16 | uint32(b[4*i+3])<<24))
	}
	return out
}

// row returns the report's row of a kernel and format, in the order of first use.
func (r *Report) row(k *kernelKind, format string) *Row {
	i := slices.IndexFunc(r.Rows, func(x *Row) bool { return x.Kernel == k.name && x.Format == format })
	if i < 0 {
		i = len(r.Rows)
		r.Rows = append(r.Rows, &Row{Kernel: k.name, Checklist: k.checklist, Format: format, Pass: true, Uses: r.uses[k.name]})
	}
	return r.Rows[i]
}

// DispatchedIn says where the row's kernel is dispatched, in one line.
func (r *Row) DispatchedIn() string {
	i := slices.IndexFunc(table, func(k kernelKind) bool { return k.name == r.Kernel })
	if i < 0 {
		return usedIn(&kernelKind{}, r.Uses)
	}
	return usedIn(&table[i], r.Uses)
}

// String is such as "NMSE 1e-06", "1 ULP" or "exact".
func (b Bound) String() string {
	switch {
	case b.NMSE > 0:
		return fmt.Sprintf("NMSE %.0e", b.NMSE)
	case b.ULP > 0:
		return fmt.Sprintf("%d ULP", b.ULP)
	}
	return "exact"
}

// usedIn groups pipelines that dispatch a kernel for the same nodes.
func usedIn(k *kernelKind, uses []Use) string {
	if len(uses) == 0 {
		if k.pattern != "" {
			return "no named pipeline; `--passes fuse-" + k.pattern + k.options + "`"
		}
		return ".fir graphs"
	}
	var out []string
	names := map[string][]string{}
	for _, u := range uses {
		nodes := strings.Join(u.Nodes, ", ")
		if names[nodes] == nil {
			out = append(out, nodes)
		}
		names[nodes] = append(names[nodes], u.Pipeline)
	}
	for i, nodes := range out {
		out[i] = strings.Join(names[nodes], ", ") + ": " + nodes
	}
	return strings.Join(out, "; ")
}
