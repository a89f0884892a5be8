package emulated

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"foundry"
	"foundry/cmd/foundry/cli"
	"foundry/lower/plan"
	"foundry/runtime/child"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/eval"
	"foundry/runtime/mtl/emulator"

	"github.com/stretchr/testify/require"
)

// foundryCmd runs one command line in this process.
func foundryCmd(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = cli.Main(t.Context(), args, cli.IO{
		In: strings.NewReader(""), Out: &stdout, Err: &stderr,
		Env:     func(string) string { return "" },
		Confine: func() error { return nil }, // the tests' process keeps its rights
	})
	return code, stdout.String(), stderr.String()
}

// ok runs a command that must succeed and returns what it printed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := foundryCmd(t, args...)
	require.Zero(t, code, errs)
	return out
}

// withGPU compiles a model, and the driver's GPU for its plan.
func withGPU(t *testing.T, model string, flags ...string) (bundle, gpu string) {
	t.Helper()
	bundle, gpu = filepath.Join(t.TempDir(), "plan"), filepath.Join(t.TempDir(), "gpu")
	ok(t, append([]string{"compile", "--model", model, "--no-log", "-o", bundle}, flags...)...)
	code, _, errs := foundryCmd(t, "emulate", bundle, "-o", gpu)
	if strings.Contains(errs, emulator.ErrUnavailable.Error()) {
		devicetest.Need(t, fmt.Errorf("%w: %s", emulator.ErrUnavailable, errs))
	}
	require.Zero(t, code, errs)
	return bundle, gpu
}

// driver builds a C++ program for the emulated framework.
func driver(t *testing.T, source, gpu string) string {
	t.Helper()
	cxx, err := child.Find("g++")
	devicetest.Need(t, err)
	program := filepath.Join(t.TempDir(), "drive")
	out, err := exec.Command(cxx, "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", source, "-L"+gpu, "-lmetal", "-o", program).CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

// drive runs it with the framework of a folder.
func drive(t *testing.T, program, gpu string, args ...string) (code int, out, errs string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+gpu)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		require.IsType(t, &exec.ExitError{}, err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// greedy are the ids that Foundry itself generates from a bundle, by the kernels that the
// framework runs.
func greedy(t *testing.T, model, bundle string, n int) []int32 {
	t.Helper()
	m, err := foundry.Open(model, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	e, err := foundry.Start(t.Context(), m, foundry.StartOptions{Device: foundry.CPU, PlanDir: bundle,
		CPU: cpu.Options{FewRuns: true, Confine: func() error { return nil }}}) // the tests' process keeps its rights
	require.NoError(t, err)
	defer e.Close()
	out, err := eval.Prompt(t.Context(), e, eval.Options{IDs: []int32{10, 20, 30, 40, 50}, Greedy: n, Top: 1})
	require.NoError(t, err)
	return out.GreedyIDs
}

const drivenModel = "../../frontends/checkpoint/kjv2m"

// The driver in C++ gives Foundry's tokens from the same bundle, stops at the end ids,
// leaves nothing behind, and says in a line what it cannot run.
func TestDriverInCPP(t *testing.T) {
	t.Parallel()
	// Entries for short contexts, and chains of which some end beyond them.
	bundle, gpu := withGPU(t, drivenModel, "--short-contexts", "8,40", "--chain", "3")
	program := driver(t, "../../examples/drive-cpp/drive.cc", gpu)
	line := func(ids []int32) string { return strings.Trim(fmt.Sprint(ids), "[]") + "\n" }
	run := func(bundle, gpu, weights, n string) (int, string, string) {
		return drive(t, program, gpu, bundle, weights, n, "10", "20", "30", "40", "50")
	}

	code, out, errs := run(bundle, gpu, drivenModel, "64")
	require.Zero(t, code, errs)
	require.Empty(t, errs)
	want := greedy(t, drivenModel, bundle, 64)
	require.Len(t, want, 64)
	require.Equal(t, line(want), out)

	t.Run("affine", func(t *testing.T) {
		model := filepath.Join(t.TempDir(), "mlx")
		ok(t, "convert", "--model", drivenModel, "--weights", "affine4", "-o", model)
		bundle, gpu := withGPU(t, model)
		code, out, errs := run(bundle, gpu, model, "64")
		require.Zero(t, code, errs)
		require.Equal(t, line(greedy(t, model, bundle, 64)), out)
	})
	t.Run("a prompt in chunks", func(t *testing.T) {
		small := filepath.Join(t.TempDir(), "plan")
		ok(t, "compile", "--model", drivenModel, "--chunk", "2", "-o", small)
		gpu := filepath.Join(t.TempDir(), "gpu")
		ok(t, "emulate", small, "-o", gpu)
		code, out, errs := run(small, gpu, drivenModel, "8")
		require.Zero(t, code, errs)
		require.Equal(t, line(greedy(t, drivenModel, small, 8)), out)
		require.Equal(t, line(want[:8]), out, "with one entry decode, as with three")
	})
	t.Run("end ids", func(t *testing.T) {
		p, err := plan.Load(bundle)
		require.NoError(t, err)
		p.Tokens.Ends = append(p.Tokens.Ends, want[5])
		ending := filepath.Join(t.TempDir(), "plan")
		require.NoError(t, p.Save(ending))
		code, out, errs := run(ending, gpu, drivenModel, "64")
		require.Zero(t, code, errs)
		require.Equal(t, line(want[:5]), out)
	})

	edited := func(name, from, to string) string {
		dir := filepath.Join(t.TempDir(), "plan")
		require.NoError(t, os.CopyFS(dir, os.DirFS(bundle)))
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, string(text), from)
		require.NoError(t, os.WriteFile(path, bytes.Replace(text, []byte(from), []byte(to), 1), 0o666))
		return dir
	}
	p, err := plan.Load(bundle)
	require.NoError(t, err)
	for want, how := range map[string]struct{ bundle, weights string }{
		"the checkpoint has no tensor model.norm.weight, which the plan wants": {bundle, without(t, "model.norm.weight")},
		"plan.json has another hash than it says":                              {edited("plan.json", `"context":`, `"context": `), drivenModel},
		p.Kernels[0].File + " has another hash than the plan says":             {edited(p.Kernels[0].File, "0u", "1u"), drivenModel},
		"a plan of schema 3, this driver reads 5; compile the model again":     {edited("plan.json", `"schema": 5`, `"schema": 3`), drivenModel},
		"cannot be read": {bundle, filepath.Join(t.TempDir(), "nothing")},
	} {
		code, out, errs := run(how.bundle, gpu, how.weights, "8")
		require.Equal(t, 1, code, want)
		require.Empty(t, out)
		require.Contains(t, errs, want)
		require.Equal(t, 1, strings.Count(errs, "\n"), errs)
		require.True(t, strings.HasPrefix(errs, "drive: "), errs)
	}
	code, _, errs = drive(t, program, gpu, bundle, drivenModel, "8", "2048")
	require.Equal(t, 1, code)
	require.Equal(t, "drive: token 2048 is outside the vocabulary of 2048\n", errs)

	// The framework tells what a program leaves behind.
	leaks := filepath.Join(t.TempDir(), "leaks.cc")
	require.NoError(t, os.WriteFile(leaks, []byte("extern \"C\" void* MTLCreateSystemDefaultDevice();\nint main() { MTLCreateSystemDefaultDevice(); }\n"), 0o666))
	code, _, errs = drive(t, driver(t, leaks, gpu), gpu)
	require.Equal(t, 70, code)
	require.Equal(t, "emulated Metal: 1 objects are left at the end\n", errs)

	// What every Objective-C program sends is known; a message that nobody has is told.
	ordinary := filepath.Join(t.TempDir(), "ordinary.cc")
	require.NoError(t, os.WriteFile(ordinary, []byte(`
typedef void* id;
extern "C" { id MTLCreateSystemDefaultDevice(); id objc_getClass(const char*); const char* sel_registerName(const char*); void objc_msgSend();
             id objc_autoreleasePoolPush(); void objc_autoreleasePoolPop(id); }
static id send(id o, const char* s, const char* a = nullptr) { return ((id (*)(id, const char*, const char*))objc_msgSend)(o, sel_registerName(s), a); }
int main() {
    id pool = objc_autoreleasePoolPush(), device = MTLCreateSystemDefaultDevice(), options = objc_getClass("MTLCompileOptions");
    send(send(send(send(options, "alloc"), "init"), "retain"), "release");
    send(send(options, "new"), "autorelease");
    send(send(objc_getClass("NSString"), "stringWithUTF8String:", "text"), "lowercaseString");
    send(device, "release");
    objc_autoreleasePoolPop(pool);
}
`), 0o666))
	code, _, errs = drive(t, driver(t, ordinary, gpu), gpu)
	require.Equal(t, 70, code)
	require.Equal(t, "emulated Metal: unknown selector -[NSString lowercaseString]\nemulated Metal: 1 objects are left at the end\n", errs)
}

// without is a safetensors file of the model that lacks a tensor.
func without(t *testing.T, tensor string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(drivenModel, "model.safetensors"))
	require.NoError(t, err)
	n := binary.LittleEndian.Uint64(b)
	var head map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(b[8:8+n], &head))
	require.Contains(t, head, tensor)
	delete(head, tensor)
	text, err := json.Marshal(head)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	require.NoError(t, os.WriteFile(path, append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), b[8+n:]...), 0o666))
	return path
}

// Every message that the driver sends is one of Apple's headers.
func TestDriversSendWhatMetalHas(t *testing.T) {
	table, err := os.ReadFile("../../runtime/mtl/testdata/selectors.tsv")
	require.NoError(t, err)
	source, err := os.ReadFile("../../examples/drive-cpp/drive.cc")
	require.NoError(t, err)
	sent := regexp.MustCompile(`send(?:<[^(]*>)?\([^"]*?, "([A-Za-z:]+)"`).FindAllStringSubmatch(string(source), -1)
	require.Greater(t, len(sent), 18)
	for _, m := range sent {
		require.Contains(t, string(table), "\t"+m[1]+"\t", m[0])
	}
}

// The driver in Swift is checked where there is a Swift compiler and Metal.
func TestDriverInSwift(t *testing.T) {
	if runtime.GOOS != "darwin" {
		devicetest.Need(t, child.Absent("Swift's Metal is on macOS only"))
	}
	swiftc, err := child.Find("swiftc")
	devicetest.Need(t, err)
	out, err := exec.Command(swiftc, "-typecheck", "../../examples/drive-swift/drive.swift").CombinedOutput()
	require.NoError(t, err, string(out))
}
