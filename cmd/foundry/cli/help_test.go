package cli

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func streams() (IO, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	return IO{In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(string) string { return "" }}, &out, &errs
}

// words splits a command line at blanks outside of double quotes.
func words(line string) []string {
	var out []string
	quoted := false
	for _, part := range strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	}) {
		out = append(out, strings.ReplaceAll(part, `"`, ""))
	}
	return out
}

// Every command has help, and every example in it is a command line that parses:
// the flags exist and the number of arguments is right.
func TestExamplesParse(t *testing.T) {
	s, _, _ := streams()
	examples := 0
	for _, c := range append(newRoot(s).Commands(), newRoot(s)) {
		require.NotEmpty(t, c.Short, c.Name())
		require.NotEmpty(t, c.Example, c.Name())
		for _, line := range strings.Split(c.Example, "\n") {
			line, _, _ = strings.Cut(line, " # ")
			if i := strings.Index(line, "| "); i >= 0 {
				line = line[i+2:]
			}
			args := words(line)
			require.Equal(t, "foundry", args[0], line)
			cmd, rest, err := newRoot(s).Find(args[1:])
			require.NoError(t, err, line)
			require.NotEqual(t, "foundry", cmd.Name(), line)
			require.NoError(t, cmd.ParseFlags(rest), line)
			require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), line)
			examples++
		}
	}
	require.Greater(t, examples, 20)
}

// The README's command lines parse too.
func TestReadmeParses(t *testing.T) {
	text, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	s, _, _ := streams()
	lines := 0
	for _, line := range strings.Split(string(text), "\n") {
		line, ours := strings.CutPrefix(line, "    ./foundry ")
		if !ours {
			continue
		}
		line, _, _ = strings.Cut(line, " # ")
		cmd, rest, err := newRoot(s).Find(words(line))
		require.NoError(t, err, line)
		require.NoError(t, cmd.ParseFlags(rest), line)
		require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), line)
		lines++
	}
	require.Greater(t, lines, 5)
}

func TestHelpAndCompletion(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"bench", "--help"}, {"--version"}, {"completion", "bash"}} {
		s, out, errs := streams()
		require.Zero(t, Main(context.Background(), args, s), errs)
		require.NotEmpty(t, out.String())
		require.Empty(t, errs.String())
	}
}

// Every flag says what it does.
func TestFlagsAreDescribed(t *testing.T) {
	s, _, _ := streams()
	for _, c := range newRoot(s).Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) { require.NotEmpty(t, f.Usage, "%s --%s", c.Name(), f.Name) })
	}
}

func TestOneLine(t *testing.T) {
	require.Equal(t, "a; b", oneLine(errString("a\n  b\n")))
}

type errString string

func (e errString) Error() string { return string(e) }

// Help is grouped and no line of it is wider than the terminal it assumes, and every flag
// stands in it once.
func TestHelpFits(t *testing.T) {
	s, _, _ := streams()
	for _, c := range newRoot(s).Commands() {
		s, out, errs := streams()
		require.Zero(t, Main(context.Background(), []string{"help", c.Name()}, s), errs)
		for _, line := range strings.Split(out.String(), "\n") {
			require.LessOrEqual(t, len([]rune(line)), helpWidth, "%s: %s", c.Name(), line)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			lines := 0
			for _, line := range strings.Split(out.String(), "\n") {
				if strings.HasPrefix(line, "      --"+f.Name+" ") || strings.HasPrefix(line, "      --"+f.Name+"[") || strings.HasPrefix(line, "  -"+f.Shorthand+", --"+f.Name+" ") {
					lines++
				}
			}
			require.Equal(t, 1, lines, "%s --%s", c.Name(), f.Name)
		})
	}
}
