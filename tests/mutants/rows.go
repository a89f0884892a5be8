package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing/fstest"
	"time"

	"foundry/ir/target"
	"foundry/runtime/child"
	"foundry/runtime/cpu"
	"foundry/shaders"
	"foundry/verify"
)

// The stages of verify's rows.
const (
	byRows         = "rows of verify"
	byCheckedRows  = "rows of verify, checked"
	byCompleteRows = "rows of verify, complete"
)

// checkedProbes is how many probes look at every access, which takes thirty times as long:
// from all over the list, since what they read and write without need depends on their shapes.
const checkedProbes = 12

// machines are those whose probes are run, all of a quick run: of the default all, and of
// one with matrix units those that the default does not have.
var machines = []string{target.Default, "apple-m5"}

// rowProbe is a probe of a row of verify on a machine; Complete says that only a complete
// run has it.
type rowProbe struct {
	Target   string
	Complete bool
	verify.ProbeStages
}

// rowRunner runs rows of verify in another process, which a mistake may bring down.
type rowRunner struct {
	self []string // how to run this program
	work string
	all  [2][]rowProbe            // the probes of all machines, of a quick run and of a complete one
	had  [2]map[string][]rowProbe // the same by stage file, first those that noticed a mistake last
}

func newRowRunner(self []string, work string) *rowRunner {
	return &rowRunner{self: self, work: work, had: [2]map[string][]rowProbe{{}, {}}}
}

// allProbes lists the probes of all machines, of each those with the least text first.
func allProbes(complete bool) (out []rowProbe, err error) {
	type name struct {
		kernel, format string
		place          int
	}
	seen := map[name]bool{}
	for _, machine := range machines {
		x, err := target.Find(machine)
		if err != nil {
			return nil, err
		}
		probes, err := verify.StagesOf(verify.Options{Target: x, Quick: !complete})
		if err != nil {
			return nil, err
		}
		slices.SortStableFunc(probes, func(a, b verify.ProbeStages) int { return cmp.Compare(a.Bytes, b.Bytes) })
		for _, p := range probes {
			n := name{p.Kernel, p.Format, p.Place}
			if !seen[n] {
				out = append(out, rowProbe{machine, complete, p})
			}
			seen[n] = true
		}
	}
	return out, nil
}

// of lists the probes of a quick run that have the stage file; "" for all, first those that
// have a file which none before has.
func (r *rowRunner) of(file string) (out []rowProbe, err error) {
	if err := r.list(0); err != nil {
		return nil, err
	}
	if r.had[0][file] == nil {
		for _, p := range r.all[0] {
			if file == "" || slices.Contains(p.Stages, file) {
				r.had[0][file] = append(r.had[0][file], p)
			}
		}
		if file == "" {
			var first, later []rowProbe
			isNew := newness()
			for _, p := range r.had[0][file] {
				if isNew(p) {
					first = append(first, p)
				} else {
					later = append(later, p)
				}
			}
			r.had[0][file] = append(first, later...)
		}
	}
	return r.had[0][file], nil
}

// mostBeyond is how many probes of a complete run a mistake meets at most.
const mostBeyond = 24

// beyond lists probes that only a complete run has, in which stage files stand beside the
// given one that no quick probe has together, such as a format's weights and a kind of
// product: first the probe with the most such pairs, then that of those that are left.
func (r *rowRunner) beyond(file string) (out []rowProbe, err error) {
	if r.had[1][file] != nil {
		return r.had[1][file], nil
	}
	quick, err := r.of(file)
	if err == nil {
		err = r.list(1)
	}
	if err != nil {
		return nil, err
	}
	met := map[[2]string]bool{}
	open := func(p rowProbe) (pairs [][2]string) {
		for i, a := range p.Stages {
			for _, b := range p.Stages[i+1:] {
				if x := [2]string{a, b}; !met[x] {
					pairs = append(pairs, x)
				}
			}
		}
		return pairs
	}
	meet := func(p rowProbe) {
		for _, x := range open(p) {
			met[x] = true
		}
	}
	for _, p := range quick {
		meet(p)
	}
	left := slices.DeleteFunc(slices.Clone(r.all[1]), func(p rowProbe) bool { return !slices.Contains(p.Stages, file) })
	for len(out) < mostBeyond && len(left) > 0 {
		best, most := rowProbe{}, 0
		for _, p := range left {
			if n := len(open(p)); n > most {
				best, most = p, n
			}
		}
		if most == 0 {
			break
		}
		meet(best)
		out = append(out, best)
		left = slices.DeleteFunc(left, func(p rowProbe) bool { return len(open(p)) == 0 })
	}
	r.had[1][file] = out
	return out, nil
}

// newness returns what reports whether a probe has a stage file that none before had.
func newness() func(p rowProbe) bool {
	met := map[string]bool{}
	return func(p rowProbe) (some bool) {
		for _, file := range p.Stages {
			some = some || !met[file]
			met[file] = true
		}
		return some
	}
}

// list fills in the probes of all machines.
func (r *rowRunner) list(complete int) (err error) {
	if r.all[complete] == nil {
		r.all[complete], err = allProbes(complete == 1)
	}
	return err
}

// rowLimit is how long the rows may take that a mistake has to pass.
const rowLimit = 20 * time.Minute

// run runs the rows that have the stage file, "" for all, with another text for it.
func (r *rowRunner) run(ctx context.Context, stage string, self []string, file string, text []byte) (v verdict, err error) {
	of := r.of
	if stage == byCompleteRows {
		of = r.beyond
	}
	rows, err := of(file)
	if err != nil || len(rows) == 0 {
		return v, err
	}
	n := len(rows)
	if stage == byCheckedRows {
		n = min(n, checkedProbes)
	}
	place := func(i int) int { return i * len(rows) / n }
	some := make([]rowProbe, n)
	for i := range some {
		some[i] = rows[place(i)]
	}
	list, err := json.Marshal(some)
	if err != nil {
		return v, err
	}
	asked := filepath.Join(r.work, "rows.json")
	if err := os.WriteFile(asked, list, 0o666); err != nil {
		return v, err
	}
	args := append(slices.Clone(self[1:]), "-run-rows", asked, "-kernels", filepath.Join(r.work, "kernels"), fmt.Sprintf("-checked=%t", stage == byCheckedRows))
	if file != "" {
		changed := filepath.Join(r.work, "changed.metal")
		if err := os.WriteFile(changed, text, 0o666); err != nil {
			return v, err
		}
		args = append(args, "-stage", file, "-text", changed)
	}
	_, _, err = within(ctx, rowLimit, child.Command{Path: self[0], Args: args})
	var exit *child.ExitError
	switch {
	case ctx.Err() != nil:
		return v, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return verdict{late, ""}, nil
	case errors.As(err, &exit) && exit.Code == tooLong:
		return verdict{late, ""}, nil
	case errors.As(err, &exit):
		why := lastLine(exit.Stderr)
		if doesNotCompile([]byte(why)) {
			return verdict{broken, why}, nil
		}
		if i, err := strconv.Atoi(lastLine(exit.Stdout)); err == nil && 0 <= i && i < len(some) {
			i = place(i)
			row := rows[i]
			copy(rows[1:i+1], rows[:i])
			rows[0] = row
		}
		return verdict{stage, exit.Status() + ": " + why}, nil
	}
	return v, err
}

// groupLimit is the processor time of a group of probes, which take a second or two of it
// beside compilation, of a complete or a checked run some more; tooLong is the exit code of a
// process whose kernel does not end, which nothing else can stop.
const (
	groupLimit    = 10 * time.Second
	completeLimit = time.Minute
	tooLong       = 3
)

// rowsRun is what a child process is asked for.
type rowsRun struct {
	rows    string // the file that lists the rows
	kernels string // the folder of compiled kernels, which no other program needs
	file    string // the stage file that has another text, "" for none
	text    string // the file of that text
	checked bool
}

// run runs the probes until one fails: the last line printed is its place. The first run
// alone, then more and more at once: a compiler takes several kernels in little more time
// than one, and most mistakes are found by the first.
func (x rowsRun) run(ctx context.Context) (err error) {
	list, err := os.ReadFile(x.rows)
	if err != nil {
		return err
	}
	var probes []rowProbe
	if err := json.Unmarshal(list, &probes); err != nil {
		return fmt.Errorf("%s: %w", x.rows, err)
	}
	o := verify.Options{Quick: !slices.ContainsFunc(probes, func(p rowProbe) bool { return p.Complete })}
	limit := groupLimit
	if !o.Quick || x.checked {
		limit = completeLimit
	}
	if x.file != "" {
		text, err := os.ReadFile(x.text)
		if err != nil {
			return err
		}
		o.Shaders = shaders.Overlay(fstest.MapFS{x.file: &fstest.MapFile{Data: text}})
	}
	d, err := cpu.Open(ctx, cpu.Options{FewRuns: true, TrustKernels: true, CacheDir: x.kernels, Checked: x.checked, MaxSteps: 1 << 24})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	o.Device = d
	for done := 0; done < len(probes); {
		n := 1
		for n < min(done, mostAtOnce) && done+n < len(probes) && probes[done+n].Target == probes[done].Target {
			n++
		}
		fmt.Println(done)
		stop, err := endOver(limit)
		if err != nil {
			return err
		}
		i, err := failing(ctx, o, probes[done:done+n])
		stop()
		if err != nil {
			fmt.Println(done + i)
			p := probes[done+i]
			return fmt.Errorf("%s %s on %s: %w", p.Kernel, p.Format, p.Target, err)
		}
		done += n
	}
	return nil
}

// mostAtOnce is how many probes share a plan.
const mostAtOnce = 8

// endOver ends the process as soon as it has taken so much processor time from now on,
// unless it is stopped before. That of compilers is not the process's.
func endOver(limit time.Duration) (stop func(), err error) {
	taken := func() (time.Duration, error) {
		var u syscall.Rusage
		err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
	}
	start, err := taken()
	if err != nil {
		return nil, err
	}
	tick, over := time.NewTicker(limit/100), make(chan struct{})
	go func() {
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				if now, err := taken(); err != nil || now-start > limit {
					os.Exit(tooLong)
				}
			}
		}
	}()
	return func() { tick.Stop(); close(over) }, nil
}

// failing runs some probes of one machine with o's device and stage files, and returns
// the place of the first of a row that fails, with why.
func failing(ctx context.Context, o verify.Options, some []rowProbe) (place int, err error) {
	if o.Target, err = target.Find(some[0].Target); err != nil {
		return 0, err
	}
	o.Probes = func(kernel, format string, place int) bool {
		return slices.ContainsFunc(some, func(p rowProbe) bool { return p.Kernel == kernel && p.Format == format && p.Place == place })
	}
	report, err := verify.Run(ctx, o)
	if err != nil {
		return 0, err
	}
	for i, p := range some {
		for _, row := range report.Rows {
			if row.Kernel == p.Kernel && row.Format == p.Format && !row.Pass {
				return i, errors.New(row.Failure)
			}
		}
	}
	return 0, nil
}
