package main

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// stage is a part of a snapshot's way, and its colour.
type stage struct{ name, color string }

// stages in the order of the way.
var stages = []stage{
	{"schedule", "#c9b3e6"},
	{"scrape and read", "#9ecae8"},
	{"parse", "#8fd3b0"},
	{"enrich", "#d7e08a"},
	{"encode", "#f6d06f"},
	{"batch and compress", "#f3a76b"},
	{"produce", "#ee8f8f"},
	{"runtime", "#c4c4c4"},
	{"other", "#e6d5c3"},
}

const (
	stageRuntime = 7
	stageOther   = 8
	inherited    = -1
)

const ours = "github.com/rollcall-metrics/rollcall/"

// stageRules tell the stage of a function by how its name begins; the first that fits counts. What fits none belongs to who has called it.
var stageRules = []struct {
	prefix string
	stage  int
}{
	{ours + "collector/scrape.(*Pool).turn", 0},
	{ours + "collector/scrape.(*Pool).Run", 0},
	{ours + "collector/scrape.(*heap)", 0},
	{ours + "collector/scrape.", 1},
	{ours + "collector/stats.", 2},
	{ours + "internal/jsonscan.", inherited}, // the encoder asks it, too
	{ours + "enrich/", 3},
	{ours + "sink/wire.", 4},
	{"github.com/klauspost/compress/", 5},
	{ours + "sink/kafka.(*Sink).Put", 5},
	{ours + "sink/kafka.(*backlog)", 5},
	{ours + "sink/kafka.(*batch", 5},
	{ours + "sink/kafka.(*packer)", 5},
	{ours + "sink/kafka.(*zipper)", 5},
	{ours + "sink/kafka.", 6},
	{"github.com/segmentio/kafka-go", 6},
	{ours, stageOther},
	{"net/http.", stageOther},
	{"runtime.mcall", stageRuntime},
	{"runtime.mstart", stageRuntime},
	{"runtime.systemstack", inherited},
	{"runtime.gcBgMarkWorker", stageRuntime},
	{"runtime.bg", stageRuntime},
}

func stageOf(function string, caller int) int {
	for _, r := range stageRules {
		if strings.HasPrefix(function, r.prefix) {
			if r.stage == inherited {
				break
			}
			return r.stage
		}
	}
	if caller == inherited {
		return stageRuntime
	}
	return caller
}

// frame is a function, called by those above it on the way from the root.
type frame struct {
	name   string
	stage  int
	nanos  int64
	self   int64 // not in what it calls
	called map[string]*frame
}

func (f *frame) callee(name string) *frame {
	c := f.called[name]
	if c == nil {
		c = &frame{name: name, stage: stageOf(name, f.stage), called: map[string]*frame{}}
		f.called[name] = c
	}
	return c
}

// inOrder are what it calls: by stage, then by name.
func (f *frame) inOrder() []*frame {
	var all []*frame
	for _, c := range f.called {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *frame) int { return cmp.Or(cmp.Compare(a.stage, b.stage), strings.Compare(a.name, b.name)) })
	return all
}

// depth is how many rows the frames of at least so many nanoseconds need.
func (f *frame) depth(least int64) (d int) {
	for _, c := range f.called {
		if c.nanos >= least {
			d = max(d, 1+c.depth(least))
		}
	}
	return d
}

// plumbing are frames that say nothing: how a goroutine was begun.
var plumbing = map[string]bool{"runtime.goexit": true, "sync.(*WaitGroup).Go.func1": true}

// flames puts the stacks of a CPU profile together, root first.
func flames(p *profile.Profile) *frame {
	root := &frame{name: "all", stage: inherited, called: map[string]*frame{}}
	at := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" })
	for _, s := range p.Sample {
		v := s.Value[max(0, at)]
		f := root
		f.nanos += v
		for _, loc := range slices.Backward(s.Location) {
			for _, line := range slices.Backward(loc.Line) { // the last one is that into which the others are inlined
				if line.Function == nil || plumbing[line.Function.Name] {
					continue
				}
				f = f.callee(line.Function.Name)
				f.nanos += v
			}
		}
		f.self += v
	}
	return root
}

// byStage adds up what was spent in each stage, and of it in the kernel.
func (f *frame) byStage(all, kernel []int64) {
	all[max(0, f.stage)] += f.self
	if strings.Contains(f.name, "yscall") || strings.HasPrefix(f.name, "runtime.futex") || strings.HasPrefix(f.name, "runtime.epollwait") {
		kernel[max(0, f.stage)] += f.self
	}
	for _, c := range f.called {
		c.byStage(all, kernel)
	}
}

const (
	flameWidth  = 1200.0
	flameRow    = 17.0
	flameMargin = 10.0
	flameTop    = 56.0
	flameLeast  = 1.5 // what is narrower is not drawn
)

// flameSVG draws the frames, the root at the bottom. perScrape is what all of it is of one scrape, in µs.
func flameSVG(root *frame, title string, perScrape float64) []byte {
	least := int64(float64(root.nanos) / flameWidth * flameLeast)
	height := flameTop + float64(root.depth(least))*flameRow + flameMargin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="11" role="img">`+"\n", flameWidth+2*flameMargin, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" rx=\"6\" fill=\"#fff\"/>\n<text x=\"%.0f\" y=\"22\" font-size=\"15\">%s</text>\n", html.EscapeString(title), flameMargin, html.EscapeString(title))
	x := flameMargin
	for _, s := range stages {
		fmt.Fprintf(&b, `<rect x="%.0f" y="33" width="12" height="12" fill="%s" stroke="#666" stroke-width=".3"/><text x="%.0f" y="43">%s</text>`+"\n", x, s.color, x+16, s.name)
		x += 34 + 6.2*float64(len(s.name))
	}
	var draw func(f *frame, x, y float64)
	draw = func(f *frame, x, y float64) {
		for _, c := range f.inOrder() {
			w := float64(c.nanos) / float64(root.nanos) * flameWidth
			if c.nanos >= least {
				fmt.Fprintf(&b, `<g><title>%s: %.1f %%, %.2f µs a scrape</title><rect x="%.1f" y="%.0f" width="%.1f" height="%.0f" fill="%s" stroke="#fff" stroke-width=".5"/>`,
					html.EscapeString(c.name), 100*float64(c.nanos)/float64(root.nanos), perScrape*float64(c.nanos)/float64(root.nanos), x, y, w, flameRow-1, stages[c.stage].color)
				if text := fit(shortName(c.name), w); text != "" {
					fmt.Fprintf(&b, `<text x="%.1f" y="%.0f" fill="#111">%s</text>`, x+2, y+12, html.EscapeString(text))
				}
				b.WriteString("</g>\n")
				draw(c, x, y-flameRow)
			}
			x += w
		}
	}
	draw(root, flameMargin, height-flameMargin-flameRow)
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// shortName is a function without the path of its package.
func shortName(name string) string {
	end := strings.IndexByte(name+"[", '[') // a type argument may have a path, too
	return name[strings.LastIndexByte(name[:end], '/')+1:]
}

// fit cuts a text to a width in pixels; what would be three letters or less is nothing.
func fit(text string, width float64) string {
	n := int((width - 4) / 5.9)
	if n >= len(text) {
		return text
	}
	if n < 4 {
		return ""
	}
	return text[:n-1] + "…"
}
