// Command mutants measures what the tests notice: it makes small mistakes, one at a
// time, and tells at which stage each was found.
//
//	go run ./tests/mutants -seed 7 -plan 1000 -go 300 -msl 200 -checker 50 -results mutants.jsonl
//
// It can be stopped and started again: what stands in the file of results is not run a
// second time. Tools for Go alone would know neither Metal text nor plans.
//
// Read next: plan_fields.go for what is done to plans, source.go for what to sources,
// switches.go for why most of that takes no compilation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch err := run(ctx, os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// errUsage is a wrong command line.
var errUsage = errors.New("see mutants -help")

// programsSuffix ends the name of the folder of programs that stands beside the results.
const programsSuffix = ".programs"

// mostOfAKind is far more of a kind than anyone has the time for.
const mostOfAKind = 100_000

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	seed := flags.Uint64("seed", uint64(time.Now().Unix()), "what mutants are drawn by")
	plans := flags.Int("plan", 0, "how many changed plans")
	counts := map[string]*int{}
	for _, kind := range sortedKeys(sourceKinds) {
		counts[kind] = flags.Int(kind, 0, "how many mistakes in "+strings.Join(sourceKinds[kind].folders, ", "))
	}
	most := flags.Int("stages", 9, "how many stages of tests a mistake in a source has to pass")
	in := flags.String("in", "", "where mistakes in sources are made: files that this regular expression matches")
	aboveFlag := flags.String("above", "", "packages whose tests run after a mistake's own: names that this regular expression matches")
	slowest := flags.Float64("slowest", 0, "tests that alone took more seconds than this are not run; 0: all are")
	least := flags.Float64("least", 0, "the share of mistakes, in percent, of which fewer found is exit code 1")
	root := flags.String("root", ".", "the module's root")
	results := flags.String("results", "mutants.jsonl", "the file of results; what stands there is not run again")
	dir := flags.String("run-plan", "", "run a bundle, as the child of another mutants")
	model := flags.String("model", planModel, "the model of -run-plan")
	checked := flags.Bool("checked", false, "look at every access of -run-plan or -run-rows")
	var rows rowsRun
	flags.StringVar(&rows.rows, "run-rows", "", "run the rows of verify that a file lists, as the child of another mutants")
	flags.StringVar(&rows.kernels, "kernels", "", "the folder of kernels that -run-rows compiled")
	flags.StringVar(&rows.file, "stage", "", "the stage file that has another text in -run-rows")
	flags.StringVar(&rows.text, "text", "", "the text in place of that of -stage")
	flags.SetOutput(io.Discard)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(os.Stdout)
		flags.PrintDefaults()
		return err
	case err != nil:
		return fmt.Errorf("%w; %w", err, errUsage)
	case flags.NArg() > 0:
		return fmt.Errorf("%q is no flag; %w", flags.Arg(0), errUsage)
	}
	switch {
	case *dir != "":
		return runPlan(ctx, os.Stdout, *dir, *model, *checked)
	case rows.rows != "":
		rows.checked = *checked
		return rows.run(ctx)
	}
	where, err := regexp.Compile(*in)
	if err != nil {
		return fmt.Errorf("-in %q: %w; %w", *in, err, errUsage)
	}
	above, err := regexp.Compile(*aboveFlag)
	if err != nil {
		return fmt.Errorf("-above %q: %w; %w", *aboveFlag, err, errUsage)
	}
	counts["plan"] = plans
	asked := 0
	for _, kind := range sortedKeys(counts) {
		if n := *counts[kind]; n < 0 || n > mostOfAKind {
			return fmt.Errorf("-%s is %d, want 0 to %d; %w", kind, n, mostOfAKind, errUsage)
		}
		asked += *counts[kind]
	}
	if asked == 0 {
		return fmt.Errorf("nothing is asked for: give -plan, -go, -msl or -checker a number; %w", errUsage)
	}
	delete(counts, "plan")
	of, err := readSources(*root)
	if err != nil {
		return err
	}
	j, err := openJournal(*results, of)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.file.Close()) }()
	work, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var all []record
	if *plans > 0 {
		r := &planRunner{self: []string{self}, work: work, limit: 2 * time.Minute}
		if all, err = r.runAll(ctx, j, *seed, *plans, *most); err != nil {
			return err
		}
	}
	r, err := newSourceRunner(*root, work, self, *most, above)
	if err == nil && *counts["go"]+*counts["checker"] > 0 {
		err = r.readGo(ctx, *results+programsSuffix, *slowest)
	}
	if err != nil {
		return err
	}
	for _, kind := range sortedKeys(counts) {
		if *counts[kind] == 0 {
			continue
		}
		some, err := r.runSource(ctx, j, kind, where, *seed, *counts[kind])
		if err != nil {
			return err
		}
		all = append(all, some...)
	}
	fmt.Printf("seed %d\n", *seed)
	if *slowest > 0 {
		fmt.Printf("without tests that take more than %g s\n", *slowest)
	}
	return printTable(os.Stdout, all, *least)
}

// lastLine is the last line of text that says something.
func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}
