package canary

import "math"

// mixing is the variance of the normal mixture behind the boundary, in parts of one poll's: it makes the boundary tightest after some tens of polls.
const mixing = 0.1

// boundary is how many standard errors an estimate may be away from the truth at poll k, so that the chance that it is ever further away on one side, at any
// poll of all, is at most a. It is the normal mixture's of Robbins (1970) in the form of Waudby-Smith and others ("Time-uniform central limit theory and asymptotic
// confidence sequences", 2021), two-sided at 2a, carried from the normal to Student's distribution of df degrees of freedom at the same tail by Wallace's
// formula (1959), which errs to the wide side.
//
// What it is applied to is a difference of means of hosts, with a variance from between the hosts: noise of one poll to the next averages out and moves the
// difference as the boundary expects; what stays with a host does not, and then the boundary is only wider than it must be.
func boundary(k int, a, df float64) float64 {
	v := float64(k) * mixing
	z := math.Sqrt((1 + 1/v) * math.Log((v+1)/(4*a*a)))
	g := z * (8*df + 3) / (8*df + 1)
	x := g * g / df
	if x > 600 {
		return math.Inf(1)
	}
	return math.Sqrt(df * math.Expm1(x))
}
