package strict

import (
	"regexp"
	"strings"
)

// types are the names behind which * and & declare a pointer or a reference: MSL's
// own here, the text's structs and type parameters beside them.
var types = func() map[string]bool {
	out := map[string]bool{"void": true}
	for name := range strings.FieldsSeq("float half int uint uchar ushort char short ulong long bool size_t") {
		for _, elements := range []string{"", "2", "3", "4"} {
			out[name+elements] = true
		}
	}
	return out
}()

var (
	typeNames = regexp.MustCompile(`\b(?:struct|enum|typedef\s+\w+)\s+([A-Za-z_]\w*)`)
	param     = regexp.MustCompile(`\b(?:typename|class)\s+([A-Za-z_]\w*)\s*[,>]`)
	// spaces and what may stand between one of them and a type.
	spaces    = map[string]bool{"device": true, "constant": true, "threadgroup": true, "thread": true}
	qualifier = map[string]bool{"const": true, "volatile": true, "typename": true}
)

// names are those of types that a text declares, and of type parameters.
type names struct{ types, params map[string]bool }

func namesOf(text string) names {
	out := names{map[string]bool{}, map[string]bool{}}
	for _, m := range typeNames.FindAllStringSubmatch(text, -1) {
		out.types[m[1]] = true
	}
	for _, m := range param.FindAllStringSubmatch(text, -1) {
		out.params[m[1]] = true
	}
	return out
}

// checkPointers wants an address space at every pointer and reference: parameters,
// locals, members and casts. clang's OpenCL has a generic one, which Metal has not.
// A parameter that is an array is a pointer too. It reads backwards from each sign: an
// expression for all of it takes ten times as long.
func checkPointers(text string, known names, note func(int, string, ...any)) {
	own := namesOf(text)
	params := func(name string) bool { return own.params[name] || known.params[name] }
	isType := func(name string) bool {
		return types[name] || own.types[name] || known.types[name] || strings.HasPrefix(name, "atomic_")
	}
	for at := nextOf(text, 0, "*&"); at >= 0; at = nextOf(text, at+1, "*&") {
		end := blankBefore(text, at)
		if before := strings.TrimSuffix(text[:end], "const"); len(before) < end {
			end = blankBefore(text, len(before))
		}
		filled := end
		if strings.HasSuffix(text[:end], ">") { // the arguments of a template
			if filled = strings.LastIndexAny(text[:end-1], "<>;(){}"); filled < 0 || text[filled] != '<' {
				continue
			}
		}
		begin := wordBefore(text, filled)
		name := text[begin:filled]
		// A type parameter of one template may be a variable elsewhere, and be
		// multiplied there: with a space on either side.
		declared := filled == end && params(name) && (end == at || at+1 < len(text) && isWord(text[at+1]))
		if (isType(name) || declared) && !inSpace(text, begin) {
			note(begin, "a pointer or reference without an address space: %q", line(text, begin))
		}
	}
	for at := nextOf(text, 0, "["); at >= 0; at = nextOf(text, at+1, "[") {
		end := at + 1
		for end < len(text) && isWord(text[end]) {
			end++
		}
		if !strings.HasPrefix(text[end:], "]") {
			continue
		}
		rest := strings.TrimLeft(text[end+1:], blanks)
		variable := blankBefore(text, at)
		blank := wordBefore(text, variable)
		typed := blankBefore(text, blank)
		begin := wordBefore(text, typed)
		if !strings.HasPrefix(rest, ",") && !strings.HasPrefix(rest, ")") || blank == variable || typed == blank {
			continue
		}
		name := text[begin:typed]
		first := blankBefore(text, begin)
		if before := strings.TrimSuffix(text[:first], "const"); len(before) < first && first < begin {
			first = blankBefore(text, len(before))
		}
		if (isType(name) || params(name)) && first > 0 && (text[first-1] == '(' || text[first-1] == ',') {
			note(first-1, "an array as a parameter, which is a pointer without an address space: %q", text[first-1:len(text)-len(rest)+1])
		}
	}
}

const blanks = " \t\n\r\f"

// nextOf returns the next place at or behind from of one of the characters, or -1.
func nextOf(text string, from int, characters string) int {
	if at := strings.IndexAny(text[from:], characters); at >= 0 {
		return from + at
	}
	return -1
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// blankBefore returns where the blanks before a place begin.
func blankBefore(text string, at int) int { return len(strings.TrimRight(text[:at], blanks)) }

// wordBefore returns where the word before a place begins.
func wordBefore(text string, at int) int {
	for at > 0 && isWord(text[at-1]) {
		at--
	}
	return at
}

// inSpace reports whether an address space stands before the type at a place.
func inSpace(text string, at int) bool {
	for strings.HasSuffix(text[:at], "::") {
		at = wordBefore(text, at-2)
	}
	for {
		end := blankBefore(text, at)
		begin := wordBefore(text, end)
		if end == at || !qualifier[text[begin:end]] {
			return end < at && spaces[text[begin:end]]
		}
		at = begin
	}
}

// line returns the line of text around a place.
func line(text string, at int) string {
	begin := strings.LastIndexByte(text[:at], '\n') + 1
	if n := strings.IndexByte(text[at:], '\n'); n >= 0 {
		return strings.TrimSpace(text[begin : at+n])
	}
	return strings.TrimSpace(text[begin:])
}

var (
	token = regexp.MustCompile(`[{}]|\bstatic\b`)
	// What stands before the brace of a body: parameters or a condition.
	code = regexp.MustCompile(`(?:\)\s*(?:const\s*)?|\belse\s*|\bdo\s*)$`)
)

// checkStatics looks for static variables in the bodies of functions; members of
// structs may be static.
func checkStatics(text string, note func(int, string, ...any)) {
	var open []bool // by brace: it began a body, or stands in one
	for _, m := range token.FindAllStringIndex(text, -1) {
		inside := len(open) > 0 && open[len(open)-1]
		switch text[m[0]] {
		case '{':
			open = append(open, inside || code.MatchString(text[max(0, m[0]-80):m[0]]))
		case '}':
			open = open[:max(0, len(open)-1)]
		default:
			if inside {
				note(m[0], "a static local: %q", line(text, m[0]))
			}
		}
	}
}
