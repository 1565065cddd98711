package config

import (
	"strings"
	"testing"
	"time"
)

func TestExports(t *testing.T) {
	for _, tc := range []struct{ yaml, says string }{
		{"{to: flat}", ""},
		{"{to: flat, services: [checkout/*], metrics: ['requests.*'], topic: t, from: 1h}", ""},
		{"{to: remote-write, url: 'http://p:9090/api/v1/write', headers: {X-Scope-OrgID: a}, tags: [team], late: true}", ""},
		{"{to: ndjson, path: out, compression: zstd, flat: true, metrics: [a], rotate_bytes: 1MB, rotate_every: 5m}", ""},
		{"{to: avro, url: 'https://r:8081', basic_auth: {username: a, password: b}}", ""},
		{"{to: csv}", "exports[0].to: \"csv\": use flat"},
		{"{to: flat, name: a/b}", "use letters"},
		{"{to: flat, services: ['[']}", "services[0]"},
		{"{to: flat, metrics: ['(']}", "metrics[0]"},
		{"{to: flat, from: soon}", "use now, all"},
		{"{to: flat, url: 'http://x'}", "an export to flat has no url"},
		{"{to: remote-write}", "is not an http or https URL"},
		{"{to: avro, url: 'registry:8081'}", "is not an http or https URL"},
		{"{to: avro, url: 'http://r', topic: t, path: x}", "has no path"},
		{"{to: ndjson}", "path is missing"},
		{"{to: ndjson, path: x, metrics: [a]}", "give flat: true"},
		{"{to: ndjson, path: x, compression: lz4}", "use gzip, zstd or none"},
		{"{to: avro, url: 'http://r', basic_auth: {username: a, password: b, password_file: c}}", "keep one"},
		{"{to: flat}, {to: flat}", "also the name of export 0"},
	} {
		_, err := Parse([]byte("exports: ["+tc.yaml+"]"), func(string) (string, bool) { return "", false })
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", tc.yaml, err, tc.says)
		}
	}
	c, err := Parse([]byte("exports: [{to: avro, url: 'http://me:hunter2@r', authorization: {credentials: hunter2}, from: 90m}]"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if text, err := c.YAML(); err != nil || strings.Contains(text, "hunter2") {
		t.Errorf("%v\n%s", err, text)
	}
	if back, all, err := c.Exports[0].Begin(); back != 90*time.Minute || all || err != nil {
		t.Errorf("%v %v %v", back, all, err)
	}
}
