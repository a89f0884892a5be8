package child

import (
	"fmt"
	"os/exec"
	"strings"
)

// ErrAbsent is what errors wrap that say that a program, a library or a device is not
// on this machine. Of what is there and fails it says nothing.
var ErrAbsent error = absent("not on this machine")

// Absent returns an error with the text that wraps ErrAbsent.
func Absent(text string) error { return absent(text) }

type absent string

func (a absent) Error() string { return string(a) }

func (a absent) Is(target error) bool { return target == ErrAbsent }

// Find returns the path of the first of the programs that is on the PATH. The error
// wraps ErrAbsent.
func Find(names ...string) (string, error) {
	for _, n := range names {
		if path, err := exec.LookPath(n); err == nil {
			return path, nil
		}
	}
	return "", absent(fmt.Sprintf("not found: %s", strings.Join(names, ", ")))
}
