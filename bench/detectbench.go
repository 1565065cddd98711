package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unsafe"

	"github.com/rollcall-metrics/rollcall/dashboards/detect/series"
)

// detectFigures are what the detector of one series comes to by NAB's rules, with its one threshold for all series and nabProfiles.
type detectFigures struct {
	Standard  float64 `json:"standard"`
	LowFP     float64 `json:"low_fp"`
	LowFN     float64 `json:"low_fn"`
	Threshold float64 `json:"threshold"`
	// With the threshold that NAB's optimiser takes, a profile, on the very series that are scored.
	Best    [3]float64         `json:"best"`
	BestAt  [3]float64         `json:"best_threshold"`
	Folders map[string]float64 `json:"folders"` // standard, of those with windows
	Series  int                `json:"series"`
	Rows    int                `json:"rows"`
	Windows int                `json:"windows"`
	Found   int                `json:"found"` // windows with a flag
	False   int                `json:"false"` // rows flagged outside
	NS      float64            `json:"ns_per_point"`
	Bytes   int                `json:"bytes_per_series"`

	order []string
	given bool // the series are those whose published figures are known
}

// benchDetect scores the detector on a folder with the layout of cases/detect.
func benchDetect(ctx context.Context, dir string) (analysisResult, error) {
	s, err := readLabels(dir)
	if err != nil {
		return nil, err
	}
	values := map[string][]float64{}
	for _, n := range s.names() {
		if values[n], err = readValues(dir, n); err != nil {
			return nil, err
		}
		if len(values[n]) != s[n].Rows {
			return nil, fmt.Errorf("read %s: %d rows, where the labels say %d", n, len(values[n]), s[n].Rows)
		}
	}
	scores := detectScores(s, values)
	f := &detectFigures{Threshold: series.Threshold, Series: len(s), Windows: s.windows(), Folders: map[string]float64{}, Bytes: int(unsafe.Sizeof(series.State{}))}
	f.given = f.Series == 44 && f.Windows == 83
	for i, to := range []*float64{&f.Standard, &f.LowFP, &f.LowFN} {
		p := &nabProfiles[i]
		t := s.total(p, scores, series.Threshold)
		*to, f.False = s.normalised(p, t.raw), t.fp
		at, raw := s.best(p, scores)
		f.Best[i], f.BestAt[i] = s.normalised(p, raw), min(at, math.MaxFloat64) // JSON knows no infinity
	}
	folders := map[string]suite{}
	for _, n := range s.names() {
		f.Rows += s[n].Rows
		for _, w := range s[n].Windows {
			for i := w.First; i <= w.Last; i++ {
				if scores[n][i] >= series.Threshold {
					f.Found++
					break
				}
			}
		}
		folder, _, _ := strings.Cut(n, "/")
		if folders[folder] == nil {
			folders[folder] = suite{}
			f.order = append(f.order, folder)
		}
		folders[folder][n] = s[n]
	}
	for name, part := range folders {
		if part.windows() > 0 {
			f.Folders[name] = part.normalised(&nabProfiles[0], part.total(&nabProfiles[0], scores, series.Threshold).raw)
		}
	}
	f.NS = detectPace(ctx, s, values)
	return f, ctx.Err()
}

// detectScores runs a fresh detector over each series. Up or down is all one to NAB.
func detectScores(s suite, values map[string][]float64) map[string][]float64 {
	out := map[string][]float64{}
	for n := range s {
		var d series.State
		out[n] = make([]float64, len(values[n]))
		for i, x := range values[n] {
			out[n][i] = math.Abs(d.Add(x))
		}
	}
	return out
}

// detectPace is nanoseconds of this process a point: all series, again and again for a fifth of a second, the best of five.
func detectPace(ctx context.Context, s suite, values map[string][]float64) float64 {
	best := math.Inf(1)
	names := s.names()
	for range 5 {
		points := 0
		begun, spent := time.Now(), cpu()
		for time.Since(begun) < 200*time.Millisecond && ctx.Err() == nil {
			for _, n := range names {
				var d series.State
				for _, x := range values[n] {
					d.Add(x)
				}
				points += len(values[n])
			}
		}
		best = min(best, float64((cpu()-spent).Nanoseconds())/float64(max(points, 1)))
	}
	return best
}

// published is what others come to on the 44 series, at their published thresholds; cases/detect/README.md has them all.
var published = []struct {
	name string
	at   [3]float64
}{
	{"ARTime", [3]float64{75.3, 65.4, 80.8}},
	{"contextOSE", [3]float64{72.8, 70.0, 75.3}},
	{"numenta (HTM)", [3]float64{71.4, 64.2, 75.3}},
	{"randomCutForest", [3]float64{51.7, 43.7, 61.4}},
	{"twitterADVec", [3]float64{49.9, 32.7, 57.8}},
	{"skyline", [3]float64{34.9, 27.9, 46.2}},
	{"a flag every 500th row", [3]float64{25.2, -4.5, 36.9}},
}

func (f *detectFigures) print(w io.Writer) {
	fmt.Fprintf(w, "detect: %d series, %d rows, %d windows, by NAB's rules\n", f.Series, f.Rows, f.Windows)
	fmt.Fprintf(w, "  %-34s %9s %7s %7s\n", "", "standard", "low FP", "low FN")
	line := func(name string, v [3]float64) { fmt.Fprintf(w, "  %-34s %9.1f %7.1f %7.1f\n", name, v[0], v[1], v[2]) }
	line(fmt.Sprintf("rollcall, one threshold (%.3g)", f.Threshold), [3]float64{f.Standard, f.LowFP, f.LowFN})
	line("rollcall, thresholds best here", f.Best)
	if f.given {
		for _, p := range published {
			line(p.name, p.at)
		}
	}
	fmt.Fprintf(w, "  %d of %d windows found, %d rows flagged outside them; standard by folder:", f.Found, f.Windows, f.False)
	for _, n := range f.order {
		if v, ok := f.Folders[n]; ok {
			fmt.Fprintf(w, " %s %.1f", n, v)
		}
	}
	fmt.Fprintf(w, "\n  %.1f ns a point, %d bytes a series\n", f.NS, f.Bytes)
	fmt.Fprintln(w, "  NAB has doubtful labels, anomalies that any rule finds, and many near the end (Wu and Keogh): compare detectors by it, promise nothing.")
}
