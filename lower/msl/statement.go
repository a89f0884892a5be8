package msl

// Statement is a statement of the function. Writers put them into lists, and may move one
// that stands in a list to another.
type Statement interface{ statement() }

// Declare declares variables of one type. An array has a size; one that is not set has no
// value.
type Declare struct {
	Type *Value // the type's words, const and the like too
	Of   []Declared
	Note string // the comment behind it, or empty
}

// Declared is one variable of a declaration.
type Declared struct{ Variable, Size, Value *Value }

// Assign sets a variable, or adds to it where Op is "+=".
type Assign struct {
	To    *Value
	Op    string
	Value *Value
}

// Do evaluates a call for what it does.
type Do struct{ Call *Value }

// If runs the first of its branches whose condition holds; the last one may have none.
type If struct {
	Branches []Branch
	Line     bool // one branch of one statement, written on a line
}

// Branch is a list of statements under a condition.
type Branch struct {
	Condition *Value
	Body      []Statement
}

// For counts Variable from From while it is below Below, by Step, 1 where that is nil.
type For struct {
	Variable, From, Below, Step *Value
	Body                        []Statement
	Line                        bool // one statement, written on a line
}

// Block is a list in braces.
type Block struct{ Body []Statement }

// Row is statements that stand on one line.
type Row struct{ Of []Statement }

// Barrier has the threads of a threadgroup, or of a simdgroup, meet, and what they wrote
// to memory of that scope seen.
type Barrier struct {
	Simdgroup bool
	Memory    string // such as mem_threadgroup
}

// Unroll tells compilers to unroll the loop behind it, by a macro of the stages.
type Unroll struct{ Macro string }

// Phase is the comment that begins a phase: preload, prologue, main, epilogue.
type Phase struct{ Text string }

// Ready is the point behind which a kernel may read what other dispatches wrote. What is
// moved there stands right before it or right behind it.
type Ready struct{ Before, Behind []Statement }

// Return ends the function.
type Return struct{}

func (*Declare) statement() {}
func (*Assign) statement()  {}
func (*Do) statement()      {}
func (*If) statement()      {}
func (*For) statement()     {}
func (*Block) statement()   {}
func (*Row) statement()     {}
func (*Barrier) statement() {}
func (*Unroll) statement()  {}
func (*Phase) statement()   {}
func (*Ready) statement()   {}
func (*Return) statement()  {}

// Set assigns a value; Raise adds one.
func Set(to, value *Value) Statement   { return &Assign{to, "=", value} }
func Raise(to, value *Value) Statement { return &Assign{to, "+=", value} }

// When is s under a condition, on one line.
func When(condition *Value, s Statement) Statement {
	return &If{Branches: []Branch{{condition, []Statement{s}}}, Line: true}
}

// Times is s for each i from 0 to below-1, on one line.
func Times(i, below *Value, s Statement) Statement {
	return &For{Variable: i, From: U(0), Below: below, Body: []Statement{s}, Line: true}
}

// Let declares one variable with a value.
func Let(typ, variable, value *Value) Statement {
	return &Declare{Type: typ, Of: []Declared{{Variable: variable, Value: value}}}
}

// Array declares an array that is not set.
func Array(typ, variable, size *Value) Statement {
	return &Declare{Type: typ, Of: []Declared{{Variable: variable, Size: size}}}
}
