package models

import (
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// farStep is one token of the family's weights in one layer, behind given keys and
// values, in float64: what a decode step computes, by the published formulas.
type farStep struct {
	source      checkpoint.Source
	frequencies []float64 // of the pairs of a head
	attention   float64   // factor of cosine and sine
	window      int       // keys that the token sees; 0: all
}

func (s *farStep) values(t *testing.T, name string) []float64 {
	t.Helper()
	narrow := goldens.Floats(t, s.source, name)
	out := make([]float64, len(narrow))
	for i, v := range narrow {
		out[i] = float64(v)
	}
	return out
}

const farHidden, farHeads, farKVHeads, farDim = 64, 4, 2, 16

// logits returns those of id at a position, and its own turned key.
func (s *farStep) logits(t *testing.T, id, position int, keys, values []float32, tokens int) (logits, key []float64) {
	t.Helper()
	tensor := func(name string) []float64 { return s.values(t, "model.layers.0."+name) }
	times := func(x []float64, w []float64, bias []float64) []float64 {
		out := make([]float64, len(w)/len(x))
		for i := range out {
			for j, v := range x {
				out[i] += v * w[i*len(x)+j]
			}
			if bias != nil {
				out[i] += bias[i]
			}
		}
		return out
	}
	normed := func(x, g []float64) []float64 {
		var squares float64
		for _, v := range x {
			squares += v * v
		}
		out := make([]float64, len(x))
		for i, v := range x {
			out[i] = v / math.Sqrt(squares/float64(len(x))+1e-6) * g[i]
		}
		return out
	}
	turn := func(x []float64) {
		for head := 0; head < len(x); head += farDim {
			for i, f := range s.frequencies {
				sin, cos := math.Sincos(float64(position) * f)
				sin, cos = sin*s.attention, cos*s.attention
				a, b := x[head+i], x[head+i+farDim/2]
				x[head+i], x[head+i+farDim/2] = a*cos-b*sin, b*cos+a*sin
			}
		}
	}
	x := s.values(t, "model.embed_tokens.weight")[id*farHidden:][:farHidden]
	h := normed(x, tensor("input_layernorm.weight"))
	project := func(p string) []float64 {
		return times(h, tensor("self_attn."+p+"_proj.weight"), tensor("self_attn."+p+"_proj.bias"))
	}
	q, k, v := project("q"), project("k"), project("v")
	turn(q)
	turn(k)
	first := 0
	if s.window > 0 {
		first = position + 1 - s.window
	}
	y := make([]float64, farHeads*farDim)
	for head := range farHeads {
		kv := head / (farHeads / farKVHeads)
		scores := make([]float64, 0, position+1-first)
		top := math.Inf(-1)
		for at := first; at <= position; at++ {
			var score float64
			for i := range farDim {
				key := k[kv*farDim+i]
				if at < position { // the caches' keys are what they are, with the factor of their own turn
					key = float64(keys[(kv*tokens+at)*farDim+i]) * s.attention
				}
				score += q[head*farDim+i] * key
			}
			scores = append(scores, score/math.Sqrt(farDim))
			top = max(top, scores[len(scores)-1])
		}
		var sum float64
		for n, score := range scores {
			weight := math.Exp(score - top)
			sum += weight
			for i := range farDim {
				value := v[kv*farDim+i]
				if at := first + n; at < position {
					value = float64(values[(kv*tokens+at)*farDim+i])
				}
				y[head*farDim+i] += weight * value
			}
		}
		for i := range farDim {
			y[head*farDim+i] /= sum
		}
	}
	add := func(a, b []float64) []float64 {
		out := make([]float64, len(a))
		for i := range a {
			out[i] = a[i] + b[i]
		}
		return out
	}
	x = add(x, times(y, tensor("self_attn.o_proj.weight"), nil))
	h = normed(x, tensor("post_attention_layernorm.weight"))
	gate, up := times(h, tensor("mlp.gate_proj.weight"), nil), times(h, tensor("mlp.up_proj.weight"), nil)
	for i, g := range gate {
		up[i] *= g / (1 + math.Exp(-g))
	}
	x = add(x, times(up, tensor("mlp.down_proj.weight"), nil))
	return times(normed(x, s.values(t, "model.norm.weight")), s.values(t, "lm_head.weight"), nil), k
}

// sourceWeights hands a checkpoint's tensors to a device.
type sourceWeights struct{ checkpoint.Source }

func (w sourceWeights) Weight(b *plan.Buffer) ([]byte, error) {
	return checkpoint.ReadAs(w.Source, b.Weight.Tensor, b.DType, nil)
}

// Steps far behind in a text turn by the right angle: one layer's decode at positions up
// to the end of a context, against the formulas in float64. A table holds frequencies in
// float32, as the published models do; all else of the angle is exact there.
func TestFarPositions(t *testing.T) {
	t.Parallel()
	oncpu.Need(t)
	f := readFamily(t)
	source, err := checkpoint.Open("../testdata/family/model.safetensors")
	require.NoError(t, err)
	defer source.Close()
	table := func(theta float64, change func(i int, f float64) float64) []float64 {
		out := make([]float64, farDim/2)
		for i := range out {
			out[i] = float64(float32(change(i, math.Pow(theta, -2*float64(i)/farDim))))
		}
		return out
	}
	plain := func(_ int, f float64) float64 { return f }
	// Of heads of 16 elements and theta 10^4, 32,768 positions are 32 turns of wave 4.42
	// and one of wave 7.43: waves up to 4 stay, those from 8 on are stretched.
	yarn := func(i int, f float64) float64 {
		part := min(1, max(0, float64(i-4)/(8-4)))
		return f*(1-part) + f/4*part
	}
	attention := 0.1*math.Log(4) + 1
	for name, x := range map[string]struct {
		config   map[string]any
		position int
		step     farStep
		variant  string
	}{
		"plain": {map[string]any{}, 131071, farStep{frequencies: table(1e4, plain), attention: 1}, "default"},
		"linear": {map[string]any{"max_position_embeddings": 32768, "rope_scaling": map[string]any{"type": "linear", "factor": 4.0, "original_max_position_embeddings": 32768}}, 100000,
			farStep{frequencies: table(1e4, func(_ int, f float64) float64 { return f / 4 }), attention: 1}, "none"},
		"yarn": {map[string]any{"max_position_embeddings": 32768, "rope_scaling": map[string]any{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}, 131071,
			farStep{frequencies: table(1e4, yarn), attention: attention}, "default"},
		"yarn and a window": {map[string]any{"max_position_embeddings": 32768, "rope_scaling": map[string]any{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
			"use_sliding_window": true, "sliding_window": 4096, "max_window_layers": 0}, 100000, farStep{frequencies: table(1e4, yarn), attention: attention, window: 4096}, "default"},
		"first chunk of a million": {map[string]any{"max_position_embeddings": 1010000, "rope_theta": 1e7, "dual_chunk_attention_config": map[string]any{"chunk_size": 262144, "local_size": 8192}}, 262143, farStep{frequencies: table(1e7, plain), attention: 1}, "default"},
	} {
		t.Run(name, func(t *testing.T) {
			member := *f.Members["deepseek-r1-distill-qwen-1.5b"]
			member.Config = maps.Clone(member.Config)
			maps.Copy(member.Config, x.config)
			m, err := foundry.Open(f.folder(t, &member), foundry.Hub{})
			require.NoError(t, err)
			defer m.Close()
			const id = 77
			tokens := x.position + 1
			o := foundry.Defaults(foundry.CPU, foundry.CompileOptions{Weights: dtype.F32, Cache: dtype.F32, Context: tokens, Chunk: 1, AllLogits: true, Variant: x.variant})
			compiled, err := compile.Model(m.WithLayers(1), o)
			require.NoError(t, err)
			dev, err := cpu.Open(t.Context(), cpu.Options{FewRuns: true})
			devicetest.Need(t, err)
			defer func() { require.NoError(t, dev.Close()) }()
			exec, err := runtime.New(t.Context(), dev, compiled.Plan, sourceWeights{source}, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, exec.Close()) }()
			in, err := exec.NewInstance()
			require.NoError(t, err)
			defer func() { require.NoError(t, in.Close()) }()

			r := rand.New(rand.NewPCG(7, 7))
			caches := map[string][]float32{}
			for _, name := range []string{"layers.0.k", "layers.0.v"} {
				v := make([]float32, farKVHeads*tokens*farDim)
				raw := make([]byte, 4*len(v))
				for i := range v {
					v[i] = float32(r.NormFloat64())
					binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v[i]))
				}
				caches[name] = v
				require.NoError(t, in.Write(name, raw))
			}
			in.AssumeWritten()
			_, err = in.Decode(t.Context(), x.position, id)
			require.NoError(t, err)
			x.step.source = source
			want, key := x.step.logits(t, id, x.position, caches["layers.0.k"], caches["layers.0.v"], tokens)
			have, err := in.Logits()
			require.NoError(t, err)
			require.LessOrEqual(t, interp.Compare(have, want).NMSE, goldens.OnRef)
			// The key that was written, element for element: cosine and sine to 3e-7.
			raw := make([]byte, 4*len(caches["layers.0.k"]))
			require.NoError(t, in.Read("layers.0.k", raw))
			written := make([]float32, len(raw)/4)
			dtype.Dequantise(dtype.F32, raw, written)
			for i, v := range key {
				at := (i/farDim*tokens+x.position)*farDim + i%farDim
				require.InDelta(t, v/x.step.attention, written[at], 3e-6, "element %d", i)
			}
		})
	}
}
