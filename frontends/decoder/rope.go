package decoder

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Scaling says how a model takes more positions than it was trained on: by stretching
// RoPE's waves. The zero value stretches nothing. It holds from the first token on,
// whatever the length of a text.
type Scaling struct {
	Kind     string  // Linear, YaRN or Llama3; "" for none
	Factor   float64 // the factor by which texts may be longer
	Original int     // positions that the model was trained for
	// BetaFast and BetaSlow are of YaRN and Llama3: waves that turn more often than BetaFast
	// in Original positions stay, those that turn less often than BetaSlow are stretched by
	// Factor, and those between in part: by their index in YaRN, by their turns in Llama3.
	BetaFast, BetaSlow float64
	Truncate           bool // whole numbers for YaRN's bounds between waves
	// Attention multiplies cosine and sine of every angle.
	Attention float64
}

// The kinds of scaling, as config.json names them.
const (
	Linear = "linear"
	YaRN   = "yarn"
	Llama3 = "llama3"
)

// The values of YaRN where a configuration gives none, those of Qwen2.5.
const (
	betaFast = 32
	betaSlow = 1
)

// maxFactor is the greatest factor that is taken for one rather than for a mistake.
const maxFactor = 1 << 10

// attentionOf is YaRN's factor for cosine and sine: 0.1 ln(factor) + 1 (Peng et al.,
// 2023, equation 22), with a weight for the logarithm.
func attentionOf(factor, weight float64) float64 {
	if factor <= 1 {
		return 1
	}
	return 0.1*weight*math.Log(factor) + 1
}

// ParseScaling reads KIND:FACTOR, such as yarn:4 or linear:2.
func ParseScaling(text string) (Scaling, error) {
	kind, number, _ := strings.Cut(text, ":")
	factor, err := strconv.ParseFloat(number, 64)
	if kind != Linear && kind != YaRN || err != nil || !(factor >= 1 && factor <= maxFactor) {
		return Scaling{}, fmt.Errorf("%q: want %s:FACTOR or %s:FACTOR with a factor of 1 to %d, such as yarn:4", text, YaRN, Linear, maxFactor)
	}
	s := Scaling{Kind: kind, Factor: factor, Attention: 1}
	if kind == YaRN {
		s.BetaFast, s.BetaSlow, s.Truncate, s.Attention = betaFast, betaSlow, true, attentionOf(factor, 1)
	}
	return s, nil
}

// Scaled is c with RoPE scaled as it is not yet; the positions of training are those
// that c has.
func (c Config) Scaled(s Scaling) (Config, error) {
	if c.Rope.Kind != "" {
		return c, fmt.Errorf("config.json scales RoPE already: %s by %g", c.Rope.Kind, c.Rope.Factor)
	}
	if s.Original == 0 {
		s.Original = c.MaxPositions
	}
	c.Rope = s
	c.MaxPositions = s.positions(c.MaxPositions)
	return c, nil
}

// positions is how many a model has of which the configuration names so many.
func (s Scaling) positions(named int) int {
	if s.Kind == Llama3 { // max_position_embeddings is said of the stretched model
		return named
	}
	stretched := math.Floor(float64(s.Original) * s.Factor)
	return min(maxPositions, max(named, int(min(stretched, maxPositions))))
}

// InvFreq returns RoPE's table, HeadDim/2 values theta^(-2i/HeadDim), stretched as Rope
// says, computed in float64 and rounded once.
func (c Config) InvFreq() []float32 {
	out := make([]float32, c.HeadDim/2)
	low, high := c.yarnBounds()
	for i := range out {
		f := math.Pow(c.RopeTheta, -2*float64(i)/float64(c.HeadDim))
		switch c.Rope.Kind {
		case Linear:
			f /= c.Rope.Factor
		case YaRN:
			part := max(0, min(1, (float64(i)-low)/(high-low)))
			f = f/c.Rope.Factor*part + f*(1-part)
		case Llama3:
			turns := float64(c.Rope.Original) * f / (2 * math.Pi)
			part := max(0, min(1, (c.Rope.BetaFast-turns)/(c.Rope.BetaFast-c.Rope.BetaSlow)))
			f = f/c.Rope.Factor*part + f*(1-part)
		}
		out[i] = float32(f)
	}
	return out
}

// yarnBounds are the indices of waves up to which YaRN stretches nothing, and from which
// it stretches by all of the factor.
func (c Config) yarnBounds() (low, high float64) {
	dim := float64(c.HeadDim)
	index := func(turns float64) float64 { // of the wave that turns so often in the positions of training
		return dim * math.Log(float64(c.Rope.Original)/(turns*2*math.Pi)) / (2 * math.Log(c.RopeTheta))
	}
	low, high = index(c.Rope.BetaFast), index(c.Rope.BetaSlow)
	if c.Rope.Truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, dim-1)
	if low == high {
		high += 0.001
	}
	return low, high
}

// scoreScale multiplies the products of queries and keys: 1/sqrt(HeadDim), and the
// factor of cosine and sine once for each of the two, which need not be applied before.
func (c Config) scoreScale() float64 {
	scale := 1 / math.Sqrt(float64(c.HeadDim))
	if c.Rope.Kind != "" {
		scale *= c.Rope.Attention * c.Rope.Attention
	}
	return scale
}

// ropeParameters is rope_parameters or rope_scaling of a config.json.
type ropeParameters struct {
	Theta         *float64  `json:"rope_theta"`
	Type          string    `json:"rope_type"`
	Old           string    `json:"type"` // rope_type under its older name
	Factor        *float64  `json:"factor"`
	Original      *int64    `json:"original_max_position_embeddings"`
	BetaFast      *float64  `json:"beta_fast"`
	BetaSlow      *float64  `json:"beta_slow"`
	HighFreq      *float64  `json:"high_freq_factor"`
	LowFreq       *float64  `json:"low_freq_factor"`
	Truncate      *bool     `json:"truncate"`
	Attention     *float64  `json:"attention_factor"`
	MScale        *float64  `json:"mscale"`
	MScaleAllDim  *float64  `json:"mscale_all_dim"`
	Partial       *float64  `json:"partial_rotary_factor"`
	FullAttention *struct{} `json:"full_attention"`    // the scaling of layers that see everything, where each kind of layer has its own
	Sliding       *struct{} `json:"sliding_attention"` // the scaling of layers with a window, likewise
}

func (r *ropeParameters) kind() string {
	if r.Type == "" {
		return r.Old
	}
	return r.Type
}

// rope returns the theta and the scaling of a configuration. rope_scaling counts before
// rope_parameters where it says anything, as in transformers.
func (f *file) rope() (theta *float64, s Scaling, err error) {
	theta = f.RopeTheta
	name, p := "rope_parameters", f.Rope
	if p != nil && p.Theta != nil {
		theta = p.Theta
	}
	if f.RopeScaling != nil && *f.RopeScaling != (ropeParameters{}) {
		name, p = "rope_scaling", f.RopeScaling
		if p.Theta != nil {
			theta = p.Theta
		}
	}
	if p == nil {
		return theta, s, nil
	}
	if s, err = p.scaling(f.MaxPositions, f.OriginalPositions); err != nil {
		return nil, s, fmt.Errorf("%s: %w", name, err)
	}
	return theta, s, nil
}

// scaling reads what stretches RoPE. named is max_position_embeddings, outside is
// original_max_position_embeddings of the configuration itself, which counts first.
func (p *ropeParameters) scaling(named, outside *int64) (s Scaling, err error) {
	if p.FullAttention != nil || p.Sliding != nil {
		return s, errors.New("each kind of layer has its own, which is not supported")
	}
	if p.Partial != nil && *p.Partial != 1 {
		return s, fmt.Errorf("partial_rotary_factor is %g; foundry turns whole heads only", *p.Partial)
	}
	switch p.kind() {
	case Linear, YaRN, Llama3:
	case "", "default":
		if p.Factor != nil && *p.Factor != 1 {
			return s, fmt.Errorf("there is a factor of %g, but no rope_type that says what it does (linear or yarn)", *p.Factor)
		}
		return s, nil
	default:
		return s, fmt.Errorf("the type %q is not supported (linear, yarn and llama3 are); remove it to run within max_position_embeddings", p.kind())
	}
	s = Scaling{Kind: p.kind(), Attention: 1}
	original := p.Original
	if outside != nil {
		original = outside
	}
	if original == nil {
		original = named
	}
	if original == nil || *original < 1 || *original > maxPositions {
		return s, fmt.Errorf("original_max_position_embeddings is missing or not 1 to %d", maxPositions)
	}
	s.Original = int(*original)
	switch {
	case p.Factor != nil:
		s.Factor = *p.Factor
	case s.Kind == YaRN && named != nil:
		s.Factor = float64(*named) / float64(s.Original)
	}
	if !(s.Factor >= 1 && s.Factor <= maxFactor) {
		return s, fmt.Errorf("the factor is %g, want 1 to %d", s.Factor, maxFactor)
	}
	if s.Kind == Linear {
		if p.Original == nil && outside == nil { // max_position_embeddings is said of the stretched model
			s.Original = max(1, int(float64(s.Original)/s.Factor))
		}
		return s, nil
	}
	if s.Kind == Llama3 {
		return s, p.llama3(&s)
	}
	return s, p.yarn(&s)
}

// llama3 reads what only that kind has.
func (p *ropeParameters) llama3(s *Scaling) error {
	if p.HighFreq == nil || p.LowFreq == nil || !(*p.LowFreq > 0 && *p.HighFreq > *p.LowFreq && *p.HighFreq <= maxPositions) {
		return errors.New("llama3 wants high_freq_factor > low_freq_factor > 0")
	}
	s.BetaFast, s.BetaSlow = *p.HighFreq, *p.LowFreq
	return nil
}

// yarn reads what only YaRN has.
func (p *ropeParameters) yarn(s *Scaling) error {
	given := func(v *float64, otherwise float64) float64 {
		if v == nil || *v == 0 {
			return otherwise
		}
		return *v
	}
	s.BetaFast, s.BetaSlow = given(p.BetaFast, betaFast), given(p.BetaSlow, betaSlow)
	s.Truncate = p.Truncate == nil || *p.Truncate
	switch {
	case p.Attention != nil:
		s.Attention = *p.Attention
	case given(p.MScale, 0) != 0 && given(p.MScaleAllDim, 0) != 0:
		s.Attention = attentionOf(s.Factor, *p.MScale) / attentionOf(s.Factor, *p.MScaleAllDim)
	default:
		s.Attention = attentionOf(s.Factor, 1)
	}
	switch {
	case !(s.BetaSlow > 0 && s.BetaFast >= s.BetaSlow && s.BetaFast <= maxPositions):
		return fmt.Errorf("beta_fast is %g and beta_slow %g, want beta_fast >= beta_slow > 0", s.BetaFast, s.BetaSlow)
	case !(s.Attention > 0 && s.Attention <= 100):
		return fmt.Errorf("the attention factor is %g, want above 0, up to 100", s.Attention)
	}
	return nil
}

// fields is the scaling as rope_scaling of a config.json; nil for none.
func (s Scaling) fields() map[string]any {
	if s.Kind == "" {
		return nil
	}
	out := map[string]any{"rope_type": s.Kind, "factor": s.Factor, "original_max_position_embeddings": s.Original}
	if s.Kind == YaRN {
		out["beta_fast"], out["beta_slow"] = s.BetaFast, s.BetaSlow
		out["truncate"], out["attention_factor"] = s.Truncate, s.Attention
	}
	if s.Kind == Llama3 {
		out["high_freq_factor"], out["low_freq_factor"] = s.BetaFast, s.BetaSlow
	}
	return out
}
