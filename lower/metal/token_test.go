package metal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/lower/metal"
	"foundry/lower/plan"
)

const chooses = `%i = input "ids" : i32[1]
	%e = weight "e" : f16[9, 32]
	%f = input "f" : f32[16]
	%x = embedding %i, %e
	%l = matmul_nt %x, %e
	%t = argmax %l
	`

// compileToken compiles entries of these texts.
func compileToken(t *testing.T, texts ...string) (*plan.Plan, error) {
	t.Helper()
	var in []metal.Entry
	for i, text := range texts {
		in = append(in, metal.Entry{Name: string(rune('a' + i)), Graph: parse(t, "T=1..1, P=0..7, S<=8", text)})
	}
	return metal.Compile(in, metal.Options{Target: m3Pro(t), Model: plan.Model{Context: 8}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
}

// What makes the result token moves the step on: it is the choice of one row, and what needs it
// as well as T, P or the ids of the run cannot stand anywhere.
func TestWhatMakesTheToken(t *testing.T) {
	for text, want := range map[string]string{
		chooses + "return token=%t":                              "",
		chooses + "%n = embedding %t, %e\nreturn token=%t, y=%n": "",
		chooses + "%n = embedding %t, %e\n%h = kv_rearrange %n {heads=1}\n%r = rope %h, %f {start=P}\nreturn token=%t, y=%r":   "entry a: rope: it needs the result token and what that moves on: T, P or the ids of the run; return the token under another name",
		chooses + "%n = embedding %t, %e\n%h = kv_rearrange %n {heads=1}\n%r = rope %h, %f {start=P}\nreturn another=%t, y=%r": "",
		chooses + "%n = concat %t, %i {axis=0}\nreturn token=%t, y=%n":                                                         "it needs the result token and what that moves on",
		"%i = input \"ids\" : i32[1]\n%j = input \"j\" : i32[1]\n%t = concat %i, %j {axis=0}\nreturn token=%t":                 "entry a: node 1, concat: the result token is made by concat, wants argmax or sample",
		"%i = input \"ids\" : i32[1]\n%x = input \"x\" : f32[2, 9]\n%t = argmax %x\nreturn token=%t":                           "entry a: node 1, argmax: the token of 2 rows is ambiguous",
		"%i = input \"jds\" : i32[1]\n%x = input \"x\" : f32[2, 9]\n%t = argmax %x\nreturn token=%t":                           "",
	} {
		p, err := compileToken(t, text)
		if want == "" {
			require.NoError(t, err, text)
			require.NoError(t, p.Check(), text)
			continue
		}
		require.ErrorContains(t, err, want, text)
	}
}

// A weight comes from the checkpoint as it lies there where it has the plan's dtype, or one that
// nobody but its maker can make; otherwise it is made.
func TestWhereWeightsComeFrom(t *testing.T) {
	text := "%x = input \"x\" : f32[1, 256]\n"
	for _, w := range []string{"f16", "f32", "q8_0", "q2_k"} {
		text += fmt.Sprintf("%%%[1]s = weight \"%[1]s\" : %[1]s[32, 256]\n", w)
	}
	text += "%a = matmul_nt %x, %f16\n%b = matmul_nt %x, %f32\n%c = matmul_nt %x, %q8_0\n%d = matmul_nt %x, %q2_k\nreturn a=%a, b=%b, c=%c, d=%d"
	for _, c := range []struct {
		stored func(string) dtype.Type
		want   map[string]string
	}{
		{nil, map[string]string{"f16": "convert", "f32": "convert", "q8_0": "quantise", "q2_k": "as_stored"}},
		{func(string) dtype.Type { return dtype.F16 }, map[string]string{"f16": "as_stored", "f32": "convert", "q8_0": "quantise", "q2_k": "as_stored"}},
		{func(string) dtype.Type { return dtype.Q8_0 }, map[string]string{"f16": "convert", "f32": "convert", "q8_0": "as_stored", "q2_k": "as_stored"}},
		{func(name string) dtype.Type {
			return map[string]dtype.Type{"f16": dtype.F16, "f32": dtype.F32, "q8_0": dtype.Q8_0}[name]
		}, map[string]string{"f16": "as_stored", "f32": "as_stored", "q8_0": "as_stored", "q2_k": "as_stored"}},
	} {
		p, err := metal.Compile([]metal.Entry{{Name: "a", Graph: parse(t, "T=1..1, P=0..7, S<=8", text)}},
			metal.Options{Target: m3Pro(t), Stored: c.stored, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
		require.NoError(t, err)
		have := map[string]string{}
		for _, b := range p.Buffers {
			if b.Weight != nil {
				have[b.Name] = b.Weight.Kind
			}
		}
		require.Equal(t, c.want, have)
	}
}
