// Package gate decides which kernels' text may reach a compiler. A plan may come
// from a stranger, and compilers do more with a text than compile it: they read
// files that it names, and what they make of it may run when it is loaded.
//
// A kernel's file is split as lower/plan joins it. Its stage files must equal those
// of this program, byte for byte; its head must be what the plan declares. What is
// left is the function's body, the only text that lowering writes, and it must
// follow a grammar (body.go, expr.go): declarations of values, arrays and pointers,
// loops, conditions and expressions over the kernel's arguments, names of its stage
// files and a list of Metal's own (words.go). There is no rule for what is
// forbidden: what the grammar has no place for is refused.
//
// The gate says nothing of what a kernel does when it runs: accepted text can
// store through any pointer that it computes.
//
// Read next: words.go, then body.go.
package gate

import (
	"fmt"
	"io/fs"
	"strings"

	"foundry/lower/plan"
	"foundry/shaders"
)

// Gate knows the stage files. It may be used by one goroutine at a time.
type Gate struct {
	files  fs.FS
	stages map[string]*stage // stages as they are met
}

// New returns the gate of the stage files in this program.
func New() *Gate { return &Gate{files: shaders.FS, stages: map[string]*stage{}} }

// Check refuses the first kernel whose text may not be compiled: the error names
// it, the line and what stands there.
func Check(kernels []plan.Kernel) error {
	g := New()
	for i := range kernels {
		if err := g.Kernel(&kernels[i]); err != nil {
			return err
		}
	}
	return nil
}

// Kernel refuses a kernel whose text may not be compiled.
func (g *Gate) Kernel(k *plan.Kernel) error {
	if err := g.kernel(k); err != nil {
		return fmt.Errorf("kernel %.200q is refused: %w; a plan whose kernels were written by hand, or made with other stage files, runs with --trust-kernels", k.Name, err)
	}
	return nil
}

// Sizes beyond those of any kernel that lowering writes, by a factor of ten or more.
const (
	maxBody     = 256 << 10
	maxLine     = 4 << 10
	maxDepth    = 256     // of blocks, brackets and signs in one another
	maxOperands = 1 << 10 // of operators side by side, which compilers nest
	// maxElements of all values and arrays of a body, a vector's each: what a thread of the CPU's executor has room for.
	maxElements = 16 << 10
)

func (g *Gate) kernel(k *plan.Kernel) error {
	text, err := k.Split(g.files)
	if err != nil {
		return err
	}
	b := &body{line: text.Line, names: map[string]bool{}, points: map[string]string{}, known: map[string]uint64{}, counts: map[string]bool{}}
	seen := map[string]bool{}
	for _, s := range text.Stages {
		if seen[s.Path] {
			return fmt.Errorf("the stage file %s stands twice", s.Path)
		}
		seen[s.Path] = true
		known, ok := g.stages[s.Path]
		if !ok {
			known = declared(s.Text)
			g.stages[s.Path] = known
		}
		b.stages = append(b.stages, known)
	}
	if err := characters(text.About, 1); err != nil {
		return err
	}
	if err := b.head(k); err != nil {
		return err
	}
	if len(text.Body) > maxBody {
		return fmt.Errorf("a body of %d bytes, at most %d", len(text.Body), maxBody)
	}
	if err := characters(text.Body, text.Line); err != nil {
		return err
	}
	return b.check(text.Body)
}

// characters refuses what makes a text another to a compiler than to its reader:
// all but printable ASCII and line ends, and what joins lines or stands for other
// characters.
func characters(text string, line int) error {
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if len(l) > maxLine {
			return fmt.Errorf("line %d has %d bytes, at most %d", line, len(l), maxLine)
		}
		for i := range len(l) {
			if c := l[i]; c < ' ' || c > '~' || c == '\\' {
				return fmt.Errorf("line %d, column %d: the character %q", line, i+1, c)
			}
		}
		if i := strings.Index(l, "??"); i >= 0 {
			return fmt.Errorf("line %d, column %d: ?? may begin a trigraph", line, i+1)
		}
		line++
	}
	return nil
}
