package strict

import (
	"regexp"
	"strings"
)

// types are the names behind which * and & declare a pointer or a reference: MSL's
// own here, the text's structs and type parameters beside them.
const types = `(?:float|half|int|uint|uchar|ushort|char|short|ulong|long|bool|size_t)[234]?|void|atomic_\w+`

var (
	typeNames = regexp.MustCompile(`\b(?:struct|enum|typedef\s+\w+)\s+([A-Za-z_]\w*)`)
	param     = regexp.MustCompile(`\b(?:typename|class)\s+([A-Za-z_]\w*)\s*[,>]`)
	spaced    = regexp.MustCompile(`\b(?:device|constant|threadgroup|thread)(?:\s+(?:const|volatile|typename))*\s+(?:\w+::)*$`)
)

// checkPointers wants an address space at every pointer and reference: parameters,
// locals, members and casts. clang's OpenCL has a generic one, which Metal has not.
// A parameter that is an array is a pointer too.
func checkPointers(text string, note func(int, string, ...any)) {
	known := types
	for _, m := range typeNames.FindAllStringSubmatch(text, -1) {
		known += "|" + m[1]
	}
	pattern := `\b(?:` + known + `)(?:<[^<>;(){}]*>)?\s*(?:const\s*)?[*&]`
	for _, m := range param.FindAllStringSubmatch(text, -1) {
		// A type parameter of one template may be a variable elsewhere, and be
		// multiplied there: with a space on either side.
		pattern += `|\b` + m[1] + `(?:\s*(?:const\s*)?[*&]\w|[*&])`
		known += "|" + m[1]
	}
	declarator := regexp.MustCompile(pattern)
	for _, m := range declarator.FindAllStringIndex(text, -1) {
		if before := text[max(0, m[0]-80):m[0]]; !spaced.MatchString(before) {
			note(m[0], "a pointer or reference without an address space: %q", line(text, m[0]))
		}
	}
	array := regexp.MustCompile(`[(,]\s*(?:const\s+)?(?:` + known + `)\s+\w+\s*\[\w*\]\s*[,)]`)
	for _, m := range array.FindAllStringIndex(text, -1) {
		note(m[0], "an array as a parameter, which is a pointer without an address space: %q", strings.TrimSpace(text[m[0]:m[1]]))
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
