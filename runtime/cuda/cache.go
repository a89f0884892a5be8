package cuda

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"foundry/lower/plan"
	"foundry/runtime/msl"
)

// cubin returns the machine code of one kernel, from the cache where it stands
// there: its key is the text, the options and the versions of NVRTC and driver.
func (d *Device) cubin(k *plan.Kernel) (code []byte, fresh bool, err error) {
	text, err := msl.CUDA(k)
	if err != nil {
		return nil, false, err
	}
	options := append([]string{"--gpu-architecture=" + d.arch}, msl.CUDAOptions...)
	path := ""
	if d.opts.CacheDir != "" {
		sum := sha256.Sum256([]byte(strings.Join(append(options, d.rtc.version, d.info.Note, text), "\x00")))
		path = filepath.Join(d.opts.CacheDir, hex.EncodeToString(sum[:])+".cubin")
		if code, err := os.ReadFile(path); err == nil && len(code) > 0 {
			return code, false, nil
		}
	}
	code, err = d.rtc.compile(k.File, text, options)
	if err != nil {
		return nil, false, fmt.Errorf("cuda: kernel %s does not compile: %s", k.Name, firstError(err.Error()))
	}
	if path != "" {
		if err := writeFile(path, code); err != nil {
			return nil, false, fmt.Errorf("cuda: the kernel cache: %w", err)
		}
	}
	return code, true, nil
}

// writeFile makes path appear whole or not at all.
func writeFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "cubin-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

var compileError = regexp.MustCompile(`(?m)^(.+)\((\d+)\): (?:catastrophic )?error: (.*)$`)

// firstError returns the first error of a compile log as file:line: text; the
// line directives of the kernel make that the stage's file and line.
func firstError(log string) string {
	m := compileError.FindStringSubmatch(log)
	if m == nil {
		return strings.SplitN(log, "\n", 2)[0]
	}
	return fmt.Sprintf("%s:%s: %s", m[1], m[2], m[3])
}
