package dashboards

import (
	"cmp"
	"slices"
	"strings"
)

// Hit is something that a search found.
type Hit struct {
	Host     string `json:"host,omitempty"`
	Instance string `json:"instance,omitempty"`
	Metric   string `json:"metric,omitempty"`
	Service  string `json:"service,omitempty"`
	Env      string `json:"env,omitempty"`
	N        int    `json:"n,omitempty"` // instances on the host
}

// Hits are a search's answers, at most 20 of each.
type Hits struct {
	Services  []Hit `json:"services"`
	Hosts     []Hit `json:"hosts"`
	Instances []Hit `json:"instances"`
	Metrics   []Hit `json:"metrics"`
}

const (
	maxHits  = 20
	maxAsked = 8 // what follows is not looked for
)

// wanted is what a search asks for: words in lower case.
type wanted []string

// fit is how well a word fits a name: it is that, begins with it, holds it; below 0: it does not.
func fit(name, word string) int {
	name = strings.ToLower(name)
	switch i := strings.Index(name, word); {
	case i < 0:
		return -1
	case len(name) == len(word):
		return 0
	case i == 0:
		return 1
	}
	return 2
}

// rank is how well a thing fits, less is better; below 0: not at all. Each word is in one of its own names, or else in what it belongs to, and one at least is in its
// own. A name that is not the first of its own counts for less.
func (w wanted) rank(own, of []string) int {
	sum, any := 0, false
	for _, word := range w {
		best := -1
		for i, name := range own {
			r := fit(name, word)
			if r < 0 {
				continue
			}
			if r += 3 * min(i, 1); best < 0 || r < best {
				best, any = r, true
			}
		}
		if best < 0 {
			if !slices.ContainsFunc(of, func(name string) bool { return fit(name, word) >= 0 }) {
				return -1
			}
			best = 3
		}
		sum += best
	}
	if !any {
		return -1
	}
	return sum
}

type ranked struct {
	Hit
	rank int
}

// Search finds services, hosts, instances (by address or any tag's value) and metrics whose names hold the words of a text, without regard to case; a word may also
// be of the service or environment that a thing is of: "latency checkout". Those that begin with it come first.
func (b *Board) Search(text string) Hits {
	w := wanted(strings.Fields(strings.ToLower(text)))
	w = w[:min(len(w), maxAsked)]
	if len(w) == 0 {
		return Hits{[]Hit{}, []Hit{}, []Hit{}, []Hit{}}
	}
	var services, instances, metrics []ranked
	hosts := map[string]int{}
	var own []string
	for _, s := range b.all() {
		s.mu.RLock()
		of := []string{s.name, s.env}
		base := Hit{Service: s.name, Env: s.env}
		if r := w.rank(of[:1], of[1:]); r >= 0 {
			services = append(services, ranked{base, r})
		}
		for _, in := range s.instances {
			own = append(own[:0], in.addr)
			for _, v := range in.tags.All() {
				own = append(own, v)
			}
			if r := w.rank(own, of); r >= 0 {
				hit := base
				hit.Instance = in.addr
				instances = append(instances, ranked{hit, r})
			}
			if host := in.tag(TagHost); host != "" {
				hosts[host]++
			}
		}
		seen := map[string]bool{}
		for i := range s.cols {
			c := &s.cols[i]
			if c.instances == 0 || seen[c.metric] {
				continue
			}
			if r := w.rank([]string{c.metric}, of); r >= 0 {
				seen[c.metric] = true
				hit := base
				hit.Metric = c.metric
				metrics = append(metrics, ranked{hit, r})
			}
		}
		s.mu.RUnlock()
	}
	var machines []ranked
	for host, n := range hosts {
		if r := w.rank([]string{host}, nil); r >= 0 {
			machines = append(machines, ranked{Hit{Host: host, N: n}, r})
		}
	}
	return Hits{best(services), best(machines), best(instances), best(metrics)}
}

// best is the first of some hits.
func best(in []ranked) []Hit {
	slices.SortFunc(in, func(a, b ranked) int {
		return cmp.Or(a.rank-b.rank, strings.Compare(a.Metric, b.Metric), strings.Compare(a.Service, b.Service), strings.Compare(a.Env, b.Env), strings.Compare(a.Host, b.Host),
			strings.Compare(a.Instance, b.Instance))
	})
	out := make([]Hit, 0, maxHits)
	for _, r := range in[:min(len(in), maxHits)] {
		out = append(out, r.Hit)
	}
	return out
}
