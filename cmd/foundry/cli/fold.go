package cli

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// folding writes lines to a terminal, those that are too long in several: broken at
// blanks, and indented below their last column. It holds back what is no whole line yet.
type folding struct {
	to    io.Writer
	width int
	rest  []byte
}

// folded is the output for lines that people read; where it is no terminal, a line stays
// one.
func (s IO) folded() io.Writer {
	if width := terminalWidth(s.Out); width > leastWidth {
		return &folding{to: s.Out, width: width}
	}
	return s.Out
}

// Write implements io.Writer.
func (f *folding) Write(p []byte) (int, error) {
	f.rest = append(f.rest, p...)
	for {
		at := bytes.IndexByte(f.rest, '\n')
		if at < 0 {
			return len(p), nil
		}
		line := string(f.rest[:at])
		f.rest = f.rest[at+1:]
		if _, err := io.WriteString(f.to, fold(line, f.width)+"\n"); err != nil {
			return 0, err
		}
	}
}

// fold breaks a line at blanks into lines of a width, where it has blanks there.
func fold(line string, width int) string {
	var out []string
	hang := hangingOf(line, width)
	for utf8.RuneCountInString(line) > width {
		runes := []rune(line)
		at := strings.LastIndexByte(string(runes[:width+1]), ' ')
		if at <= hang {
			break
		}
		head := string(runes[:width+1])[:at]
		out = append(out, strings.TrimRight(head, " "))
		line = strings.Repeat(" ", hang) + strings.TrimLeft(line[at:], " ")
	}
	return strings.Join(append(out, line), "\n")
}

// hangingOf is where lines that go on with a line begin: below its last column, or two
// further than the line.
func hangingOf(line string, width int) int {
	first := len(line) - len(strings.TrimLeft(line, " "))
	if at := strings.LastIndex(strings.TrimRight(line, " "), "  "); at > first && at+2 < width*2/3 {
		return at + 2
	}
	return first + 2
}
