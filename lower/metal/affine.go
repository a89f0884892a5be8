package metal

import (
	"cmp"
	"slices"

	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
)

// affine is an index or an offset in a kernel, over variables of the kernel.
type affine = task.Index

func number(n int64) affine      { return task.Number(n) }
func dimension(d sym.Dim) affine { return task.Dimension(d) }

// given is what the variables stand for that every kernel has.
var given = [task.Given]*msl.Value{task.PositionX: positionX, task.GroupX: groupX, task.GroupY: groupY, task.GroupZ: groupZ}

// variable is the number of v among what indices are made of.
func (k *kernel) variable(v *msl.Value) task.Variable {
	if i := slices.Index(k.variables, v); i >= 0 {
		return task.Variable(i)
	}
	return k.numbered(v)
}

func (k *kernel) numbered(v *msl.Value) task.Variable {
	k.variables = append(k.variables, v)
	return task.Variable(len(k.variables) - 1)
}

// newVariable is a new variable, which is called base, or base with a number.
func (k *kernel) newVariable(base string) task.Variable {
	return k.numbered(msl.Variable(k.fresh(base)))
}

// index is the value of a: what its variables stand for, and T and P, which the kernel then
// declares.
func (k *kernel) index(a affine) *msl.Value { return k.plus(nil, a) }

// dim is the value of a dim.
func (k *kernel) dim(d sym.Dim) *msl.Value { return k.poly(nil, d.Poly()) }

// plus is v + a, or a where v is nil. What stands in a follows by name, so that texts do not
// depend on the order in which variables were numbered.
func (k *kernel) plus(v *msl.Value, a affine) *msl.Value {
	terms := a.Terms
	if len(terms) > 1 {
		terms = slices.Clone(terms)
		slices.SortStableFunc(terms, func(x, y task.Term) int {
			return cmp.Compare(k.variables[x.Variable].String(), k.variables[y.Variable].String())
		})
	}
	for _, t := range terms {
		x := k.variables[t.Variable]
		switch {
		case !t.Coef.IsConst():
			x = x.Mul(k.poly(nil, t.Coef).Paren())
		case t.Coef.C != 1:
			x = x.Mul(u(t.Coef.C))
		}
		v = sum(v, x)
	}
	if a.Const != (sym.Poly{}) || len(a.Terms) == 0 {
		v = k.poly(v, a.Const)
	}
	return v
}

// poly is v + p, or p where v is nil.
func (k *kernel) poly(v *msl.Value, p sym.Poly) *msl.Value {
	first := true
	put := func(n int64, of ...*msl.Value) {
		if n == 0 {
			return
		}
		x := u(max(n, -n))
		if len(of) > 0 && x.IsNumber(1) {
			x, of = of[0], of[1:]
		}
		for _, o := range of {
			x = x.Mul(o)
		}
		switch {
		case n > 0:
			v = sum(v, x)
		case first:
			v = sum(v, u(0)).Sub(x)
		default:
			v = v.Sub(x)
		}
		first = false
	}
	if p.T != 0 || p.TT != 0 || p.TP != 0 {
		k.stepT = named(k.stepT, "T")
	}
	if p.P != 0 || p.TP != 0 {
		k.stepP = named(k.stepP, "P")
	}
	put(p.TT, k.stepT, k.stepT)
	put(p.TP, k.stepT, k.stepP)
	put(p.T, k.stepT)
	put(p.P, k.stepP)
	put(p.C)
	if v == nil {
		return u(0)
	}
	if first {
		return v.Add(u(0))
	}
	return v
}

func named(v *msl.Value, name string) *msl.Value {
	if v == nil {
		return msl.Variable(name)
	}
	return v
}

func sum(a, b *msl.Value) *msl.Value {
	if a == nil {
		return b
	}
	return a.Add(b)
}

// grouped is v as it stands in a product: in parentheses where it is more than a name.
func grouped(v *msl.Value) *msl.Value {
	if v.IsSimple() {
		return v
	}
	return v.Paren()
}
