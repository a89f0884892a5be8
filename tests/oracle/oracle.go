// Package oracle makes small Qwen2.5 and Qwen3 checkpoints and says what their logits are, by
// an implementation of its own: plain loops in float64, its own writers of
// safetensors and GGUF, its own reading of every weight format. It imports nothing
// of the compiler, so that the two agree only where both are right.
//
// Generate draws a checkpoint from a Config, Random draws the Config too, Read opens
// a safetensors folder. Write puts one on disk, Logits is the answer, and Worst holds
// a device's rows against it. Rescale moves powers of two between the two sides of a
// product, which changes the size of what lies between them and, but for the gate,
// not one logit; Share says how much of the logits comes from there, so that a test
// can show that it would see a fault.
package oracle

import (
	"fmt"
	"maps"
	"math"
)

// Config is the architecture of a checkpoint and how its matrices are stored.
type Config struct {
	Layers       int
	Hidden       int
	Intermediate int
	Heads        int // query heads
	KVHeads      int
	HeadDim      int
	Vocab        int
	NormEps      float64
	RopeTheta    float64
	Tied         bool // the head is the embedding
	// HeadNorms makes the model a Qwen3: no biases, and an RMSNorm over each head of q and
	// k before they are turned.
	HeadNorms bool

	Formats []Format // formats of the matrices, in turn
	GGUF    bool     // a GGUF file, not a safetensors folder; vectors are f32 there
}

// maxPositions is every checkpoint's max_position_embeddings.
const maxPositions = 4096

// String says the Config on one line.
func (c Config) String() string {
	container := "safetensors"
	if c.GGUF {
		container = "gguf"
	}
	return fmt.Sprintf("%s, %d layers, hidden %d, intermediate %d, heads %d/%d of %d, vocab %d, eps %g, theta %g, tied %v, %v %s",
		c.modelType(), c.Layers, c.Hidden, c.Intermediate, c.Heads, c.KVHeads, c.HeadDim, c.Vocab, c.NormEps, c.RopeTheta, c.Tied, c.Formats, container)
}

// modelType is what config.json calls the architecture, and GGUF.
func (c Config) modelType() string {
	if c.HeadNorms {
		return "qwen3"
	}
	return "qwen2"
}

// Checkpoint is a Config with its tensors under Hugging Face's names.
type Checkpoint struct {
	Config
	tensors map[string]tensor
}

// tensor holds rows of one format, little endian, the output rows first.
type tensor struct {
	shape  []int
	format Format
	data   []byte
}

// layerName is the name of a tensor of layer n.
func layerName(n int, name string) string { return fmt.Sprintf("model.layers.%d.%s", n, name) }

// values returns a tensor's elements.
func (c *Checkpoint) values(name string) []float64 {
	t, ok := c.tensors[name]
	if !ok {
		panic("oracle: no tensor " + name)
	}
	f := t.format.format()
	out := make([]float64, len(t.data)/f.bytes*f.elems)
	for i := range out {
		out[i] = f.value(t.data[i/f.elems*f.bytes:][:f.bytes], i%f.elems)
	}
	return out
}

// scaled returns the tensor times 2^k. It is an error where a number that is stored
// does not stay finite and normal.
func (t tensor) scaled(k int) (tensor, error) {
	f := t.format.format()
	data := append([]byte(nil), t.data...)
	for at := 0; at < len(data); at += f.bytes {
		for _, offset := range f.scales {
			number := data[at+offset:]
			v := math.Ldexp(f.number.read(number), k)
			if !f.number.normal(v) {
				return t, fmt.Errorf("%s has no normal %g", t.format, v)
			}
			f.number.write(number, v)
		}
	}
	return tensor{t.shape, t.format, data}, nil
}

// Branch is a pair of tensors of every layer between which a power of two can move.
type Branch string

// The branches. GateDown changes the function, because silu is no product: far from
// zero it is the identity or zero, and close to zero half the identity, so what
// reaches the logits stays of its size. QueryKey changes it where head norms follow: their
// eps is more, or less, beside what they square. NormedHeads is of models with head norms.
const (
	UpDown      Branch = "up/down"
	GateDown    Branch = "gate/down"
	ValueOutput Branch = "v/o"
	QueryKey    Branch = "q/k"
	NormedHeads Branch = "q_norm/k_norm"
)

// Branches lists those that every model has.
var Branches = [...]Branch{UpDown, GateDown, ValueOutput, QueryKey}

// pairs names, by branch, the tensors that grow and those that shrink.
var pairs = map[Branch]struct{ grow, shrink []string }{
	UpDown:      {[]string{"mlp.up_proj.weight"}, []string{"mlp.down_proj.weight"}},
	GateDown:    {[]string{"mlp.gate_proj.weight"}, []string{"mlp.down_proj.weight"}},
	ValueOutput: {[]string{"self_attn.v_proj.weight", "self_attn.v_proj.bias"}, []string{"self_attn.o_proj.weight"}},
	QueryKey:    {[]string{"self_attn.q_proj.weight", "self_attn.q_proj.bias"}, []string{"self_attn.k_proj.weight", "self_attn.k_proj.bias"}},
	NormedHeads: {[]string{"self_attn.q_norm.weight"}, []string{"self_attn.k_norm.weight"}},
}

// Rescale returns the checkpoint with a branch's first side times 2^k and its second
// times 2^-k, in every layer, exactly. The error names the tensor whose format cannot
// hold that as finite and normal numbers.
func (c *Checkpoint) Rescale(b Branch, k int) (*Checkpoint, error) {
	out := &Checkpoint{c.Config, maps.Clone(c.tensors)}
	for n := range c.Layers {
		for _, side := range []struct {
			names []string
			k     int
		}{{pairs[b].grow, k}, {pairs[b].shrink, -k}} {
			for _, name := range side.names {
				name = layerName(n, name)
				t, ok := out.tensors[name]
				if !ok {
					continue // a bias that the model has none of
				}
				t, err := t.scaled(side.k)
				if err != nil {
					return nil, fmt.Errorf("%s times 2^%d: %w", name, side.k, err)
				}
				out.tensors[name] = t
			}
		}
	}
	return out, nil
}

// Worst returns the greatest NMSE of a row of logits (the squares of its errors over
// the squares of its values) and which row that is. have holds the rows one behind
// the other. A value that is not finite, and another number of values, give +Inf.
func Worst(have []float32, want [][]float64) (nmse float64, row int) {
	rows, _ := rowErrors(have, want)
	for i, e := range rows {
		if e > nmse {
			nmse, row = e, i
		}
	}
	return nmse, row
}

// rowErrors returns the NMSE of each row, as Worst says, and of all rows as one.
func rowErrors(have []float32, want [][]float64) (rows []float64, all float64) {
	if len(want) == 0 || len(have) != len(want)*len(want[0]) {
		return []float64{math.Inf(1)}, math.Inf(1)
	}
	finite := func(nmse float64) float64 {
		if math.IsNaN(nmse) {
			return math.Inf(1)
		}
		return nmse
	}
	var total, energy float64
	for i, w := range want {
		var wrong, squares float64
		for j, x := range w {
			e := float64(have[i*len(w)+j]) - x
			wrong, squares = wrong+e*e, squares+x*x
		}
		rows = append(rows, finite(wrong/squares))
		total, energy = total+wrong, energy+squares
	}
	return rows, finite(total / energy)
}
