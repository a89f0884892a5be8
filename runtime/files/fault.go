package files

import (
	"fmt"
	"runtime/debug"
)

// Fault is a read of mapped memory that failed, as behind the end of a file that was
// cut after it was mapped.
type Fault struct{ Address uintptr }

func (f *Fault) Error() string {
	return fmt.Sprintf("a mapped file cannot be read at address %#x: it was cut, or its disk fails", f.Address)
}

// Guard runs f, which reads mapped files, and returns its error or, where a read
// failed, a *Fault. It holds for the calling goroutine: one that f starts has a guard
// of its own, and Raise hands its fault on.
func Guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Fault:
			err = r
		case interface{ Addr() uintptr }: // what the runtime panics with
			err = &Fault{r.Addr()}
		default:
			panic(r)
		}
	}()
	return f()
}

// Raise panics with the first of the faults that guards of other goroutines returned,
// nil for none; the guard of this one recovers it.
func Raise(faults ...error) {
	for _, err := range faults {
		if err != nil {
			panic(err)
		}
	}
}
