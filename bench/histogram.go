package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// bucket is the width of a bar.
const bucket = 100 * time.Millisecond

// spread is when the sessions of one kind were back.
type spread struct {
	who      string
	down     time.Duration
	n        int
	bars     []int // by bucket
	p50, max time.Duration
	worst    int // most in any one bucket
	worst10  int // most within any 10 ms
}

func spreadOf(who string, down time.Duration, back []time.Duration) spread {
	s := spread{who: who, down: down, n: len(back), p50: back[len(back)/2], max: back[len(back)-1]}
	s.bars = make([]int, s.max/bucket+1)
	first := 0
	for i, b := range back {
		s.bars[b/bucket]++
		for b-back[first] > 10*time.Millisecond {
			first++
		}
		s.worst10 = max(s.worst10, i-first+1)
	}
	for _, n := range s.bars {
		s.worst = max(s.worst, n)
	}
	return s
}

// when says what the sessions had been through.
func (s spread) when() string {
	if s.down == 0 {
		return "connections cut"
	}
	return fmt.Sprintf("nothing answers for %s", s.down)
}

func (s spread) String() string {
	return fmt.Sprintf("%s, %s: half of %d back %.2f s after it answers, the last after %.2f s; at most %d within 10 ms and %d within 100 ms",
		s.who, s.when(), s.n, s.p50.Seconds(), s.max.Seconds(), s.worst10, s.worst)
}

// draw writes the bars for a terminal.
func (s spread) draw(w io.Writer) {
	for i, n := range s.bars {
		fmt.Fprintf(w, "%6.1f s %4d %s\n", (time.Duration(i) * bucket).Seconds(), n, strings.Repeat("#", (n*100+s.n-1)/s.n))
	}
}

// picture is the histograms of all, one below the other on one axis of time, as SVG.
func picture(all []spread, sessions int) []byte {
	const left, width, height, gap, top = 60.0, 640.0, 90.0, 48.0, 40.0
	var longest time.Duration
	for _, s := range all {
		longest = max(longest, s.max)
	}
	seconds := float64(longest/time.Second + 1)
	total := top + float64(len(all))*(height+gap)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12" role="img">`+"\n", left+width+20, total)
	fmt.Fprintf(&b, "<title>%d sessions cut at once: how many are back in each tenth of a second</title>\n", sessions)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%.0f" y="20" font-size="14">%d sessions cut at once: how many are back in each tenth of a second</text>`+"\n", left, sessions)
	for i, s := range all {
		base := top + float64(i)*(height+gap) + height
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f">%s, %s: at most %d in 100 ms, the last after %.1f s</text>`+"\n", left, base-height+8, s.who, s.when(), s.worst, s.max.Seconds())
		fmt.Fprintf(&b, `<path d="M%.0f %.0fh%.0f" stroke="#888"/><text x="%.0f" y="%.1f" text-anchor="end" fill="#555">%d</text>`+"\n", left, base, width, left-6, base-height+26, s.worst)
		for t := 0.0; t <= seconds; t++ {
			x := left + t*width/seconds
			fmt.Fprintf(&b, `<path d="M%.1f %.0fv4" stroke="#888"/><text x="%.1f" y="%.0f" text-anchor="middle" fill="#555">%.0f s</text>`+"\n", x, base, x, base+17, t)
		}
		color := "#2a6fbb"
		if s.who != "rollcall" {
			color = "#b5542c"
		}
		for j, n := range s.bars {
			if n == 0 {
				continue
			}
			h := float64(n) * (height - 20) / float64(max(1, s.worst))
			fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", left+float64(j)*bucket.Seconds()*width/seconds, base-h, bucket.Seconds()*width/seconds-0.5, h, color)
		}
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}
