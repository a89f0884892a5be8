package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"foundry/runtime/files"

	"github.com/gomlx/go-huggingface/hub"
)

// Hub finds models by their Hugging Face name, owner/name: in the local cache
// that Hugging Face's own tools share, and, failing that, by download into it.
type Hub struct {
	Cache    string // folder that holds models--owner--name
	Endpoint string // the server; empty: https://huggingface.co
	Token    string // the token of access; "" for none
	Offline  bool   // a ban on downloads
	// Progress, which may be nil, is told which file of how many is about to
	// be downloaded.
	Progress func(file string, n, of int)
}

// HubFromEnv applies the environment variables that Hugging Face's tools
// document, read through getenv: HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HOME,
// HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE.
func HubFromEnv(getenv func(string) string) Hub {
	h := Hub{
		Cache:    getenv("HF_HUB_CACHE"),
		Endpoint: strings.TrimSuffix(getenv("HF_ENDPOINT"), "/"),
		Token:    getenv("HF_TOKEN"),
		Offline:  slices.Contains([]string{"1", "on", "yes", "true"}, strings.ToLower(getenv("HF_HUB_OFFLINE"))),
	}
	if h.Cache == "" {
		home := getenv("HF_HOME")
		if home == "" {
			base := getenv("XDG_CACHE_HOME")
			if base == "" {
				base = filepath.Join(getenv("HOME"), ".cache")
			}
			home = filepath.Join(base, "huggingface")
		}
		h.Cache = filepath.Join(home, "hub")
	}
	if h.Endpoint == "" {
		h.Endpoint = "https://huggingface.co"
	}
	return h
}

const revision = "main"

var hubName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// Fetch returns the folder of a model, which Open takes.
func (h Hub) Fetch(name string) (dir string, err error) {
	if !hubName.MatchString(name) || strings.Contains(name, "..") {
		return "", fmt.Errorf("hf:%s: a model of the hub is named owner/name", name)
	}
	dir, missing := h.cached(name)
	if missing == nil {
		return dir, nil
	}
	if h.Offline {
		return "", fmt.Errorf("hf:%s: %w, and HF_HUB_OFFLINE forbids to download it", name, missing)
	}
	if err := h.download(name); err != nil {
		return "", fmt.Errorf("hf:%s: %w, and downloading it failed: %s", name, missing, oneLine(err))
	}
	if dir, missing = h.cached(name); missing != nil {
		return "", fmt.Errorf("hf:%s: downloaded, but %w", name, missing)
	}
	return dir, nil
}

func (h Hub) folder(name string) string {
	return filepath.Join(h.Cache, "models--"+strings.ReplaceAll(name, "/", "--"))
}

// cached returns the snapshot folder of the revision, if all that Open needs
// is there; otherwise the error says what is missing.
func (h Hub) cached(name string) (dir string, err error) {
	folder := h.folder(name)
	commit, err := files.Read(filepath.Join(folder, "refs", revision), 1<<10)
	if err != nil {
		return "", fmt.Errorf("it is not in the hub cache %s", h.Cache)
	}
	dir = filepath.Join(folder, "snapshots", filepath.Base(strings.TrimSpace(string(commit))))
	if file := firstMissing(dir); file != "" {
		return "", fmt.Errorf("its copy in the hub cache, %s, lacks %s", dir, file)
	}
	return dir, nil
}

// firstMissing names a file without which a folder is no model; "" if it is one.
func firstMissing(dir string) string {
	lacks := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name)) // follows the link to the blob
		return err != nil
	}
	if lacks("config.json") {
		return "config.json"
	}
	if !lacks(singleFile) {
		return ""
	}
	raw, err := files.Read(filepath.Join(dir, indexFile), fileLimit(indexFile))
	if err != nil {
		return singleFile
	}
	shardOf, err := parseIndex(indexFile, raw)
	if err != nil {
		return "" // Open says what is wrong with it
	}
	for _, shard := range shardOf {
		if lacks(shard) {
			return shard
		}
	}
	return ""
}

// companions are the files that go with the weights, where a model has them.
var companions = []string{"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}

// download brings the revision's newest commit into the cache.
func (h Hub) download(name string) error {
	// The client would read the environment by itself; here it is told.
	repo := hub.New(name).WithEndpoint(h.Endpoint).WithCacheDir(h.Cache).WithAuth(h.Token).WithRevision(revision)
	repo.Verbosity = 0 // the client would print to standard output
	if err := repo.DownloadInfo(true); err != nil {
		return err
	}
	var has []string
	for file, err := range repo.IterFileNames() {
		if err != nil {
			return err
		}
		has = append(has, file)
	}
	var wanted []string
	for _, file := range companions {
		if slices.Contains(has, file) {
			wanted = append(wanted, file)
		}
	}
	switch {
	case slices.Contains(has, singleFile):
		wanted = append(wanted, singleFile)
	case slices.Contains(has, indexFile):
		shards, err := h.shards(repo)
		if err != nil {
			return err
		}
		wanted = append(append(wanted, indexFile), shards...)
	default:
		return fmt.Errorf("it has no %s", singleFile)
	}
	for i, file := range wanted {
		if h.Progress != nil {
			h.Progress(file, i+1, len(wanted))
		}
		if _, err := repo.DownloadFile(file); err != nil {
			return err
		}
	}
	return h.record(name, repo.Info().CommitHash)
}

// shards downloads the index and returns the files it names.
func (h Hub) shards(repo *hub.Repo) ([]string, error) {
	path, err := repo.DownloadFile(indexFile)
	if err != nil {
		return nil, err
	}
	raw, err := files.Read(path, fileLimit(indexFile))
	if err != nil {
		return nil, err
	}
	shardOf, err := parseIndex(indexFile, raw)
	if err != nil {
		return nil, err
	}
	var shards []string
	for _, shard := range shardOf {
		shards = append(shards, shard)
	}
	slices.Sort(shards)
	return slices.Compact(shards), nil
}

// record notes the commit that the revision means, as Hugging Face's tools do
// and the client does not, so that the model is found without the network.
func (h Hub) record(name, commit string) error {
	ref := filepath.Join(h.folder(name), "refs", revision)
	if err := os.MkdirAll(filepath.Dir(ref), 0o755); err != nil {
		return err
	}
	return files.Write(context.Background(), ref, func(w io.Writer) error {
		_, err := io.WriteString(w, commit)
		return err
	})
}

var badStatus = regexp.MustCompile(`bad status code (\d{3})`)

// oneLine finds, under the client's layers of context, what went wrong.
func oneLine(err error) string {
	if m := badStatus.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Sprintf("the hub answered %s (is the name right? a private model needs HF_TOKEN)", m[1])
	}
	if request := (*url.Error)(nil); errors.As(err, &request) {
		err = request
	} else if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path
	} else if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		err = fmt.Errorf("the answer is not JSON: %w", syntax)
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}
