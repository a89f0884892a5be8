package checkpoint

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"foundry/ir/dtype"
	"foundry/runtime/files"

	"github.com/stretchr/testify/require"
)

// A file that is cut after it was mapped gives one error that names it, from one
// goroutine and from several, and does not end the process.
func TestCutFile(t *testing.T) {
	for name, shape := range map[string][]int64{"small": {64, 256}, "parallel": {1024, 256}} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, nil, map[string][]Tensor{"model.safetensors": {tensor("w", 'a', shape...)}})
			path := filepath.Join(dir, "model.safetensors")
			s, err := Open(dir)
			require.NoError(t, err)
			defer s.Close()
			require.NoError(t, s.(Mapped).Whole())
			before, err := ReadAs(s, "w", dtype.F32, nil)
			require.NoError(t, err)
			require.NoError(t, os.Truncate(path, 4096))
			for range 2 {
				_, err = ReadAs(s, "w", dtype.F32, nil)
				require.ErrorContains(t, err, path+" was cut to 4096 bytes while it was in use; it had")
			}
			raw, err := s.Read("w")
			require.NoError(t, err)
			var fault *files.Fault
			require.ErrorAs(t, files.Guard(func() error {
				_, err := io.Copy(io.Discard, bytes.NewReader(bytes.Clone(raw)))
				return err
			}), &fault)
			require.Len(t, before, len(raw)*2)
		})
	}
}

func TestCutWhileConverted(t *testing.T) {
	s, err := KJV2M()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "x.gguf")
	require.NoError(t, WriteGGUF(t.Context(), path, s, dtype.Invalid, nil, nil))
	cut, err := Open(path)
	require.NoError(t, err)
	defer cut.Close()
	require.NoError(t, os.Truncate(path, 1<<20))
	out := filepath.Join(t.TempDir(), "out")
	require.NoError(t, os.Mkdir(out, 0o777))
	for _, want := range []dtype.Type{dtype.Invalid, dtype.Q8_0} {
		err = WriteGGUF(t.Context(), filepath.Join(out, "y.gguf"), cut, want, nil, nil)
		require.ErrorContains(t, err, path+" was cut to 1048576 bytes")
	}
	left, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Empty(t, left)
}

// What is no regular file, or larger than such a file is, is an error at once.
func TestBoundedFiles(t *testing.T) {
	pipe := func(path string) error { return syscall.Mkfifo(path, 0o600) }
	zero := func(path string) error { return os.Symlink("/dev/zero", path) }
	huge := func(path string) error { // holes: it takes no room
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Truncate(3 << 30)
	}
	for name, make := range map[string]func(string) error{"a regular file": pipe, " a regular file": zero, "is larger than": huge} {
		dir := folder(t, nil, map[string][]Tensor{"model.safetensors": {tensor("w", 'a', 2, 3)}})
		for _, file := range []string{"config.json", "tokenizer.json"} {
			require.NoError(t, make(filepath.Join(dir, file)))
			s, err := Open(dir)
			require.NoError(t, err)
			_, err = s.File(file)
			require.ErrorContains(t, err, file)
			require.ErrorContains(t, err, name)
			require.NoError(t, s.Close())
		}
		dir = t.TempDir()
		require.NoError(t, make(filepath.Join(dir, indexFile)))
		_, err := Open(dir)
		require.ErrorContains(t, err, name)
	}
	for _, make := range []func(string) error{pipe, zero} {
		for _, file := range []string{"x.safetensors", "x.gguf"} {
			path := filepath.Join(t.TempDir(), file)
			require.NoError(t, make(path))
			_, err := Open(path)
			require.ErrorContains(t, err, "not a regular file")
		}
	}
}

// A link that leads nowhere is said to, for one file and for a shard.
func TestDanglingLinks(t *testing.T) {
	dir := folder(t, map[string]string{"config.json": "{}"}, nil)
	require.NoError(t, os.Symlink("../blobs/gone", filepath.Join(dir, singleFile)))
	_, err := Open(dir)
	require.EqualError(t, err, filepath.Join(dir, singleFile)+" is a link to ../blobs/gone, which does not exist")
	_, err = Open(filepath.Join(dir, singleFile))
	require.ErrorContains(t, err, "is a link to ../blobs/gone, which does not exist")

	dir = folder(t, map[string]string{indexFile: twoShards}, map[string][]Tensor{"m-1.safetensors": {tensor("model.a", 'a', 4)}})
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "m-2.safetensors")))
	_, err = Open(dir)
	require.ErrorContains(t, err, "m-2.safetensors is a link to nowhere, which does not exist")

	dir = folder(t, map[string]string{"config.json": "{}"}, map[string][]Tensor{singleFile: {tensor("w", 'a', 4)}})
	require.NoError(t, os.Symlink("gone", filepath.Join(dir, "generation_config.json")))
	s, err := Open(dir)
	require.NoError(t, err)
	defer s.Close()
	_, err = s.File("generation_config.json")
	require.ErrorContains(t, err, "generation_config.json is a link to gone, which does not exist")
	require.NotErrorIs(t, err, fs.ErrNotExist, "what may be missing is not taken for missing")
}

// A file that is refused does not stay open.
func TestRefusedFilesAreClosed(t *testing.T) {
	open := func() int {
		list, err := os.ReadDir("/dev/fd")
		require.NoError(t, err)
		return len(list)
	}
	empty := filepath.Join(t.TempDir(), "empty.gguf")
	require.NoError(t, os.WriteFile(empty, nil, 0o666))
	before := open()
	for _, path := range []string{empty, t.TempDir()} {
		_, err := mapFile(path)
		require.ErrorContains(t, err, path)
	}
	require.Equal(t, before, open())
	// Nor do those that were mapped before it showed that they are none of ours.
	bad := filepath.Join(t.TempDir(), "bad.gguf")
	require.NoError(t, os.WriteFile(bad, []byte("GGUFx"), 0o666))
	alone := filepath.Join(t.TempDir(), "bad.safetensors")
	require.NoError(t, os.WriteFile(alone, []byte("xxxxxxxxx"), 0o666))
	single := folder(t, map[string]string{"config.json": "{}", singleFile: "xxxxxxxxx"}, nil)
	shards := folder(t, map[string]string{indexFile: twoShards, "m-2.safetensors": "xxxxxxxxx"}, map[string][]Tensor{"m-1.safetensors": {tensor("model.a", 'a', 4)}})
	twice := folder(t, map[string]string{indexFile: `{"weight_map":{"model.a":"m-1.safetensors","model.b":"m-1.safetensors"}}`}, map[string][]Tensor{"m-1.safetensors": {tensor("model.a", 'a', 4)}})
	for _, path := range []string{bad, alone, single, shards, twice} {
		_, err := Open(path)
		require.ErrorContains(t, err, path)
		require.Equal(t, before, open(), path)
	}
	kept := folder(t, nil, map[string][]Tensor{singleFile: {tensor("w", 'a', 4)}})
	s, err := Open(kept)
	require.NoError(t, err)
	require.Equal(t, before+1, open())
	require.NoError(t, s.Close())
	require.Equal(t, before, open(), "closed with its source")
}

// What is ended on its way leaves nothing, and says so.
func TestEndedWhileWritten(t *testing.T) {
	s, err := KJV2M()
	require.NoError(t, err)
	parent := t.TempDir()
	for name, write := range map[string]func(ctx context.Context, path string, progress func(done, of int)) error{
		"x.gguf": func(ctx context.Context, path string, progress func(done, of int)) error {
			return WriteGGUF(ctx, path, s, dtype.F16, nil, progress)
		},
		"mix.gguf": func(ctx context.Context, path string, progress func(done, of int)) error {
			return WriteMix(ctx, path, s, nil, progress)
		},
		"folder": func(ctx context.Context, path string, progress func(done, of int)) error {
			return WriteFolder(ctx, path, s, dtype.F16, nil, progress)
		},
	} {
		ctx, end := context.WithCancel(t.Context())
		err := write(ctx, filepath.Join(parent, name), func(done, of int) {
			if done == 1 {
				end()
				require.Eventually(t, func() bool {
					left, err := os.ReadDir(parent)
					return err == nil && len(left) == 0
				}, 10*time.Second, time.Millisecond, "%s goes while it is written", name)
			}
		})
		require.ErrorIs(t, err, context.Canceled, name)
		left, err := os.ReadDir(parent)
		require.NoError(t, err)
		require.Empty(t, left, name)
	}
}
