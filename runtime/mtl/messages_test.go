package mtl

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// declaration is a row of Apple's headers.
type declaration struct {
	args   []string
	result string
}

func key(m message) string {
	sign := "-"
	if m.static {
		sign = "+"
	}
	return sign + " " + m.class + " " + m.selector
}

func appleMessages(t *testing.T) map[string]declaration {
	t.Helper()
	f, err := os.Open("testdata/selectors.tsv")
	require.NoError(t, err)
	defer f.Close()
	out := make(map[string]declaration)
	for s := bufio.NewScanner(f); s.Scan(); {
		cols := strings.Split(s.Text(), "\t")
		if len(cols) != 4 {
			continue
		}
		var args []string
		if inner := strings.Trim(cols[2], "()"); inner != "" {
			for _, a := range strings.Split(inner, ",") {
				args = append(args, strings.TrimSpace(a))
			}
		}
		if strings.HasPrefix(cols[0], "- NSObject") && len(args) > 0 && args[0] == "void*" {
			args = args[1:] // the table lists the receiver too
		}
		out[cols[0]+" "+cols[1]] = declaration{args, cols[3]}
	}
	require.Greater(t, len(out), 600)
	return out
}

// kind sorts an Apple type by how both calling conventions pass it: integer,
// pointer, double, boolean or struct by value.
func kind(apple string) string {
	switch {
	case apple == "void":
		return "void"
	case apple == "bool" || apple == "BOOL":
		return "bool"
	case apple == "double" || apple == "CFTimeInterval":
		return "double"
	case apple == "MTLSize" || apple == "NSRange" || apple == "MTLOrigin" || apple == "MTLRegion":
		return apple
	case strings.HasSuffix(apple, "*") || strings.HasSuffix(apple, "[]") || apple == "id" || apple == "SEL" || apple == "block" || strings.HasPrefix(apple, "MTLAutoreleased"):
		return "pointer"
	}
	return "integer"
}

// goKind sorts a Go type of a call the same way. A uintptr carries a pointer; a
// Go string becomes a char* for the call.
func goKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Float64:
		return "double"
	case reflect.Uintptr, reflect.Pointer, reflect.String:
		return "pointer"
	case reflect.Uint64, reflect.Int64:
		return "integer"
	case reflect.Struct:
		return map[string]string{"size": "MTLSize", "rng": "NSRange"}[t.Name()]
	}
	return "unknown"
}

// check compares one row of messages with the headers.
func check(apple map[string]declaration, f reflect.StructField) error {
	m := messageOf(f)
	d, ok := apple[key(m)]
	if !ok {
		return fmt.Errorf("%s: Apple's headers have no %s", f.Name, key(m))
	}
	call, _ := f.Type.FieldByName("Call")
	fn := call.Type
	if colons := strings.Count(m.selector, ":"); colons != len(d.args) {
		return fmt.Errorf("%s: the table gives %d arguments for %d colons", f.Name, len(d.args), colons)
	}
	if fn.NumIn() != len(d.args)+2 {
		return fmt.Errorf("%s: the call passes %d arguments, %s takes %d", f.Name, fn.NumIn()-2, m.selector, len(d.args))
	}
	for i, a := range d.args {
		if have := goKind(fn.In(i + 2)); have != kind(a) {
			return fmt.Errorf("%s: argument %d is passed as %s, Apple takes %s (%s)", f.Name, i, have, a, kind(a))
		}
	}
	have := "void"
	if fn.NumOut() == 1 {
		have = goKind(fn.Out(0))
	}
	if have != kind(d.result) {
		return fmt.Errorf("%s: the result is read as %s, Apple returns %s", f.Name, have, d.result)
	}
	return nil
}

func TestMessagesAgreeWithApplesHeaders(t *testing.T) {
	apple := appleMessages(t)
	rows := reflect.TypeFor[messages]()
	for i := range rows.NumField() {
		require.NoError(t, check(apple, rows.Field(i)))
	}
	t.Logf("%d messages checked", rows.NumField())
}

// TestMessageCheckNoticesADroppedArgument runs the check on a copy of the table
// from which one argument at a time is gone.
func TestMessageCheckNoticesADroppedArgument(t *testing.T) {
	rows := reflect.TypeFor[messages]()
	dropped := 0
	for i := range rows.NumField() {
		apple := appleMessages(t)
		k := key(messageOf(rows.Field(i)))
		d := apple[k]
		if len(d.args) == 0 {
			continue
		}
		d.args = d.args[:len(d.args)-1]
		apple[k] = d
		require.Error(t, check(apple, rows.Field(i)), k)
		dropped++
	}
	require.Greater(t, dropped, 20)
}

func TestClassesAreApples(t *testing.T) {
	known := make(map[string]bool)
	for k := range appleMessages(t) {
		known[strings.Fields(k)[1]] = true
	}
	rows := reflect.TypeFor[classes]()
	for i := range rows.NumField() {
		require.True(t, known[rows.Field(i).Name], rows.Field(i).Name)
	}
}

func TestConstantsAreApples(t *testing.T) {
	apple := make(map[string]uint64)
	for _, name := range []string{"testdata/enums.tsv", "testdata/constants.tsv"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, line := range strings.Split(string(text), "\n") {
			_, rest, ok := strings.Cut(line, "\t")
			name, value, ok2 := strings.Cut(rest, " = ")
			if v, err := strconv.ParseUint(value, 10, 64); ok && ok2 && err == nil { // a few are expressions; none of those is ours
				apple[name] = v
			}
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "messages.go", nil, 0)
	require.NoError(t, err)
	checked := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			have, err := strconv.ParseUint(spec.Values[i].(*ast.BasicLit).Value, 10, 64)
			require.NoError(t, err)
			want, ok := apple[name.Name]
			require.True(t, ok, "%s is in no header", name.Name)
			require.Equal(t, want, have, name.Name)
			checked++
		}
		return true
	})
	require.Greater(t, checked, 10)
}
