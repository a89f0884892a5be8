package ir

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"foundry/ir/dtype"
	"foundry/ir/names"
	"foundry/ir/sym"
)

// Attr holds the constants of a node. An op uses the fields that its row of the
// op table lists; all others are zero. Attrs are comparable.
type Attr struct {
	Eps     float64    // rms_norm, rms_scale: added to the mean square
	Scale   float64    // bmm_nt: multiplies the product
	Start   sym.Dim    // rope, kv_write, softmax: position of row 0; slice: first index; arange: first value
	Size    sym.Dim    // slice: count along Axis; sum_squares: elements of one sum; arange, ones, random_uniform: elements
	Axis    int        // slice, concat
	Perm    [4]int8    // transpose: result dim i is operand dim Perm[i]
	Heads   int        // kv_rearrange
	Times   int        // repeat_kv
	Causal  bool       // softmax: row t of a head sees columns 0..Start+t
	Window  int        // softmax: a causal row sees no more columns than these, the last ones; 0: all
	To      dtype.Type // cast
	Shape   Shape      // reshape
	Pattern string     // fused: the pattern that formed the region
	Kernel  string     // words of the kernel that the node gets, see kernel.Pin; "": the cost model chooses
}

// Field names one field of Attr in the text form and in the op table.
type Field uint8

// The fields of Attr.
const (
	FieldEps Field = iota
	FieldScale
	FieldStart
	FieldSize
	FieldAxis
	FieldPerm
	FieldHeads
	FieldTimes
	FieldCausal
	FieldWindow
	FieldTo
	FieldShape
	FieldPattern
	FieldKernel
	numFields
)

type fieldInfo struct {
	name     string
	ptr      func(*Attr) any
	optional bool // no text for a zero value
}

var fieldInfos = [numFields]fieldInfo{
	FieldEps:     {name: "eps", ptr: func(a *Attr) any { return &a.Eps }},
	FieldScale:   {name: "scale", ptr: func(a *Attr) any { return &a.Scale }},
	FieldStart:   {name: "start", ptr: func(a *Attr) any { return &a.Start }},
	FieldSize:    {name: "size", ptr: func(a *Attr) any { return &a.Size }},
	FieldAxis:    {name: "axis", ptr: func(a *Attr) any { return &a.Axis }},
	FieldPerm:    {name: "perm", ptr: func(a *Attr) any { return &a.Perm }},
	FieldHeads:   {name: "heads", ptr: func(a *Attr) any { return &a.Heads }},
	FieldTimes:   {name: "times", ptr: func(a *Attr) any { return &a.Times }},
	FieldCausal:  {name: "causal", ptr: func(a *Attr) any { return &a.Causal }},
	FieldWindow:  {name: "window", ptr: func(a *Attr) any { return &a.Window }, optional: true},
	FieldTo:      {name: "to", ptr: func(a *Attr) any { return &a.To }},
	FieldShape:   {name: "shape", ptr: func(a *Attr) any { return &a.Shape }},
	FieldPattern: {name: "pattern", ptr: func(a *Attr) any { return &a.Pattern }},
	FieldKernel:  {name: "kernel", ptr: func(a *Attr) any { return &a.Kernel }, optional: true},
}

// String returns the field's name in the text form.
func (f Field) String() string { return fieldInfos[f].name }

// ParseField returns the field of that name in the text form.
func ParseField(name string) (Field, error) {
	known := make([]string, numFields)
	for f := range numFields {
		if known[f] = f.String(); known[f] == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("unknown attr %q%s", name, names.DidYouMean(name, known))
}

// Format prints a's field f as the text form has it.
func (f Field) Format(a *Attr) string { return f.format(a) }

// Set makes a's field f what the text says, as the text form has it.
func (f Field) Set(a *Attr, text string) error { return f.parse(a, text) }

// Number returns a's field f where that is a real number.
func (f Field) Number(a *Attr) (x float64, ok bool) {
	p, ok := fieldInfos[f].ptr(a).(*float64)
	if ok {
		x = *p
	}
	return x, ok
}

// Same reports whether a's field f holds what b's field g holds.
func (f Field) Same(a *Attr, g Field, b *Attr) bool {
	switch p := fieldInfos[f].ptr(a).(type) {
	case *float64:
		return same(p, fieldInfos[g].ptr(b))
	case *int:
		return same(p, fieldInfos[g].ptr(b))
	case *bool:
		return same(p, fieldInfos[g].ptr(b))
	case *string:
		return same(p, fieldInfos[g].ptr(b))
	case *sym.Dim:
		return same(p, fieldInfos[g].ptr(b))
	case *dtype.Type:
		return same(p, fieldInfos[g].ptr(b))
	case *Shape:
		return same(p, fieldInfos[g].ptr(b))
	case *[4]int8:
		return same(p, fieldInfos[g].ptr(b))
	}
	panic("ir: attr field that cannot be compared")
}

func same[T comparable](p *T, other any) bool {
	q, ok := other.(*T)
	return ok && *p == *q
}

// absent reports whether the text form of a leaves f out.
func (f Field) absent(a *Attr) bool {
	without := *a
	f.clear(&without)
	return fieldInfos[f].optional && without == *a
}

// format prints field f of a as parseField reads it.
func (f Field) format(a *Attr) string {
	switch p := fieldInfos[f].ptr(a).(type) {
	case *float64:
		return strconv.FormatFloat(*p, 'g', -1, 64)
	case *int:
		return strconv.Itoa(*p)
	case *bool:
		return strconv.FormatBool(*p)
	case *string:
		return strconv.Quote(*p)
	case *sym.Dim:
		return p.String()
	case *dtype.Type:
		return p.String()
	case *Shape:
		return strings.ReplaceAll(p.String(), " ", "")
	case *[4]int8:
		return fmt.Sprintf("[%d,%d,%d,%d]", p[0], p[1], p[2], p[3])
	}
	panic("ir: attr field without a text form")
}

// parse sets field f of a from the text that format prints.
func (f Field) parse(a *Attr, s string) (err error) {
	switch p := fieldInfos[f].ptr(a).(type) {
	case *float64:
		*p, err = strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(*p) || math.IsInf(*p, 0) {
			return fmt.Errorf("want a finite number, have %q", s)
		}
	case *int:
		if *p, err = strconv.Atoi(s); err != nil {
			return fmt.Errorf("want an integer, have %q", s)
		}
	case *bool:
		if *p, err = strconv.ParseBool(s); err != nil {
			return fmt.Errorf("want true or false, have %q", s)
		}
	case *string:
		if *p, err = strconv.Unquote(s); err != nil {
			return fmt.Errorf("want a quoted string, have %s", s)
		}
		if fieldInfos[f].optional && strings.TrimSpace(*p) == "" {
			return fmt.Errorf("it is empty: leave it out, or say what")
		}
	case *sym.Dim:
		*p, err = sym.Parse(s)
	case *dtype.Type:
		*p, err = dtype.Parse(s)
	case *Shape:
		*p, err = parseShape(s)
	case *[4]int8:
		bad := fmt.Errorf("want an index for each dim, such as [1,0] for a matrix, have %q", s)
		parts := strings.Split(strings.Trim(s, "[]"), ",")
		if len(parts) > len(p) {
			return bad
		}
		*p = [4]int8{} // those behind the operand's rank are 0
		for i, part := range parts {
			n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 8)
			if err != nil {
				return bad
			}
			p[i] = int8(n)
		}
	}
	return err
}

func parseShape(s string) (Shape, error) {
	inner, ok := strings.CutPrefix(s, "[")
	inner, ok2 := strings.CutSuffix(inner, "]")
	if !ok || !ok2 {
		return Shape{}, fmt.Errorf("want a shape such as [T,896], have %q", s)
	}
	if strings.TrimSpace(inner) == "" {
		return Shape{}, nil
	}
	parts := strings.Split(inner, ",")
	if len(parts) > MaxRank {
		return Shape{}, fmt.Errorf("a shape has at most %d dims, have %d", MaxRank, len(parts))
	}
	var dims []sym.Dim
	for _, p := range parts {
		d, err := sym.Parse(strings.TrimSpace(p))
		if err != nil {
			return Shape{}, err
		}
		dims = append(dims, d)
	}
	return ShapeOf(dims...), nil
}

// clear sets field f of a to zero.
func (f Field) clear(a *Attr) {
	switch p := fieldInfos[f].ptr(a).(type) {
	case *float64:
		*p = 0
	case *int:
		*p = 0
	case *bool:
		*p = false
	case *string:
		*p = ""
	case *sym.Dim:
		*p = sym.Dim{}
	case *dtype.Type:
		*p = dtype.Invalid
	case *Shape:
		*p = Shape{}
	case *[4]int8:
		*p = [4]int8{}
	}
}
