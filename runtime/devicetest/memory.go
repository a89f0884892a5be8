package devicetest

import (
	"bytes"

	"github.com/stretchr/testify/require"

	"foundry/runtime"
)

func memoryZeroed(r *rig) {
	const n = 1 << 16
	// A second allocation may get the bytes of a freed first one.
	for range 3 {
		m := r.alloc(n)
		got := make([]byte, n)
		require.NoError(r, m.Read(0, got))
		require.Equal(r, make([]byte, n), got, "fresh memory is zero")
		require.NoError(r, m.Write(0, bytes.Repeat([]byte{0xa5}, n)))
		require.NoError(r, m.Free())
	}
}

func memoryOffsets(r *rig) {
	m := r.alloc(1000)
	defer m.Free()
	require.NoError(r, m.Write(3, []byte{1, 2, 3, 4, 5}))
	require.NoError(r, m.Write(995, []byte{6, 7, 8, 9, 10}))
	require.NoError(r, m.Write(1000, nil), "an empty write at the end is within bounds")
	got := make([]byte, 1000)
	require.NoError(r, m.Read(0, got))
	want := make([]byte, 1000)
	copy(want[3:], []byte{1, 2, 3, 4, 5})
	copy(want[995:], []byte{6, 7, 8, 9, 10})
	require.Equal(r, want, got)
	part := make([]byte, 2)
	require.NoError(r, m.Read(996, part))
	require.Equal(r, []byte{7, 8}, part)
}

// memoryUses writes and reads memory of every kind, also where the host seldom
// does.
func memoryUses(r *rig) {
	for _, use := range []runtime.Use{runtime.Shared, runtime.Private, runtime.Filled} {
		m, err := r.dev.Alloc(1000, use)
		require.NoError(r, err)
		got := make([]byte, 1000)
		require.NoError(r, m.Read(0, got))
		require.Equal(r, make([]byte, 1000), got, "fresh memory is zero")
		require.NoError(r, m.Write(0, bytes.Repeat([]byte{7}, 1000)))
		require.NoError(r, m.Write(3, []byte{1, 2, 3, 4, 5}))
		require.NoError(r, m.Read(1, got[:9]))
		require.Equal(r, []byte{7, 7, 1, 2, 3, 4, 5, 7, 7}, got[:9])
		require.NoError(r, m.Free())
	}
}

func memoryBounds(r *rig) {
	m := r.alloc(64)
	defer m.Free()
	n := m.Bytes()
	b := make([]byte, 8)
	for _, offset := range []int64{-1, n - 7, n, n + 1, 1 << 62} {
		require.Error(r, m.Write(offset, b), "write of 8 bytes at %d of %d", offset, n)
		require.Error(r, m.Read(offset, b), "read of 8 bytes at %d of %d", offset, n)
	}
	require.NoError(r, m.Write(n-8, b))
}

func memorySizes(r *rig) {
	for _, bytes := range []int64{1, 15, 4096, 4097, 1 << 20} {
		m := r.alloc(bytes)
		require.GreaterOrEqual(r, m.Bytes(), bytes)
		require.NoError(r, m.Free())
	}
	for _, bytes := range []int64{-1, 1 << 60} {
		_, err := r.dev.Alloc(bytes, runtime.Shared)
		require.Error(r, err, "%d bytes cannot be had", bytes)
	}
}

func readBandwidth(r *rig) {
	rate, err := runtime.ReadBandwidth(r.Context(), r.dev, 1<<20)
	require.NoError(r, err)
	require.Positive(r, rate)
}
