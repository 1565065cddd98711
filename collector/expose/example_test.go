package expose_test

import (
	"fmt"
	"net/http/httptest"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/collector/expose"
)

func ExampleHandler() {
	reg := prometheus.NewRegistry()
	kangaroos := prometheus.NewCounter(prometheus.CounterOpts{Name: "kangaroos"})
	reg.MustRegister(kangaroos)
	kangaroos.Inc()

	h := expose.Handler(reg, expose.Options{Labels: func() map[string]string { return map[string]string{"version": "1.42.0"} }})

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/stats.json", nil)) // in an application: http.Handle("/", h)
	fmt.Println(w.Body)
	// Output: {"counters":{"kangaroos":1},"gauges":{},"labels":{"version":"1.42.0"},"metrics":{}}
}

func ExampleByClient() {
	where := func(a netip.Addr) (asn uint32, org, country string, ok bool) {
		return 15169, "Google LLC", "US", a == netip.MustParseAddr("8.8.8.8") // in an application: a database
	}
	reg := prometheus.NewRegistry()
	hits := expose.ByClient(expose.ClientOptions{Name: "hits", Lookup: where})
	reg.MustRegister(hits)
	hits.Inc(netip.MustParseAddr("8.8.8.8"))
	hits.Inc(netip.MustParseAddr("10.0.0.1"))

	w := httptest.NewRecorder()
	expose.Handler(reg, expose.Options{}).ServeHTTP(w, httptest.NewRequest("GET", "/stats.txt", nil))
	fmt.Println(w.Body)
	// Output:
	// counters:
	//   hits/client.as.number/15169/client.geo.country.iso_code/US: 1
	//   hits/client.as.number/unknown/client.geo.country.iso_code/unknown: 1
	// gauges:
	// labels:
	// metrics:
}
