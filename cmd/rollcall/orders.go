package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
)

// by is who gives an order, for those who read it later.
type by struct {
	By string `help:"Who says so; default: you, as this machine knows you."`
}

func (b *by) who() string {
	if b.By != "" {
		return b.By
	}
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	return strings.Trim(name+"@"+host, "@")
}

type freezeCmd struct {
	collectorFlags
	by
	Path string        `arg:"" help:"A serverset's path, or one above it: nobody below it leaves."`
	For  time.Duration `default:"30m" help:"How long; then it ends by itself."`
	Why  string        `required:"" help:"The reason, for those who wonder."`

	Force bool `help:"Also where nobody is on the path yet."`
}

// Run freezes a path.
func (c *freezeCmd) Run(e *env) error {
	if c.For <= 0 {
		return usage("--for=%s is over already; give 30m or so", config.Duration(c.For))
	}
	return give(e, &c.collectorFlags, discovery.FreezeOrder, c.Path, c.who(), c.Why, c.For, c.Force)
}

type acceptCmd struct {
	collectorFlags
	by
	Path string        `arg:"" help:"A serverset's path, or one above it: those whom a guard holds there depart."`
	For  time.Duration `default:"10m" help:"How long the order stands."`
	Why  string        `help:"The reason, for those who wonder."`

	Force bool `help:"Also where no guard holds anybody yet."`
}

// Run accepts that those who vanished are gone.
func (c *acceptCmd) Run(e *env) error {
	if c.For <= 0 {
		return usage("--for=%s is over already; give 10m or so", config.Duration(c.For))
	}
	return give(e, &c.collectorFlags, discovery.AcceptOrder, c.Path, c.who(), c.Why, c.For, c.Force)
}

func give(e *env, c *collectorFlags, kind, path, by, why string, d time.Duration, force bool) error {
	if !strings.HasPrefix(path, "/") {
		return usage("%s", c.hinted(fmt.Sprintf("path %q does not begin with /; `rollcall orders --paths` lists the paths that are known", path)))
	}
	if !force {
		if err := c.concerns(e, kind, path); err != nil {
			return err
		}
	}
	now := time.Now()
	o := discovery.Order{Kind: kind, Path: path, By: by, Why: why, At: now, Until: now.Add(d)}
	res, err := c.do(e.ctx, http.MethodPost, "/api/v1/orders", nil, o)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var placed struct {
		discovery.Order
		Scope string `json:"scope"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&placed); err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	o = placed.Order
	if placed.Scope == share.ScopeHere {
		fmt.Fprintln(e.stderr, "this collector only obeys it: it has no group, or ZooKeeper could not be told; give it to each collector")
	}
	fmt.Fprintf(e.stdout, "%s %s until %s, order %s; `rollcall orders --end=%s%s` ends it sooner\n", map[string]string{discovery.FreezeOrder: "frozen:", discovery.AcceptOrder: "accepted:"}[kind], plain(o.Path), o.Until.Local().Format("15:04:05"), o.ID, o.ID, c.hint())
	return nil
}

type ordersCmd struct {
	collectorFlags
	by
	Cancel string `aliases:"end" help:"End this order; also --end=ID."`
	Paths  bool   `help:"List the paths that orders may name, and how old each is."`
	JSON   bool   `help:"As JSON."`
}

// ordersAnswer is what GET /api/v1/orders answers.
type ordersAnswer struct {
	Orders []collect.ShownOrder `json:"orders"`
}

// Run lists the orders that are in force.
func (c *ordersCmd) Run(e *env) error {
	if c.Cancel != "" {
		res, err := c.do(e.ctx, http.MethodDelete, "/api/v1/orders/"+url.PathEscape(c.Cancel), url.Values{"by": {c.who()}}, nil)
		if err != nil {
			return err
		}
		res.Body.Close()
		fmt.Fprintln(e.stdout, "ended:", c.Cancel)
		return nil
	}
	if c.Paths {
		return c.paths(e)
	}
	var raw json.RawMessage
	if err := c.get(e.ctx, "/api/v1/orders", nil, &raw); err != nil {
		return err
	}
	if c.JSON {
		fmt.Fprintln(e.stdout, strings.TrimSpace(string(raw)))
		return nil
	}
	var a ordersAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	if len(a.Orders) == 0 {
		fmt.Fprintln(e.stdout, "no orders are in force")
		return nil
	}
	t := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "ORDER\tKIND\tOF\tENDS IN\tBY\tWHY")
	for _, o := range a.Orders {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", o.ID, o.Kind, ofOrder(&o), collect.Span(time.Until(o.Until)), cmp.Or(plain(o.By), "–"), plain(o.Why))
	}
	return t.Flush()
}

func (c *ordersCmd) paths(e *env) error {
	var a struct {
		Paths []discovery.PathState `json:"paths"`
	}
	if err := c.get(e.ctx, "/api/v1/roster/paths", nil, &a); err != nil {
		return err
	}
	t := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "PATH\tMEMBERS\tVERIFIED\tSOURCE\tNOTE")
	for _, p := range a.Paths {
		age := "never"
		if !p.Verified.IsZero() {
			age = collect.Span(time.Since(p.Verified)) + " ago"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", plain(p.Path), p.Members, age, p.Source, plain(strings.Trim(p.Guard+"; "+p.Err, "; ")))
	}
	return t.Flush()
}
