package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRedactURL(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"http://proxy:3128", "http://proxy:3128"},
		{"http://ann:hunter2@proxy:3128/x", "http://ann:xxxxx@proxy:3128/x"},
		{"http://hunter2@proxy", "http://xxxxx@proxy"},
		{"https://sd/targets?token=hunter2&hunter2&b=", "https://sd/targets?token=xxxxx&xxxxx&b=xxxxx"},
		{"http://%zz:hunter2@proxy", "xxxxx"},
		{"", ""},
	} {
		if got := RedactURL(tc.in); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.in, got, tc.want)
		}
	}
}

// What may hold a password is printed nowhere, and what is printed can be read again.
func TestSecretsOfURLsAreHidden(t *testing.T) {
	c, err := Parse([]byte(`
scrape_configs:
- job_name: a
  proxy_url: http://ann:hunter2@proxy:3128
  params: {token: [hunter2], match: [all]}
  http_sd_configs: [{url: 'https://hunter2@sd/targets?token=hunter2'}]
`), env)
	if err != nil {
		t.Fatal(err)
	}
	if s := &c.Scrape[0]; s.ProxyURL.Reveal() != "http://ann:hunter2@proxy:3128" || s.Params["token"][0] != "hunter2" || !strings.HasSuffix(s.HTTP[0].URL.Reveal(), "token=hunter2") {
		t.Errorf("read as %q %q %q", s.ProxyURL.Reveal(), s.Params["token"], s.HTTP[0].URL.Reveal())
	}
	y, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if all := y + string(j) + fmt.Sprintf("%v %+v %#v", c.Scrape, c.Scrape, c.Scrape); strings.Contains(all, "hunter2") || !strings.Contains(y, "http://ann:xxxxx@proxy:3128") || !strings.Contains(y, "token:") {
		t.Errorf("printed:\n%s", all)
	}
	if _, err := Parse([]byte(y), env); err != nil {
		t.Errorf("what we write we do not read: %v\n%s", err, y)
	}
	_, err = Parse([]byte("scrape_configs: [{job_name: a, proxy_url: '//ann:hunter2@', static_configs: [{targets: ['h:1']}]}]"), env)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the fault of a proxy's URL: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write := func(text string) {
		if err := os.WriteFile(ca, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	base := func() *Scrape {
		yes := true
		return &Scrape{JobName: "a", Params: Params{"x": {"1"}, "y": {"2"}}, Proxy: Proxy{ProxyURL: "http://u:1@p"}, BasicAuth: &BasicAuth{Password: "p"}, TLS: &TLS{CAFile: ca}, Compression: &yes}
	}
	first := Fingerprint(base(), "ca_file")
	if again := Fingerprint(base(), "ca_file"); again != first {
		t.Error("equal ones differ")
	}
	no := false
	for name, change := range map[string]func(*Scrape){
		"a password":      func(s *Scrape) { s.BasicAuth.Password = "q" },
		"a parameter":     func(s *Scrape) { s.Params["x"] = []string{"3"} },
		"a proxy's user":  func(s *Scrape) { s.ProxyURL = "http://u:2@p" },
		"a number":        func(s *Scrape) { s.SampleLimit = 1 },
		"a truth value":   func(s *Scrape) { s.Compression = &no },
		"a part less":     func(s *Scrape) { s.BasicAuth = nil },
		"a file's name":   func(s *Scrape) { s.TLS.CAFile += "2" },
		"a list's values": func(s *Scrape) { s.Allow.Ports = []string{"1"} },
	} {
		s := base()
		if change(s); Fingerprint(s, "ca_file") == first {
			t.Errorf("%s: not told apart", name)
		}
	}
	without := Fingerprint(base())
	write("two")
	if Fingerprint(base(), "ca_file") == first || Fingerprint(base()) != without {
		t.Error("a file's content counts where it is asked for, and nowhere else")
	}
}
