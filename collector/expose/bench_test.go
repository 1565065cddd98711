package expose

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// fleet is what an application of some size has: 200 counters and gauges, 20 histograms.
func fleet() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total"}, []string{"code", "handler"})
	pools := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pool_size"}, []string{"pool"})
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "latency_seconds", Buckets: prometheus.DefBuckets}, []string{"handler"})
	for i := range 100 {
		requests.WithLabelValues("200", fmt.Sprintf("h%d", i)).Add(float64(i * 1000))
		pools.WithLabelValues(fmt.Sprintf("p%d", i)).Set(float64(i) / 3)
	}
	for i := range 20 {
		for j := range 50 {
			latency.WithLabelValues(fmt.Sprintf("h%d", i)).Observe(float64(j) / 20)
		}
	}
	reg.MustRegister(requests, pools, latency)
	return reg
}

func BenchmarkHandler(b *testing.B) {
	h := Handler(fleet(), Options{})
	for _, path := range []string{"/stats.json", "/stats.txt", "/stats.csv", "/metrics"} {
		b.Run(path[1:], func(b *testing.B) {
			r := httptest.NewRequest("GET", path, nil)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			b.SetBytes(int64(w.Body.Len()))
			b.ReportAllocs()
			for b.Loop() {
				w.Body.Reset()
				h.ServeHTTP(w, r)
			}
		})
	}
}

func BenchmarkByClient(b *testing.B) {
	c := ByClient(ClientOptions{Name: "hits", Lookup: func(a netip.Addr) (uint32, string, string, bool) { return uint32(a.As4()[3]), "", "US", true }})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var i byte
		for pb.Next() {
			i++
			c.Inc(netip.AddrFrom4([4]byte{10, 0, 0, i}))
		}
	})
}
