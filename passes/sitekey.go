package passes

import (
	"hash/maphash"
	"slices"
)

// siteKey tells sites apart about which answers may differ. Equal layers have
// equal sites.
type siteKey struct {
	form   *form
	kernel string
	sum    uint64
}

// rivalKey tells apart what sites are weighed against: the passes to come as well.
type rivalKey struct {
	siteKey
	rest   string
	logged bool // for people to compare
}

// rivalKey returns the key of what s is weighed against.
func (r *run) rivalKey(s *site) rivalKey {
	if r.restText == "" {
		r.restText = r.rest.String()
	}
	return rivalKey{r.keyOf(s, 2*r.reach), r.restText, r.Log != nil}
}

// forecastKey tells forecasts apart.
type forecastKey struct{ stretch, calls string }

// keyOf returns the key of s with margin operations around it.
func (r *run) keyOf(s *site, margin int) siteKey {
	f := r.view()
	lo, hi := s.extent()
	lo, hi = max(0, lo-margin), min(len(f.ops)-1, hi+margin)
	h := uint64(lo-hi) ^ 0x9e3779b97f4a7c15
	for i := lo; i <= hi; i++ {
		o := f.ops[i]
		h = mixHash(h, r.opSum(o))
		for _, a := range o.args {
			h = mixHash(h, uint64(a.originKey(i, lo, hi)))
		}
		h = mixHash(h, usedOutside(o.out, lo, hi))
		if slices.Contains(s.members, o) {
			h = mixHash(h, 1)
		}
		if group := f.in[o.top]; group != nil {
			h = mixHash(h, uint64(group[0].index-lo))
			h = mixHash(h, maphash.String(r.memo.seed, o.top.Attr.Pattern+" "+o.top.Attr.Kernel))
			for _, g := range group {
				h = mixHash(h, r.opSum(g))
			}
		}
	}
	return siteKey{s.form, s.kernel, h}
}

// originKey is a number for v that is the same in equal layers: how far before its
// user it is made, or which operation between lo and hi takes it first and what
// kind of param it is.
func (v *flatValue) originKey(user, lo, hi int) int {
	if v.def != nil {
		return user - v.def.index
	}
	first, _ := slices.BinarySearchFunc(v.users, lo, func(o *op, at int) int { return o.index - at })
	return -1 - int(v.param.Kind) - 16*(v.users[first].index-lo)
}

// usedOutside says whether operations beyond lo and hi take v.
func usedOutside(v *flatValue, lo, hi int) uint64 {
	switch {
	case v.returned:
		return 2
	case len(v.users) > 0 && (v.users[0].index < lo || v.users[len(v.users)-1].index > hi):
		return 1
	}
	return 0
}

// opSum is a number that operations share when they compute the same function of
// operands of the same types.
func (r *run) opSum(o *op) uint64 {
	if o.sum == 0 {
		h := maphash.Comparable(r.memo.seed, o.node.Attr)
		h = mixHash(h, uint64(o.node.Op))
		for _, a := range o.args {
			h = mixHash(h, maphash.Comparable(r.memo.seed, a.typ))
		}
		o.sum = max(1, h)
	}
	return o.sum
}

func mixHash(h, x uint64) uint64 {
	h = (h ^ x) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}
