package promql

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/rollcall-metrics/rollcall/internal/gate"
)

// What a replica asks another.
const (
	askSeries   = "series" // with points
	askLabels   = "labels" // series without
	askValues   = "values"
	askNames    = "names"
	askMetadata = "metadata"
)

// question is what one replica asks another, as JSON.
type question struct {
	What     string    `json:"what"`
	Name     string    `json:"name,omitempty"` // of the label, or of a metric
	From     int64     `json:"from"`           // Unix ms, as To
	To       int64     `json:"to"`
	Needs    int64     `json:"needs,omitempty"` // from when on values are missed
	Limit    int       `json:"limit,omitempty"` // of series; 0: none
	Matchers []matcher `json:"matchers,omitempty"`
}

type matcher struct {
	Type  int    `json:"type"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// maxQuestion bounds what one replica asks another, in bytes.
const maxQuestion = 512 << 10

// Peer answers other replicas' questions, of what this one knows alone: it asks nobody. They have places of their own, so that replicas that ask each other never wait
// in a circle. missing says what is not there yet of what who asks by a request expects from here, from a time (Unix ms) on; "": nothing.
func (a *API) Peer(missing func(r *http.Request, from int64) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
		var q question
		if err == nil {
			err = json.Unmarshal(text, &q)
		}
		var ms []*labels.Matcher
		for _, m := range q.Matchers {
			x, wrong := labels.NewMatcher(labels.MatchType(m.Type), m.Name, m.Value)
			if wrong != nil || m.Type < int(labels.MatchEqual) || m.Type > int(labels.MatchNotRegexp) {
				err = errors.New("a matcher is none")
				break
			}
			ms = append(ms, x)
		}
		if err != nil {
			http.Error(w, "not a question of a replica", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), a.cfg.Timeout)
		defer cancel()
		if err := a.asked.Enter(ctx); err != nil {
			gate.Busy(w.Header(), err)
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer a.asked.Leave()
		h := w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Cache-Control", "no-store")
		out := io.Writer(w)
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
			defer z.Close() // who asked may have gone
			out = z
		}
		f := &framing{w: bufio.NewWriterSize(out, 32<<10), most: a.cfg.MaxSamples * bytesPerSample}
		before := missing(r, q.Needs)
		err = a.tell(ctx, f, &q, ms)
		if lack := cmp.Or(before, missing(r, q.Needs)); err == nil && lack != "" { // it may have been given away meanwhile
			err = f.text(frameLacks, lack[:min(len(lack), 1000)])
		}
		if err := f.end(err); err != nil {
			a.cfg.Log.Debug("another replica went before it had its answer", "err", err)
		}
	})
}

// tell writes the answer to a question.
func (a *API) tell(ctx context.Context, f *framing, q *question, ms []*labels.Matcher) error {
	own, err := a.here(q.From, q.To)
	if err != nil {
		return err
	}
	var texts []string
	switch q.What {
	case askSeries, askLabels:
		hints := &storage.SelectHints{Start: q.From, End: q.To}
		if q.What == askLabels {
			hints.Func, hints.Limit = "series", q.Limit
		}
		set := own.Select(ctx, false, hints, ms...)
		for set.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			s := set.At()
			if q.What == askLabels {
				err = f.series(s.Labels(), nil)
			} else {
				f.iterator = s.Iterator(f.iterator)
				err = f.series(s.Labels(), f.iterator)
			}
			if err != nil {
				return err
			}
		}
		return set.Err()
	case askValues:
		texts, _, err = own.LabelValues(ctx, q.Name, nil, ms...)
	case askNames:
		texts, _, err = own.LabelNames(ctx, nil, ms...)
	case askMetadata:
		for name, kinds := range a.kinds(ctx, q.Name, 0) {
			for _, k := range kinds {
				texts = append(texts, strings.Join([]string{name, k.Type, k.Help, k.Unit}, "\x00"))
			}
		}
		slices.Sort(texts)
	default:
		return errors.New("it is not known what is asked")
	}
	for _, s := range texts {
		if err != nil {
			return err
		}
		if len(s) <= maxFrameText {
			err = f.text(frameText, s)
		}
	}
	return err
}
