package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"foundry/tests/mutate"
)

func readKJV() ([]byte, error) { return os.ReadFile("../checkpoint/kjv2m/tokenizer.json") }

func readQwen() ([]byte, error) {
	f, err := os.Open("testdata/qwen2.5-tokenizer.json.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// Loading takes a moment; the tests share what none of them changes.
var shared = map[string]func() (*Tokenizer, error){
	"kjv":     sync.OnceValues(func() (*Tokenizer, error) { return parseFrom(readKJV) }),
	"qwen2.5": sync.OnceValues(func() (*Tokenizer, error) { return parseFrom(readQwen) }),
}

func parseFrom(read func() ([]byte, error)) (*Tokenizer, error) {
	raw, err := read()
	if err != nil {
		return nil, err
	}
	return parse(raw)
}

func get(t testing.TB, name string) *Tokenizer {
	tok, err := shared[name]()
	require.NoError(t, err)
	return tok
}

func readJSON(t testing.TB, path string, into any) {
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, into))
}

type golden struct {
	Text    string
	IDs     []int32
	Decoded string
}

// The published goldens: ids and decoded text.
func TestGoldens(t *testing.T) {
	for name := range shared {
		tok := get(t, name)
		var goldens []golden
		readJSON(t, "testdata/goldens-"+name+".json", &goldens)
		require.NotEmpty(t, goldens)
		for _, g := range goldens {
			ids, err := tok.Encode(g.Text)
			require.NoError(t, err)
			require.Equal(t, append([]int32{}, g.IDs...), append([]int32{}, ids...), "%s %q", name, g.Text)
			text, err := tok.Decode(g.IDs)
			require.NoError(t, err)
			require.Equal(t, g.Decoded, text, "%s %q", name, g.Text)
		}
	}
}

type moreGoldens struct {
	Encode, Decode map[string][]golden
}

// Our own goldens, made by the same library: every text is encoded, and ids
// that break characters apart are decoded whole and one by one.
func TestMoreGoldens(t *testing.T) {
	var more moreGoldens
	readJSON(t, "testdata/goldens-more.json", &more)
	for name := range shared {
		tok := get(t, name)
		require.NotEmpty(t, more.Encode[name])
		require.NotEmpty(t, more.Decode[name])
		for _, g := range more.Encode[name] {
			ids, err := tok.Encode(g.Text)
			require.NoError(t, err)
			require.Equal(t, g.IDs, ids, "%s %q", name, g.Text)
		}
		for _, g := range more.Decode[name] {
			text, err := tok.Decode(g.IDs)
			require.NoError(t, err)
			require.Equal(t, g.Text, text, "%s %v", name, g.IDs)
		}
	}
}

func TestIDs(t *testing.T) {
	tok := get(t, "qwen2.5")
	require.Equal(t, 151665, tok.Size())
	id, ok := tok.ID("<|im_end|>")
	require.True(t, ok)
	require.Equal(t, int32(151645), id)
	require.True(t, tok.Special(id))
	id, ok = tok.ID("<tool_call>")
	require.True(t, ok)
	require.False(t, tok.Special(id), "text for the model, though an added token")
	for _, id := range []int32{-1, 151665, 1 << 30} {
		_, err := tok.Decode([]int32{id})
		require.ErrorContains(t, err, "is outside the vocabulary: ids go from 0 to 151664")
	}
}

// Text that is its own NFC comes back, whatever it holds; decoding in steps is
// decoding at once, and no step cuts a character.
func TestRoundTripAndStreaming(t *testing.T) {
	for name := range shared {
		tok := get(t, name)
		rapid.Check(t, func(rt *rapid.T) {
			text := rapid.StringOf(rapid.RuneFrom([]rune(" \n'sté日😀א<|>a1"))).Draw(rt, "text")
			ids, err := tok.Encode(text)
			require.NoError(rt, err)
			back, err := tok.Decode(ids)
			require.NoError(rt, err)
			require.Equal(rt, text, back)
			ids = append(ids, rapid.SliceOfN(rapid.Int32Range(0, int32(tok.Size()-1)), 0, 8).Draw(rt, "ids")...)
			whole, err := tok.Decode(ids)
			require.NoError(rt, err)
			var steps strings.Builder
			d := tok.NewDecoder()
			for _, id := range ids {
				part, err := d.Next(id)
				require.NoError(rt, err)
				require.Equal(rt, part, strings.ToValidUTF8(part, "cut"))
				steps.WriteString(part)
			}
			steps.WriteString(d.Flush())
			require.Equal(rt, whole, steps.String())
		})
	}
}

// naive merges by its definition: look for the lowest rank, leftmost, again and
// again.
func naive(m *merger, piece string) []int32 {
	var ids []int32
	for _, b := range []byte(piece) {
		ids = append(ids, m.byteID[b])
	}
	for {
		best, at := mergeTo{rank: 1 << 30}, -1
		for i := range len(ids) - 1 {
			if to, ok := m.merges[pairKey(ids[i], ids[i+1])]; ok && to.rank < best.rank {
				best, at = to, i
			}
		}
		if at < 0 {
			return ids
		}
		ids = append(append(append([]int32{}, ids[:at]...), best.id), ids[at+2:]...)
	}
}

func TestMergeFollowsItsDefinition(t *testing.T) {
	tok := get(t, "kjv")
	var work mergeWork
	rapid.Check(t, func(rt *rapid.T) {
		piece := rapid.StringOfN(rapid.RuneFrom([]rune(" theandofrsL")), 1, 60, -1).Draw(rt, "piece")
		require.Equal(rt, naive(&tok.bpe, piece), tok.bpe.merge(nil, piece, &work))
	})
}

// The engine's time must not grow with the square of a piece's length.
func TestLongPiece(t *testing.T) {
	tok := get(t, "kjv")
	text := strings.Repeat("thelord", 40_000)
	ids, err := tok.Encode(text)
	require.NoError(t, err)
	back, err := tok.Decode(ids)
	require.NoError(t, err)
	require.Equal(t, text, back)
}

func TestInvalidUTF8IsReadAsReplacement(t *testing.T) {
	tok := get(t, "kjv")
	ids, err := tok.Encode("a\xffb")
	require.NoError(t, err)
	text, err := tok.Decode(ids)
	require.NoError(t, err)
	require.Equal(t, "a\uFFFDb", text)
}

func edited(t *testing.T, edit func(map[string]any)) []byte {
	var f map[string]any
	raw, err := readKJV()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &f))
	edit(f)
	raw, err = json.Marshal(f)
	require.NoError(t, err)
	return raw
}

const wantPreTokenizer = "want ByteLevel, or a Sequence of Split and Digits that ends with it"

func splitBy(pattern string) any {
	return map[string]any{"type": "Sequence", "pretokenizers": []any{
		map[string]any{"type": "Split", "behavior": "Isolated", "pattern": map[string]any{"Regex": pattern}},
		map[string]any{"type": "ByteLevel", "use_regex": false},
	}}
}

func TestBadFiles(t *testing.T) {
	model := func(key string, value any) func(map[string]any) {
		return func(f map[string]any) { f["model"].(map[string]any)[key] = value }
	}
	vocab := func(token string, id any) func(map[string]any) {
		return func(f map[string]any) { f["model"].(map[string]any)["vocab"].(map[string]any)[token] = id }
	}
	top := func(key string, value any) func(map[string]any) {
		return func(f map[string]any) { f[key] = value }
	}
	for _, c := range []struct {
		edit func(map[string]any)
		err  string
	}{
		{func(f map[string]any) { delete(f, "model") }, "there is no model"},
		{top("model", 3), "model cannot be of JSON type number"},
		{model("type", "Unigram"), `model: type "Unigram" is not supported (BPE is)`},
		{model("vocab", map[string]any{}), "model: there is no vocab"},
		{model("vocab", []int{1}), "model.vocab cannot be of JSON type array"},
		{vocab("zz", 99999999), `model: token "zz" has id 99999999 in a vocabulary of 2046`},
		{vocab("zz", 1<<40), "model.vocab cannot be of JSON type number 1099511627776"},
		{vocab("zz", -1), `model: token "zz" has id -1 in a vocabulary of 2046`},
		{vocab("zz", 0), `model: tokens "!" and "zz" both have id 0`},
		{model("merges", []any{"a b c"}), `merge "a b c" is not two tokens with a space between`},
		{model("merges", []any{[]string{"a"}}), "a merge joins two tokens, not 1"},
		{model("merges", []any{"zz a"}), `merge 0 joins "zz" and "a", but the vocabulary lacks one of them or the result`},
		{model("byte_fallback", true), "model: unk_token and byte_fallback are not supported: every byte must be a token"},
		{model("dropout", 0.1), "model: dropout is not supported"},
		{model("end_of_word_suffix", "</w>"), "model: continuing_subword_prefix and end_of_word_suffix are not supported"},
		{top("normalizer", map[string]any{"type": "Lowercase"}), `normalizer "Lowercase" is not supported (none or NFC is)`},
		{top("pre_tokenizer", nil), "there is no pre_tokenizer: " + wantPreTokenizer},
		{top("pre_tokenizer", map[string]any{"type": "Whitespace"}), `pre_tokenizer "Whitespace" is not supported: ` + wantPreTokenizer},
		{top("pre_tokenizer", splitBy("(")), "the split pattern does not compile: error parsing regexp: missing closing ) in `(`"},
		{top("pre_tokenizer", splitBy("a\n[")), "the split pattern does not compile: error parsing regexp: unterminated [] set in `a [`"},
		{top("decoder", nil), "the decoder must be ByteLevel"},
		{top("post_processor", map[string]any{"type": "BertProcessing"}), `post_processor "BertProcessing" is not supported (none, ByteLevel, TemplateProcessing and Sequence are)`},
		{top("post_processor", map[string]any{"type": "TemplateProcessing"}), "post_processor: single holds the text 0 times, want once"},
		{top("post_processor", json.RawMessage(`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}]}`)), `post_processor: special token "<s>" has no ids`},
		{top("post_processor", json.RawMessage(`{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B"}}]}`)), "post_processor: a part of single is neither a special token nor the text, A"},
		{top("post_processor", json.RawMessage(`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],"special_tokens":{"<s>":{"ids":[9999]}}}`)), "the id 9999 that begins or ends every text is no token"},
		{top("pre_tokenizer", json.RawMessage(`{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"a"},"behavior":"MergedWithNext"},{"type":"ByteLevel","use_regex":false}]}`)), `pre_tokenizer 1, Split: the behavior "MergedWithNext" (invert false) is not supported (Isolated is)`},
		{top("pre_tokenizer", json.RawMessage(`{"type":"Sequence","pretokenizers":[{"type":"Split","behavior":"Isolated"},{"type":"ByteLevel","use_regex":false}]}`)), "pre_tokenizer 1, Split: there is no pattern"},
		{top("pre_tokenizer", json.RawMessage(`{"type":"ByteLevel","add_prefix_space":true}`)), "pre_tokenizer 1, ByteLevel: add_prefix_space is not supported"},
		{top("pre_tokenizer", json.RawMessage(`{"type":"Sequence","pretokenizers":[{"type":"Two\nlines"},{"type":"ByteLevel"}]}`)), `pre_tokenizer 1, Two\nlines: it is not supported`},
		{top("pre_tokenizer", json.RawMessage(`{"type":"Sequence","pretokenizers":[{"type":"Whitespace"},{"type":"ByteLevel"}]}`)), "pre_tokenizer 1, Whitespace: it is not supported"},
		{top("added_tokens", []any{map[string]any{"id": 88888888, "content": "<x>"}}), `added token "<x>" has id 88888888, far from the vocabulary of 2045`},
		{top("added_tokens", []any{map[string]any{"id": 3, "content": "<x>"}}), `added token "<x>" has id 3, which is already "$"`},
		{top("added_tokens", []any{map[string]any{"id": 2046, "content": "!"}}), `added token "!" has the ids 0 and 2046`},
		{top("added_tokens", []any{map[string]any{"id": 2045, "content": "<x>", "lstrip": true}}), `added token "<x>": single_word, lstrip and rstrip are not supported`},
		{top("added_tokens", []any{map[string]any{"id": 2045, "content": "<x>", "rstrip": true}}), `added token "<x>": single_word, lstrip and rstrip are not supported`},
		{top("added_tokens", []any{map[string]any{"id": 2045, "content": "<x>", "single_word": true}}), `added token "<x>": single_word, lstrip and rstrip are not supported`},
	} {
		_, err := parse(edited(t, c.edit))
		require.EqualError(t, err, "tokenizer.json: "+c.err)
	}
	_, err := parse([]byte("<html>"))
	require.EqualError(t, err, "tokenizer.json is not JSON: invalid character '<' looking for beginning of value")
	_, err = parse(nil)
	require.EqualError(t, err, "tokenizer.json is not JSON: unexpected end of JSON input")
}

func TestNewFromLists(t *testing.T) {
	chars := spelling()
	var vocab []string
	for _, c := range chars {
		vocab = append(vocab, string(c))
	}
	spec := Spec{Vocab: append(vocab, "ab", "abc", "Ġa", ""), Merges: [][2]string{{"a", "b"}, {"ab", "c"}, {"Ġ", "a"}}, Splits: []Split{{Pattern: Qwen2Pattern}}}
	tok, err := New(spec)
	require.NoError(t, err)
	ids, err := tok.Encode("abc ab")
	require.NoError(t, err)
	require.Equal(t, []int32{257, ' ', 256}, ids)
	_, err = tok.Decode([]int32{259})
	require.EqualError(t, err, "token id 259 has no token: the vocabulary has a gap there")

	spec.Splits[0].Pattern = "("
	_, err = New(spec)
	require.ErrorContains(t, err, "the split pattern does not compile")
	spec.Splits[0].Pattern = ""
	_, err = New(spec)
	require.EqualError(t, err, "the split pattern is empty")
	spec.Vocab = spec.Vocab[1:]
	_, err = New(spec)
	require.EqualError(t, err, "the vocabulary has no token for byte 0x00")
	spec.Vocab[0] = "b"
	_, err = New(spec)
	require.EqualError(t, err, `tokens 0 and 97 of the vocabulary are both "b"`)
}

func TestIgnoreMerges(t *testing.T) {
	// "ab" is a token that no merge makes.
	chars := spelling()
	var vocab []string
	for _, c := range chars {
		vocab = append(vocab, string(c))
	}
	for ignore, want := range map[bool][]int32{false: {'a', 'b'}, true: {256}} {
		tok, err := New(Spec{Vocab: append(vocab, "ab"), Splits: []Split{{Pattern: Qwen2Pattern}}, IgnoreMerges: ignore})
		require.NoError(t, err)
		ids, err := tok.Encode("ab")
		require.NoError(t, err)
		require.Equal(t, want, ids)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0},"merges":["a a"]}}`))
	f.Add([]byte(`{"added_tokens":[{"id":1,"content":"x"}],"normalizer":{"type":"Sequence","normalizers":[null]},"model":{}}`))
	f.Add([]byte(`{"pre_tokenizer":{"type":"Sequence","pretokenizers":[null,null]}}`))
	f.Fuzz(func(t *testing.T, b []byte) { holdTokenizer(t, b) })
}

// holdTokenizer parses what may be a tokenizer.json; what there is encodes text, and
// decodes it to the same text as it does again.
func holdTokenizer(t *testing.T, b []byte) {
	tok, err := parse(b)
	if err != nil {
		if strings.ContainsAny(err.Error(), "\n\r") {
			t.Fatalf("an error of several lines: %q", err)
		}
		return
	}
	ids, err := tok.Encode("<|end|>ab \xffe\u0301 12")
	if err != nil {
		return // a pattern of one's own may take too long, or no end
	}
	text, err := tok.Decode(ids)
	require.NoError(t, err)
	_, err = tok.Encode(text)
	require.NoError(t, err)
}

// FuzzNearlyTokenizer is FuzzParse on files that are changed in few places: every part
// that a tokenizer.json may have, in two forms, with the least vocabulary.
func FuzzNearlyTokenizer(f *testing.F) {
	forms := nearlyTokenizers(f)
	for i := range byte(64) {
		f.Add(i, []byte{i, i * 7, i * 13, i * 29, i * 31, i})
	}
	f.Fuzz(func(t *testing.T, form byte, choices []byte) {
		holdTokenizer(t, forms[int(form)%len(forms)].Text(mutate.From(choices)))
	})
}

// nearlyTokenizers are the files that are changed.
func nearlyTokenizers(f testing.TB) []*mutate.Tree {
	f.Helper()
	vocab := map[string]int{}
	for i, c := range spelling() {
		vocab[string(c)] = i
	}
	vocab["ab"], vocab["abb"] = 256, 257
	words, err := json.Marshal(vocab)
	require.NoError(f, err)
	var forms []*mutate.Tree
	for _, parts := range []string{
		`"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{L}+|\\p{N}| "},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},
		"post_processor":{"type":"ByteLevel"}`,
		`"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"}]},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"Split","pattern":{"String":" "},"behavior":"Removed","invert":true},{"type":"ByteLevel"}]},
		"post_processor":{"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|end|>"}},{"Sequence":{"id":"A"}}],"special_tokens":{"<|end|>":{"ids":[258]}}}]}`,
	} {
		tree, err := mutate.JSON([]byte(`{"added_tokens":[{"id":258,"content":"<|end|>","special":true},{"id":259,"content":"<tool>","special":false,"normalized":false}],` +
			parts + `,"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","dropout":null,"ignore_merges":false,"merges":["a b",["ab","b"]],"vocab":` + string(words) + `}}`))
		require.NoError(f, err)
		_, err = parse(tree.Text(mutate.From(nil)))
		require.NoError(f, err)
		forms = append(forms, tree)
	}
	return forms
}

// Any text encodes, and decodes to its NFC with invalid bytes replaced.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"Hello, world", "<|im_start|>x", "\xff\xfe", "e\u0301", "  \n\n x"} {
		f.Add(s)
	}
	tok := get(f, "kjv")
	f.Fuzz(func(t *testing.T, s string) {
		ids, err := tok.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		text, err := tok.Decode(ids)
		if err != nil {
			t.Fatal(err)
		}
		again, err := tok.Encode(text)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := tok.Decode(again); err != nil || back != text {
			t.Fatalf("%q decodes to %q, and that to %q (%v)", s, text, back, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	raw, err := readQwen()
	require.NoError(b, err)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	var goldens []golden
	readJSON(b, "testdata/goldens-qwen2.5.json", &goldens)
	var mixed strings.Builder
	for _, g := range goldens {
		mixed.WriteString(g.Text)
	}
	prose := strings.Repeat("In the beginning God created the heaven and the earth. And the earth was without form, and void;\n", 40)
	tok := get(b, "qwen2.5")
	for name, text := range map[string]string{"prose": prose, "mixed": mixed.String(), "one-word": strings.Repeat("thelord", 500)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := tok.Encode(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// parse reads a tokenizer.json alone.
func parse(tokenizerJSON []byte) (*Tokenizer, error) {
	spec, err := parseSpec(tokenizerJSON)
	if err != nil {
		return nil, err
	}
	t, err := New(spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", jsonFile, err)
	}
	return t, nil
}
