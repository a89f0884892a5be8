package gate

import (
	"fmt"
	"strconv"

	"foundry/runtime/msl/lex"
)

// Expressions follow this grammar:
//
//	expression = conditional [ assignment expression ]
//	conditional = binary [ "?" expression ":" expression ]
//	binary     = unary { operator unary }
//	unary      = ( "!" | "~" | "-" | "+" ) unary | "*" unary | cast | postfix
//	                                          (behind "*" a pointer's name or cast comes first)
//	cast       = "(" space type "*" ")" unary      (which begins with a pointer's name, of that space)
//	postfix    = primary { "[" expression "]" | "." member [ "(" arguments ")" ] | "++" | "--" }
//	primary    = number | "(" expression ")" | value | scope "::" member
//	           | function [ angles ] "(" arguments ")"
//	           | type ( "(" arguments ")" | list | "::" member )
//	type       = name [ angles ] { "::" member }
//	angles     = "<" ( type | additive ) { "," ( type | additive ) } ">"
//
// There is no comma operator, no address of anything, no cast but of pointers and
// none that takes a const away from device memory.

// assignments and operators; the lexer has them as single characters.
var (
	assignments = []string{"<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "="}
	relations   = []string{"&&", "||", "==", "!=", "<=", ">=", "<<", ">>", "<", ">", "&", "|", "^"}
	sums        = []string{"+", "-", "*", "/", "%"}
)

// operator accepts one of ops, which stand in the order of their length, where
// it stands as such: the characters side by side, and none behind that would make
// another operator of it.
func (b *body) operator(ops []string) bool {
	if b.peek(0).Kind != lex.Mark {
		return false
	}
	for _, op := range ops {
		if !b.spells(op) {
			continue
		}
		if next := b.peek(len(op)); next.tight && next.Text == "=" && op != "=" && op[len(op)-1] != '=' {
			return false // an assignment
		}
		if next := b.peek(1); len(op) == 1 && (op == "+" || op == "-") && next.tight && next.Text == op {
			return false // ++ or --
		}
		b.i += len(op)
		return true
	}
	return false
}

// spells reports whether op stands here, one character a token.
func (b *body) spells(op string) bool {
	for i := range len(op) {
		if t := b.peek(i); t.Text != op[i:i+1] || i > 0 && !t.tight {
			return false
		}
	}
	return true
}

func (b *body) expression() error {
	return b.nested(func() error {
		first := b.i
		if err := b.conditional(); err != nil {
			return err
		}
		end := b.i
		if !b.operator(assignments) {
			return nil
		}
		if err := b.stores(first, end); err != nil {
			return err
		}
		return b.expression()
	})
}

// stores refuses what is stored to the name that a loop counts with, which stands
// among the tokens first to end, but for those in square brackets.
func (b *body) stores(first, end int) error {
	depth := 0
	for _, t := range b.toks[first:end] {
		switch {
		case t.Text == "[":
			depth++
		case t.Text == "]":
			depth--
		case depth == 0 && b.counts[t.Text]:
			return b.errorf("only its loop stores to %s", t.Text)
		}
	}
	return nil
}

func (b *body) conditional() error {
	if err := b.binary(true); err != nil {
		return err
	}
	if !b.accept("?") {
		return nil
	}
	if err := b.expression(); err != nil {
		return err
	}
	if err := b.expect(":"); err != nil {
		return err
	}
	return b.expression()
}

// binary leaves precedence to the compiler; relations are let in outside angle
// brackets.
func (b *body) binary(relation bool) error {
	for n := 0; ; n++ {
		if n == maxOperands {
			return b.errorf("more than %d operands beside each other", maxOperands)
		}
		if err := b.unary(); err != nil {
			return err
		}
		if !b.operator(sums) && !(relation && b.operator(relations)) {
			return nil
		}
	}
}

func (b *body) unary() error {
	for _, sign := range []string{"!", "~", "-", "+", "*"} {
		if !b.at(sign) {
			continue
		}
		if next := b.peek(1); next.tight && next.Text == sign {
			return b.errorf("signs stand alone")
		}
		b.i++
		if sign == "*" && b.pointsTo() == "" {
			return b.errorf("* takes an expression that begins with a pointer")
		}
		return b.nested(b.unary)
	}
	if !b.casts() {
		return b.postfix()
	}
	b.i++
	space, err := b.space()
	if err != nil {
		return err
	}
	if err := b.typ(); err != nil {
		return err
	}
	if err := b.expect("*", ")"); err != nil {
		return err
	}
	if b.pointsTo() != space {
		return b.errorf("a cast to a pointer takes an expression that begins with one of its address space")
	}
	return b.nested(b.unary)
}

// casts reports whether a cast to a pointer begins here.
func (b *body) casts() bool {
	next := b.peek(1).Text
	return b.at("(") && (next == "device" || next == "threadgroup")
}

// pointer reads an expression that begins with a pointer into the address space, or
// chooses among such.
func (b *body) pointer(space string) error {
	within := func() error { return b.pointer(space) }
	switch b.pointsTo() {
	case space:
		return b.nested(b.expression)
	case "":
	default:
		return b.errorf("a pointer of another address space")
	}
	if err := b.binary(true); err != nil {
		return err
	}
	if err := b.expect("?"); err != nil {
		return fmt.Errorf("%w: a pointer begins as one", err)
	}
	if err := b.nested(within); err != nil {
		return err
	}
	if err := b.expect(":"); err != nil {
		return err
	}
	return b.nested(within)
}

// pointsTo is the address space of the first value here, behind brackets that open,
// where that is a pointer or cast to one.
func (b *body) pointsTo() string {
	first := 0
	for b.peek(first).Text == "(" {
		first++
	}
	name := b.peek(first).Text
	if first > 0 && (name == "device" || name == "threadgroup") {
		return name
	}
	return b.points[name]
}

func (b *body) postfix() error {
	first := b.i
	if err := b.primary(); err != nil {
		return err
	}
	for {
		switch {
		case b.accept("["):
			if err := b.expression(); err != nil {
				return err
			}
			if err := b.expect("]"); err != nil {
				return err
			}
		case b.accept("."):
			if err := b.member(); err != nil {
				return err
			}
			if b.accept("(") {
				if err := b.arguments(")"); err != nil {
					return err
				}
			}
		case b.spells("++") || b.spells("--"):
			if err := b.stores(first, b.i); err != nil {
				return err
			}
			b.i += 2
		default:
			return nil
		}
	}
}

// member reads the name of a member or of what a type holds.
func (b *body) member() error {
	name := b.peek(0).Text
	if !swizzle.MatchString(name) && !(ownName(name) && b.any(func(s *stage) map[string]bool { return s.words }, name)) {
		return b.errorf("no member that a stage file declares")
	}
	b.i++
	return nil
}

func (b *body) primary() error {
	t := b.peek(0)
	name := t.Text
	switch {
	case t.Kind == lex.Number:
		return b.number()
	case name == "(":
		return b.bracketed(b.expression)
	case b.names[name] || values[name] || b.any(func(s *stage) map[string]bool { return s.values }, name):
		b.i++
		return nil
	case scopes[name] != nil:
		b.i++
		if err := b.expect(":", ":"); err != nil {
			return err
		}
		if !scopes[name][b.peek(0).Text] {
			return b.errorf("no member of %s", name)
		}
		b.i++
		return nil
	case isType(name) || b.isStageType(name):
		return b.made()
	case functions[name] || b.any(func(s *stage) map[string]bool { return s.functions }, name):
		b.i++
		if err := b.angles(name); err != nil {
			return err
		}
		if err := b.expect("("); err != nil {
			return err
		}
		return b.arguments(")")
	case t.Kind == lex.Word:
		return b.errorf("neither an argument, nor declared, nor a word that a body may have")
	}
	return b.errorf("want an expression")
}

// made reads a value of a type, or a constant that the type holds.
func (b *body) made() error {
	if err := b.typ(); err != nil {
		return err
	}
	switch {
	case b.accept("("):
		return b.arguments(")")
	case b.accept("{"):
		return b.arguments("}")
	}
	if before := b.toks[b.i-2]; before.Text == ":" { // typ read ::NAME
		return nil
	}
	return b.errorf("want the type's arguments")
}

// arguments reads expressions up to the closing bracket.
func (b *body) arguments(end string) error {
	if b.accept(end) {
		return nil
	}
	for {
		if err := b.expression(); err != nil {
			return err
		}
		if !b.accept(",") {
			return b.expect(end)
		}
	}
}

func (b *body) typ() error {
	name := b.peek(0).Text
	if !isType(name) && !b.isStageType(name) {
		return b.errorf("no type that a body may name")
	}
	b.i++
	if err := b.angles(name); err != nil {
		return err
	}
	for b.spells("::") {
		b.i += 2
		if err := b.member(); err != nil {
			return err
		}
	}
	return nil
}

// angles reads the template arguments of name, where it takes any.
func (b *body) angles(name string) error {
	if !b.at("<") || !templates[name] && !b.any(func(s *stage) map[string]bool { return s.templates }, name) {
		return nil
	}
	b.i++
	return b.nested(func() error {
		for {
			one := func() error { return b.binary(false) }
			if t := b.peek(0).Text; isType(t) || b.isStageType(t) {
				one = b.typ
			}
			if err := one(); err != nil {
				return err
			}
			if !b.accept(",") {
				return b.expect(">")
			}
		}
	})
}

func (b *body) number() error {
	text := b.peek(0).Text
	if m := integer.FindStringSubmatch(text); m != nil {
		bits := map[string]int{"": 31, "u": 32, "ul": 64}[m[1]]
		if _, err := strconv.ParseUint(text[:len(text)-len(m[1])], 0, bits); err != nil {
			return b.errorf("the number has more than %d bits", bits)
		}
	} else if !floating.MatchString(text) {
		return b.errorf("no number that a body may have: 1u, 1ul, 1 or 1.0f")
	}
	b.i++
	return nil
}
