package plan

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir/sym"
)

// axes are the letters of a position's components.
const axes = "xyz"

// looksAt returns which components of a built-in position a kernel's function reads. known
// is false of one that does not name it as lowering does: nothing is known of its text then.
func (k *Kernel) looksAt(b Builtin) (at [len(axes)]bool, known bool) {
	if !slices.Contains(k.Builtins, b) {
		return at, true
	}
	name := b.Argument().Name
	body := k.Source[max(0, strings.LastIndex(k.Source, "kernel void ")):]
	if open := strings.IndexByte(body, '{'); open >= 0 {
		body = body[open:]
	}
	inName := func(c byte) bool {
		return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for {
		i := strings.Index(body, name)
		if i < 0 {
			return at, known
		}
		whole := (i == 0 || !inName(body[i-1]) && body[i-1] != '.') && (i+len(name) == len(body) || !inName(body[i+len(name)]))
		body = body[i+len(name):]
		if !whole {
			continue
		}
		known = true
		if !strings.HasPrefix(body, ".") {
			return [len(axes)]bool{true, true, true}, true
		}
		for _, c := range []byte(body[1:]) {
			if !inName(c) {
				break
			}
			if axis := strings.IndexByte(axes, c); axis >= 0 {
				at[axis] = true
			}
		}
	}
}

// positions is which components of its positions a kernel's function reads, where that is known.
type positions struct {
	thread, group [len(axes)]bool
	known         bool
}

func (k *Kernel) positions() positions {
	thread, known := k.looksAt(ThreadPosition)
	group, alsoKnown := k.looksAt(ThreadgroupPosition)
	return positions{thread, group, known && alsoKnown}
}

// verifyAxes checks that threadgroups of a dispatch, and threads of a kernel that looks at
// their position and at no other number of theirs, differ in what it looks at: two that do
// not would do the same work at once, and what one of them adds to is added to twice. read
// has what was found of kernels before.
func (p *Plan) verifyAxes(d *Dispatch, corners []sym.Env, read map[int]positions) error {
	k := &p.Kernels[d.Kernel]
	r, met := read[d.Kernel]
	if !met {
		r = k.positions()
		read[d.Kernel] = r
	}
	if !r.known {
		return nil
	}
	numbered := !slices.Contains(k.Builtins, ThreadPosition) || slices.ContainsFunc(k.Builtins, func(b Builtin) bool { return b == ThreadIndex || b == SimdgroupIndex || b == LaneIndex })
	for axis, g := range d.Grid {
		if r.thread[axis] {
			continue
		}
		if k.Threads[axis] > 1 && !numbered {
			return fmt.Errorf("kernel %s has %d threads on axis %c, whose position it does not look at", k.Name, k.Threads[axis], axes[axis])
		}
		for _, env := range corners {
			if n := g.Eval(env); n > 1 && !r.group[axis] {
				return fmt.Errorf("%d threadgroups on axis %c at T=%d P=%d, whose position kernel %s does not look at", n, axes[axis], env.T, env.P, k.Name)
			}
		}
	}
	return nil
}
