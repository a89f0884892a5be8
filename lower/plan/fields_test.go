package plan

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

var update = flag.Bool("update", false, "rewrite what Check says of changed fields, in testdata")

// eachChange changes one thing of v at a time, in every way that its kind has, and calls
// see with the place, without indices, and the change; then v is what it was.
func eachChange(v reflect.Value, place string, see func(place, change string)) {
	put := func(change string, to reflect.Value) {
		was := reflect.New(v.Type()).Elem()
		was.Set(v)
		v.Set(to)
		see(place, change)
		v.Set(was)
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				eachChange(v.Field(i), place+"."+v.Type().Field(i).Name, see)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			eachChange(v.Elem(), place, see)
			put("left out", reflect.Zero(v.Type()))
		}
	case reflect.Array, reflect.Slice:
		for i := range v.Len() {
			eachChange(v.Index(i), place+"[]", see)
		}
		if v.Kind() == reflect.Array {
			return
		}
		for i := range v.Len() {
			put("one less", reflect.AppendSlice(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v.Slice(0, i)), v.Slice(i+1, v.Len())))
			put("one twice", reflect.AppendSlice(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v.Slice(0, i+1)), v.Slice(i, v.Len())))
			if i > 0 {
				turned := reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v)
				reflect.Swapper(turned.Interface())(i-1, i)
				put("two turned", turned)
			}
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		for _, by := range []int64{1, -1, 1 << 20} {
			put(fmt.Sprintf("%+d", by), reflect.ValueOf(v.Int()+by).Convert(v.Type()))
		}
	case reflect.Uint8:
		for _, by := range []uint64{1, ^uint64(0)} {
			put(fmt.Sprintf("%+d", int64(by)), reflect.ValueOf(v.Uint()+by).Convert(v.Type()))
		}
	case reflect.String:
		put("empty", reflect.Zero(v.Type()))
		put("and more", reflect.ValueOf(v.String()+"\x01").Convert(v.Type()))
	case reflect.Bool:
		put("the other", reflect.ValueOf(!v.Bool()))
	}
}

// changeable are plans that have all there is between them.
func changeable(t *testing.T) map[string]*Plan {
	short := sample(t)
	e := short.Entries[1]
	e.Name, e.PMax, e.Chain = "decode_8", 7, 4
	short.Entries = append(short.Entries, e)
	for i, s := range short.Entries[2].Steps { // what it shares with the other entry it changes there
		if s.Dispatch != nil {
			d := *s.Dispatch
			d.Bind = slices.Clone(d.Bind)
			short.Entries[2].Steps[i].Dispatch = &d
		}
	}
	short.Entries[2].Steps = slices.Clone(short.Entries[2].Steps)
	quantised := sample(t)
	quantised.Buffers[2] = Buffer{Name: "embed", Class: Weight, Bytes: 32 * 64 / 32 * 34, DType: dtype.Q8_0, Shape: []sym.Dim{sym.Const(32), sym.Const(64)},
		Weight: &WeightRecipe{"model.embed_tokens.weight", "quantise"}}
	quantised.Kernels[0].Slots[2].Type = "uchar"
	for i := range quantised.Entries {
		quantised.Entries[i].Steps[0].Dispatch.Bind[2].Bytes = 32 * 64 / 32 * 34
	}
	return map[string]*Plan{"a plan": sample(t), "a prepared one": prepared(t), "one with an entry for short contexts": short, "a quantised one": quantised}
}

// Check accepts or refuses each change of a field for the reason that was read here: what
// a driver would notice is refused at its place, and what only people read is accepted.
func TestChangedFields(t *testing.T) {
	var got strings.Builder
	plans := changeable(t)
	seen := map[string]bool{}
	for _, name := range []string{"a plan", "a prepared one", "one with an entry for short contexts", "a quantised one"} {
		p := plans[name]
		require.NoError(t, p.Check(), name)
		fmt.Fprintf(&got, "%s:\n", name)
		eachChange(reflect.ValueOf(p).Elem(), "", func(place, change string) {
			said := "accepted"
			if err := p.Check(); err != nil {
				said = err.Error()
			}
			line := fmt.Sprintf("%s, %s: %s", strings.TrimPrefix(place, "."), change, said)
			if !seen[line] {
				seen[line] = true
				fmt.Fprintln(&got, line)
			}
		})
		require.NoError(t, p.Check(), "it is what it was")
	}
	const file = "testdata/fields.txt"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}
