package metal_test

import (
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
		"%i = input \"ids\" : i32[1]\n%j = input \"j\" : i32[1]\n%t = concat %i, %j {axis=0}\nreturn token=%t":                 "the result token is made by",
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
