package ir

import (
	"fmt"
	"strconv"
	"strings"

	"foundry/ir/dtype"
	"foundry/ir/names"
	"foundry/ir/sym"
)

// Parse reads one graph in the form that String prints; values may have any
// names, and // starts a comment. Errors begin with file:line:col. The graph is
// verified.
func Parse(file, text string) (*Graph, error) {
	p := &parser{lex: lexer{file: file, text: text, line: 1, col: 1}}
	g, err := p.graph()
	if err != nil {
		return nil, err
	}
	if err := Verify(g); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return g, nil
}

// MaxText bounds what Parse reads; the largest preset prints to about 1 MiB.
const MaxText = 64 << 20

type parser struct {
	lex   lexer
	tok   token
	depth int
}

func (p *parser) next() error {
	var err error
	p.tok, err = p.lex.next()
	return err
}

func (p *parser) errorf(t token, format string, args ...any) error {
	return fmt.Errorf("%s:%d:%d: %s", p.lex.file, t.line, t.col, fmt.Sprintf(format, args...))
}

// expect takes the token if it is of the given kind and, with text, is it.
func (p *parser) expect(k tokenKind, text string) (token, error) {
	t := p.tok
	if t.kind != k || text != "" && t.text != text {
		want := k.String()
		if text != "" {
			want = strconv.Quote(text)
		}
		return t, p.errorf(t, "want %s, have %s", want, t)
	}
	return t, p.next()
}

func (p *parser) punct(text string) error {
	_, err := p.expect(tokPunct, text)
	return err
}

func (p *parser) at(text string) bool { return p.tok.kind == tokPunct && p.tok.text == text }

func (p *parser) graph() (*Graph, error) {
	if len(p.lex.text) > MaxText {
		return nil, fmt.Errorf("%s: %d bytes of text, wants at most %d", p.lex.file, len(p.lex.text), MaxText)
	}
	if strings.HasPrefix(p.lex.text, "\ufeff") {
		return nil, fmt.Errorf("%s:1:1: the file begins with a UTF-8 byte order mark; save it without one", p.lex.file)
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	if _, err := p.expect(tokWord, "graph"); err != nil {
		return nil, err
	}
	if err := p.punct("@"); err != nil {
		return nil, err
	}
	name, err := p.expect(tokWord, "")
	if err != nil {
		return nil, err
	}
	bounds, err := p.bounds()
	if err != nil {
		return nil, err
	}
	g := NewGraph(name.text, bounds)
	if err := p.body(g, false); err != nil {
		return nil, err
	}
	if p.tok.kind != tokEOF {
		return nil, p.errorf(p.tok, "want the end of the file, have %s", p.tok)
	}
	return g, nil
}

// bounds reads (T=1..512, P=0..4095, S<=4096).
func (p *parser) bounds() (b sym.Bounds, err error) {
	start := p.tok
	if err = p.punct("("); err != nil {
		return b, err
	}
	for _, r := range []struct {
		name   string
		lo, hi *int64
	}{{"T", &b.TMin, &b.TMax}, {"P", &b.PMin, &b.PMax}} {
		if _, err = p.expect(tokWord, r.name); err != nil {
			return b, err
		}
		if err = p.punct("="); err != nil {
			return b, err
		}
		t := p.tok
		if err = p.next(); err != nil {
			return b, err
		}
		lo, hi, ok := strings.Cut(t.text, "..")
		var e1, e2 error
		*r.lo, e1 = strconv.ParseInt(lo, 10, 32)
		*r.hi, e2 = strconv.ParseInt(hi, 10, 32)
		if !ok || e1 != nil || e2 != nil {
			return b, p.errorf(t, "want a range such as 1..512, have %s", t)
		}
		if err = p.punct(","); err != nil {
			return b, err
		}
	}
	if _, err = p.expect(tokWord, "S"); err != nil {
		return b, err
	}
	for _, s := range []string{"<", "="} {
		if err = p.punct(s); err != nil {
			return b, err
		}
	}
	t, err := p.expect(tokWord, "")
	if err != nil {
		return b, err
	}
	if b.SMax, err = strconv.ParseInt(t.text, 10, 32); err != nil {
		return b, p.errorf(t, "want a number, have %s", t)
	}
	if !b.Valid() {
		return b, p.errorf(start, "these bounds are empty: T from 1, P from 0, least T + P within S")
	}
	return b, p.punct(")")
}

// body reads { params nodes return } into g.
func (p *parser) body(g *Graph, isRegion bool) error {
	if p.depth++; p.depth > 2 {
		return p.errorf(p.tok, "regions do not nest")
	}
	defer func() { p.depth-- }()
	if err := p.punct("{"); err != nil {
		return err
	}
	env := make(map[string]*Value)
	for p.at("%") {
		if err := p.statement(g, env); err != nil {
			return err
		}
	}
	if _, err := p.expect(tokWord, "return"); err != nil {
		return err
	}
	for i := 0; i == 0 || p.at(","); i++ {
		if i > 0 {
			if err := p.next(); err != nil {
				return err
			}
		}
		name := ""
		if !isRegion {
			t := p.tok
			if t.kind != tokWord && t.kind != tokString {
				return p.errorf(t, "want the result's name, as in logits=%%3, have %s", t)
			}
			name = t.text
			if err := p.next(); err != nil {
				return err
			}
			if err := p.punct("="); err != nil {
				return err
			}
		}
		v, err := p.use(env)
		if err != nil {
			return err
		}
		g.Return(name, v)
	}
	return p.punct("}")
}

func (p *parser) valueName() (token, error) {
	if err := p.punct("%"); err != nil {
		return p.tok, err
	}
	return p.expect(tokWord, "")
}

func (p *parser) use(env map[string]*Value) (*Value, error) {
	t, err := p.valueName()
	if err != nil {
		return nil, err
	}
	v := env[t.text]
	if v == nil {
		return nil, p.errorf(t, "%%%s is not defined before this", t.text)
	}
	return v, nil
}

// statement reads %a, %b = op operands {attrs} : type @"label" { region }.
func (p *parser) statement(g *Graph, env map[string]*Value) error {
	var names []token
	for i := 0; i == 0 || p.at(","); i++ {
		if i > 0 {
			if err := p.next(); err != nil {
				return err
			}
		}
		t, err := p.valueName()
		if err != nil {
			return err
		}
		if env[t.text] != nil {
			return p.errorf(t, "%%%s is defined twice", t.text)
		}
		names = append(names, t)
	}
	if err := p.punct("="); err != nil {
		return err
	}
	word, err := p.expect(tokWord, "")
	if err != nil {
		return err
	}
	for k, name := range paramKindNames {
		if word.text == name {
			if len(names) != 1 {
				return p.errorf(word, "a param is one value")
			}
			v, err := p.param(g, ParamKind(k))
			if err != nil {
				return err
			}
			env[names[0].text] = v
			return nil
		}
	}
	results, err := p.node(g, env, word)
	if err != nil {
		return err
	}
	if len(results) != len(names) {
		return p.errorf(word, "%s has %d results, the line names %d", word.text, len(results), len(names))
	}
	for i, r := range results {
		env[names[i].text] = r
	}
	return nil
}

func (p *parser) param(g *Graph, kind ParamKind) (*Value, error) {
	start := p.tok
	name := ""
	if p.tok.kind == tokString {
		name = p.tok.text
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	var values []float32
	if kind == Const {
		var err error
		if values, err = p.values(); err != nil {
			return nil, err
		}
	}
	if err := p.punct(":"); err != nil {
		return nil, err
	}
	t, err := p.typ()
	if err != nil {
		return nil, err
	}
	if len(g.nodes) > 0 {
		return nil, p.errorf(start, "params stand before the nodes")
	}
	v := g.Param(kind, name, t)
	v.Param.Values = values
	return v, nil
}

func (p *parser) values() ([]float32, error) {
	if err := p.punct("["); err != nil {
		return nil, err
	}
	values := []float32{}
	for !p.at("]") {
		if len(values) > 0 {
			if err := p.punct(","); err != nil {
				return nil, err
			}
		}
		t := p.tok
		text := t.text
		if p.at("-") {
			if err := p.next(); err != nil {
				return nil, err
			}
			text += p.tok.text
		}
		f, err := strconv.ParseFloat(text, 32)
		if err != nil {
			return nil, p.errorf(t, "want a number, have %s", t)
		}
		values = append(values, float32(f))
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	return values, p.punct("]")
}

// typ reads f16[896, T].
func (p *parser) typ() (Type, error) {
	t, err := p.expect(tokWord, "")
	if err != nil {
		return Type{}, err
	}
	dt, err := dtype.Parse(t.text)
	if err != nil {
		known := make([]string, 0, 16)
		for _, d := range dtype.All() {
			known = append(known, d.String())
		}
		return Type{}, p.errorf(t, "%v%s", err, names.DidYouMean(t.text, known))
	}
	start := p.tok
	text, err := p.lex.bracketed(p.tok)
	if err != nil {
		return Type{}, err
	}
	s, err := parseShape(text)
	if err != nil {
		return Type{}, p.errorf(start, "%v", err)
	}
	return Type{dt, s}, p.next()
}
