package tokenizer

import (
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bytesOnly is a vocabulary of bytes.
func bytesOnly() (vocab []string) {
	for _, c := range spelling() {
		vocab = append(vocab, string(c))
	}
	return vocab
}

// A specification that is none is refused in these words, one at a limit is taken.
func TestSpecsAtTheirLimits(t *testing.T) {
	good := func() Spec { return Spec{Vocab: bytesOnly(), Splits: []Split{{Pattern: Qwen2Pattern}}} }
	for name, c := range map[string]struct {
		change func(s *Spec)
		want   string
	}{
		"bytes alone":           {func(s *Spec) {}, ""},
		"no pattern":            {func(s *Spec) { s.Splits = nil }, "there is no split pattern"},
		"no content":            {func(s *Spec) { s.Added = []Added{{ID: 256}} }, "added token 256 has no content"},
		"the farthest id":       {func(s *Spec) { s.Added = []Added{{ID: 2*257 + 1023, Content: "<x>"}} }, ""},
		"an id behind it":       {func(s *Spec) { s.Added = []Added{{ID: 2*257 + 1024, Content: "<x>"}} }, `added token "<x>" has id 1538, far from the vocabulary of 256`},
		"an id below none":      {func(s *Spec) { s.Added = []Added{{ID: -1, Content: "<x>"}} }, `added token "<x>" has id -1, far from the vocabulary of 256`},
		"the last byte's id":    {func(s *Spec) { s.Added = []Added{{ID: 255, Content: "<x>"}} }, fmt.Sprintf(`added token "<x>" has id 255, which is already %q`, "\xff")},
		"two ids":               {func(s *Spec) { s.Added = []Added{{ID: 256, Content: "a"}} }, `added token "a" has the ids 97 and 256`},
		"the same token twice":  {func(s *Spec) { s.Added = []Added{{ID: 97, Content: "a"}} }, ""},
		"a last id around":      {func(s *Spec) { s.Prefix = []int32{255} }, ""},
		"an id of none around":  {func(s *Spec) { s.Suffix = []int32{256} }, "the id 256 that begins or ends every text is no token"},
		"an id below around":    {func(s *Spec) { s.Prefix = []int32{-1} }, "the id -1 that begins or ends every text is no token"},
		"an id of a gap around": {func(s *Spec) { s.Added, s.Suffix = []Added{{ID: 257, Content: "<x>"}}, []int32{256} }, "the id 256 that begins or ends every text is no token"},
	} {
		s := good()
		c.change(&s)
		_, err := New(s)
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.EqualError(t, err, c.want, name)
	}
	// Control tokens are those that say so, in the order of their ids.
	s := good()
	s.Added = []Added{{ID: 300, Content: "<z>", Special: true}, {ID: 256, Content: "<x>"}, {ID: 257, Content: "<y>", Special: true}}
	tok, err := New(s)
	require.NoError(t, err)
	require.Equal(t, []int32{257, 300}, tok.Specials())
	require.True(t, tok.Special(257))
	require.False(t, tok.Special(256))
	require.Equal(t, 301, tok.Size())
}

// A vocabulary's ids may leave as many gaps as it has tokens, and 1,024, and no more.
func TestVocabularyAtItsLimits(t *testing.T) {
	of := func(vocab map[string]int32) error {
		_, err := (&fileModel{Type: "BPE", Vocab: vocab}).vocabulary()
		return err
	}
	require.NoError(t, of(map[string]int32{"a": 0, "b": 2*2 + 1023}))
	require.EqualError(t, of(map[string]int32{"a": 0, "b": 2*2 + 1024}), `token "b" has id 1028 in a vocabulary of 2`)
	require.EqualError(t, of(map[string]int32{"a": -1}), `token "a" has id -1 in a vocabulary of 1`)
	require.EqualError(t, of(map[string]int32{"": 3}), "token 3 is empty")
	require.EqualError(t, of(map[string]int32{"b": 1, "a": 1}), `tokens "a" and "b" both have id 1`)
	require.EqualError(t, of(nil), "there is no vocab")
	none, some := 0.0, 0.5
	_, err := (&fileModel{Type: "BPE", Vocab: map[string]int32{"a": 0}, Dropout: &none}).vocabulary()
	require.NoError(t, err)
	_, err = (&fileModel{Type: "BPE", Vocab: map[string]int32{"a": 0}, Dropout: &some}).vocabulary()
	require.EqualError(t, err, "dropout is not supported")
}

// A file that is there and cannot be read is an error, not one that is missing.
func TestUnreadableFiles(t *testing.T) {
	_, model := smallModel(t)
	files := map[string]string{"vocab.json": string(model.Vocab), "merges.txt": "", "added_tokens.json": "{}", "tokenizer_config.json": "{}"}
	without := func(name string) func(string) ([]byte, error) {
		return func(asked string) ([]byte, error) {
			if asked == name {
				return nil, fs.ErrPermission
			}
			return folder(files)(asked)
		}
	}
	for _, name := range []string{"tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json"} {
		_, err := Read(without(name))
		require.ErrorIs(t, err, fs.ErrPermission, name)
	}
	for change, want := range map[[2]string]string{
		{"tokenizer_config.json", `{"add_prefix_space":true}`}:                                 "tokenizer_config.json: add_prefix_space is not supported",
		{"added_tokens.json", "x"}:                                                             "added_tokens.json is not JSON: invalid character 'x' looking for beginning of value",
		{"tokenizer_config.json", `{"added_tokens_decoder":{"2147483648":{"content":"<x>"}}}`}: `tokenizer_config.json: added_tokens_decoder: "2147483648" is no id`,
		{"tokenizer_config.json", `{"add_eos_token":true,"eos_token":{"content":"<e>"}}`}:      `tokenizer_config.json: add_eos_token is true, but eos_token, "<e>", is no token`,
	} {
		changed := maps.Clone(files)
		changed[change[0]] = change[1]
		_, err := Read(folder(changed))
		require.EqualError(t, err, want)
	}
}

// A text has five seconds a splitter, and 50 us a byte for each.
func TestTimeOfATextBySplitters(t *testing.T) {
	one, err := newSplitter(Split{Pattern: "a"})
	require.NoError(t, err)
	require.Equal(t, 5*time.Second, one.re.MatchTimeout)
	for n := range 3 {
		before := time.Now()
		d := deadline([]splitter{one, one, one}[:n+1], strings.Repeat("a", 2000))
		left := time.Duration(n+1) * (5*time.Second + 100*time.Millisecond)
		require.WithinRange(t, d, before.Add(left), time.Now().Add(left))
	}
}

// Of groups without regard to case only letters are folded, and only where all in them is plain.
func TestFoldedGroups(t *testing.T) {
	for pattern, want := range map[string]string{
		"(?i:'s|k)x": "(?:'[sſS]|[k\u212aK])x", "(?i:a.)(?i:b)": "(?i:a.)(?:[bB])", "(?i:a": "(?i:a", "a": "a", "": "",
	} {
		require.Equal(t, want, foldGroups(pattern))
	}
}
