// Package shaders holds the MSL text that kernels are assembled from.
//
// common/ is what every kernel may include: the step, loads and stores,
// reductions. prologue/ makes a main stage's operand, main/ owns the iteration
// space, epilogue/ works on each element before it is stored. A stage file opens
// with its contract: inputs, outputs, threadgroup bytes, group shape, dtype
// rules. No stage names a buffer index; the compiler hands it pointers.
//
// Read next: main/gemv.metal, then foundry/lower/metal, which assembles them.
package shaders

import (
	"embed"
	"errors"
	"io/fs"
)

// FS holds the stage files by path, such as "main/gemv.metal".
//
//go:embed common prologue main epilogue
var FS embed.FS

// Overlay is FS with files of top in place of its own.
func Overlay(top fs.FS) fs.FS { return overlay{top} }

type overlay struct{ top fs.FS }

func (o overlay) Open(name string) (fs.File, error) {
	f, err := o.top.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return FS.Open(name)
	}
	return f, err
}
