package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"foundry/runtime/confine"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// hostileBundle is a sealed bundle whose kernels the gate accepts: the one of decode
// computes for centuries, the one of prefill stores where nothing of its own lies.
func hostileBundle(t *testing.T) string {
	t.Helper()
	oncpu.Need(t)
	dir := filepath.Join(t.TempDir(), "plan")
	compileTo(t, dir, "--context", "64", "--chunk", "16")
	for kernel, statement := range map[string]string{
		"embedding_norm_192":      "for (uint i = 0u; i < 4000000000u; i++) for (uint j = 0u; j < 4000000000u; j++) y[j % 4u] += 1.0f;",
		"embedding_norm_192_many": "y[4000000000u] = 1.0f;",
	} {
		path := filepath.Join(dir, "kernels", kernel+".metal")
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		const begin = "    FOUNDRY_READY();\n"
		require.Equal(t, 1, strings.Count(string(text), begin), kernel)
		changed := strings.Replace(string(text), begin, begin+"    "+statement+"\n", 1)
		require.NoError(t, os.WriteFile(path, []byte(changed), 0o666))
	}
	code, _, errs := foundryCmd(t, nil, "seal", dir)
	require.Zero(t, code, errs)
	return dir
}

// What a kernel does that the gate accepts, the process can bear: in the program as its
// users have it a store through a computed pointer is one line, and a kernel that does not
// end runs without rights, within limits, until somebody interrupts it.
func TestHostileKernelsAreStopped(t *testing.T) {
	t.Parallel()
	if !confine.Available() {
		t.Skip(confine.ErrUnavailable)
	}
	path, err := program()
	require.NoError(t, err)
	dir := hostileBundle(t)

	e := runCommand(t, dir, []string{"eval", "--device", "cpu", "--plan", dir, "--ids", "1,2"}, ending{})
	require.Equal(t, 1, e.code, e.out)
	require.Equal(t, 1, strings.Count(e.errs, "foundry: "), e.errs)
	require.Regexp(t, `^foundry: .*kernel embedding_norm_192_many, .*accesses unreadable memory`, lastLine(e.errs))
	require.Empty(t, e.left)

	cmd := exec.Command(path, "eval", "--device", "cpu", "--plan", dir, "--ids", "1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	require.NoError(t, cmd.Start())
	of := func(file string) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, file))
		require.NoError(t, err)
		return string(text)
	}
	filtered := regexp.MustCompile(`(?m)^Seccomp:\t2$`)
	require.Eventually(t, func() bool { return filtered.MatchString(of("status")) }, time.Minute, 5*time.Millisecond, "the process keeps its rights")
	require.Regexp(t, `Max file size +1073741824 `, of("limits"))
	require.NotRegexp(t, `Max cpu time +unlimited|Max address space +unlimited|Max core file size +[1-9u]`, of("limits"))
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Error(t, cmd.Wait())
	require.Equal(t, 130, cmd.ProcessState.ExitCode(), errs.String())
	require.Equal(t, "foundry: interrupted\n", errs.String())
}

// A process that has given up its rights opens no file: what a session needs of the
// model's folder, at its end too, was read before.
func TestConfinedRunsOfAFolder(t *testing.T) {
	t.Parallel()
	if !confine.Available() {
		t.Skip(confine.ErrUnavailable)
	}
	oncpu.Need(t)
	model := t.TempDir()
	require.NoError(t, os.CopyFS(model, os.DirFS(filepath.Join("..", "frontends", "checkpoint", "kjv2m"))))
	plan := filepath.Join(t.TempDir(), "plan")
	compileTo(t, plan, "--model", model, "--context", "64", "--chunk", "16")
	of := []string{"--model", model, "--plan", plan, "--device", "cpu"}
	for _, args := range [][]string{
		{"run", "--prompt", "And the LORD", "-n", "3"}, {"eval", "--prompt", "And", "--greedy", "2"}, {"bench", "--reps", "1", "--prompt", "4", "--tokens", "2"},
	} {
		e := runCommand(t, t.TempDir(), append(args, of...), ending{})
		require.Zero(t, e.code, e.errs)
		require.NotEmpty(t, e.out)
	}

	poke(t, "model.layers.1.mlp.down_proj.weight", 9, 0x7fc0)(model) // NaN
	e := runCommand(t, t.TempDir(), append([]string{"run", "--prompt", "And"}, of...), ending{})
	require.Equal(t, 1, e.code, e.out)
	require.Contains(t, lastLine(e.errs), "model.layers.1.mlp.down_proj.weight")
}
