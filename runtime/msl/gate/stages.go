package gate

import "foundry/runtime/msl/lex"

// stage is what a stage file declares for the text behind it.
type stage struct {
	types, functions, values map[string]bool
	templates                map[string]bool // types and functions that take template arguments
	words                    map[string]bool // all words, for members of its types
}

// declared reads the declarations of a stage file, which is this program's own.
func declared(text string) *stage {
	s := &stage{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	var toks []lex.Token
	for _, t := range lex.Cut(text) {
		if t.Blank() || t.Kind == lex.Directive {
			continue
		}
		if t.Kind == lex.Word {
			s.words[t.Text] = true
		}
		toks = append(toks, t)
	}
	at := func(i int) string {
		if i >= 0 && i < len(toks) {
			return toks[i].Text
		}
		return ""
	}
	depth, template, enum, typedef := 0, false, false, false
	for i := 0; i < len(toks); i++ {
		switch t := toks[i]; {
		case t.Text == "{" || t.Text == "(":
			if depth == 0 && t.Text == "(" && toks[max(0, i-1)].Kind == lex.Word {
				s.functions[at(i-1)] = true
				s.templates[at(i-1)] = s.templates[at(i-1)] || template
			}
			depth++
		case t.Text == "}" || t.Text == ")":
			depth--
			if depth == 0 && t.Text == "}" {
				template, enum = false, false
			}
		case enum && depth == 1 && t.Kind == lex.Word && (at(i-1) == "{" || at(i-1) == ","):
			s.values[t.Text] = true
		case depth > 0:
		case t.Text == ";":
			if typedef {
				s.types[at(i-1)] = true
			}
			template, enum, typedef = false, false, false
		case t.Text == "typedef":
			typedef = true
		case t.Text == "using":
			s.types[at(i+1)] = true
			s.templates[at(i+1)] = s.templates[at(i+1)] || template
			for at(i+1) != ";" && i < len(toks) {
				i++
			}
		case t.Text == "template":
			template = true
			i = afterAngles(toks, i+1)
		case t.Text == "enum":
			enum = true
		case t.Text == "struct":
			s.types[at(i+1)] = true
			s.templates[at(i+1)] = s.templates[at(i+1)] || template
		case t.Text == "=" && toks[max(0, i-1)].Kind == lex.Word: // of an array a bracket stands there
			s.values[at(i-1)] = true
		}
	}
	return s
}

// afterAngles returns the index of the > that closes the < at i.
func afterAngles(toks []lex.Token, i int) int {
	for depth := 0; i < len(toks); i++ {
		switch toks[i].Text {
		case "<":
			depth++
		case ">":
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return i
}
