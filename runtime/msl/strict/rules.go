package strict

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"foundry/runtime/msl/lex"
)

// rule is a construct that clang's OpenCL accepts and Metal does not, or that the
// executors cannot run.
type rule struct {
	what    string
	may     func(text string) bool // a quick look: whether a text can have such a construct
	pattern *regexp.Regexp
}

// words are those that name such a construct wherever they stand.
var words = map[string]string{
	"goto": "goto", "asm": "inline assembly", "__asm__": "inline assembly", "__asm": "inline assembly", "double": "double",
	"__global": "an OpenCL name", "__local": "an OpenCL name", "__private": "an OpenCL name", "__constant": "an OpenCL name",
	"__kernel": "an OpenCL name", "get_global_id": "an OpenCL name", "get_local_id": "an OpenCL name", "barrier": "an OpenCL name",
	"bfloat": "bfloat (needs Metal 3.1; read ushort and shift)", "throw": "exceptions", "try": "exceptions", "catch": "exceptions",
	"virtual": "virtual",
}

var rules = []rule{
	{"a lambda", bracketBegins, regexp.MustCompile(`(?:[=(,{};?:]|\breturn\b)\s*\[[\w, &=*]*\]\s*(\([^)]*\)\s*)?(mutable\s*)?(->\s*\w+\s*)?\{`)},
	{"new or delete", has("new", "delete"), regexp.MustCompile(`\b(new|delete)\b\s*[\w\[]`)},
	{"the standard library", has("std::"), regexp.MustCompile(`\bstd::`)},
}

// has reports of a text whether it has one of the words.
func has(words ...string) func(text string) bool {
	return func(text string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
	}
}

// bracketBegins reports whether a bracket stands where an expression begins.
func bracketBegins(text string) bool {
	for at := nextOf(text, 0, "["); at >= 0; at = nextOf(text, at+1, "[") {
		before := text[:blankBefore(text, at)]
		if before != "" && strings.ContainsAny(before[len(before)-1:], "=(,{};?:") || strings.HasSuffix(before, "return") {
			return true
		}
	}
	return false
}

// Rules returns the complaints about text, each with its line.
func Rules(text string) []string { return complaints(text, names{}) }

// complaints are those about text that stands behind other text, which declares names.
func complaints(text string, known names) []string {
	clean, toks := visible(text)
	var out []string
	note := func(at int, format string, args ...any) {
		out = append(out, fmt.Sprintf("line %d: %s", 1+strings.Count(clean[:at], "\n"), fmt.Sprintf(format, args...)))
	}
	for _, r := range rules {
		if !r.may(clean) {
			continue
		}
		for _, m := range r.pattern.FindAllStringIndex(clean, -1) {
			note(m[0], "%s: %q", r.what, strings.TrimSpace(clean[m[0]:m[1]]))
		}
	}
	at := 0
	for _, t := range toks {
		if what := words[t.Text]; what != "" {
			note(at, "%s: %q", what, t.Text)
		}
		at += len(t.Text)
	}
	checkPointers(clean, known, note)
	checkStatics(clean, note)
	checkGlobals(clean, note)
	checkRecursion(clean, note)
	checkSignatures(clean, note)
	return out
}

// visible returns text with comments replaced by spaces, line breaks kept, and its
// tokens, those of preprocessor lines too.
func visible(text string) (string, []lex.Token) {
	var toks []lex.Token
	for _, t := range lex.Cut(text) {
		if t.Kind == lex.Directive {
			toks = append(append(toks, lex.Token{Kind: lex.Mark, Text: "#"}), lex.Cut(t.Text[1:])...)
			continue
		}
		toks = append(toks, t)
	}
	var b strings.Builder
	for i, t := range toks {
		if t.Kind == lex.Comment {
			toks[i].Text = lex.Hide(t.Text)
		}
		b.WriteString(toks[i].Text)
	}
	return b.String(), toks
}

var global = regexp.MustCompile(`^(?:static\s+|const\s+|constexpr\s+|device\s+|constant\s+|threadgroup\s+)*(?:float|half|int|uint|uchar|ushort|char|bool|atomic_\w+)[234]?\s+\w+\s*(?:\[[^\]]*\]\s*)?[=;]`)

// checkGlobals wants program-scope variables in the constant space.
func checkGlobals(text string, note func(int, string, ...any)) {
	depth, pos := 0, 0
	for _, line := range strings.SplitAfter(text, "\n") {
		trimmed := strings.TrimLeft(line, " \t")
		if depth == 0 && global.MatchString(trimmed) && !strings.HasPrefix(trimmed, "constant ") {
			note(pos, "a global outside the constant space: %q", strings.TrimSpace(line))
		}
		depth += strings.Count(line, "{") - strings.Count(line, "}")
		pos += len(line)
	}
}

var definition = regexp.MustCompile(`(?m)^[ \t]*(?:template\s*<[^\n]*>\s*\n?)?(?:inline|static|kernel)\s[^;{}=]*?\b(\w+)\s*\([^;{}]*\)\s*\{`)

// checkRecursion looks for a function that calls itself, directly or through
// others that stand in the text.
func checkRecursion(text string, note func(int, string, ...any)) {
	type function struct {
		at          int
		definitions int
		calls       map[string]bool
	}
	functions := make(map[string]*function)
	for _, m := range definition.FindAllStringSubmatchIndex(text, -1) {
		name := text[m[2]:m[3]]
		end := m[1] + bodyLength(text[m[1]:])
		f := functions[name]
		if f == nil {
			f = &function{at: m[0], calls: make(map[string]bool)}
			functions[name] = f
		}
		f.definitions++
		for _, c := range callee.FindAllStringSubmatch(text[m[1]:end], -1) {
			f.calls[c[1]+"/"+strconv.Itoa(arguments(c[0]))] = true
			f.calls[c[1]] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		f := functions[name]
		// Overloads of other argument types may call one another by one name: only
		// a cycle through a second function, or a call with no overload, counts.
		seen := map[string]bool{}
		var reaches func(n string) bool
		reaches = func(n string) bool {
			g := functions[n]
			if g == nil || seen[n] {
				return false
			}
			seen[n] = true
			for c := range g.calls {
				if c == name && f.definitions == 1 || functions[c] != nil && c != n && reaches(c) {
					return true
				}
			}
			return false
		}
		if reaches(name) {
			note(f.at, "recursion: %s reaches itself", name)
		}
	}
}

// bodyLength returns how far it is from behind an opening brace to the one that
// closes it.
func bodyLength(text string) int {
	depth := 1
	for i, c := range text {
		switch c {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			return i
		}
	}
	return len(text)
}

var callee = regexp.MustCompile(`\b(\w+)\s*(?:<[^<>;(){}]*>)?\s*\(`)

func arguments(call string) int { return strings.Count(call, ",") }

// builtins are the attributes that kernels may use and the argument type of each.
var builtins = map[string]string{
	"threadgroup_position_in_grid":   "uint3",
	"threadgroups_per_grid":          "uint3",
	"thread_position_in_grid":        "uint3",
	"thread_position_in_threadgroup": "uint3",
	"threads_per_threadgroup":        "uint3",
	"thread_index_in_threadgroup":    "uint",
	"simdgroup_index_in_threadgroup": "uint",
	"thread_index_in_simdgroup":      "uint",
}

var (
	signature = regexp.MustCompile(`(?s)\bkernel\s+void\s+\w+\s*\((.*?)\)\s*\{`)
	returning = regexp.MustCompile(`\bkernel\s+(\w+)\s+\w+\s*\(`)
	indexed   = regexp.MustCompile(`^(buffer|threadgroup)\((\d+)\)$`)
	limited   = regexp.MustCompile(`\[\[([^\]]*)\]\]\s*kernel\b`)
	threads   = regexp.MustCompile(`^max_total_threads_per_threadgroup\((\d+)\)$`)
	argument  = regexp.MustCompile(`(?s)^\s*(.*?)\s*\b\w+\s*\[\[\s*(.*?)\s*\]\]\s*$`)
)

// checkSignatures wants each kernel argument to have one known attribute, of the
// right type and within the limits, and a kernel none but the threads of its threadgroups.
func checkSignatures(text string, note func(int, string, ...any)) {
	for _, m := range returning.FindAllStringSubmatchIndex(text, -1) {
		if typ := text[m[2]:m[3]]; typ != "void" {
			note(m[0], "a kernel returns %s, wants void", typ)
		}
	}
	for _, m := range limited.FindAllStringSubmatchIndex(text, -1) {
		n := threads.FindStringSubmatch(text[m[2]:m[3]])
		if n == nil {
			note(m[0], "unknown attribute %q of a kernel", text[m[2]:m[3]])
		} else if most, err := strconv.Atoi(n[1]); err != nil || most < 1 || most > 1024 {
			note(m[0], "%s: a threadgroup has 1 to 1024 threads", n[0])
		}
	}
	for _, m := range signature.FindAllStringSubmatchIndex(text, -1) {
		seen := make(map[string]bool)
		for _, arg := range splitArguments(text[m[2]:m[3]]) {
			a := argument.FindStringSubmatch(arg)
			if a == nil {
				note(m[0], "a kernel argument without an attribute: %q", strings.TrimSpace(arg))
				continue
			}
			typ, attr := strings.TrimSpace(a[1]), a[2]
			if seen[attr] {
				note(m[0], "attribute %q stands twice", attr)
			}
			seen[attr] = true
			if want, ok := builtins[attr]; ok {
				if typ != want {
					note(m[0], "%s has type %q, wants %s", attr, typ, want)
				}
				continue
			}
			n := indexed.FindStringSubmatch(attr)
			if n == nil {
				note(m[0], "unknown attribute %q", attr)
				continue
			}
			index, err := strconv.Atoi(n[2])
			if err != nil || index > 30 {
				note(m[0], "%s: 30 is the last index", attr)
			}
			space := strings.HasPrefix(typ, "device ") || strings.HasPrefix(typ, "constant ")
			if n[1] == "threadgroup" {
				space = strings.HasPrefix(typ, "threadgroup ")
			}
			if !space || !strings.HasSuffix(typ, "*") && !strings.HasSuffix(typ, "&") {
				note(m[0], "%s has type %q, wants a pointer or reference in its address space", attr, typ)
			}
		}
	}
}

// splitArguments cuts at commas outside brackets.
func splitArguments(s string) []string {
	var out []string
	depth, start := 0, 0
	for i, c := range s {
		switch c {
		case '(', '[', '<':
			depth++
		case ')', ']', '>':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, s[start:i])
				start = i + 1
			}
		}
	}
	return append(out, s[start:])
}
