package bench

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// busyness is what a machine's processors did since it started, in seconds of one
// processor.
type busyness struct {
	all   float64 // time of all processors, idle or not
	busy  float64 // time of theirs at work
	own   float64 // time of this process
	known bool
}

// clockTicks is the number of ticks a second in /proc/stat: USER_HZ is 100 on every
// architecture that Go builds for.
const clockTicks = 100

// busyNow reads what the processors did so far; where the system does not tell, as
// without /proc/stat, that is not known.
func busyNow() busyness {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return busyness{}
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil {
		return busyness{}
	}
	b, ok := ofProcessors(line)
	if !ok {
		return busyness{}
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return busyness{}
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	b.own, b.known = seconds(u.Utime)+seconds(u.Stime), true
	return b
}

// ofProcessors reads /proc/stat's line of all processors.
func ofProcessors(line string) (b busyness, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return b, false
	}
	for i, text := range fields[1:9] { // what guests take counts for users already
		ticks, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return b, false
		}
		b.all += ticks / clockTicks
		if i != 3 && i != 4 { // idle, and idle while a disk is waited for
			b.busy += ticks / clockTicks
		}
	}
	return b, true
}

// others is the share of the processors' time since from that other processes took, nil
// where it is not known or too little time has passed to tell.
func (b busyness) others(from busyness) *float64 {
	all := b.all - from.all
	if !b.known || !from.known || all < 0.2 {
		return nil
	}
	share := min(1, max(0, (b.busy-from.busy-(b.own-from.own))/all))
	return &share
}
