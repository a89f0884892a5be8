package main

import (
	"context"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"foundry/runtime/child"
)

// typeChecker tells changed Go text that compiles from text that does not, in a tenth of
// the time that go takes.
type typeChecker struct {
	root     string
	set      *token.FileSet
	packages map[string]listed // packages by their folder below the root
	made     []string          // packages that the program is made of
	in       types.Importer
}

func newTypeChecker(ctx context.Context, root string) (*typeChecker, error) {
	packages, exports, err := listPackages(ctx, root)
	if err != nil {
		return nil, err
	}
	c := &typeChecker{root: root, set: token.NewFileSet(), packages: map[string]listed{}}
	c.in = importer.ForCompiler(c.set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, err
	}
	text, _, err := child.Run(ctx, child.Command{Path: tool, Args: []string{"list", "-deps", "./cmd/foundry"}, Dir: root})
	if err != nil {
		return nil, err
	}
	c.made = strings.Fields(string(text))
	for _, p := range packages {
		rel, err := filepath.Rel(root, p.Dir)
		if err != nil {
			return nil, err
		}
		c.packages[filepath.ToSlash(rel)] = p
	}
	return c, nil
}

// knows reports whether a file is compiled on this system.
func (c *typeChecker) knows(file string) bool {
	return slices.Contains(c.packages[path.Dir(file)].GoFiles, path.Base(file))
}

// isMade reports whether the program is made of a file on this system: what only tests
// import are tests.
func (c *typeChecker) isMade(file string) bool {
	return c.knows(file) && slices.Contains(c.made, c.packages[path.Dir(file)].ImportPath)
}

// errNoCode is that a mistake's text does not compile.
var errNoCode = errors.New("does not compile")

// check is errNoCode where e's package does not compile with it. Nobody has to notice such
// a mistake, not even where no test would meet it.
func (c *typeChecker) check(e edit, text []byte) error {
	p := c.packages[path.Dir(e.file)]
	var files []*ast.File
	for _, name := range p.GoFiles {
		of := any(e.apply(text))
		if name != path.Base(e.file) {
			of = nil // the file as it is
		}
		f, err := parser.ParseFile(c.set, filepath.Join(p.Dir, name), of, parser.SkipObjectResolution)
		if err != nil {
			return errors.Join(errNoCode, err)
		}
		files = append(files, f)
	}
	conf := types.Config{Importer: c.in, Sizes: types.SizesFor("gc", runtime.GOARCH)}
	if _, err := conf.Check(p.ImportPath, c.set, files, nil); err != nil {
		return errors.Join(errNoCode, err)
	}
	return nil
}
