package main

import (
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"foundry/lower/plan"
	"foundry/runtime/msl/gate"

	"github.com/stretchr/testify/require"
)

// One of many changes of plans in this process, and 1,000 with FOUNDRY_COMPLETE. What is
// left to runs is counted: without one, three of four changes are refused at least.
func TestPlanMutants(t *testing.T) {
	t.Parallel()
	bases, err := planBases()
	require.NoError(t, err)
	each := 40
	if os.Getenv("FOUNDRY_COMPLETE") != "" {
		each = 1000
	}
	drawn, refused := 0, 0
	for i, b := range bases {
		for _, m := range drawPlan(b.plan, rand.New(rand.NewPCG(1, uint64(i))), each) {
			undo := m.make()
			stage, _ := b.refuse(m.field)
			undo()
			drawn++
			if stage != "" {
				refused++
			}
		}
		require.NoError(t, b.plan.Check(), "every change was taken back")
	}
	t.Logf("%d of %d refused without a run", refused, drawn)
	require.GreaterOrEqual(t, 100*refused, 75*drawn)
}

// Changes are called equal of two fields only, and of constants the smallest ones.
func TestEqualPlans(t *testing.T) {
	bases, err := planBases()
	require.NoError(t, err)
	sites := planSites(bases[0].plan)
	for field, all := range sites {
		for _, s := range all {
			for _, c := range s.ways(all[:1]) {
				if c.equal != "" {
					require.Contains(t, []string{"Buffer.Offset", "Buffer.Values[]"}, field)
				}
			}
		}
	}
	for _, s := range sites["Buffer.Values[]"] {
		if s.owner.Interface().(plan.Buffer).Name != "rope.inv_freq" {
			require.Empty(t, s.equal(s.value), s.path)
			continue
		}
		near, far := reflect.ValueOf(float32(s.value.Float()+3e-6)), reflect.ValueOf(float32(s.value.Float()+5e-6))
		require.NotEmpty(t, s.equal(near), s.path)
		require.Empty(t, s.equal(far), s.path)
	}
}

// Valid variations of plans, none refused by the checks or the gate.
func TestPlanVariations(t *testing.T) {
	t.Parallel()
	bases, err := planBases()
	require.NoError(t, err)
	n := 60
	if os.Getenv("FOUNDRY_COMPLETE") != "" {
		n = 1000
	}
	rng := rand.New(rand.NewPCG(2, 0))
	for k := range n {
		p := copyPlan(bases[k%len(bases)].plan)
		var names []string
		for _, i := range rng.Perm(len(variations))[:1+rng.IntN(3)] {
			variations[i].vary(p, rng)
			names = append(names, variations[i].name)
		}
		require.NoError(t, p.Check(), "%s", strings.Join(names, ", "))
		if k%10 == 0 {
			require.NoError(t, gate.Check(p.Kernels), "%s", strings.Join(names, ", "))
		}
	}
	t.Logf("%d variations, none refused", n)
}

// Every way of varying a plan changes it.
func TestVariationsVary(t *testing.T) {
	bases, err := planBases()
	require.NoError(t, err)
	for _, v := range variations {
		if v.name == "ends in another order" { // the model has one
			continue
		}
		p := copyPlan(bases[0].plan)
		require.True(t, reflect.DeepEqual(p, bases[0].plan))
		v.vary(p, rand.New(rand.NewPCG(3, 1)))
		require.False(t, reflect.DeepEqual(p, bases[0].plan), v.name)
	}
}

// What is left out of the mutants is there.
func TestFieldsForPeopleExist(t *testing.T) {
	known := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			walk(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				known[typ.Name()+"."+typ.Field(i).Name] = true
				walk(typ.Field(i).Type)
			}
		}
	}
	walk(reflect.TypeFor[plan.Plan]())
	for field, why := range forPeople {
		require.True(t, known[field], field)
		require.NotEmpty(t, why)
	}
	for _, field := range sealed {
		require.True(t, known[field], field)
	}
}
