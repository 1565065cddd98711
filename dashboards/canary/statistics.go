package canary

import (
	"math"
	"slices"
)

// Summary is a sample in a few figures; of nothing, all are 0.
type Summary struct {
	Min, Max, Mean, Std float64 // Std with n-1, 0 for one value
	Count               int
}

// Summarise is a sample in a few figures.
func Summarise(v []float64) Summary {
	if len(v) == 0 {
		return Summary{}
	}
	return Summary{Min: slices.Min(v), Max: slices.Max(v), Mean: mean(v), Std: math.Sqrt(variance(v)), Count: len(v)}
}

func mean(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	var sum float64
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// squares is Σ(x-mean)².
func squares(v []float64) float64 {
	m := mean(v)
	var sum float64
	for _, x := range v {
		sum += (x - m) * (x - m)
	}
	return sum
}

// variance is that of a sample, with n-1; 0 for one value.
func variance(v []float64) float64 {
	if len(v) < 2 {
		return 0
	}
	return squares(v) / float64(len(v)-1)
}

// Percentile is percentile p (0..100) as R's type 7 has it: interpolated between the two sorted values beside (n-1)p/100. NaN of nothing.
func Percentile(v []float64, p float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return percentileSorted(s, p)
}

func percentileSorted(s []float64, p float64) float64 {
	if len(s) == 0 || !(p >= 0 && p <= 100) {
		return math.NaN()
	}
	h := float64(len(s)-1) * p / 100
	k := int(math.Floor(h))
	if k+1 >= len(s) {
		return s[len(s)-1]
	}
	if h == float64(k) {
		return s[k] // nothing of the next, which may be infinite
	}
	return s[k] + (h-float64(k))*(s[k+1]-s[k])
}

// MeanRatio is mean(experiment) / mean(control); NaN if either is 0.
func MeanRatio(control, experiment []float64) float64 {
	c, x := mean(control), mean(experiment)
	if c == 0 || x == 0 {
		return math.NaN()
	}
	return x / c
}

// CohenD is the difference of the means in pooled standard deviations, without its sign.
func CohenD(control, experiment []float64) float64 {
	pooled := math.Sqrt((squares(control) + squares(experiment)) / float64(len(control)+len(experiment)-2))
	return math.Abs(mean(experiment)-mean(control)) / pooled
}

// CLES is the common language effect size: the chance that a value of the experiment is above one of the control, ties counting half. NaN where a side is empty.
func CLES(control, experiment []float64) float64 {
	c, x := slices.Clone(control), slices.Clone(experiment)
	slices.Sort(c)
	slices.Sort(x)
	return clesSorted(c, x)
}

func clesSorted(c, x []float64) float64 {
	m, n := float64(len(x)), float64(len(c))
	if m == 0 || n == 0 {
		return math.NaN()
	}
	var ranks float64
	below, upTo := 0, 0 // how many of the control are less, and at most as much
	for _, v := range x {
		for below < len(c) && c[below] < v {
			below++
		}
		for upTo < len(c) && c[upTo] <= v {
			upTo++
		}
		ranks += float64(below) + float64(upTo-below)/2
	}
	return 2 * ranks / (2 * m * n)
}

// NormalQuantile is Φ⁻¹(p) of the standard normal distribution.
func NormalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
