package mtl

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// registers is how many words of a call's integers go in registers.
var registers = map[string]int{"amd64": 6, "arm64": 8}

// layout says how many words a message of these arguments is, receiver and selector
// among them, and whether all go in registers.
func layout(args []string, arch string) (words int, inRegisters bool, err error) {
	words = 2
	stack := 0
	for _, a := range args {
		n := 1
		switch kind(a) {
		case "integer", "pointer", "bool":
		case "NSRange":
			n = 2
			if words < registers[arch] && words+n > registers[arch] {
				return 0, false, fmt.Errorf("%s: an NSRange is cut by the end of the registers", arch)
			}
		case "MTLSize":
			if arch == "amd64" {
				stack, n = stack+3, 0
			}
		default:
			return 0, false, fmt.Errorf("a %s in a raw send", a)
		}
		words += n
	}
	if stack > 0 {
		words = registers[arch] + stack
	}
	return words, stack == 0 && words <= registers[arch], nil
}

// send is a message that the source sends by its words, with the function that
// sends it: send, message or dispatch.
type send struct {
	where, by, row string
	words          []ast.Expr
}

// row returns the name of the message in an expression such as b.setBuffers.Sel.
func rowOf(e ast.Expr) (string, bool) {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Sel" {
		return "", false
	}
	x, ok := s.X.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	return x.Sel.Name, true
}

// rawSends finds the raw sends of a file. Every selector must be sent by a call
// that is checked: one of these, or its own row's typed Call.
func rawSends(fset *token.FileSet, file *ast.File) ([]send, error) {
	var out []send
	var err error
	seen := make(map[ast.Expr]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		fn, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		where := fset.Position(call.Pos()).String()
		at := map[string]int{"send": 0, "message": 1, "dispatch": 1, "Call": 1}
		i, ok := at[fn.Sel.Name]
		if !ok || i >= len(call.Args) {
			return true
		}
		row, ok := rowOf(call.Args[i])
		if !ok {
			return true
		}
		seen[call.Args[i]] = true
		if fn.Sel.Name != "Call" {
			out = append(out, send{where, fn.Sel.Name, row, call.Args[i+1:]})
			return true
		}
		if x, ok := fn.X.(*ast.SelectorExpr); !ok || x.Sel.Name != row {
			err = fmt.Errorf("%s: the call of one message sends another, %s", where, row)
		}
		for _, a := range call.Args[i+1:] {
			seen[a] = true // a selector as an argument
		}
		return true
	})
	ast.Inspect(file, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		if row, ok := rowOf(e); ok && !seen[e] {
			err = fmt.Errorf("%s: %s is sent in a way that is not checked", fset.Position(e.Pos()), row)
		}
		return true
	})
	return out, err
}

// checkSend compares a raw send with the headers, on both architectures.
func checkSend(apple map[string]declaration, s send) error {
	field, ok := reflect.TypeFor[messages]().FieldByName(s.row)
	if !ok {
		return fmt.Errorf("%s: there is no message %s", s.where, s.row)
	}
	d, ok := apple[key(messageOf(field))]
	if !ok {
		return fmt.Errorf("%s: Apple's headers have no %s", s.where, s.row)
	}
	for _, w := range s.words {
		if local := localAddress(w); local != "" {
			return fmt.Errorf("%s: %s passes the address of the local variable %s, which may move before the call", s.where, s.row, local)
		}
	}
	if s.by == "dispatch" { // of which TestSizesByValue sees the words
		if !reflect.DeepEqual(d.args, []string{"MTLSize", "MTLSize"}) {
			return fmt.Errorf("%s: %s takes %v, not two MTLSize", s.where, s.row, d.args)
		}
		return nil
	}
	for arch := range registers {
		n, inRegisters, err := layout(d.args, arch)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", s.where, s.row, err)
		}
		if !inRegisters {
			return fmt.Errorf("%s: %s: not all words go in registers on %s", s.where, s.row, arch)
		}
		if have := 2 + len(s.words); have != n {
			return fmt.Errorf("%s: %s is sent as %d words, it takes %d on %s", s.where, s.row, have, n, arch)
		}
	}
	return nil
}

// localAddress returns the name of a variable, declared in the function, whose
// address the expression takes.
func localAddress(e ast.Expr) (name string) {
	ast.Inspect(e, func(n ast.Node) bool {
		u, ok := n.(*ast.UnaryExpr)
		if !ok || u.Op != token.AND {
			return true
		}
		x := u.X
		for {
			if s, ok := x.(*ast.SelectorExpr); ok {
				x = s.X
			} else if i, ok := x.(*ast.IndexExpr); ok {
				x = i.X
			} else {
				break
			}
		}
		if id, ok := x.(*ast.Ident); ok && id.Obj != nil {
			if _, param := id.Obj.Decl.(*ast.Field); !param {
				name = id.Name
			}
		}
		return true
	})
	return name
}

// checkSource checks the raw sends of one file's text.
func checkSource(apple map[string]declaration, name string, text []byte) (int, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, 0)
	if err != nil {
		return 0, err
	}
	sends, err := rawSends(fset, file)
	for _, s := range sends {
		if err == nil {
			err = checkSend(apple, s)
		}
	}
	return len(sends), err
}

func sources(t *testing.T) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	out := make(map[string][]byte)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		out[name] = text
	}
	return out
}

func TestRawSendsAgreeWithApplesHeaders(t *testing.T) {
	apple := appleMessages(t)
	total := 0
	for name, text := range sources(t) {
		n, err := checkSource(apple, name, text)
		require.NoError(t, err)
		total += n
		if name != "send.go" && name != "objc.go" { // nobody else calls objc_msgSend
			require.NotContains(t, string(text), "msgSend,", name)
		}
	}
	require.Greater(t, total, 15)
	t.Logf("%d raw sends checked", total)
}

// TestRawSendCheckNoticesMutants changes copies of the source: each argument of
// each raw send dropped, and what a slip of the pen would do.
func TestRawSendCheckNoticesMutants(t *testing.T) {
	apple := appleMessages(t)
	files := sources(t)
	for _, m := range []struct{ name, file, from, to, want string }{
		{"no usage", "record.go", ", MTLResourceUsageRead|MTLResourceUsageWrite)", ")", "useResources is sent as 4 words, it takes 5"},
		{"no index", "encoder.go", "uintptr(n), uintptr(i))", "uintptr(n))", "setThreadgroup is sent as 3 words, it takes 4"},
		{"no scope", "encoder.go", "memoryBarrier.Sel, MTLBarrierScopeBuffers)", "memoryBarrier.Sel)", "memoryBarrier is sent as 2 words, it takes 3"},
		{"half a range", "encoder.go", ", 0, uintptr(len(l.Bind)))", ", uintptr(len(l.Bind)))", "setBuffers is sent as 5 words, it takes 6"},
		{"another message", "memory.go", "b.bufferContents.Call(m.buf, b.bufferContents.Sel)", "b.bufferContents.Call(m.buf, b.bufferStatus.Sel)", "sends another, bufferStatus"},
		{"around the check", "encoder.go", "e.send(b.setPipeline.Sel, k.pipeline)", "purego.SyscallN(b.msgSend, e.encoder, b.setPipeline.Sel, k.pipeline)", "setPipeline is sent in a way that is not checked"},
		{"sizes of another message", "record.go", "b.icbDispatch.Sel", "b.icbBuffer.Sel", "icbBuffer takes"},
		{"a pointer into the stack", "encoder.go", "b := e.b\n\tk, err", "var here [maxSlots]id\n\tb := e.b\n\te.send(b.setBuffers.Sel, uintptr(unsafe.Pointer(&here)), uintptr(unsafe.Pointer(&here[0])), 0, 1)\n\tk, err", "address of the local variable here"},
	} {
		t.Run(m.name, func(t *testing.T) {
			text := string(files[m.file])
			require.Contains(t, text, m.from)
			_, err := checkSource(apple, m.file, []byte(strings.ReplaceAll(text, m.from, m.to)))
			require.ErrorContains(t, err, m.want)
		})
	}
	dropped := 0
	for name, text := range files {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, 0)
		require.NoError(t, err)
		sends, err := rawSends(fset, file)
		require.NoError(t, err)
		for _, s := range sends {
			if n := len(s.words); s.by != "dispatch" && n > 0 {
				s.words = s.words[:n-1]
				require.Error(t, checkSend(apple, s), s.row)
				dropped++
			}
		}
	}
	require.Greater(t, dropped, 5)
}

// TestSizesByValue looks at the words of a dispatch on both architectures.
func TestSizesByValue(t *testing.T) {
	s := &sender{grid: size{2, 3, 4}, threads: size{5, 6, 7}}
	both := []string{"MTLSize", "MTLSize"}

	words := onStack(&s.args, 8, 9, &s.grid, &s.threads)
	n, _, err := layout(both, "amd64")
	require.NoError(t, err)
	require.Len(t, words, n)
	require.Equal(t, []uintptr{8, 9}, words[:2])
	require.Equal(t, []uintptr{2, 3, 4, 5, 6, 7}, words[registers["amd64"]:])

	words = byPointer(&s.args, 8, 9, &s.grid, &s.threads)
	n, _, err = layout(both, "arm64")
	require.NoError(t, err)
	require.Len(t, words, n)
	require.Equal(t, []uintptr{8, 9, uintptr(unsafe.Pointer(&s.grid)), uintptr(unsafe.Pointer(&s.threads))}, words)

	_, _, err = layout([]string{"NSUInteger", "NSUInteger", "NSUInteger", "NSRange"}, "amd64")
	require.ErrorContains(t, err, "cut by the end of the registers")
}
