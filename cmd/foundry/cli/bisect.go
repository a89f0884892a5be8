package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"foundry"
	"foundry/lower/compile"
	"foundry/runtime/child"
	"foundry/runtime/files"
)

// bisectRewrites finds the first rewrite with which the shell command fails, and
// prints it behind what was tried. In the command {} stands for a file with the graph as rewritten
// so far, {fuel} for the number of rewrites.
func bisectRewrites(ctx context.Context, s IO, m *foundry.Model, o foundry.CompileOptions, command string) error {
	switch {
	case o.Fuel != nil:
		return usagef("opt: --bisect finds the fuel; leave out --fuel")
	case !strings.Contains(command, "{}") && !strings.Contains(command, "{fuel}"):
		return usagef("opt: the command of --bisect holds neither {}, a file with the graph, nor {fuel}, the number of rewrites")
	case m.Graph == nil && strings.Contains(command, "{}"):
		return usagef("opt: {} is for the graph of a .fir file; a model's command takes {fuel}, as in 'foundry eval --fuel {fuel} ...'")
	}
	work, err := files.Folder("", "bisect")
	if err != nil {
		return err
	}
	defer work.Remove()
	var tries strings.Builder
	c, err := compile.Bisect(m, o, func(g *foundry.Graphs) (bool, error) {
		file := filepath.Join(work.Path, "graph.fir")
		if m.Graph != nil {
			if err := os.WriteFile(file, []byte(g.Entries[0].String()), 0o666); err != nil {
				return false, err
			}
		}
		line := strings.NewReplacer("{}", file, "{fuel}", strconv.Itoa(g.Rewrites)).Replace(command)
		_, _, err := child.Run(ctx, child.Command{Path: "/bin/sh", Args: []string{"-c", line}})
		var failed *child.ExitError
		switch {
		case err == nil:
			fmt.Fprintf(&tries, "%5d rewrites: passes\n", g.Rewrites)
		case !errors.As(err, &failed):
			return false, err
		case failed.Code == 126 || failed.Code == 127:
			return false, fmt.Errorf("--bisect: the command cannot be run: %w", failed)
		default:
			fmt.Fprintf(&tries, "%5d rewrites: fails (exit code %d)\n", g.Rewrites, failed.Code)
		}
		soFar := tries.String()
		s.process.whenInterrupted(func(s IO) error {
			_, err := io.WriteString(s.Out, soFar)
			return err
		})
		return err != nil, nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%srewrite %d of %d is the first with which it fails: %s\n  %s\n", &tries, c.Number, c.Of, c.Name, c.Decision.Reason)
	return nil
}
