package canary

import (
	"math"
	"slices"
)

// Detector says which values of a sample are outliers, one word a value.
type Detector func([]float64) []bool

// IQR takes for outliers what lies further than factor times the interquartile range outside the quartiles; with reduced sensitivity only what also lies
// outside the 1st to 99th percentile.
func IQR(factor float64, reduceSensitivity bool) Detector {
	return func(v []float64) []bool {
		s := slices.Clone(v)
		slices.Sort(s)
		q1, q3 := percentileSorted(s, 25), percentileSorted(s, 75)
		lo, hi := q1-factor*(q3-q1), q3+factor*(q3-q1)
		if reduceSensitivity {
			lo, hi = math.Min(lo, percentileSorted(s, 1)), math.Max(hi, percentileSorted(s, 99))
		}
		out := make([]bool, len(v))
		for i, x := range v {
			out[i] = x < lo || x > hi
		}
		return out
	}
}

// KSigma takes for outliers what lies further than k standard deviations (of the population) from the mean.
func KSigma(k float64) Detector {
	return func(v []float64) []bool {
		out := make([]bool, len(v))
		if len(v) == 0 {
			return out
		}
		m, sigma := mean(v), math.Sqrt(squares(v)/float64(len(v)))
		for i, x := range v {
			out[i] = math.Abs(x-m) > k*sigma
		}
		return out
	}
}

// RemoveNaNs is v without NaNs.
func RemoveNaNs(v []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(v), math.IsNaN)
}

// ReplaceNaNs is v with NaNs replaced.
func ReplaceNaNs(v []float64, by float64) []float64 {
	out := slices.Clone(v)
	for i, x := range out {
		if math.IsNaN(x) {
			out[i] = by
		}
	}
	return out
}

// RemoveOutliers is v without what d takes for outliers, in order.
func RemoveOutliers(v []float64, d Detector) []float64 {
	out := make([]float64, 0, len(v))
	for i, outlier := range d(v) {
		if !outlier {
			out = append(out, v[i])
		}
	}
	return out
}
