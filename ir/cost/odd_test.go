package cost

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/target"
	"foundry/tests/mutate"
)

// oddMachine is a target with some numbers many times larger or smaller than they are, so that
// limits are met, and terms matter, that no machine of the list has; a small one may have less room
// for a threadgroup, too.
func oddMachine(t *testing.T, name string, seed uint64, small bool) *target.Target {
	t.Helper()
	x, err := target.Find(name)
	require.NoError(t, err)
	odd := *x
	odd.Name = fmt.Sprintf("%s-odd-%d", name, seed)
	r := rand.New(rand.NewPCG(seed, 1))
	vary := func(v reflect.Value) {
		for i := range v.NumField() {
			factor := [...]float64{1. / 16, 1. / 4, 1. / 2, 1, 1, 1, 1, 2, 4, 16}[r.IntN(10)]
			switch f, field := v.Field(i), v.Type().Field(i).Name; {
			case field == "SIMDWidth" || field == "ThreadgroupAlign" || field == "ConstantAlign":
			case !small && (field == "Threads" || field == "ThreadgroupBytes"):
			case f.Kind() == reflect.Float64:
				f.SetFloat(f.Float() * factor)
			case f.Kind() == reflect.Int || f.Kind() == reflect.Int64:
				if f.Int() > 0 {
					f.SetInt(max(1, int64(float64(f.Int())*min(factor, 2))))
				}
			}
		}
	}
	vary(reflect.ValueOf(&odd).Elem())
	vary(reflect.ValueOf(&odd.Limits).Elem())
	return &odd
}

// What the model says of the same graphs, of fewer tokens, on machines that nobody built is kept as
// sums of its tables: who changes the model sees that more changes than the tables of TestTables show.
func TestTablesOfOddMachines(t *testing.T) {
	files, err := filepath.Glob("testdata/graphs/*.fir")
	require.NoError(t, err)
	var b strings.Builder
	for i, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for j, name := range []string{"apple-m3-pro", "apple-m5", "h200", "cpu"} {
			for k, small := range []bool{false, true} {
				x := oddMachine(t, name, uint64(500*k+10*i+j), small)
				few := strings.Replace(string(text), "T=1..512", fmt.Sprintf("T=1..%d", []int{2, 9, 33, 100}[(i+j)%4]), 1)
				var table strings.Builder
				writeTable(t, &table, few, x)
				first, _, _ := strings.Cut(table.String(), "\n")
				fmt.Fprintf(&b, "%s %08x %s\n", filepath.Base(file), crc32.ChecksumIEEE([]byte(table.String())), first)
			}
		}
	}
	require.NoError(t, mutate.Keep("testdata/odd.txt", b.String(), *update))
}
