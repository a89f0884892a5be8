package cuda

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime/child"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl"
)

var updateSlots = flag.Bool("update-slots", false, "rewrite ir/cost/testdata/slots-sm90.csv")

const slotsFile = "../../ir/cost/testdata/slots-sm90.csv"

// slotsOf is what the machine code of a kernel asks of a lane.
type slotsOf struct {
	all, integer         int // of the main loop
	outside, outsideInts int // of all else, up to the kernel's end
	weights              int // that a lane multiplies in one turn of the loop
	turns                int // of the loop
	whole                int // weights that a lane multiplies in all
	registers            int
}

// perWeight is the issue slots a weight of the main loop: integer operations count twice,
// since their units are half as many.
func (s slotsOf) perWeight() float64 { return float64(s.all+s.integer) / float64(s.weights) }

// everything is the issue slots a weight of the whole kernel: loads and the norm before the
// loop, sums and the epilogue behind it. Another loop than the main one makes the sums of x, in one
// turn for these shapes.
func (s slotsOf) everything() float64 {
	return float64(s.turns*(s.all+s.integer)+s.outside+s.outsideInts) / float64(s.whole)
}

// mostSlots are the most slots a weight, everything included, that a format may take. At 7b
// an H100 keeps up with what its memory brings at 80 % of its bandwidth with a fifth more of
// them (12.5 of q8_0, all of it).
var mostSlots = map[string]float64{"q4_0": 5.5, "q4_k": 5.5, "affine4": 5.5, "q5_k": 6.5, "q6_k": 8, "q8_0": 12.5}

// TestSlots compiles gate and up of 7b in every format for compute capability 9.0 and counts
// the issue slots a weight of the main loop, which the cost model of the target has (ir/cost/testdata/slots-sm90.csv).
// It needs NVRTC and nvdisasm, and no GPU.
func TestSlots(t *testing.T) {
	rtc, err := openNVRTC()
	devicetest.Need(t, err)
	disassembler, err := exec.LookPath("nvdisasm")
	if err != nil {
		devicetest.Need(t, child.Absent("no nvdisasm in PATH: pip install nvidia-cuda-nvdisasm"))
	}
	kept := map[string]float64{}
	if text, err := os.ReadFile(slotsFile); err == nil {
		r := csv.NewReader(bytes.NewReader(text))
		r.Comment = '#'
		lines, err := r.ReadAll()
		require.NoError(t, err)
		for _, l := range lines[1:] {
			kept[l[0]], err = strconv.ParseFloat(l[5], 64)
			require.NoError(t, err)
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# The main loop of gate and up of 7b (3584 x 37888), one token, in machine code for compute capability 9.0 by NVRTC %s: go test ./runtime/cuda -run TestSlots -update-slots.\n", rtc.version)
	fmt.Fprintln(&out, "# slots = (operations + integer ones again) / weights: integer units are half as many.")
	fmt.Fprintln(&out, "# Where a lane has all rounds on their way there is no loop: it is counted where a turn has one round, and outside is what is left.")
	fmt.Fprintln(&out, "format,weights a turn,operations,integer,registers,slots,turns,weights,operations outside,integer outside,slots of everything")
	for _, weights := range []string{"f16", "q8_0", "q6_k", "q5_k", "q5_0", "q4_k", "q4_0", "affine4", "affine8"} {
		s := countSlots(t, rtc, disassembler, weights)
		fmt.Fprintf(&out, "%s,%d,%d,%d,%d,%.2f,%d,%d,%d,%d,%.2f\n", weights, s.weights, s.all, s.integer, s.registers, s.perWeight(), s.turns, s.whole, s.outside, s.outsideInts, s.everything())
		if most, asked := mostSlots[weights]; asked {
			require.LessOrEqual(t, s.everything(), most, "%s: slots a weight, everything included", weights)
		}
		if !*updateSlots {
			require.Contains(t, kept, weights, "write it with -update-slots")
			require.InEpsilon(t, kept[weights], s.perWeight(), 0.1, "%s: slots a weight; write them with -update-slots, and those of target h100", weights)
		}
	}
	t.Log(out.String())
	if *updateSlots {
		require.NoError(t, os.WriteFile(slotsFile, out.Bytes(), 0o644))
	}
}

func countSlots(t *testing.T, rtc *nvrtc, disassembler, weights string) slotsOf {
	t.Helper()
	m, err := model.Open("synth:qwen2.5-7b", checkpoint.Hub{})
	require.NoError(t, err)
	w, err := dtype.ParseWeights(weights)
	require.NoError(t, err)
	c, err := compile.Model(m.WithLayers(1), compile.Options{Weights: w, Target: "h200", Variant: "fewest", Context: 512})
	require.NoError(t, err)
	for i := range c.Plan.Kernels {
		k := &c.Plan.Kernels[i]
		if !strings.HasPrefix(k.Name, "gate_up") || strings.Contains(k.Name, "many") {
			continue
		}
		k.File = "kernels/" + k.Name + ".metal"
		listing, registers := disassembled(t, rtc, disassembler, k)
		s := mainLoop(t, listing)
		s.weights, s.turns, s.whole = turnWeights(t, k)
		s.registers = registers
		require.Equal(t, s.turns == 1, s.all == 0, "%s: a loop multiplies", weights)
		if s.turns == 1 { // no loop: what one takes is counted where a turn has one round
			all := s
			k.Source = accumulate.ReplaceAllStringFunc(k.Source, func(call string) string {
				return lastRounds.ReplaceAllString(call, ", 1u>(")
			})
			listing, _ = disassembled(t, rtc, disassembler, k)
			s = mainLoop(t, listing)
			s.weights, s.turns, s.whole = turnWeights(t, k)
			require.Greater(t, s.turns, 1)
			s.outside, s.outsideInts = all.outside-s.turns*s.all, all.outsideInts-s.turns*s.integer
			s.registers = registers
		}
		return s
	}
	require.Fail(t, "no kernel gate_up", weights)
	return slotsOf{}
}

// disassembled compiles k with weighed registers, and returns its machine code and how many these are.
func disassembled(t *testing.T, rtc *nvrtc, disassembler string, k *plan.Kernel) (listing string, registers int) {
	t.Helper()
	text, err := msl.CUDA(msl.Weighed, k)
	require.NoError(t, err)
	code, err := rtc.compile(k.File, text, append([]string{"--gpu-architecture=sm_90"}, msl.CUDAOptions...))
	require.NoError(t, err)
	cubin := filepath.Join(t.TempDir(), "kernel.cubin")
	require.NoError(t, os.WriteFile(cubin, code, 0o644))
	out, err := exec.Command(disassembler, "-c", cubin).Output()
	require.NoError(t, err)
	registers, _ = usage(t, code)
	return string(out), registers
}

var (
	sassLabel  = regexp.MustCompile(`^\s*(\.L_x_\d+):`)
	sassLine   = regexp.MustCompile(`^\s+/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)\s*(.*?);`)
	sassTarget = regexp.MustCompile(`\.L_x_\d+`)
)

// integerOps are the operations whose units issue every other clock.
var integerOps = map[string]bool{"PRMT": true, "SHF": true, "LOP3": true, "IMAD": true, "IADD3": true, "LEA": true, "ISETP": true, "SEL": true, "VIADD": true, "IMNMX": true, "VIMNMX": true}

// mainLoop counts the loop with the most multiplications of floats; where none has any, all is
// outside.
func mainLoop(t *testing.T, listing string) (best slotsOf) {
	t.Helper()
	var ops, args []string
	labels := map[string]int{}
	for _, l := range strings.Split(listing, "\n") {
		if m := sassLabel.FindStringSubmatch(l); m != nil {
			labels[m[1]] = len(ops)
		}
		if m := sassLine.FindStringSubmatch(l); m != nil {
			name, _, _ := strings.Cut(m[1], ".")
			ops, args = append(ops, name), append(args, m[2])
		}
	}
	most, shortest := 0, math.MaxInt
	integers := func(ops []string) (n int) {
		for _, o := range ops {
			if integerOps[o] {
				n++
			}
		}
		return n
	}
	last := slices.Index(ops, "EXIT")
	require.Positive(t, last, "no end")
	ops, args = ops[:last+1], args[:last+1] // behind it stand the turns of waiting loops alone
	for end, op := range ops {
		begin, known := labels[sassTarget.FindString(args[end])]
		if op != "BRA" || !known || begin > end {
			continue
		}
		s, products := slotsOf{all: end - begin + 1, integer: integers(ops[begin : end+1])}, 0
		for _, o := range ops[begin : end+1] {
			if o == "FFMA" {
				products++
			}
		}
		// Of loops one in the other with the same products, the inner.
		if products > most || products > 0 && products == most && s.all < shortest {
			most, shortest, best = products, s.all, s
		}
	}
	best.outside, best.outsideInts = len(ops)-best.all, integers(ops)-best.integer
	return best
}

var accumulate = regexp.MustCompile(`gemv_accumulate<weight_\w+?_?(\d*)(?:<[^>]*?(\d+)u>)?, \w+<\d+u>, ROWS, VECTORS, (\d+)u, \d+u, (\d+)u, (\d+)u, (\d+)u>\(`)

var lastRounds = regexp.MustCompile(`, \d+u>\($`)

// turnWeights is how many weights a lane multiplies in one turn of the main loop: rows of
// its team, chunks that it loads together, weights of a chunk; how many turns the loop has, and
// how many weights the lane multiplies in all.
func turnWeights(t *testing.T, k *plan.Kernel) (weights, turns, whole int) {
	t.Helper()
	m := accumulate.FindStringSubmatch(k.Source)
	require.NotNil(t, m, k.Name)
	if m[2] == "" {
		m[2] = m[1]
	}
	var n [5]int // weights of a chunk, lanes, chunks of a row, rounds before the loop, rounds a turn
	for i, text := range m[2:] {
		v, err := strconv.Atoi(text)
		require.NoError(t, err, m[0])
		n[i] = v
	}
	rows := 1
	for _, p := range k.Params {
		if p.Name == "rows_per_team" {
			rows = int(p.Value)
		}
	}
	require.Zero(t, n[2]%n[1], "rounds are whole")
	rounds := n[2] / n[1]
	return rows * n[0] * n[4], (rounds - n[3] + n[4] - 1) / n[4], rows * n[0] * rounds
}
