package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func entryNames(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func TestWriteIsWholeOrNot(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.txt")
	require.NoError(t, Write(t.Context(), path, text("first")))
	require.NoError(t, os.Chmod(path, 0o640))
	require.EqualError(t, Write(t.Context(), path, func(w io.Writer) error {
		_, _ = io.WriteString(w, "sec")
		return errors.New("disk full")
	}), "disk full")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "first", string(b))
	require.NoError(t, Write(t.Context(), path, text("second")))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode(), "a file that is replaced keeps its mode")

	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(path, link))
	require.NoError(t, Write(t.Context(), link, text("third")))
	b, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "third", string(b))
	require.Equal(t, []string{"link", "x.txt"}, entryNames(t, dir))

	require.NoError(t, os.Remove(path))
	require.EqualError(t, Write(t.Context(), link, text("")), strconv.Quote(link)+" is a link to nothing")
	require.EqualError(t, Write(t.Context(), dir, text("")), strconv.Quote(dir)+" is no file that can be replaced")
	require.ErrorContains(t, Write(t.Context(), filepath.Join(dir, "nowhere", "x"), text("")), filepath.Join("nowhere", "x")+": no such file")
}

// A file ends once: what comes after is refused or nothing.
func TestFilesEndOnce(t *testing.T) {
	for _, c := range []struct {
		ends func(f *File) error
		want []string
	}{{(*File).Commit, []string{"x"}}, {(*File).Discard, nil}} {
		dir := t.TempDir()
		f, err := Create(filepath.Join(dir, "x"))
		require.NoError(t, err)
		require.NoError(t, c.ends(f))
		require.NoError(t, f.Discard())
		require.ErrorIs(t, f.Commit(), fs.ErrClosed)
		require.NoError(t, f.Discard())
		require.Equal(t, c.want, entryNames(t, dir))
	}
	require.NoError(t, (*File)(nil).Discard())
}

// The first fault is handed on, and none where there is none.
func TestRaise(t *testing.T) {
	first, second := &Fault{1}, &Fault{2}
	require.NotPanics(t, func() { Raise() })
	require.NotPanics(t, func() { Raise(nil, nil) })
	require.PanicsWithError(t, first.Error(), func() { Raise(nil, first, second) })
	require.Equal(t, second, Guard(func() error { Raise(second, first); return nil }))
}

// What a killed process left is removed; what a living one builds is not.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(temporary(dir, "dead"), nil, 0o600))
	left := temporary(dir, "deadfolder")
	require.NoError(t, os.MkdirAll(filepath.Join(left, "kernels"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".mine.foundry"), nil, 0o600))
	living, err := Create(filepath.Join(dir, "living"))
	require.NoError(t, err)
	folder, err := Folder(dir, "livingfolder")
	require.NoError(t, err)
	require.NoError(t, Write(t.Context(), filepath.Join(dir, "new"), text("x")))
	require.ElementsMatch(t, []string{".mine.foundry", "new", filepath.Base(living.Name()), filepath.Base(folder.Path)}, entryNames(t, dir))
	require.NoError(t, living.Commit())
	require.NoError(t, folder.Remove())
	require.Equal(t, []string{".mine.foundry", "living", "new"}, entryNames(t, dir))
}

// A folder's maker cleans up, too, and does not wait for the next file.
func TestFoldersSweep(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(temporary(dir, "dead"), "kernels"), 0o700))
	folder, err := Folder(dir, "living")
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Base(folder.Path)}, entryNames(t, dir))
	require.NoError(t, folder.Remove())
	require.Empty(t, entryNames(t, dir))
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	require.NoError(t, os.WriteFile(path, []byte("1234"), 0o600))
	b, err := Read(path, 4)
	require.NoError(t, err)
	require.Equal(t, "1234", string(b))
	_, err = Read(path, 3)
	require.ErrorContains(t, err, "is larger than")

	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	link := filepath.Join(dir, "zero")
	require.NoError(t, os.Symlink("/dev/zero", link))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	started := time.Now()
	for _, path := range []string{pipe, link, dir} {
		_, err = Read(path, 1<<20)
		require.ErrorContains(t, err, "is not a regular file")
	}
	_, err = ReadIn(root, "pipe", 1<<20)
	require.ErrorContains(t, err, "is not a regular file")
	for _, name := range []string{"pipe", "zero"} {
		_, err = fs.ReadFile(DirFS(dir, 1<<20), name)
		require.ErrorContains(t, err, "is not a regular file")
	}
	_, err = fs.ReadFile(DirFS(dir, 3), "f")
	require.ErrorContains(t, err, "is larger than")
	b, err = fs.ReadFile(DirFS(dir, 4), "f")
	require.NoError(t, err)
	require.Equal(t, "1234", string(b))
	require.Less(t, time.Since(started), 5*time.Second)
	if _, err := os.Stat("/proc/self/status"); err == nil { // of size 0, and yet not empty
		b, err := Read("/proc/self/status", 1<<20)
		require.NoError(t, err)
		require.NotEmpty(t, b)
	}
}

func TestPrivate(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "a", "cache")
	require.NoError(t, Private(dir))
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	require.Equal(t, os.FileMode(0o700), mode(dir))
	file := filepath.Join(dir, "f")
	require.NoError(t, WritePrivate(file, []byte("x")))
	require.Equal(t, os.FileMode(0o600), mode(file))

	require.NoError(t, os.Chmod(dir, 0o777))
	require.NoError(t, os.Chmod(file, 0o666))
	require.NoError(t, Private(dir))
	_, err := ReadPrivate(file, 1)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), mode(dir))
	require.Equal(t, os.FileMode(0o600), mode(file))
	require.ErrorContains(t, Private(file), "is not a folder")

	require.NoError(t, os.Chmod(dir, 0o777|os.ModeSticky))
	require.ErrorContains(t, Private(dir), "is shared by all users")
	require.NoError(t, os.Chmod(dir, 0o700))

	if os.Geteuid() != 0 {
		return // only root can give a folder away
	}
	require.NoError(t, os.Chown(file, 12345, -1))
	_, err = ReadPrivate(file, 1)
	require.ErrorContains(t, err, "belongs to another user")
	require.NoError(t, os.Chown(dir, 12345, -1))
	require.ErrorContains(t, Private(dir), "belongs to another user (12345)")
}

// What is written at several paths is one file where nothing stood, another where something
// did, which is replaced alone, and leaves nothing else.
func TestWrittenAtManyPaths(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(at("other"), []byte("elsewhere"), 0o644))
	require.NoError(t, os.Link(at("other"), at("c")))
	require.NoError(t, os.Mkdir(at("d"), 0o700))
	require.NoError(t, WritePrivate(at("a"), []byte("ours"), at("b"), at("c"), at("d"), at("a"), at("b")))
	for _, name := range []string{"a", "b", "c", "d"} {
		b, err := ReadPrivate(at(name), 100)
		require.NoError(t, err)
		require.Equal(t, "ours", string(b), name)
		info, err := os.Lstat(at(name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
	}
	b, err := os.ReadFile(at("other"))
	require.NoError(t, err)
	require.Equal(t, "elsewhere", string(b))
	require.NoError(t, WritePrivate(at("a"), []byte("anew"), at("e")))
	one, err := os.Lstat(at("e"))
	require.NoError(t, err)
	two, err := os.Lstat(at("a"))
	require.NoError(t, err)
	require.True(t, os.SameFile(one, two))
	b, err = ReadPrivate(at("b"), 100)
	require.NoError(t, err)
	require.Equal(t, "ours", string(b), "a is another file now")
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, names, 6)
	require.Error(t, WritePrivate(at("f"), nil, filepath.Join(dir, "none", "x")))
}

// What stands in the place of a private file is replaced, whatever it is, and what a link
// leads to stays as it is.
func TestReplacedPrivately(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("theirs"), 0o600))
	path := filepath.Join(dir, "f")
	for what, make := range inTheWay(outside) {
		require.NoError(t, make(path), what)
		_, err := ReadPrivate(path, 100)
		require.Error(t, err, what)
		require.NoError(t, WritePrivate(path, []byte("ours")), what)
		b, err := ReadPrivate(path, 100)
		require.NoError(t, err, what)
		require.Equal(t, "ours", string(b), what)
		require.Equal(t, []string{"f"}, entryNames(t, dir), what)
		require.NoError(t, os.Remove(path))
	}
	b, err := os.ReadFile(outside)
	require.NoError(t, err)
	require.Equal(t, "theirs", string(b))
}

// inTheWay are the ways in which something that is no file comes to stand at a path.
func inTheWay(outside string) map[string]func(path string) error {
	return map[string]func(path string) error{
		"a pipe":                  func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link":                  func(path string) error { return os.Symlink(outside, path) },
		"a link to nothing":       func(path string) error { return os.Symlink("gone", path) },
		"a folder":                func(path string) error { return os.Mkdir(path, 0o700) },
		"a folder of other files": func(path string) error { return os.MkdirAll(filepath.Join(path, "a", "b"), 0o700) },
	}
}

func TestLongNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 250))
	require.NoError(t, Write(t.Context(), path, text("x")))
}

// A link that leads nowhere is no file that is not there: what may be left out is not
// left out in silence. A text with a byte order mark is not read.
func TestReadSaysWhatIsSo(t *testing.T) {
	dir := t.TempDir()
	link, marked := filepath.Join(dir, "link"), filepath.Join(dir, "marked")
	require.NoError(t, os.Symlink("gone", link))
	require.NoError(t, os.WriteFile(marked, []byte("\ufeff{}"), 0o600))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	for name, read := range map[string]func(string) ([]byte, error){
		"Read":        func(path string) ([]byte, error) { return Read(path, 100) },
		"ReadAny":     func(path string) ([]byte, error) { return ReadAny(path, 100) },
		"ReadIn":      func(path string) ([]byte, error) { return ReadIn(root, filepath.Base(path), 100) },
		"ReadPrivate": func(path string) ([]byte, error) { return ReadPrivate(path, 100) },
	} {
		_, err := read(filepath.Join(dir, "none"))
		require.ErrorIs(t, err, fs.ErrNotExist, name)
		_, err = read(link)
		if name == "ReadPrivate" {
			require.ErrorContains(t, err, "is a link, and no file of its folder", name)
		} else {
			require.ErrorContains(t, err, "link is a link to gone, which does not exist", name)
		}
		require.NotErrorIs(t, err, fs.ErrNotExist, name)
		_, err = read(marked)
		require.ErrorContains(t, err, "marked begins with a UTF-8 byte order mark; save it without one", name)
	}
}
