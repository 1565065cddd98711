package scrape

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// OAuth2 has a job's requests carry a token that is fetched for a client's secret: RFC 6749, section 4.4.
type OAuth2 struct {
	ClientID   string
	Secret     string
	SecretFile string // read again when it changes; wins over Secret
	Scopes     []string
	TokenURL   *url.URL // http or https; the operator chose it, so it may be anywhere
	Params     url.Values
	TLS        *tls.Config
	Proxy      Proxy
}

func (o *OAuth2) validate() error {
	switch {
	case o.ClientID == "" || o.Secret == "" && o.SecretFile == "":
		return errors.New("oauth2 needs a client's id and its secret")
	case o.TokenURL == nil || o.TokenURL.Host == "" || o.TokenURL.Scheme != "http" && o.TokenURL.Scheme != "https":
		return errors.New("the token's URL of oauth2 is neither http nor https")
	}
	return o.Proxy.validate()
}

const (
	tokenEarly = 10 * time.Second // before it ends a token is fetched anew
	tokenAgain = time.Second      // after a failure
	maxToken   = 64 << 10         // bytes of an answer
)

// tokens is the token of one job, for all its targets: one of them fetches it, and the others wait as long as their own time lasts.
type tokens struct {
	o      *OAuth2
	client *http.Client
	broken error // of the environment
	turn   chan struct{}

	// Whoever has the turn may touch these.
	secret string // for which it was fetched
	header string // Authorization
	until  time.Time
	failed error
	body   bool // the server wants the secret in the body, and not as a user's password
}

func newTokens(o *OAuth2) *tokens {
	k := &tokens{o: o, turn: make(chan struct{}, 1)}
	by, err := o.Proxy.look()
	if k.broken = err; err != nil {
		return k
	}
	k.client = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: o.TLS.Clone(), ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: headerLimit,
			Proxy: func(r *http.Request) (*url.URL, error) { return by.of(r.URL), nil }, ProxyConnectHeader: o.Proxy.ConnectHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // who redirects would be given the secret
	}
	return k
}

// authorization is the header with a token that is valid, fetched now if there is none.
func (k *tokens) authorization(ctx context.Context, s *secrets) (string, error) {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return "", k.fault(errors.New("no answer within the scrape timeout"))
	}
	secret, err := s.read(k.o.SecretFile, k.o.Secret)
	if err != nil {
		return "", fail(collector.Forbidden, "%v", err)
	}
	now := time.Now()
	if secret == k.secret && (k.until.IsZero() || now.Before(k.until)) && (k.header != "" || k.failed != nil) {
		return k.header, k.failed
	}
	k.secret, k.header, k.failed = secret, "", nil
	header, until, err := k.fetch(ctx, secret)
	if err != nil {
		err = k.fault(err)
		if ctx.Err() != nil && time.Since(now) < tokenAgain { // who was given up, or came with little time left, says nothing of the server: the next one asks
			return "", err
		}
		k.failed, k.until = err, time.Now().Add(tokenAgain)
		return "", err
	}
	k.header, k.until = header, until
	return header, nil
}

// fault is a failure to get a token: nothing is sent to the target.
func (k *tokens) fault(err error) error {
	return fail(collector.Forbidden, "no token of oauth2 from %s: %v", k.o.TokenURL.Host, err)
}

// fetch asks for a token: with id and secret as a user and a password, and where that is refused in the body, as RFC 6749 section 2.3.1 lets servers choose.
func (k *tokens) fetch(ctx context.Context, secret string) (header string, until time.Time, err error) {
	if k.broken != nil {
		return "", until, k.broken
	}
	status := 0
	for range 2 {
		header, until, status, err = k.ask(ctx, secret)
		if err == nil || status < 400 || status > 499 {
			return header, until, err
		}
		k.body = !k.body
	}
	return header, until, err
}

// code is an error of RFC 6749 section 5.2, which is told; nothing else of an answer is, as it may say the secret back.
var code = regexp.MustCompile(`^[a-z_]{1,40}$`)

func (k *tokens) ask(ctx context.Context, secret string) (header string, until time.Time, status int, err error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(k.o.Scopes) > 0 {
		form.Set("scope", strings.Join(k.o.Scopes, " "))
	}
	for name, values := range k.o.Params {
		form[name] = values
	}
	if k.body {
		form.Set("client_id", k.o.ClientID)
		form.Set("client_secret", secret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.o.TokenURL.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return "", until, 0, errors.New("its URL cannot be asked")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !k.body {
		req.SetBasicAuth(url.QueryEscape(k.o.ClientID), url.QueryEscape(secret))
	}
	now := time.Now()
	resp, err := k.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // without the URL, in which a password may stand
			err = ue.Err
		}
		if ctx.Err() != nil || isTimeout(err) {
			err = errors.New("no answer within the scrape timeout")
		}
		return "", until, 0, errors.New(short(err))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxToken+1))
	var said struct {
		Token   string          `json:"access_token"`
		Type    string          `json:"token_type"`
		Expires json.RawMessage `json:"expires_in"`
		Error   string          `json:"error"`
	}
	if err == nil && len(b) <= maxToken {
		err = json.Unmarshal(b, &said)
	}
	switch {
	case resp.StatusCode != http.StatusOK && code.MatchString(said.Error):
		return "", until, resp.StatusCode, fmt.Errorf("status %d: %s", resp.StatusCode, said.Error)
	case resp.StatusCode != http.StatusOK:
		return "", until, resp.StatusCode, fmt.Errorf("status %d", resp.StatusCode)
	case len(b) > maxToken:
		return "", until, 0, fmt.Errorf("an answer of more than %d bytes", maxToken)
	case err != nil || said.Token == "":
		return "", until, 0, errors.New("an answer without an access_token")
	case strings.ContainsFunc(said.Token, notInHeader) || !isAuthType(said.Type) && !strings.EqualFold(said.Type, "basic"):
		return "", until, 0, errors.New("a token that cannot stand in a header")
	}
	seconds, err := lifetime(said.Expires)
	if err != nil {
		return "", until, 0, err
	}
	if seconds > 0 { // else it does not end
		until = now.Add(max(time.Second, time.Duration(seconds*float64(time.Second))-tokenEarly))
	}
	word := cmp.Or(said.Type, "Bearer")
	if strings.EqualFold(word, "bearer") {
		word = "Bearer"
	}
	return word + " " + said.Token, until, resp.StatusCode, nil
}

// lifetime is expires_in, which some servers give as a string; 0: there is none.
func lifetime(expires json.RawMessage) (seconds float64, err error) {
	text := strings.Trim(string(expires), `"`)
	if text == "" || text == "null" {
		return 0, nil
	}
	if seconds, err = strconv.ParseFloat(text, 64); err != nil || !(seconds >= 0 && seconds < 1e9) {
		return 0, errors.New("an answer whose expires_in is no number of seconds")
	}
	return seconds, nil
}

// notInHeader reports what cannot stand in the value of a header.
func notInHeader(r rune) bool { return r < ' ' || r == 0x7f }

// close gives up what is open.
func (k *tokens) close() {
	if k != nil && k.client != nil {
		k.client.CloseIdleConnections()
	}
}

// Header is one header that each request of a job carries; each of Values and Files is a line of its own.
type Header struct {
	Name   string
	Values []string
	Files  []string // read again when they change
}

func (h *Header) validate() error {
	if !isAuthType(h.Name) || h.Name == "" {
		return fmt.Errorf("%q is no name of a header", h.Name)
	}
	for _, v := range h.Values {
		if strings.ContainsFunc(v, func(r rune) bool { return r != '\t' && notInHeader(r) }) {
			return fmt.Errorf("the header %s has a control character", h.Name)
		}
	}
	return nil
}

// credentials are what a request is given beside what it asks for.
type credentials struct {
	auth string // Authorization, or ""
	more string // other headers, as lines that each begin with one's end
}

// credentials are those of the moment.
func (r *jobRun) credentials(ctx context.Context, s *secrets) (c credentials, err error) {
	if r.tokens != nil {
		c.auth, err = r.tokens.authorization(ctx, s)
	} else {
		c.auth, err = r.job.authorization(s)
	}
	if err != nil || len(r.job.Headers) == 0 {
		return c, err
	}
	var b strings.Builder
	for i := range r.job.Headers {
		h := &r.job.Headers[i]
		for _, v := range h.Values {
			b.WriteString("\r\n" + h.Name + ": " + strings.TrimSpace(v))
		}
		for _, f := range h.Files {
			v, err := s.read(f, "")
			if err != nil {
				return c, fail(collector.Forbidden, "%v", err)
			}
			b.WriteString("\r\n" + h.Name + ": " + v)
		}
	}
	c.more = b.String()
	return c, nil
}

// set gives a request of net/http what c holds.
func (c credentials) set(h http.Header) {
	if c.auth != "" {
		h.Set("Authorization", c.auth)
	}
	for line := range strings.SplitSeq(strings.TrimPrefix(c.more, "\r\n"), "\r\n") {
		if name, value, is := strings.Cut(line, ": "); is {
			h.Add(name, value)
		}
	}
}
