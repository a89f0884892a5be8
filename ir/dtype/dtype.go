// Package dtype turns element type names into sizes, and elements of one type
// into another: f32, f16, bf16, i32 and the block-quantised weight formats.
//
// A block format stores Elems consecutive elements of a row in Bytes bytes; the
// element count of a row must be a multiple of Elems. Most have a name of their own
// in GGML; the affine family (affine.go) is one format for each choice of bits,
// group, scales and zero form.
//
// Read next: foundry/ir/sym for dims, foundry/ir for tensors of these types.
package dtype

import "fmt"

// Type is an element type. The zero value is Invalid.
type Type uint8

// The element types. Q formats keep GGML's names and block layouts.
const (
	Invalid Type = iota
	F32
	F16
	BF16
	I32
	Q8_0
	Q4_0
	Q4_1
	Q5_0
	Q5_1
	Q4_K
	Q5_K
	Q6_K
	Q2_K
	Q3_K
	IQ4_NL
	IQ4_XS
	firstAffine
	numTypes = firstAffine + affineTypes
)

type info struct {
	name         string
	elems, bytes int // elements and bytes of one block; a plain type is a block of one element
}

// infos describes every type; affine ones follow the named ones.
var infos = withAffine([numTypes]info{
	Invalid: {"invalid", 1, 0},
	F32:     {"f32", 1, 4},
	F16:     {"f16", 1, 2},
	BF16:    {"bf16", 1, 2},
	I32:     {"i32", 1, 4},
	Q8_0:    {"q8_0", 32, 34},
	Q4_0:    {"q4_0", 32, 18},
	Q4_1:    {"q4_1", 32, 20},
	Q5_0:    {"q5_0", 32, 22},
	Q5_1:    {"q5_1", 32, 24},
	Q4_K:    {"q4_k", 256, 144},
	Q5_K:    {"q5_k", 256, 176},
	Q6_K:    {"q6_k", 256, 210},
	Q2_K:    {"q2_k", 256, 84},
	Q3_K:    {"q3_k", 256, 110},
	IQ4_NL:  {"iq4_nl", 32, 18},
	IQ4_XS:  {"iq4_xs", 256, 136},
})

var byName = func() map[string]Type {
	out := make(map[string]Type, numTypes)
	for t := F32; t < numTypes; t++ {
		out[infos[t].name] = t
	}
	return out
}()

// AllButAffine lists the valid types that are no affine ones, in declaration order.
func AllButAffine() []Type { return typesFrom(F32, firstAffine) }

// All lists every valid type, AllButAffine and then Affines, in declaration order.
func All() []Type { return typesFrom(F32, numTypes) }

func typesFrom(first, end Type) []Type {
	out := make([]Type, 0, end-first)
	for t := first; t < end; t++ {
		out = append(out, t)
	}
	return out
}

// Parse returns the type with the given lower-case name.
func Parse(name string) (Type, error) {
	if t, ok := byName[name]; ok {
		return t, nil
	}
	return Invalid, fmt.Errorf("unknown dtype %q", name)
}

// String returns the name that Parse takes.
func (t Type) String() string {
	if t >= numTypes {
		return fmt.Sprintf("dtype(%d)", uint8(t))
	}
	return infos[t].name
}

// Valid reports whether t is one of the declared types.
func (t Type) Valid() bool { return t > Invalid && t < numTypes }

// Quantised reports whether t is a block format.
func (t Type) Quantised() bool { return t >= Q8_0 && t < numTypes }

// Float reports whether t is f32, f16 or bf16.
func (t Type) Float() bool { return t == F32 || t == F16 || t == BF16 }

// Block returns the number of elements and of bytes in one block; elems is 1
// for a plain type.
func (t Type) Block() (elems, bytes int) { return infos[t].elems, infos[t].bytes }

// Bytes returns the storage of n consecutive elements; n must be a multiple of
// the block's element count.
func (t Type) Bytes(n int64) int64 {
	i := infos[t]
	return n / int64(i.elems) * int64(i.bytes)
}

// MarshalText writes the name.
func (t Type) MarshalText() ([]byte, error) {
	if !t.Valid() {
		return nil, fmt.Errorf("cannot write dtype %d", uint8(t))
	}
	return []byte(t.String()), nil
}

// UnmarshalText reads the name.
func (t *Type) UnmarshalText(b []byte) (err error) {
	*t, err = Parse(string(b))
	return err
}
