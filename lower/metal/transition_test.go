package metal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// stillText are the files whose writers make text of a kernel's body by themselves, by what
// stands in transition.go. None may join them, and one that stops leaves the list.
var stillText []string

// ofText are the words of transition.go.
var ofText = []string{"line", "open", "close", "text", "raw"}

// statement is what a piece of a statement looks like: braces, calls, assignments,
// operators before something that is filled in, and numbers with their u.
var statement = regexp.MustCompile(`[{}]|;"$|\(\)|= ?%|\[%|[-+*/<] %|%du|%su\b`)

// Writers put statements together: the text of a body is made in lower/msl alone.
func TestWritersMakeNoText(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var found []string
	for _, f := range files {
		if ok, _ := filepath.Match("*_test.go", f); ok || f == "transition.go" {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		makes := false
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				makes = makes || n.Kind == token.STRING && statement.MatchString(n.Value)
			case *ast.CallExpr:
				switch f := n.Fun.(type) {
				case *ast.Ident:
					makes = makes || f.Name == "raw"
				case *ast.SelectorExpr:
					k, ok := f.X.(*ast.Ident)
					makes = makes || ok && k.Name == "k" && slices.Contains(ofText, f.Sel.Name)
				}
			}
			return true
		})
		if makes {
			found = append(found, f)
		}
	}
	require.Equal(t, stillText, found)
}
