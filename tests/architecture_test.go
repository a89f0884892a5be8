package tests

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/ir"
	"foundry/runtime/child"
	"foundry/runtime/devicetest"
)

var updateArchitecture = flag.Bool("update-architecture", false, "rewrite the generated parts of docs/architecture.md")

const architecture = "../docs/architecture.md"

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(architecture)
	require.NoError(t, err)
	return string(text)
}

var (
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
	quoted    = regexp.MustCompile("`([^`\n]+)`")
	// one or more identifiers, then the file that declares them
	located = regexp.MustCompile("((?:`\\w+`(?:, |,? and | or )?)+) (?:there |both )?in\\s+`([\\w./-]+\\.(?:go|metal))`")
	isPath  = regexp.MustCompile(`^[\w.{},-]+(/[\w.{},-]+)*/?$`)
)

// What the page says in running text is true of the tree: every path exists, and
// every identifier is declared in the file that it is said to be in.
func TestArchitectureNamesWhatExists(t *testing.T) {
	prose := codeBlock.ReplaceAllString(page(t), "")
	made := map[string]bool{} // by the recipes
	for _, e := range recipe(t) {
		made[e.file] = e.where == "New file"
	}
	paths, identifiers := 0, 0
	for _, m := range quoted.FindAllStringSubmatch(prose, -1) {
		name := m[1]
		if !isPath.MatchString(name) || !strings.ContainsAny(name, "/.") || strings.Contains(name, "{") {
			continue
		}
		if made[name] {
			continue
		}
		_, err := os.Stat(filepath.Join("..", name))
		require.NoError(t, err, "docs/architecture.md names a path that is not there")
		paths++
	}
	for _, m := range located.FindAllStringSubmatch(prose, -1) {
		for _, id := range quoted.FindAllStringSubmatch(m[1], -1) {
			require.True(t, declares(t, m[2], id[1]), "docs/architecture.md says that %s is in %s", id[1], m[2])
			identifiers++
		}
	}
	require.Greater(t, paths, 60)
	require.Greater(t, identifiers, 40)
}

// declares reports whether the file declares the name: at its top level, as a
// method or as a field.
func declares(t *testing.T, file, name string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", file))
	require.NoError(t, err)
	if strings.HasSuffix(file, ".metal") {
		return regexp.MustCompile(`\b` + name + `\b`).Match(text)
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
	require.NoError(t, err)
	found := false
	has := func(ids ...*ast.Ident) {
		for _, id := range ids {
			found = found || id.Name == name
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			has(n.Name)
			return false
		case *ast.TypeSpec:
			has(n.Name)
		case *ast.ValueSpec:
			has(n.Names...)
			return false
		case *ast.Field:
			has(n.Names...)
		}
		return true
	})
	return found
}

// The graph text on the page is what the compiler prints.
func TestArchitectureShowsRealGraphs(t *testing.T) {
	text := page(t)
	m, err := foundry.Open("", foundry.Hub{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	for _, variant := range []string{"unfused", "per-layer-6"} {
		g, err := foundry.Fuse(m, foundry.CompileOptions{Variant: variant})
		require.NoError(t, err)
		decode, err := g.Entry("decode")
		require.NoError(t, err)
		block := regexp.MustCompile("(?s)(<!-- graph: " + variant + " -->\n```text\n).*?(```\n)")
		require.Regexp(t, block, text)
		text = block.ReplaceAllStringFunc(text, func(s string) string {
			m := block.FindStringSubmatch(s)
			return m[1] + mlpLines(decode) + m[2]
		})
	}
	text = regexp.MustCompile(`(?s)<!-- borders -->\n.*?\n\n`).ReplaceAllLiteralString(text, "<!-- borders -->\n"+bordersTable()+"\n")
	if *updateArchitecture {
		require.NoError(t, os.WriteFile(architecture, []byte(text), 0o644))
	}
	require.Equal(t, text, page(t), "go test ./tests -run Architecture -update-architecture brings the page up to date")
}

// mlpLines prints the nodes of layer 0 from the output projection on, or the
// region that holds it, as they stand in the graph's text.
func mlpLines(g *ir.Graph) string {
	first := regexp.MustCompile(`@"layers\.0\.(o_proj|resid_attn)"`)
	var out strings.Builder
	inside, started := false, false
	for line := range strings.Lines(g.String()) {
		if strings.HasPrefix(line, "  %") {
			inside = strings.Contains(line, `@"layers.0.`)
			started = started || first.MatchString(line)
		}
		if inside && started {
			out.WriteString(line)
		}
	}
	return out.String()
}

// bordersTable prints the levels that TestBorders enforces.
func bordersTable() string {
	var b strings.Builder
	b.WriteString("| level | packages |\n|---|---|\n")
	for _, l := range levels {
		var names []string
		for _, p := range l.packages {
			if p == "" {
				p = "foundry (the root)"
			}
			names = append(names, p)
		}
		fmt.Fprintf(&b, "| %d | %s |\n", l.level, strings.Join(names, ", "))
	}
	return b.String()
}

// edit is one step of a recipe: a block of code and where it goes.
type edit struct {
	file, where, anchor, code string
}

var step = regexp.MustCompile("(?:[Ii]n\\s+`([^`]+)`,\\s+(after|before)\\s+`([^`]+)`|(At the end of|New file)\\s+`([^`]+)`):\n\n```\\w+\n(?s:(.*?))```")

func recipe(t *testing.T) []edit {
	var edits []edit
	for _, m := range step.FindAllStringSubmatch(page(t), -1) {
		e := edit{m[1], m[2], m[3], m[6]}
		if m[4] != "" {
			e = edit{file: m[5], where: m[4], code: m[6]}
		}
		edits = append(edits, e)
	}
	return edits
}

var blanks = regexp.MustCompile(`\s+`)

// apply returns the file's text with the step taken.
func (e edit) apply(text string) (string, error) {
	switch e.where {
	case "New file":
		return e.code, nil
	case "At the end of":
		return text + e.code, nil
	}
	lines := strings.SplitAfter(text, "\n")
	at := -1
	for i, line := range lines {
		if blanks.ReplaceAllString(strings.TrimSpace(line), " ") != e.anchor {
			continue
		}
		if at >= 0 {
			return "", fmt.Errorf("%s has the line %q twice", e.file, e.anchor)
		}
		at = i
	}
	if at < 0 {
		return "", fmt.Errorf("%s has no line %q any more", e.file, e.anchor)
	}
	if e.where == "after" {
		at++
	}
	return strings.Join(lines[:at], "") + e.code + strings.Join(lines[at:], ""), nil
}

// generated is a command of the page that rewrites what is generated.
var generated = regexp.MustCompile(`(?m)^    go test \./(\w+) -run '([^']+)' (-[\w-]+)$`)

// The recipes "add an operation", "add a pass" and "add a model" are followed to the letter, on
// copies that stand in for the files: the tree is left as it is. Then the
// completeness tests must pass, the new operation must compile to a kernel, and
// the new pass must fuse it.
func TestArchitectureRecipes(t *testing.T) {
	t.Parallel()
	edits := recipe(t)
	require.Len(t, edits, 15, "steps that the page gives code for")
	touched := map[string]bool{}
	for _, e := range edits {
		touched[e.file] = true
	}
	require.Len(t, touched, 10, "files of an operation with an attr, its stage and a fusion, and of a model")
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	copied := filepath.Join(dir, "tree") // what tests read and rewrite
	for _, folder := range []string{"docs", "passes/testdata", "tests/testdata"} {
		require.NoError(t, os.CopyFS(filepath.Join(copied, folder), os.DirFS(filepath.Join(root, folder))))
	}
	files := map[string]string{}
	for _, e := range edits {
		path := filepath.Join(root, e.file)
		if strings.HasSuffix(path, ".txtar") {
			path = filepath.Join(copied, e.file)
		} else if _, ok := files[path]; !ok && e.where != "New file" {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			files[path] = string(text)
		}
		files[path], err = e.apply(files[path])
		require.NoError(t, err, "docs/architecture.md")
	}
	replace := map[string]string{}
	for path, text := range files {
		if strings.HasPrefix(path, copied) {
			require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
			continue
		}
		if strings.HasSuffix(path, ".go") {
			formatted, err := format.Source([]byte(text))
			require.NoError(t, err, path)
			text = string(formatted)
		}
		to := filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(path, root), string(filepath.Separator), "_"))
		require.NoError(t, os.WriteFile(to, []byte(text), 0o644))
		replace[path] = to
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	overlay := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(overlay, list, 0o644))
	if testing.Short() {
		t.Skip("the steps apply; building the tree with them takes half a minute")
	}

	run := func(in, name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Dir = in
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %s\n%s", name, strings.Join(args, " "), out)
		return string(out)
	}
	const fast = "-gcflags=foundry/...=-l" // most of the tree compiles for one short run: nothing is inlined
	run(root, "go", "test", "-vet=off", fast, "-overlay", overlay, "./ir", "./ir/interp", "./ir/irgen", "-run", "^(TestOps|TestPrintParse|TestEveryOpAppears|TestEachMutationChangesTheGraph)$")
	if isComplete() { // below the new operation's kernel runs beside the reference, in a program that is built anyway
		run(root, "go", "test", "-vet=off", fast, "-overlay", overlay, "./lower/metal", "-run", "^(TestOps/leaky_relu|TestOpsAreMSL)$")
	}

	commands := generated.FindAllStringSubmatch(page(t), -1)
	require.Len(t, commands, 2)
	for _, c := range commands {
		binary := filepath.Join(dir, c[1]+".test")
		run(root, "go", "test", "-vet=off", fast, "-ldflags=-s -w", "-overlay", overlay, "-c", "-o", binary, "./"+c[1])
		which := c[2]
		if !isComplete() {
			which = strings.TrimPrefix(which, "Counters|") // every published size again, of which TestCounters has a table
		}
		run(filepath.Join(copied, c[1]), binary, "-test.run", which, c[3])
	}
	held := "Explain"
	if isComplete() { // what has just been generated, and the rest of the room
		held = "Explain|Counters|PlanHashes"
		run(filepath.Join(copied, "passes"), filepath.Join(dir, "passes.test"))
	}
	run(filepath.Join(copied, "tests"), filepath.Join(dir, "tests.test"), "-test.run", held)

	program := filepath.Join(dir, "foundry")
	run(root, "go", "build", fast, "-ldflags=-s -w", "-overlay", overlay, "-o", program, "./cmd/foundry")
	// The new family compiles: five dispatches a layer of 16, and three around them.
	require.Regexp(t, `fewest +83 +83 `, run(dir, program, "bench", "--model", "synth:llama3.2-1b", "--variants", "fewest", "--reps", "0"))
	graph := filepath.Join(dir, "leaky.fir")
	require.NoError(t, os.WriteFile(graph, []byte(`graph @leaky (T=1..8, P=0..7, S<=8) {
  %0 = input "gate" : f32[T, 64]
  %1 = input "up" : f32[T, 64]
  %2 = leaky_relu %0 {slope=0.01} : f32[T, 64] @"gated"
  %3 = mul %2, %1 : f32[T, 64] @"mul"
  return y=%3
}
`), 0o644))
	fused := run(dir, program, "opt", graph, "--explain")
	require.Regexp(t, `fuse-leaky-glu{when=cheaper}\n +matched +1 x gated`, fused)
	require.Contains(t, fused, `{pattern="leaky-glu"}`)
	if _, err := child.Find("c++", "g++", "clang++"); devicetest.Have(t, err) {
		run(dir, program, "verify", graph, "--device", "cpu")
	}
	bundle := filepath.Join(dir, "plan")
	run(dir, program, "compile", "--model", graph, "-o", bundle)
	kernels, err := filepath.Glob(filepath.Join(bundle, "kernels", "*.metal"))
	require.NoError(t, err)
	require.Len(t, kernels, 1, "one dispatch for both operations")
	text, err := os.ReadFile(kernels[0])
	require.NoError(t, err)
	require.Contains(t, string(text), "---- epilogue/leaky_relu.metal ----")
}
