package metal

import (
	"fmt"

	"foundry/lower/msl"
)

// What follows is for writers that still make text: it goes with the last of them.

// raw is text with values in it.
func raw(format string, args ...any) *msl.Value {
	return msl.Raw(fmt.Sprintf(format, args...), values(args)...)
}

// values are those of args that are values.
func values(args []any) []*msl.Value {
	var out []*msl.Value
	for _, a := range args {
		if v, ok := a.(*msl.Value); ok {
			out = append(out, v)
		}
	}
	return out
}

// text prints an affine.
func (k *kernel) text(a affine) string { return k.index(a).String() }

// line adds lines.
func (k *kernel) line(format string, args ...any) {
	k.texts = true
	k.add(&msl.Text{Line: fmt.Sprintf(format, args...), Reads: values(args)})
}

// open begins a block, "if (x)" or "" for a bare one; close ends it.
func (k *kernel) open(format string, args ...any) {
	s := &msl.Text{Line: fmt.Sprintf(format, args...), Opens: true, Reads: values(args)}
	k.add(s)
	k.around = append(k.around, k.list)
	k.list = &s.Body
}

func (k *kernel) close() {
	last := len(k.around) - 1
	k.list, k.around = k.around[last], k.around[:last]
}
