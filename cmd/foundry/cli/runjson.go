package cli

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"foundry"
)

// answered is what run --json prints.
type answered struct {
	Model        string   `json:"model"`
	Device       string   `json:"device"`
	PromptTokens int      `json:"prompt_tokens"`
	IDs          []int32  `json:"ids"`
	Text         string   `json:"text"`                // text of the ids, without the prompt
	FirstSeconds float64  `json:"first_token_seconds"` // time until the first token is there: prefill and what is decoded with it
	Seconds      float64  `json:"seconds"`             // time in all, start-up left out
	TokS         *float64 `json:"tok_s"`               // rate of the tokens behind the first; null where there is none
}

// answerJSON generates a text and prints it with its times as one object.
func answerJSON(ctx context.Context, s IO, session *foundry.Session, m *foundry.Model, device string, p prompt, o foundry.GenerateOptions) error {
	a := answered{Model: m.BaseName(), Device: device, PromptTokens: len(p.ids), IDs: []int32{}}
	var text strings.Builder
	start := time.Now()
	for token, err := range session.Answer(ctx, p.ids, o) {
		if err != nil {
			return err
		}
		if a.IDs = append(a.IDs, token.ID); len(a.IDs) == 1 {
			a.FirstSeconds = time.Since(start).Seconds()
		}
		text.WriteString(token.Text)
	}
	a.Text, a.Seconds = text.String(), time.Since(start).Seconds()
	if n := len(a.IDs); n > 1 && a.Seconds > a.FirstSeconds {
		rate := float64(n-1) / (a.Seconds - a.FirstSeconds)
		a.TokS = &rate
	}
	return json.NewEncoder(s.Out).Encode(a)
}
