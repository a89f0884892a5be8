package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"foundry/runtime/child"
)

//go:embed switches.go.txt
var switchesText []byte

// programs are the packages' tests, built with every mistake in Go behind its switch,
// and what they meet. All of it is kept in a folder, for sources that stay the same.
type programs struct {
	root, dir string
	key       string // hash of the sources
	edits     []edit // mistakes in Go, by number
	overlay   string
	tested    []string // folders with tests, below the root
	had       map[string]*tests
	slowest   float64 // seconds of a test beyond which it is not run; 0: there are none
}

// tests are those of a package.
type tests struct {
	Key   string // hash of the sources and the package's tests
	Tests []test
	file  string // the program
	dir   string
}

// test is one of them, run alone.
type test struct {
	Name    string
	Seconds float64
	Fails   bool   // unchanged code that fails the test: it can tell nothing
	Met     []byte // a bit for each number
}

// met reports whether the test meets mistake k.
func (t test) met(k int) bool { return t.Met[k/8]>>(k%8)&1 == 1 }

func newPrograms(ctx context.Context, root, dir string) (*programs, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	p := &programs{root: root, dir: dir, had: map[string]*tests{}, overlay: filepath.Join(dir, "overlay.json")}
	if p.edits, err = sourceKinds["go"].all(root, os.ReadFile); err != nil {
		return nil, err
	}
	if err := p.hashSources(); err != nil {
		return nil, err
	}
	made := p.key + "\n" + hashOf(p.edits)
	kept, err := os.ReadFile(filepath.Join(dir, "key"))
	if err == nil && string(kept) == made {
		return p, nil
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o777)); err != nil {
		return nil, err
	}
	if err := p.write(ctx); err != nil {
		return nil, err
	}
	return p, os.WriteFile(filepath.Join(dir, "key"), []byte(made), 0o666)
}

// hashOf is the hash of a list of mistakes, which numbers follow from.
func hashOf(edits []edit) string {
	sum := sha256.New()
	for _, e := range edits {
		fmt.Fprintf(sum, "%s %d %d %s %v\n", e.file, e.from, e.to, e.by, e.behind)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// hashSources sets the key, of all Go text but tests and this program, and the folders that have tests.
func (p *programs) hashSources() error {
	sum := sha256.New()
	sum.Write(switchesText)
	err := filepath.WalkDir(p.root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(p.root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && rel != "." || rel == "examples" || rel == "tests/mutants"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(rel, ".go"):
			return nil
		case strings.HasSuffix(rel, "_test.go"):
			if folder := path.Dir(rel); !slices.Contains(p.tested, folder) {
				p.tested = append(p.tested, folder)
			}
			return nil
		}
		text, err := os.ReadFile(name)
		fmt.Fprintf(sum, "%s %d\n%s", rel, len(text), text)
		return err
	})
	p.key = hex.EncodeToString(sum.Sum(nil))
	return err
}

// write makes the sources with switches, and the overlay that has them. Mistakes whose
// switch the types do not admit stay without.
func (p *programs) write(ctx context.Context) error {
	fits, err := fitting(ctx, p.root, p.edits)
	if err != nil {
		return err
	}
	list := map[string]string{}
	put := func(rel string, text []byte) error {
		to := filepath.Join(p.dir, "text", filepath.FromSlash(rel))
		list[filepath.Join(p.root, filepath.FromSlash(rel))] = to
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o777), os.WriteFile(to, text, 0o666))
	}
	if err := put("mutant_/switches.go", switchesText); err != nil {
		return err
	}
	for file, text := range fits.files {
		if err := put(file, text); err != nil {
			return err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": list})
	if err == nil {
		err = os.WriteFile(p.overlay, text, 0o666)
	}
	if err == nil {
		text, err = json.Marshal(fits.has)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, "switched.json"), text, 0o666)
	}
	return err
}

// switched lists which mistakes have a switch.
func (p *programs) switched() (has []bool, err error) {
	text, err := os.ReadFile(filepath.Join(p.dir, "switched.json"))
	if err == nil {
		err = json.Unmarshal(text, &has)
	}
	return has, err
}

var testName = regexp.MustCompile(`^(Test|Example|Fuzz)`)

// testLimit is the time of one test.
const testLimit = 10 * time.Minute

// kept returns the tests of a package as they were measured, with the key of the
// sources as they are; none where they have to be measured.
func (p *programs) kept(pkg string) (t *tests, key string, err error) {
	if t := p.had[pkg]; t != nil {
		return t, t.Key, nil
	}
	if key, err = p.keyOf(pkg); err != nil {
		return nil, "", err
	}
	text, err := os.ReadFile(p.name(pkg) + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, key, nil
	}
	t = p.unmeasured(pkg)
	if err == nil {
		err = json.Unmarshal(text, t)
	}
	if err != nil || t.Key != key {
		return nil, key, err
	}
	p.had[pkg] = t
	return t, key, nil
}

// measured reports whether it is known what a package's tests meet.
func (p *programs) measured(pkg string) (bool, error) {
	t, _, err := p.kept(pkg)
	return t != nil, err
}

func (p *programs) name(pkg string) string {
	return filepath.Join(p.dir, strings.ReplaceAll(pkg, "/", "+"))
}

func (p *programs) unmeasured(pkg string) *tests {
	return &tests{file: p.name(pkg) + ".test", dir: filepath.Join(p.root, filepath.FromSlash(pkg))}
}

// of returns the tests of a package, built and measured where they are not known.
func (p *programs) of(ctx context.Context, pkg string) (*tests, error) {
	t, key, err := p.kept(pkg)
	if err == nil && t == nil {
		fmt.Fprintf(os.Stderr, "what the tests of ./%s meet\n", pkg)
		t = p.unmeasured(pkg)
		t.Key = key
		var text []byte
		if err = p.measure(ctx, pkg, t); err == nil {
			text, err = json.Marshal(t)
		}
		if err == nil {
			err = os.WriteFile(p.name(pkg)+".json", text, 0o666)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("tests of ./%s: %w", pkg, err)
	}
	p.had[pkg] = t
	return t, nil
}

// keyOf is the hash of the sources, of the package's own tests and of how long those may take.
func (p *programs) keyOf(pkg string) (string, error) {
	files, err := filepath.Glob(filepath.Join(p.root, filepath.FromSlash(pkg), "*_test.go"))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprint(sum, p.key, p.slowest)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// longest is how long a test is watched: what takes more than the slowest is not run again.
func (p *programs) longest() time.Duration {
	if p.slowest == 0 {
		return testLimit
	}
	return min(testLimit, time.Second+time.Duration(p.slowest*float64(time.Second)))
}

// measure builds a package's tests and runs each alone.
func (p *programs) measure(ctx context.Context, pkg string, t *tests) error {
	output, failed, _, err := goTool(ctx, p.root, []string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", p.overlay, "-o", t.file, "./" + pkg}, stageLimit, 0)
	if err == nil && failed {
		err = fmt.Errorf("%s", firstFailure(output))
	}
	if err != nil {
		return err
	}
	list, _, err := child.Run(ctx, child.Command{Path: t.file, Dir: t.dir, Args: []string{"-test.list", "."}})
	if err != nil {
		return err
	}
	t.Tests = nil
	file := p.name(pkg) + ".met"
	for name := range strings.Lines(string(list)) {
		if name = strings.TrimSpace(name); !testName.MatchString(name) {
			continue
		}
		if err := os.WriteFile(file, make([]byte, len(p.edits)), 0o666); err != nil {
			return err
		}
		start := time.Now()
		_, failed, timedOut, err := t.run(ctx, []string{name}, p.longest(), "FOUNDRY_MUTANTS_MET="+file)
		if err != nil {
			return err
		}
		one := test{Name: name, Seconds: time.Since(start).Seconds(), Fails: failed || timedOut, Met: make([]byte, len(p.edits)/8+1)}
		met, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for k, m := range met {
			one.Met[k/8] |= m << (k % 8)
		}
		t.Tests = append(t.Tests, one)
	}
	return os.Remove(file)
}

// rapidFolder is where package rapid leaves what a property failed on, for the next run:
// below a package's folder.
const rapidFolder = "testdata/rapid"

// tidied returns what takes away the folder that tests leave which fail for a mistake: it
// would be a source of the tests that come then.
func tidied(dir string, err *error) func() {
	folder := filepath.Join(dir, filepath.FromSlash(rapidFolder))
	if _, e := os.Stat(folder); !errors.Is(e, fs.ErrNotExist) {
		return func() {} // somebody's own
	}
	return func() { *err = errors.Join(*err, os.RemoveAll(folder)) }
}

// run runs some of the tests, until one fails.
func (t *tests) run(ctx context.Context, names []string, limit time.Duration, env string) (output []byte, failed, timedOut bool, err error) {
	defer tidied(t.dir, &err)()
	_, _, err = within(ctx, limit+5*time.Second, child.Command{Path: t.file, Dir: t.dir, Env: []string{env},
		Args: []string{"-test.failfast", "-test.timeout", limit.String(), "-test.run", "^(" + strings.Join(names, "|") + ")$"}})
	output, failed, timedOut, err = ended(ctx, err)
	return output, failed, timedOut || bytes.Contains(output, []byte("panic: test timed out")), err
}

// meeting lists the tests of a package that meet a mistake. One without a switch has those
// of its declaration. Where nothing of that has a switch, as in a table that tests read
// without passing a statement of its file, those are all tests of the mistake's own package,
// and of others the tests that meet its file, else its folder.
func (p *programs) meeting(pkg string, t *tests, k int, switched []bool) (names []string, seconds float64) {
	e := p.edits[k]
	near := [][]int{{k}}
	if !switched[k] {
		near = make([][]int, 3)
		for i, o := range p.edits {
			switch {
			case !switched[i] || path.Dir(o.file) != path.Dir(e.file):
			case o.file == e.file && o.decl == e.decl:
				near[0] = append(near[0], i)
			case o.file == e.file:
				near[1] = append(near[1], i)
			default:
				near[2] = append(near[2], i)
			}
		}
	}
	all := len(near[0]) == 0 && pkg == path.Dir(e.file)
	for _, some := range near {
		for _, one := range t.Tests {
			if !one.Fails && (p.slowest == 0 || one.Seconds <= p.slowest) && (all || slices.ContainsFunc(some, one.met)) {
				names, seconds = append(names, one.Name), seconds+one.Seconds
			}
		}
		if all || len(some) > 0 {
			break
		}
	}
	return names, seconds
}

// number is that of an edit, which another kind may have listed.
func (p *programs) number(e edit) int {
	return slices.IndexFunc(p.edits, func(o edit) bool {
		return o.file == e.file && o.from == e.from && o.to == e.to && o.by == e.by
	})
}

// mutantEnv makes mistake k.
func mutantEnv(k int) string { return "FOUNDRY_MUTANT=" + strconv.Itoa(k) }
