package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is left is a time ahead also where work is counted in bytes: nanoseconds times
// bytes are more than an int64 holds.
func TestProgressLines(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	say := progressLines(&out, func() time.Time { return now })
	at := func(seconds int64, what string, done, total int64) {
		now = time.Unix(seconds, 0)
		say(what, done, total)
	}
	at(0, "weights", 0, 4_284_930_348)
	at(5, "weights", 1_000_000_000, 4_284_930_348)
	at(12, "weights", 2_516_379_904, 4_284_930_348)
	at(23, "weights", 4_284_930_347, 4_284_930_348)
	at(34, "weights", 4_284_930_348, 4_284_930_348)
	at(40, "compile", 0, 551)
	at(160, "compile", 120, 551)
	require.Equal(t, `weights: 2.52 GB of 4.28 GB, about 8 s left
weights: 4.28 GB of 4.28 GB, about 1 s left
weights: 4.28 GB of 4.28 GB
compile: 120 of 551, about 7 min 11 s left
`, out.String())
}
