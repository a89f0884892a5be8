package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// edit is one mistake in a file: bytes [from, to) become by.
type edit struct {
	file     string // below the module's root
	from, to int
	by, what string
	behind   []insertion // the same behind a switch; nil where it has none
	decl     int         // offset where the declaration begins that it stands in
}

func (e edit) apply(text []byte) []byte {
	return slices.Concat(text[:e.from], []byte(e.by), text[e.to:])
}

// place is the file and line.
func (e edit) place(text []byte) string {
	return fmt.Sprintf("%s:%d", e.file, 1+strings.Count(string(text[:e.from]), "\n"))
}

// diff shows the lines before and after.
func (e edit) diff(text []byte) string {
	first := strings.LastIndexByte(string(text[:e.from]), '\n') + 1
	last := len(text)
	if n := strings.IndexByte(string(text[e.to:]), '\n'); n >= 0 {
		last = e.to + n
	}
	before := string(text[first:last])
	after := string(text[first:e.from]) + e.by + string(text[e.to:last])
	return "-" + strings.ReplaceAll(before, "\n", "\n-") + "\n+" + strings.ReplaceAll(after, "\n", "\n+") + "\n"
}

// sourceKind is where the mistakes of a kind are made.
type sourceKind struct {
	folders []string
	files   *regexp.Regexp
	edits   func(file string, text []byte) ([]edit, error)
}

var sourceKinds = map[string]sourceKind{
	"go":      {[]string{"passes", "lower", "ir", "runtime", "frontends"}, regexp.MustCompile(`\.go$`), goEdits},
	"checker": {[]string{"lower/plan", "runtime/msl/strict"}, regexp.MustCompile(`(checker|ranges|verify\w*|rules|strict|declarators|many)\.go$`), goEdits},
	"msl":     {[]string{"shaders", "runtime/msl/include"}, regexp.MustCompile(`\.metal$|(abi|atomic|math|simd|types|vector|_cpu)\.h$`), mslEdits}, // what NVRTC alone reads needs a GPU
}

// all lists the kind's edits, in the order of files and places.
func (k sourceKind) all(root string, read func(string) ([]byte, error)) (out []edit, err error) {
	for _, folder := range k.folders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || d.Name() == "devicetest") { // tests, of devices
				return fs.SkipDir
			}
			if d.IsDir() || strings.HasSuffix(path, "_test.go") || !k.files.MatchString(d.Name()) {
				return nil
			}
			text, err := read(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			some, err := k.edits(filepath.ToSlash(name), text)
			out = append(out, some...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// others are operators that are mistaken for each other.
var others = map[string]string{"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "+": "-", "-": "+", "*": "+"}

// inAnyOrder are functions that say the same of their arguments in any order.
var inAnyOrder = []string{"min", "max", "math.Min", "math.Max", "bytes.Equal", "slices.Equal", "maps.Equal", "strings.EqualFold", "reflect.DeepEqual"}

// swapped is what is done to arguments.
const swapped = "arguments in each other's place"

// goEdits lists what is done to Go: conditions negated, operators and constants by one
// off, statements and clauses dropped, arguments in each other's place. Left alone is what
// nobody can tell or nobody may read: what make has room for, the order of arguments where it
// says nothing, how large a number says the sign of an infinity, and numbers that are returned
// beside an error.
func goEdits(file string, text []byte) (out []edit, err error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	at := func(p token.Pos) int { return set.Position(p).Offset }
	of := func(n ast.Node) string { return string(text[at(n.Pos()):at(n.End())]) }
	decl := 0
	add := func(from, to int, by, what string, behind ...insertion) {
		out = append(out, edit{file, from, to, by, what, behind, decl})
	}
	drop := func(n ast.Node, what string, behind ...insertion) {
		add(at(n.Pos()), at(n.End()), "", what, behind...)
	}
	head := map[ast.Node]bool{} // statements in the heads of others, where no if may stand
	guarded := func(n ast.Node) []insertion {
		if head[n] {
			return nil
		}
		return around(at(n.Pos()), at(n.End()), "if !mutant_.On(%d) { ", " }")
	}
	open := map[ast.Node]bool{}  // clauses of switches without a tag
	alone := map[ast.Node]bool{} // what is left as it is
	look := func(n ast.Node) bool {
		if alone[n] {
			return false
		}
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.GenDecl:
			return n.Tok == token.VAR || n.Tok == token.CONST
		case *ast.ForStmt:
			head[n.Init], head[n.Post] = true, true
		case *ast.TypeSwitchStmt:
			head[n.Init], head[n.Assign] = true, true
		case *ast.CommClause:
			head[n.Comm] = true
		case *ast.IfStmt:
			head[n.Init] = true
			if of(n.Cond) == "err != nil" {
				leave(alone, n.Body.List, "err")
			}
			add(at(n.Cond.Pos()), at(n.Cond.End()), "!("+of(n.Cond)+")", "a condition negated", around(at(n.Cond.Pos()), at(n.Cond.End()), "(mutant_.On(%d) != (", "))")...)
		case *ast.BinaryExpr:
			if by, ok := others[n.Op.String()]; ok {
				add(at(n.OpPos), at(n.OpPos)+len(n.Op.String()), by, n.Op.String()+" becomes "+by, switchedBinary(n, at)...)
			}
		case *ast.BasicLit:
			if v, err := strconv.ParseInt(n.Value, 0, 64); n.Kind == token.INT && err == nil {
				add(at(n.Pos()), at(n.End()), strconv.FormatInt(v+1, 10), "a constant one more", around(at(n.Pos()), at(n.End()), "mutant_.More(%d, ", ")")...)
				add(at(n.Pos()), at(n.End()), strconv.FormatInt(v-1, 10), "a constant one less", around(at(n.Pos()), at(n.End()), "mutant_.Fewer(%d, ", ")")...)
			}
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt:
			drop(n, "a statement dropped", guarded(n)...)
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				drop(n, "a statement dropped", guarded(n)...)
			}
		case *ast.ReturnStmt:
			leave(alone, []ast.Stmt{n}, "fmt.Errorf", "errors.New")
		case *ast.BranchStmt:
			if n.Tok == token.FALLTHROUGH {
				drop(n, "a statement dropped")
			} else {
				drop(n, "a statement dropped", guarded(n)...)
			}
		case *ast.SwitchStmt:
			head[n.Init] = true
			for _, c := range n.Body.List {
				open[c] = n.Tag == nil && len(c.(*ast.CaseClause).List) == 1
			}
		case *ast.CaseClause:
			if open[n] && of(n.List[0]) == "err != nil" {
				leave(alone, n.Body, "err")
			}
			switch {
			case n.List == nil:
			case open[n]:
				drop(n, "a clause dropped", around(at(n.List[0].Pos()), at(n.List[0].End()), "(!mutant_.On(%d) && (", "))")...)
			default:
				drop(n, "a clause dropped")
			}
		case *ast.CallExpr:
			switch name := of(n.Fun); {
			case slices.Contains(inAnyOrder, name):
				return true
			case name == "math.Inf":
				return false // of its argument the sign alone counts
			case name == "make":
				if _, isMap := n.Args[0].(*ast.MapType); len(n.Args) == 3 || isMap && len(n.Args) == 2 {
					alone[n.Args[len(n.Args)-1]] = true
				}
			}
			for i := range len(n.Args) - 1 {
				a, b := n.Args[i], n.Args[i+1]
				if of(a) != of(b) && !n.Ellipsis.IsValid() {
					add(at(a.Pos()), at(b.End()), of(b)+string(text[at(a.End()):at(b.Pos())])+of(a), swapped, switchedArguments(a, b, at, of)...)
				}
			}
		}
		return true
	}
	for _, d := range f.Decls {
		decl = at(d.Pos())
		ast.Inspect(d, look)
	}
	return out, nil
}

// leave marks the numbers that the last of the statements returns beside an error, which one
// of the names stands for or makes.
func leave(alone map[ast.Node]bool, body []ast.Stmt, names ...string) {
	if len(body) == 0 {
		return
	}
	back, ok := body[len(body)-1].(*ast.ReturnStmt)
	if !ok || len(back.Results) == 0 {
		return
	}
	last := back.Results[len(back.Results)-1]
	if call, ok := last.(*ast.CallExpr); ok {
		last = call.Fun
	}
	if !slices.Contains(names, types.ExprString(last)) {
		return
	}
	for _, r := range back.Results[:len(back.Results)-1] {
		number := r
		if minus, ok := r.(*ast.UnaryExpr); ok {
			number = minus.X
		}
		if _, ok := number.(*ast.BasicLit); ok {
			alone[r] = true
		}
	}
}

var mslPlaces = regexp.MustCompile(`(?m)\s*//.*$|/\*.*?\*/|"[^"\n]*"|^\s*#.*$|[^{}\n;]*[\w)\]+]\s*;|<=|>=|==|!=|&&|\|\||\s[<>+*-]\s|\b\d+\b`)

// known are conditions and macros of headers and stage files whose value is known where
// their text is tried out, on the CPU of this machine: what NVIDIA's or Apple's GPUs compile
// in their place is not.
var known = map[string]bool{
	"defined(__x86_64__)": runtime.GOARCH == "amd64", "defined(__aarch64__)": runtime.GOARCH == "arm64", "FOUNDRY_CUDA": false,
	"FOUNDRY_LEVELS4": false, "FOUNDRY_NIBBLES4": false, "FOUNDRY_NIBBLES_IN_ORDER4": false, "FOUNDRY_SMALL": false, "FOUNDRY_MATRIX_STAGE": true,
}

// elsewhere returns what reports whether a place of a header is compiled on another processor
// only: no test here can notice what stands there.
func elsewhere(text string) func(at int) bool {
	type branch struct{ taken, other bool } // one was taken that is known, and this is another
	var open []branch
	var from, to []int
	at, begun, was := 0, 0, false
	for line := range strings.Lines(text) {
		directive, condition, _ := strings.Cut(strings.TrimSpace(line), " ")
		value, isKnown := known[condition]
		last := len(open) - 1
		switch directive {
		case "#if", "#ifdef", "#ifndef":
			value = value != (directive == "#ifndef")
			open = append(open, branch{taken: isKnown && value, other: isKnown && !value})
		case "#elif":
			open[last] = branch{open[last].taken || isKnown && value, open[last].taken || isKnown && !value}
		case "#else":
			open[last].other = open[last].taken
		case "#endif":
			open = open[:last]
		}
		is := slices.ContainsFunc(open, func(b branch) bool { return b.other })
		switch {
		case is && !was:
			begun = at
		case was && !is:
			from, to = append(from, begun), append(to, at)
		}
		at, was = at+len(line), is
	}
	return func(at int) bool {
		for i := range to {
			if from[i] <= at && at < to[i] {
				return true
			}
		}
		return false
	}
}

// mslEdits lists what is done to Metal text: statements dropped, operators mistaken,
// constants one off. Comments and directives stay.
func mslEdits(file string, text []byte) (out []edit, err error) {
	add := func(from, to int, by, what string) {
		out = append(out, edit{file: file, from: from, to: to, by: by, what: what})
	}
	tokens := regexp.MustCompile(`"[^"\n]*"|<=|>=|==|!=|&&|\|\||\s[<>+*-]\s|\b\d+\b`)
	within := func(from, to int) {
		for _, m := range tokens.FindAllIndex(text[from:to], -1) {
			a, b := from+m[0], from+m[1]
			if text[a] == '"' {
				continue
			}
			word := strings.TrimSpace(string(text[a:b]))
			if v, err := strconv.Atoi(word); err == nil {
				add(a, b, strconv.Itoa(v+1), "a constant one more")
				if v > 0 {
					add(a, b, strconv.Itoa(v-1), "a constant one less")
				}
			} else if by, ok := others[word]; ok {
				add(a, b, strings.Replace(string(text[a:b]), word, by, 1), word+" becomes "+by)
			}
		}
	}
	notHere := elsewhere(string(text))
	for _, m := range mslPlaces.FindAllIndex(text, -1) {
		piece := strings.TrimSpace(string(text[m[0]:m[1]]))
		switch {
		case notHere(m[1] - len(piece)):
		case strings.HasPrefix(piece, "//") || strings.HasPrefix(piece, "/*") || strings.HasPrefix(piece, "#") || strings.HasPrefix(piece, `"`):
		case strings.HasSuffix(piece, ";"):
			add(m[1]-len(piece), m[1], ";", "a statement dropped")
			within(m[0], m[1])
		default:
			within(m[0], m[1])
		}
	}
	return out, nil
}
