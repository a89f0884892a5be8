package msl

import (
	"fmt"
	"slices"
	"strings"

	"foundry/runtime/msl/lex"
)

// cleaned is kernel text as C++: the same lines without attributes and address
// spaces, and the macros it defines, which end with it: those of the header it may
// define only where the header does not.
type cleaned struct {
	text   string
	macros []string
}

// words of the Metal language that C++ lacks, and what stands in their place, of
// the same width. threadgroup is handled apart.
var words = map[string]string{
	"device":   "      ",
	"thread":   "      ",
	"constant": "const   ",
	"kernel":   "static",
}

// clean makes C++ of the text of the kernel file named file; the macros of owned are
// the header's.
func clean(file, text string, owned map[string]bool) (*cleaned, error) {
	c := &cleaner{file: file, line: 1, toks: lex.Cut(text), owned: owned}
	for c.i = 0; c.i < len(c.toks); c.i++ {
		if err := c.token(); err != nil {
			return nil, err
		}
	}
	return &cleaned{c.out.String(), c.macros}, nil
}

type cleaner struct {
	file           string
	line           int
	toks           []lex.Token
	i              int
	braces, parens int
	out            strings.Builder
	owned          map[string]bool
	absent         []string // the macro, for each open #if, that is not defined in it, or ""
	macros         []string
}

func (c *cleaner) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", c.file, c.line, fmt.Sprintf(format, args...))
}

// put writes s in place of the token t, whose lines stay.
func (c *cleaner) put(s, t string) {
	c.out.WriteString(s)
	c.line += strings.Count(t, "\n")
}

func (c *cleaner) token() error {
	t := c.toks[c.i]
	switch {
	case t.Kind == lex.Directive:
		return c.directive(t.Text)
	case t.Text == "[[":
		return c.attribute()
	case t.Text == "threadgroup":
		n, err := c.declaration()
		if err != nil {
			return err
		}
		if n > 0 {
			c.i += n - 1
			return nil
		}
		c.put(lex.Hide(t.Text), t.Text)
		return nil
	case t.Text == "constant" && (c.neighbour(-1) == "const" || c.neighbour(1) == "const"):
		c.put(lex.Hide(t.Text), t.Text)
		return nil
	}
	switch t.Text {
	case "{":
		c.braces++
	case "}":
		c.braces--
	case "(":
		c.parens++
	case ")":
		c.parens--
	}
	c.put(cppToken(t), t.Text)
	return nil
}

// cppToken is a token as C++: the Metal language has no double.
func cppToken(t lex.Token) string {
	if w, ok := words[t.Text]; ok {
		return w
	}
	if t.Float() {
		return t.Text + "f"
	}
	return t.Text
}

// neighbour returns the next token in direction d that is no space or comment.
func (c *cleaner) neighbour(d int) string {
	for i := c.i + d; i >= 0 && i < len(c.toks); i += d {
		if !c.toks[i].Blank() {
			return c.toks[i].Text
		}
	}
	return ""
}

// directives are those that a kernel's text may have.
var directives = []string{"include", "define", "undef", "if", "ifdef", "ifndef", "else", "elif", "endif", "pragma", "line", "error"}

// directive keeps a preprocessor line, but for includes: the header is there
// already, and a kernel's text is otherwise whole.
func (c *cleaner) directive(t string) error {
	all := lex.Cut(t[1:])
	var toks []lex.Token
	for _, u := range all {
		if !u.Blank() && strings.TrimSpace(u.Text) != "\\" {
			toks = append(toks, u)
		}
	}
	word := func(i int) string {
		if i < len(toks) {
			return toks[i].Text
		}
		return ""
	}
	name := word(1)
	switch what := word(0); what {
	case "":
	case "include":
		header := ""
		for _, u := range toks[1:] {
			header += u.Text
		}
		if !slices.Contains([]string{"<metal_stdlib>", "<metal_math>", "<metal_simdgroup_matrix>", "<metal_atomic>", "<metal_tensor>",
			"<MetalPerformancePrimitives/MetalPerformancePrimitives.h>"}, header) {
			return c.errorf("%s: a kernel's text is whole, only <metal_stdlib> may be included", strings.TrimSpace(t))
		}
		c.put(strings.Repeat("\n", strings.Count(t, "\n")), t)
		return nil
	case "ifndef":
		c.absent = append(c.absent, name)
	case "if", "ifdef":
		c.absent = append(c.absent, "")
	case "else", "elif":
		if n := len(c.absent); n > 0 {
			c.absent[n-1] = ""
		}
	case "endif":
		c.absent = c.absent[:max(0, len(c.absent)-1)]
	case "define":
		if c.owned[name] && !slices.Contains(c.absent, name) {
			return c.errorf("#define %s: the header has a macro of that name; write #ifndef %s around it", name, name)
		}
		if !c.owned[name] {
			c.macros = append(c.macros, name)
		}
	case "undef":
		if c.owned[name] {
			return c.errorf("#undef %s: the macro is the header's", name)
		}
	default:
		if !slices.Contains(directives, what) {
			return c.errorf("#%s: a kernel's text has no such directive", what)
		}
	}
	// Within a definition the words are replaced as elsewhere.
	var b strings.Builder
	b.WriteByte('#')
	for _, u := range all {
		switch {
		case u.Text == "threadgroup":
			b.WriteString(lex.Hide(u.Text))
		case word(0) != "define" && words[u.Text] != "":
			b.WriteString(u.Text)
		default:
			b.WriteString(cppToken(u))
		}
	}
	c.put(b.String(), t)
	return nil
}

// attribute drops [[...]].
func (c *cleaner) attribute() error {
	open := c.line
	for ; c.i < len(c.toks); c.i++ {
		t := c.toks[c.i]
		c.put(lex.Hide(t.Text), t.Text)
		if t.Text == "]]" {
			return nil
		}
	}
	return fmt.Errorf("%s:%d: [[ without ]]", c.file, open)
}

// declaration rewrites `threadgroup T name[N], other;` in a body, which is
// storage of the threadgroup, and returns how many tokens it took; 0 when the
// word qualifies a pointer, a reference or a parameter.
func (c *cleaner) declaration() (int, error) {
	if c.braces == 0 || c.parens > 0 {
		return 0, nil
	}
	end, depth := c.i+1, 0
	for ; end < len(c.toks) && (depth > 0 || c.toks[end].Text != ";"); end++ {
		switch t := c.toks[end].Text; {
		case t == "[":
			depth++
		case t == "]":
			depth--
		case depth > 0:
		case t == "*" || t == "&" || t == "(" || t == ")":
			return 0, nil
		case t == "=" || t == "{" || t == "}":
			return 0, c.errorf("threadgroup memory cannot be declared so: write `threadgroup TYPE NAME[COUNT];`")
		}
	}
	if end == len(c.toks) {
		return 0, nil
	}
	typ, names := splitDeclaration(c.toks[c.i+1 : end])
	if len(names) == 0 {
		return 0, nil
	}
	for _, n := range names {
		fmt.Fprintf(&c.out, "typedef %s foundry_element_%s; FOUNDRY_THREADGROUP_ARRAY(foundry_element_%s, %s, %s) ", typ, n.name, n.name, n.name, n.dims)
	}
	lines := 0
	for _, t := range c.toks[c.i:end] {
		lines += strings.Count(t.Text, "\n")
	}
	c.out.WriteString(strings.Repeat("\n", lines))
	c.line += lines
	return end - c.i + 1, nil
}

type declarator struct{ name, dims string }

// splitDeclaration reads the tokens of `T name[N], other[M][K]`.
func splitDeclaration(toks []lex.Token) (typ string, names []declarator) {
	depth, angle := 0, 0
	var part []lex.Token
	var parts [][]lex.Token
	for _, t := range toks {
		if t.Blank() {
			continue
		}
		switch t.Text {
		case "[":
			depth++
		case "]":
			depth--
		case "<":
			angle++
		case ">":
			angle--
		case ",":
			if depth == 0 && angle == 0 {
				parts, part = append(parts, part), nil
				continue
			}
		}
		part = append(part, t)
	}
	parts = append(parts, part)
	for i, p := range parts {
		first := len(p)
		for j, t := range p {
			if t.Text == "[" {
				first = j
				break
			}
		}
		if first == 0 || p[first-1].Kind != lex.Word || i == 0 && first < 2 {
			return "", nil
		}
		if i == 0 {
			typ = join(p[:first-1])
		}
		names = append(names, declarator{p[first-1].Text, join(p[first:])})
	}
	return typ, names
}

// join writes tokens with a space where two words would run together.
func join(toks []lex.Token) string {
	var b strings.Builder
	for i, t := range toks {
		if i > 0 && t.Kind == lex.Word && toks[i-1].Kind == lex.Word {
			b.WriteByte(' ')
		}
		b.WriteString(t.Text)
	}
	return b.String()
}
