package promtext

import "testing"

func TestNames(t *testing.T) {
	for _, tc := range []struct{ in, metric, label string }{
		{"requests", "requests", "requests"}, {"a/b.c-d", "a_b_c_d", "a_b_c_d"}, {"a:b", "a:b", "a_b"}, {"9lives", "_9lives", "_9lives"}, {"", "_", "_"}, {"日本", "__", "__"}, {"_x", "_x", "_x"},
	} {
		if m, l := Name(tc.in, true), Name(tc.in, false); m != tc.metric || l != tc.label {
			t.Errorf("%q: %q, %q", tc.in, m, l)
		}
	}
	for in, want := range map[string]string{"p50": "0.5", "p99": "0.99", "p999": "0.999", "p9999": "0.9999", "p5": "0.05", "p05": "0.05", "p100": "1", "p": "", "pmax": "", "max": "", "p990": "0.99"} {
		if got, _ := Quantile(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
