package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fragment are words with which a comment goes on with something that is not there, or
// says what a field does instead of what it is.
var fragment = []string{
	"of", "that", "which", "whose", "where", "whether", "if", "when", "who", "it", "by", "in", "on", "at", "as", "with", "behind",
	"takes", "told", "receives", "gives", "draw", "draws", "keep", "keeps", "reads", "prints",
}

// The comment at a field stands alone: it begins with the field's name, or with none of
// the words that only go on.
func TestFieldComments(t *testing.T) {
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	files, seen := token.NewFileSet(), 0
	var bad []string
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range s.Fields.List {
				text := strings.TrimSpace(field.Comment.Text())
				if text == "" {
					continue
				}
				seen++
				first, _, _ := strings.Cut(strings.TrimRight(strings.Fields(text)[0], ",:;"), " ")
				if slices.Contains(fragment, strings.ToLower(first)) {
					bad = append(bad, strings.TrimPrefix(files.Position(field.Pos()).String(), root+"/")+": "+text)
				}
			}
			return true
		})
		return nil
	}))
	require.Greater(t, seen, 500)
	require.Empty(t, bad)
}
