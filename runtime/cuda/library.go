package cuda

import (
	"fmt"
	"strings"

	"foundry/runtime/child"
	"github.com/ebitengine/purego"
)

// library is one shared library with the functions that we call, looked up once.
type library struct {
	path string
	fn   map[string]uintptr
}

// open loads the first of paths that exists and looks up every name.
func open(what string, paths, names []string) (*library, error) {
	var tried []string
	for _, p := range paths {
		h, err := purego.Dlopen(p, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		if err != nil {
			tried = append(tried, p)
			continue
		}
		l := &library{path: p, fn: make(map[string]uintptr, len(names))}
		for _, n := range names {
			f, err := purego.Dlsym(h, n)
			if err != nil {
				return nil, fmt.Errorf("%s has no function %s; install a newer %s", p, n, what)
			}
			l.fn[n] = f
		}
		return l, nil
	}
	return nil, child.Absent(fmt.Sprintf("no %s found (looked for %s)", what, strings.Join(tried, ", ")))
}
