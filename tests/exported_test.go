package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// forTests are packages that production code does not import; what they export is for
// tests of other packages.
var forTests = []string{"ir/irgen", "runtime/devicetest", "runtime/mtl/emulator", "runtime/msl/strict", "runtime/msl/gate", "tests/oracle", "tests/covering", "tests/mutate", "tests/goldens", "tests/blocks", "tests/oncpu"}

// calledByOthers are methods that the standard library or a dependency calls.
var calledByOthers = []string{"Error", "String", "MarshalText", "UnmarshalText", "MarshalJSON", "UnmarshalJSON", "Unwrap", "Is", "Format", "DataRange", "Thumbnail"}

// declaration is an exported name of a package, or a method of one of its types.
type declaration struct {
	pkg, name string
	method    bool
}

// exported is what a tree declares and uses, tests left out: a name of a package by
// its package, a method by its name alone.
type exported struct {
	declared map[declaration]string // to its place
	used     map[declaration]bool
	called   map[string]bool // methods, or what interfaces ask for
}

// Nothing is exported for tests alone: every exported name of a package below the
// facade is used by production code, by the examples or by a runnable Example.
func TestExportedNamesAreUsed(t *testing.T) {
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	x := exported{map[declaration]string{}, map[declaration]bool{}, map[string]bool{}}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") && d.Name() != "example_test.go" {
			return nil
		}
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		return x.read(filepath.ToSlash(pkg), path)
	}))
	require.Greater(t, len(x.declared), 500)
	var unused []string
	for d, place := range x.declared {
		used := x.used[d] || d.method && x.called[d.name]
		if !used && !slices.Contains(forTests, d.pkg) {
			unused = append(unused, strings.TrimPrefix(place, root+"/")+": "+d.pkg+"."+d.name)
		}
	}
	slices.Sort(unused)
	require.Empty(t, unused, "exported, and used by tests alone or by nobody")
}

// read notes what a file declares and uses.
func (x *exported) read(pkg, path string) error {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		return err
	}
	imported := map[string]string{} // name in the file to package below the root
	for _, spec := range f.Imports {
		to, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if below, internal := inModule(to); internal {
			name := to[strings.LastIndexByte(to, '/')+1:]
			if spec.Name != nil {
				name = spec.Name.Name
			}
			imported[name] = below
		}
	}
	facade := pkg == "." || f.Name.Name == "main" || strings.HasSuffix(path, "_test.go")
	own := map[*ast.Ident]bool{} // that declare a name, or say whose method something is
	declare := func(id *ast.Ident, method bool) {
		own[id] = true
		if id.IsExported() && !facade && !(method && slices.Contains(calledByOthers, id.Name)) {
			d := declaration{pkg, id.Name, method}
			x.declared[d] = files.Position(id.Pos()).String()
		}
	}
	for _, decl := range f.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			declare(decl.Name, decl.Recv != nil)
			if decl.Recv != nil {
				ast.Inspect(decl.Recv.List[0].Type, func(n ast.Node) bool {
					if id, ok := n.(*ast.Ident); ok {
						own[id] = true
					}
					return true
				})
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					declare(spec.Name, false)
				case *ast.ValueSpec:
					for _, id := range spec.Names {
						declare(id, false)
					}
				}
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x.called[n.Sel.Name] = true
			if id, ok := n.X.(*ast.Ident); ok && id.Obj == nil && imported[id.Name] != "" {
				x.used[declaration{imported[id.Name], n.Sel.Name, false}] = true
			}
		case *ast.InterfaceType:
			for _, m := range n.Methods.List {
				for _, id := range m.Names {
					x.called[id.Name] = true
				}
			}
		case *ast.Ident:
			if !own[n] {
				x.used[declaration{pkg, n.Name, false}] = true
			}
		}
		return true
	})
	return nil
}
