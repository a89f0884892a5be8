package main

import (
	"cmp"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// Most mistakes in Go are built into one program, each behind a switch, and one of them
// is switched on where a test starts: what would take a compilation each takes none, and
// the same program says which mistakes a test meets. switches.go.txt is the package that
// the changed text calls, as mutant_; %d is the mistake's number there.

// insertion is text that comes into a file at a place, for the next drop bytes.
type insertion struct {
	at, drop int
	closing  bool // the end of something: behind it begins what else begins there
	text     string
}

// around puts text before and behind bytes [from, to).
func around(from, to int, before, behind string) []insertion {
	return []insertion{{from, 0, false, before}, {to, 0, true, behind}}
}

// calls are the functions of mutant_ that do an operation or the one that it is mistaken for.
var calls = map[token.Token]string{token.LSS: "Less", token.LEQ: "LessEqual", token.GTR: "Greater", token.GEQ: "GreaterEqual",
	token.ADD: "Add", token.SUB: "Sub", token.MUL: "Mul"}

// switchedBinary is an operation behind a switch.
func switchedBinary(n *ast.BinaryExpr, at func(token.Pos) int) []insertion {
	x, op, y, end := at(n.X.Pos()), at(n.OpPos), at(n.Y.Pos()), at(n.End())
	switch n.Op {
	case token.EQL, token.NEQ:
		return around(x, end, "((", ") != mutant_.On(%d))")
	case token.LAND, token.LOR: // by de Morgan
		return slices.Concat(around(x, end, "((", ") != mutant_.On(%d))"), around(x, at(n.X.End()), "(", ") != mutant_.On(%d)"), around(y, end, "(", ") != mutant_.On(%d)"))
	}
	if name := calls[n.Op]; name != "" {
		return append(around(x, end, "mutant_."+name+"(%d, ", ")"), insertion{op, len(n.Op.String()), false, ","})
	}
	return nil
}

// ownVerb stands for the %d of a text that is copied, which is no mistake's number.
const ownVerb = "%\x00d"

// switchedArguments are arguments in each other's place behind a switch, where reading each
// twice is as reading it once.
func switchedArguments(a, b ast.Expr, at func(token.Pos) int, of func(ast.Node) string) []insertion {
	if !plain(a) || !plain(b) {
		return nil
	}
	beside := func(x ast.Expr) string { return ", " + strings.ReplaceAll(of(x), "%d", ownVerb) + ")" }
	return append(around(at(a.Pos()), at(a.End()), "mutant_.Either(%d, ", beside(b)), around(at(b.Pos()), at(b.End()), "mutant_.Either(%d, ", beside(a))...)
}

// plain reports whether an expression is names, literals of a line, fields and elements.
func plain(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return true
	case *ast.BasicLit:
		return !strings.Contains(x.Value, "\n")
	case *ast.SelectorExpr:
		return plain(x.X)
	case *ast.IndexExpr:
		return plain(x.X) && plain(x.Index)
	case *ast.CallExpr:
		f, ok := x.Fun.(*ast.Ident)
		return ok && f.Name == "len" && len(x.Args) == 1 && plain(x.Args[0])
	}
	return false
}

// switched is text with all of its mistakes behind switches; numbers are the edits'.
func switched(text []byte, edits []edit, numbers []int) []byte {
	var all []insertion
	for i, e := range edits {
		for _, s := range e.behind {
			s.text = strings.ReplaceAll(strings.ReplaceAll(s.text, "%d", strconv.Itoa(numbers[i])), ownVerb, "%d")
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return text
	}
	// Edits stand in the order of the tree, outer ones first: at one place what opens
	// stands in that order, and what closes before it in the other.
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := all[a], all[b]
		switch {
		case x.at != y.at:
			return cmp.Compare(x.at, y.at)
		case x.closing != y.closing && x.closing:
			return -1
		case x.closing != y.closing:
			return 1
		case x.closing:
			return cmp.Compare(b, a)
		}
		return cmp.Compare(a, b)
	})
	var out []byte
	at := 0
	for _, i := range order {
		s := all[i]
		out = append(out, text[at:s.at]...)
		out = append(out, s.text...)
		at = s.at + s.drop
	}
	return append(out, text[at:]...)
}
