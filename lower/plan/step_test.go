package plan

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// The words of the step are the fields of the struct that kernels have, in its order, and
// the rows of the document; so are the codes of what kernels refuse.
func TestStepIsTheKernels(t *testing.T) {
	text, err := os.ReadFile("../../shaders/common/step.metal")
	require.NoError(t, err)
	document, err := os.ReadFile("../../docs/plan-format.md")
	require.NoError(t, err)
	words := map[string]int{
		"T": StepT, "P": StepP, "S": StepS, "token": StepToken, "error": StepError, "error_argument": StepErrorArg,
		"temperature": StepTemperature, "top_k": StepTopK, "top_p": StepTopP, "min_p": StepMinP, "repetition": StepRepetition,
		"seed_low": StepSeedLo, "seed_high": StepSeedHi, "counter": StepCounter,
	}
	body := regexp.MustCompile(`(?s)struct Step \{(.*?)\}`).FindSubmatch(text)
	at, seen := 0, 0
	for _, field := range regexp.MustCompile(`(?:uint|int|float) (\w+)(?:\[(\d+)\])?;`).FindAllStringSubmatch(string(body[1]), -1) {
		if field[2] != "" { // what is reserved
			var n int
			_, err := fmt.Sscan(field[2], &n)
			require.NoError(t, err)
			at += n
			continue
		}
		require.Equal(t, at, words[field[1]], field[1])
		at, seen = at+1, seen+1
	}
	require.Len(t, words, seen)
	require.Equal(t, 4*at, StepBytes)

	for _, row := range []string{
		fmt.Sprintf("| %d | token | int |", StepToken), fmt.Sprintf("| %d | error | uint |", StepError), fmt.Sprintf("| %d | error argument | uint |", StepErrorArg),
		fmt.Sprintf("| %d | temperature | float |", StepTemperature), fmt.Sprintf("| %d, %d | seed, low and high word | uint |", StepSeedLo, StepSeedHi), fmt.Sprintf("| %d | counter | uint |", StepCounter),
		fmt.Sprintf("%d = token id outside the vocabulary, %d = logits that no token can be drawn from", ErrToken, ErrLogits),
		fmt.Sprintf("%d = a value that a cache of f16 cannot hold", ErrCache),
		fmt.Sprintf("write T, P, S = P + T, %d to error", ErrNone),
	} {
		require.Contains(t, string(document), row)
	}
}
