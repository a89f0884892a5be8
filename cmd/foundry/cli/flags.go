package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/ir/dtype"
	"foundry/ir/names"
	"foundry/lower/compile"
	"foundry/runtime/files"
	"foundry/shaders"

	"github.com/spf13/cobra"
)

// modelFlags choose a model.
type modelFlags struct{ model, ropeScaling string }

func (f *modelFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.model, "model", "", `kjv-2m (embedded, the default), a Hugging Face folder, FILE.gguf, FILE.fir, synth:qwen2.5-SIZE, synth:qwen3-SIZE or hf:OWNER/NAME`)
	cmd.Flags().StringVar(&f.ropeScaling, ropeScalingFlag, "", "yarn:FACTOR or linear:FACTOR: take so many times the positions of the model, where its configuration does not say so itself")
}

const ropeScalingFlag = "rope-scaling"

func (f *modelFlags) open(s IO) (*foundry.Model, error) {
	hub := checkpoint.HubFromEnv(s.Env)
	if p := progress(s.Err); p != nil {
		hub.Progress = func(file string, n, of int) { p("download "+file, int64(n), int64(of)) }
	}
	if f.ropeScaling == "" {
		return foundry.Open(f.model, hub)
	}
	scaling, err := decoder.ParseScaling(f.ropeScaling)
	if err != nil {
		return nil, usagef("--%s %w", ropeScalingFlag, err)
	}
	m, err := foundry.Open(f.model, hub)
	if err != nil {
		return nil, err
	}
	err = m.CheckLanguage()
	if err == nil {
		m.Config, err = m.Config.Scaled(scaling)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--%s %s: %s: %w", ropeScalingFlag, f.ropeScaling, m.Name, err), m.Close())
	}
	return m, nil
}

// compileFlagNames are what compileFlags.add adds.
var compileFlagNames = []string{"weights", "cache", "passes", "prefill-passes", "variant", "target", "attention", "shaders", "context", "chunk", "command-buffers", "chain", "short-contexts", "fuel"}

// compileFlags say how a model is compiled.
type compileFlags struct {
	weights, cache, passes, prefillPasses, variant, target, attention, shaders, commandBuffers, short string
	context, chunk, fuel, chain                                                                       int
	trust                                                                                             trustFlag // trust in the kernels of a search, which runs what it compares
}

func (f *compileFlags) add(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&f.weights, "weights", "", "dtype of matrices: f32, f16, bf16, q8_0, q6_k, q5_1, q5_0, q4_k, q4_1, q4_0, or affine4 and others of docs/checkpoints.md (quantised ones as stored, others f32 on ref, f16 elsewhere)")
	p.StringVar(&f.cache, "cache", "", "dtype of the key and value cache: f32 or f16 (f32 on ref, otherwise f16)")
	p.StringVar(&f.passes, "passes", "", "the pipeline, such as canonicalize,cse,fuse-rmsnorm-qkv, or search: the fastest of all legal sets of fusions, by the cost model and, where the device is at hand, as measured")
	p.StringVar(&f.prefillPasses, "prefill-passes", "", "the pipeline of prefill, where it shall be another than that of decode (the same; of search, the best that it meets)")
	p.StringVar(&f.variant, "variant", "", "a named pipeline: unfused, default, per-layer-6, fewest, or a rung of the ladder (foundry bench --variants ladder)")
	p.StringVar(&f.target, "target", "", "the machine whose limits and costs decide (apple-m3-pro)")
	p.IntVar(&f.context, "context", 0, "tokens that the cache holds (the model's limit, at most 4096)")
	p.IntVar(&f.chunk, "chunk", 0, "most tokens of one prefill run; 1 is token by token (512)")
	p.StringVar(&f.attention, "attention", "", "attention backend: "+strings.Join(compile.AttentionBackends(), ", ")+" (FOUNDRY_ATTENTION, then auto)")
	p.StringVar(&f.shaders, "shaders", "", "folder of stage files that replace the built-in ones")
	p.IntVar(&f.chain, "chain", 0, "decode steps a command buffer, with the next buffer in flight; 0 is the cost model's choice")
	p.StringVar(&f.commandBuffers, "command-buffers", "auto", "command buffers an entry is split into, so that encoding overlaps execution: a number, or auto for the cost model's choice")
	p.StringVar(&f.short, "short-contexts", "auto", "positions of more decode entries, which run while no more tokens stand behind them, such as 512,4k; none, or auto for the cost model's choice")
	p.IntVar(&f.fuel, "fuel", -1, "apply at most this many rewrites (to bisect); -1 is no limit")
}

// options turns the flags into compile options.
func (f *compileFlags) options(cmd *cobra.Command, s IO) (foundry.CompileOptions, error) {
	if err := exclusive(cmd, "passes", "variant"); err != nil {
		return foundry.CompileOptions{}, err
	}
	o := foundry.CompileOptions{
		Passes: f.passes, PrefillPasses: f.prefillPasses, Variant: f.variant, Target: f.target,
		Context: f.context, Chunk: f.chunk,
		Attention: f.attention, AttentionChosen: "flag",
	}
	for _, n := range []struct {
		flag  string
		value int
	}{{"context", f.context}, {"chunk", f.chunk}} {
		if cmd.Flags().Changed(n.flag) && n.value < 1 {
			return o, usagef("--%s is %d, want at least 1", n.flag, n.value)
		}
	}
	for flag, value := range map[string]string{"passes": f.passes, "variant": f.variant} {
		if cmd.Flags().Changed(flag) && strings.Trim(value, ", ") == "" {
			return o, usagef("%s: --%s names nothing; leave it out for the default", cmd.Name(), flag)
		}
	}
	if o.Chain = f.chain; f.chain < 0 || f.chain > 64 {
		return o, usagef("%s: --chain is %d, want 1 to 64 steps, or 0 for the cost model's choice", cmd.Name(), f.chain)
	}
	if f.fuel < -1 {
		return o, usagef("%s: --fuel is %d, want a number of rewrites, or -1 for no limit", cmd.Name(), f.fuel)
	}
	var err error
	if o.CommandBuffers, err = parseBuffers(f.commandBuffers); err != nil {
		return o, err
	}
	if o.Short, err = parseShort(f.short); err != nil {
		return o, err
	}
	if f.fuel >= 0 {
		o.Fuel = &f.fuel
	}
	if o.Weights, err = parseDType(f.weights); err != nil {
		return o, err
	}
	if o.Cache, err = parseDType(f.cache); err != nil {
		return o, err
	}
	if f.attention == "" {
		o.Attention, o.AttentionChosen = attentionFromEnv(s.Env)
	}
	o.Shaders, err = shaderFolder(f.shaders)
	return o, err
}

// maxStage is beyond any stage file, in bytes.
const maxStage = 4 << 20

// shaderFolder opens a folder of stage files, nil for none. Each of its .metal files
// must be one that kernels are made of: another would be left out without a word.
func shaderFolder(dir string) (fs.FS, error) {
	if dir == "" {
		return nil, nil
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("--shaders %s: no such folder", dir)
	}
	folder := files.DirFS(dir, maxStage)
	stages, err := metalFiles(shaders.FS)
	if err != nil {
		return nil, err
	}
	given, err := metalFiles(folder)
	if err != nil {
		return nil, fmt.Errorf("--shaders: %w", err)
	}
	for _, name := range given {
		if !slices.Contains(stages, name) {
			return nil, fmt.Errorf("--shaders %s: %s is no stage file%s", dir, name, names.DidYouMean(name, stages))
		}
	}
	if len(given) == 0 {
		return nil, fmt.Errorf("--shaders %s: holds no stage file, such as %s", dir, stages[0])
	}
	return folder, nil
}

// metalFiles lists the .metal files of a folder and of those below it.
func metalFiles(folder fs.FS) (names []string, err error) {
	err = fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path.Ext(name) == ".metal" {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

// parseBuffers reads a number of command buffers; auto, or nothing, is 0.
func parseBuffers(text string) (int, error) {
	if text == "auto" || text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, usagef("--command-buffers is %q, want auto or a number from 1", text)
	}
	return n, nil
}

// parseShort reads the positions of entries for short contexts; auto is nil, none empty.
func parseShort(text string) ([]int, error) {
	switch text {
	case "auto":
		return nil, nil
	case "none":
		return []int{}, nil
	}
	var out []int
	for _, word := range strings.Split(text, ",") {
		n, err := parseTokens(strings.TrimSpace(word))
		if err != nil {
			return nil, usagef("--short-contexts: %w; want such a list, none or auto", err)
		}
		out = append(out, n)
	}
	return out, nil
}

// attentionFromEnv reads the variables that set the default of --attention.
func attentionFromEnv(env func(string) string) (backend, chosen string) {
	for _, name := range []string{"FOUNDRY_ATTENTION", "METALLIC_SDPA_BACKEND"} {
		if v := env(name); v != "" {
			return v, "environment"
		}
	}
	return "", "default"
}

func parseDType(name string) (dtype.Type, error) {
	if name == "" {
		return dtype.Invalid, nil
	}
	t, err := dtype.ParseWeights(strings.ToLower(name))
	if err != nil {
		types := weightNames()
		return t, usagef("%w, want one of %s%s", err, strings.Join(types, ", "), names.DidYouMean(name, types))
	}
	return t, nil
}

// idsFlags give token ids or a text.
type idsFlags struct{ ids, file, prompt string }

func (f *idsFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.ids, "ids", "", "token ids, such as 1,2,3")
	cmd.Flags().StringVar(&f.file, "ids-file", "", "file of token ids, separated by commas or white space")
	cmd.Flags().StringVar(&f.prompt, "prompt", "", "text to encode")
}

// given reports whether any of the flags is.
func (f *idsFlags) given(cmd *cobra.Command) bool {
	return cmd.Flags().Changed("ids") || f.file != "" || f.prompt != ""
}

// read returns the ids; the model's tokenizer serves a prompt.
func (f *idsFlags) read(cmd *cobra.Command, m *foundry.Model) ([]int32, error) {
	if err := exclusive(cmd, "ids", "ids-file", "prompt"); err != nil {
		return nil, err
	}
	switch {
	case cmd.Flags().Changed("ids"):
		ids, err := parseIDs("--ids", f.ids)
		if err != nil {
			return nil, usageError{err}
		}
		return ids, nil
	case f.file != "":
		text, err := files.ReadAny(f.file, maxInput)
		if err != nil {
			return nil, fmt.Errorf("--ids-file: %w", err)
		}
		return parseIDs(f.file, string(text))
	case f.prompt != "":
		return m.Encode(f.prompt)
	}
	return nil, usagef("%s: give --ids, --ids-file or --prompt", cmd.Name())
}

func parseIDs(where, text string) ([]int32, error) {
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("%s: holds no token id", where)
	}
	var out []int32
	for i, part := range strings.Split(text, ",") {
		fields := strings.Fields(part)
		if len(fields) == 0 {
			return nil, fmt.Errorf("%s: an id is missing beside comma %d", where, max(i, 1))
		}
		for _, f := range fields {
			n, err := strconv.ParseInt(f, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%s: %q is not a token id", where, f)
			}
			out = append(out, int32(n))
		}
	}
	return out, nil
}

// exclusive is an error when more than one of the flags is given.
func exclusive(cmd *cobra.Command, flags ...string) error {
	var given []string
	for _, f := range flags {
		if cmd.Flags().Changed(f) {
			given = append(given, "--"+f)
		}
	}
	if len(given) > 1 {
		return usagef("%s: %s exclude each other; give one", cmd.Name(), strings.Join(given, " and "))
	}
	return nil
}
