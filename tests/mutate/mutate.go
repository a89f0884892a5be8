// Package mutate turns a valid file and a list of bytes into a file that is nearly valid:
// what fuzz targets read, so that most of what they try gets behind a parser. It is for
// tests alone.
//
// A fuzzer changes the bytes, each of which is a choice: what is changed, and into what.
// No bytes are the file as it is, few bytes are few changes.
//
// Read next: text.go for what is lines and words, json.go for trees.
package mutate

// most bounds the changes of one file: what is changed everywhere is refused early.
const most = 6

// Choices are the decisions that bytes stand for.
type Choices struct {
	bytes   []byte
	changes int
}

// From returns the choices of some bytes.
func From(bytes []byte) *Choices { return &Choices{bytes: bytes} }

// More reports whether another change is wanted, and counts it: behind the first, every
// second time that it is asked, up to most.
func (c *Choices) More() bool {
	if len(c.bytes) == 0 || c.changes == most || c.changes > 0 && c.Below(2) == 0 {
		return false
	}
	c.changes++
	return true
}

// Below returns the next choice, from 0 to n-1, and 0 behind the last.
func (c *Choices) Below(n int) int {
	if n < 2 {
		return 0
	}
	out := 0
	for left := n - 1; left > 0 && len(c.bytes) > 0; left >>= 8 {
		out = out<<8 | int(c.bytes[0])
		c.bytes = c.bytes[1:]
	}
	return out % n
}

// Of returns one of a list that is not empty.
func Of[E any](c *Choices, list []E) E { return list[c.Below(len(list))] }

// edges are whole numbers at which code that reads numbers changes its mind.
var edges = []string{"0", "1", "2", "-1", "3", "31", "32", "255", "256", "65535", "65536", "2147483647", "2147483648", "4294967295",
	"4294967296", "9007199254740993", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "0.5", "1e308", "1e-46"}
