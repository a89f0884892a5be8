package sampling

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The vectors that the authors of Random123 publish for philox4x32 with ten rounds.
func TestPhiloxKnownAnswers(t *testing.T) {
	const ones = ^uint32(0)
	for _, c := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{ones, ones, ones, ones}, [2]uint32{ones, ones}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		require.Equal(t, c.want, Philox(c.counter, c.key))
	}
}

func TestUniform(t *testing.T) {
	const n = 4096
	mean := 0.0
	for i := range uint32(n) {
		u := Uniform(42, i)
		require.True(t, u >= 0 && u < 1 && u == float64(float32(u)))
		mean += u / n
	}
	require.InDelta(t, 0.5, mean, 4*math.Sqrt(1.0/12/n)) // four standard deviations
	require.NotEqual(t, Uniform(42, 0), Uniform(42+1<<32, 0), "both halves of the seed count")
	words := Philox([4]uint32{7, 1}, [2]uint32{42, 0})
	for i := range uint32(4) {
		require.Equal(t, float64(words[i]>>8)/(1<<24), Uniforms(42, 7, 4+i))
	}
}

// logs turns probabilities into logits.
func logs(p ...float64) []float32 {
	out := make([]float32, len(p))
	for i, v := range p {
		out[i] = float32(math.Log(v))
	}
	return out
}

// share measures how much of [0, 1) chooses each token.
func share(t require.TestingT, how Settings, logits []float32, seen ...int32) []float64 {
	const steps = 1000
	count := make([]int, len(logits))
	for i := range steps {
		id, err := how.Choose(logits, seen, (float64(i)+0.5)/steps)
		require.NoError(t, err)
		count[id]++
	}
	out := make([]float64, len(logits))
	for id, n := range count {
		out[id] = float64(n) / steps
	}
	return out
}

func TestChoose(t *testing.T) {
	p := logs(0.1, 0.4, 0.05, 0.2, 0.25)
	for name, c := range map[string]struct {
		how  Settings
		seen []int32
		want []float64
	}{
		"plain":            {Settings{Temperature: 1}, nil, []float64{0.1, 0.4, 0.05, 0.2, 0.25}},
		"greedy":           {Settings{}, nil, []float64{0, 1, 0, 0, 0}},
		"hot":              {Settings{Temperature: 1e5}, nil, []float64{0.2, 0.2, 0.2, 0.2, 0.2}},
		"cold":             {Settings{Temperature: 0.5}, nil, []float64{.01 / .275, .16 / .275, .0025 / .275, .04 / .275, .0625 / .275}},
		"top-k":            {Settings{Temperature: 1, TopK: 2}, nil, []float64{0, .4 / .65, 0, 0, .25 / .65}},
		"top-k large":      {Settings{Temperature: 1, TopK: 9}, nil, []float64{0.1, 0.4, 0.05, 0.2, 0.25}},
		"top-k one":        {Settings{Temperature: 1, TopK: 1}, nil, []float64{0, 1, 0, 0, 0}},
		"top-k one, top-p": {Settings{Temperature: 1, TopK: 1, TopP: 0.99}, nil, []float64{0, 1, 0, 0, 0}},
		"top-k all, top-p": {Settings{Temperature: 1, TopK: 5, TopP: 0.6}, nil, []float64{0, .4 / .65, 0, 0, .25 / .65}},
		"top-p":            {Settings{Temperature: 1, TopP: 0.6}, nil, []float64{0, .4 / .65, 0, 0, .25 / .65}},
		"top-p edge":       {Settings{Temperature: 1, TopP: 0.66}, nil, []float64{0, .4 / .85, 0, .2 / .85, .25 / .85}},
		"top-p least":      {Settings{Temperature: 1, TopP: 1e-9}, nil, []float64{0, 1, 0, 0, 0}},
		"min-p":            {Settings{Temperature: 1, MinP: 0.49}, nil, []float64{0, .4 / .85, 0, .2 / .85, .25 / .85}},
		"min-p all":        {Settings{Temperature: 1, MinP: 1}, nil, []float64{0, 1, 0, 0, 0}},
		// The probabilities of top-p are those that top-k left.
		"top-k, then top-p": {Settings{Temperature: 1, TopK: 3, TopP: 0.7}, nil, []float64{0, .4 / .65, 0, 0, .25 / .65}},
		"repetition":        {Settings{Repetition: 10}, []int32{1, 1, 4}, []float64{0, 0, 0, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			require.InDeltaSlice(t, c.want, share(t, c.how, p, c.seen...), 2e-3) // one step of u at either end
		})
	}
}

func TestRepetitionByHand(t *testing.T) {
	id, err := Settings{Repetition: 2}.Choose([]float32{4, 3, -1}, []int32{0, 0, 0}, 0)
	require.NoError(t, err)
	require.Equal(t, int32(1), id, "4 / 2 < 3, halved once")
	id, err = Settings{Repetition: 2}.Choose([]float32{-2, -3, -1}, []int32{2, 0}, 0)
	require.NoError(t, err)
	require.Equal(t, int32(2), id, "-1 * 2 > -3 > -2 * 2")
}

// Filters at the ends of their ranges are off: a token that adds nothing to the sum can be chosen.
func TestFiltersThatAreOff(t *testing.T) {
	for _, how := range []Settings{{Temperature: 1}, {Temperature: 1, TopP: 1}, {Temperature: 1, TopK: 2}, {Temperature: 1, TopK: 2, TopP: 1}, {Temperature: 1, MinP: 0}} {
		id, err := how.Choose([]float32{-60, 0}, nil, 0)
		require.NoError(t, err)
		require.Equal(t, int32(0), id, "%+v", how)
	}
	id, err := Settings{Temperature: 1, TopP: 0.999}.Choose([]float32{-60, 0}, nil, 0)
	require.NoError(t, err)
	require.Equal(t, int32(1), id)
}

func TestChooseBreaksTiesByID(t *testing.T) {
	equal := []float32{5, 7, 7, 7, 1}
	require.Equal(t, []float64{0, 1, 0, 0, 0}, share(t, Settings{}, equal))
	require.InDeltaSlice(t, []float64{0, .5, .5, 0, 0}, share(t, Settings{Temperature: 1, TopK: 2}, equal), 2e-3)
}

func TestChooseOfBadLogits(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, logits := range [][]float32{{1, nan}, {1, inf}, {-inf, -inf}, nil} {
		for _, how := range []Settings{{}, {Temperature: 1, TopK: 1}} {
			_, err := how.Choose(logits, nil, 0.5)
			require.ErrorIs(t, err, ErrNotFinite)
		}
	}
	id, err := Settings{Temperature: 1}.Choose([]float32{-inf, 3, -inf}, nil, 1-1.0/(1<<24))
	require.NoError(t, err)
	require.Equal(t, int32(1), id)
}

// The choice never has probability zero, never leaves what the filters keep, and
// grows with u.
func TestChooseProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logits := rapid.SliceOfN(rapid.Float32Range(-20, 20), 1, 50).Draw(t, "logits")
		how := Settings{
			Temperature: rapid.Float64Range(0.1, 3).Draw(t, "temperature"),
			TopK:        rapid.IntRange(0, 60).Draw(t, "top-k"),
			TopP:        rapid.Float64Range(0, 1).Draw(t, "top-p"),
			MinP:        rapid.Float64Range(0, 1).Draw(t, "min-p"),
		}
		require.NoError(t, how.Validate())
		order := make([]int32, len(logits))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(logits[b], logits[a]) })
		rank := make([]int, len(logits))
		for i, id := range order {
			rank[id] = i
		}
		last := int32(0)
		for _, u := range []float64{0, 0.25, 0.5, 0.75, 1 - 1.0/(1<<24)} {
			id, err := how.Choose(logits, nil, u)
			require.NoError(t, err)
			require.GreaterOrEqual(t, id, last)
			last = id
			if how.TopK > 0 {
				require.Less(t, rank[id], how.TopK)
			}
			ratio := math.Exp(float64(logits[id]-logits[order[0]]) / how.Temperature)
			require.GreaterOrEqual(t, ratio, how.MinP*(1-1e-5)) // the difference rounds in f32
		}
	})
}

func TestValidate(t *testing.T) {
	require.NoError(t, Settings{Temperature: 0.7, TopK: 40, TopP: 0.9, MinP: 0.05, Repetition: 1.1}.Validate())
	for _, how := range []Settings{{Temperature: -1}, {Temperature: 1e-9}, {Temperature: math.NaN()}, {TopK: -1}, {TopP: 1.5}, {MinP: -0.1}, {Repetition: math.Inf(1)}} {
		require.Error(t, how.Validate())
	}
}

// A repetition of one changes nothing, nor does one that is not given; any other, or a
// temperature, is no greedy choice.
func TestGreedySettings(t *testing.T) {
	for _, c := range []struct {
		temperature, repetition float64
		greedy                  bool
	}{{0, 0, true}, {0, 1, true}, {0, 1.1, false}, {0, 2, false}, {0, -1, false}, {0.7, 0, false}, {1, 1, false}} {
		require.Equal(t, c.greedy, Settings{Temperature: c.temperature, Repetition: c.repetition}.Greedy(), "%+v", c)
	}
}

// One number that is above -Inf and no other than such and -Inf: then a token can be chosen.
func TestFiniteLogits(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		logits []float32
		finite bool
	}{{[]float32{0}, true}, {[]float32{-inf, -3, -inf}, true}, {[]float32{-inf, -inf}, false}, {nil, false}, {[]float32{1, nan}, false}, {[]float32{nan, 1}, false},
		{[]float32{1, inf}, false}, {[]float32{-math.MaxFloat32}, true}, {[]float32{math.MaxFloat32, -inf}, true}} {
		err := Finite(c.logits)
		if c.finite {
			require.NoError(t, err, "%v", c.logits)
		} else {
			require.ErrorIs(t, err, ErrNotFinite, "%v", c.logits)
		}
	}
}
