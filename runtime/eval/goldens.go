package eval

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/runtime"
	"foundry/runtime/engine"
	"foundry/runtime/files"
)

// Golden is what another implementation says of one prompt.
type Golden struct {
	Prompt string  // the name in the file
	IDs    []int32 // the prompt

	// Logits of the last rows, [rows, vocab]; nil where only those of TopIDs, behind
	// the last token, are known.
	Logits    []float32
	TopIDs    []int32
	TopLogits []float32

	Greedy  []int32   // ids of the greedy continuation, nil where that is not known
	Margins []float32 // the largest logit minus the second, at each of them
}

// GoldenBounds say what may differ.
type GoldenBounds struct {
	NMSE   float64 // the most NMSE of the logits that are known
	Margin float64 // the golden margin above which a greedy id counts
}

// GoldenResult is one prompt held against its golden.
type GoldenResult struct {
	Prompt  string  `json:"prompt"`
	Tokens  int     `json:"tokens"`
	Logits  int     `json:"logits"` // logits compared
	NMSE    float64 `json:"nmse"`
	MaxAbs  float64 `json:"max_abs"`
	Same    int     `json:"greedy_same"` // ids up to the first that differs
	Of      int     `json:"greedy_of"`
	Margin  float64 `json:"margin_there,omitempty"` // the golden's, where an id differs
	OK      bool    `json:"ok"`
	failure string
}

// Failure says what is out of bounds, "" where nothing is.
func (r *GoldenResult) Failure() string { return r.failure }

// ReadGoldens reads the goldens of a model from a file: .safetensors with tensors
// PROMPT.input_ids i32 [T], PROMPT.logits f32 [rows, vocab] of the last rows,
// PROMPT.greedy_ids i32 [n] and PROMPT.greedy_margin f32 [n]; or .json, an object
// by model, each with prompts by number of tokens, of top32_ids, top32_logits,
// greedy_ids and greedy_margins. A file that eval --logits-out wrote, whose only
// tensor is logits, is a golden of the ids that it was made of, which it does not
// hold: ids gives them.
func ReadGoldens(path string, m *model.Model, ids []int32) ([]Golden, error) {
	var out []Golden
	var err error
	switch {
	case strings.HasSuffix(path, ".json"):
		out, err = goldensFromJSON(path, m)
	case strings.HasSuffix(path, ".safetensors"):
		out, err = goldensFromTensors(path, ids)
	default:
		err = errors.New("want a .safetensors or a .json file")
	}
	if err == nil && len(out) == 0 {
		err = errors.New("holds no golden")
	}
	for i := range out {
		if err == nil {
			err = out[i].check(m.Config.Vocab)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("goldens %s: %w", path, err)
	}
	return out, nil
}

func (g *Golden) check(vocab int) error {
	switch {
	case len(g.IDs) == 0:
		return fmt.Errorf("prompt %s is empty", g.Prompt)
	case len(g.Logits)%vocab != 0 || len(g.Logits) > len(g.IDs)*vocab:
		return fmt.Errorf("prompt %s: %d logits are no rows of %d tokens for a vocabulary of %d", g.Prompt, len(g.Logits), len(g.IDs), vocab)
	case len(g.Logits)+len(g.TopIDs) == 0 || len(g.TopIDs) != len(g.TopLogits):
		return fmt.Errorf("prompt %s: %d ids and %d logits of the most likely tokens", g.Prompt, len(g.TopIDs), len(g.TopLogits))
	case len(g.Greedy) != len(g.Margins):
		return fmt.Errorf("prompt %s: %d greedy ids and %d margins", g.Prompt, len(g.Greedy), len(g.Margins))
	}
	for _, id := range slices.Concat(g.IDs, g.TopIDs, g.Greedy) {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("prompt %s: id %d is outside the vocabulary of %d", g.Prompt, id, vocab)
		}
	}
	return nil
}

// idsFormula is how the JSON file writes a prompt: (i*7919+13)%151643 for i in 0..T-1.
var idsFormula = regexp.MustCompile(`^\(i\*(\d+)\+(\d+)\)%(\d+) for i in 0\.\.T-1$`)

// maxGoldens is beyond any list of goldens in JSON, in bytes.
const maxGoldens = 256 << 20

func goldensFromJSON(path string, m *model.Model) ([]Golden, error) {
	raw, err := files.Read(path, maxGoldens)
	if err != nil {
		return nil, err
	}
	var models map[string]struct {
		Prompts map[int]struct {
			IDs       string    `json:"ids"`
			TopIDs    []int32   `json:"top32_ids"`
			TopLogits []float32 `json:"top32_logits"`
			GreedyIDs []int32   `json:"greedy_ids"`
			Margins   []float32 `json:"greedy_margins"`
		} `json:"prompts"`
	}
	if err := json.Unmarshal(raw, &models); err != nil {
		return nil, err
	}
	var names []string
	for name := range models {
		names = append(names, name)
	}
	name := strings.TrimPrefix(m.BaseName(), "synth:")
	if _, have := models[name]; !have {
		slices.Sort(names)
		return nil, fmt.Errorf("has no model %q, it has %s", name, strings.Join(names, ", "))
	}
	var out []Golden
	for length, p := range models[name].Prompts {
		f := idsFormula.FindStringSubmatch(p.IDs)
		if f == nil {
			return nil, fmt.Errorf("prompt %d: ids %q, want (i*A+B)%%C for i in 0..T-1", length, p.IDs)
		}
		var n [3]int
		for i := range n {
			if n[i], err = strconv.Atoi(f[i+1]); err != nil {
				return nil, fmt.Errorf("prompt %d: %w", length, err)
			}
		}
		g := Golden{Prompt: strconv.Itoa(length), TopIDs: p.TopIDs, TopLogits: p.TopLogits, Greedy: p.GreedyIDs, Margins: p.Margins}
		for i := range length {
			g.IDs = append(g.IDs, int32((i*n[0]+n[1])%max(n[2], 1)))
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b Golden) int { return len(a.IDs) - len(b.IDs) })
	return out, nil
}

func goldensFromTensors(path string, ids []int32) (_ []Golden, err error) {
	source, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	// floats and ints return nil for a tensor that the file lacks.
	floats := func(name string) []float32 {
		if _, have := source.Info(name); !have || err != nil {
			return nil
		}
		var raw []byte
		if raw, err = checkpoint.ReadAs(source, name, dtype.F32, nil); err != nil {
			return nil
		}
		out := make([]float32, len(raw)/4)
		dtype.Dequantise(dtype.F32, raw, out)
		return out
	}
	ints := func(name string) []int32 {
		if _, have := source.Info(name); !have || err != nil {
			return nil
		}
		var raw []byte
		if raw, err = checkpoint.ReadAs(source, name, dtype.I32, nil); err != nil {
			return nil
		}
		out := make([]int32, len(raw)/4)
		for i := range out {
			out[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		return out
	}
	if names := source.Names(); len(names) == 1 && names[0] == "logits" {
		if len(ids) == 0 {
			return nil, errors.New("holds logits alone; give the ids that they are of with --ids, --ids-file or --prompt")
		}
		return []Golden{{Prompt: "ids", IDs: ids, Logits: floats("logits")}}, err
	}
	var out []Golden
	for _, name := range source.Names() {
		if prompt, ok := strings.CutSuffix(name, ".input_ids"); ok {
			out = append(out, Golden{Prompt: prompt, IDs: ints(name), Logits: floats(prompt + ".logits"),
				Greedy: ints(prompt + ".greedy_ids"), Margins: floats(prompt + ".greedy_margin")})
		}
	}
	return out, err
}

// Compare runs the golden's prompt in a session of its own. Where the golden
// has several rows of logits, the engine must have been compiled for all of them.
func (g *Golden) Compare(ctx context.Context, e *engine.Engine, b GoldenBounds) (_ *GoldenResult, err error) {
	m, err := e.Open()
	if err != nil {
		return nil, err
	}
	s := runtime.NewSession(m)
	defer func() {
		err = errors.Join(e.Diagnose(ctx, append(slices.Clone(g.IDs), g.Greedy...), err), s.Close())
	}()
	vocab := s.Limits().Vocab
	var rows []float32
	if len(g.Logits) > vocab {
		err = s.PrefillEach(ctx, g.IDs, func(_ int, logits []float32) error {
			rows = append(rows, logits...)
			return nil
		})
	} else if err = s.Prefill(ctx, g.IDs); err == nil {
		rows, err = s.Logits()
	}
	if err != nil {
		return nil, err
	}
	r := &GoldenResult{Prompt: g.Prompt, Tokens: len(g.IDs), Of: len(g.Greedy)}
	have, want := rows[len(rows)-max(len(g.Logits), vocab):], g.Logits
	if want == nil {
		last := have
		have, want = nil, g.TopLogits
		for _, id := range g.TopIDs {
			have = append(have, last[id])
		}
	}
	d := interp.Compare(have, want)
	r.Logits, r.NMSE, r.MaxAbs = len(want), d.NMSE, d.MaxAbs
	if r.NMSE > b.NMSE {
		r.failure = fmt.Sprintf("NMSE %.3g is above %.3g", r.NMSE, b.NMSE)
	}
	ids, _, err := s.Greedy(ctx, len(g.Greedy))
	if err != nil {
		return nil, err
	}
	agree := false
	if r.Same, agree = interp.Agreement(ids, g.Greedy, g.Margins, b.Margin); r.Same < r.Of {
		r.Margin = float64(g.Margins[r.Same])
	}
	if !agree {
		r.failure = fmt.Sprintf("greedy id %d is %d, the golden's %d with a margin of %.3g", r.Same, ids[r.Same], g.Greedy[r.Same], r.Margin)
	}
	r.OK = r.failure == ""
	return r, nil
}
