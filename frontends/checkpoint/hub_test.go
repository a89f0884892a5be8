package checkpoint

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHubFromEnv(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(key string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == key {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	require.Equal(t, Hub{Cache: "/h/.cache/huggingface/hub", Endpoint: "https://huggingface.co"}, HubFromEnv(env("HOME", "/h")))
	require.Equal(t, "/x/huggingface/hub", HubFromEnv(env("HOME", "/h", "XDG_CACHE_HOME", "/x")).Cache)
	require.Equal(t, "/f/hub", HubFromEnv(env("HOME", "/h", "HF_HOME", "/f")).Cache)
	require.Equal(t, "/c", HubFromEnv(env("HF_HOME", "/f", "HF_HUB_CACHE", "/c")).Cache)
	require.Equal(t, Hub{Cache: "/c", Endpoint: "http://m", Token: "t", Offline: true},
		HubFromEnv(env("HF_HUB_CACHE", "/c", "HF_ENDPOINT", "http://m/", "HF_TOKEN", "t", "HF_HUB_OFFLINE", "1")))
}

// snapshot makes a cache as Hugging Face's tools lay it out: blobs, links to
// them in a snapshot, and a reference that names the snapshot.
func snapshot(t *testing.T, files map[string]string) (cache, dir string) {
	cache = t.TempDir()
	model := filepath.Join(cache, "models--Owner--Some-Model")
	dir = filepath.Join(model, "snapshots", "abc123")
	for _, d := range []string{dir, filepath.Join(model, "blobs"), filepath.Join(model, "refs")} {
		require.NoError(t, os.MkdirAll(d, 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(model, "refs", "main"), []byte("abc123"), 0o644))
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(model, "blobs", "b-"+name), []byte(text), 0o644))
		require.NoError(t, os.Symlink("../../blobs/b-"+name, filepath.Join(dir, name)))
	}
	return cache, dir
}

func TestHubCache(t *testing.T) {
	weights := folder(t, nil, map[string][]Tensor{singleFile: {tensor("w", 'a', 2)}})
	raw, err := os.ReadFile(filepath.Join(weights, singleFile))
	require.NoError(t, err)
	cache, dir := snapshot(t, map[string]string{"config.json": "{}", singleFile: string(raw)})
	got, err := Hub{Cache: cache, Offline: true}.Fetch("Owner/Some-Model")
	require.NoError(t, err)
	require.Equal(t, dir, got)
	s, err := Open(got)
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, []string{"w"}, s.Names())
}

func TestHubCacheMustBeComplete(t *testing.T) {
	index := `{"weight_map":{"a":"m-1.safetensors"}}`
	for missing, files := range map[string]map[string]string{
		"config.json":     {singleFile: "x"},
		singleFile:        {"config.json": "{}"},
		"m-1.safetensors": {"config.json": "{}", indexFile: index},
		"":                {"config.json": "{}", indexFile: index, "m-1.safetensors": "x"},
	} {
		cache, dir := snapshot(t, files)
		_, err := Hub{Cache: cache, Offline: true}.Fetch("Owner/Some-Model")
		if missing == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, "hf:Owner/Some-Model: its copy in the hub cache, "+dir+", lacks "+missing+", and HF_HUB_OFFLINE forbids to download it")
	}
	cache := t.TempDir()
	_, err := Hub{Cache: cache, Offline: true}.Fetch("a/b")
	require.EqualError(t, err, "hf:a/b: it is not in the hub cache "+cache+", and HF_HUB_OFFLINE forbids to download it")
	for _, name := range []string{"", "a", "a/b/c", "../b", "a/..", "a/b?c"} {
		_, err := Hub{Cache: cache, Offline: true}.Fetch(name)
		require.EqualError(t, err, "hf:"+name+": a model of the hub is named owner/name")
	}
}

// server answers as the hub does, for one model.
func server(t *testing.T, files map[string]string) *httptest.Server {
	type sibling struct {
		Name string `json:"rfilename"`
	}
	var siblings []sibling
	for name := range files {
		siblings = append(siblings, sibling{name})
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/api/models/Owner/Some-Model/revision/main" {
			json.NewEncoder(w).Encode(map[string]any{"sha": "c0ffee", "siblings": siblings})
			return
		}
		name, found := strings.CutPrefix(r.URL.Path, "/Owner/Some-Model/resolve/c0ffee/")
		text, known := files[name]
		if !found || !known {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", `"etag-`+name+`"`)
		w.Write([]byte(text))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestHubDownload(t *testing.T) {
	dir := folder(t, nil, map[string][]Tensor{"m-1.safetensors": {tensor("a", 'a', 4)}, "m-2.safetensors": {tensor("b", 'b', 2)}})
	files := map[string]string{"config.json": "{}", "README.md": "no", indexFile: `{"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}`}
	for _, shard := range []string{"m-1.safetensors", "m-2.safetensors"} {
		raw, err := os.ReadFile(filepath.Join(dir, shard))
		require.NoError(t, err)
		files[shard] = string(raw)
	}
	s := server(t, files)
	var seen []string
	h := Hub{Cache: t.TempDir(), Endpoint: s.URL, Token: "secret", Progress: func(file string, n, of int) {
		require.Equal(t, 4, of)
		seen = append(seen, file)
		require.Len(t, seen, n)
	}}
	got, err := h.Fetch("Owner/Some-Model")
	require.NoError(t, err)
	require.Equal(t, []string{"config.json", indexFile, "m-1.safetensors", "m-2.safetensors"}, seen)
	src, err := Open(got)
	require.NoError(t, err)
	defer src.Close()
	require.Equal(t, []string{"a", "b"}, src.Names())

	s.Close()
	again, err := h.Fetch("Owner/Some-Model")
	require.NoError(t, err, "the second time needs no network")
	require.Equal(t, got, again)
}

func TestHubFailures(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) }))
	defer plain.Close()
	bare := server(t, map[string]string{"config.json": "{}"})
	for _, c := range []struct{ endpoint, token, want string }{
		{gone.URL, "secret", "connection refused"},
		{bare.URL, "", "the hub answered 401 (is the name right?"},
		{plain.URL, "secret", "the answer is not JSON"},
		{bare.URL, "secret", "it has no model.safetensors"},
	} {
		cache := t.TempDir()
		_, err := Hub{Cache: cache, Endpoint: c.endpoint, Token: c.token}.Fetch("Owner/Some-Model")
		require.ErrorContains(t, err, "hf:Owner/Some-Model: it is not in the hub cache "+cache+", and downloading it failed: ")
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "\n")
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err := Hub{Cache: file, Endpoint: gone.URL}.Fetch("a/b")
	require.ErrorContains(t, err, "not a directory")
}
