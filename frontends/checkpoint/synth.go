package checkpoint

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"strings"

	"foundry/ir/dtype"
)

// Synthetic weights let a model of real shape run without a download. A tensor
// depends on nothing but its name and shape: the name's FNV-1a hash seeds
// SplitMix64, element i (row-major) takes the generator's output i, its top 24
// bits become r in [-1, 1), and the value is bf16(r*scale + offset), computed in
// float32.

// Shape names a tensor that a synthetic source shall have.
type Shape struct {
	Name  string
	Shape []int64
}

// Synth returns a source of generated bf16 tensors. Nothing is generated before
// Read or Load, and nothing is kept. files holds what File returns.
func Synth(label string, tensors []Shape, files map[string][]byte) (Source, error) {
	s := &synth{store{label: label, tensors: make(map[string]stored, len(tensors))}}
	for _, t := range tensors {
		size, err := storedBytes(dtype.BF16, t.Shape)
		switch _, twice := s.tensors[t.Name]; {
		case err != nil:
			return nil, fmt.Errorf("%s: tensor %q: %w", label, t.Name, err)
		case len(t.Shape) == 0:
			return nil, fmt.Errorf("%s: tensor %q: a scalar has no synthetic form", label, t.Name)
		case twice:
			return nil, fmt.Errorf("%s: tensor %q is listed twice", label, t.Name)
		}
		s.tensors[t.Name] = stored{Info: Info{DType: dtype.BF16, Shape: t.Shape, Bytes: size}}
	}
	s.file = func(name string) ([]byte, error) {
		if b, ok := files[name]; ok {
			return b, nil
		}
		return nil, missingFile(label, name)
	}
	return s, nil
}

type synth struct{ store }

func (s *synth) Read(name string) ([]byte, error) {
	info, ok := s.Info(name)
	if !ok {
		return nil, unknownTensor(s, name)
	}
	dst := make([]byte, info.Bytes)
	s.generate(name, dtype.BF16, dst, nil)
	return dst, nil
}

// generate fills dst with the tensor's elements as type want, on all cores.
func (s *synth) generate(name string, want dtype.Type, dst []byte, report *Narrowing) {
	info := s.tensors[name].Info
	seed := fnv.New64a()
	io.WriteString(seed, name)
	scale, offset := valueRange(name, info.Shape)
	g := stream{seed.Sum64(), scale, offset}
	n := int(info.Elements())
	parallel(n, convertGrain, func(lo, hi int) {
		out := dst[want.Bytes(int64(lo)):want.Bytes(int64(hi))]
		if want == dtype.BF16 {
			g.fill(out, lo)
			return
		}
		var stored [2 * convertGrain]byte
		part := stored[:2*(hi-lo)]
		g.fill(part, lo)
		report.Add(convertRange(want, out, dtype.BF16, part, hi-lo))
	})
}

// valueRange is the range of a tensor's values, offset +- scale: norms around one,
// matrices so that a product of unit vectors keeps unit variance.
func valueRange(name string, shape []int64) (scale, offset float32) {
	switch {
	case strings.HasSuffix(name, "norm.weight"):
		return 0.25, 1
	case strings.HasSuffix(name, ".bias"), name == "model.embed_tokens.weight", name == "lm_head.weight":
		return 0.25, 0
	}
	return float32(math.Sqrt(3 / float64(shape[len(shape)-1]))), 0
}

type stream struct {
	seed          uint64
	scale, offset float32
}

// fill writes the bf16 elements first, first+1, ... to dst.
func (g stream) fill(dst []byte, first int) {
	const gamma, even, odd = 0x9E3779B97F4A7C15, 0x0000ffff0000ffff, 0xffff0000ffff0000
	state := g.seed + uint64(first)*gamma
	step, offset := g.scale*0x1p-23, g.offset // a power of two: rounds as (k*2^-23)*scale does
	for ; len(dst) >= 8; dst = dst[8:] {
		a := element(state+gamma, step, offset)
		state += gamma
		b := element(state+gamma, step, offset)
		state += gamma
		c := element(state+gamma, step, offset)
		state += gamma
		d := element(state+gamma, step, offset)
		state += gamma
		ac, bd := roundPair(a|c<<32), roundPair(b|d<<32)
		binary.LittleEndian.PutUint64(dst, ac>>16&even|bd&odd)
	}
	for ; len(dst) >= 2; dst = dst[2:] {
		state += gamma
		binary.LittleEndian.PutUint16(dst, uint16(roundPair(element(state, step, offset))>>16))
	}
}

// element is the value, as float32 bits, that a SplitMix64 state yields. The
// output function's last step, z ^= z>>31, does not reach the top 24 bits.
func element(z uint64, step, offset float32) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	v := float32(float32(int32(z>>40)-1<<23)*step) + offset
	return uint64(math.Float32bits(v))
}

// roundPair rounds two finite float32 bit patterns to bf16, nearest even, in
// the upper half of each.
func roundPair(x uint64) uint64 {
	return x + 0x00007fff00007fff + x>>16&0x0000000100000001
}
