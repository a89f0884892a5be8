package msl

import (
	"fmt"
	"strings"
)

// cleaned is kernel text as C++: the same lines without attributes and address
// spaces, and the macros it defines, which end with it.
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

// clean makes C++ of the text of the kernel file named file.
func clean(file, text string) (*cleaned, error) {
	c := &cleaner{file: file, line: 1, toks: lex(text)}
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
	toks           []string
	i              int
	braces, parens int
	out            strings.Builder
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
	case strings.HasPrefix(t, "#"):
		return c.directive(t)
	case t == "[[":
		return c.attribute()
	case t == "threadgroup":
		n, err := c.declaration()
		if err != nil {
			return err
		}
		if n > 0 {
			c.i += n - 1
			return nil
		}
		c.put(strings.Repeat(" ", len(t)), t)
		return nil
	case t == "constant" && (c.beside(-1) == "const" || c.beside(1) == "const"):
		c.put(strings.Repeat(" ", len(t)), t)
		return nil
	}
	switch t {
	case "{":
		c.braces++
	case "}":
		c.braces--
	case "(":
		c.parens++
	case ")":
		c.parens--
	}
	if w, ok := words[t]; ok {
		c.put(w, t)
		return nil
	}
	if isFloatLiteral(t) { // the Metal language has no double
		t += "f"
	}
	c.put(t, t)
	return nil
}

// beside returns the next token in direction d that is no space or comment.
func (c *cleaner) beside(d int) string {
	for i := c.i + d; i >= 0 && i < len(c.toks); i += d {
		if !isBlank(c.toks[i]) {
			return c.toks[i]
		}
	}
	return ""
}

// directive keeps a preprocessor line, but for includes: the header is there
// already, and a kernel's text is otherwise whole.
func (c *cleaner) directive(t string) error {
	f := strings.Fields(strings.TrimSpace(t[1:]))
	if len(f) > 0 && f[0] == "include" {
		if len(f) < 2 || f[1] != "<metal_stdlib>" && f[1] != "<metal_math>" && f[1] != "<metal_simdgroup_matrix>" && f[1] != "<metal_atomic>" {
			return c.errorf("%s: a kernel's text is whole, only <metal_stdlib> may be included", strings.TrimSpace(t))
		}
		c.put(strings.Repeat("\n", strings.Count(t, "\n")), t)
		return nil
	}
	if len(f) > 1 && f[0] == "define" {
		// Names that begin so are the header's, where it has them.
		if name, _, _ := strings.Cut(f[1], "("); !strings.HasPrefix(name, "FOUNDRY_") {
			c.macros = append(c.macros, name)
		}
	}
	// Within a directive the words are replaced as elsewhere.
	var b strings.Builder
	b.WriteByte('#')
	for _, w := range lex(t[1:]) {
		switch {
		case w == "threadgroup":
			b.WriteString(strings.Repeat(" ", len(w)))
		case words[w] != "" && len(f) > 0 && f[0] == "define":
			b.WriteString(words[w])
		case isFloatLiteral(w):
			b.WriteString(w + "f")
		default:
			b.WriteString(w)
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
		if t == "]]" {
			c.put("  ", t)
			return nil
		}
		c.put(blank(t), t)
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
	for ; end < len(c.toks) && (depth > 0 || c.toks[end] != ";"); end++ {
		switch t := c.toks[end]; {
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
	lines := strings.Count(strings.Join(c.toks[c.i:end], ""), "\n")
	c.out.WriteString(strings.Repeat("\n", lines))
	c.line += lines
	return end - c.i + 1, nil
}

type declarator struct{ name, dims string }

// splitDeclaration reads the tokens of `T name[N], other[M][K]`.
func splitDeclaration(toks []string) (typ string, names []declarator) {
	depth, angle := 0, 0
	var part []string
	var parts [][]string
	for _, t := range toks {
		if isBlank(t) {
			continue
		}
		switch t {
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
			if t == "[" {
				first = j
				break
			}
		}
		if first == 0 || !isWord(p[first-1]) || i == 0 && first < 2 {
			return "", nil
		}
		if i == 0 {
			typ = join(p[:first-1])
		}
		names = append(names, declarator{p[first-1], join(p[first:])})
	}
	return typ, names
}

// join writes tokens with a space where two words would run together.
func join(toks []string) string {
	var b strings.Builder
	for i, t := range toks {
		if i > 0 && isWord(t) && isWord(toks[i-1]) {
			b.WriteByte(' ')
		}
		b.WriteString(t)
	}
	return b.String()
}
