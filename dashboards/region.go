package dashboards

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// NoRegion is where instances are that tell neither a region nor a zone.
const NoRegion = "unknown"

// zoneForms are how zones are named after their region: us-east-1c and us-west-2-lax-1a, europe-west1-b, eastus-2.
var zoneForms = []*regexp.Regexp{
	regexp.MustCompile(`^([a-z]{2,3}(?:-[a-z]+)+-\d+)(?:[a-z]|-[a-z0-9-]+)$`),
	regexp.MustCompile(`^([a-z]+-[a-z]+\d+)-[a-z]$`),
	regexp.MustCompile(`^([a-z]{6,}\d*)-\d$`),
}

// RegionOf is the region of an instance by its tags: its own where it names one, else what its zone is named after. A zone of no known form is a region by itself.
func RegionOf(region, zone string) string {
	if region != "" {
		return region
	}
	for _, f := range zoneForms {
		if m := f.FindStringSubmatch(zone); m != nil {
			return m[1]
		}
	}
	return cmp.Or(zone, NoRegion)
}

// region is where the instance is, worked out once for the tags that it has.
func (in *instance) region() string {
	by := [2]discovery.Tags{in.tags}
	if in.roster != nil {
		by[1] = in.roster.Tags
	}
	if in.regionIs == "" || in.regionBy != by {
		in.regionBy, in.regionIs = by, RegionOf(in.tag(TagRegion), in.tag(TagZone))
	}
	return in.regionIs
}

// in reports whether the instance is in a region; every one is in "".
func (in *instance) in(region string) bool { return region == "" || in.regionIs == region }

// part is what a service's instances in one region do. It is made while somebody looks at the region, and not else: whoever looks at all pays nothing for it.
type part struct {
	ring    ring
	figures figures
	seq     uint64 // grows when points of the past change
	owed    int64  // ticks up to this one are still to be computed, the newest first; 0: none
}

const (
	// regionFor is how long a region is followed after somebody has looked at it.
	regionFor = time.Minute
	// regionsEvery is how often it is looked anew who is where.
	regionsEvery = 2 * time.Second
	// maxRegions bounds the regions of an environment that are listed, and those that are followed: tags may name any number of them.
	maxRegions = 200
	partWindow = sparkPoints * sparkStep * time.Millisecond
)

// locate notes which regions the service has, and forgets parts that nobody looks at. The caller holds the lock.
func (s *service) locate(now int64, watched []string) {
	if now-s.locatedAt >= regionsEvery.Milliseconds() || len(s.instances) != s.locatedOf {
		s.locatedAt, s.locatedOf = now, len(s.instances)
		s.regions = nil
		for _, in := range s.instances {
			if r := in.region(); (in.roster != nil || in.last > 0) && !slices.Contains(s.regions, r) {
				s.regions = append(s.regions, r)
			}
		}
		slices.Sort(s.regions)
	}
	for r := range s.parts {
		if !slices.Contains(watched, r) || !slices.Contains(s.regions, r) {
			delete(s.parts, r)
		}
	}
	for _, r := range watched {
		if s.parts[r] == nil && slices.Contains(s.regions, r) {
			if s.parts == nil {
				s.parts = map[string]*part{}
			}
			s.parts[r] = &part{}
		}
	}
}

// tickParts brings the parts up to now, from tick lo on; what lies before that of a new one comes bit by bit, as what is owed of the whole does.
func (s *service) tickParts(o *Options, lo, now, known int64, past bool) {
	w := s.ring.width
	newest := now / w
	for region, p := range s.parts {
		if p.ring.width != w || p.ring.last < newest-liveTicks || past {
			if p.ring.width != w {
				p.ring = newRing(time.Duration(w)*time.Millisecond, partWindow)
			}
			p.owed = newest - liveTicks
		}
		first := lo
		if p.ring.last < newest {
			first = min(lo, max(p.ring.last+1, newest-liveTicks+1))
			p.ring.advance(newest)
		}
		times := append(tickTimes(max(first, newest-liveTicks+1), newest, w), now)
		fs := s.asOf(&s.golden, o.Percentile, times, region)
		if p.fill(times[:len(times)-1], fs, known, now-now%sparkStep) {
			p.seq++
		}
		p.figures = p.ring.smooth(fs[len(fs)-1], newest)
		if known >= now && w >= smoothFor.Milliseconds() && s.finest(now) < smoothFor {
			p.figures = s.smoothClose(o, now, region)
		}
		if known < now {
			p.figures = p.ring.smooth(s.asOf(&s.golden, o.Percentile, []int64{known}, region)[0], known/w)
		}
		if p.owed > 0 {
			from := max(p.owed-liveTicks+1, newest-p.ring.len()+1)
			if times := tickTimes(from, p.owed, w); len(times) > 0 {
				p.fill(times, s.asOf(&s.golden, o.Percentile, times, region), known, math.MaxInt64)
				p.seq++
			}
			if p.owed = from - 1; p.owed <= newest-p.ring.len()+1 {
				p.owed = 0
			}
		}
	}
}

// tickTimes are the moments of the ticks from lo to hi.
func tickTimes(lo, hi, width int64) []int64 {
	times := make([]int64, 0, max(hi-lo+2, 0))
	for k := lo; k <= hi; k++ {
		times = append(times, k*width)
	}
	return times
}

// fill stores figures and reports whether any of before a moment differs from what was there.
func (p *part) fill(times []int64, fs []figures, known, before int64) (changed bool) {
	for i, t := range times {
		if t > known {
			fs[i].answering = -1
		}
		changed = p.ring.set(t/p.ring.width, &fs[i]) && t < before || changed
	}
	return changed
}

// watching are the regions that somebody has looked at lately, by the environments of the services.
func (b *Board) watching(services []*service) map[string][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string][]string{}
	for k, at := range b.looked {
		if time.Since(at) > regionFor {
			delete(b.looked, k)
		}
	}
	b.following = maps.Clone(b.looked)
	for _, s := range services {
		if _, done := out[s.env]; done {
			continue
		}
		out[s.env] = nil
		for k := range b.looked {
			if (k[0] == "" || k[0] == s.env) && !slices.Contains(out[s.env], k[1]) {
				out[s.env] = append(out[s.env], k[1])
			}
		}
	}
	return out
}

// inParts are the rows of a tick by region, in the order of services, and which regions there are, by environment.
type inParts struct {
	regions map[string]map[string]bool
	rows    map[string][]*Row
}

// add takes in the rows of a service's parts.
func (p *inParts) add(env string, regions []string, rows []*Row) {
	for _, r := range regions {
		if p.regions[env] == nil {
			p.regions[env] = map[string]bool{}
		}
		p.regions[env][r] = true
	}
	for _, r := range rows {
		p.rows[r.Region] = append(p.rows[r.Region], r)
	}
}

// partRows makes the rows of a service's parts, from those of the tick before. The caller holds its lock.
func (s *service) partRows(now, known int64, why []Finding, old map[string][]*Row) (out []*Row) {
	for region, part := range s.parts {
		if t := s.countIn(region, known, nil, nil); t == (tally{}) && part.ring.last == 0 {
			continue
		}
		out = append(out, s.row(now, known, why, rowOf(old[region], s), region))
	}
	return out
}

// NowIn is Now of one region: its rows are of the instances there, and the strip is their sum. Its figures begin with the first look, at the next tick, and
// its lines go back as far as is known some seconds later. A finding that is known to be elsewhere is left out. All regions are region "".
func (b *Board) NowIn(env, region string) Now {
	if region == "" {
		return b.Now(env)
	}
	b.look(env, region)
	n := b.Now(env)
	b.mu.RLock()
	rows := b.partRows[region]
	b.mu.RUnlock()
	whole := n.Rows
	n.Rows = nil
	st := Strip{Feed: n.Strip.Feed, Exceptions: n.Strip.Exceptions}
	var ages []aged
	there := map[string]bool{}
	for _, r := range rows {
		if env != "" && r.Env != env {
			continue
		}
		n.Rows = append(n.Rows, r)
		there[r.Group()] = true
		st.sum(r)
		if r.AgeMS.Known() {
			ages = append(ages, aged{float64(r.AgeMS), max(r.Answering, 1)})
		}
	}
	st.AgeMS = Num(medianAge(ages))
	foreign := 0
	for _, r := range whole {
		if !b.owned(r.Service, r.Env) {
			foreign++
		}
	}
	if foreign > 0 {
		st.Exceptions = append(st.Exceptions, Exception{LevelWarn, fmt.Sprintf("%d services are read by other replicas, which tell of them as a whole: they are not shown by region", foreign), ""})
	}
	n.Strip = st
	n.Findings = slices.DeleteFunc(n.Findings, func(f Finding) bool {
		return !f.In(region) || !slices.ContainsFunc(f.about(), func(s string) bool { return there[s+"/"+f.Env] })
	})
	return n
}

// In reports whether the finding may be in a region: one that is located nowhere may be in any.
func (f *Finding) In(region string) bool {
	return region == "" || len(f.Regions) == 0 || slices.Contains(f.Regions, region)
}

// Follow looks at a region and returns when there is something to see, or ctx ends.
func (b *Board) Follow(ctx context.Context, env, region string) {
	for region != "" {
		updated := b.Updated()
		b.look(env, region)
		b.mu.RLock()
		done := b.followed[[2]string{env, region}] || b.regions != nil && !b.inhabited(env, region)
		b.mu.RUnlock()
		if done {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-updated:
		}
	}
}

// look notes that somebody looks at a region, if there is anybody in it: names that a page makes up take no place from those that are.
func (b *Board) look(env, region string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := [2]string{env, region}
	if _, known := b.looked[k]; !known && (len(b.looked) >= maxRegions || !b.inhabited(env, region)) {
		return
	}
	if b.looked == nil {
		b.looked = map[[2]string]time.Time{}
	}
	b.looked[k] = time.Now()
}

// inhabited reports whether anybody was in a region at the last tick. The caller holds the lock.
func (b *Board) inhabited(env, region string) bool {
	if env != "" {
		return b.regions[env][region]
	}
	for _, there := range b.regions {
		if there[region] {
			return true
		}
	}
	return false
}

// RowIn is the part of a service's row that is in a region; nil where there is none, or where nobody has looked at the region before.
func (b *Board) RowIn(service, env, region string) *Row {
	b.look(env, region)
	b.mu.RLock()
	defer b.mu.RUnlock()
	rows := b.partRows[region]
	i := slices.IndexFunc(rows, func(r *Row) bool { return r.Service == service && r.Env == env })
	if i < 0 {
		return nil
	}
	return rows[i]
}

// listRegions are the regions of an environment, of all where env is empty, by name: of too many the same ones each time.
func listRegions(of map[string]map[string]bool, env string) []string {
	out := []string{}
	for e, regions := range of {
		if env == "" || e == env {
			out = slices.AppendSeq(out, maps.Keys(regions))
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(b2i(a == NoRegion), b2i(b == NoRegion)), strings.Compare(a, b))
	})
	out = slices.Compact(out)
	return out[:min(len(out), maxRegions)]
}
