package tokenizer

// GPT-2's byte-level alphabet spells each byte as one printable character: the
// printable bytes of Latin-1 as themselves, the other 68 as U+0100 and up in
// order. Vocabularies are published in that spelling; inside this package
// tokens are plain bytes.

// spelling returns the character of every byte.
func spelling() (chars [256]rune) {
	next := rune(0x100)
	for b := range rune(256) {
		if b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae {
			chars[b] = b
		} else {
			chars[b] = next
			next++
		}
	}
	return chars
}

// byteOf is the inverse of spelling for characters below its length; -1 where
// a character spells no byte.
var byteOf = func() (inverse [0x100 + 68]int16) {
	for i := range inverse {
		inverse[i] = -1
	}
	for b, char := range spelling() {
		inverse[char] = int16(b)
	}
	return inverse
}()

// unspell returns the bytes that a token of the vocabulary stands for. A token
// with a character outside the alphabet stands for its own text.
func unspell(token string) string {
	out := make([]byte, 0, len(token))
	for _, char := range token {
		if int(char) >= len(byteOf) || byteOf[char] < 0 {
			return token
		}
		out = append(out, byte(byteOf[char]))
	}
	return string(out)
}
