package main

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is done to a function, as the texts that come of it.
func TestGoEdits(t *testing.T) {
	text := []byte("package p\n\nfunc f(a, b int) {\n\tif a < 2 {\n\t\tg(a, b)\n\t}\n}\n")
	edits, err := goEdits("p.go", text)
	require.NoError(t, err)
	var diffs []string
	for _, e := range edits {
		diffs = append(diffs, e.diff(text))
	}
	require.ElementsMatch(t, []string{
		"-\tif a < 2 {\n+\tif !(a < 2) {\n", "-\tif a < 2 {\n+\tif a <= 2 {\n", "-\tif a < 2 {\n+\tif a < 3 {\n", "-\tif a < 2 {\n+\tif a < 1 {\n",
		"-\t\tg(a, b)\n+\t\t\n", "-\t\tg(a, b)\n+\t\tg(b, a)\n",
	}, diffs)
	require.Equal(t, "p.go:4", edits[0].place(text))
}

// What a list or a map has room for is left alone, how long it is, and what a channel holds,
// is not.
func TestCapacitiesAreLeftAlone(t *testing.T) {
	text := []byte("package p\n\nvar (\n\ta = make([]int, n, 2*n+1)\n\tb = make(map[int]int, n+4)\n\tc = make([]int, n+4)\n\td = make(chan int, 4)\n)\n")
	edits, err := goEdits("p.go", text)
	require.NoError(t, err)
	places := map[string]int{}
	for _, e := range edits {
		if e.what != swapped {
			places[e.place(text)]++
		}
	}
	require.Equal(t, map[string]int{"p.go:6": 3, "p.go:7": 2}, places)
}

// Order and size that say nothing are left alone.
func TestWhatSaysNothingIsLeftAlone(t *testing.T) {
	text := []byte("package p\n\nvar x = f(bytes.Equal(a, b), math.Inf(1), max(a, b))\n")
	edits, err := goEdits("p.go", text)
	require.NoError(t, err)
	require.Len(t, edits, 2, "the arguments of f")
}

// A number that is returned beside an error is left alone, and no other.
func TestNumbersBesideErrorsAreLeftAlone(t *testing.T) {
	text := []byte(`package p

func f() (int, error) {
	n, err := g()
	if err != nil {
		return 0, err
	}
	switch err = h(); {
	case err != nil:
		return -1, err
	case n > k:
		return 7, fmt.Errorf("many")
	case n < k:
		return 8, errors.New("few")
	case n == k:
		return 5, nil
	}
	return 6, err
}
`)
	edits, err := goEdits("p.go", text)
	require.NoError(t, err)
	var places []string
	for _, e := range edits {
		if e.what == "a constant one more" {
			places = append(places, e.place(text))
		}
	}
	require.Equal(t, []string{"p.go:16", "p.go:18"}, places)
}

func TestMSLEdits(t *testing.T) {
	text := []byte("// a < 2\nif (a < 2) {\n    y[i] = a + 1;\n}\n")
	edits, err := mslEdits("p.metal", text)
	require.NoError(t, err)
	var after []string
	for _, e := range edits {
		after = append(after, string(e.apply(text))[len("// a < 2\n"):])
	}
	require.ElementsMatch(t, []string{
		"if (a <= 2) {\n    y[i] = a + 1;\n}\n", "if (a < 3) {\n    y[i] = a + 1;\n}\n", "if (a < 1) {\n    y[i] = a + 1;\n}\n",
		"if (a < 2) {\n    ;\n}\n", "if (a < 2) {\n    y[i] = a - 1;\n}\n", "if (a < 2) {\n    y[i] = a + 2;\n}\n", "if (a < 2) {\n    y[i] = a + 0;\n}\n",
	}, after)
}

// What only another processor compiles is left alone, and what comments say.
func TestTextOfOtherProcessors(t *testing.T) {
	text := []byte("#if defined(__x86_64__)\nint a = 1;\n#elif defined(__aarch64__)\nint a = 2;\n#else\nint a = 3;\n#endif\nint b = 4; // or 5; or 6\n" +
		"#if FOUNDRY_CUDA\nint c = 5;\n#else\nint c = 6;\n#ifdef CHECKED\nint d = 7; /* or 8 */\n#endif\n#endif\n#ifndef D\nint e = 8;\n#else\nint e = 9;\n#endif\n" +
		"#ifndef FOUNDRY_MATRIX_STAGE\nint f = 5;\n#endif\n#ifdef FOUNDRY_LEVELS4\nint g = 5;\n#endif\nstatic_assert(A, \"more than 6\");\n")
	edits, err := mslEdits("p.h", text)
	require.NoError(t, err)
	places := map[string]int{}
	for _, e := range edits {
		places[e.place(text)]++
	}
	of := map[string]string{"amd64": "p.h:2", "arm64": "p.h:4"}[runtime.GOARCH]
	require.Equal(t, map[string]int{of: 3, "p.h:8": 3, "p.h:12": 3, "p.h:14": 3, "p.h:18": 3, "p.h:20": 3, "p.h:28": 1}, places)
}
