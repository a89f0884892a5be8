package checkpoint

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"foundry/ir/dtype"

	"github.com/stretchr/testify/require"
)

type synthGolden struct {
	Config struct {
		Hidden       int64 `json:"hidden_size"`
		Intermediate int64 `json:"intermediate_size"`
		Heads        int64 `json:"num_attention_heads"`
		KVHeads      int64 `json:"num_key_value_heads"`
	}
	First4 map[string][]float32
}

func synthGoldens(t *testing.T) map[string]synthGolden {
	raw, err := os.ReadFile("testdata/synth-first4.json")
	require.NoError(t, err)
	var out map[string]synthGolden
	require.NoError(t, json.Unmarshal(raw, &out))
	require.Len(t, out, 2)
	return out
}

func floats(b []byte, t dtype.Type) []float32 {
	per, size := t.Block()
	out := make([]float32, len(b)/size*per)
	dtype.Dequantise(t, b, out)
	return out
}

func TestSynthGoldens(t *testing.T) {
	for model, g := range synthGoldens(t) {
		kv := g.Config.Hidden / g.Config.Heads * g.Config.KVHeads
		var shapes []Shape
		for name := range g.First4 {
			// Few rows are enough: a value depends on its index and its row's length only.
			shape := []int64{4, g.Config.Hidden}
			switch {
			case strings.HasSuffix(name, "down_proj.weight"):
				shape[1] = g.Config.Intermediate
			case strings.HasSuffix(name, "k_proj.bias"), strings.HasSuffix(name, "v_proj.bias"):
				shape = []int64{kv}
			case strings.HasSuffix(name, "norm.weight"), strings.HasSuffix(name, ".bias"):
				shape = shape[1:]
			}
			shapes = append(shapes, Shape{name, shape})
		}
		s, err := Synth(model, shapes, nil)
		require.NoError(t, err)
		require.Len(t, s.Names(), len(g.First4))
		for name, want := range g.First4 {
			for _, typ := range []dtype.Type{dtype.BF16, dtype.F32, dtype.F16} {
				b, err := ReadAs(s, name, typ, nil)
				require.NoError(t, err)
				require.Equal(t, want, floats(b, typ)[:4], "%s %s %v", model, name, typ)
			}
		}
	}
}

// What the text of the recipe says, step by step.
func TestSynthAgreesWithTheRecipe(t *testing.T) {
	const name, rows, cols = "x.weight", 3, 5461 // more than one goroutine's share, no multiple of 4
	s, err := Synth("s", []Shape{{name, []int64{rows, cols}}}, nil)
	require.NoError(t, err)
	b, err := s.Read(name)
	require.NoError(t, err)
	got := floats(b, dtype.BF16)
	require.Len(t, got, rows*cols)
	seed := uint64(0xcbf29ce484222325)
	for _, c := range []byte(name) {
		seed = (seed ^ uint64(c)) * 0x100000001b3
	}
	scale := float32(math.Sqrt(3.0 / cols))
	for i := range got {
		z := seed + uint64(i+1)*0x9E3779B97F4A7C15
		z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
		z = (z ^ (z >> 27)) * 0x94D049BB133111EB
		z ^= z >> 31
		k := int64(z >> 40)
		r := float32(k-1<<23) / (1 << 23)
		want := dtype.BF16ToF32(dtype.F32ToBF16(r * scale))
		require.Equal(t, want, got[i], "element %d", i)
	}
}

func TestSynthConvertsAsASourceOnDiskWould(t *testing.T) {
	shapes := []Shape{{"model.embed_tokens.weight", []int64{301, 64}}, {"model.norm.weight", []int64{64}}}
	s, err := Synth("s", shapes, map[string][]byte{"config.json": []byte("{}")})
	require.NoError(t, err)
	for _, shape := range shapes {
		stored, err := s.Read(shape.Name)
		require.NoError(t, err)
		for _, want := range []dtype.Type{dtype.F16, dtype.F32, dtype.Q8_0, dtype.Q4_1} {
			var direct, twoSteps Narrowing
			got, err := ReadAs(s, shape.Name, want, &direct)
			require.NoError(t, err)
			ref := make([]byte, len(got))
			require.NoError(t, Convert(want, ref, dtype.BF16, stored, &twoSteps))
			require.Equal(t, ref, got, "%s %v", shape.Name, want)
			require.Equal(t, twoSteps, direct)
		}
	}
	b, err := s.File("config.json")
	require.NoError(t, err)
	require.Equal(t, "{}", string(b))
	_, err = s.File("tokenizer.json")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestSynthRefuses(t *testing.T) {
	_, err := Synth("s", []Shape{{"a", []int64{2}}, {"a", []int64{2}}}, nil)
	require.EqualError(t, err, `s: tensor "a" is listed twice`)
	_, err = Synth("s", []Shape{{"a", []int64{1 << 40, 1 << 40}}}, nil)
	require.EqualError(t, err, `s: tensor "a": shape [1099511627776 1099511627776] is too large`)
	_, err = Synth("s", []Shape{{"a", nil}}, nil)
	require.Error(t, err)
}

func BenchmarkSynth(b *testing.B) {
	const rows, cols = 4864, 896
	s, err := Synth("s", []Shape{{"w.weight", []int64{rows, cols}}}, nil)
	require.NoError(b, err)
	for _, want := range []dtype.Type{dtype.BF16, dtype.F16, dtype.F32, dtype.Q8_0} {
		b.Run(want.String(), func(b *testing.B) {
			dst := make([]byte, want.Bytes(rows*cols))
			for b.Loop() {
				if err := Load(s, "w.weight", want, dst, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(rows*cols), "ns/element")
		})
	}
}

// Two halves are rounded at once, each to its nearest, ties to even.
func TestRoundPair(t *testing.T) {
	for from, want := range map[uint32]uint16{0x3f807fff: 0x3f80, 0x3f808000: 0x3f80, 0x3f808001: 0x3f81, 0x3f818000: 0x3f82, 0xbf817fff: 0xbf81, 0xbf818000: 0xbf82, 0xbf81ffff: 0xbf82} {
		for _, other := range []uint32{0, 0x3f808000, 0xbf81ffff} {
			pair := roundPair(uint64(from)<<32 | uint64(other))
			require.Equal(t, want, uint16(pair>>48), "%#x above %#x", from, other)
			require.Equal(t, want, uint16(roundPair(uint64(other)<<32|uint64(from))>>16), "%#x below %#x", from, other)
		}
	}
}
