package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/readback"
)

// topicFlags are those of every command that reads the topics.
type topicFlags struct {
	ConfigFile string   `name:"config.file" type:"path" help:"The YAML file of the collector: its kafka section says how to read."`
	Kafka      []string `help:"Brokers, HOST:PORT,…; they take the place of the file's. Default: those of the collector or page that is asked, where the command asks one, else the embedded broker of rollcall up, 127.0.0.1:7192."`
}

// way is how to the topics.
type way struct {
	conf   *config.Config
	kafka  config.Kafka
	topics sink.Topics
	tls    *tls.Config
	login  sasl.Mechanism
	from   string // how the brokers are known, in words
}

// way reads the file, if one is named, with the flags over it. Where neither names brokers, they are those of whom asked names, the first that answers.
func (c *topicFlags) way(asked ...func() (collect.TopicsAt, string, error)) (*way, error) {
	conf := &config.Config{}
	from := ""
	if c.ConfigFile != "" {
		var err error
		if conf, err = config.Load(c.ConfigFile); err != nil {
			return nil, err
		}
	}
	var tried []string
	switch {
	case len(c.Kafka) > 0:
		conf.Kafka.Brokers, from = c.Kafka, "as --kafka says"
	case len(conf.Kafka.Brokers) > 0:
		from = "as " + c.ConfigFile + " says"
	default:
		for _, ask := range asked {
			at, who, err := ask()
			if tried = append(tried, who); err != nil || len(at.Brokers) == 0 {
				continue
			}
			if at.Secured && conf.Kafka.TLS == nil && conf.Kafka.SASL == nil {
				return nil, fmt.Errorf("the brokers of %s, %s, want TLS or a login: name the file that has it with --config.file", who, strings.Join(at.Brokers, ", "))
			}
			conf.Kafka.Brokers, from = at.Brokers, "as "+who+" says"
			conf.Kafka.Topics.Snapshots, conf.Kafka.Topics.Backfill = cmp.Or(conf.Kafka.Topics.Snapshots, at.Snapshots), cmp.Or(conf.Kafka.Topics.Backfill, at.Backfill)
			break
		}
	}
	if len(conf.Kafka.Brokers) == 0 {
		conf.Kafka.Brokers, from = []string{defaultBroker}, "which is the default"
		if len(tried) > 0 {
			from += ", for " + strings.Join(tried, " and ") + " did not say"
		}
	}
	w, err := wayOf(conf)
	if err == nil {
		w.from = from
	}
	return w, err
}

// defaultBroker is the embedded one of rollcall up.
const defaultBroker = "127.0.0.1:7192"

// placeWithin bounds how long a collector or a page may take to say where the topics are.
const placeWithin = 3 * time.Second

// askPlaces ask the collector and the page where the topics are; one that is named, not left at its default, is asked alone.
func askPlaces(ctx context.Context, c collectorFlags, page string) []func() (collect.TopicsAt, string, error) {
	c.Collector = cmp.Or(c.Collector, defaultCollector)
	p := pageFlags{URL: cmp.Or(page, defaultPage), User: c.User}
	collector := func() (at collect.TopicsAt, who string, err error) {
		within, cancel := context.WithTimeout(ctx, placeWithin)
		defer cancel()
		var s collect.Status
		err = c.get(within, "/api/v1/collector", nil, &s)
		return s.TopicsAt, "the collector at " + redacted(c.Collector), err
	}
	shown := func() (at collect.TopicsAt, who string, err error) {
		within, cancel := context.WithTimeout(ctx, placeWithin)
		defer cancel()
		var s struct {
			TopicsAt collect.TopicsAt `json:"topics_at"`
		}
		err = p.ask(within, http.MethodGet, "/api/v1/status", nil, nil, &s)
		return s.TopicsAt, "the page at " + redacted(p.URL), err
	}
	switch {
	case c.Collector == defaultCollector && p.URL != defaultPage:
		return []func() (collect.TopicsAt, string, error){shown}
	case c.Collector != defaultCollector && p.URL == defaultPage:
		return []func() (collect.TopicsAt, string, error){collector}
	}
	return []func() (collect.TopicsAt, string, error){collector, shown}
}

func redacted(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return "an address that is none"
	}
	return u.Redacted()
}

// asked completes an error with which brokers were asked, and how they are known.
func (w *way) asked(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w (asked: %s)", err, w.at())
}

// at is which brokers are asked, and how they are known.
func (w *way) at() string {
	return plain(strings.TrimSuffix("Kafka at "+strings.Join(w.kafka.Brokers, ", ")+", "+w.from, ", "))
}

func wayOf(conf *config.Config) (w *way, err error) {
	w = &way{conf: conf, kafka: conf.Kafka, topics: collect.Topics(conf.Kafka)}
	as, secure, err := collect.Access(conf.Kafka)
	if err != nil {
		return nil, err
	}
	w.tls = secure
	w.login, err = as.Login()
	return w, err
}

func (w *way) readback(as string) (*readback.Client, error) {
	return readback.New(readback.Config{Brokers: w.kafka.Brokers, TLS: w.tls, Login: w.login, ClientID: cmp.Or(w.kafka.ClientID, "rollcall-"+as), Rack: w.kafka.Rack})
}

// unread says of topics that cannot be read what to do about it.
func unread(err error) error {
	if errors.Is(err, readback.ErrNoTopic) {
		return fmt.Errorf("%w; a collector makes it when it first delivers", err)
	}
	return fmt.Errorf("%w; start one with `rollcall up`, or name the brokers with --kafka=HOST:PORT", err)
}

// lanes are the topics of snapshots.
func (w *way) lanes() []string { return []string{w.topics.Snapshots, w.topics.Backfill} }

// thousands writes 1234567 as 1,234,567.
func thousands[T ~int | ~int64 | ~uint64](n T) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String()
}

// many is "1 gap", "2 gaps".
func many[T ~int | ~int64 | ~uint64](n T, one, more string) string {
	return thousands(n) + " " + cmp.Or(map[bool]string{n == 1: one}[true], more)
}
