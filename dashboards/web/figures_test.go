package web

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// Each answer with figures says of how many instances of how many they are, and as of when.
func TestFiguresSayOfWhom(t *testing.T) {
	r := newRig(t, nil)
	of := regexp.MustCompile(`^[1-9]\d* of [1-9]\d* instances$`)
	span := "&from=" + itoa(r.now.Add(-10_000_000_000).UnixMilli()) + "&to=" + itoa(r.now.UnixMilli())
	for _, path := range []string{"series?service=checkout&env=prod&metric=requests", "series?service=checkout&env=prod&metric=latency_ms&by=version", "exceptions?service=checkout&env=prod", "different?service=checkout&env=prod" + span} {
		_, body := r.get(t, "/api/v1/"+path)
		var said struct {
			AsOf int64 `json:"as_of"`
			Of   string
		}
		if err := json.Unmarshal([]byte(body), &said); err != nil || !of.MatchString(said.Of) || said.AsOf < r.now.UnixMilli() || said.AsOf > r.now.UnixMilli()+1000 {
			t.Errorf("%s: %q as of %d: %.200s", path, said.Of, said.AsOf, body)
		}
	}
	_, body := r.get(t, "/api/v1/now")
	for _, member := range []string{`"as_of":`, `"expected":`, `"answering":`, `"age_ms":`} {
		if !strings.Contains(body, member) {
			t.Errorf("a row without %s: %.300s", member, body)
		}
	}
}
