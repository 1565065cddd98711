package jsonscan

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func verdict(doc string, o Options) error {
	var s Scanner
	s.Reset([]byte(doc), o)
	s.Skip()
	return s.End()
}

func TestVerdict(t *testing.T) {
	wild := Options{Nonfinite: true}
	for _, tc := range []struct {
		doc  string
		o    Options
		want string // part of the error; empty: none
	}{
		{`{}`, Options{}, ""},
		{` [ ] `, Options{}, ""},
		{"\t{\"a\" : [1, -0.5e+10 ,true,false,null,\"\\u00e9\"] }\r\n", Options{}, ""},
		{`"` + strings.Repeat("x", 7) + `"`, Options{}, ""},
		{`"` + strings.Repeat("é", 20) + `"`, Options{}, ""},
		{``, Options{}, "ends early at byte 0: want a value"},
		{`  `, Options{}, "ends early at byte 2: want a value"},
		{`{`, Options{}, "ends early at byte 1: want ',' or '}'"},
		{`{"a":1`, Options{}, "ends early at byte 6: want ',' or '}'"},
		{`{"a":1,}`, Options{}, `byte 7 is "}": want a key in quotes`},
		{`{,"a":1}`, Options{}, `byte 1 is ",": want a key in quotes or '}'`},
		{`{"a" 1}`, Options{}, `byte 5 is "1": want ':'`},
		{`{"a":}`, Options{}, `byte 5 is "}": want a value`},
		{`[1,]`, Options{}, `byte 3 is "]": want a value`},
		{`[1 2]`, Options{}, `byte 3 is "2": want ',' or ']'`},
		{`{} x`, Options{}, `byte 3 is "x": want the end of the document`},
		{`01`, Options{}, `byte 1 is "1": want the end`},
		{`-`, Options{}, `ends early at byte 1: want a digit`},
		{`1.`, Options{}, `want a digit after the point`},
		{`1e+`, Options{}, `want a digit of the exponent`},
		{`+1`, Options{}, `byte 0 is "+": want a value`},
		{`nul`, Options{}, `ends early at byte 3: want null`},
		{`tRue`, Options{}, `byte 1 is "R": want true`},
		{`"abc`, Options{}, `ends early at byte 4: want the end of the string`},
		{`"ab\x"`, Options{}, `byte 4 is "x": want one of`},
		{`"\u12g4"`, Options{}, `byte 5 is "g": want a hexadecimal digit`},
		{"\"a\nb\"", Options{}, `byte 2 is "\n": want a character`},
		{"[\xff]", Options{}, `byte 1 is 0xff: want a value`},
		{`NaN`, Options{}, `byte 0 is "N": want a value`},
		{`-Infinity`, Options{}, `byte 1 is "I": want a digit`},
		{`[NaN,Infinity,-Infinity,-1]`, wild, ""},
		{`[NaNs]`, wild, `byte 4 is "s": want ',' or ']'`},
		{`-Infinite`, wild, `byte 8 is "e": want -Infinity`},
		{strings.Repeat("[", 64) + strings.Repeat("]", 64), Options{}, ""},
		{strings.Repeat("[", 65) + strings.Repeat("]", 65), Options{}, "nested too deep at byte 64"},
		{strings.Repeat(`{"":`, 3) + "1" + strings.Repeat("}", 3), Options{MaxDepth: 2}, "nested too deep at byte 8"},
		{strings.Repeat("[", 1024) + strings.Repeat("]", 1024), Options{MaxDepth: 5000}, ""},
		{strings.Repeat("[", 100_000), Options{MaxDepth: 5000}, "nested too deep at byte 1024"},
	} {
		err := verdict(tc.doc, tc.o)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%.40q: %v, want %q", tc.doc, err, tc.want)
		}
	}
	var e *SyntaxError
	if err := verdict(`[[1]]`, Options{MaxDepth: 1}); !errors.As(err, &e) || !e.TooDeep || e.Offset != 1 {
		t.Errorf("too deep: %#v", err)
	}
}

func TestWalk(t *testing.T) {
	var s Scanner
	s.Reset([]byte(`{"n":12345678901234567890, "s":"a\u00e9\n\ud83d\ude00\ud800x","b":true,"v": {"x":[1,{"y":2}]} ,"a":[1,2],"f":false,"z":null}`), Options{})
	var got []string
	s.Object()
	for k, ok := s.Key(); ok; k, ok = s.Key() {
		switch k.View() {
		case "n":
			got = append(got, string(s.Number()))
		case "s":
			b, mended := s.String().Append(nil)
			if !mended {
				t.Error("half a surrogate pair was not mended")
			}
			got = append(got, string(b))
		case "b", "f":
			if s.Bool() {
				got = append(got, "yes")
			} else {
				got = append(got, "no")
			}
		case "v":
			got = append(got, string(s.Value()))
		case "a":
			for s.Array(); s.More(); {
				got = append(got, string(s.Number()))
			}
		default:
			if s.Depth() != 1 || s.Peek() != Null || !s.Skip() {
				t.Error("null at depth 1 expected")
			}
		}
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	want := "12345678901234567890|aé\n😀\ufffdx|yes|{\"x\":[1,{\"y\":2}]}|1|2|no"
	if strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", strings.Join(got, "|"), want)
	}
}

// A caller that asks for the wrong thing, and goes on asking after a fault, gets the first fault and no panic.
func TestWrongQuestions(t *testing.T) {
	for _, tc := range []struct {
		ask  func(*Scanner)
		want string
	}{
		{func(s *Scanner) { s.Number() }, `byte 0 is "{": want a number`},
		{func(s *Scanner) { s.String() }, `byte 0 is "{": want a string`},
		{func(s *Scanner) { s.Bool() }, `byte 0 is "{": want true or false`},
		{func(s *Scanner) { s.Array() }, `byte 0 is "{": want an array`},
		{func(s *Scanner) { s.Object(); s.Key(); s.Object() }, `byte 5 is "1": want an object`},
		{func(s *Scanner) { s.Object(); s.Key(); s.Key() }, `byte 5 is "1": want ',' or '}'`},
		{func(s *Scanner) { s.Object() }, `byte 1 is "\"": want the end of the document`},
		{func(s *Scanner) { s.Object(); s.Key(); s.Number(); s.Key() }, ``},
	} {
		var s Scanner
		s.Reset([]byte(`{"a":1}`), Options{})
		tc.ask(&s)
		err := s.End()
		if err == nil && tc.want != "" || err != nil && (tc.want == "" || err.Error() != tc.want) {
			t.Errorf("%v, want %q", err, tc.want)
		}
		if err == nil {
			continue
		}
		_, key := s.Key()
		if key || s.More() || s.Object() || s.Array() || s.Skip() || s.Bool() || s.Number() != nil || s.Value() != nil || s.Peek() != None {
			t.Error("something after a fault")
		}
		if s.Err().Error() != tc.want {
			t.Errorf("the first fault was lost: %v", s.Err())
		}
	}
}

func TestRewind(t *testing.T) {
	var s Scanner
	s.Reset([]byte(`{"a":{"b":[1,2]},"c":3}`), Options{})
	s.Object()
	s.Key()
	m := s.Mark()
	s.Object()
	s.Key()
	s.Array()
	s.Rewind(m)
	if got := string(s.Value()); got != `{"b":[1,2]}` {
		t.Errorf("after going back: %q, %v", got, s.Err())
	}
	if k, ok := s.Key(); !ok || !k.Is("c") {
		t.Errorf("after the value: %q", k.Raw)
	}
	s.Bool()
	s.Rewind(m)
	if s.Skip() || s.End() == nil {
		t.Error("a fault was forgotten")
	}
}

func TestText(t *testing.T) {
	for _, tc := range []struct {
		doc, want string
		plain     bool
		mended    bool
	}{
		{`"plain text of some length"`, "plain text of some length", true, false},
		{`"é"`, "é", true, false},
		{`"a\/b\"\\\b\f\n\r\t"`, "a/b\"\\\b\f\n\r\t", false, false},
		{`"\u0041\u00E9\u20ac"`, "Aé€", false, false},
		{`"\ud800"`, "\ufffd", false, true},
		{`"\ud800\u0041"`, "\ufffdA", false, true},
		{`"\udc00\ud800"`, "\ufffd\ufffd", false, true},
		{`"\ufffd"`, "\ufffd", false, false},
		{"\"a\xffb\xc3\"", "a\ufffdb\ufffd", false, true},
		{"\"\ufffd\"", "\ufffd", true, false},
	} {
		var s Scanner
		s.Reset([]byte(tc.doc), Options{})
		x := s.String()
		got, mended := x.Append(nil)
		if s.End() != nil || string(got) != tc.want || mended != tc.mended || x.Plain() != tc.plain || !x.Is(tc.want) || x.Is(tc.want+"x") {
			t.Errorf("%q: %q mended %v plain %v, %v", tc.doc, got, mended, x.Plain(), s.Err())
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, tc := range []struct {
		text   string
		i      int64
		whole  bool
		f      float64
		finite bool
	}{
		{"0", 0, true, 0, true},
		{"-12", -12, true, -12, true},
		{"123456789012345", 123456789012345, true, 123456789012345, true},
		{"9007199254740993", 9007199254740993, true, 9007199254740992, true},
		{"9223372036854775807", 1<<63 - 1, true, 9223372036854775807, true},
		{"9223372036854775808", 0, false, 9223372036854775808, true},
		{"-9223372036854775808", -1 << 63, true, -9223372036854775808, true},
		{"1.5", 0, false, 1.5, true},
		{"1E3", 0, false, 1000, true},
		{"1e999", 0, false, 0, false},
	} {
		n, whole := Int64([]byte(tc.text))
		f, finite := Float64([]byte(tc.text))
		if whole != tc.whole || whole && n != tc.i || finite != tc.finite || finite && f != tc.f || !IsNumber(tc.text) {
			t.Errorf("%s: %d %v, %v %v, %v", tc.text, n, whole, f, finite, IsNumber(tc.text))
		}
	}
	for _, text := range []string{"", "+1", ".5", "1.", "0x10", "NaN", "1 ", "--1", "-"} {
		if IsNumber(text) {
			t.Errorf("%q is a number", text)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	doc := body(200)
	var s Scanner
	n := testing.AllocsPerRun(100, func() {
		s.Reset(doc, Options{})
		walkAll(&s)
		if s.End() != nil {
			t.Fatal(s.Err())
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a document", n)
	}
}

// Plain says of every text, at every length and place, what looking at each of its bytes says.
func TestPlain(t *testing.T) {
	for n := range 40 {
		for at := range max(1, n) {
			for c := range 256 {
				b := []byte(strings.Repeat("x", n))
				want := true
				if n > 0 {
					b[at] = byte(c)
					want = c >= ' ' && c < 0x80 && c != '"' && c != '\\'
				}
				if got := Plain(string(b)); got != want {
					t.Fatalf("%q: %v", b, got)
				}
			}
		}
	}
}

// An entry is taken at once where it stands as most do, and else left for Key.
func TestEntry(t *testing.T) {
	const rest = `,"and what follows is long enough":0}`
	for _, tc := range []struct {
		text, key, number string
	}{
		{`"a":1`, "a", "1"},
		{`"http/requests":12345678`, "http/requests", "12345678"},
		{`"eight888":-123456789`, "eight888", "-123456789"},
		{`"a":0`, "a", "0"},
		{`"a":-0.50`, "a", "-0.50"},
		{`"a":1234567890123456789012345.1234567890`, "a", "1234567890123456789012345.1234567890"},
		{`"":1`, "", ""},
		{`"a\"b":1`, "", ""},
		{`"é":1`, "", ""},
		{"\"a\tb\":1", "", ""},
		{`"a" :1`, "", ""},
		{`"a": 1`, "", ""},
		{`"a":1 `, "", ""},
		{`"a":01`, "", ""},
		{`"a":-`, "", ""},
		{`"a":1.`, "", ""},
		{`"a":.5`, "", ""},
		{`"a":1e3`, "", ""},
		{`"a":"1"`, "", ""},
		{`"a":NaN`, "", ""},
		{`"a":{}`, "", ""},
		{` "a":1`, "", ""},
	} {
		for _, before := range []string{"", `"x":1,`} {
			doc := `{` + before + tc.text + rest
			var s Scanner
			s.Reset([]byte(doc), Options{})
			s.Object()
			if before != "" {
				s.Key()
				s.Number()
			}
			was := s.Offset()
			key, number, ok := s.Entry()
			if string(key) != tc.key || string(number) != tc.number || ok != (tc.key != "") {
				t.Errorf("%s: %q %q %v", doc, key, number, ok)
			}
			if !ok && s.Offset() != was {
				t.Errorf("%s: at %d, was at %d", doc, s.Offset(), was)
			}
			if ok {
				if k, more := s.Key(); !more || !k.Is("and what follows is long enough") {
					t.Errorf("%s: then %q", doc, k.Raw)
				}
			}
		}
	}
	// At every length of key and number, and at every distance from the end, an entry is what Key and Number read.
	for n := range 30 {
		for m := range 30 {
			doc := []byte(fmt.Sprintf(`{"%s":%s}%s`, strings.Repeat("k", n), "1"+strings.Repeat("2", m), strings.Repeat(" ", n%9)))
			var a, b Scanner
			a.Reset(doc, Options{})
			b.Reset(doc, Options{})
			a.Object()
			b.Object()
			key, number, ok := a.Entry()
			k, _ := b.Key()
			if d := b.Number(); ok && (string(key) != string(k.Raw) || string(number) != string(d) || a.Offset() != b.Offset()) {
				t.Errorf("%s: %q %q", doc, key, number)
			}
		}
	}
}
