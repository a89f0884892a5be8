package passes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"foundry/ir/kernel"
	"foundry/ir/names"
)

// Call is one pass of a pipeline with its options, in the pass's order.
type Call struct {
	Pass    *Pass
	Options []Setting // the options that were given
}

// Setting is an option that was given.
type Setting struct{ Name, Value string }

// Pipeline is a list of passes in the order they run.
type Pipeline []Call

// Parse reads a pipeline of built-in passes.
func Parse(text string) (Pipeline, error) { return builtIn().Parse(text) }

// Parse reads a pipeline such as "canonicalize,fuse-swiglu-down{residual=true}"
// of the table's passes. An unknown name suggests the nearest; an order that a
// constraint forbids is an error with the reason.
func (t *Table) Parse(text string) (Pipeline, error) {
	var p Pipeline
	for _, item := range splitCalls(text) {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		c, err := t.parseCall(item)
		if err != nil {
			return nil, fmt.Errorf("pipeline: %w", err)
		}
		p = append(p, c)
	}
	return p, p.checkOrder()
}

// splitCalls cuts text at the commas that stand outside of braces.
func splitCalls(text string) []string {
	depth := 0
	return strings.FieldsFunc(text, func(r rune) bool {
		switch r {
		case '{':
			depth++
		case '}':
			depth--
		}
		return r == ',' && depth == 0
	})
}

// renamed says how what a pass of an earlier version did is asked for. Its options are
// not those of the other, so that it is no alias.
var renamed = map[string]string{
	"cut-softmax":          "choose-kernels", // the cost model cuts without being asked; what it chose is written
	"fuse-attention-split": "fuse-attention{kernel=" + kernel.AttentionInParts + "}",
}

func (t *Table) parseCall(item string) (Call, error) {
	name, rest, hasOptions := strings.Cut(item, "{")
	c := Call{Pass: t.byName[name]}
	if now := renamed[name]; c.Pass == nil && now != "" {
		return c, fmt.Errorf("pass %q is now %q", name, now)
	}
	if c.Pass == nil {
		return c, fmt.Errorf("unknown pass %q%s", name, names.DidYouMean(name, t.names()))
	}
	if !hasOptions {
		return c, nil
	}
	inner, ok := strings.CutSuffix(rest, "}")
	if !ok {
		return c, fmt.Errorf("%s: want } at the end of %q", name, item)
	}
	for _, pair := range strings.Split(inner, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok {
			return c, fmt.Errorf("%s: want option=value, have %q", name, pair)
		}
		i := slices.IndexFunc(c.Pass.Options, func(o Option) bool { return o.Name == key })
		if i < 0 {
			return c, fmt.Errorf("%s: %w", name, unknownOption(c.Pass, key))
		}
		o := c.Pass.Options[i]
		value, err := o.read(value)
		if err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
		if o.Values != nil && !slices.Contains(o.Values, value) {
			return c, fmt.Errorf("%s: %s=%s, want one of %s", name, key, value, strings.Join(o.Values, ", "))
		}
		if o.Check != nil {
			if err := o.Check(value); err != nil {
				return c, fmt.Errorf("%s: %s=%s: %w", name, key, value, err)
			}
		}
		if slices.ContainsFunc(c.Options, func(s Setting) bool { return s.Name == key }) {
			return c, fmt.Errorf("%s: option %q stands twice", name, key)
		}
		c.Options = append(c.Options, Setting{key, value})
	}
	return c, nil
}

// read returns the value that text gives the option: as it stands, or in quotes, as graphs
// are printed. Words are one space apart.
func (o Option) read(text string) (string, error) {
	value := text
	if strings.HasPrefix(text, `"`) {
		var err error
		if value, err = strconv.Unquote(text); err != nil {
			return "", fmt.Errorf("%s=%s: want words, or a quoted string", o.Name, text)
		}
	}
	if o.Values != nil {
		return value, nil
	}
	if value = strings.Join(strings.Fields(value), " "); value == "" {
		return "", fmt.Errorf("%s= has no value, want %s", o.Name, o.Doc)
	}
	return value, nil
}

// option returns the value of an option: the one given, or the pass's default.
func (c Call) option(name string) string {
	for _, s := range c.Options {
		if s.Name == name {
			return s.Value
		}
	}
	for _, o := range c.Pass.Options {
		if o.Name == name {
			return o.Default
		}
	}
	return ""
}

// weighsGains reports whether the call fuses only where the cost model predicts a gain.
func (c Call) weighsGains() bool { return c.option("when") == "cheaper" }

// Pins reports whether a call asks for a kernel.
func (p Pipeline) Pins() bool {
	return slices.ContainsFunc(p, func(c Call) bool { return c.option("kernel") != "" })
}

// String prints the call as Parse reads it.
func (c Call) String() string {
	if len(c.Options) == 0 {
		return c.Pass.Name
	}
	parts := make([]string, len(c.Options))
	for i, s := range c.Options {
		parts[i] = s.Name + "=" + s.Value
	}
	return c.Pass.Name + "{" + strings.Join(parts, ",") + "}"
}

// String prints the pipeline as Parse reads it.
func (p Pipeline) String() string {
	parts := make([]string, len(p))
	for i, c := range p {
		parts[i] = c.String()
	}
	return strings.Join(parts, ",")
}

func (p Pipeline) checkOrder() error {
	for i, c := range p {
		for j, d := range p[:i] {
			if d.Pass == c.Pass && c.Pass.runsOnce() {
				return fmt.Errorf("pipeline: %s stands twice, at %d and %d", c.Pass.Name, j+1, i+1)
			}
			for _, r := range orders {
				if r.before(c.Pass) && r.after(d.Pass) && !(r.before(d.Pass) && r.after(c.Pass)) {
					return fmt.Errorf("pipeline: %s must stand before %s: %s", c.Pass.Name, d.Pass.Name, r.reason)
				}
			}
		}
	}
	return nil
}

func unknownOption(p *Pass, key string) error {
	have := p.optionNames()
	if len(have) == 0 {
		return fmt.Errorf("unknown option %q; there is none", key)
	}
	return fmt.Errorf("unknown option %q, it has %s%s", key, strings.Join(have, ", "), names.DidYouMean(key, have))
}
