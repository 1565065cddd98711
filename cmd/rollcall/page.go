package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// pageFlags are those of every command that asks `serve`.
type pageFlags struct {
	URL  string `name:"url" default:"http://127.0.0.1:7150" env:"ROLLCALL_URL" help:"URL of the page: of rollcall serve, up or demo."`
	User string `help:"USER:PASSWORD of its web configuration."`
}

// do asks the page's server; a status other than 2xx is an error that holds what it said.
func (c *pageFlags) do(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	s := server{"url", c.URL, c.User, "no page answers at", "`rollcall up` or `rollcall serve`"}
	res, err := s.do(ctx, method, path, query, body)
	if err != nil || res.StatusCode < 300 {
		return res, err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	var said struct{ Error string }
	switch json.Unmarshal(text, &said); {
	case res.StatusCode == http.StatusUnauthorized:
		return nil, errors.New("the page wants to know who asks; give --user=USER:PASSWORD")
	case said.Error != "" && !strings.HasPrefix(said.Error, "no such page"):
		return nil, &complaint{res.StatusCode, said.Error}
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed:
		return nil, fmt.Errorf("what answers has no %s: is --url the address of a page (by default http://127.0.0.1:7150), and of this version?", path)
	}
	return nil, fmt.Errorf("the page answers %d %s", res.StatusCode, http.StatusText(res.StatusCode))
}

// complaint is what the page says of a question that it does not answer.
type complaint struct {
	code int
	text string
}

func (c *complaint) Error() string { return c.text }

// ask reads one JSON value.
func (c *pageFlags) ask(ctx context.Context, method, path string, query url.Values, body, into any) error {
	res, err := c.do(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<20)).Decode(into); err != nil {
		return fmt.Errorf("read the page's answer: %w", err)
	}
	return nil
}

// defaultPage is where a page is unless another is named.
const defaultPage = "http://127.0.0.1:7150"

// hint is what a command that one is told to give needs to reach the same page.
func (c *pageFlags) hint() string {
	base, err := url.Parse(c.URL)
	if err != nil || c.URL == defaultPage {
		return ""
	}
	return " --url=" + base.Redacted()
}

// knows fails where the page knows nobody of a name, SERVICE or SERVICE/ENV, and says who may have been meant; otherwise is what one does about that.
func (c *pageFlags) knows(ctx context.Context, name, otherwise string) error {
	var which struct{}
	err := c.ask(ctx, http.MethodGet, "/api/v1/services", serviceOf(name), nil, &which)
	var said *complaint
	if errors.As(err, &said) && said.code == http.StatusNotFound {
		said.text += "; " + otherwise
	}
	return err
}
