package metal

import (
	"strconv"
	"strings"

	"foundry/ir/sym"
	"foundry/ir/task"
)

// affine is an index or an offset in the text of a kernel.
type affine = task.Index

func number(n int64) affine       { return task.Number(n) }
func dimension(d sym.Dim) affine  { return task.Dimension(d) }
func variable(name string) affine { return task.Variable(name) }

// group prints a so that it can stand in a product.
func group(a affine) string {
	s := a.String()
	if strings.ContainsAny(s, " ") {
		return "(" + s + ")"
	}
	return s
}

func unsigned(n int64) string {
	if n < 0 {
		return "uint(" + strconv.FormatInt(n, 10) + ")"
	}
	return strconv.FormatInt(n, 10) + "u"
}
