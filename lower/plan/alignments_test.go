package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
)

// Each scalar of Metal reads what has its size and its kind of number, and nothing else.
func TestScalarsReadTheirOwn(t *testing.T) {
	reads := map[string]dtype.Type{"float": dtype.F32, "half": dtype.F16, "short": dtype.BF16, "ushort": dtype.BF16, "int": dtype.I32, "uint": dtype.I32, "char": dtype.Q4_0, "uchar": dtype.Q4_0}
	require.Len(t, elements, len(reads))
	for name, own := range reads {
		for _, of := range []string{name, name + "4", "packed_" + name + "2", "atomic_" + name} {
			for _, d := range []dtype.Type{dtype.F32, dtype.F16, dtype.BF16, dtype.I32, dtype.Q4_0} {
				err := (&Buffer{Name: "b", DType: d}).holds(of)
				if d == own {
					require.NoError(t, err, of)
				} else {
					require.EqualError(t, err, fmt.Sprintf("elements of type %s, buffer b holds %s", of, d))
				}
				require.NoError(t, (&Buffer{DType: d, Role: StepBuffer}).holds(of))
			}
		}
	}
	require.NoError(t, (&Buffer{DType: dtype.F32}).holds("Own"))
}

// The pipeline of prefill is its own where there is one, of other entries it never is.
func TestPassesOfEntries(t *testing.T) {
	for _, c := range []struct {
		o       Options
		prefill string
	}{{Options{Passes: "a"}, "a"}, {Options{Passes: "a", PrefillPasses: "b"}, "b"}} {
		require.Equal(t, c.prefill, c.o.PassesOf(Prefill))
		require.Equal(t, "a", c.o.PassesOf(Decode))
	}
}

// A vector of Metal's lies at a multiple of its size, a packed one at one of its element's
// (Metal Shading Language Specification, 2.2).
func TestAlignmentsAreMetals(t *testing.T) {
	elements := map[string]int64{"char": 1, "uchar": 1, "half": 2, "short": 2, "ushort": 2, "float": 4, "int": 4, "uint": 4, "Step": 4}
	lanes := map[byte]int64{'2': 2, '4': 4}
	for name, have := range alignments {
		base, packed := strings.CutPrefix(strings.TrimPrefix(name, "atomic_"), "packed_")
		n := lanes[base[len(base)-1]]
		element := elements[strings.TrimRight(base, "24")]
		require.NotZero(t, element, name)
		if want := element * max(n, 1); packed {
			require.Equal(t, element, have, name)
		} else {
			require.Equal(t, want, have, name)
		}
	}
}
