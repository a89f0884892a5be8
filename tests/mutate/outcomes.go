package mutate

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
)

// mostShown is how many bytes of an outcome are written out.
const mostShown = 160

// Outcomes lists what becomes of n files that are nearly valid, a line each: of file i what
// outcome says of it behind the changes that choices drawn for i make.
func Outcomes(n int, outcome func(i int, c *Choices) string) string {
	var b strings.Builder
	for i := range n {
		rng := rand.New(rand.NewPCG(uint64(i), 1))
		choices := make([]byte, 32)
		for j := range choices {
			choices[j] = byte(rng.Uint32())
		}
		said := outcome(i, From(choices))
		sum := crc32.ChecksumIEEE([]byte(said))
		said = strconv.QuoteToGraphic(said)
		said = said[1 : len(said)-1]
		if len(said) > mostShown {
			said = fmt.Sprintf("%s... %08x", strings.ToValidUTF8(said[:mostShown], ""), sum)
		}
		fmt.Fprintf(&b, "%d: %s\n", i, said)
	}
	return b.String()
}

// Keep compares a text with what a file has; with update it writes the file. The error
// shows the first line that differs.
func Keep(file, have string, update bool) error {
	if update {
		return os.WriteFile(file, []byte(have), 0o666)
	}
	want, err := os.ReadFile(file)
	if err != nil || bytes.Equal(want, []byte(have)) {
		return err
	}
	was, is := strings.Split(string(want), "\n"), strings.Split(have, "\n")
	for i, line := range was {
		if i >= len(is) || line != is[i] {
			return fmt.Errorf("%s, line %d: it has %q, now it is %q (run with -update and read what changed)", file, i+1, line, is[min(i, len(is)-1)])
		}
	}
	return fmt.Errorf("%s: %d lines more than it has", file, len(is)-len(was))
}
