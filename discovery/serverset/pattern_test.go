package serverset

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPatternMatch(t *testing.T) {
	for _, tc := range []struct{ pattern, service, env, path, want string }{ // want: service|env, or "" for no match
		{"/discovery/{service}/{env}", "", "", "/discovery/checkout/prod", "checkout|prod"},
		{"/discovery/{service}/{env}", "", "", "/discovery/checkout", ""},
		{"/discovery/{service}/{env}", "", "", "/discovery/checkout/prod/x", ""},
		{"/discovery/{service}/{env}", "", "", "/discovery//prod", ""},
		{"/discovery/{service}/{env}", "", "", "discovery/a/b", ""},
		{"/discovery/{service}/{env}", "", "", "/other/a/b", ""},
		{"/aurora/{role}/{env}/{job}", "{role}.{job}", "", "/aurora/www/prod/web", "www.web|prod"},
		{"/services/{service}", "", "", "/services/pay", "pay|default"},
		{"/services/{service}", "", "live", "/services/pay", "pay|live"},
		{"/s/svc-{service}.{tail}", "", "", "", "!two names"},
		{"/s/svc-{service}.d/{env}", "", "", "/s/svc-a.d/b", "a|b"},
		{"/s/svc-{service}.d/{env}", "", "", "/s/svc-.d/b", ""},
		{"/a/{dc}/{service}", "{dc}/{service}", "x/y", "/a/us/pay", "us%2Fpay|x%2Fy"},
		{"/aurora/{role}/{env}/{job}", "", "", "/aurora/www/prod/web", "www.web|prod"},
		{"/nerve/services/{service}/services", "", "", "/nerve/services/pay/services", "pay|default"},
		{"/{service}", "", "", "/pay", "pay|default"},
		{"/fixed/path", "pay", "", "/fixed/path", "pay|default"},
	} {
		p, err := ParsePattern(tc.pattern, tc.service, tc.env)
		if part, bad := strings.CutPrefix(tc.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %v, want one with %q", tc.pattern, err, part)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.pattern, err)
			continue
		}
		got := ""
		if place, ok := p.Match(tc.path); ok {
			got = place.Service + "|" + place.Env
			if place.Path != tc.path {
				t.Errorf("%s: path %q", tc.path, place.Path)
			}
		}
		if got != tc.want {
			t.Errorf("%s of %s: got %q want %q", tc.path, tc.pattern, got, tc.want)
		}
	}
}

func TestPatternFaults(t *testing.T) {
	for _, tc := range []struct{ path, service, env, want string }{
		{"discovery/{service}", "", "", "does not begin with /"},
		{"/", "x", "", "empty part"},
		{"/a/{service}/", "", "", "empty part"},
		{"/a//{service}", "", "", "empty part"},
		{"/a/{service", "x", "", "no {name}"},
		{"/a/*", "x", "", "no {name}"},
		{"/a/..", "x", "", "no name of a node"},
		{"/a/{x}/{x}", "{x}", "", "stands in it twice"},
		{"/a/{env}", "", "", "name one so"},
		{"/a/b", "", "", "'{role}.{job}'"},
		{"/a/{service}", "{role}", "", "no {role}"},
		{"/a/{service}", "", "{dc}", "no {dc}"},
		{"/a/{service}", "x{", "", "no {name}"},
		{"/a/{x}", "{service}", "", "no {service}"},
	} {
		if _, err := ParsePattern(tc.path, tc.service, tc.env); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.path) {
			t.Errorf("%s %s %s: %v, want %q", tc.path, tc.service, tc.env, err, tc.want)
		}
	}
}

func TestPatternRoot(t *testing.T) {
	for pattern, want := range map[string]string{"/discovery/{service}/{env}": "/discovery", "/{service}": "/", "/a/b/{service}/c": "/a/b", "/a/b": "/a/b"} {
		p, err := ParsePattern(pattern, "x", "")
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Root(); got != want {
			t.Errorf("%s: root %q want %q", pattern, got, want)
		}
	}
}

func TestPatternRoundTrip(t *testing.T) {
	value := rapid.StringMatching(`[a-z][a-z0-9.%ü-]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		p, err := ParsePattern("/a/{role}/x-{env}-y/{job}", "{role}.{job}", "")
		if err != nil {
			t.Fatal(err)
		}
		vars := map[string]string{"role": value.Draw(t, "role"), "env": value.Draw(t, "env"), "job": value.Draw(t, "job")}
		path, err := p.Expand(vars)
		if err != nil {
			t.Fatal(err)
		}
		place, ok := p.Match(path)
		if !ok || place != (Place{path, vars["role"] + "." + vars["job"], vars["env"]}) {
			t.Fatalf("%s: %v %+v", path, ok, place)
		}
	})
	p, _ := ParsePattern("/a/{service}", "", "")
	for _, bad := range []string{"", "a/b", ".", ".."} {
		if path, err := p.Expand(map[string]string{"service": bad}); err == nil {
			t.Errorf("%q was expanded to %q", bad, path)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("/discovery/{service}/{env}", "", "", "/discovery/a/b")
	f.Add("/a/x{service}y", "{service}/z", "e/f", "/a/xny")
	f.Fuzz(func(t *testing.T, pattern, service, env, path string) {
		p, err := ParsePattern(pattern, service, env)
		if err != nil {
			return
		}
		root := p.Root()
		if !strings.HasPrefix(root, "/") || p.Depth() == 0 {
			t.Fatalf("root %q depth %d", root, p.Depth())
		}
		if place, ok := p.Match(path); ok {
			if strings.Contains(place.Service, "/") || strings.Contains(place.Env, "/") || root != "/" && !strings.HasPrefix(path, root) {
				t.Fatalf("%+v of %q, root %q", place, pattern, root)
			}
		}
	})
}

func TestRecognise(t *testing.T) {
	kp := func(path string, n int) Found { return Found{path, KingPin, n, uuid + "-10.0.0.5:80", nil} }
	fin := func(path string, n int) Found {
		return Found{path, Finagle, n, "member_0000000001", []byte(finagle)}
	}
	for _, tc := range []struct {
		name  string
		found []Found
		want  []string // pattern|service|env|format|sets|members
	}{
		{"nothing", nil, nil},
		{"kingpin", []Found{kp("/discovery/a/prod", 3), kp("/discovery/b/prod", 4), kp("/discovery/b/dev", 1)}, []string{"/discovery/{service}/{env}|{service}|{env}|kingpin|3|8"}},
		{"kingpin elsewhere", []Found{kp("/us/disc/a/prod", 3), kp("/eu/disc/a/prod", 4), kp("/flat/x", 1)},
			[]string{"/eu/disc/{service}/{env}|{service}|{env}|kingpin|1|4", "/us/disc/{service}/{env}|{service}|{env}|kingpin|1|3", "/flat/{service}|{service}|default|kingpin|1|1"}},
		{"aurora", []Found{fin("/aurora/www/prod/web", 9)}, []string{"/aurora/{role}/{env}/{job}|{role}.{job}|{env}|finagle|1|9"}},
		{"finagle elsewhere", []Found{fin("/soa/east/web/v1", 9), fin("/soa/west/api/v1", 1)}, []string{"/soa/{s1}/{s2}/v1|{s1}.{s2}|default|finagle|2|10"}},
		{"finagle, one set", []Found{fin("/soa/web", 9)}, []string{"/soa/{service}|{service}|default|finagle|1|9"}},
		{"finagle, at the root", []Found{fin("/web", 9)}, []string{"/web|web|default|finagle|1|9"}},
		{"nerve and curator", []Found{{"/nerve/services/a/services", Nerve, 2, "x_0000000001", []byte(nerve)}, {"/services/pay", Curator, 1, "id", []byte(curator)}},
			[]string{"/nerve/services/{service}/services|{service}|default|nerve|1|2", "/services/{service}|{service}|default|curator|1|1"}},
	} {
		var got []string
		for _, l := range Recognise(tc.found) {
			service, env := l.Pattern.Templates()
			got = append(got, strings.Join([]string{l.Pattern.String(), service, env, string(l.Format), strconv.Itoa(l.Sets), strconv.Itoa(l.Members)}, "|"))
			if l.Sample.Err != nil || l.Sample.Host == "" || l.Sample.Service == "" {
				t.Errorf("%s: sample %+v", tc.name, l.Sample)
			}
		}
		if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
			t.Errorf("%s:\n got %q\nwant %q", tc.name, got, tc.want)
		}
	}
}
