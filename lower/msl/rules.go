package msl

// rule makes something simpler of a value whose operands are folded, nil where it does not
// apply.
type rule func(v *Value) *Value

// some is any operand, where a rule wants a number or no special one.
const some = -1

// rules are tried in turn on values that are operators. Numbers are unsigned, so what is
// multiplied by one or added to one is an unsigned number, too, or a pointer.
var rules = []rule{
	// 2 + 3
	func(v *Value) *Value {
		if v.of[0].op != opNumber || v.of[1].op != opNumber {
			return nil
		}
		n, ok := compute(v.operator, v.of[0].n, v.of[1].n)
		return U(n).when(ok)
	},
	// x * 1, x / 1, x + 0, x - 0
	func(v *Value) *Value {
		return v.of[0].when(v.is(product, some, 1) || v.is(quotient, some, 1) || v.is(plus, some, 0) || v.is(minus, some, 0))
	},
	// 1 * x, 0 + x
	func(v *Value) *Value { return v.of[1].when(v.is(product, 1, some) || v.is(plus, 0, some)) },
	// x * 0, 0 * x, 0 / x, 0 % x, x % 1
	func(v *Value) *Value {
		none := v.is(product, some, 0) || v.is(product, 0, some) || v.is(quotient, 0, some) || v.is(remainder, 0, some) || v.is(remainder, some, 1)
		return U(0).when(none && v.pure())
	},
}

// fold is v, simpler by the rules. Parentheses come from how strongly operators bind, and
// the lesser of two that are the same is the one.
func (v *Value) fold() *Value {
	if v == nil {
		return nil
	}
	v = v.rebuilt((*Value).fold)
	switch v.op {
	case opParen:
		return v.of[0]
	case opCall:
		if len(v.of) == 3 && v.of[0].text == "min" && v.of[0].op == opName && v.of[1].Same(v.of[2]) && v.of[1].pure() {
			return v.of[1]
		}
	case opBinary:
		if v.of[0].op != opNumber && v.of[1].op != opNumber {
			return v
		}
		for _, r := range rules {
			if n := r(v); n != nil {
				return n
			}
		}
	}
	return v
}

func (v *Value) when(ok bool) *Value {
	if ok {
		return v
	}
	return nil
}

// is reports whether v is that operator of these numbers, of which some is any value.
func (v *Value) is(o operator, a, b int64) bool {
	has := func(o *Value, n int64) bool { return n == some || o.IsNumber(n) }
	return v.operator == o && has(v.of[0], a) && has(v.of[1], b)
}

// compute is a o b, where that is an unsigned number of 32 bits that no wrapping
// makes.
func compute(o operator, a, b int64) (n int64, ok bool) {
	const most = 1<<32 - 1
	if a < 0 || b < 0 || a > most || b > most {
		return 0, false
	}
	switch {
	case o == plus:
		n = a + b
	case o == product && (a == 0 || b <= most/a):
		n = a * b
	case o == minus && a >= b:
		n = a - b
	case o == quotient && b > 0:
		n = a / b
	case o == remainder && b > 0:
		n = a % b
	default:
		return 0, false
	}
	return n, n <= most
}

// Same reports whether a and b are the same expression of the same variables.
func (v *Value) Same(o *Value) bool {
	if v == o {
		return true
	}
	if v.op == opVariable || v.op != o.op || v.operator != o.operator || v.text != o.text || v.n != o.n || len(v.of) != len(o.of) {
		return false
	}
	for i := range v.of {
		if !v.of[i].Same(o.of[i]) {
			return false
		}
	}
	return true
}

// pureCalls change nothing but what they return.
var pureCalls = map[string]bool{"min": true, "max": true, "load1": true, "load4": true, "float": true, "float4": true, "uint": true, "ulong": true, "int": true}

// pure reports whether nothing but v's value is lost where v is not computed.
func (v *Value) pure() bool {
	if v == nil {
		return true
	}
	if v.op == opCall && !(v.of[0].op == opName && pureCalls[v.of[0].text]) {
		return false
	}
	for _, o := range v.of {
		if !o.pure() {
			return false
		}
	}
	return true
}
