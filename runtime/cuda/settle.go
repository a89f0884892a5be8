package cuda

import (
	"maps"
	"slices"
	"sync"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/msl"
)

// compilation is a plan's kernels on their way to machine code. A multiprocessor gets
// share[i] threadgroups of kernel i in a run, which the cache knows by keys[i].
type compilation struct {
	d       *Device
	kernels []plan.Kernel
	share   []int
	keys    []string
	store   cache

	mu       sync.Mutex // the lock of what follows
	units    *units
	done     int
	progress fruntime.Progress
}

// built is a unit and what its kernels take of a multiprocessor.
type built struct {
	code []byte
	used map[string]notes
}

// settle compiles members, indices of kernels, with registers free; those that are crowded
// then for each bound in turn, and as the compiler weighs registers where no bound is better.
func (c *compilation) settle(members []int) error {
	free, err := c.build(msl.Free, members)
	if err != nil {
		return err
	}
	members, err = c.keep(free, members, func(i int, used notes) bool { return !crowded(&c.kernels[i], used.registers, c.share[i]) })
	if err != nil || len(members) == 0 {
		return err
	}
	weighed, err := c.build(msl.Weighed, members)
	if err != nil {
		return err
	}
	tried := map[int][]bound{}
	most := 0
	for _, i := range members {
		tried[i] = bounds(&c.kernels[i], c.share[i], weighed.used[c.kernels[i].Name].registers)
		most = max(most, len(tried[i]))
	}
	for turn := range most {
		together := map[int][]int{}
		for _, i := range members {
			if turn < len(tried[i]) {
				n := tried[i][turn].atOnce
				together[n] = append(together[n], i)
			}
		}
		for _, n := range slices.Sorted(maps.Keys(together)) {
			b, err := c.build(msl.Registers(n), together[n])
			if err != nil {
				return err
			}
			others, err := c.keep(b, together[n], func(i int, used notes) bool {
				return betters(used, free.used[c.kernels[i].Name], tried[i][turn])
			})
			if err != nil {
				return err
			}
			members = slices.DeleteFunc(members, func(i int) bool { return slices.Contains(together[n], i) && !slices.Contains(others, i) })
		}
	}
	_, err = c.keep(weighed, members, func(int, notes) bool { return true })
	return err
}

// build compiles members together.
func (c *compilation) build(registers msl.Registers, members []int) (b built, err error) {
	var some []*plan.Kernel
	for _, i := range members {
		some = append(some, &c.kernels[i])
	}
	if b.code, err = c.d.unit(registers, some); err == nil {
		b.used, err = notesOf(b.code)
	}
	return b, err
}

// keep takes b for those members that it suits, and returns the others.
func (c *compilation) keep(b built, members []int, suits func(i int, used notes) bool) (others []int, err error) {
	var kept []int
	var theirs []string
	for _, i := range members {
		if suits(i, b.used[c.kernels[i].Name]) {
			kept, theirs = append(kept, i), append(theirs, c.keys[i])
		} else {
			others = append(others, i)
		}
	}
	if len(kept) == 0 {
		return others, nil
	}
	if err := c.store.keep(b.code, theirs); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	name := hashOf(b.code)
	c.units.code[name] = b.code
	for _, i := range kept {
		c.units.of[i] = name
	}
	if c.done += len(kept); c.progress != nil {
		c.progress("compile kernels", int64(c.done), int64(len(c.kernels)))
	}
	return others, nil
}
