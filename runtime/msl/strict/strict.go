// Package strict turns an emitted MSL text into a verdict: clang's "C++ for
// OpenCL" checks address spaces, conversions and calls, and rules on the text and
// the signature check what clang accepts and Metal does not.
//
// It is a stand-in: Apple's compiler has the last word.
//
// Read next: rules.go for the rules.
package strict

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"foundry/runtime/child"
	"foundry/runtime/files"
	"foundry/runtime/msl/lex"
)

//go:embed metal.h
var header []byte

// Compilers are the names under which a fit clang is looked for, the best first.
var compilers = []string{"clang-19", "clang-20", "clang-18", "clang"}

// Find returns the path of a clang on the PATH, or an error that says how to get
// one.
func Find() (string, error) {
	path, err := child.Find(compilers...)
	if err != nil {
		return "", child.Absent(fmt.Sprintf("no clang found (looked for %s): install one, such as apt-get install clang-19", strings.Join(compilers, ", ")))
	}
	return path, nil
}

// withoutAttributes blanks [[...]] of MSL, which OpenCL does not know.
func withoutAttributes(text string) []byte {
	var out []byte
	inside := false
	for _, t := range lex.Cut(text) {
		inside = inside || t.Text == "[["
		if inside {
			out = append(out, lex.Hide(t.Text)...)
		} else {
			out = append(out, t.Text...)
		}
		inside = inside && t.Text != "]]"
	}
	return out
}

// Check gives the text of one kernel to clang and to the rules. The error holds
// every complaint, a line each, as file:line of the stage the text came from.
func Check(ctx context.Context, clang, name, text string) error {
	complaints := Rules(text)
	found, err := compile(ctx, clang, withoutAttributes(text))
	if err != nil {
		return err
	}
	if complaints = append(complaints, found...); len(complaints) > 0 {
		return fmt.Errorf("kernel %s: %s", name, strings.Join(complaints, "\n\t"))
	}
	return nil
}

// compile gives text to clang and returns its complaints, a line each.
func compile(ctx context.Context, clang string, text []byte) ([]string, error) {
	work, err := files.Folder("", "strict")
	if err != nil {
		return nil, err
	}
	defer work.Remove()
	dir := work.Path
	const units = "MetalPerformancePrimitives"
	if err := os.Mkdir(filepath.Join(dir, units), 0o755); err != nil {
		return nil, err
	}
	for file, content := range map[string][]byte{"metal_stdlib": header, "metal_tensor": nil, units + "/" + units + ".h": nil, "kernel.cl": text} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
			return nil, err
		}
	}
	_, _, err = child.Run(ctx, child.Command{Path: clang, Dir: dir, Env: []string{"TMPDIR=" + dir}, Limits: child.ForCompilers, Args: []string{
		"-x", "cl", "-cl-std=CLC++2021", "-target", "spir64", "-Xclang", "-finclude-default-header",
		"-Xclang", "-cl-ext=+cl_khr_fp16,+__opencl_c_generic_address_space", "-isystem", dir,
		"-Wall", "-Wextra", "-Werror", "-Wno-unused", "-Wno-unused-parameter", "-Wno-unknown-pragmas", "-Wno-missing-prototypes",
		"-fno-caret-diagnostics", "-fsyntax-only", "kernel.cl"}})
	var failed *child.ExitError
	if err == nil {
		return nil, nil
	}
	if !errors.As(err, &failed) {
		return nil, err
	}
	var complaints []string
	for _, line := range strings.Split(string(failed.Stderr), "\n") {
		if strings.Contains(line, "error:") || strings.Contains(line, "warning:") {
			complaints = append(complaints, strings.ReplaceAll(line, dir+"/", ""))
		}
	}
	if complaints == nil {
		return nil, failed
	}
	return complaints, nil
}
