package bench

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/model"
	"foundry/ir/sym"
	"foundry/lower/compile"
	"foundry/lower/plan"
)

// What a benchmark runs is the prompt in chunks, or one step behind it, as far as the context
// has room; more is refused.
func TestRunsOfAPhase(t *testing.T) {
	p := &plan.Plan{Model: plan.Model{Context: 100, Chunk: 32}}
	for _, c := range []struct {
		o    Options
		want []sym.Env
		err  string
	}{
		{Options{Phase: "decode", Tokens: 10, Prompt: 90}, []sym.Env{{T: 1, P: 90}}, ""},
		{Options{Phase: "decode", Tokens: 10, Prompt: 0}, []sym.Env{{T: 1}}, ""},
		{Options{Phase: "decode", Tokens: 10, Prompt: 91}, nil, "10 decode steps behind 91 tokens do not fit the context of 100"},
		{Options{Phase: "decode", Tokens: 10, Prompt: -1}, nil, "10 decode steps behind -1 tokens do not fit the context of 100"},
		{Options{Phase: "prefill", Prompt: 1}, []sym.Env{{T: 1}}, ""},
		{Options{Phase: "prefill", Prompt: 32}, []sym.Env{{T: 32}}, ""},
		{Options{Phase: "prefill", Prompt: 33}, []sym.Env{{T: 32}, {T: 1, P: 32}}, ""},
		{Options{Phase: "prefill", Prompt: 100}, []sym.Env{{T: 32}, {T: 32, P: 32}, {T: 32, P: 64}, {T: 4, P: 96}}, ""},
		{Options{Phase: "prefill", Prompt: 101}, nil, "a prompt of 101 tokens does not fit the context of 100"},
		{Options{Phase: "prefill", Prompt: 0}, nil, "a prompt of 0 tokens does not fit the context of 100"},
		{Options{Phase: "prefill", Prompt: 20, Compile: compile.Options{Chunk: 8}}, []sym.Env{{T: 8}, {T: 8, P: 8}, {T: 4, P: 16}}, ""},
		{Options{Phase: "prefill", Prompt: 64, Compile: compile.Options{Chunk: 32}}, []sym.Env{{T: 32}, {T: 32, P: 32}}, ""},
		{Options{Phase: "prefill", Prompt: 20, Compile: compile.Options{Chunk: 33}}, nil, "the plan runs at most 32 tokens at a time, not 33; compile it with --chunk 33"},
	} {
		have, err := c.o.runs(p)
		if c.err != "" {
			require.EqualError(t, err, c.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, have)
	}
}

// What is no benchmark is refused before anything is compiled.
func TestChecksOfOptions(t *testing.T) {
	m := &model.Model{}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Phase: "decode"}, ""}, {Options{Phase: "decode", Tokens: 2}, ""}, {Options{Phase: "prefill", Tokens: 1}, ""}, {Options{Phase: "prefill"}, ""},
		{Options{Phase: "encode"}, `there is no phase "encode", want decode or prefill`},
		{Options{Phase: "decode", Tokens: -1}, "-1 tokens a measurement of decode, want 1, or more of decode"},
		{Options{Phase: "prefill", Tokens: 2}, "2 tokens a measurement of prefill, want 1, or more of decode"},
	} {
		if err := c.o.Check(m); c.want == "" {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, c.want)
		}
	}
}

// Of draws those are cut off that lie in the outer fortieths.
func TestEndsOfAnInterval(t *testing.T) {
	drawn := make([]float64, 1000)
	for i := range drawn {
		drawn[i] = float64((i*7 + 3) % 1000)
	}
	require.Equal(t, Interval{500, 25, 974}, interval(500, drawn))
	require.True(t, Interval{Low: 1, High: 2}.Sure())
	require.True(t, Interval{Low: -2, High: -1}.Sure())
	for _, i := range []Interval{{Low: 0, High: 1}, {Low: -1, High: 0}, {Low: -1, High: 1}} {
		require.False(t, i.Sure())
	}
	require.InDelta(t, 0.5, Interval{Mid: 2, Low: 1, High: 2.5}.halfWidth(), 0)
	require.InDelta(t, 0.25, Interval{Mid: 2, Low: 1.9, High: 2.5}.halfWidth(), 0)
}

// What is timed by kernels is the entry that the last run takes: of decode that for so many
// positions, of prefill always its own, were it one token.
func TestEntryThatRuns(t *testing.T) {
	p := &plan.Plan{Entries: []plan.Entry{{Name: "prefill", Role: plan.Prefill}, {Name: "decode", Role: plan.Decode}, {Name: "decode_8", Role: plan.Decode, PMax: 7}}}
	for _, c := range []struct {
		phase  string
		tokens int
		envs   []sym.Env
		want   string
	}{
		{"decode", 0, []sym.Env{{T: 1, P: 7}}, "decode_8"}, {"decode", 1, []sym.Env{{T: 1, P: 7}}, "decode_8"}, {"decode", 1, []sym.Env{{T: 1, P: 8}}, "decode"},
		{"decode", 2, []sym.Env{{T: 1, P: 6}}, "decode_8"}, {"decode", 2, []sym.Env{{T: 1, P: 7}}, "decode"}, {"prefill", 1, []sym.Env{{T: 8}, {T: 1, P: 8}}, "prefill"}, {"prefill", 1, []sym.Env{{T: 1}}, "prefill"},
	} {
		e, err := (&Options{Phase: c.phase, Tokens: c.tokens}).entryOf(p, c.envs)
		require.NoError(t, err)
		require.Equal(t, c.want, e.Name, "%+v", c)
	}
}
