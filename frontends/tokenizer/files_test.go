package tokenizer

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// folder serves files as a checkpoint does.
func folder(files map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		text, ok := files[name]
		if !ok {
			return nil, fmt.Errorf("there is no %s: %w", name, fs.ErrNotExist)
		}
		return []byte(text), nil
	}
}

// smallModel is the tokenizer.json of the small model, by parts.
func smallModel(t testing.TB) (parts map[string]json.RawMessage, model struct {
	Vocab  json.RawMessage
	Merges [][2]string
}) {
	raw, err := readKJV()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &parts))
	require.NoError(t, json.Unmarshal(parts["model"], &model))
	return parts, model
}

// The goldens are what transformers gives for the same files.
func TestForms(t *testing.T) {
	var forms []struct {
		Name   string
		Patch  map[string]json.RawMessage
		Config json.RawMessage
		Cases  []struct {
			Text      string
			IDs, Part []int32
			Pieces    []string
		}
	}
	readJSON(t, "testdata/goldens-forms.json", &forms)
	require.Greater(t, len(forms), 20)
	for _, f := range forms {
		parts, model := smallModel(t)
		files := map[string]string{"tokenizer_config.json": string(f.Config)}
		if f.Patch == nil {
			merges := "#version: 0.2\n"
			for _, m := range model.Merges {
				merges += m[0] + " " + m[1] + "\n"
			}
			files["vocab.json"], files["merges.txt"] = string(model.Vocab), merges
		} else {
			if _, patched := f.Patch["model"]; patched {
				f.Patch["model"] = json.RawMessage(strings.Replace(string(parts["model"]), `"ignore_merges": false`, `"ignore_merges": true`, 1))
				require.NotEqual(t, parts["model"], f.Patch["model"])
			}
			for key, value := range f.Patch {
				parts[key] = value
			}
			raw, err := json.Marshal(parts)
			require.NoError(t, err)
			files["tokenizer.json"] = string(raw)
		}
		tok, err := Read(folder(files))
		require.NoError(t, err, f.Name)
		for _, c := range f.Cases {
			ids, err := tok.Encode(c.Text)
			require.NoError(t, err)
			require.Equal(t, append([]int32{}, c.IDs...), append([]int32{}, ids...), "%s: %q", f.Name, c.Text)
			pieces := []string{}
			require.NoError(t, cut(tok.splits, c.Text, deadline(tok.splits, c.Text), func(piece string) { pieces = append(pieces, piece) }))
			require.Equal(t, c.Pieces, pieces, "%s: %q", f.Name, c.Text)
			part, err := tok.EncodePart(c.Text)
			require.NoError(t, err)
			require.Equal(t, append([]int32{}, c.Part...), append([]int32{}, part...), "%s: %q", f.Name, c.Text)
		}
	}
}

func TestBadFolders(t *testing.T) {
	_, model := smallModel(t)
	vocab := string(model.Vocab)
	for _, c := range []struct {
		files map[string]string
		err   string
	}{
		{nil, "there is no vocab.json: file does not exist"},
		{map[string]string{"vocab.json": vocab}, "there is no merges.txt: file does not exist"},
		{map[string]string{"vocab.json": "[]", "merges.txt": ""}, "vocab.json: the file cannot be of JSON type array"},
		{map[string]string{"vocab.json": "{", "merges.txt": ""}, "vocab.json is not JSON: unexpected end of JSON input"},
		{map[string]string{"vocab.json": "{}", "merges.txt": ""}, "vocab.json: there is no vocab"},
		{map[string]string{"vocab.json": `{"a":0}`, "merges.txt": ""}, "vocab.json: the vocabulary has no token for byte 0x00"},
		{map[string]string{"vocab.json": vocab, "merges.txt": "#version: 0.2\nt h\nth\n"}, "merges.txt: line 3 is not two tokens with a space between"},
		{map[string]string{"vocab.json": vocab, "merges.txt": "t h\nx yz\n"}, `vocab.json: merge 1 joins "x" and "yz", but the vocabulary lacks one of them or the result`},
		{map[string]string{"vocab.json": vocab, "merges.txt": "", "tokenizer_config.json": `{"tokenizer_class":"Two\nlines"}`}, `tokenizer_config.json: a Two\nlines in vocab.json without tokenizer.json is not supported (Qwen2Tokenizer is)`},
		{map[string]string{"vocab.json": vocab, "merges.txt": "", "tokenizer_config.json": `{"tokenizer_class":"GPT2Tokenizer"}`}, "tokenizer_config.json: a GPT2Tokenizer in vocab.json without tokenizer.json is not supported (Qwen2Tokenizer is)"},
		{map[string]string{"vocab.json": vocab, "merges.txt": "", "tokenizer_config.json": `{"add_bos_token":true,"bos_token":"<s>"}`}, `tokenizer_config.json: add_bos_token is true, but bos_token, "<s>", is no token`},
		{map[string]string{"vocab.json": vocab, "merges.txt": "", "tokenizer_config.json": `{"added_tokens_decoder":{"x":{}}}`}, `tokenizer_config.json: added_tokens_decoder: "x" is no id`},
		{map[string]string{"vocab.json": vocab, "merges.txt": "", "tokenizer_config.json": `{"bos_token":5}`}, "tokenizer_config.json: bos_token cannot be of JSON type number"},
		{map[string]string{"vocab.json": vocab, "merges.txt": "", "added_tokens.json": `{"<x>":88888888}`}, `vocab.json: added token "<x>" has id 88888888, far from the vocabulary of 2045`},
		{map[string]string{"tokenizer.json": "{}", "tokenizer_config.json": `[]`}, "tokenizer_config.json: the file cannot be of JSON type array"},
	} {
		_, err := Read(folder(c.files))
		require.EqualError(t, err, c.err)
	}
}

// Added tokens may lie in a file of their own.
func TestAddedTokensFile(t *testing.T) {
	_, model := smallModel(t)
	tok, err := Read(folder(map[string]string{"vocab.json": string(model.Vocab), "merges.txt": "", "added_tokens.json": `{"<think>":2045}`}))
	require.NoError(t, err)
	ids, err := tok.Encode("a<think>")
	require.NoError(t, err)
	require.Equal(t, int32(2045), ids[1])
}

// An added token's id may leave twice the vocabulary and 1,024 empty before it, no more.
func TestAddedTokensFarBehind(t *testing.T) {
	_, model := smallModel(t)
	read := func(id int) error {
		_, err := Read(folder(map[string]string{"vocab.json": string(model.Vocab), "merges.txt": "", "added_tokens.json": fmt.Sprintf(`{"<x>":%d}`, id)}))
		return err
	}
	const limit = 2*(2045+1) + 1024
	require.NoError(t, read(limit-1))
	require.EqualError(t, read(limit), `vocab.json: added token "<x>" has id 5116, far from the vocabulary of 2045`)
}

// The package's documentation names the version of the tables it reads.
func TestUnicodeVersion(t *testing.T) {
	require.Equal(t, "15.0.0", unicode.Version, "say the new version in the package's documentation")
}

func FuzzFiles(f *testing.F) {
	_, model := smallModel(f)
	f.Add(string(model.Vocab), "t h\n", `{"add_bos_token":true,"bos_token":{"content":"a"},"added_tokens_decoder":{"2045":{"content":"x"}}}`, `{"y":2046}`)
	f.Add(`{"a":0}`, "#version: 0.2\n", `{}`, `{}`)
	f.Fuzz(func(t *testing.T, vocab, merges, config, added string) {
		_, err := Read(folder(map[string]string{"vocab.json": vocab, "merges.txt": merges, "tokenizer_config.json": config, "added_tokens.json": added}))
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Fatalf("an error of several lines: %q", err)
		}
	})
}
