package checkpoint

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"foundry/ir/dtype"
	"foundry/runtime/files"
)

// Checkpoints of MLX, GPTQ and AWQ store a quantised matrix as several tensors:
// levels packed into words, scales, and biases or zero points. Unpack shows each as
// one tensor of an affine type, whose bytes are put together when they are read.
// One buffer a matrix keeps kernels to one slot a weight; it costs that such files
// are copied when a model is loaded, not read where they are mapped.

// packed is a source whose quantised matrices are put together from the tensors of
// another.
type packed struct {
	Source
	matrices map[string]matrix
	parts    map[string]bool // tensors of Source that matrices are made of
}

// matrix is a quantised matrix in an affine type.
type matrix struct {
	Info
	affine dtype.Affine
	fill   func(dst []byte) error // the writer of its blocks
}

// Unpack returns s with the matrices that config, its config.json, says are
// quantised as tensors of affine types, named as the matrix in the unquantised
// model. It returns s itself where nothing is quantised. The error names a way of
// quantising that is not supported, or the first tensor, in the order of names, that
// is not as the configuration says.
func Unpack(s Source, config []byte) (Source, error) {
	scheme, err := parseQuantization(config)
	if err == nil && scheme != nil {
		p := &packed{s, map[string]matrix{}, map[string]bool{}}
		if err = files.Guard(func() error { return scheme.unpack(p) }); err == nil {
			return p, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Label(), Cause(s, err))
	}
	return s, nil
}

// CheckQuantization is an error where config, a config.json, names a way of quantising
// that is not supported. No tensor is looked at.
func CheckQuantization(config []byte) error {
	_, err := parseQuantization(config)
	return err
}

// scheme is a way of quantising with the settings of one checkpoint.
type scheme interface {
	// unpack adds every matrix of p's source that is stored so.
	unpack(p *packed) error
}

// parseQuantization finds what config.json says of quantisation; nil where it says
// nothing.
func parseQuantization(config []byte) (scheme, error) {
	var file struct {
		MLX     json.RawMessage `json:"quantization"`
		General json.RawMessage `json:"quantization_config"`
	}
	if err := json.Unmarshal(config, &file); err != nil {
		return nil, fmt.Errorf("config.json is not readable: %w", err)
	}
	given := func(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }
	if given(file.MLX) {
		return parseMLX("quantization", file.MLX)
	}
	if !given(file.General) {
		return nil, nil
	}
	var method struct {
		Method string `json:"quant_method"`
	}
	if err := readSettings("quantization_config", file.General, &method); err != nil {
		return nil, err
	}
	switch method.Method {
	case "":
		return parseMLX("quantization_config", file.General)
	case "gptq":
		return parseGPTQ(file.General)
	case "awq":
		return parseAWQ(file.General)
	}
	return nil, fmt.Errorf("its weights are quantised by %q, which is not supported (mlx, gptq and awq are); take the unquantised model and --weights, or its GGUF file", method.Method)
}

// readSettings reads the object under key of config.json.
func readSettings(key string, raw []byte, into any) error {
	err := json.Unmarshal(raw, into)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		err = fmt.Errorf("a %s cannot be its %s", wrong.Value, cmp.Or(wrong.Field, "value"))
	}
	if err != nil {
		return fmt.Errorf("config.json: %s is not readable: %w", key, err)
	}
	return nil
}

// add takes up a matrix of rows x cols elements and hides its parts.
func (p *packed) add(name string, a dtype.Affine, rows, cols int64, fill func(dst []byte) error, parts ...string) error {
	t, ok := a.Type()
	if !ok {
		return fmt.Errorf("%q is quantised to %d bits in groups of %d with %v scales, which is not supported (2, 3, 4, 5, 6 and 8 bits in groups of 32, 64 and 128 are)", name, a.Bits, a.Group, a.Scales)
	}
	shape := []int64{rows, cols}
	size, err := storedBytes(t, shape)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	for _, part := range parts {
		p.parts[part] = true
	}
	p.matrices[name] = matrix{Info{t, shape, size}, a, fill}
	return nil
}

// wantedPart is what a scheme expects of a part.
type wantedPart struct {
	name  string
	types []dtype.Type // dtypes, of which any will do
	shape []int64
}

// check reads parts and holds them against what is wanted.
func (p *packed) check(parts ...wantedPart) ([][]byte, error) {
	var out [][]byte
	for _, w := range parts {
		info, ok := p.Source.Info(w.name)
		switch {
		case !ok:
			return nil, fmt.Errorf("tensor %q is missing", w.name)
		case !slices.Contains(w.types, info.DType):
			return nil, fmt.Errorf("tensor %q is %v, the quantisation wants %s", w.name, info.DType, typeNames(slices.Values(w.types)))
		case !slices.Equal(info.Shape, w.shape):
			return nil, fmt.Errorf("tensor %q has shape %v, the quantisation wants %v", w.name, info.Shape, w.shape)
		}
		b, err := p.Source.Read(w.name)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

var (
	wordTypes  = []dtype.Type{dtype.I32}
	scaleTypes = []dtype.Type{dtype.F16, dtype.BF16, dtype.F32}
)

// matrixPart returns the type and shape of a part of two dimensions.
func (p *packed) matrixPart(name string) (dtype.Type, [2]int64, error) {
	info, ok := p.Source.Info(name)
	switch {
	case !ok:
		return 0, [2]int64{}, fmt.Errorf("tensor %q is missing", name)
	case len(info.Shape) != 2 || info.Shape[0] < 1 || info.Shape[1] < 1:
		return 0, [2]int64{}, fmt.Errorf("tensor %q has shape %v, which is no quantised matrix", name, info.Shape)
	}
	return info.DType, [2]int64(info.Shape), nil
}

// eachSuffix calls f for each tensor of the source whose name ends so, in the order of
// names, with the name of its layer.
func (p *packed) eachSuffix(suffix string, f func(layer string) error) error {
	for _, name := range p.Source.Names() {
		if layer, ok := strings.CutSuffix(name, suffix); ok {
			if err := f(layer); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *packed) Names() []string {
	names := slices.DeleteFunc(p.Source.Names(), func(n string) bool { return p.parts[n] })
	names = slices.AppendSeq(names, maps.Keys(p.matrices))
	slices.Sort(names)
	return names
}

func (p *packed) Info(name string) (Info, bool) {
	if m, ok := p.matrices[name]; ok {
		return m.Info, true
	}
	if p.parts[name] {
		return Info{}, false
	}
	return p.Source.Info(name)
}

func (p *packed) Read(name string) ([]byte, error) {
	m, ok := p.matrices[name]
	switch {
	case ok:
		dst := make([]byte, m.Bytes)
		return dst, Cause(p.Source, files.Guard(func() error { return m.fill(dst) }))
	case p.parts[name]:
		return nil, unknownTensor(p, name)
	}
	return p.Source.Read(name)
}

// Pages implements Mapped: matrices lie in no file as they are read.
func (p *packed) Pages(name string) ([]byte, int64) {
	mapped, ok := p.Source.(Mapped)
	if _, made := p.matrices[name]; made || p.parts[name] || !ok {
		return nil, 0
	}
	return mapped.Pages(name)
}

// Whole implements Mapped.
func (p *packed) Whole() error {
	if mapped, ok := p.Source.(Mapped); ok {
		return mapped.Whole()
	}
	return nil
}
