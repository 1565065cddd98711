package collect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/enrich/tag"
)

// Each job has its own limits of series a day, and who is over one stands in the collector's account.
func TestSeriesLimitsAreTold(t *testing.T) {
	c := parse(t, `
kafka: {brokers: ['127.0.0.1:1']}
scrape_configs:
- {job_name: small, series_limit: 2, static_configs: [{targets: ['h:1']}]}
- {job_name: service, series_limit: 0, service_series_limit: 3, static_configs: [{targets: ['h:2']}]}
- {job_name: usual, static_configs: [{targets: ['h:3']}]}
- {job_name: free, series_limit: 0, service_series_limit: 0, static_configs: [{targets: ['h:4']}]}
`)
	d, err := New(c, Options{Storage: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	conf := d.tagConfig(c)
	for job, want := range map[string]tag.Limits{"small": {Target: 2, Service: 1_000_000}, "service": {Service: 3}, "usual": {Target: 50_000, Service: 1_000_000}, "free": {}} {
		if got := conf.JobLimits[job]; got != want {
			t.Errorf("job %s: %+v, want %+v", job, got, want)
		}
	}
	if want := (tag.Limits{Target: 50_000, Service: 1_000_000}); conf.Limits != want {
		t.Errorf("other jobs: %+v, want %+v", conf.Limits, want)
	}
	at := time.Now()
	for job, port := range map[string]uint16{"small": 1, "service": 2, "usual": 3, "free": 4} {
		s := &collector.Snapshot{Instance: discovery.Instance{Key: discovery.Key{Service: job, Env: "prod", Host: "h", Port: port}, Source: job}, Time: at, Interval: 10 * time.Second}
		for i := range 5 {
			s.Samples = append(s.Samples, collector.Sample{Name: fmt.Sprintf("users/%d/hits", i), Kind: collector.Counter, Value: "1"})
		}
		d.enrich.Enrich(s)
	}
	mux := http.NewServeMux()
	d.Routes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/collector", nil))
	var s struct {
		Series []tag.Exceeded `json:"series_exceeded"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Series) != 2 {
		t.Fatalf("the account says %+v", s.Series)
	}
	small, service := s.Series[0], s.Series[1]
	if small.Service != "small/prod" || small.Instance != "h:1" || small.Limit != "target" || small.Max != 2 || small.LeftOut != 3 || small.Varies != "the name: users/*/hits" {
		t.Errorf("of the target it says %+v", small)
	}
	if service.Service != "service/prod" || service.Instance != "" || service.Limit != "service" || service.Max != 3 || service.LeftOut != 2 || service.By != "h:2" {
		t.Errorf("of the service it says %+v", service)
	}
}
