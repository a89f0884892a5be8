// Package covering turns many sets of names into few: what a test on a slow device runs
// instead of all. It is for tests alone.
package covering

// Pairs picks sets so that every two names that some set has together, and every name
// that some set has without another, are met. names are those of a set; the largest gain
// is taken first, the earlier set of equals.
func Pairs[S any](sets []S, names func(S) []string) []S {
	index := map[string]int{}
	for _, s := range sets {
		for _, n := range names(s) {
			if _, known := index[n]; !known {
				index[n] = len(index)
			}
		}
	}
	taken := make([][]int, len(sets)) // by set and name, 0 or 1
	missing := make([][4]bool, len(index)*len(index))
	each := func(s []int, visit func(missing *bool)) {
		for i := range len(index) {
			for j := range i {
				visit(&missing[i*len(index)+j][2*s[i]+s[j]])
			}
		}
	}
	left := 0
	for i, s := range sets {
		taken[i] = make([]int, len(index))
		for _, n := range names(s) {
			taken[i][index[n]] = 1
		}
		each(taken[i], func(m *bool) {
			if !*m {
				*m, left = true, left+1
			}
		})
	}
	most := make([]int, len(sets)) // that a set can add: what it added when it was last looked at
	for i := range most {
		most[i] = left
	}
	var out []S
	for left > 0 {
		best := -1
		for i := range sets {
			if best >= 0 && most[i] <= most[best] {
				continue
			}
			n := 0
			each(taken[i], func(m *bool) {
				if *m {
					n++
				}
			})
			most[i] = n
			if best < 0 || n > most[best] {
				best = i
			}
		}
		each(taken[best], func(m *bool) { *m = false })
		left -= most[best]
		out = append(out, sets[best])
	}
	return out
}
