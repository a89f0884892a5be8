package foundry

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gomlx/go-huggingface/hub"
)

var hubID = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$`)

// fetchHub returns the folder of a hub model: the local cache's where it is
// complete, otherwise it downloads what is missing first.
func fetchHub(ctx context.Context, id string, o OpenOptions) (string, error) {
	if !hubID.MatchString(id) {
		return "", fmt.Errorf("%s%s: want %sOWNER/NAME, such as hf:Qwen/Qwen2.5-0.5B-Instruct", hubPrefix, id, hubPrefix)
	}
	cache := o.HubCache
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("%s%s: no folder to keep the model in: %w", hubPrefix, id, err)
		}
		cache = filepath.Join(home, ".cache", "huggingface", "hub")
	}
	if dir, ok := cachedHub(cache, id); ok {
		return dir, nil
	}
	dir, err := downloadHub(ctx, cache, id, o)
	if err != nil {
		return "", fmt.Errorf("%s%s: not in %s, and the download failed: %w", hubPrefix, id, cache, err)
	}
	return dir, nil
}

// cachedHub finds the snapshot that the cache calls main, if config.json and
// some weights are in it.
func cachedHub(cache, id string) (dir string, ok bool) {
	repo := filepath.Join(cache, "models--"+strings.ReplaceAll(id, "/", "--"))
	commit, err := os.ReadFile(filepath.Join(repo, "refs", "main"))
	if err != nil {
		return "", false
	}
	dir = filepath.Join(repo, "snapshots", strings.TrimSpace(string(commit)))
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		return "", false
	}
	for _, name := range []string{"model.safetensors", "model.safetensors.index.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return dir, true
		}
	}
	return "", false
}

// downloadHub downloads configuration, tokenizer and safetensors of a model into
// the cache. The index of sharded weights comes last: cachedHub takes a folder
// that has it for complete.
func downloadHub(ctx context.Context, cache, id string, o OpenOptions) (dir string, err error) {
	repo := hub.New(id).WithCacheDir(cache).WithAuth(o.HubToken).WithProgressBar(false)
	repo.Verbosity = 0
	if o.HubEndpoint != "" {
		repo = repo.WithEndpoint(o.HubEndpoint)
	}
	var small, large []string
	for name, err := range repo.IterFileNames() {
		switch {
		case err != nil:
			return "", err
		case strings.Contains(name, "/"):
		case path.Ext(name) == ".safetensors":
			large = append(large, name)
		case path.Ext(name) == ".json" || path.Ext(name) == ".txt":
			small = append(small, name)
		}
	}
	if len(large) == 0 {
		return "", fmt.Errorf("the repository has no safetensors")
	}
	for i, name := range append(large, small...) {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if o.Progress != nil {
			o.Progress("download "+name, int64(i), int64(len(large)+len(small)))
		}
		file, err := repo.DownloadFile(name)
		if err != nil {
			return "", err
		}
		dir = filepath.Dir(file)
	}
	return dir, nil
}
