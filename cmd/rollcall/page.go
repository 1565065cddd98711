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
	URL  string `name:"url" default:"http://127.0.0.1:7150" help:"URL of the page: of rollcall serve, up or demo."`
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
		return nil, errors.New(said.Error)
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed:
		return nil, fmt.Errorf("what answers has no %s: is --url the address of a page (by default http://127.0.0.1:7150), and of this version?", path)
	}
	return nil, fmt.Errorf("the page answers %d %s", res.StatusCode, http.StatusText(res.StatusCode))
}

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
