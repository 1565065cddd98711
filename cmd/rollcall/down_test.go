package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestNobodyThere: a command whose server is not there says which one it asked and what to do about it, and ends with 1; one that is given wrongly ends with 2, and asks nobody.
func TestNobodyThere(t *testing.T) {
	const gone = "127.0.0.1:1"
	const (
		page, collector = " --url=http://" + gone, " --collector=http://" + gone
		kafka           = " --kafka=" + gone
	)
	noPage := []string{"no page answers at http://" + gone, "start one with `rollcall up` or `rollcall serve`, or name it with --url="}
	noCollector := []string{"no collector answers at http://" + gone, "start one with `rollcall up` or `rollcall collect`, or name it with --collector="}
	noBroker := []string{gone, "--kafka=HOST:PORT"}
	tested := map[string]bool{}
	for _, tc := range []struct {
		name, args string // of one whose server is away
		want       []string
		wrong      string // arguments that are no use
		says       string
	}{
		{"top", "--once" + page, noPage, "--bogus", "unknown flag --bogus"},
		{"findings", page, noPage, "--format=xml", `must be one of "text","json"`},
		{"findings list", page, noPage, "--since=soon", "is no duration"},
		{"findings ack", "f1" + page, noPage, "", `expected "<id>"`},
		{"event", "note checkout hello" + page, noPage, "note", `expected "<service>`},
		{"silence", "checkout --why=x" + page, noPage, "checkout --for=1h", "give --why"},
		{"canary", "checkout" + page, noPage, "", `expected "<service>"`},
		{"check service", "checkout" + page, noPage, "", `expected "<service>"`},
		{"ls", collector, noCollector, "a b", "unexpected argument b"},
		{"watch", collector, noCollector, "a b", "unexpected argument b"},
		{"why", "10.0.0.5:8001" + collector, noCollector, "", `expected "<instance>"`},
		{"why", "9f3c2a7be01d44c1/12/7/345" + kafka + collector, noBroker, "", `expected "<instance>"`},
		{"get", "checkout requests" + collector, noCollector, "checkout", `expected "<metric> ..."`},
		{"freeze", "/discovery --why=x" + collector, noCollector, "/discovery", "missing flags: --why"},
		{"accept", "/discovery --why=x" + collector, noCollector, "", `expected "<path>"`},
		{"burst", "checkout" + collector, noCollector, "", `expected "<service>"`},
		{"orders", collector, noCollector, "x", "unexpected argument x"},
		{"tap", kafka, noBroker, "=x", "names nothing before its ="},
		{"audit", kafka, noBroker, "--since=0s", "give how far back"},
		{"plan", kafka + collector, noBroker, "--since=x", "give over how long"},
		{"spool ls", "--storage.path=nowhere", []string{"nowhere"}, "x", "unexpected argument x"},
		{"spool cat", "all --storage.path=nowhere", []string{"nowhere"}, "", `expected "<name> ..."`},
		{"spool retry", "all --storage.path=nowhere", []string{"nowhere"}, "", `expected "<name> ..."`},
		{"spool drop", "all --storage.path=nowhere", []string{"nowhere"}, "", `expected "<name> ..."`},
		{"spool send", "--path=nowhere" + kafka, []string{"nowhere"}, "--bogus", "unknown flag --bogus"},
	} {
		tested[tc.name] = true
		for _, how := range []struct {
			args string
			code int
			want []string
		}{{tc.args, exitFailure, tc.want}, {tc.wrong, exitUsage, []string{tc.says}}} {
			args := append(strings.Fields(tc.name), strings.Fields(how.args)...)
			var out, errs bytes.Buffer
			code := run(context.Background(), args, strings.NewReader(""), &out, &errs)
			for _, want := range how.want {
				if code != how.code || !strings.Contains(errs.String(), want) {
					t.Errorf("%q: %d %q %q; want %d and %q", args, code, &out, &errs, how.code, want)
				}
			}
		}
	}
	// Those of scripts: they ask nobody, serve, or say in their own words who is not there.
	for name := range strings.SplitSeq("demo,up,collect,serve,export,status,check config,check rules,check service-discovery,test,config init,broker,fleet,completion", ",") {
		tested[name] = true
	}
	p, err := kong.New(&cli{}, kong.Vars{"version": "v"})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range p.Model.Leaves(true) {
		if name := strings.TrimPrefix(n.Path(), "rollcall "); !tested[strings.TrimPrefix(name, p.Model.Name+" ")] {
			t.Errorf("%s is not tested", n.Path())
		}
	}
}
