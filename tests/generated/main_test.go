package generated

import (
	"os"
	"runtime/debug"
	"testing"
)

// Each checkpoint and graph is made, compiled and dropped: with a collector that runs less
// often the tests take less processor time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
