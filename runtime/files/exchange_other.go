//go:build !linux && !darwin

package files

import "errors"

func exchange(a, b string) error { return errors.ErrUnsupported }
