package decoder

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"
	"foundry/ir/names"
	"foundry/runtime/files"
)

// The Hugging Face names of a model's tensors outside its layers.
const (
	embedName     = "model.embed_tokens.weight"
	finalNormName = "model.norm.weight"
	headName      = "lm_head.weight"
)

// layerWeight returns the Hugging Face name of a tensor of layer n.
func layerWeight(n int, name string) string { return fmt.Sprintf("model.layers.%d.%s", n, name) }

// Weights lists the tensors of a model with the given configuration: Hugging
// Face names, shapes with the output rows first, in the order of their use.
func Weights(c Config) []checkpoint.Shape {
	h, q, kv, i := int64(c.Hidden), int64(c.Heads*c.HeadDim), int64(c.KVHeads*c.HeadDim), int64(c.Intermediate)
	var layer []checkpoint.Shape
	add := func(name string, shape ...int64) {
		layer = append(layer, checkpoint.Shape{Name: name, Shape: shape})
	}
	add("input_layernorm.weight", h)
	for _, p := range []struct {
		name string
		rows int64
	}{{"q", q}, {"k", kv}, {"v", kv}} {
		add("self_attn."+p.name+"_proj.weight", p.rows, h)
		if c.QKVBias {
			add("self_attn."+p.name+"_proj.bias", p.rows)
		}
	}
	if c.HeadNorms {
		add("self_attn.q_norm.weight", int64(c.HeadDim))
		add("self_attn.k_norm.weight", int64(c.HeadDim))
	}
	add("self_attn.o_proj.weight", h, q)
	add("post_attention_layernorm.weight", h)
	add("mlp.gate_proj.weight", i, h)
	add("mlp.up_proj.weight", i, h)
	add("mlp.down_proj.weight", h, i)
	out := make([]checkpoint.Shape, 0, c.Layers*len(layer)+3)
	out = append(out, checkpoint.Shape{Name: embedName, Shape: []int64{int64(c.Vocab), h}})
	for n := range c.Layers {
		for _, w := range layer {
			out = append(out, checkpoint.Shape{Name: layerWeight(n, w.Name), Shape: w.Shape})
		}
	}
	out = append(out, checkpoint.Shape{Name: finalNormName, Shape: []int64{h}})
	if !c.Tied {
		out = append(out, checkpoint.Shape{Name: headName, Shape: []int64{int64(c.Vocab), h}})
	}
	return out
}

// Check holds a checkpoint against the configuration: every tensor of Weights
// must be there with its shape, and no other. The error names the first tensor
// that is missing, wrongly shaped or unknown. Rotary tables that old exports
// kept beside the weights are ignored, and so are the lm_head of a tied model, which must
// be the embedding, and biases that are zero, which tools for GPTQ write.
func Check(c Config, s checkpoint.Source) error {
	want := Weights(c)
	known := make(map[string]bool, len(want))
	for _, w := range want {
		known[w.Name] = true
	}
	for _, w := range want {
		info, ok := s.Info(w.Name)
		if !ok {
			return fmt.Errorf("%s: tensor %q is missing%s", s.Label(), w.Name, insteadOf(w.Name, known, s))
		}
		if !slices.Equal(info.Shape, w.Shape) {
			return fmt.Errorf("%s: tensor %q has shape %v, the configuration wants %v", s.Label(), w.Name, info.Shape, w.Shape)
		}
	}
	for _, name := range s.Names() {
		if known[name] || strings.HasSuffix(name, "rotary_emb.inv_freq") {
			continue
		}
		if c.Tied && name == headName {
			if err := tied(s); err != nil {
				return err
			}
			continue
		}
		if layer, ok := strings.CutSuffix(name, ".bias"); ok && known[layer+".weight"] {
			zero, err := isZero(s, name)
			if err != nil {
				return err
			}
			if zero {
				continue
			}
			return fmt.Errorf("%s: tensor %q is not zero; that part of a %s model has no bias", s.Label(), name, c.ModelType)
		}
		return fmt.Errorf("%s: tensor %q is no part of a %s model of %d layers", s.Label(), name, c.ModelType, c.Layers)
	}
	return nil
}

// tied is an error where the lm_head that lies beside a tied embedding is another: of
// programs that read such a checkpoint some take the one, some the other.
func tied(s checkpoint.Source) error {
	head, _ := s.Info(headName)
	embedding, _ := s.Info(embedName)
	same := head.DType == embedding.DType && slices.Equal(head.Shape, embedding.Shape)
	if same {
		raw, err := s.Read(headName)
		if err != nil {
			return err
		}
		other, err := s.Read(embedName)
		if err != nil {
			return err
		}
		err = files.Guard(func() error {
			same = bytes.Equal(raw, other)
			return nil
		})
		if err != nil {
			return checkpoint.Cause(s, err)
		}
	}
	if !same {
		return fmt.Errorf("%s: tensor %q is not %q, though tie_word_embeddings is true: set that to false where the head shall count, or leave the tensor out", s.Label(), headName, embedName)
	}
	return nil
}

// isZero reports whether every element of a tensor is zero, of either sign.
func isZero(s checkpoint.Source, name string) (bool, error) {
	raw, err := checkpoint.ReadAs(s, name, dtype.F32, nil)
	if err != nil {
		return false, err
	}
	zero := true
	err = files.Guard(func() error {
		for i := 0; i+4 <= len(raw) && zero; i += 4 {
			zero = binary.LittleEndian.Uint32(raw[i:])&^(1<<31) == 0
		}
		return nil
	})
	return zero, checkpoint.Cause(s, err)
}

// insteadOf names a tensor of s that may be the missing one misspelt.
func insteadOf(missing string, known map[string]bool, s checkpoint.Source) string {
	others := slices.DeleteFunc(slices.Clone(s.Names()), func(name string) bool { return known[name] })
	nearest := names.Nearest(missing, others)
	if nearest == "" {
		return ""
	}
	return fmt.Sprintf("; there is %q", nearest)
}
