package names

import "strings"

// InLayer cuts "layers.N." and what stands before it off a label.
func InLayer(s string) string {
	const word = "layers."
	i := strings.Index(s, word)
	if i < 0 || i > 0 && s[i-1] != '.' {
		return s
	}
	rest := s[i+len(word):]
	digits := strings.TrimLeft(rest, "0123456789")
	if len(digits) == len(rest) || !strings.HasPrefix(digits, ".") {
		return s
	}
	return digits[1:]
}
