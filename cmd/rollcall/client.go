package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// collectorFlags are those of every command that asks a collector.
type collectorFlags struct {
	Collector string `default:"http://127.0.0.1:7140" env:"ROLLCALL_COLLECTOR" help:"URL of the collector."`
	User      string `help:"USER:PASSWORD of its web configuration."`
}

// answerWithin bounds how long an answer may take to begin.
const answerWithin = 10 * time.Second

// server is a daemon that commands ask.
type server struct {
	flag, at string // the flag that names its URL, and the URL
	user     string // USER:PASSWORD; empty: nobody
	missing  string // what is said where nobody answers: "no collector answers at"
	start    string // the commands that would start one
}

// do asks the server. Only what is no answer at all is an error; an answer may go on for as long as it likes, but must begin.
func (s *server) do(ctx context.Context, method, path string, query url.Values, body any, header ...string) (*http.Response, error) {
	base, err := url.Parse(s.at)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, usage("--%s=%s is no URL; give http://HOST:PORT", s.flag, s.at)
	}
	at := base.JoinPath(path)
	at.RawQuery = query.Encode()
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		send = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, at.String(), send)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if user, pass, ok := strings.Cut(s.user, ":"); ok {
		req.SetBasicAuth(user, pass)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = answerWithin
	transport.DisableKeepAlives = true
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("%s %s: %w; start one with %s, or name it with --%s=http://HOST:PORT", s.missing, base.Redacted(), err, s.start, s.flag)
	}
	return res, nil
}

// do asks the collector; a status other than 2xx, and 300 where several are allowed, is an error that holds what the collector said.
func (c *collectorFlags) do(ctx context.Context, method, path string, query url.Values, body any, header ...string) (*http.Response, error) {
	s := server{"collector", c.Collector, c.User, "no collector answers at", "`rollcall up` or `rollcall collect`"}
	res, err := s.do(ctx, method, path, query, body, header...)
	if err != nil || res.StatusCode < 300 {
		return res, err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return nil, &refusal{res.StatusCode, path, text, c}
}

// defaultCollector is where a collector is unless another is named.
const defaultCollector = "http://127.0.0.1:7140"

// hint is what a command that one is told to give needs to reach the same collector.
func (c *collectorFlags) hint() string {
	if c.Collector == defaultCollector {
		return ""
	}
	base, err := url.Parse(c.Collector)
	if err != nil {
		return ""
	}
	return " --collector=" + base.Redacted()
}

var toldCommand = regexp.MustCompile("`rollcall [^`]+`")

// hinted completes the commands that a text tells one to give.
func (c *collectorFlags) hinted(text string) string {
	return toldCommand.ReplaceAllStringFunc(text, func(cmd string) string { return strings.TrimSuffix(cmd, "`") + c.hint() + "`" })
}

// refusal is an answer that is an error.
type refusal struct {
	code int
	path string
	body []byte
	from *collectorFlags
}

func (r *refusal) Error() string {
	var said struct{ Error string }
	switch json.Unmarshal(r.body, &said); {
	case said.Error != "" && !strings.HasPrefix(said.Error, "no such page"): // of a page's server, which is no collector
		return r.from.hinted(said.Error)
	case r.code == http.StatusUnauthorized:
		return "the collector wants to know who asks; give --user=USER:PASSWORD"
	case r.code == http.StatusNotFound || r.code == http.StatusMethodNotAllowed:
		return fmt.Sprintf("what answers has no %s: is --collector the address of a collector (by default http://127.0.0.1:7140), and of this version?", r.path)
	}
	return fmt.Sprintf("the collector answers %d %s", r.code, http.StatusText(r.code))
}

// get reads one JSON value.
func (c *collectorFlags) get(ctx context.Context, path string, query url.Values, into any) error {
	res, err := c.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<20)).Decode(into); err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	return nil
}

// serviceOf takes SERVICE or SERVICE/ENV apart; a service may have slashes in its name only where an environment follows.
func serviceOf(arg string) url.Values {
	q := url.Values{}
	service, env := arg, ""
	if i := strings.LastIndexByte(arg, '/'); i >= 0 {
		service, env = arg[:i], arg[i+1:]
	}
	if service != "" {
		q.Set("service", service)
	}
	if env != "" {
		q.Set("env", env)
	}
	return q
}
