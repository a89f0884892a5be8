package gate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"foundry/lower/plan"
	"foundry/runtime/msl/lex"
)

// body reads a kernel's body by this grammar:
//
//	block       = "{" { statement } "}"
//	statement   = block | declaration ";" | expression ";"
//	            | "if" "(" expression ")" statement [ "else" statement ]
//	            | [ unroll ] "for" "(" "uint" name "=" expression ";" name "<" expression ";" name ( "++" | "+=" length ) ")" statement
//	            | ( "return" | "break" | "continue" ) ";"
//	            | "FOUNDRY_READY" "(" ")" ";"        (once, in no block)
//	declaration = { "const" | "constexpr" } [ space ] type declarator { "," declarator }
//	space       = "device" "const" | "threadgroup" [ "const" ]
//	declarator  = [ "*" [ "const" ] ] name { "[" length "]" } [ "=" ( expression | list ) ]
//	length      = factor { "*" factor }      (factor: a number, or a constant of a number or of a stage file; never 0)
//	list        = "{" [ expression { "," expression } ] "}"
//
// A declaration has a space where its declarators are pointers, and only there; a pointer
// begins as one, of its own space. Nothing in a loop is stored to the name that it counts
// with, so that only a step over the largest number lets it go on for ever. So a body declares no function, no type, nothing static, no threadgroup memory and no
// pointer through which device memory could be written that is not an argument.
type body struct {
	stages []*stage
	toks   []token
	i      int
	line   int // the line of the file where the body begins
	depth  int
	names  map[string]bool   // arguments and declared values in scope
	counts map[string]bool   // those that loops around count with
	points map[string]string // the address space of each name in scope that is a pointer
	scope  []hidden          // what names meant before their declaration, in its order
	ready  bool
	known  map[string]uint64 // constants in scope that a number was given
	length uint64            // elements of all values and arrays
}

// token is one that is not blank.
type token struct {
	lex.Token
	line  int
	tight bool // nothing between it and the one before
}

// head checks the names and types of the kernel's arguments, which are its body's
// first names.
func (b *body) head(k *plan.Kernel) error {
	argument := func(name, typ, space string) error {
		pointer := space != ""
		if !ownName(name) || b.names[name] {
			return fmt.Errorf("argument %q: no name that an argument may have", name)
		}
		if !isType(typ) && !b.isStageType(typ) && !(pointer && pointees[typ]) {
			return fmt.Errorf("argument %s: no type that an argument may have: %q", name, typ)
		}
		b.names[name] = true
		b.points[name] = space
		return nil
	}
	if !ownName(k.Name) {
		return fmt.Errorf("no name that a kernel may have")
	}
	if k.Matrices != 0 {
		b.names[plan.Units] = true
	}
	for _, s := range k.Slots {
		space := map[string]string{"device": "device"}[s.Space] // a constant is a reference
		if err := argument(s.Name, s.Type, space); err != nil {
			return err
		}
		if s.Space != "device" && s.Space != "constant" {
			return fmt.Errorf("argument %s: no address space %q", s.Name, s.Space)
		}
	}
	for _, t := range k.Threadgroup {
		if err := argument(t.Name, t.Type, "threadgroup"); err != nil {
			return err
		}
	}
	for _, u := range k.Builtins {
		if a := u.Argument(); a.Name == "" {
			return fmt.Errorf("unknown built-in %q", u)
		} else if err := argument(a.Name, a.Type, ""); err != nil {
			return err
		}
	}
	return nil
}

// check reads the whole body, which stands between the function's braces.
func (b *body) check(text string) error {
	line, tight := b.line, false
	if text != "" && text[len(text)-1] != '\n' {
		return fmt.Errorf("the function's last brace does not begin a line")
	}
	for _, t := range lex.Cut(text) {
		if strings.HasPrefix(t.Text, "/*") {
			return fmt.Errorf("line %d: a body has comments of one line only", line)
		}
		if !t.Blank() {
			b.toks = append(b.toks, token{t, line, tight})
		}
		tight = !t.Blank()
		line += strings.Count(t.Text, "\n")
	}
	b.line = line
	for b.i < len(b.toks) {
		if err := b.statement(); err != nil {
			return err
		}
	}
	return nil
}

// peek is the token i places ahead; an empty one at the end.
func (b *body) peek(i int) token {
	if b.i+i < len(b.toks) {
		return b.toks[b.i+i]
	}
	return token{line: b.line}
}

func (b *body) at(text string) bool { return b.i < len(b.toks) && b.toks[b.i].Text == text }

func (b *body) accept(text string) bool {
	if b.at(text) {
		b.i++
		return true
	}
	return false
}

func (b *body) expect(texts ...string) error {
	for _, text := range texts {
		if !b.accept(text) {
			return b.errorf("want %q", text)
		}
	}
	return nil
}

// errorf describes the next token.
func (b *body) errorf(format string, args ...any) error {
	t := b.peek(0)
	what := fmt.Sprintf("%.80q", t.Text)
	if t.Text == "" {
		what = "the end"
	}
	return fmt.Errorf("line %d: %s: %s", t.line, what, fmt.Sprintf(format, args...))
}

// nested runs f one level deeper.
func (b *body) nested(f func() error) error {
	if b.depth == maxDepth {
		return b.errorf("more than %d blocks and brackets in one another", maxDepth)
	}
	b.depth++
	defer func() { b.depth-- }()
	return f()
}

// hidden is what a name means outside of the scope that declares it anew.
type hidden struct {
	name, point    string
	declared, knew bool
	known          uint64
}

// scoped runs f and forgets what it declares.
func (b *body) scoped(f func() error) error {
	n := len(b.scope)
	err := b.nested(f)
	for _, h := range slices.Backward(b.scope[n:]) {
		b.names[h.name], b.points[h.name] = h.declared, h.point
		if delete(b.known, h.name); h.knew {
			b.known[h.name] = h.known
		}
	}
	b.scope = b.scope[:n]
	return err
}

// declare adds a name to the scope.
func (b *body) declare(name string) error {
	if !ownName(name) {
		return b.errorf("no name that a value may have: it is a word of the language or reserved")
	}
	h := hidden{name: name, declared: b.names[name], point: b.points[name]}
	h.known, h.knew = b.known[name]
	b.scope = append(b.scope, h)
	b.names[name] = true
	b.points[name] = ""
	delete(b.known, name)
	return nil
}

func (b *body) statement() error {
	switch t := b.peek(0); {
	case t.Text == "{":
		return b.scoped(b.block)
	case t.Text == "if":
		return b.scoped(b.condition)
	case t.Text == "for":
		return b.scoped(b.loop)
	case unrolls[t.Text]:
		b.i++
		if !b.at("for") {
			return b.errorf("want the loop that is unrolled")
		}
		return b.scoped(b.loop)
	case t.Text == "return" || t.Text == "break" || t.Text == "continue":
		b.i++
		return b.expect(";")
	case t.Text == readyPoint:
		if b.ready || b.depth > 0 {
			return b.errorf("the ready point stands once, in no block")
		}
		b.ready = true
		b.i++
		return b.expect("(", ")", ";")
	case b.declares():
		if err := b.declaration(); err != nil {
			return err
		}
		return b.expect(";")
	}
	if err := b.expression(); err != nil {
		return err
	}
	return b.expect(";")
}

func (b *body) block() error {
	b.i++
	for !b.at("}") {
		if b.i == len(b.toks) {
			return b.errorf("want %q", "}")
		}
		if err := b.statement(); err != nil {
			return err
		}
	}
	b.i++
	return nil
}

func (b *body) bracketed(f func() error) error {
	if err := b.expect("("); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return b.expect(")")
}

func (b *body) condition() error {
	if !b.accept("if") {
		return b.statement()
	}
	if err := b.bracketed(b.expression); err != nil {
		return err
	}
	if err := b.statement(); err != nil {
		return err
	}
	if !b.accept("else") {
		return nil
	}
	return b.scoped(b.condition)
}

func (b *body) loop() error {
	b.i++
	name := b.peek(2).Text
	err := b.bracketed(func() error {
		if err := b.expect("uint"); err != nil {
			return err
		}
		if err := b.declare(name); err != nil {
			return err
		}
		if err := b.expect(name, "="); err != nil {
			return err
		}
		if err := b.expression(); err != nil {
			return err
		}
		if err := b.expect(";", name, "<"); err != nil {
			return err
		}
		if err := b.expression(); err != nil {
			return err
		}
		if err := b.expect(";", name, "+"); err != nil {
			return err
		}
		if b.accept("+") {
			return nil
		}
		if err := b.expect("="); err != nil {
			return err
		}
		step := uint64(1)
		return b.factors(&step)
	})
	if err != nil {
		return err
	}
	defer func(outer bool) { b.counts[name] = outer }(b.counts[name])
	b.counts[name] = true
	return b.statement()
}

// declares reports whether a declaration begins here.
func (b *body) declares() bool {
	t := b.peek(0).Text
	return t == "const" || t == "constexpr" || t == "device" || t == "threadgroup" || isType(t) || b.isStageType(t)
}

func (b *body) declaration() error {
	first := b.i
	for b.accept("const") || b.accept("constexpr") {
	}
	constant := b.i > first
	space, err := b.space()
	if err != nil {
		return err
	}
	pointer := space != ""
	d := declarators{constant: constant && !pointer, space: space, width: width(b.peek(0).Text)}
	if err := b.typ(); err != nil {
		return err
	}
	for {
		if pointer != b.accept("*") {
			return b.errorf("an address space stands at pointers, and at pointers only")
		}
		if pointer {
			b.accept("const")
		}
		name := b.peek(0).Text
		if err := b.declarator(d); err != nil {
			return err
		}
		b.points[name] = space
		if !b.accept(",") {
			return nil
		}
	}
}

// space reads an address space; "" where there is none.
func (b *body) space() (space string, err error) {
	switch {
	case b.accept("device"):
		return "device", b.expect("const")
	case b.accept("threadgroup"):
		b.accept("const")
		return "threadgroup", nil
	}
	return "", nil
}

// declarators are what those of one declaration share.
type declarators struct {
	constant bool
	space    string // the address space of pointers; "" for values
	width    uint64 // elements of a value
}

func (b *body) declarator(d declarators) error {
	name := b.peek(0)
	if err := b.declare(name.Text); err != nil {
		return err
	}
	b.i++
	elements, array := d.width, b.at("[")
	for b.accept("[") {
		if err := b.factors(&elements); err != nil {
			return err
		}
		if err := b.expect("]"); err != nil {
			return err
		}
	}
	if b.length += elements; b.length > maxElements {
		return b.errorf("more than %d elements in values and arrays", maxElements)
	}
	switch {
	case !b.accept("="):
		if d.space != "" && !array {
			return b.errorf("a pointer begins as one")
		}
		return nil
	case b.accept("{"):
		return b.arguments("}")
	case d.space != "":
		return b.pointer(d.space)
	}
	if t := b.peek(0); d.constant && t.Kind == lex.Number && (b.peek(1).Text == "," || b.peek(1).Text == ";") {
		if n, err := strconv.ParseUint(strings.TrimRight(t.Text, "ul"), 0, 32); err == nil {
			b.known[name.Text] = n
		}
	}
	return b.expression()
}

// factors multiplies an array's length by the factors that stand in its brackets.
func (b *body) factors(elements *uint64) error {
	for {
		t := b.peek(0)
		n, isKnown := b.known[t.Text]
		switch {
		case t.Kind == lex.Number:
			if err := b.number(); err != nil {
				return err
			}
			n, _ = strconv.ParseUint(strings.TrimRight(t.Text, "ul"), 0, 64)
		case isKnown:
			b.i++
		case b.any(func(s *stage) map[string]bool { return s.values }, t.Text):
			n = 1 // small, and this program's own
			b.i++
		default:
			return b.errorf("an array's length is a product of numbers and of constants")
		}
		if n == 0 || n > maxElements || *elements > maxElements {
			return b.errorf("want a length of 1 to %d", maxElements)
		}
		*elements *= n
		if !b.accept("*") {
			return nil
		}
	}
}

func (b *body) isStageType(word string) bool {
	return b.any(func(s *stage) map[string]bool { return s.types }, word)
}

// any reports whether a stage file of the kernel has the word in one of its sets.
func (b *body) any(of func(*stage) map[string]bool, word string) bool {
	for _, s := range b.stages {
		if of(s)[word] {
			return true
		}
	}
	return false
}
