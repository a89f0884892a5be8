package chart

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"foundry/runtime/bench"
)

// rowHeight is that of a row of bars in points; a picture has so much more around them.
const (
	rowHeight   = 30
	aroundRows  = 110
	pictureWide = 760
)

// drawTimes draws each variant's modelled and measured time.
func drawTimes(w io.Writer, format string, rows []bench.Row) error {
	target, measured := targetOf(&rows[0]), rows[0].Measured != nil
	if target == "" && !measured {
		return errors.New("a plan from disk has no time to draw unless it is measured")
	}
	longest := 0.0
	for i := range rows {
		longest = max(longest, rows[i].Modelled[target])
		if m := rows[i].Measured; m != nil {
			longest = max(longest, m.High)
		}
	}
	name, scale := unit(longest)
	p := newPlot(titleOf(rows), fmt.Sprintf("%s, %s", name, aTime(&rows[0])))
	var list bars
	var left []string
	for i := range rows {
		r, at := &rows[i], float64(len(rows)-1-i)
		left = append(left, r.Variant)
		half := 0.7
		if target != "" && r.Measured != nil {
			half = 0.36
		}
		if us := r.Modelled[target]; target != "" {
			b := bar{at: at, height: half, to: us / scale, kind: "modelled", text: usText(us)}
			if r.Measured != nil {
				b.at += half / 2
			}
			list = append(list, b)
		}
		if m := r.Measured; m != nil {
			b := bar{at: at, height: half, to: m.Median / scale, low: m.Low / scale, high: m.High / scale, kind: "measured", text: usText(m.Median)}
			if target != "" {
				b.at -= half / 2
			}
			list = append(list, b)
		}
	}
	slices.Reverse(left)
	rowTicks(p, left)
	p.Add(list)
	p.Legend.Top = false
	if target != "" {
		p.Legend.Add(modelledFor(target)+", uncalibrated", swatch("modelled"))
	}
	if measured {
		p.Legend.Add(measuredOn(&rows[0])+", 95 % interval of the median", swatch("measured"))
	}
	legendBelow(p)
	return save(w, p, format, pictureWide, float64(aroundRows+rowHeight*(len(rows)+legendRows)))
}

// drawWaterfall draws a ladder: the first row and the last whole, what each between them
// saves or costs where it does.
func drawWaterfall(w io.Writer, format string, rows []bench.Row) error {
	if !isLadder(rows) {
		return errors.New("a waterfall is drawn of variants of which each is compared with the one before: --variants ladder")
	}
	target, measured := targetOf(&rows[0]), rows[0].Measured != nil
	at := func(i int) float64 {
		if measured {
			return rows[i].Measured.Median
		}
		return rows[i].Modelled[target]
	}
	longest := 0.0
	for i := range rows {
		if measured && rows[i].Measured == nil {
			return fmt.Errorf("variant %s was not measured", rows[i].Variant)
		}
		longest = max(longest, at(i))
	}
	name, scale := unit(longest)
	of := modelledFor(target) + ", uncalibrated"
	if measured {
		of = measuredOn(&rows[0])
	}
	p := newPlot(titleOf(rows)+": what each fusion saves", fmt.Sprintf("%s, %s, %s", name, aTime(&rows[0]), of))
	last := len(rows) - 1
	list := bars{{at: float64(last + 1), height: 0.7, to: at(0) / scale, kind: "whole", text: usText(at(0))}}
	left := []string{rows[0].Variant}
	for i := 1; i <= last; i++ {
		saved := at(i-1) - at(i)
		b := bar{at: float64(last + 1 - i), height: 0.7, from: at(i-1) / scale, to: at(i) / scale, kind: "saves", text: signed(-saved)}
		if saved < 0 {
			b.kind = "costs"
		}
		if m := rows[i].Saves.Measured; measured && m != nil { // it ends where the row would if the fusion saved so much
			b.low, b.high = (at(i-1)-m.High)/scale, (at(i-1)-m.Low)/scale
		}
		list, left = append(list, b), append(left, "+ "+rows[i].Saves.Fusion)
	}
	list = append(list, bar{at: 0, height: 0.7, to: at(last) / scale, kind: "whole", text: usText(at(last))})
	left = append(left, rows[last].Variant)
	slices.Reverse(left)
	rowTicks(p, left)
	p.Add(list)
	p.Legend.Add("saves", swatch("saves"))
	p.Legend.Add("costs", swatch("costs"))
	legendBelow(p)
	return save(w, p, format, pictureWide, float64(aroundRows+22*(len(left)+legendRows)))
}

// signed is a difference of times with its sign.
func signed(us float64) string {
	text := usText(us)
	if !strings.HasPrefix(text, "-") {
		text = "+" + text
	}
	return text
}
