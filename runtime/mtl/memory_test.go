package mtl

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
)

// TestPrivateMemory moves more through the staging buffer than it holds, from and
// to places that are not whole words.
func TestPrivateMemory(t *testing.T) {
	e := emulate(t)
	d, err := openOn(e, Options{})
	require.NoError(t, err)
	m, err := d.Alloc(3*stagingBytes, fruntime.Private)
	require.NoError(t, err)
	require.Nil(t, m.(*memory).bytes)
	data := make([]byte, 2*stagingBytes+5)
	for i := range data {
		data[i] = byte(i*i>>7 + i)
	}
	require.NoError(t, m.Write(7, data))
	got := make([]byte, len(data)+14)
	require.NoError(t, m.Read(0, got))
	require.Equal(t, make([]byte, 7), got[:7])
	require.True(t, bytes.Equal(data, got[7:len(data)+7]))
	require.Equal(t, make([]byte, 7), got[len(data)+7:])

	e.Fault("command-buffer-error")
	require.ErrorContains(t, m.Read(0, got), "the GPU gave up on a copy")
	require.NoError(t, m.Read(0, got))
	require.NoError(t, m.Free())
	require.NoError(t, d.Close())
	require.Empty(t, e.Noted())
}

// TestMemoryByUse: the host sees all but what only kernels touch.
func TestMemoryByUse(t *testing.T) {
	e := emulate(t)
	d, err := openOn(e, Options{})
	require.NoError(t, err)
	for use, private := range map[fruntime.Use]bool{fruntime.Shared: false, fruntime.Private: true, fruntime.Filled: false} {
		m, err := d.Alloc(64, use)
		require.NoError(t, err)
		require.Equal(t, private, m.(*memory).bytes == nil, "use %d", use)
		require.NoError(t, m.Free())
	}
	require.NoError(t, d.Close())
	require.Empty(t, e.Noted())
}

// TestAdopt runs a kernel on a mapped file.
func TestAdopt(t *testing.T) {
	b := newBench(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	path := filepath.Join(t.TempDir(), "weights")
	require.NoError(t, os.WriteFile(path, content, 0o644))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	page := os.Getpagesize()
	file, err := mmap.MapRegion(f, (len(content)+page-1)/page*page, mmap.RDONLY, 0, 0)
	require.NoError(t, err)
	defer file.Unmap()
	x, err := b.dev.Adopt(file, 16, 128)
	require.NoError(t, err)
	require.Error(t, x.Write(0, []byte{1}))
	_, err = b.dev.Adopt(file, int64(len(file))-100, 128)
	require.ErrorContains(t, err, "of the host's")
	l := b.launch()
	l.Bind[0] = fruntime.Operand{Memory: x, Bytes: 128, Access: plan.Read}
	require.NoError(t, b.enc.Dispatch(l))
	require.NoError(t, b.enc.Commit())
	require.NoError(t, x.Free(), "the command buffer keeps it")
	require.NoError(t, b.enc.Wait())
	got := make([]byte, 128)
	require.NoError(t, b.y.Read(0, got))
	require.Equal(t, content[16:16+128], got)
	require.Empty(t, b.e.Noted())
}
