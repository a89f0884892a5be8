package cost

import (
	"slices"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

// What a lane may spend, in 32-bit registers, on weights held across the prologue and on
// those loaded ahead in main where all simdgroups run at once; and on chunks of levels,
// where simdgroups wait for others: such chunks keep lanes busy, not the memory, and
// simdgroups in flight hide more than loads ahead do, where nothing else was measured
// (Target.ChunksAhead). For the same reason a team takes no more than two rows, or a unit, of a
// staged vector in chunks of several rounds: with four, registers leave room for two
// threadgroups of 256 threads a core instead of four. Where a row is one round, its loads are
// all that is in flight, and four rows' are twice as many.
const (
	preloadRegisters = 32
	chunkRegisters   = 16
)

// productRows returns how p is dealt out over rows of its weights, by the target's
// numbers, with loads of width weights where a format has those; 0: what each takes by
// itself.
func productRows(p *task.Product, t *target.Target, width int) kernel.ProductRows {
	total, unit := p.WeightRows()
	k := kernel.ProductRows{Teams: 1, Direct: p.ReadsDirectly(), Loads: preloadRegisters, Held: preloadRegisters, Width: width}
	widest := widestChunk(p, width)
	d, same := p.SameFormat()
	if same {
		k.Width = int(widest)
	}
	k.Chunked = same && d.Quantised() && widest == kernel.ChunkWeights
	chunks := p.Length / widest
	if k.Chunked && p.Whole()%int64(2*unit) == 0 && (k.Direct || (chunks+15)/16*16 < (chunks+31)/32*32) {
		k.Teams = 2 // lanes of half a simdgroup idle less, and what a slice holds serves twice the rows
	}
	rounds := (chunks + k.Seats() - 1) / k.Seats()
	if !p.Tokens.IsConst() {
		rounds = 1 // many vectors keep the cores busy as it is
	}
	n := int64(k.Teams)
	rows, run := (total+n-1)/n, (int64(p.Run())+n-1)/n
	var by rowDivision
	if k.Direct && k.Chunked && p.Tokens == sym.Const(1) {
		by = dealSliced(rows, unit, rounds, run, p.FormatOf(d).Registers(int(widest)), t)
	} else {
		by = deal(rows, unit, rounds, run, k.Direct, t)
	}
	if whole := p.Whole(); whole > 0 {
		by = dealHeads(whole/n, unit)
	}
	k.PerTeam, k.Share, k.Simdgroups = by.PerSimd, by.Share, by.Simds
	switch {
	case k.Chunked:
		k.Loads = chunkRegisters
		if by.InRounds {
			k.Held = chunkRegisters
			if !k.Direct && t.HasChunksAhead(d.String()) {
				k.Loads = t.LoadAhead
			}
		}
		if !k.Direct && k.Share == 1 && p.Whole() == 0 {
			k.PerTeam = stagedRows(k, rows, unit, rounds, t)
			if rounds == 1 {
				k.Simdgroups = max(k.Simdgroups, stagingSimds)
			}
		}
	case by.InRounds && !k.Direct:
		k.Loads = t.LoadAhead
	}
	stageVectors(p, &k, t)
	return k
}

// stagedRows returns how many of so many rows a team of k takes of a vector that is staged in
// chunks. At 0.5b on an H200 with four rows instead of two: the head in q4_0 37.8 -> 30.3 us,
// gate and up 3.38 -> 3.12, in q8_0 4.26 -> 3.98.
func stagedRows(k kernel.ProductRows, rows int64, unit int, rounds int64, t *target.Target) int {
	two := max(unit, 2)
	if rounds > 1 || k.Vectors > 1 {
		return min(k.PerTeam, two)
	}
	if want := wantedSimds(t); k.PerTeam == two && rows/int64(2*two) >= want/2 {
		return 2 * two
	}
	return k.PerTeam
}

// stagingSimds is how many simdgroups a threadgroup has at least to stage a vector of one
// round of chunks: of QKV at 0.5b on an H200 in q4_0 two take 2.1 us, four 1.35.
const stagingSimds = 4

// What deals by full rounds may have. Eighteen simdgroups a threadgroup, of which nine share, take
// down at 1.5b from 5.2 to 6.4 us in q4_k, from 6.1 to 7.3 in q6_k.
const (
	fullRound  = 0.95 // of the lanes with a chunk, over all rounds
	fullShare  = 10   // most simdgroups that share rows: of twelve and more sums take too long a way
	fullSimds  = 16   // most simdgroups of a threadgroup
	fullRows   = 4    // most rows of a team
	fullUneven = 1.4  // most rows of a core, in multiples of what it would have if all had as many
)

// fullDeals returns deals of a product of levels and one token by narrow chunks whose rounds leave hardly a
// lane idle: as many simdgroups share rows as divide their chunks best, which a power of two
// seldom is. Rows of 8,960 are 560 chunks of 16 weights, which nine simdgroups pass in two
// rounds and eight in three. At 1.5b on an H200 in q4_0: down 5.17 -> 4.52 us, o 2.11 -> 1.46,
// QKV 2.28 -> 1.97, the step 658 -> 581; down at 0.5b 2.38 -> 2.02.
func fullDeals(p *task.Product, t *target.Target) (out []kernel.ProductRows) {
	if d, same := p.SameFormat(); !same || !d.Quantised() || p.Tokens != sym.Const(1) || p.Whole() > 0 || t.SlotNs == 0 {
		return nil
	}
	p.Weights(func(w *ir.Value) {
		for _, width := range p.Region.Format(w).Widths {
			for share := 1; share <= fullShare && width < kernel.ChunkWeights; share++ {
				if k, ok := fullDeal(p, t, width, share); ok && !slices.Contains(out, k) {
					out = append(out, k)
				}
			}
		}
	})
	return out
}

// fullDeal returns the deal by chunks of so many weights whose rows so many simdgroups share, if
// its rounds are full: with four rows a team where that leaves enough simdgroups, and as many
// owners of rows in a threadgroup as leave the cores even. Where simdgroups are many, they hide
// what each does alone: o at 7b in q6_k, 6,272 of them, takes 6.05 us so and 4.6 by its widest chunks.
func fullDeal(p *task.Product, t *target.Target, width, share int) (k kernel.ProductRows, ok bool) {
	total, unit := p.WeightRows()
	k = productRows(p, t, width)
	k.Teams, k.Share, k.PerTeam = 1, share, max(unit, fullRows)
	passed := roundsOf(p, k) * k.Seats() * int64(share*k.Width)
	if k.Width != width || float64(p.Length) < fullRound*float64(passed) {
		return k, false
	}
	want, simds := wantedSimds(t), func() int64 { return total / int64(k.PerTeam) * int64(share) }
	for k.PerTeam > unit && simds() < want/3 {
		k.PerTeam /= 2
	}
	if simds() > want {
		return k, false
	}
	cores := int64(t.Cores)
	for owners := 1; owners*share <= fullSimds; owners *= 2 {
		rows := int64(owners * k.PerTeam)
		if rows%int64(p.Run()*unit) != 0 {
			continue
		}
		groups := (total + rows - 1) / rows
		most := (groups + cores - 1) / cores * rows // of a core
		if ok && float64(most*cores) > fullUneven*float64(total) {
			break
		}
		k.Simdgroups, ok = owners*share, true
	}
	stageVectors(p, &k, t)
	return k, ok && k.Simdgroups > 1
}

// wantedSimds is half of the simdgroups that the machine's cores keep in flight.
func wantedSimds(t *target.Target) int64 {
	return int64(t.Cores) * int64(t.CoreThreads/t.Limits.SIMDWidth) / 2
}

// leastSegment is the shortest piece of a vector that is staged; what has no room for it has
// none for the kernel, and checkLimits says so.
const leastSegment = 2048

// stageVectors settles how many vectors a threadgroup of k has, and how much of each it
// stages at once.
func stageVectors(p *task.Product, k *kernel.ProductRows, t *target.Target) {
	k.Segment = p.Length
	if n, ok := p.Tokens.Const(); !ok {
		k.Vectors = mostVectors
	} else {
		k.Vectors = int(min(n, mostVectors))
	}
	// A staged operand leaves room for the partial sums and the shares.
	left := func() int64 {
		return int64(t.Limits.ThreadgroupBytes-4*k.Simdgroups*k.Vectors*(1+k.PerTeam*k.Teams)-128) - 4*p.Whole()*int64(k.Vectors)
	}
	room := left()
	for !k.Direct && k.Vectors > 1 && k.Staged(p.Length)*4*int64(k.Vectors) > room {
		k.Vectors /= 2
		room = left()
	}
	if !k.Direct && k.Staged(p.Length)*4 > room {
		k.Segment = max(leastSegment, room/5/leastSegment*leastSegment)
	}
}

// widestChunk is the most elements that a lane loads at once from any weight.
func widestChunk(p *task.Product, width int) int64 {
	widest := 1
	for _, part := range p.Parts {
		for _, q := range part.Products {
			widest = max(widest, p.Region.Format(q.Args[1]).WidthOr(width, p.Length))
		}
	}
	return int64(widest)
}

// dealHeads returns deal's deal where whole rows must meet in a threadgroup, those of a
// head that is normed: no more than eight of them a simdgroup, which is what registers
// hold beside the loads, and no more than 16 simdgroups where that is enough. There are as
// many threadgroups as heads, however wide the machine is.
func dealHeads(whole int64, unit int) rowDivision {
	d := rowDivision{PerSimd: max(unit, 2), Share: 1}
	for d.PerSimd < 8 && whole > int64(16*d.PerSimd) && whole%int64(2*d.PerSimd) == 0 {
		d.PerSimd *= 2
	}
	d.Simds = int(whole) / d.PerSimd
	return d
}

// rowDivision is how the rows of a matrix product of few vectors are dealt out.
type rowDivision struct {
	PerSimd  int  // rows a simdgroup
	Share    int  // simdgroups that share the loads of one set of rows
	Simds    int  // simdgroups a threadgroup
	InRounds bool // more simdgroups than the machine has places for: some wait for others
}

// Groups returns the threadgroups that rows take.
func (d rowDivision) Groups(rows int64) int64 {
	per := int64(d.PerSimd * d.Simds / d.Share)
	return (rows + per - 1) / per
}

// deal returns how to deal out rows, of which unit stay together (a gate and its
// up, or the two of a rotated pair). rounds is how often 32 lanes load to pass a
// row. rows counts all weights, so that the grid is sized by Q, K and V and not
// by the largest of them.
//
// The machine wants half of the simdgroups that its cores keep in flight. Where
// there are more rows than that, simdgroups take several and share the loads of
// the vector. Where there are fewer, simdgroups share rows, each lane of a row
// down to one load. A vector that is read where it lies (direct) and too long to stay
// near the core beside the weights that stream past comes from the cache for every
// set of rows, so there more rows go together and simdgroups share them.
// Threadgroups are small where all of them run at once and few threads are enough to
// take up the vector: a core then lets in the next kernel's while it ends this
// one's. run is how many adjacent units must meet in a
// threadgroup, 1 where none do. Measurements for all of it stand in
// docs/lab-book.md.
func deal(rows int64, unit int, rounds, run int64, direct bool, t *target.Target) rowDivision {
	want := wantedSimds(t)
	d := rowDivision{PerSimd: unit, Share: 1, Simds: 2}
	if direct && (rounds == 1 || rounds > 8) {
		d.PerSimd, d.Share = dealDirect(rows, unit, rounds, want*7/10)
	} else if rows/int64(unit) >= want/2 {
		for _, r := range []int{2, 4} {
			if r > unit && r%unit == 0 && rows/int64(r) >= want*3/2 {
				d.PerSimd = r
			}
		}
	} else {
		for d.Share < 8 && int64(d.Share*2) <= rounds && rows/int64(unit)*int64(d.Share) < want*2 {
			d.Share *= 2
		}
		for _, r := range []int{2, 4} {
			if r > unit && r%unit == 0 && rows/int64(r)*int64(d.Share) >= want*3/4 {
				d.PerSimd = r
			}
		}
	}
	simds := rows * int64(d.Share) / int64(d.PerSimd)
	switch {
	case simds >= 2*want || simds >= 16*int64(t.Cores) && rounds > 8:
		d.Simds = 8
	case simds >= 8*int64(t.Cores):
		d.Simds = 4
	}
	if d.Share > 1 {
		d.Simds = max(d.Simds, 2*d.Share)
	}
	d.Simds = max(d.Simds, d.Share*int(run)*unit/d.PerSimd)
	d.InRounds = simds >= 2*want
	return d
}

// sliceSimds is how many simdgroups of a threadgroup have room for slices.
const sliceSimds = 8

// fourRowsChunk is the most registers of a chunk of which a team of slices takes four rows where
// two leave enough simdgroups. At 7b on an H200, four rows shared by eight and two by four: o and down in
// q8_0 5.4, 24.1 and 5.0, 20.5 us, q6_k 4.6, 20.7 and 4.6, 19.4, q5_k 5.6, 19.0 and 4.5, 18.9; of
// six registers and fewer in affine4 4.2, 18.3 and 4.8, 18.8, q4_0 3.9, 15.8 and 4.5, 17.4.
const fourRowsChunk = 6

// dealSliced returns deal's deal where simdgroups bring slices of a vector that is read
// where it lies: each slice serves the rows of its simdgroup alone, so as many rows go
// together, shared by as many simdgroups, as leave enough of them; where there are not
// enough rows for that, what gives the most. At 7b on an H200, four rows shared by eight
// against two by four: down_proj in q4_0 21.3 -> 16.4 us, o_proj 5.4 -> 4.0. A head of 152,064
// rows that took one row a team took 204 us in q4_k. A chunk takes so many registers of a
// lane: of large ones two rows go together where they leave enough simdgroups, too.
func dealSliced(rows int64, unit int, rounds, run int64, registers int, t *target.Target) rowDivision {
	want := wantedSimds(t)
	enough := want * 7 / 10
	best := rowDivision{PerSimd: unit, Share: 1}
	parallel := func(d rowDivision) int64 { return rows / int64(d.PerSimd) * int64(d.Share) }
	least := func(d rowDivision) int { return max(d.Share, d.Share*int(run)*unit/d.PerSimd) } // simdgroups a threadgroup
	search := func(r int) bool {
		if r < unit || r%unit != 0 {
			return false
		}
		for s := 1; s <= sliceSimds && int64(s) < 2*rounds; s *= 2 {
			d := rowDivision{PerSimd: r, Share: s}
			if least(d) > sliceSimds {
				continue
			}
			if enough := parallel(d) >= enough; enough || parallel(d) > parallel(best) {
				best = d
				if enough {
					return true
				}
			}
		}
		return false
	}
	switch four := search(4); {
	case !four:
		if !search(2) {
			search(1)
		}
	case best.Share == sliceSimds && registers > fourRowsChunk:
		if by := best; !search(2) {
			best = by
		}
	}
	best.Simds = max(2, least(best))
	if n := parallel(best); n >= 2*want || n >= 16*int64(t.Cores) && rounds > 8 {
		best.Simds = max(best.Simds, sliceSimds)
	} else if n >= 8*int64(t.Cores) {
		best.Simds = max(best.Simds, 4)
	}
	best.InRounds = parallel(best) >= 2*want
	return best
}

// dealDirect returns the most rows a simdgroup, and the fewest simdgroups that share
// them, that leave enough simdgroups: four for long rows only. Where a row takes one
// round, or there are vectors enough to fill the machine, it is two rows: of four,
// with as many sums for each of several vectors, registers overflow.
func dealDirect(rows int64, unit int, rounds, enough int64) (perSimd, share int) {
	if rounds == 1 {
		return max(unit, 2), 1
	}
	most := 1
	for most < 8 && int64(most*2) <= rounds {
		most *= 2
	}
	for _, r := range []int{4, 2, 1} {
		if r < unit || r%unit != 0 || r == 4 && rounds <= 16 {
			continue
		}
		for s := 1; s <= most && s <= 16/r; s *= 2 {
			if rows/int64(r)*int64(s) >= enough {
				return r, s
			}
		}
	}
	return unit, most
}
