package dashboards

import "testing"

// Who says something, and what, is what people see.
func TestWho(t *testing.T) {
	for _, tc := range []struct {
		name string
		ok   bool
	}{
		{"dana", true}, {"Дана", true}, {"José (on call)", true}, {"🙂", true}, {"", false}, {"  ", false}, {"\u00a0", false}, {"da\u200bna", false}, {"\u202eanad", false}, {"\ufeffdana", false},
		{"\u3164", false}, {"\u2800\u2800", false}, {"\ufe0f", false}, {"a\u200db", false}, {"a\nb", false}, {"\xff", false},
	} {
		if err := who("who", tc.name); (err == nil) != tc.ok {
			t.Errorf("%q: %v", tc.name, err)
		}
	}
	for _, tc := range []struct {
		text string
		ok   bool
	}{{"", true}, {"rolled back, see #12", true}, {"👨\u200d👩\u200d👧", true}, {"می\u200cخواهم", true}, {"a\u202eb", false}, {"a\u2066b", false}, {"\u200b", false}, {"a\ufeffb", false}} {
		if err := seen("text", tc.text, MaxWords); (err == nil) != tc.ok {
			t.Errorf("%q: %v", tc.text, err)
		}
	}
}
