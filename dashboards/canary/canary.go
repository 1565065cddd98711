// Package canary says whether a new version does harm.
//
// It owns two judges. JudgeOnce has the semantics of Kayenta's NetflixACAJudge: samples of a fixed size, a test of Mann and Whitney a metric, a label, a score.
// Watch looks at each poll and stays right under that: its unit of evidence is the host, its intervals hold at all times at once. Cohorts form by themselves
// from the track and the version of a service's instances, and Converge tells how far a version has come over them. All of it is pure: values in, words out. It
// knows no Kafka and no HTTP.
package canary
