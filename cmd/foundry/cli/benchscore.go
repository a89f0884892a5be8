package cli

import (
	"encoding/json"
	"fmt"

	"foundry/runtime/bench"
)

// printScore prints how well the cost model ranks rows, behind their own output.
func printScore(s IO, rows []bench.Row, format string) error {
	score, err := bench.ScoreOf(rows)
	if err != nil {
		return fmt.Errorf("--score: %w", err)
	}
	if format == "json" {
		return json.NewEncoder(s.Out).Encode(struct {
			Score *bench.Score `json:"score"`
		}{score})
	}
	fmt.Fprintf(s.Out, "\npredicted and measured order, by the costs of %s (%s)\n", score.Target, score.Note)
	t := newTable("variant", "predicted", "measured", "predicted as", "measured as").alignRight("predicted", "measured", "predicted as", "measured as")
	for _, r := range score.Rows {
		t.row(r.Variant, r.PredictedRank, r.MeasuredRank, usText(r.PredictedUs), usText(r.MeasuredUs))
	}
	if format == "markdown" {
		fmt.Fprintln(s.Out)
		t.markdown(s.Out)
		fmt.Fprintln(s.Out)
	} else {
		t.render(s.Out)
	}
	fmt.Fprintf(s.Out, "Spearman's rank correlation: %.3f over %d variants\n", score.Spearman, len(score.Rows))
	return nil
}
