package oracle

import (
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
)

// Logits returns a row of logits, [Vocab], for each token of a prompt: Qwen2.5 or Qwen3
// as it is published, in float64. Its one number that is rounded is the table of rotary
// frequencies, theta^(-2i/HeadDim), which the published model keeps in float32.
func (c *Checkpoint) Logits(ids []int32) [][]float64 { return c.logits(ids, "", c.exact()) }

// Share is the part of the logits' energy that a branch accounts for: the squares of
// what changes when it is left out, over the squares of the logits, which are given.
// Without q and k every token attends to all before it alike; the other branches are
// left out whole.
func (c *Checkpoint) Share(b Branch, ids []int32, logits [][]float64) float64 {
	var changed, all float64
	for t, row := range c.logits(ids, b, c.exact()) {
		for i, v := range row {
			d := v - logits[t][i]
			changed, all = changed+d*d, all+logits[t][i]*logits[t][i]
		}
	}
	return changed / all
}

// logits computes the model without a branch, "" for all of it, and rounds.
func (c *Checkpoint) logits(ids []int32, without Branch, round rounding) [][]float64 {
	each := func(rows [][]float64) [][]float64 {
		for _, row := range rows {
			round.values(row)
		}
		return rows
	}
	embedding := round.matrix("model.embed_tokens.weight")
	x := make([][]float64, len(ids)) // the residual stream, a row a token
	for t, id := range ids {
		x[t] = append([]float64(nil), embedding[int(id)*c.Hidden:][:c.Hidden]...)
	}
	for n := range c.Layers {
		w := func(name string) []float64 { return round.matrix(layerName(n, name)) }
		vector := func(name string) []float64 {
			if strings.HasSuffix(name, ".bias") && c.HeadNorms {
				return nil
			}
			return c.values(layerName(n, name))
		}
		if without != ValueOutput {
			h := each(c.normed(x, vector("input_layernorm.weight")))
			q := product(h, w("self_attn.q_proj.weight"), vector("self_attn.q_proj.bias"))
			k := product(h, w("self_attn.k_proj.weight"), vector("self_attn.k_proj.bias"))
			v := product(h, w("self_attn.v_proj.weight"), vector("self_attn.v_proj.bias"))
			if c.HeadNorms {
				q, k = c.headsNormed(q, vector("self_attn.q_norm.weight")), c.headsNormed(k, vector("self_attn.k_norm.weight"))
			}
			c.rotate(q)
			c.rotate(k)
			y := c.attention(each(q), each(k), each(v), without == QueryKey || without == NormedHeads, round.values)
			accumulate(x, product(each(y), w("self_attn.o_proj.weight"), nil))
		}
		if without != UpDown && without != GateDown {
			h := each(c.normed(x, vector("post_attention_layernorm.weight")))
			gate, up := product(h, w("mlp.gate_proj.weight"), nil), product(h, w("mlp.up_proj.weight"), nil)
			for t := range gate {
				for i, g := range gate[t] {
					up[t][i] *= g / (1 + math.Exp(-g))
				}
			}
			accumulate(x, product(each(up), w("mlp.down_proj.weight"), nil))
		}
	}
	head := embedding
	if !c.Tied {
		head = round.matrix("lm_head.weight")
	}
	return product(each(c.normed(x, c.values("model.norm.weight"))), head, nil)
}

// normed returns x / sqrt(mean of squares + eps) * weight, row by row.
func (c *Checkpoint) normed(x [][]float64, weight []float64) [][]float64 {
	out := make([][]float64, len(x))
	for t, row := range x {
		var squares float64
		for _, v := range row {
			squares += v * v
		}
		scale := 1 / math.Sqrt(squares/float64(len(row))+c.NormEps)
		out[t] = make([]float64, len(row))
		for i, v := range row {
			out[t][i] = v * scale * weight[i]
		}
	}
	return out
}

// headsNormed returns normed for each head of a row.
func (c *Checkpoint) headsNormed(x [][]float64, weight []float64) [][]float64 {
	out := make([][]float64, len(x))
	for t, row := range x {
		for _, head := range c.normed(slices.Collect(slices.Chunk(row, c.HeadDim)), weight) {
			out[t] = append(out[t], head...)
		}
	}
	return out
}

// product returns x times the transpose of w, plus a bias where there is one. A row of w
// meets all of x, so that w, which is large, passes once.
func product(x [][]float64, w, bias []float64) [][]float64 {
	cols := len(x[0])
	out := make([][]float64, len(x))
	for t := range x {
		out[t] = make([]float64, len(w)/cols)
	}
	for i := range len(w) / cols {
		for t, row := range x {
			out[t][i] = floats.Dot(w[i*cols:][:cols], row)
			if bias != nil {
				out[t][i] += bias[i]
			}
		}
	}
	return out
}

// rotate turns the pairs (i, i + HeadDim/2) of every head by the token's position
// times the pair's frequency.
func (c *Checkpoint) rotate(x [][]float64) {
	d := c.HeadDim
	for t, row := range x {
		for i := range d / 2 {
			frequency := float64(float32(math.Pow(c.RopeTheta, -2*float64(i)/float64(d))))
			sin, cos := math.Sincos(float64(t) * frequency)
			for h := 0; h < len(row); h += d {
				a, b := row[h+i], row[h+i+d/2]
				row[h+i], row[h+i+d/2] = a*cos-b*sin, b*cos+a*sin
			}
		}
	}
}

// attention is causal; query head h reads key head h / (Heads/KVHeads). With alike
// every score is 0. What is rounded are the exponentials.
func (c *Checkpoint) attention(q, k, v [][]float64, alike bool, round func(x []float64)) [][]float64 {
	d := c.HeadDim
	out := make([][]float64, len(q))
	for t := range q {
		out[t] = make([]float64, c.Heads*d)
		scores := make([]float64, t+1)
		for h := range c.Heads {
			kv := h / (c.Heads / c.KVHeads) * d
			top := math.Inf(-1)
			for s := range scores {
				sum := floats.Dot(q[t][h*d:][:d], k[s][kv:][:d])
				if alike {
					sum = 0
				}
				scores[s] = sum / math.Sqrt(float64(d))
				top = max(top, scores[s])
			}
			var total float64
			for s := range scores {
				scores[s] = math.Exp(scores[s] - top)
				total += scores[s]
			}
			round(scores)
			for s, weight := range scores {
				floats.AddScaled(out[t][h*d:][:d], weight/total, v[s][kv:][:d])
			}
		}
	}
	return out
}

func accumulate(x, y [][]float64) {
	for t := range x {
		for i, v := range y[t] {
			x[t][i] += v
		}
	}
}
