package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go/sasl"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/kafka"
	"github.com/rollcall-metrics/rollcall/sink/readback"
)

// topicFlags are those of every command that reads the topics.
type topicFlags struct {
	ConfigFile string   `name:"config.file" type:"path" help:"The YAML file of the collector: its kafka section says how to read."`
	Kafka      []string `help:"Brokers, HOST:PORT,…; they take the place of the file's. Default: the embedded broker of rollcall up, 127.0.0.1:7192."`
}

// way is how to the topics.
type way struct {
	conf   *config.Config
	kafka  config.Kafka
	topics sink.Topics
	tls    *tls.Config
	login  sasl.Mechanism
}

// way reads the file, if one is named, with the flags over it.
func (c *topicFlags) way() (*way, error) {
	conf := &config.Config{}
	if c.ConfigFile != "" {
		var err error
		if conf, err = config.Load(c.ConfigFile); err != nil {
			return nil, err
		}
	}
	if len(c.Kafka) > 0 {
		conf.Kafka.Brokers = c.Kafka
	}
	if len(conf.Kafka.Brokers) == 0 {
		conf.Kafka.Brokers = []string{"127.0.0.1:7192"}
	}
	return wayOf(conf)
}

func wayOf(conf *config.Config) (w *way, err error) {
	w = &way{conf: conf, kafka: conf.Kafka, topics: collect.Topics(conf.Kafka)}
	if w.tls, err = collect.TLS(conf.Kafka.TLS); err != nil {
		return nil, err
	}
	if s := conf.Kafka.SASL; s != nil {
		w.login, err = kafka.SASL{Mechanism: s.Mechanism, Username: s.Username, Password: s.Password.Reveal(), PasswordFile: s.PasswordFile}.Login()
	}
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
