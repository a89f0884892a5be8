package metal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// statement is what a piece of a statement looks like: braces, calls, assignments,
// operators before something that is filled in, and numbers with their u.
var statement = regexp.MustCompile(`[{}]|;"$|\(\)|= ?%|\[%|[-+*/<] %|%du|%su\b`)

// Writers put statements together: the text of a body is made in lower/msl alone.
func TestWritersMakeNoText(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	require.Greater(t, len(files), 40)
	for _, f := range files {
		if ok, _ := filepath.Match("*_test.go", f); ok {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			if n, ok := n.(*ast.BasicLit); ok && n.Kind == token.STRING {
				require.NotRegexp(t, statement, n.Value, f)
			}
			return true
		})
	}
	require.Regexp(t, statement, `"const uint t = %s;"`)
}
