// Package plan holds the Plan: what the compiler hands to an executor, as pure
// data, and turns it into a bundle on disk and back.
//
// A plan names kernels (MSL text with a declared signature), buffers, and for
// each entry (prefill, decode) the steps that run: dispatches and barriers,
// split into command buffers. It holds no path and no weight bytes.
//
// Read next: foundry/runtime, which executes a Plan on a Device.
package plan

import (
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Schema is the version of the data below; a bundle of another is refused.
const Schema = 5

// Plan is a compiled model: kernels, buffers and entries.
type Plan struct {
	Schema   int    `json:"schema"`
	Hash     string `json:"hash"`             // SHA-256 (hex) of the canonical plan.json with this field empty
	Edited   bool   `json:"edited,omitempty"` // a kernel was changed by hand and sealed again
	Compiler string `json:"compiler"`

	Model   Model   `json:"model"`
	Tokens  *Tokens `json:"tokens,omitempty"` // token ids and texts of a language model
	Options Options `json:"options"`
	MSL     string  `json:"msl"`             // lowest Metal language version the kernels need, such as "3.0"
	Needs   []Need  `json:"needs,omitempty"` // further capabilities that the kernels need

	Kernels []Kernel `json:"kernels"`
	Buffers []Buffer `json:"buffers"`
	// ArenaBytes is the size of the one allocation that holds all transients;
	// the entries never run at the same time and share it.
	ArenaBytes int64   `json:"arena_bytes"`
	Entries    []Entry `json:"entries"`
	// Prepare runs once, when the weights are loaded, and before any entry: it writes
	// what is prepared.
	Prepare   *Entry     `json:"prepare,omitempty"`
	Decisions []Decision `json:"decisions,omitempty"`
}

// Model is what an executor and its user must know of the compiled model.
type Model struct {
	Name    string `json:"name"`
	Layers  int    `json:"layers"`
	Hidden  int    `json:"hidden"`
	Vocab   int    `json:"vocab"`
	Context int    `json:"context"` // tokens a cache holds
	Chunk   int    `json:"chunk"`   // most tokens of one prefill run
}

// Tokens is what a driver must know of the ids and of the prompts of the model that was
// compiled. Turning text into ids takes the model's tokenizer.
type Tokens struct {
	Ends     []int32   `json:"ends"`               // ids that end a text
	Special  []Token   `json:"special,omitempty"`  // control tokens, by id; absent where the model has no tokenizer
	Template *Template `json:"template,omitempty"` // absent where the model was not trained to chat
}

// Token is a token of the vocabulary.
type Token struct {
	ID   int32  `json:"id"`
	Text string `json:"text"`
}

// Template makes a prompt of a conversation, in the language Jinja.
type Template struct {
	Text  string       `json:"text,omitempty"`  // the template for conversations without tools, or for all
	Tools string       `json:"tools,omitempty"` // the template for conversations with tools, where that is another
	Names []NamedToken `json:"names,omitempty"` // variables of the template
}

// NamedToken is a variable of a template and the control token that it holds.
type NamedToken struct {
	Name string `json:"name"` // the name in templates, such as bos_token
	Text string `json:"text"`
}

// Options records what the compiler was asked for, and who chose it.
type Options struct {
	Target          string     `json:"target"`
	Variant         string     `json:"variant,omitempty"`
	Passes          string     `json:"passes"`                   // the pipeline that ran, as a string
	PrefillPasses   string     `json:"prefill_passes,omitempty"` // the pipeline of the entry prefill, where that is another
	Weights         dtype.Type `json:"weights"`                  // dtype of matrices; vectors stay f32
	Cache           dtype.Type `json:"cache"`
	Attention       string     `json:"attention"`
	AttentionChosen string     `json:"attention_chosen"` // flag | environment | default | model
	AllLogits       bool       `json:"all_logits,omitempty"`
	ShadersFrom     string     `json:"shaders_from,omitempty"` // "outside" when stage files were replaced
	CommandBuffers  int        `json:"command_buffers"`
}

// Runs returns all that can run: the entries, and last the preparation.
func (p *Plan) Runs() []*Entry {
	out := make([]*Entry, 0, len(p.Entries)+1)
	for i := range p.Entries {
		out = append(out, &p.Entries[i])
	}
	if p.Prepare != nil {
		out = append(out, p.Prepare)
	}
	return out
}

// PassesOf returns the pipeline that ran over an entry.
func (o Options) PassesOf(entry EntryRole) string {
	if entry == Prefill && o.PrefillPasses != "" {
		return o.PrefillPasses
	}
	return o.Passes
}

// Kernel is one MSL function with the signature that every executor relies on:
// its buffer slots in order, its threadgroup arguments, then the built-ins.
type Kernel struct {
	Name   string `json:"name"` // the function's name; unique in the plan
	File   string `json:"file"` // "kernels/NAME.metal", relative to the bundle
	SHA256 string `json:"sha256"`
	Source string `json:"-"` // the whole MSL text, in File on disk

	Main        Main             `json:"main,omitempty"`   // absent of a kernel written by hand
	Stages      []string         `json:"stages,omitempty"` // stage files that its text is made of, below shaders/, in order
	Slots       []Slot           `json:"slots"`
	Threadgroup []ThreadgroupArg `json:"threadgroup,omitempty"`
	Builtins    []Builtin        `json:"builtins"`
	Threads     [3]int           `json:"threads"`            // threads a threadgroup, constant
	Matrices    int              `json:"matrices,omitempty"` // simdgroups that use matrix units together, all of a threadgroup; 0 where none does
	Params      []Param          `json:"params,omitempty"`
}

// Slot is one buffer argument: [[buffer(i)]] for the i-th slot.
type Slot struct {
	Name   string `json:"name"`
	Type   string `json:"type"`  // MSL pointee type: float, half, ushort, uchar, int, uint, Step, float4 ...
	Space  string `json:"space"` // device | constant
	Access Access `json:"access"`
}

// ThreadgroupArg is one [[threadgroup(i)]] argument for the i-th of the list.
// Bytes is a multiple of 16.
type ThreadgroupArg struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Bytes int    `json:"bytes"`
}

// Builtin is an attribute of Metal whose value a kernel takes as an argument.
type Builtin string

// The built-ins a kernel may take.
const (
	ThreadgroupPosition Builtin = "threadgroup_position_in_grid"
	ThreadgroupsPerGrid Builtin = "threadgroups_per_grid"
	ThreadPosition      Builtin = "thread_position_in_grid"
	ThreadIndex         Builtin = "thread_index_in_threadgroup"
	SimdgroupIndex      Builtin = "simdgroup_index_in_threadgroup"
	LaneIndex           Builtin = "thread_index_in_simdgroup"
)

// BuiltinArgument is how kernels take a built-in.
type BuiltinArgument struct {
	Builtin    Builtin
	Type, Name string // type and name of the argument
}

// BuiltinArguments returns all of them, in the order in which kernels take theirs.
func BuiltinArguments() []BuiltinArgument {
	return []BuiltinArgument{
		{ThreadgroupPosition, "uint3", "group"},
		{ThreadgroupsPerGrid, "uint3", "groups"},
		{ThreadPosition, "uint3", "position"},
		{ThreadIndex, "uint", "thread_index"},
		{SimdgroupIndex, "uint", "simd"},
		{LaneIndex, "uint", "lane"},
	}
}

// Argument returns how kernels take b; an unknown one has no name.
func (b Builtin) Argument() BuiltinArgument {
	for _, a := range BuiltinArguments() {
		if a.Builtin == b {
			return a
		}
	}
	return BuiltinArgument{Builtin: b}
}

// Param is a compile-time constant of a kernel, for people and statistics.
type Param struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

// Access says what a dispatch does to a byte range.
type Access string

// The accesses.
const (
	Read      Access = "read"
	Write     Access = "write"
	ReadWrite Access = "readwrite"
)

// Reads reports whether a reads.
func (a Access) Reads() bool { return a == Read || a == ReadWrite }

// Writes reports whether a writes.
func (a Access) Writes() bool { return a == Write || a == ReadWrite }

// RangeBytes is the size of a range in the buffer of ranges: two factors of f32.
const RangeBytes = 8

// Class says who owns a buffer's content.
type Class string

// The classes of buffers.
const (
	Weight    Class = "weight"    // filled once by a recipe
	Constant  Class = "constant"  // filled once from Values
	Prepared  Class = "prepared"  // written once by the plan's preparation
	Input     Class = "input"     // written by the host before a run
	Output    Class = "output"    // read by the host after a run
	State     Class = "state"     // survives runs: caches, the step, the next ids
	Transient Class = "transient" // lives within one run, at Offset of the arena
)

// BufferRole says what a session does with a buffer.
type BufferRole string

// The roles of buffers.
const (
	NoRole        BufferRole = ""
	StepBuffer    BufferRole = "step"    // T, P, errors, settings: see StepBytes
	IDsBuffer     BufferRole = "ids"     // the ids of this run, and the first of the next
	LogitsBuffer  BufferRole = "logits"  // what the next token is chosen from
	TokenBuffer   BufferRole = "token"   // the token chosen
	HistoryBuffer BufferRole = "history" // the ids of the sequence, by position
	RangesBuffer  BufferRole = "ranges"  // the prepared ranges of values
)

// Buffer is a named range of memory. Weights, state and step are shared by all
// entries.
type Buffer struct {
	Name   string        `json:"name"`
	Class  Class         `json:"class"`
	Bytes  int64         `json:"bytes"`
	Offset int64         `json:"offset,omitempty"` // transients: place in the arena, multiple of 256
	DType  dtype.Type    `json:"dtype"`
	Shape  []sym.Dim     `json:"shape"`
	Weight *WeightRecipe `json:"weight,omitempty"`
	Values []float32     `json:"values,omitempty"` // constants
	Cache  bool          `json:"cache,omitempty"`  // a state [.., positions, width] that gets a row at each position of the context
	// Range, where it is not 0, is the place in the buffer of ranges, in bytes, of
	// two factors of f32: the buffer's f16 elements are its values times the first, and
	// times the second they are the values.
	Range int64      `json:"range,omitempty"`
	Role  BufferRole `json:"role,omitempty"` // the purpose in a session, or for ranges; empty for others
}

// WeightRecipe says how the bytes of a weight buffer come about: the tensor
// Tensor of the checkpoint, converted to the buffer's dtype.
type WeightRecipe struct {
	Tensor string `json:"tensor"` // Hugging Face name
	Kind   string `json:"kind"`   // as_stored | convert | quantise | planes
}

// Planes is the recipe of a quantised weight, stored so or quantised, whose rows
// are then put in planes as dtype.Type.Planes says.
const Planes = "planes"

// rowOf returns the length of b's rows, in elements.
func rowOf(b *Buffer) (n int64, fixed bool) {
	if len(b.Shape) == 0 {
		return 0, false
	}
	return b.Shape[len(b.Shape)-1].Const()
}

// inPlanes reports whether b's rows are put in planes; those of a checked plan are not empty.
func (b *Buffer) inPlanes() bool { return b.Weight != nil && b.Weight.Kind == Planes }

// StoredBytes is the length of a weight as its source gives it, before Arrange.
func (b *Buffer) StoredBytes() int64 {
	if !b.inPlanes() {
		return b.Bytes
	}
	n, _ := rowOf(b)
	return b.Bytes / b.DType.PlaneBytes(n) * b.DType.Bytes(n)
}

// Arrange brings a weight's bytes, in the order of its dtype, into the buffer's, which
// may be longer.
func (b *Buffer) Arrange(content []byte) []byte {
	if !b.inPlanes() {
		return content
	}
	n, _ := rowOf(b)
	return b.DType.Planes(content, n)
}

// EntryRole says when a driver runs an entry.
type EntryRole string

// The roles of entries; an entry of a graph that is no language model has none.
const (
	Prefill EntryRole = "prefill" // several tokens at once
	Decode  EntryRole = "decode"  // one token, the one chosen last
	Sample  EntryRole = "sample"  // behind either, to draw a token by settings
	Prepare EntryRole = "prepare" // once
)

// Entry is one way into the plan.
type Entry struct {
	Name           string          `json:"name"`
	Role           EntryRole       `json:"role,omitempty"`
	TMin           int64           `json:"t_min"`
	TMax           int64           `json:"t_max"`
	PMax           int64           `json:"p_max,omitempty"` // largest P of a run, of a Decode for short contexts; absent: what the context allows
	Steps          []Step          `json:"steps"`
	CommandBuffers []CommandBuffer `json:"command_buffers"`
	Chain          int             `json:"chain,omitempty"` // runs of Decode that a driver gives the device as one command buffer; absent: 1
	Modelled       *Modelled       `json:"modelled,omitempty"`
	Results        []Result        `json:"results"`
	// Weights of the entry and where they are: every Buffer is shared, so an
	// entry lists nothing; the dispatches' bindings say what it touches.
}

// Result names the buffer that holds a result of the entry's graph.
type Result struct {
	Name   string `json:"name"`
	Buffer int    `json:"buffer"`
}

// Step is a dispatch or, with Dispatch nil, a barrier: everything before it is
// finished and visible to everything after it.
type Step struct {
	Dispatch *Dispatch `json:"dispatch,omitempty"`
	Barrier  bool      `json:"barrier,omitempty"`
}

// Modelled is what the compiler's cost model predicts of one run of an entry on the
// plan's target, in microseconds: for people, and uncalibrated but where the target
// says otherwise.
type Modelled struct {
	T           int64   `json:"t"`
	P           int64   `json:"p"`
	DeviceUs    float64 `json:"device_us"`            // kernels and barriers
	EncodeUs    float64 `json:"encode_us"`            // time of the host for all dispatches
	Us          float64 `json:"us"`                   // time in the entry's command buffers, from the first call to the end
	OneBufferUs float64 `json:"one_buffer_us"`        // time in one command buffer
	ChainedUs   float64 `json:"chained_us,omitempty"` // time of Decode in its chains, the next one always in flight
}

// CommandBuffer is a run of steps [First, Last) that are committed together.
type CommandBuffer struct {
	First int `json:"first"`
	Last  int `json:"last"`
}

// Dispatch runs one kernel over a grid of threadgroups.
type Dispatch struct {
	Kernel int        `json:"kernel"`
	Label  string     `json:"label"` // layers.3.qkv ; shown by captures
	Nodes  []Node     `json:"nodes"` // the operations that it executes, in part where another merges the parts
	Layer  int        `json:"layer"` // -1 outside the layers
	Wave   int        `json:"wave"`
	Grid   [3]GridDim `json:"grid"`  // threadgroups
	Bind   []Binding  `json:"bind"`  // one a slot, in slot order
	Moved  sym.Poly   `json:"moved"` // bytes read and written, each operand once
	Flops  sym.Poly   `json:"flops"`
}

// Groups returns the threadgroups of the dispatch in the run e.
func (d *Dispatch) Groups(e sym.Env) int64 {
	return d.Grid[0].Eval(e) * d.Grid[1].Eval(e) * d.Grid[2].Eval(e)
}

// Node is an operation of the graph.
type Node struct {
	Label string `json:"label"`
	Op    string `json:"op"` // matmul_nt
}

// GridDim is ceil(N / Div) threadgroups.
type GridDim struct {
	N   sym.Dim `json:"n"`
	Div int64   `json:"div"`
}

// Eval returns the count for e.
func (g GridDim) Eval(e sym.Env) int64 { return (g.N.Eval(e) + g.Div - 1) / g.Div }

// Binding binds bytes [Offset, Offset+Bytes) of a buffer to a slot. The range
// holds every byte that the dispatch touches through the slot, for any T and P.
type Binding struct {
	Buffer int    `json:"buffer"`
	Offset int64  `json:"offset,omitempty"`
	Bytes  int64  `json:"bytes"`
	Access Access `json:"access"`
}

// Decision is one record of the fusion log: what a pattern did at one site.
type Decision struct {
	Entry   string `json:"entry,omitempty"` // the entry of the graph
	Pass    string `json:"pass"`
	Pattern string `json:"pattern"`
	Node    string `json:"node"`
	Layer   int    `json:"layer"`
	Outcome string `json:"outcome"` // matched | refused | taken | unprofitable | no site
	Reason  string `json:"reason"`
	Bytes   int64  `json:"bytes_saved"`
	Waves   int    `json:"waves_saved"`
}

// The step buffer: 32 words of 4 bytes that the host and the kernels share, the
// MSL struct Step of shaders/common/step.metal. Offsets are in words.
const (
	StepBytes       = 128
	StepT           = 0  // uint: tokens of this run
	StepP           = 1  // uint: tokens cached before it
	StepS           = 2  // uint: P + T
	StepToken       = 3  // int: the token that the last run chose
	StepError       = 4  // uint: 0, or the code of what a kernel refused
	StepErrorArg    = 5  // uint: what the code is about, such as the token id
	StepTemperature = 6  // float
	StepTopK        = 7  // float, a whole number, 0 = off
	StepTopP        = 8  // float, 1 = off
	StepMinP        = 9  // float, 0 = off
	StepRepetition  = 10 // float, 1 = off
	StepSeedLo      = 11 // uint
	StepSeedHi      = 12 // uint
	StepCounter     = 13 // uint: of the next random number: the position of the token chosen last
)

// Error codes in StepError.
const (
	ErrNone   = 0
	ErrToken  = 1 // a token id outside the vocabulary; StepErrorArg holds it
	ErrCache  = 3 // a value that a cache of f16 cannot hold; it is an infinity there
	ErrLogits = 2 // logits that no token can be chosen from; StepErrorArg is their row
)
