// Package avro makes Avro of records, with Confluent's header, and registers its schema with a schema registry.
//
// It owns the schema and the binary form (https://avro.apache.org/docs/1.11.1/specification/), written by hand as they are small, and two requests of the registry's
// HTTP API. It must not know Kafka.
package avro

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Topic is the name that everybody expects, ContentType what its header content-type says.
const (
	Topic       = "rollcall.snapshots.avro"
	ContentType = "avro/binary"
)

// Config says where schemas are registered. URL and Topic must be given.
type Config struct {
	URL       string // of the registry, such as http://registry:8081, or …/apis/ccompat/v7 of Apicurio
	Topic     string // its values' schema has the subject <topic>-value, as Confluent's TopicNameStrategy has it
	Client    *http.Client
	Authorize func(*http.Request) error // nil: nothing
}

// Registry registers the schema once, and remembers its id.
type Registry struct {
	cfg Config

	mu sync.Mutex
	id uint32 // 0: not registered yet
}

// NewRegistry checks the configuration; it dials nothing.
func NewRegistry(c Config) (*Registry, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || c.Topic == "" {
		return nil, errors.New("configure avro: give the schema registry's URL, such as http://registry:8081, and a topic")
	}
	c.Client = cmp.Or(c.Client, &http.Client{Timeout: 10 * time.Second})
	return &Registry{cfg: c}, nil
}

// Subject is the name under which the schema is registered.
func (r *Registry) Subject() string { return r.cfg.Topic + "-value" }

// ID registers the schema unless that was done, and gives the number that stands in front of each record.
func (r *Registry) ID(ctx context.Context) (uint32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.id != 0 {
		return r.id, nil
	}
	body, err := json.Marshal(map[string]string{"schemaType": "AVRO", "schema": Schema})
	if err != nil {
		return 0, err
	}
	at := strings.TrimSuffix(r.cfg.URL, "/") + "/subjects/" + url.PathEscape(r.Subject()) + "/versions"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	req.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	if r.cfg.Authorize != nil {
		if err := r.cfg.Authorize(req); err != nil {
			return 0, err
		}
	}
	res, err := r.cfg.Client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL may hold a secret
		}
		return 0, fmt.Errorf("register the schema at %s: %w", req.URL.Host, err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, fmt.Errorf("register the schema at %s: %w", req.URL.Host, err)
	}
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("register the schema of subject %q at %s: it answers %s: %s", r.Subject(), req.URL.Host, res.Status, said[:min(len(said), 300)])
	}
	var answer struct {
		ID uint32 `json:"id"`
	}
	if err := json.Unmarshal(said, &answer); err != nil || answer.ID == 0 {
		return 0, fmt.Errorf("register the schema at %s: it answers without an id: %s", req.URL.Host, said[:min(len(said), 300)])
	}
	r.id = answer.ID
	return r.id, nil
}

// Schema is what a record is in Avro. Fields are only added, with defaults, so that every version is compatible with those before.
const Schema = `{"type":"record","name":"Snapshot","namespace":"rollcall","doc":"One pull of one instance; docs/formats.md says what the fields mean.","fields":[` +
	`{"name":"id","type":"string"},{"name":"parts","type":"int","default":0},{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},` +
	`{"name":"service","type":"string"},{"name":"env","type":"string"},{"name":"instance","type":"string"},{"name":"shard","type":["null","int"],"default":null},` +
	`{"name":"outcome","type":"string"},{"name":"reason","type":["null","string"],"default":null},{"name":"took_us","type":"long"},` +
	`{"name":"tags","type":{"type":"map","values":"string"}},` +
	`{"name":"samples","type":{"type":"array","items":{"type":"record","name":"Sample","fields":[` +
	`{"name":"name","type":"string"},{"name":"kind","type":"string"},{"name":"labels","type":{"type":"map","values":"string"}},` +
	`{"name":"value","type":["null","long","double","string"],"default":null,"doc":"whole numbers within 64 bits as long, others as double, texts as string"},` +
	`{"name":"since_ms","type":["null","long"],"default":null},{"name":"window","type":["null","string"],"default":null},` +
	`{"name":"fields","type":["null",{"type":"map","values":"double"}],"default":null},` +
	`{"name":"histogram","type":["null",{"type":"record","name":"NativeHistogram","fields":[{"name":"schema","type":"int"},{"name":"zero_threshold","type":"double"},` +
	`{"name":"zero_count","type":"double"},{"name":"count","type":"double"},{"name":"sum","type":"double","doc":"NaN: not known"},` +
	`{"name":"positive_spans","type":{"type":"array","items":{"type":"record","name":"Span","fields":[{"name":"offset","type":"int"},{"name":"length","type":"long"}]}}},` +
	`{"name":"positive_counts","type":{"type":"array","items":"double"},"doc":"of each bucket"},{"name":"negative_spans","type":{"type":"array","items":"Span"}},` +
	`{"name":"negative_counts","type":{"type":"array","items":"double"}}]}],"default":null}]}}},` +
	`{"name":"src","type":{"type":"record","name":"Source","fields":[{"name":"term","type":["null","string"],"default":null},{"name":"slot","type":["null","long"],"default":null},` +
	`{"name":"interval_ms","type":"long"},{"name":"roster","type":["null","string"],"default":null},{"name":"rules","type":["null","string"],"default":null},` +
	`{"name":"geo","type":["null","string"],"default":null},{"name":"skew_ms","type":"long"}]}}]}`

// Encoder makes records. It is used by one goroutine.
type Encoder struct {
	registry *Registry
	buf      []byte
}

// NewEncoder makes an encoder.
func NewEncoder(r *Registry) *Encoder { return &Encoder{registry: r} }

// Close has nothing to give back.
func (e *Encoder) Close() {}

// Encode gives one message: a zero, the schema's id in four bytes, the record. Its key is service/env, as in the topic that it is of.
func (e *Encoder) Encode(ctx context.Context, r *export.Record, emit func(key, value []byte)) error {
	if r.Known {
		return nil
	}
	id, err := e.registry.ID(ctx)
	if err != nil {
		return err
	}
	e.buf = binary.BigEndian.AppendUint32(append(e.buf[:0], 0), id)
	e.buf = Append(e.buf, r.Record)
	emit([]byte(r.Service+"/"+r.Env), bytes.Clone(e.buf))
	return nil
}

// Append appends a record in Avro's binary form, by Schema. Numbers that no double holds are left out.
func Append(dst []byte, r *wire.Record) []byte {
	dst = text(dst, r.ID.String())
	dst = long(dst, int64(r.Parts))
	dst = long(dst, r.TS)
	dst = text(text(text(dst, r.Service), r.Env), r.Instance)
	if r.Shard == discovery.NoShard {
		dst = long(dst, 0)
	} else {
		dst = long(long(dst, 1), int64(r.Shard))
	}
	dst = text(dst, r.OutcomeText)
	dst = maybe(dst, r.Reason)
	dst = long(dst, r.Took.Microseconds())
	dst = pairs(dst, r.Tags)
	if n := len(r.Samples); n > 0 {
		dst = long(dst, int64(n))
		for i := range r.Samples {
			dst = sample(dst, &r.Samples[i])
		}
	}
	dst = long(dst, 0)
	src := &r.Source
	if src.Term == 0 {
		dst = long(dst, 0)
	} else {
		dst = text(long(dst, 1), "0x"+strconv.FormatUint(src.Term, 16))
	}
	if src.Slot == 0 {
		dst = long(dst, 0)
	} else {
		dst = long(long(dst, 1), src.Slot)
	}
	dst = long(dst, src.Interval.Milliseconds())
	roster := src.Roster
	if src.Zxid != 0 {
		roster += ":0x" + strconv.FormatInt(src.Zxid, 16)
	}
	dst = maybe(maybe(maybe(dst, roster), src.Rules), src.Geo)
	return long(dst, src.Skew.Milliseconds())
}

func sample(dst []byte, s *collector.Sample) []byte {
	dst = text(text(dst, s.Name), s.Kind.String())
	dst = pairs(dst, s.Labels)
	dst = value(dst, s)
	if s.Kind == collector.Delta {
		dst = long(long(dst, 1), s.Since.Milliseconds())
	} else {
		dst = long(dst, 0)
	}
	dst = maybe(dst, s.Window.String())
	if s.Kind == collector.Distribution {
		dst = fields(long(dst, 1), s.Fields)
	} else {
		dst = long(dst, 0)
	}
	h := s.Hist
	if h == nil {
		return long(dst, 0)
	}
	dst = long(long(dst, 1), int64(h.Schema))
	dst = double(double(double(double(dst, h.ZeroThreshold), h.ZeroCount), h.Count), h.Sum)
	dst = doubles(spans(dst, h.PositiveSpans), h.PositiveCounts)
	return doubles(spans(dst, h.NegativeSpans), h.NegativeCounts)
}

// value is the union of null, long, double and string.
func value(dst []byte, s *collector.Sample) []byte {
	switch s.Kind {
	case collector.Distribution, collector.Histogram:
		return long(dst, 0)
	case collector.Label:
		return text(long(dst, 3), s.Value)
	}
	if n, err := strconv.ParseInt(s.Value, 10, 64); err == nil {
		return long(long(dst, 1), n)
	}
	if f, err := strconv.ParseFloat(s.Value, 64); err == nil {
		return double(long(dst, 2), f)
	}
	return long(dst, 0)
}

func long(dst []byte, n int64) []byte { return binary.AppendVarint(dst, n) }

func text(dst []byte, s string) []byte { return append(long(dst, int64(len(s))), s...) }

func double(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

// maybe is the union of null and string; an empty one is null.
func maybe(dst []byte, s string) []byte {
	if s == "" {
		return long(dst, 0)
	}
	return text(long(dst, 1), s)
}

func pairs(dst []byte, ls []collector.LabelPair) []byte {
	if len(ls) > 0 {
		dst = long(dst, int64(len(ls)))
		for i := range ls {
			dst = text(text(dst, ls[i].Name), ls[i].Value)
		}
	}
	return long(dst, 0)
}

func fields(dst []byte, fs []collector.Field) []byte {
	n := 0
	for i := range fs {
		if _, err := strconv.ParseFloat(fs[i].Value, 64); err == nil {
			n++
		}
	}
	if n == 0 {
		return long(dst, 0)
	}
	dst = long(dst, int64(n))
	for i := range fs {
		if f, err := strconv.ParseFloat(fs[i].Value, 64); err == nil {
			dst = double(text(dst, fs[i].Name), f)
		}
	}
	return long(dst, 0)
}

func spans(dst []byte, ss []collector.Span) []byte {
	if len(ss) > 0 {
		dst = long(dst, int64(len(ss)))
		for _, s := range ss {
			dst = long(long(dst, int64(s.Offset)), int64(s.Length))
		}
	}
	return long(dst, 0)
}

func doubles(dst []byte, fs []float64) []byte {
	if len(fs) > 0 {
		dst = long(dst, int64(len(fs)))
		for _, f := range fs {
			dst = double(dst, f)
		}
	}
	return long(dst, 0)
}
