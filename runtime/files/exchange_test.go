package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What stands still is looked at once; what changes at every look 1,001 times, and the last
// one counts.
func TestSteady(t *testing.T) {
	dir := t.TempDir()
	looks := 0
	exists, err := Steady(dir, func(string) (bool, error) { looks++; return true, nil })
	require.NoError(t, err)
	require.True(t, exists)
	require.Equal(t, 1, looks)
	looks = 0
	exists, err = Steady(filepath.Join(dir, "none"), func(string) (bool, error) { looks++; return false, nil })
	require.NoError(t, err)
	require.False(t, exists)
	require.Equal(t, 1, looks)
	looks = 0
	exists, err = Steady(dir, func(dir string) (bool, error) {
		looks++
		at := time.Unix(int64(looks), 0)
		return looks == 1001, os.Chtimes(dir, at, at)
	})
	require.NoError(t, err)
	require.True(t, exists)
	require.Equal(t, 1001, looks)
	looks = 0
	_, err = Steady(filepath.Join(dir, "x"), func(x string) (bool, error) { // comes during the first look, goes during the second
		looks++
		if looks == 1 {
			return true, os.Mkdir(x, 0o700)
		}
		if looks == 2 {
			return true, os.Remove(x)
		}
		return false, nil
	})
	require.NoError(t, err)
	require.Equal(t, 3, looks)
}

// A folder takes the place of another, or of none; what stands there goes beside the fresh
// one. What may not be replaced stays, and so does what others put there again and again.
func TestReplaceFolder(t *testing.T) {
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	folder := func(name string) string {
		require.NoError(t, os.Mkdir(at(name), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(at(name), name), nil, 0o600))
		return at(name)
	}
	may := func(dir string) (bool, error) {
		_, err := os.Lstat(dir)
		return err == nil, nil
	}
	require.NoError(t, ReplaceFolder(folder("first"), at("dir"), may))
	require.Equal(t, []string{"first"}, entryNames(t, at("dir")))
	require.NoError(t, ReplaceFolder(folder("second"), at("dir"), may))
	require.Equal(t, []string{"second"}, entryNames(t, at("dir")))
	refused := errors.New("refused")
	require.ErrorIs(t, ReplaceFolder(folder("third"), at("dir"), func(string) (bool, error) { return true, refused }), refused)
	require.Equal(t, []string{"second"}, entryNames(t, at("dir")))
	asked := 0
	require.ErrorIs(t, ReplaceFolder(at("third"), at("dir"), func(string) (bool, error) { asked++; return false, nil }), fs.ErrExist)
	require.Equal(t, 1001, asked)
	require.Equal(t, []string{"second"}, entryNames(t, at("dir")))
}

// Where names cannot be exchanged, what stands there is moved away first, and back where the
// other cannot come.
func TestMoveAndRename(t *testing.T) {
	for err, want := range map[error]bool{
		errors.ErrUnsupported: true, syscall.EINVAL: true, syscall.ENOSYS: true, syscall.ENOTSUP: true, syscall.EACCES: false, syscall.ENOENT: false, nil: false,
	} {
		require.Equal(t, want, noExchange(err), "%v", err)
		if err != nil {
			require.Equal(t, want, noExchange(&os.LinkError{Err: err}), "%v", err)
		}
	}
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	for _, name := range []string{"fresh", "dir"} {
		require.NoError(t, os.Mkdir(at(name), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(at(name), name), nil, 0o600))
	}
	require.NoError(t, moveAndRename(at("fresh"), at("dir"), at("old")))
	require.Equal(t, []string{"fresh"}, entryNames(t, at("dir")))
	require.Equal(t, []string{"dir"}, entryNames(t, at("old")))
	require.ErrorIs(t, moveAndRename(at("none"), at("dir"), at("older")), fs.ErrNotExist)
	require.Equal(t, []string{"fresh"}, entryNames(t, at("dir")), "moved back")
	require.ErrorIs(t, moveAndRename(at("old"), at("none"), at("older")), fs.ErrNotExist)
	require.Equal(t, []string{"dir", "old"}, entryNames(t, base))
}
