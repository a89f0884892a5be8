package decoder

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tables of heads of four and six, worked out by hand from the published formulas: theta
// 16, so that the waves of a head of four turn by 1 and 1/4 a position.
func TestFrequenciesByHand(t *testing.T) {
	c := Config{HeadDim: 4, RopeTheta: 16, MaxPositions: 64}
	require.Equal(t, []float32{1, 0.25}, c.InvFreq())
	require.InDelta(t, 0.5, c.scoreScale(), 1e-12, "1 / sqrt(4)")
	six := Config{HeadDim: 6, RopeTheta: 64}
	require.InDeltaSlice(t, []float64{1, 0.25, 0.0625}, floats(six.InvFreq()), 1e-7)

	c.Rope = Scaling{Kind: Linear, Factor: 2, Attention: 1}
	require.Equal(t, []float32{0.5, 0.125}, c.InvFreq(), "all by half")

	// Llama3, of 8 pi positions: the first wave turns four times in them, the second once.
	// Between 5 turns, that stay, and 1, that are stretched by all of 4, four are a quarter
	// of the way.
	c.Rope = Scaling{Kind: Llama3, Factor: 4, Original: 25, BetaFast: 5, BetaSlow: 1, Attention: 1}
	turns := 25 / (2 * math.Pi)
	part := (5 - turns) / 4
	require.InDelta(t, 1/4.0*part+(1-part), float64(c.InvFreq()[0]), 1e-6)
	require.InDelta(t, 0.25/4, float64(c.InvFreq()[1]), 1e-7, "less than one turn")
	c.Rope.BetaFast = 3
	require.InDelta(t, 1, float64(c.InvFreq()[0]), 1e-7, "more than three turns")

	// YaRN: a wave of index i of a head of d turns n times in L positions where
	// i = d ln(L / 2 pi n) / 2 ln(theta). Of 64 dims, theta 10,000, 32,768 positions, 32 turns
	// are at 64 ln(163) / 18.42 = 17.7 and one at 64 ln(5215) / 18.42 = 29.7.
	y := Config{HeadDim: 64, RopeTheta: 10_000, Rope: Scaling{Kind: YaRN, Factor: 4, Original: 32768, BetaFast: 32, BetaSlow: 1, Truncate: true, Attention: 1.1}}
	low, high := y.yarnBounds()
	require.Equal(t, [2]float64{17, 30}, [2]float64{low, high})
	table := y.InvFreq()
	for i, f := range table {
		plain := math.Pow(10_000, -float64(i)/32)
		stretched := min(1, max(0, (float64(i)-17)/13))
		require.InEpsilon(t, plain*(1-stretched*3/4), float64(f), 1e-6, "wave %d", i)
	}
	y.Rope.Truncate = false
	low, high = y.yarnBounds()
	require.InDelta(t, 64*math.Log(32768/(64*math.Pi))/(2*math.Log(10_000)), low, 1e-9)
	require.InDelta(t, 64*math.Log(32768/(2*math.Pi))/(2*math.Log(10_000)), high, 1e-9)
	require.InDelta(t, 1.1*1.1/8, y.scoreScale(), 1e-12, "for queries and for keys")
	y.Rope.Original, y.Rope.BetaFast, y.Rope.BetaSlow, y.Rope.Truncate = 1, 32, 16, true
	low, _ = y.yarnBounds()
	require.Equal(t, 0.0, low, "no wave turns so often")
	y.Rope.Original, y.Rope.BetaFast, y.Rope.BetaSlow = 1<<40, 1e-3, 1e-3
	_, high = y.yarnBounds()
	require.Equal(t, 63.0, high, "no further than the last dim")
	y.Rope.Original, y.Rope.BetaFast, y.Rope.BetaSlow, y.Rope.Truncate = 32768, 8, 8, false
	low, high = y.yarnBounds()
	require.InDelta(t, 0.001, high-low, 1e-9, "not divided by nothing")
}

func floats(x []float32) (out []float64) {
	for _, v := range x {
		out = append(out, float64(v))
	}
	return out
}

// What --rope-scaling takes, and what a model has then.
func TestScalings(t *testing.T) {
	for text, want := range map[string]Scaling{
		"linear:1":    {Kind: Linear, Factor: 1, Attention: 1},
		"linear:1024": {Kind: Linear, Factor: 1024, Attention: 1},
		"yarn:4":      {Kind: YaRN, Factor: 4, BetaFast: 32, BetaSlow: 1, Truncate: true, Attention: 0.1*math.Log(4) + 1},
		"yarn:1":      {Kind: YaRN, Factor: 1, BetaFast: 32, BetaSlow: 1, Truncate: true, Attention: 1},
	} {
		have, err := ParseScaling(text)
		require.NoError(t, err)
		require.InDelta(t, want.Attention, have.Attention, 1e-12)
		have.Attention = want.Attention
		require.Equal(t, want, have)
	}
	for _, bad := range []string{"linear:0.999", "linear:1025", "llama3:2", "yarn"} {
		_, err := ParseScaling(bad)
		require.ErrorContains(t, err, "want yarn:FACTOR or linear:FACTOR with a factor of 1 to 1024")
	}
	require.InDelta(t, 1, attentionOf(1, 1), 0)
	require.InDelta(t, 1+0.2*math.Log(3), attentionOf(3, 2), 1e-12)

	c, err := Config{MaxPositions: 1000}.Scaled(Scaling{Kind: Linear, Factor: 2.5})
	require.NoError(t, err)
	require.Equal(t, 2500, c.MaxPositions)
	require.Equal(t, 1000, c.Rope.Original)
	_, err = c.Scaled(Scaling{Kind: YaRN, Factor: 2})
	require.EqualError(t, err, "config.json scales RoPE already: linear by 2.5")
	require.Equal(t, 2048, Scaling{Kind: YaRN, Factor: 4, Original: 512}.positions(100))
	require.Equal(t, 3000, Scaling{Kind: YaRN, Factor: 4, Original: 512}.positions(3000), "the longer of the two")
	require.Equal(t, 100, Scaling{Kind: Llama3, Factor: 4, Original: 512}.positions(100), "said of the stretched model")
	require.Equal(t, maxPositions, Scaling{Kind: Linear, Factor: 1024, Original: maxPositions}.positions(1))
}

// What a configuration's rope_scaling comes to.
func TestScalingOfAConfiguration(t *testing.T) {
	f, n := func(v float64) *float64 { return &v }, func(v int64) *int64 { return &v }
	off := false
	for _, c := range []struct {
		name           string
		p              ropeParameters
		named, outside *int64
		want           Scaling
		err            string
	}{
		{"nothing", ropeParameters{}, n(100), nil, Scaling{}, ""},
		{"default", ropeParameters{Type: "default", Factor: f(1)}, n(100), nil, Scaling{}, ""},
		{"linear, of the stretched model", ropeParameters{Type: "linear", Factor: f(4)}, n(100), nil, Scaling{Kind: Linear, Factor: 4, Original: 25, Attention: 1}, ""},
		{"linear, with its own", ropeParameters{Old: "linear", Factor: f(4), Original: n(80)}, n(100), nil, Scaling{Kind: Linear, Factor: 4, Original: 80, Attention: 1}, ""},
		{"linear, from outside", ropeParameters{Type: "linear", Factor: f(4), Original: n(80)}, n(100), n(90), Scaling{Kind: Linear, Factor: 4, Original: 90, Attention: 1}, ""},
		{"yarn, by what is named", ropeParameters{Type: "yarn", Original: n(50)}, n(100), nil, Scaling{Kind: YaRN, Factor: 2, Original: 50, BetaFast: 32, BetaSlow: 1, Truncate: true, Attention: 1 + 0.1*math.Log(2)}, ""},
		{"yarn, all said", ropeParameters{Type: "yarn", Factor: f(3), Original: n(50), BetaFast: f(16), BetaSlow: f(2), Truncate: &off, Attention: f(1.5)}, n(100), nil, Scaling{Kind: YaRN, Factor: 3, Original: 50, BetaFast: 16, BetaSlow: 2, Attention: 1.5}, ""},
		{"yarn, nothing said by zeros", ropeParameters{Type: "yarn", Factor: f(3), BetaFast: f(0), BetaSlow: f(0), MScale: f(0), MScaleAllDim: f(1)}, n(100), nil, Scaling{Kind: YaRN, Factor: 3, Original: 100, BetaFast: 32, BetaSlow: 1, Truncate: true, Attention: 1 + 0.1*math.Log(3)}, ""},
		{"yarn, by mscale", ropeParameters{Type: "yarn", Factor: f(3), MScale: f(2), MScaleAllDim: f(1)}, n(100), nil, Scaling{Kind: YaRN, Factor: 3, Original: 100, BetaFast: 32, BetaSlow: 1, Truncate: true, Attention: (1 + 0.2*math.Log(3)) / (1 + 0.1*math.Log(3))}, ""},
		{"llama3", ropeParameters{Type: "llama3", Factor: f(8), Original: n(50), HighFreq: f(4), LowFreq: f(1)}, n(100), nil, Scaling{Kind: Llama3, Factor: 8, Original: 50, BetaFast: 4, BetaSlow: 1, Attention: 1}, ""},
		{"a factor of nothing", ropeParameters{Factor: f(2)}, n(100), nil, Scaling{}, "there is a factor of 2, but no rope_type"},
		{"part of a head", ropeParameters{Partial: f(0.5)}, n(100), nil, Scaling{}, "partial_rotary_factor is 0.5"},
		{"all of it", ropeParameters{Partial: f(1)}, n(100), nil, Scaling{}, ""},
		{"kinds of layers", ropeParameters{Sliding: &struct{}{}}, n(100), nil, Scaling{}, "each kind of layer has its own"},
		{"no positions", ropeParameters{Type: "yarn", Factor: f(2)}, nil, nil, Scaling{}, "original_max_position_embeddings is missing"},
		{"too many positions", ropeParameters{Type: "yarn", Factor: f(2), Original: n(maxPositions + 1)}, nil, nil, Scaling{}, "original_max_position_embeddings is missing or not 1 to"},
		{"no factor", ropeParameters{Type: "linear"}, n(100), nil, Scaling{}, "the factor is 0, want 1 to 1024"},
		{"too large a factor", ropeParameters{Type: "linear", Factor: f(1024.5)}, n(100), nil, Scaling{}, "the factor is 1024.5"},
		{"llama3 without its low", ropeParameters{Type: "llama3", Factor: f(8), HighFreq: f(4)}, n(100), nil, Scaling{}, "llama3 wants high_freq_factor"},
		{"llama3 without its high", ropeParameters{Type: "llama3", Factor: f(8), LowFreq: f(1)}, n(100), nil, Scaling{}, "llama3 wants high_freq_factor"},
		{"llama3 from nothing on", ropeParameters{Type: "llama3", Factor: f(8), HighFreq: f(4), LowFreq: f(0)}, n(100), nil, Scaling{}, "llama3 wants high_freq_factor"},
		{"llama3 of one", ropeParameters{Type: "llama3", Factor: f(8), HighFreq: f(2), LowFreq: f(2)}, n(100), nil, Scaling{}, "llama3 wants high_freq_factor"},
		{"a large attention", ropeParameters{Type: "yarn", Factor: f(2), Attention: f(101)}, n(100), nil, Scaling{}, "the attention factor is 101"},
		{"the largest attention", ropeParameters{Type: "yarn", Factor: f(2), Attention: f(100)}, n(100), nil, Scaling{Kind: YaRN, Factor: 2, Original: 100, BetaFast: 32, BetaSlow: 1, Truncate: true, Attention: 100}, ""},
	} {
		have, err := c.p.scaling(c.named, c.outside)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		require.InDelta(t, c.want.Attention, have.Attention, 1e-12, c.name)
		have.Attention = c.want.Attention
		require.Equal(t, c.want, have, c.name)
	}
}
