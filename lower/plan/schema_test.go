package plan

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

const schemaFile = "../../docs/plan-schema.json"

func readJSON(t *testing.T, path string) any {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	require.NoError(t, err)
	return doc
}

func TestBundleFollowsTheSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	require.NoError(t, err)
	p := sample(t)
	p.Edited, p.Options.AllLogits, p.Options.Variant, p.Options.ShadersFrom = true, true, "fewest", "outside"
	p.Buffers[7].Shape, p.Buffers[7].Bytes = []sym.Dim{sym.T, sym.Const(32)}, 8*128
	dir := filepath.Join(t.TempDir(), "bundle")
	require.NoError(t, p.Save(dir))
	doc := readJSON(t, filepath.Join(dir, planFile))
	require.NoError(t, schema.Validate(doc))

	// The schema refuses too: each change is one that it must notice.
	for name, edit := range map[string]func(m map[string]any){
		"unknown field":   func(m map[string]any) { m["path"] = "x" },
		"missing field":   func(m map[string]any) { delete(m, "msl") },
		"schema version":  func(m map[string]any) { m["schema"] = 2 },
		"hash":            func(m map[string]any) { m["hash"] = "ABC" },
		"access":          func(m map[string]any) { first(m, "kernels", "slots")["access"] = "rw" },
		"file":            func(m map[string]any) { first(m, "kernels")["file"] = "kernels/../x.metal" },
		"recipe":          func(m map[string]any) { delete(m["buffers"].([]any)[2].(map[string]any), "weight") },
		"offset of state": func(m map[string]any) { first(m, "buffers")["offset"] = 256 },
		"dim":             func(m map[string]any) { first(m, "buffers")["shape"] = []any{"T*T"} },
		"two in a step":   func(m map[string]any) { first(m, "entries", "steps")["barrier"] = true },
	} {
		t.Run(name, func(t *testing.T) {
			doc := readJSON(t, filepath.Join(dir, planFile))
			edit(doc.(map[string]any))
			require.Error(t, schema.Validate(doc))
		})
	}
}

// first follows the first elements of lists by name.
func first(m map[string]any, names ...string) map[string]any {
	for _, n := range names {
		m = m[n].([]any)[0].(map[string]any)
	}
	return m
}

// Every dtype has its word in the schema, and nothing else is one.
func TestSchemaNamesEveryDType(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(schemaFile + "#/$defs/dtype")
	require.NoError(t, err)
	for _, typ := range dtype.All() {
		require.NoError(t, schema.Validate(typ.String()))
	}
	for _, bad := range []any{"affine7_g64_f16", "affine4_g64_f16_zer", "affine4", "q9", 4.0} {
		require.Error(t, schema.Validate(bad))
	}
}

// Every field of the Go types is in the schema, required unless it may be left
// out, and nothing else is.
func TestSchemaHasEveryField(t *testing.T) {
	root := readJSON(t, schemaFile).(map[string]any)
	defs := root["$defs"].(map[string]any)
	def := func(name string) map[string]any { return defs[name].(map[string]any) }
	items := func(of, field string) map[string]any {
		return def(of)["properties"].(map[string]any)[field].(map[string]any)["items"].(map[string]any)
	}
	for typ, schema := range map[reflect.Type]map[string]any{
		reflect.TypeFor[Plan](): root, reflect.TypeFor[Model](): def("model"), reflect.TypeFor[Options](): def("options"),
		reflect.TypeFor[Kernel](): def("kernel"), reflect.TypeFor[Slot](): def("slot"), reflect.TypeFor[Param](): def("param"),
		reflect.TypeFor[ThreadgroupArg](): def("threadgroup_argument"), reflect.TypeFor[Buffer](): def("buffer"),
		reflect.TypeFor[WeightRecipe](): def("recipe"), reflect.TypeFor[Entry](): def("entry"), reflect.TypeFor[Step](): def("step"),
		reflect.TypeFor[Dispatch](): def("dispatch"), reflect.TypeFor[Binding](): def("binding"), reflect.TypeFor[Decision](): def("decision"),
		reflect.TypeFor[GridDim](): items("dispatch", "grid"), reflect.TypeFor[CommandBuffer](): items("entry", "command_buffers"),
		reflect.TypeFor[Result](): items("entry", "results"), reflect.TypeFor[Node](): def("node"),
		reflect.TypeFor[Tokens](): def("tokens"), reflect.TypeFor[Token](): def("token"), reflect.TypeFor[Template](): def("template"),
		reflect.TypeFor[NamedToken](): def("named_token"),
	} {
		var fields, always, properties, required []string
		for i := range typ.NumField() {
			name, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			fields = append(fields, name)
			if options == "" {
				always = append(always, name)
			}
		}
		for name := range schema["properties"].(map[string]any) {
			properties = append(properties, name)
		}
		list, _ := schema["required"].([]any)
		for _, name := range list {
			required = append(required, name.(string))
		}
		require.ElementsMatch(t, fields, properties, typ.Name())
		require.ElementsMatch(t, always, required, typ.Name())
	}
}

// The document for those who drive a plan by hand names every field, too.
func TestDocumentNamesEveryField(t *testing.T) {
	b, err := os.ReadFile("../../docs/plan-format.md")
	require.NoError(t, err)
	var missing []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok && v["required"] != nil {
				for name := range properties {
					if !bytes.Contains(b, []byte("`"+name+"`")) {
						missing = append(missing, name)
					}
				}
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(readJSON(t, schemaFile))
	slices.Sort(missing)
	require.Empty(t, slices.Compact(missing))
}

// The plan in the document, written by hand, can be sealed and loaded.
func TestDocumentsExample(t *testing.T) {
	b, err := os.ReadFile("../../docs/plan-format.md")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, kernelsDir), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, planFile), []byte(readExample(t, string(b))), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, kernelFile("double_it")), []byte("kernel void double_it() {}\n"), 0o644))
	_, err = Load(dir)
	require.ErrorContains(t, err, "plan.json: changed")
	sealed, err := Seal(dir)
	require.NoError(t, err)
	p, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, sealed, p)
	require.Equal(t, "double", p.Entries[0].Name)
}

// Anyone can compute the hash: from the text, without knowing the fields.
func TestHashFromTheText(t *testing.T) {
	p := sample(t)
	text, err := encode(p)
	require.NoError(t, err)
	require.Equal(t, p.Hash, hashHex(bytes.Replace(text, []byte(p.Hash), nil, 1)))
}

// readExample returns the first fenced JSON block.
func readExample(t *testing.T, text string) string {
	_, rest, ok := strings.Cut(text, "```json\n")
	require.True(t, ok)
	example, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	return example
}
