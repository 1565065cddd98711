package share

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

func FuzzDecodeOrder(f *testing.F) {
	f.Add("one", []byte(`{"id":"one","kind":"freeze","path":"/discovery","by":"kim","why":"deploy","at":"2026-11-01T00:00:00Z","until":"2026-11-02T00:00:00Z"}`))
	f.Add("one", []byte(`{"id":"two"}`))
	f.Add("..", []byte(`{"id":"..","kind":"freeze","path":"/","by":"x"}`))
	f.Add("one", []byte(`{"id":"one","kind":"freeze","path":"/","by":"kim","until":"9999-99-99T00:00:00Z"}`))
	f.Add("one", []byte(`{"id":"one","kind":"burst","path":"/","by":"kim","at":"2026-11-01T00:00:00Z","until":"2026-11-01T00:05:00Z","burst":{"service":"s","env":"e","tags":{"a":"b"},"instances":3,"every_ms":1000}}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		made := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		o, err := decodeOrder(name, data, made)
		if err == nil && (!o.Until.After(o.At) || o.Until.After(made.Add(clocksDiffer+longest(o.Kind)))) {
			t.Errorf("%q is taken: it stands until %s", data, o.Until)
		}
		if err == nil && (o.ID != name || !cleanName(o.ID) || o.Path == "" || o.By == "" || o.Kind == "") {
			t.Errorf("%q is taken: %+v", data, o)
		}
		if err == nil && o.Kind == discovery.BurstOrder && (o.Burst.Service == "" || o.Burst.Every() < discovery.LeastBurst || o.Until.Sub(o.At) > discovery.MaxBurstFor) {
			t.Errorf("%q is taken: %+v", data, o)
		}
	})
}

func FuzzDecodeDivision(f *testing.F) {
	f.Add([]byte(`{"id":"b","group":"default","term":"0x5","from":"zookeeper","as_of":"2026-11-01T00:00:00Z","fresh":true,"members":[{"id":"b","addr":"10.0.0.1:7140","weight":16,"jobs":{"main":"1"},"started":"2026-11-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"id":"b","members":[{"id":"../b","weight":16}]}`))
	f.Add([]byte(`{"id":"b","term":"0xffffffffffffffffff"}`))
	f.Add([]byte(`{"group":"default","fresh":false}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decodeDivision("b", data)
		if err != nil {
			return
		}
		whole := NewDivision("a", map[string]string{"main": "1"}, d.Members, d.Term, FromPeers, time.Time{})
		for i := range 5 {
			whole.Mine("main", key(i))
		}
		whole.Differing()
	})
}
