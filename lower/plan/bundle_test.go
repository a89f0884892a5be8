package plan

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"foundry/ir/dtype"
	"foundry/runtime/files"
	"foundry/tests/mutate"
)

func saved(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "bundle")
	require.NoError(t, sample(t).Save(dir))
	return dir
}

// contents reads a folder as path -> bytes.
func contents(t testing.TB, dir string) map[string]string {
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = string(b)
		return err
	}))
	return out
}

func TestLoadIsTheInverseOfSave(t *testing.T) {
	p := sample(t)
	dir := filepath.Join(t.TempDir(), "new", "bundle")
	require.NoError(t, p.Save(dir))
	got, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, p, got)

	moved := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.Rename(dir, moved))
	got, err = Load(moved)
	require.NoError(t, err)
	require.Equal(t, p, got)
}

func TestThreeSavesAreIdentical(t *testing.T) {
	first := contents(t, saved(t))
	require.Len(t, first, 4)
	require.Equal(t, first, contents(t, saved(t)))
	again := saved(t)
	require.NoError(t, sample(t).Save(again), "a bundle may be replaced")
	require.Equal(t, first, contents(t, again))
	left, err := os.ReadDir(filepath.Dir(again))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary folder stays")
}

// A bundle is made beside where it will be, and nowhere else.
func TestSaveWritesNothingWhereItRuns(t *testing.T) {
	here := t.TempDir()
	t.Chdir(here)
	saved(t)
	left, err := os.ReadDir(here)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestSaveLeavesOtherFoldersAlone(t *testing.T) {
	base := t.TempDir()
	write := func(path string) {
		path = filepath.Join(base, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte("mine"), 0o644))
	}
	write("file")
	write("notes/todo.txt")
	write("kernels-only/kernels/a.metal")
	write("mixed/plan.json")
	write("mixed/kernels/deep/a.metal")
	before := contents(t, base)
	for dir, want := range map[string]string{
		"file":         " is not a folder; choose another name for the bundle",
		"notes":        " holds todo.txt, which is no part of a bundle; choose another folder",
		"kernels-only": "no plan.json",
		"mixed":        " holds kernels/deep, which is no part of a bundle; choose another folder",
		"file/below":   "not a directory",
	} {
		err := sample(t).Save(filepath.Join(base, dir))
		if want[0] == ' ' {
			require.EqualError(t, err, filepath.Join(base, dir)+want)
		} else {
			require.ErrorContains(t, err, want)
		}
	}
	require.Equal(t, before, contents(t, base))

	require.NoError(t, os.Mkdir(filepath.Join(base, "empty"), 0o755))
	require.NoError(t, sample(t).Save(filepath.Join(base, "empty")))
}

func TestSaveOfABadPlanWritesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundle")
	p := sample(t)
	dispatch(p, 0).Kernel = 17
	require.ErrorContains(t, p.Save(dir), `dispatch "embed": kernel 17 of 3`)
	_, err := os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Any byte of any file that differs is found, and the file is named.
func TestLoadRefusesAChangedByte(t *testing.T) {
	dir := saved(t)
	files := contents(t, dir)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"plan.json", "kernels/embed.metal", "kernels/scale.metal"}).Draw(t, "file")
		b := []byte(files[name])
		i := rapid.IntRange(0, len(b)-1).Draw(t, "byte")
		b[i] ^= rapid.ByteRange(1, 255).Draw(t, "difference")
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.WriteFile(path, b, 0o644))
		_, err := Load(dir)
		require.ErrorContains(t, err, name)
		require.NoError(t, os.WriteFile(path, []byte(files[name]), 0o644))
	})
	_, err := Load(dir)
	require.NoError(t, err)
}

func TestLoadRefusesWhatIsNoBundle(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown field":   {`"compiler":`, `"compilers":`, `unknown field "compilers"`},
		"other schema":    {`"schema": 5`, `"schema": 3`, "schema version 3, this program reads 5; compile the model again: foundry compile --model toy -o "},
		"not JSON":        {`"schema"`, `schema`, "plan.json"},
		"trailing text":   {"\n}\n", "\n}\n{}", "after top-level value"},
		"path outside":    {`kernels/embed.metal`, `kernels/../../x.metal`, `bundle: plan.json: kernel 0: name "embed" and file "kernels/../../x.metal", want a C identifier and kernels/NAME.metal`},
		"missing kernel":  {`"name":"embed","file":"kernels/embed.metal"`, `"name":"none","file":"kernels/none.metal"`, "none.metal"},
		"another hash":    {`"hash": "`, `"hash": "0`, "plan.json"},
		"other layout":    {`  "schema": 5`, `   "schema": 5`, "plan.json"},
		"unknown dtype":   {`"weights":"f16"`, `"weights":"f17"`, "f17"},
		"dropped field":   {`"compiler": "foundry test",`, ``, "plan.json"},
		"same key, twice": {`"compiler":`, `"msl": "3.0", "compiler":`, "plan.json"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := saved(t)
			text := contents(t, dir)["plan.json"]
			changed := strings.Replace(text, c.old, c.new, 1)
			require.NotEqual(t, text, changed)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "plan.json"), []byte(changed), 0o644))
			_, err := Load(dir)
			require.ErrorContains(t, err, c.want)
			require.True(t, strings.HasPrefix(err.Error(), dir+": "), "it says where: %v", err)
		})
	}
	_, err := Load(filepath.Join(t.TempDir(), "nowhere"))
	require.ErrorContains(t, err, "nowhere")
}

func TestLoadReadsNoHugeFile(t *testing.T) {
	dir := saved(t)
	require.NoError(t, os.Truncate(filepath.Join(dir, "kernels", "embed.metal"), 1<<40)) // sparse
	_, err := Load(dir)
	require.ErrorContains(t, err, "kernels/embed.metal is larger than 4.19 MB")
}

func TestLoadOpensNothingOutside(t *testing.T) {
	dir := saved(t)
	kernel := filepath.Join(dir, "kernels", "embed.metal")
	outside := filepath.Join(t.TempDir(), "embed.metal")
	require.NoError(t, os.Rename(kernel, outside))
	require.NoError(t, os.Symlink(outside, kernel))
	_, err := Load(dir)
	require.ErrorContains(t, err, "embed.metal")
}

func TestSeal(t *testing.T) {
	dir := saved(t)
	before := contents(t, dir)
	p, err := Seal(dir)
	require.NoError(t, err)
	require.False(t, p.Edited)
	require.Equal(t, before, contents(t, dir), "nothing was edited")

	kernel := filepath.Join(dir, "kernels", "embed.metal")
	require.NoError(t, os.WriteFile(kernel, []byte("kernel void embed() { /* faster */ }\n"), 0o644))
	_, err = Load(dir)
	require.ErrorContains(t, err, "kernels/embed.metal: changed")
	require.ErrorContains(t, err, "foundry seal "+dir)
	p, err = Seal(dir)
	require.NoError(t, err)
	require.True(t, p.Edited)
	got, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, p, got)
	require.True(t, got.Edited)
	require.Contains(t, got.Kernels[0].Source, "faster")
	require.NotEqual(t, sample(t).Hash, got.Hash)
	require.Len(t, contents(t, dir), len(before), "no temporary file stays")

	require.NoError(t, os.WriteFile(kernel, nil, 0o644))
	sealed := contents(t, dir)
	_, err = Seal(dir)
	require.ErrorContains(t, err, "kernel embed: no source")
	require.Equal(t, sealed, contents(t, dir), "a bundle that fails is left as it is")
}

func TestRehashIsStable(t *testing.T) {
	a, b := sample(t), sample(t)
	a.Kernels[1].Params, b.Decisions[0].Waves = []Param{}, 2
	require.NoError(t, a.Rehash())
	require.Equal(t, b.Hash, a.Hash, "an empty list is no list")
	b.Kernels[0].Source += "\n"
	require.NoError(t, b.Rehash())
	require.NotEqual(t, a.Hash, b.Hash)
}

// Lists that are nil are written as those that are empty.
func TestListsOfNothing(t *testing.T) {
	nothing := func(entry Entry) string {
		p := &Plan{Options: Options{Weights: dtype.F16, Cache: dtype.F16}, Kernels: []Kernel{{}}, Buffers: []Buffer{{DType: dtype.F16}}, Entries: []Entry{entry}, Prepare: &entry}
		p.normalise()
		text, err := encode(p)
		require.NoError(t, err)
		return string(text)
	}
	text := nothing(Entry{Steps: []Step{{Dispatch: &Dispatch{}}}})
	require.NotContains(t, text, "null")
	require.Equal(t, text, nothing(Entry{Steps: []Step{{Dispatch: &Dispatch{Nodes: []Node{}, Bind: []Binding{}}}}, CommandBuffers: []CommandBuffer{}, Results: []Result{}}))
	require.NotContains(t, nothing(Entry{}), "null")
	empty := &Plan{Options: Options{Weights: dtype.F16, Cache: dtype.F16}}
	empty.normalise()
	have, err := encode(empty)
	require.NoError(t, err)
	require.NotContains(t, string(have), "null")
}

// What JSON cannot say is an error that tells where, and nothing is written.
func TestNumbersThatJSONLacks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plan")
	p := sample(t)
	p.Entries[1].Modelled = &Modelled{Us: math.NaN()}
	want := "cannot write the plan as JSON: entries: [1]: modelled: json: unsupported value: NaN"
	require.EqualError(t, p.Rehash(), want)
	require.EqualError(t, p.Save(dir), want)
	p = sample(t)
	p.Buffers[3].Values[1] = float32(math.Inf(1))
	require.EqualError(t, p.Save(dir), "cannot write the plan as JSON: buffers: [3]: json: unsupported value: +Inf")
	_, err := os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzDecode(f *testing.F) {
	text, err := encode(sample(f))
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(`{"schema":5}`))
	f.Add([]byte(`{"schema":5,"buffers":[{"shape":["9999*T+1"]}],"entries":[{"t_max":1073741824}]}`))
	f.Fuzz(decodeTwice)
}

// FuzzNearlyPlan is FuzzDecode on the sample that is changed in few places.
func FuzzNearlyPlan(f *testing.F) {
	text, err := encode(sample(f))
	require.NoError(f, err)
	tree, err := mutate.JSON(text)
	require.NoError(f, err)
	for i := range byte(64) {
		f.Add([]byte{i, i * 7, i * 13, i * 29, i * 31})
	}
	f.Fuzz(func(t *testing.T, choices []byte) { decodeTwice(t, tree.Text(mutate.From(choices))) })
}

// decodeTwice holds what passes the checks to what is written of it.
func decodeTwice(t *testing.T, text []byte) {
	p, err := decode(text, "bundle")
	if err != nil {
		require.NotContains(t, err.Error(), "\n")
		return
	}
	for i := range p.Kernels {
		p.Kernels[i].Source = "kernel void k() {}"
	}
	if err := p.Check(); err != nil {
		require.NotContains(t, err.Error(), "\n")
		return
	}
	require.NoError(t, p.Rehash())
	again, err := encode(p)
	require.NoError(t, err)
	q, err := decode(again, "bundle")
	require.NoError(t, err)
	for i := range q.Kernels {
		q.Kernels[i].Source = p.Kernels[i].Source
	}
	require.Equal(t, p, q)
	for i := range p.Entries {
		p.Stats(&p.Entries[i], p.corners(&p.Entries[i])[0])
	}
}

// Several processes that write one bundle at once all succeed, and a whole one stays.
func TestSavesAtOnce(t *testing.T) {
	base := t.TempDir()
	for round := range 20 {
		dir := filepath.Join(base, fmt.Sprint(round))
		var group errgroup.Group
		for range 6 {
			p := sample(t)
			group.Go(func() error { return p.Save(dir) })
		}
		require.NoError(t, group.Wait())
		_, err := Load(dir)
		require.NoError(t, err)
	}
	left, err := os.ReadDir(base)
	require.NoError(t, err)
	require.Len(t, left, 20)
}

// A look at a bundle that others replace meanwhile never takes one of them, half
// removed, for a folder of something else.
func TestLooksWhileReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plan")
	p := sample(t)
	require.NoError(t, p.Save(dir))
	stop := make(chan struct{})
	var group errgroup.Group
	for range 2 {
		p := sample(t)
		group.Go(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				if err := p.Save(dir); err != nil {
					return err
				}
			}
		})
	}
	var looked error
	for range 20_000 {
		if _, err := files.Steady(dir, replaceable); err != nil {
			looked = err
			break
		}
	}
	close(stop)
	require.NoError(t, group.Wait())
	require.NoError(t, looked)
}

// What is no regular file is an error at once, for plan.json and for kernels.
func TestLoadDoesNotWait(t *testing.T) {
	for _, name := range []string{planFile, "kernels/embed.metal"} {
		dir := filepath.Join(t.TempDir(), "plan")
		require.NoError(t, sample(t).Save(dir))
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.Remove(path))
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		_, err := Load(dir)
		require.ErrorContains(t, err, name+" is not a regular file")
	}
}

// While a bundle is replaced one stands there at every moment, so a process that is
// killed at any of them leaves one.
func TestABundleIsNeverAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plan")
	p := sample(t)
	require.NoError(t, p.Save(dir))
	stop, looked := make(chan struct{}), make(chan error, 1)
	go func() {
		for looks := 0; ; looks++ {
			select {
			case <-stop:
				looked <- nil
				return
			default:
			}
			if _, err := os.Lstat(filepath.Join(dir, planFile)); err != nil {
				looked <- fmt.Errorf("after %d looks: %w", looks, err)
				return
			}
		}
	}()
	for range 150 {
		require.NoError(t, p.Save(dir))
	}
	close(stop)
	require.NoError(t, <-looked)
	_, err := Load(dir)
	require.NoError(t, err)
}
