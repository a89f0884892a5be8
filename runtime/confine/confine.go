// Package confine takes away what a process does not need to compute: files, other
// programs and processes, the network. What it holds open it keeps.
//
// Kernels of a plan that came from elsewhere can store through any pointer that they
// compute, so what runs them has to be a process that can do no harm.
package confine

import "errors"

// ErrUnavailable: the system cannot confine a process, or this program knows no way.
var ErrUnavailable = errors.New("this system has no way to take rights from a process")

// What a confined process may still take, beyond what it has when it is confined: of
// address space as much as the machine has memory, and of these. No run of a model takes
// that much.
const (
	processorSeconds = 24 * 3600
	fileBytes        = 1 << 30 // the end of what it writes in each file that it holds open
)
