// Package confine takes away what a process does not need to compute: files, other
// programs and processes, the network. What it holds open it keeps.
//
// Kernels of a plan that came from elsewhere can store through any pointer that they
// compute, so what runs them has to be a process that can do no harm.
package confine

import "errors"

// ErrUnavailable: the system cannot confine a process, or this program knows no way.
var ErrUnavailable = errors.New("this system has no way to take rights from a process")
