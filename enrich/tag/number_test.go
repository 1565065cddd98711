package tag

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"testing"
)

func TestParseNumber(t *testing.T) {
	for _, tc := range []struct {
		in    string
		want  float64
		float bool
		ok    bool
	}{
		{"0", 0, false, true}, {"12345", 12345, false, true}, {"9999999999999999999", 9999999999999999999, false, true},
		{"18446744073709551615", 18446744073709551615, false, true}, {"18446744073709551616", 18446744073709551616, true, true},
		{"1.0E8", 1e8, false, true}, {"1.5e+09", 15e8, false, true}, {"1.5", 1.5, true, true}, {"-5", -5, true, true}, {"+1", 1, false, true}, {".5", .5, true, true}, {"007", 7, false, true},
		{"", 0, false, false}, {"x", 0, false, false}, {"NaN", 0, false, false}, {"Infinity", 0, false, false}, {"-Inf", 0, false, false}, {"1e999", 0, false, false}, {"1 ", 0, false, false},
	} {
		n, ok := parseNumber(tc.in)
		if ok != tc.ok || n.float != tc.float && ok || ok && n.value() != tc.want {
			t.Errorf("%q: %v %v %v, want %v %v %v", tc.in, n.value(), n.float, ok, tc.want, tc.float, tc.ok)
		}
	}
}

func num(s string) number {
	n, ok := parseNumber(s)
	if !ok {
		panic(s)
	}
	return n
}

func TestSum(t *testing.T) {
	for _, tc := range []struct {
		name string
		of   [][2]string // before (empty: a new series), now
		want string
	}{
		{"nothing", nil, "0"},
		{"increase", [][2]string{{"5", "7"}}, "2"},
		{"fell: counts its new value", [][2]string{{"5", "3"}}, "3"},
		{"new: counts whole", [][2]string{{"", "9"}}, "9"},
		{"beyond 2^53, digit for digit", [][2]string{{"9007199254740993", "18014398509481987"}, {"", "1"}}, "9007199254740995"},
		{"beyond 2^64", [][2]string{{"", "18446744073709551615"}, {"", "18446744073709551615"}}, "36893488147419103230"},
		{"fractions", [][2]string{{"1.5", "4"}, {"", "2"}}, "4.5"},
		{"an integer in exponent form", [][2]string{{"1.0E8", "1.00000002E8"}}, "2"},
		{"integer to fraction", [][2]string{{"1", "1.5"}}, "0.5"},
		{"huge", [][2]string{{"", "1e300"}}, "1e+300"},
	} {
		var s sum
		for _, p := range tc.of {
			if p[0] == "" {
				s.all(num(p[1]))
			} else {
				s.add(num(p[0]), num(p[1]))
			}
		}
		b, ok := s.append(nil)
		if !ok || string(b) != tc.want || !json.Valid(b) {
			t.Errorf("%s: got %s %v, want %s", tc.name, b, ok, tc.want)
		}
	}
	var s sum
	s.all(num("1e308"))
	s.all(num("1e308"))
	if b, ok := s.append(nil); ok {
		t.Errorf("a sum beyond every number came out as %s", b)
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "18446744073709551615", "18446744073709551616", "1.5", "-0", "1e308", "0x10", "1_0", "NaN"} {
		f.Add(s, "3")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, ok := parseNumber(a)
		want, err := strconv.ParseFloat(a, 64)
		if finite := err == nil && !math.IsInf(want, 0) && !math.IsNaN(want); ok != finite {
			t.Fatalf("%q: ok %v, ParseFloat %v %v", a, ok, want, err)
		}
		if !ok {
			return
		}
		if x.value() != want {
			t.Fatalf("%q: %v, want %v", a, x.value(), want)
		}
		y, ok := parseNumber(b)
		if !ok {
			return
		}
		var s sum
		s.add(x, y)
		s.all(y)
		out, ok := s.append(nil)
		if !ok {
			return
		}
		if !json.Valid(out) {
			t.Fatalf("%s is no JSON number", out)
		}
		if x.float || y.float {
			return
		}
		inc := new(big.Int).SetUint64(y.bits)
		if y.bits >= x.bits {
			inc.Sub(inc, new(big.Int).SetUint64(x.bits))
		}
		if inc.Add(inc, new(big.Int).SetUint64(y.bits)); inc.String() != string(out) {
			t.Fatalf("%q then %q: %s, want %s", a, b, out, inc)
		}
	})
}
