package graphviz

import (
	"context"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// The build's names are short, and others in another version: the script pairs them with
// what they stand for. A test holds these tables to it.

// exports are what is called here.
var exports = map[string]string{
	"initialise": "A", "invert y": "B", "reduce": "C", "allocate": "F",
	"read": "I", "context": "V", "reset errors": "Z", "lay out": "X", "render": "_",
}

// Numbers of errors that the machine's C library knows.
const (
	badFile      = 8  // of calls that return them
	noSuchFile   = 44 // of calls that return them negated
	cannotDo     = 52
	pageBytes    = 1 << 16
	saidAtMost   = 1 << 16
	exitOfAborts = 134
)

// call is one import: what it does with its arguments, and what it returns.
type call func(m api.Module, said *messages, args []uint64) uint64

// imports are what Graphviz asks of the world. It has no files, no time and no chance.
var imports = map[string]call{
	"a": ends("an assertion failed"), "b": ends("an exception"), "c": ends("exit"), "h": ends("abort"),
	"d": write,
	"e": returns(badFile), "i": returns(badFile), "r": returns(badFile), // close, read, seek
	"f": negated(badFile), "j": negated(badFile), "w": negated(badFile), // fcntl, ioctl, fstat
	"l": negated(noSuchFile), "v": negated(noSuchFile), "y": negated(noSuchFile), // open, stat, access
	"m": negated(cannotDo), "n": negated(cannotDo), "u": negated(cannotDo), // mmap, munmap, entropy
	"g": returns(0), "o": zeroes(44, 1), "q": zeroes(4, 0, 1, 2, 3), "x": zeroes(8, 2), // date, local time, zone, clock
	"s": returns(0), "t": zeroes(4, 0, 1), // environment and its size
	"k": grow,
	"p": func(m api.Module, said *messages, args []uint64) uint64 {
		said.add(string(textAt(m.Memory(), uint32(args[0]))))
		return 0
	},
}

func returns(n uint64) call { return func(api.Module, *messages, []uint64) uint64 { return n } }

func negated(n int32) call { return returns(uint64(uint32(-n))) }

// zeroes leaves n bytes of zeroes where the arguments of these numbers point.
func zeroes(n int, pointers ...int) call {
	return func(m api.Module, _ *messages, args []uint64) uint64 {
		for _, p := range pointers {
			m.Memory().Write(uint32(args[p]), make([]byte, n))
		}
		return 0
	}
}

// ends stops the run.
func ends(why string) call {
	return func(_ api.Module, said *messages, _ []uint64) uint64 {
		said.end = why
		panic(sys.NewExitError(exitOfAborts))
	}
}

// write takes what is written to any file for words on the standard error.
func write(m api.Module, said *messages, args []uint64) uint64 {
	vector, count, total := uint32(args[1]), uint32(args[2]), uint32(0)
	for i := range count {
		at, _ := m.Memory().ReadUint32Le(vector + 8*i)
		n, _ := m.Memory().ReadUint32Le(vector + 8*i + 4)
		text, ok := m.Memory().Read(at, n)
		if !ok {
			return badFile
		}
		said.add(string(text))
		total += n
	}
	m.Memory().WriteUint32Le(uint32(args[3]), total)
	return 0
}

// grow makes the memory at least as large as asked, and a fifth larger than it is.
func grow(m api.Module, _ *messages, args []uint64) uint64 {
	have := m.Memory().Size()
	if asked := uint32(args[0]); asked > have {
		pages := (asked - have + pageBytes - 1) / pageBytes
		for _, n := range []uint32{max(pages, have/pageBytes/5), pages} {
			if _, ok := m.Memory().Grow(n); ok {
				return 1
			}
		}
	}
	return 0
}

// messages are what Graphviz said in a run.
type messages struct {
	text strings.Builder
	end  string // why it ended itself
}

type messagesKey struct{}

func (s *messages) add(text string) {
	if s.text.Len()+len(text) <= saidAtMost {
		s.text.WriteString(text)
	}
}

// refusal is the error of a run that drew nothing: its first error, or what else is known.
func (s *messages) refusal(otherwise string) error {
	for line := range strings.Lines(s.text.String()) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "Error: "); ok {
			return fmt.Errorf("graphviz: %s", text)
		}
	}
	if s.end != "" {
		otherwise = "it ended: " + s.end
	}
	return fmt.Errorf("graphviz: %s", otherwise)
}

// provide makes the imports that the module asks for; one that is unknown is an error.
func provide(ctx context.Context, r wazero.Runtime, wanted []api.FunctionDefinition) error {
	var names []string
	host := map[string]wazero.HostModuleBuilder{}
	for _, w := range wanted {
		from, name, _ := w.Import()
		do, ok := imports[name]
		if !ok {
			return fmt.Errorf("it imports %s.%s, which is unknown", from, name)
		}
		if host[from] == nil {
			host[from], names = r.NewHostModuleBuilder(from), append(names, from)
		}
		results := len(w.ResultTypes())
		f := api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			said, _ := ctx.Value(messagesKey{}).(*messages)
			if n := do(m, said, stack); results > 0 {
				stack[0] = n
			}
		})
		host[from].NewFunctionBuilder().WithGoModuleFunction(f, w.ParamTypes(), w.ResultTypes()).Export(name)
	}
	for _, from := range names {
		if _, err := host[from].Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}
