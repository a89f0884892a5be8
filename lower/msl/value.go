// Package msl is the text of a kernel's function before it is text: expressions and
// statements as values, which the writers of kernels put together, move and drop. It
// knows the language's syntax and nothing of what kernels compute; print.go is the one
// place that makes text of them.
//
// Read next: statement.go, then print.go.
package msl

import "strconv"

// Value is an expression. It never changes, so that expressions may share their parts.
type Value struct {
	op       op
	operator operator // what a binary one does
	text     string   // the name of a variable or of something that stages declare, a literal, an operator of one operand
	n        int64    // the number of a literal that is one
	of       []*Value // operands; what is called, indexed or cast first
}

type op uint8

const (
	opName      op = iota // what stands outside: of stages, of the function's head, a literal
	opVariable            // a variable of the function, one for each address of a Value
	opNumber              // an unsigned number
	opBinary              // of[0] operator of[1]
	opUnary               // text of[0]
	opCall                // of[0](of[1:])
	opConstruct           // of[0]{of[1:]}
	opIndex               // of[0][of[1]]
	opMember              // of[0].text
	opScoped              // of[0]::text
	opSelect              // of[0] ? of[1] : of[2]
	opCast                // (text)of[0]
	opGeneric             // text<of>
	opParen               // (of[0]), where the tree does not ask for it
	opConst               // const of[0], a type
	opConstexpr           // constexpr of[0], the type of what compilers compute
)

// operator is an operator of two operands.
type operator uint8

const (
	_ operator = iota // of values that are no binary ones
	plus
	minus
	product
	quotient
	remainder
	less
	more
	least
	equal
	and
	or
	bits
)

// Name is something that the function does not declare: what a stage declares, an argument
// of the function, a type, or a literal as it is written. Here and below nothing of what
// writers of kernels call in each line is copied into them: that would take more than a
// third of their compiling.
//
//go:noinline
func Name(text string) *Value { return &Value{op: opName, text: text} }

// Variable is a new variable of the function.
//
//go:noinline
func Variable(name string) *Value { return &Value{op: opVariable, text: name} }

// U is an unsigned number; one below zero is that modulo 2^32.
//
//go:noinline
func U[T int | int64 | uint32](n T) *Value {
	if n >= 0 && int64(n) < int64(len(numbers)) {
		return &numbers[n]
	}
	return &Value{op: opNumber, n: int64(n)}
}

// numbers are those that stand everywhere.
var numbers = func() (out [130]Value) {
	for i := range out {
		out[i] = Value{op: opNumber, n: int64(i)}
	}
	return out
}()

// Float is a constant as a float that reads back to the same float.
func Float(v float64) *Value { return Name(strconv.FormatFloat(float64(float32(v)), 'e', 9, 64) + "f") }

// Long is an unsigned number of 64 bits.
func Long(n int64) *Value { return Name(strconv.FormatInt(n, 10) + "ul") }

// Int is a signed number.
func Int[T int | int64](n T) *Value { return Name(strconv.FormatInt(int64(n), 10)) }

// Call calls a function of that name.
func Call(name string, args ...*Value) *Value { return Name(name).Call(args...) }

// Of is the template name with arguments, types or numbers: name<params>.
func Of(name string, params ...*Value) *Value { return &Value{op: opGeneric, text: name, of: params} }

// Const is the type with const before it.
func Const(typ *Value) *Value { return &Value{op: opConst, of: []*Value{typ}} }

// Constexpr is the type of a constant that compilers compute: constexpr before it.
func Constexpr(typ *Value) *Value { return &Value{op: opConstexpr, of: []*Value{typ}} }

// Call calls v.
func (v *Value) Call(args ...*Value) *Value { return &Value{op: opCall, of: before(v, args)} }

// Make constructs a v of what it holds: v{of}. A v without a name is a list alone.
func (v *Value) Make(of ...*Value) *Value { return &Value{op: opConstruct, of: before(v, of)} }

//go:noinline
func before(v *Value, rest []*Value) []*Value {
	return append(append(make([]*Value, 0, 1+len(rest)), v), rest...)
}

// At is element i of v, Dot a member of it, Scoped a name in the scope of the type v.
func (v *Value) At(i *Value) *Value        { return &Value{op: opIndex, of: []*Value{v, i}} }
func (v *Value) Dot(name string) *Value    { return &Value{op: opMember, text: name, of: []*Value{v}} }
func (v *Value) Scoped(name string) *Value { return &Value{op: opScoped, text: name, of: []*Value{v}} }
func (v *Value) Cast(typ string) *Value    { return &Value{op: opCast, text: typ, of: []*Value{v}} }
func (v *Value) Not() *Value               { return &Value{op: opUnary, text: "!", of: []*Value{v}} }
func (v *Value) Deref() *Value             { return &Value{op: opUnary, text: "*", of: []*Value{v}} }
func (v *Value) Select(a, b *Value) *Value { return &Value{op: opSelect, of: []*Value{v, a, b}} }
func (v *Value) Paren() *Value             { return &Value{op: opParen, of: []*Value{v}} }

//go:noinline
func (v *Value) binary(o operator, b *Value) *Value {
	return &Value{op: opBinary, operator: o, of: []*Value{v, b}}
}

func (v *Value) Add(b *Value) *Value   { return v.binary(plus, b) }
func (v *Value) Sub(b *Value) *Value   { return v.binary(minus, b) }
func (v *Value) Mul(b *Value) *Value   { return v.binary(product, b) }
func (v *Value) Div(b *Value) *Value   { return v.binary(quotient, b) }
func (v *Value) Mod(b *Value) *Value   { return v.binary(remainder, b) }
func (v *Value) Less(b *Value) *Value  { return v.binary(less, b) }
func (v *Value) More(b *Value) *Value  { return v.binary(more, b) }
func (v *Value) Least(b *Value) *Value { return v.binary(least, b) }
func (v *Value) Equal(b *Value) *Value { return v.binary(equal, b) }
func (v *Value) And(b *Value) *Value   { return v.binary(and, b) }
func (v *Value) Or(b *Value) *Value    { return v.binary(or, b) }
func (v *Value) Bits(b *Value) *Value  { return v.binary(bits, b) }

// Min is the lesser of two.
func Min(a, b *Value) *Value { return Call("min", a, b) }

// IsSimple reports whether v is a name, a variable, a number or a member of one of them.
func (v *Value) IsSimple() bool {
	return v.op <= opNumber || v.op == opMember && v.of[0].IsSimple()
}

// IsNumber reports whether v is the unsigned number n.
func (v *Value) IsNumber(n int64) bool { return v.op == opNumber && v.n == n }

// Bool is true or false.
func Bool(b bool) *Value { return Name(strconv.FormatBool(b)) }
