package metal_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sampling"
	"foundry/ir/sym"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime"
)

// sampleRig runs one sample operation on the CPU device.
type sampleRig struct {
	in    *runtime.Instance
	name  string // the entry's, which its buffers' names begin with
	vocab int
}

const sampleSeen = 8

func newSampleRig(t testing.TB, vocab int, checked bool) *sampleRig {
	t.Helper()
	return newSampleRigs(t, []int{vocab}, checked)[0]
}

// newSampleRigs has an entry of one plan for each vocabulary.
func newSampleRigs(t testing.TB, vocabs []int, checked bool) (rigs []*sampleRig) {
	t.Helper()
	var in []metal.Entry
	for _, vocab := range vocabs {
		g := alone(sampleGraph(t, vocab), fmt.Sprint("sample_", vocab))
		in = append(in, metal.Entry{Name: g.Name, Graph: g})
	}
	p, err := metal.Compile(in, metal.Options{
		Target: m3Pro(t), Model: plan.Model{Name: "test", Layers: 1, Context: 1}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
	require.NoError(t, err)
	require.NoError(t, p.Check())
	exec, err := runtime.New(background, openDevice(t, checked), p, weights{}, nil)
	require.NoError(t, err)
	instance, err := exec.NewInstance()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, instance.Close()); require.NoError(t, exec.Close()) })
	for i, vocab := range vocabs {
		rigs = append(rigs, &sampleRig{instance, in[i].Name, vocab})
	}
	return rigs
}

func sampleGraph(t testing.TB, vocab int) *ir.Graph {
	t.Helper()
	return parse(t, "T=1..1, P=0..0, S<=1", fmt.Sprintf(`%%0 = input "x" : f32[1, %d]
		%%1 = input "settings" : f32[5]
		%%2 = input "u" : f32[1]
		%%3 = input "seen" : i32[%d]
		%%4 = sample %%0, %%1, %%2, %%3 : i32[1]
		return y=%%4`, vocab, sampleSeen))
}

func f32Bytes(v ...float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// logits writes a row; choose draws from the row written last.
func (s *sampleRig) logits(t testing.TB, logits []float32) {
	t.Helper()
	require.NoError(t, s.in.Write(s.name+".x", f32Bytes(logits...)))
}

func (s *sampleRig) choose(t testing.TB, how sampling.Settings, seen []int32, u float64) int32 {
	t.Helper()
	id, err := s.try(t, how, seen, u)
	require.NoError(t, err)
	return id
}

func (s *sampleRig) try(t testing.TB, how sampling.Settings, seen []int32, u float64) (int32, error) {
	t.Helper()
	var ids []byte
	for i := range sampleSeen {
		id := int32(-1)
		if i < len(seen) {
			id = seen[i]
		}
		ids = binary.LittleEndian.AppendUint32(ids, uint32(id))
	}
	require.NoError(t, s.in.Write(s.name+".seen", ids))
	require.NoError(t, s.in.Write(s.name+".settings", f32Bytes(float32(how.Temperature), float32(how.TopK), float32(how.TopP), float32(how.MinP), float32(how.Repetition))))
	require.NoError(t, s.in.Write(s.name+".u", f32Bytes(float32(u))))
	if err := s.in.Run(background, s.name, sym.Env{T: 1}); err != nil {
		return 0, err
	}
	out := make([]byte, 4)
	require.NoError(t, s.in.Read(s.name+".y", out))
	return int32(binary.LittleEndian.Uint32(out)), nil
}

// agree checks a draw against the reference. Where they differ, the random number
// must lie within 1e-5 of a boundary of the cumulative distribution: then the
// reference chooses the kernel's token for a number that close.
func (s *sampleRig) agree(t testing.TB, logits []float32, how sampling.Settings, seen []int32, u float64) {
	t.Helper()
	want, err := how.Choose(logits, seen, u)
	require.NoError(t, err)
	have := s.choose(t, how, seen, u)
	if have == want {
		return
	}
	for _, near := range []float64{u - 1e-5, u + 1e-5} {
		if id, err := how.Choose(logits, seen, min(max(near, 0), 1-0x1p-24)); err == nil && id == have {
			return
		}
	}
	require.Equal(t, want, have, "%+v seen %v u %v of %d", how, seen, u, s.vocab)
}

// rows are shapes of distributions that are hard for one filter or another.
var sampleRows = map[string]func(r *rand.Rand, i int) float32{
	"normal": func(r *rand.Rand, _ int) float32 { return float32(3 * r.NormFloat64()) },
	"ties":   func(r *rand.Rand, _ int) float32 { return float32(r.IntN(4)) },
	"equal":  func(*rand.Rand, int) float32 { return -7.25 },
	"peaked": func(_ *rand.Rand, i int) float32 {
		if i%1000 == 37 {
			return 20 - float32(i)/1e4
		}
		return -5
	},
	"masked": func(r *rand.Rand, i int) float32 {
		if i%3 == 0 {
			return float32(math.Inf(-1))
		}
		return float32(r.NormFloat64()) - 10
	},
	"zeros": func(r *rand.Rand, _ int) float32 { return []float32{0, float32(math.Copysign(0, -1)), -1}[r.IntN(3)] },
}

// TestSampleAgrees holds the kernels against the reference over vocabularies at the
// edges of a part and settings of every filter, alone and together.
func TestSampleAgrees(t *testing.T) {
	settings := []sampling.Settings{
		{}, {Repetition: 1.3}, {Temperature: 1}, {Temperature: 0.3, Repetition: 1.2}, {Temperature: 2.5, TopK: 1},
		{Temperature: 1, TopK: 40}, {Temperature: 1, TopP: 0.9}, {Temperature: 0.7, TopK: 20, TopP: 0.8}, {Temperature: 1, MinP: 0.05},
		{Temperature: 1.5, TopK: 1000, TopP: 0.95, MinP: 0.02, Repetition: 1.1}, {Temperature: 5, TopP: 0.5}, {Temperature: 1, TopP: 1e-6},
		{Temperature: 1, TopP: 0.999}, {Temperature: 0.05, TopK: 3},
	}
	vocabs := []int{1, 3, 2048, 4095, 4096, 4097, 131073}
	if testing.Short() {
		vocabs = vocabs[:6]
	}
	if complete {
		vocabs = append(vocabs, 32, 131071, 131072, 152064)
	}
	for _, rig := range newSampleRigs(t, vocabs, false) {
		vocab := rig.vocab
		t.Run(fmt.Sprint(vocab), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(vocab), 1))
			names := []string{"normal", "ties", "equal", "peaked", "masked", "zeros"}
			if vocab > 1<<16 {
				names = []string{"normal", []string{"ties", "equal", "peaked", "masked"}[vocab%4]}
			}
			for _, name := range names {
				logits := make([]float32, vocab)
				for i := range logits {
					logits[i] = sampleRows[name](r, i)
				}
				if name == "masked" {
					logits[vocab/2] = 1
				}
				rig.logits(t, logits)
				for _, how := range settings {
					if vocab > 1<<16 && r.IntN(2) == 0 {
						continue
					}
					seen := []int32{int32(r.IntN(vocab)), int32(r.IntN(vocab)), 0, int32(vocab - 1), -1, int32(vocab)}
					rig.agree(t, logits, how, seen, float64(r.IntN(1<<24))/(1<<24))
				}
			}
		})
	}
}

// Every id that a small row keeps is chosen for a share of the random numbers that
// is its probability, to one step of them.
func TestSampleShares(t *testing.T) {
	rig := newSampleRig(t, 5, true)
	logits := []float32{float32(math.Log(.1)), float32(math.Log(.4)), float32(math.Log(.05)), float32(math.Log(.2)), float32(math.Log(.25))}
	rig.logits(t, logits)
	for _, how := range []sampling.Settings{{Temperature: 1}, {Temperature: 1, TopK: 3}, {Temperature: 1, TopP: .66}, {Temperature: 1, MinP: .3}} {
		for i := range 50 {
			rig.agree(t, logits, how, nil, (float64(i)+.5)/50)
		}
	}
}

// A row that no token can be drawn from is an error.
func TestSampleRefuses(t *testing.T) {
	rig := newSampleRig(t, 40, true)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, bad := range []float32{nan, inf} {
		row := make([]float32, 40)
		row[33] = bad
		rig.logits(t, row)
		_, err := rig.try(t, sampling.Settings{Temperature: 1, TopK: 2, TopP: .5}, nil, .5)
		require.ErrorIs(t, err, sampling.ErrNotFinite)
	}
	rig.logits(t, slices.Repeat([]float32{-inf}, 40))
	_, err := rig.try(t, sampling.Settings{}, nil, .5)
	require.ErrorIs(t, err, sampling.ErrNotFinite)
	rig.logits(t, make([]float32, 40))
	require.Equal(t, int32(0), rig.choose(t, sampling.Settings{}, nil, .5), "the refusal is over")
}

// TestSamplerStandsAlone runs the frontend's graph without a model before it: its
// token is a result like others, and its inputs are the host's to write.
func TestSamplerStandsAlone(t *testing.T) {
	const vocab, context = 5000, 12
	c, err := qwen25.Family.Preset("0.5b")
	require.NoError(t, err)
	c.Vocab = vocab
	g, err := decoder.Sampler(c, context)
	require.NoError(t, err)
	b := newBatch(t, []*ir.Graph{g}, false)
	require.NoError(t, b.plan.Check())
	for _, name := range []string{"ids", "step", "history"} {
		require.True(t, name == "step" || b.plan.BufferFor(plan.BufferRole(name)) < 0, "%s is no model's", name)
	}
	in, err := b.exec.NewInstance()
	require.NoError(t, err)
	defer in.Close()
	r := rand.New(rand.NewPCG(1, 2))
	logits, history := make([]float32, vocab), make([]int32, context+1)
	for i := range logits {
		logits[i] = float32(4 * r.NormFloat64())
	}
	for i := range history {
		history[i] = int32(r.IntN(vocab))
	}
	write := func(name string, v any) {
		data, err := binary.Append(nil, binary.LittleEndian, v)
		require.NoError(t, err)
		require.NoError(t, in.Write(name, data))
	}
	write("logits", logits)
	write("history", history)
	for p := 1; p <= context; p++ {
		how := sampling.Settings{Temperature: 1.5, TopK: 100 * p, TopP: 0.9, MinP: 0.001, Repetition: 1.5, Seed: 9<<32 + uint64(p)}
		write("step.sampling", []float32{float32(how.Temperature), float32(how.TopK), float32(how.TopP), float32(how.MinP), float32(how.Repetition)})
		write("step.random", []uint32{uint32(how.Seed), uint32(how.Seed >> 32), uint32(p)})
		require.NoError(t, in.Run(background, "sample", sym.Env{T: 1, P: int64(p)}))
		out := make([]byte, 4)
		require.NoError(t, in.Read("token", out))
		want, err := how.Choose(logits, history[:p], sampling.Uniform(how.Seed, uint32(p)))
		require.NoError(t, err)
		require.Equal(t, want, int32(binary.LittleEndian.Uint32(out)), "P=%d", p)
	}
}

// A vocabulary beyond what the sums hold has no kernel.
func TestSampleOfTooMany(t *testing.T) {
	g := parse(t, "T=1..1, P=0..0, S<=1", `%0 = input "x" : f32[1, 300000]
		%1 = input "settings" : f32[5]
		%2 = input "u" : f32[1]
		%3 = input "seen" : i32[1]
		%4 = sample %0, %1, %2, %3 : i32[1]
		return y=%4`)
	node := slices.IndexFunc(g.Nodes(), func(n *ir.Node) bool { return n.Op == ir.OpSample })
	require.EqualError(t, metal.NewChoices(m3Pro(t)).Lowerable(g.Nodes()[node]), "sample of 300000 tokens, 262144 are the most")
}
