//go:build !linux

package confine

// Available reports whether Process can confine this one.
func Available() bool { return false }

// Process is ErrUnavailable.
func Process() error { return ErrUnavailable }
