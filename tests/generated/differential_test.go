package generated

import (
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// fuzzTime is the variable that says how long TestDifferential looks, such as 10m.
const fuzzTime = "FOUNDRY_FUZZ"

// corpus holds what TestDifferential found, made small.
const corpus = "testdata/differential"

// Whole compiles of random graphs, behind random pipelines, fuel, kernels and targets,
// keep what the graph computes: see fuzzCase. The quick form takes a few seeds that stay the
// same; FOUNDRY_FUZZ=10m takes other ones for ten minutes, a third of them on cpu, and
// leaves each fault in testdata/differential as a graph that reproduces it.
func TestDifferential(t *testing.T) {
	t.Parallel()
	seed, count, share, end := uint64(0), 48, 16, time.Time{}
	long := os.Getenv(fuzzTime)
	if long == "" && isComplete() {
		long = "10m"
	}
	if long != "" {
		for_, err := time.ParseDuration(long)
		require.NoError(t, err, fuzzTime)
		seed, count, share, end = uint64(time.Now().UnixNano()), 192, 6, time.Now().Add(for_)
	} else {
		t.Logf("%d random compiles, one in %d on cpu; %s=10m takes others for ten minutes", count, share, fuzzTime)
	}
	n := tally{keeps: true}
	start := time.Now()
	for n.trials == 0 || time.Now().Before(end) {
		var all []*fuzzCase
		for range count {
			all = append(all, drawTrial(seed))
			seed++
		}
		n.add(t, all, share)
		if long != "" { // a test's log is seen at its end
			fmt.Fprintf(os.Stderr, "differential: %s before seed %d, %s\n", &n, seed, time.Since(start).Round(time.Second))
		}
	}
	t.Logf("%s in %s: %.0f compiles a minute", &n, time.Since(start).Round(100*time.Millisecond), float64(n.trials)/time.Since(start).Minutes())
	if testing.CoverMode() != "" {
		t.Logf("%.1f%% of the statements of -coverpkg", 100*testing.Coverage())
	}
	require.Less(t, 5*n.unplanned, n.trials, "most graphs become plans")
	require.Empty(t, n.faults)
}

// What TestDifferential once found stays mended.
func TestDifferentialCorpus(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(corpus, "*.fir"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var n tally
	var all []*fuzzCase
	for _, f := range files {
		c, err := readTrial(f)
		require.NoError(t, err)
		all = append(all, c)
	}
	n.add(t, all, 1)
	require.Empty(t, n.faults)
	t.Logf("%s of %d files", &n, len(files))
}

// tally counts what was tried, and keeps what went wrong.
type tally struct {
	trials, unplanned, onCPU, undecided int
	faults                              []string
	keeps                               bool // faults are made small and kept in the corpus
}

func (n *tally) String() string {
	return fmt.Sprintf("%d compiles compared on ref, %d of them on cpu too; %d graphs have what no plan can; %d results hang on a rounding; %d faults",
		n.trials, n.onCPU, n.unplanned, n.undecided, len(n.faults))
}

// add runs trials: each on ref, and one in share on cpu, in one plan with others of its
// target and context.
func (n *tally) add(t *testing.T, all []*fuzzCase, share int) {
	t.Helper()
	errs := make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(goruntime.GOMAXPROCS(0))
	for i, c := range all {
		group.Go(func() error { errs[i] = c.onRef(); return nil })
	}
	require.NoError(t, group.Wait())
	batches := map[string][]*fuzzCase{}
	for i, c := range all {
		n.trials++
		switch {
		case errs[i] != nil:
			n.fault(t, c, errs[i])
		case c.plan == nil:
			n.unplanned++
		case i%share == 0:
			key := fmt.Sprint(c.target, c.graph.Bounds.SMax)
			batches[key] = append(batches[key], c)
		}
	}
	for _, batch := range batches {
		errs, undecided, ok := trialsOnCPU(t, batch)
		if !ok {
			return
		}
		n.undecided += undecided
		n.onCPU += len(batch)
		for i, err := range errs {
			if err != nil {
				n.fault(t, batch[i], err)
			}
		}
	}
}

// fault makes a trial small and leaves it in the corpus.
func (n *tally) fault(t *testing.T, c *fuzzCase, err error) {
	t.Helper()
	if !n.keeps {
		n.faults = append(n.faults, c.text(err))
		t.Errorf("%v\n%s", err, c.text(err))
		return
	}
	small := c.shrink(t, err)
	path := filepath.Join(corpus, fmt.Sprintf("%s-%d.fir", stageOf(err), len(n.faults)))
	for i := 0; ; i++ {
		if _, err := os.Stat(path); err != nil {
			break
		}
		path = filepath.Join(corpus, fmt.Sprintf("%s-%d.fir", stageOf(err), i))
	}
	require.NoError(t, os.MkdirAll(corpus, 0o755))
	require.NoError(t, os.WriteFile(path, []byte(small.text(err)), 0o644))
	n.faults = append(n.faults, path)
	t.Errorf("%v\nit is kept as %s:\n%s", err, path, small.text(err))
}

// targetsDrawn are what trials are compiled for, those with other limits and planes most.
var targetsDrawn = []string{"apple-m3-pro", "apple-m1", "h100", "cpu"}

// passWords are words of kernels that an option of a pass may ask for.
var passWords = []string{"rows", "tiles", "attention-rows", "attention-parts", "attention-tiles", "one-pass", "direct", "staged", "elements", "width=1", "width=4"}
