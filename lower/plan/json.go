package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// encode writes p as canonical JSON: the fields in the order of their
// declaration, one line a field, and one line an element of the plan's lists
// and of an entry's, so that two plans can be compared line by line.
func encode(p *Plan) ([]byte, error) {
	w := &writer{}
	w.enc = json.NewEncoder(&w.Buffer)
	w.enc.SetEscapeHTML(false)
	lines := 0
	for _, e := range p.Runs() {
		lines += len(e.Steps)
	}
	w.Grow(lines * typicalLine)
	if err := w.writeStruct(reflect.ValueOf(p).Elem(), ""); err != nil {
		return nil, fmt.Errorf("cannot write the plan as JSON: %w", err)
	}
	w.WriteByte('\n')
	return w.Bytes(), nil
}

// typicalLine is how many bytes a line has on average, for the first allocation.
const typicalLine = 640

// writer holds the text and an encoder that appends to it.
type writer struct {
	bytes.Buffer
	enc *json.Encoder
}

// writeStruct writes one line a field of v.
func (w *writer) writeStruct(v reflect.Value, indent string) error {
	w.WriteByte('{')
	first := true
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if options == "omitempty" && empty(v.Field(i)) {
			continue
		}
		if !first {
			w.WriteByte(',')
		}
		first = false
		fmt.Fprintf(w, "\n%s  %q: ", indent, name)
		if err := w.writeField(v.Field(i), indent+"  "); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	w.WriteString("\n" + indent + "}")
	return nil
}

// writeField writes a list of structs with one line an element, entries as
// writeStruct does, and everything else on one line.
func (w *writer) writeField(v reflect.Value, indent string) error {
	if t := v.Type(); v.Kind() == reflect.Pointer && !v.IsNil() && (t.Elem() == reflect.TypeFor[Entry]() || t.Elem() == reflect.TypeFor[Tokens]()) {
		return w.writeStruct(v.Elem(), indent)
	}
	if v.Kind() != reflect.Slice || v.Type().Elem().Kind() != reflect.Struct || v.Len() == 0 {
		return w.writeCompact(v)
	}
	w.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteString("\n" + indent + "  ")
		var err error
		if v.Type().Elem() == reflect.TypeFor[Entry]() {
			err = w.writeStruct(v.Index(i), indent+"  ")
		} else {
			err = w.writeCompact(v.Index(i))
		}
		if err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	w.WriteString("\n" + indent + "]")
	return nil
}

func (w *writer) writeCompact(v reflect.Value) error {
	if err := w.enc.Encode(v.Addr().Interface()); err != nil {
		return err
	}
	w.Truncate(w.Len() - 1) // the encoder's newline
	return nil
}

func empty(v reflect.Value) bool { return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 }

// normalise gives every list one spelling: those that may be left out are nil
// when empty, all others are never nil. So equal plans have equal text.
func (p *Plan) normalise() {
	present(&p.Kernels)
	present(&p.Buffers)
	present(&p.Entries)
	absent(&p.Decisions)
	absent(&p.Needs)
	if p.Tokens != nil {
		present(&p.Tokens.Ends)
		absent(&p.Tokens.Special)
		if p.Tokens.Template != nil {
			absent(&p.Tokens.Template.Names)
		}
	}
	for i := range p.Kernels {
		k := &p.Kernels[i]
		present(&k.Slots)
		present(&k.Builtins)
		absent(&k.Threadgroup)
		absent(&k.Params)
		absent(&k.Stages)
	}
	for i := range p.Buffers {
		present(&p.Buffers[i].Shape)
		absent(&p.Buffers[i].Values)
	}
	for _, e := range p.Runs() {
		present(&e.Steps)
		present(&e.CommandBuffers)
		present(&e.Results)
		for j := range e.Steps {
			if d := e.Steps[j].Dispatch; d != nil {
				present(&d.Nodes)
				present(&d.Bind)
			}
		}
	}
}

func present[E any](s *[]E) {
	if *s == nil {
		*s = []E{}
	}
}

func absent[E any](s *[]E) {
	if len(*s) == 0 {
		*s = nil
	}
}

// decode reads one JSON value, refusing unknown fields, a foreign schema
// version and anything behind the value. What it allocates is bounded by the
// length of text. dir is the bundle's folder, for errors.
func decode(text []byte, dir string) (*Plan, error) {
	var version struct {
		Schema *int `json:"schema"`
		Model  struct {
			Name string `json:"name"`
		} `json:"model"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, fmt.Errorf("not a plan: %w", err)
	}
	if version.Schema == nil {
		return nil, errors.New("not a plan: no schema version")
	}
	if *version.Schema != Schema {
		name := version.Model.Name
		if name == "" || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsGraphic(c) }) {
			name = "MODEL"
		}
		return nil, fmt.Errorf("schema version %d, this program reads %d; compile the model again: foundry compile --model %s -o %s", *version.Schema, Schema, name, dir)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var p Plan
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("not a plan: %w", err)
	}
	return &p, nil
}
