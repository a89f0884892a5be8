package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"foundry/lower/plan"
)

// fake is a Device whose kernels are Go functions over the bound bytes, found by
// name. The dispatches of a wave run last first, so that a barrier which does
// not arrive is felt.
type fake struct {
	kernels map[string]func(grid [3]int64, bind [][]byte) error
	info    Info
	records bool // programs are Recorders

	mu   sync.Mutex
	log  []string // begin, dispatch LABEL, barrier, commit, wait, run
	live int      // memories and programs not given back
	// failAt makes the n-th call of an operation fail, counting from 1.
	failAt map[string]int
	calls  map[string]int
}

var errInjected = errors.New("injected fault")

func newFake(kernels map[string]func([3]int64, [][]byte) error) *fake {
	return &fake{kernels: kernels, info: Info{Kind: "fake", Name: "fake"}, failAt: map[string]int{}, calls: map[string]int{}}
}

// note counts a call, logs it and returns the fault planned for it.
func (f *fake) note(op, detail string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	f.log = append(f.log, op+detail)
	if f.failAt[op] == f.calls[op] {
		return fmt.Errorf("%s: %w", op, errInjected)
	}
	return nil
}

func (f *fake) alive(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live += n
}

// events returns the log without memory traffic, and clears it.
func (f *fake) events() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.DeleteFunc(f.log, func(s string) bool {
		return slices.Contains([]string{"alloc", "read", "write", "write of private memory", "free"}, s)
	})
	f.log = nil
	return out
}

func (f *fake) Info() Info   { return f.info }
func (f *fake) Close() error { return nil }

func (f *fake) Alloc(bytes int64, use Use) (Memory, error) {
	if err := f.note("alloc", ""); err != nil {
		return nil, err
	}
	f.alive(1)
	return &fakeMemory{f: f, b: make([]byte, bytes), private: use == Private}, nil
}

func (f *fake) Load(ctx context.Context, p *plan.Plan, progress Progress) (Program, error) {
	if err := f.note("load", ""); err != nil {
		return nil, err
	}
	for i := range p.Kernels {
		if f.kernels[p.Kernels[i].Name] == nil {
			return nil, fmt.Errorf("no kernel %s in %v", p.Kernels[i].Name, slices.Sorted(maps.Keys(f.kernels)))
		}
		if progress != nil {
			progress("kernels", int64(i+1), int64(len(p.Kernels)))
		}
	}
	f.alive(1)
	prog := &fakeProgram{f: f, p: p}
	if f.records {
		return &fakeRecorder{prog}, nil
	}
	return prog, nil
}

type fakeMemory struct {
	f       *fake
	b       []byte
	private bool
}

func (m *fakeMemory) Bytes() int64 { return int64(len(m.b)) }

func (m *fakeMemory) Write(offset int64, b []byte) error {
	call := "write"
	if m.private {
		call = "write of private memory"
	}
	if err := m.f.note(call, ""); err != nil {
		copy(m.b[offset:], b[:len(b)/2]) // a write that fails may have written a part
		return err
	}
	if offset+int64(len(b)) > int64(len(m.b)) {
		return errors.New("a write behind the end")
	}
	copy(m.b[offset:], b)
	return nil
}

func (m *fakeMemory) Read(offset int64, b []byte) error {
	if err := m.f.note("read", ""); err != nil {
		return err
	}
	if offset+int64(len(b)) > int64(len(m.b)) {
		return errors.New("a read behind the end")
	}
	copy(b, m.b[offset:])
	return nil
}

func (m *fakeMemory) Free() error {
	if m.b == nil {
		return errors.New("freed twice")
	}
	m.b = nil
	m.f.alive(-1)
	return m.f.note("free", "")
}

type fakeProgram struct {
	f *fake
	p *plan.Plan
}

func (g *fakeProgram) Begin() (Encoder, error) {
	if err := g.f.note("begin", ""); err != nil {
		return nil, err
	}
	return &fakeEncoder{g: g}, nil
}

func (g *fakeProgram) Close() error {
	g.f.alive(-1)
	return nil
}

// fakeEncoder keeps the launches of the wave until a barrier or the end.
type fakeEncoder struct {
	g         *fakeProgram
	wave      []Launch
	recording *fakeRecording // set while recording
	err       error
}

func (e *fakeEncoder) Dispatch(l *Launch) error {
	if err := e.g.f.note("dispatch", " "+l.Label); err != nil {
		return err
	}
	kept := *l
	kept.Bind = slices.Clone(l.Bind)
	e.wave = append(e.wave, kept)
	return nil
}

func (e *fakeEncoder) flush() {
	wave := e.wave
	e.wave = nil
	if e.recording != nil {
		e.recording.waves = append(e.recording.waves, wave)
		return
	}
	if err := e.g.runWave(wave); err != nil && e.err == nil {
		e.err = err
	}
}

func (g *fakeProgram) runWave(wave []Launch) error {
	for _, l := range slices.Backward(wave) {
		var bind [][]byte
		for _, o := range l.Bind {
			bind = append(bind, o.Memory.(*fakeMemory).b[o.Offset:o.Offset+o.Bytes])
		}
		if err := g.f.kernels[g.p.Kernels[l.Kernel].Name](l.Grid, bind); err != nil {
			return fmt.Errorf("kernel %s: %w", g.p.Kernels[l.Kernel].Name, err)
		}
	}
	return nil
}

func (e *fakeEncoder) Barrier() error {
	if err := e.g.f.note("barrier", ""); err != nil {
		return err
	}
	e.flush()
	return nil
}

func (e *fakeEncoder) Commit() error {
	if err := e.g.f.note("commit", ""); err != nil {
		return err
	}
	e.flush()
	return nil
}

func (e *fakeEncoder) Wait() error {
	if err := e.g.f.note("wait", ""); err != nil {
		return err
	}
	return e.err
}

type fakeRecorder struct{ *fakeProgram }

func (g *fakeRecorder) Record(encode func(Encoder) error) (Recording, error) {
	r := &fakeRecording{g: g.fakeProgram}
	enc := &fakeEncoder{g: g.fakeProgram, recording: r}
	if err := encode(enc); err != nil {
		return nil, err
	}
	enc.flush()
	g.f.alive(1)
	return r, nil
}

type fakeRecording struct {
	g     *fakeProgram
	waves [][]Launch
	err   error
}

func (r *fakeRecording) Run() error {
	if err := r.g.f.note("run", ""); err != nil {
		return err
	}
	for _, w := range r.waves {
		if err := r.g.runWave(w); err != nil && r.err == nil {
			r.err = err
		}
	}
	return nil
}

func (r *fakeRecording) Wait() error {
	err := r.err
	r.err = nil
	return errors.Join(err, r.g.f.note("wait", ""))
}

func (r *fakeRecording) Close() error {
	r.g.f.alive(-1)
	return nil
}

// Words and floats in bound bytes.
func word(b []byte, i int) uint32         { return binary.LittleEndian.Uint32(b[4*i:]) }
func setWord(b []byte, i int, v uint32)   { binary.LittleEndian.PutUint32(b[4*i:], v) }
func float(b []byte, i int) float32       { return math.Float32frombits(word(b, i)) }
func setFloat(b []byte, i int, v float32) { setWord(b, i, math.Float32bits(v)) }
