package promql

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// Other is another replica, which knows services, and what rules gave, that this one does not.
type Other struct {
	Name string
	// Missing says what is not known without it, such as "3 of 10 services"; it is asked when that is so.
	Missing func() string
	// Ask puts a question, which its Peer takes, and gives the body of the answer.
	Ask func(ctx context.Context, question []byte) (io.ReadCloser, error)
}

// lacking is what is missing from an answer: a warning to people, a failure to rules.
type lacking string

func (l lacking) Error() string { return string(l) }

// lacks is the first such word of some warnings, as an error.
func lacks(warn annotations.Annotations) error {
	var first string
	for _, err := range warn {
		var l lacking
		if errors.As(err, &l) && (first == "" || string(l) < first) {
			first = string(l)
		}
	}
	if first == "" {
		return nil
	}
	return fmt.Errorf("not all is known: %s", first)
}

// tooMuch is what a query hears for which the others would have to send more than it may hold.
type tooMuch struct{ bytes int }

func (e tooMuch) Error() string {
	return fmt.Sprintf("query takes more than %d bytes from another replica, or from all others; name a metric, a job or an instance, or raise dashboards.promql.max_samples", e.bytes)
}

// bytesPerSample is how much others may send for each value that a query may hold.
const bytesPerSample = 8

// whole is a querier of all replicas.
type whole struct {
	api      *API
	own      storage.Querier
	from, to int64
	left     atomic.Int64 // bytes that others may send still

	mu      sync.Mutex
	cancels []context.CancelFunc
	asking  sync.WaitGroup
}

// heard is what the others say to a question.
type heard struct {
	series []storage.Series
	texts  []string
	warn   annotations.Annotations
	err    error
}

// ask asks those of the others who may know of what matchers select, and gives what waits for their answers; nil: nobody needs to be asked.
func (w *whole) ask(ctx context.Context, q question, ms []*labels.Matcher, needs int64) func() heard {
	others, lack := w.api.cfg.Others(ms, needs)
	if len(others) == 0 && lack == "" {
		return nil
	}
	for _, m := range ms {
		q.Matchers = append(q.Matchers, matcher{int(m.Type), m.Name, m.Value})
	}
	q.Needs = needs
	text, err := json.Marshal(&q)
	if err != nil {
		return func() heard { return heard{err: err} }
	}
	query := ctx
	ctx, cancel := context.WithTimeout(ctx, w.api.cfg.Timeout/2)
	w.mu.Lock()
	w.cancels = append(w.cancels, cancel)
	w.mu.Unlock()
	answers := make([]heard, len(others))
	var all sync.WaitGroup
	var series atomic.Int64
	for i, o := range others {
		w.asking.Add(1)
		all.Go(func() {
			defer w.asking.Done()
			answers[i] = w.one(ctx, &o, text, &series)
			if query.Err() != nil {
				answers[i].err = query.Err()
			}
		})
	}
	return func() heard {
		all.Wait()
		cancel()
		var out heard
		if lack != "" {
			out.warn.Add(lacking(lack))
		}
		for _, a := range answers {
			out.err = cmp.Or(out.err, a.err)
			out.warn.Merge(a.warn)
			out.series, out.texts = append(out.series, a.series...), append(out.texts, a.texts...)
		}
		return out
	}
}

// one asks one of them. Who does not answer as they should has said nothing.
func (w *whole) one(ctx context.Context, o *Other, question []byte, series *atomic.Int64) (out heard) {
	lack := ""
	body, err := o.Ask(ctx, question)
	if err == nil {
		u := unframing{r: bufio.NewReaderSize(body, 32<<10), take: func(n int) error {
			if w.left.Add(-int64(n)) < 0 {
				return tooMuch{w.api.cfg.MaxSamples * bytesPerSample}
			}
			return nil
		}}
		err = u.read(func(ls labels.Labels, p packed) error {
			if series.Add(1) > int64(w.api.cfg.MaxSeries) {
				return tooMany{w.api.cfg.MaxSeries}
			}
			out.series = append(out.series, &told{ls, p})
			return nil
		}, func(s string) error {
			out.texts = append(out.texts, s)
			return nil
		}, func(s string) { lack = s })
		body.Close()
	}
	var many tooMany
	var much tooMuch
	var asked tooMuchAsked
	switch {
	case errors.As(err, &many), errors.As(err, &much), errors.As(err, &asked):
		return heard{err: err}
	case err != nil:
		w.api.unheard.Inc()
		w.api.cfg.Log.Warn("another replica does not answer a query", "peer", o.Name, "err", err)
		why := "does not answer"
		if errors.Is(err, errFrame) {
			why = "gives an answer that cannot be read"
		}
		out = heard{}
		out.warn.Add(lacking(fmt.Sprintf("replica %s %s: %s missing", o.Name, why, o.Missing())))
	case lack != "":
		out.warn.Add(lacking(fmt.Sprintf("replica %s: %s", o.Name, lack)))
	}
	return out
}

// Select implements storage.Querier. The others are asked at once, and waited for where the first series is wanted.
func (w *whole) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	q := question{What: askSeries, From: w.from, To: w.to}
	needs := w.from
	if hints != nil {
		q.From, q.To = hints.Start, hints.End
		if needs = hints.Start; hints.Range == 0 && hints.Func != "series" {
			needs = min(needs+instantBack.Milliseconds(), hints.End)
		}
	}
	if hints != nil && hints.Func == "series" {
		q.What, q.Limit = askLabels, hints.Limit
	}
	wait := w.ask(ctx, q, ms, needs)
	own := w.own.Select(ctx, sorted, hints, ms...)
	if wait == nil {
		return own
	}
	return &later{make: func() storage.SeriesSet {
		others := wait()
		if others.err != nil {
			return storage.ErrSeriesSet(others.err)
		}
		if len(others.series) == 0 {
			return &joined{set: own, warnings: others.warn}
		}
		all, err := w.join(own, others.series)
		if err != nil {
			return storage.ErrSeriesSet(err)
		}
		if sorted {
			slices.SortFunc(all, func(x, y storage.Series) int { return labels.Compare(x.Labels(), y.Labels()) })
		}
		return &joined{set: &listed{all, -1}, warnings: others.warn.Merge(own.Warnings())}
	}}
}

// join is one's own series and those of others; those of the same labels are one.
func (w *whole) join(own storage.SeriesSet, others []storage.Series) (all []storage.Series, err error) {
	for own.Next() {
		all = append(all, own.At())
	}
	if err := own.Err(); err != nil {
		return nil, err
	}
	at := make(map[uint64]int, len(all)+len(others))
	for i, s := range all {
		at[s.Labels().Hash()] = i
	}
	for _, s := range others {
		h := s.Labels().Hash()
		i, there := at[h]
		switch {
		case !there || !labels.Equal(all[i].Labels(), s.Labels()):
			at[h] = len(all)
			all = append(all, s)
		default:
			if m, ok := all[i].(merged); ok {
				all[i] = append(m, s)
			} else {
				all[i] = merged{all[i], s}
			}
		}
	}
	if len(all) > w.api.cfg.MaxSeries {
		return nil, tooMany{w.api.cfg.MaxSeries}
	}
	return all, nil
}

// LabelValues implements storage.Querier.
func (w *whole) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return w.texts(ctx, question{What: askValues, Name: name}, hints, ms, func() ([]string, annotations.Annotations, error) {
		return w.own.LabelValues(ctx, name, hints, ms...)
	})
}

// LabelNames implements storage.Querier.
func (w *whole) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return w.texts(ctx, question{What: askNames}, hints, ms, func() ([]string, annotations.Annotations, error) {
		return w.own.LabelNames(ctx, hints, ms...)
	})
}

func (w *whole) texts(ctx context.Context, q question, hints *storage.LabelHints, ms []*labels.Matcher, own func() ([]string, annotations.Annotations, error)) ([]string, annotations.Annotations, error) {
	q.From, q.To = w.from, w.to
	wait := w.ask(ctx, q, ms, w.from)
	out, warn, err := own()
	if wait == nil || err != nil {
		return out, warn, err
	}
	others := wait()
	set := make(map[string]struct{}, len(out))
	for _, s := range append(out, others.texts...) {
		set[s] = struct{}{}
	}
	return firsts(set, hints), warn.Merge(others.warn), others.err
}

// Close implements storage.Querier. It waits for those who are still asked.
func (w *whole) Close() error {
	w.mu.Lock()
	for _, cancel := range w.cancels {
		cancel()
	}
	w.mu.Unlock()
	w.asking.Wait()
	return w.own.Close()
}

// later is a set that is made when it is wanted.
type later struct {
	make func() storage.SeriesSet
	set  storage.SeriesSet
}

func (l *later) made() storage.SeriesSet {
	if l.set == nil {
		l.set = l.make()
	}
	return l.set
}

func (l *later) Next() bool                        { return l.made().Next() }
func (l *later) At() storage.Series                { return l.made().At() }
func (l *later) Err() error                        { return l.made().Err() }
func (l *later) Warnings() annotations.Annotations { return l.made().Warnings() }

// instantBack is how far before the time that is asked for an instant's values may be: they are not missed where they are not there.
const instantBack = lookback - time.Millisecond
