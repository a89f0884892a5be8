package plan

import (
	"fmt"
	"io/fs"
	"strings"
)

// Text is a kernel's file in its parts: a banner, the stage files that the kernel
// is assembled from, each as it stands in its file, and the function, whose head
// says what the Kernel says and whose body is all that was written for this kernel.
type Text struct {
	About  string // the banner's line on what the kernel does
	Stages []Stage
	Body   string // the lines between the braces of the function
	Line   int    // the line of the file in which Body begins
}

// Stage is a stage file within a kernel's text.
type Stage struct {
	Path string // below shaders/, such as "main/gemv.metal"
	Text string // whole lines
}

// preamble stands in every kernel, behind the headers. A product and a sum are rounded each, wherever
// fma is not written: the compile options that turn fast mathematics off do not say so
// to Apple's compiler.
const preamble = `using namespace metal;
#pragma METAL fp contract(off)
`

// Units is the name that a kernel's text has for how many simdgroups use matrix units
// together.
const Units = "SIMDGROUPS"

// preambleOf is what stands before the stage files of k: where it uses matrix units,
// the headers that have them, and their simdgroups as the plan has them.
func preambleOf(k *Kernel) string {
	if k.Matrices == 0 {
		return "#include <metal_stdlib>\n" + preamble
	}
	return "#include <metal_stdlib>\n#include <metal_tensor>\n#include <MetalPerformancePrimitives/MetalPerformancePrimitives.h>\n" +
		preamble + fmt.Sprintf("constant constexpr uint %s = %du;\n", Units, k.Matrices)
}

// Key tells kernels with other texts apart, whatever their names: k's stages are known by
// their paths.
func (t *Text) Key(k *Kernel) string {
	nameless := *k
	nameless.Name = ""
	return t.About + "\n" + preambleOf(k) + strings.Join(k.Stages, "\n") + functionHead(&nameless, 0) + t.Body
}

// Declares reports whether a stage has a function of that name.
func (t *Text) Declares(name string) bool {
	for _, s := range t.Stages {
		if strings.Contains(s.Text, " "+name+"(") {
			return true
		}
	}
	return false
}

// Join returns the whole file of the kernel k, whose Source is not looked at.
func (t *Text) Join(k *Kernel) string {
	var b strings.Builder
	size := len(t.Body) + 4<<10 // the head is short
	for _, s := range t.Stages {
		size += len(s.Text)
	}
	b.Grow(size)
	fmt.Fprintf(&b, "// %s: %s\n%s", k.Name, t.About, preambleOf(k))
	for _, s := range t.Stages {
		b.WriteString(stageHead(s.Path) + s.Text)
	}
	lines := strings.Count(b.String(), "\n")
	b.WriteString(functionHead(k, lines) + t.Body + functionEnd)
	return b.String()
}

// Split cuts k's Source into its parts, which Join puts together again. k and the stage
// files say what each part but About and Body is; the error says which is another.
func (k *Kernel) Split(stages fs.FS) (*Text, error) {
	var t Text
	rest, lines := k.Source, 0
	take := func(part string) bool {
		after, ok := strings.CutPrefix(rest, part)
		if ok {
			rest, lines = after, lines+strings.Count(part, "\n")
		}
		return ok
	}
	if !take("// " + k.Name + ": ") {
		return nil, fmt.Errorf("line 1 is not the kernel's banner, // %s: and what it does", k.Name)
	}
	t.About, _, _ = strings.Cut(rest, "\n")
	take(t.About)
	if !take("\n" + preambleOf(k)) {
		return nil, fmt.Errorf("lines 2 to %d are not those that such a kernel has", 1+strings.Count(preambleOf(k), "\n"))
	}
	for _, path := range k.Stages {
		text, err := fs.ReadFile(stages, path)
		if err != nil {
			return nil, fmt.Errorf("there is no stage file %q", path)
		}
		if at := lines + 2; !take(stageHead(path) + string(text)) {
			return nil, fmt.Errorf("line %d: the stage file %s does not stand there as it is in this program", at, path)
		}
		t.Stages = append(t.Stages, Stage{path, string(text)})
	}
	if at := lines + 2; !take(functionHead(k, lines)) {
		return nil, fmt.Errorf("line %d: the function's head is another than the plan declares", at)
	}
	body, ok := strings.CutSuffix(rest, functionEnd)
	if !ok {
		return nil, fmt.Errorf("the text does not end with the function's brace")
	}
	t.Body, t.Line = body, lines+1
	return &t, nil
}

// CutStages cuts the text of k, which may be cleaned, into its stages, without the line that
// names the kernel, and its own function; ok is false where it has no such parts.
func (k *Kernel) CutStages(text string) (stages, own string, ok bool) {
	text, named := strings.CutPrefix(text, "// "+k.Name+": ")
	_, text, _ = strings.Cut(text, "\n")
	stages, own, ok = strings.Cut(text, FunctionBanner)
	return stages, own, ok && named
}

// FunctionBanner stands between a kernel's stages and its own function in its text.
const FunctionBanner = "\n// ---- kernel ----\n"

// StageBanner begins the line between a kernel's stages, which names the stage file.
const StageBanner = "\n// ---- "

const functionEnd = "}\n"

func stageHead(path string) string {
	return StageBanner + fmt.Sprintf("%s ----\n#line 1 \"shaders/%s\"\n", path, path)
}

// functionHead is what stands between the stages, which end in the given line, and
// the function's body. Told how many threads a threadgroup has, Metal's compiler need not
// leave registers for more.
func functionHead(k *Kernel, lines int) string {
	var args []string
	for i, s := range k.Slots {
		switch {
		case s.Space == "constant":
			args = append(args, fmt.Sprintf("constant %s &%s [[buffer(%d)]]", s.Type, s.Name, i))
		case s.Access == Read:
			args = append(args, fmt.Sprintf("device const %s *%s [[buffer(%d)]]", s.Type, s.Name, i))
		default:
			args = append(args, fmt.Sprintf("device %s *%s [[buffer(%d)]]", s.Type, s.Name, i))
		}
	}
	for i, a := range k.Threadgroup {
		args = append(args, fmt.Sprintf("threadgroup %s *%s [[threadgroup(%d)]]", a.Type, a.Name, i))
	}
	for _, b := range k.Builtins {
		a := b.Argument()
		args = append(args, fmt.Sprintf("%s %s [[%s]]", a.Type, a.Name, b))
	}
	return FunctionBanner + fmt.Sprintf("#line %d \"%s\"\n[[max_total_threads_per_threadgroup(%d)]] kernel void %s(\n    %s)\n{\n",
		lines+4, kernelFile(k.Name), k.Threads[0]*k.Threads[1]*k.Threads[2], k.Name, strings.Join(args, ",\n    "))
}
