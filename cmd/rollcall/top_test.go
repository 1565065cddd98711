package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// topNow is an event of three services, one of them in trouble.
const topNow = `{"full":true,"as_of":1764000000000,"strip":{"expected":36,"present":36,"answering":35,"age_ms":800,"feed":{"state":"live","since":1764000000000,"error":""},"exceptions":[{"level":"warn","text":"Discovery is 2 min old: no ZooKeeper server answers; scraping goes on"}]},
"findings":[{"id":"f1","level":"bad","service":"checkout","env":"prod","title":"checkout is failing","text":"checkout is failing: errors 0.2 % → 3.1 %, only 1.42.0 in us-east-1c","ended":null,"since":1763999940000,"only":"","news":"","metric":"errors"}],
"services":[{"service":"search","env":"prod","owner":"find","expected":12,"present":12,"answering":12,"age_ms":700,"trouble":0,"rate":900,"errors":0,"error_ratio":0,"latency":{"name":"p99","lo":9,"hi":11,"est":10}},
{"service":"checkout","env":"prod","owner":"payments","expected":12,"present":12,"answering":11,"age_ms":700,"trouble":2,"why":["errors 0.2 % → 3.1 %"],"rate":18400.2,"errors":570.1,"error_ratio":0.031,"latency":{"name":"p99","lo":203,"hi":221,"est":212},"spark":{"t0":1763999100000,"step":10000,"rate":[1,2,null,4,8]}},
{"service":"basket","env":"staging","owner":"","expected":12,"present":12,"answering":12,"age_ms":700,"trouble":1,"why":["latency p99 20 → 80 ms"],"rate":null,"errors":null,"error_ratio":null,"latency":null}]}`

const topCheckout = `{"as_of":1764000000000,"row":null,"instances":[
{"instance":"10.0.0.5:8001","host":"ip-10-0-0-5","state":"present","reason":"","since":1763996400000,"outcome":"ok","age_ms":800,"took_ms":2,"version":"1.41.3","zone":"us-east-1a","rate":61.2,"error_ratio":0.002,"latency":212},
{"instance":"10.0.0.6:8001","host":"ip-10-0-0-6","state":"present","reason":"","since":1763996400000,"outcome":"timeout","outcome_reason":"no answer within 5s","age_ms":9000,"took_ms":5000,"version":"1.42.0","zone":"us-east-1c","rate":null,"error_ratio":null,"latency":null},
{"instance":"10.0.0.7:8001","host":"ip-10-0-0-7","state":"departed","reason":"its session expired","since":1763999940000,"outcome":"","age_ms":null,"took_ms":null,"version":"1.42.0","zone":"us-east-1c","rate":null,"error_ratio":null,"latency":null}]}`

func topOf(t testing.TB, text string, width, height int) *topModel {
	t.Helper()
	m := &topModel{width: width, height: height, ask: func(service, env string) (*topDetail, error) {
		var d topDetail
		return &d, json.Unmarshal([]byte(topCheckout), &d)
	}}
	var e topEvent
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	m.Update(topHeard{&e, time.UnixMilli(1764000000000)})
	return m
}

// press gives keys, and what they ask for.
func press(m *topModel, keys ...string) {
	special := map[string]tea.Key{"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "down": {Code: tea.KeyDown}, "backspace": {Code: tea.KeyBackspace}}
	for _, k := range keys {
		key, ok := special[k]
		if !ok {
			key = tea.Key{Code: []rune(k)[0], Text: k}
		}
		if _, cmd := m.Update(tea.KeyPressMsg(key)); cmd != nil {
			if msg := cmd(); msg != nil {
				m.Update(msg)
			}
		}
	}
}

// holds reports whether the screen has the texts, in this order.
func shows(t *testing.T, m *topModel, texts ...string) {
	t.Helper()
	screen := ansi.Strip(m.screen())
	rest := screen
	for _, x := range texts {
		_, after, ok := strings.Cut(rest, x)
		if !ok {
			t.Fatalf("the screen does not show %q where it should:\n%s", x, screen)
		}
		rest = after
	}
}

func TestTopServices(t *testing.T) {
	m := topOf(t, topNow, 80, 24)
	shows(t, m, "35 of 36 answering, 1 silent · 0.8 s old · feed live", "WARN Discovery is 2 min old", "BAD  checkout is failing: errors 0.2 % → 3.1 %", "SERVICE", ">", "checkout/prod", "BAD", "18.4k", "3.10 %", "p99 212 ms", "11 of 12", "█",
		"basket/staging", "WARN", "-", "search/prod", "calm", "900", "3 services", "? help")
	press(m, "j")
	shows(t, m, "  checkout/prod", "> basket/staging")
	press(m, "G")
	shows(t, m, "> search/prod")
	// It stays with the row when others overtake it.
	var e topEvent
	if err := json.Unmarshal([]byte(`{"as_of":1764000001000,"strip":{"expected":36,"answering":36,"age_ms":900,"feed":{"state":"live"}},"services":[{"service":"search","env":"prod","trouble":2,"expected":12,"answering":2,"rate":1,"error_ratio":0.5}],"gone":["basket/staging"]}`), &e); err != nil {
		t.Fatal(err)
	}
	m.Update(topHeard{&e, time.UnixMilli(1764000001000)})
	shows(t, m, "all 36 answering", "everything delivered", "checkout is failing", "> search/prod", "2 of 12", "2 services")
	if strings.Contains(m.screen(), "basket") {
		t.Error("what is gone is shown")
	}
}

func TestTopCalm(t *testing.T) {
	calm := `{"full":true,"as_of":1764000000000,"strip":{"expected":2,"answering":2,"age_ms":800,"feed":{"state":"live"}},"findings":[%s],"services":[]}`
	shows(t, topOf(t, fmt.Sprintf(calm, ""), 80, 24), "all 2 answering · 0.8 s old · feed live · everything delivered", "nothing is wrong\n", "no service is known")
	shows(t, topOf(t, fmt.Sprintf(calm, `{"id":"f","ended":1763978400000}`), 80, 24), "nothing is wrong; the last finding was over 6 h ago")
}

func TestTopFilter(t *testing.T) {
	m := topOf(t, topNow, 80, 24)
	press(m, "/", "P", "a", "y", "x", "backspace")
	shows(t, m, "no finding about “Pay” is open", "> checkout/prod", "/Pay  1 of 3 services   Enter keeps it")
	press(m, "enter", "j")
	shows(t, m, "> checkout/prod")
	press(m, "esc")
	shows(t, m, "search/prod", "3 services")
	press(m, "/", "q", "q")
	shows(t, m, "no service holds that")
	press(m, "esc")
	shows(t, m, "3 services")
}

func TestTopInstances(t *testing.T) {
	m := topOf(t, topNow, 80, 24)
	press(m, "enter")
	shows(t, m, "checkout/prod  BAD · 11 of 12 answering · 18.4k/s · errors 3.10 % · p99 212 ms", "errors 0.2 % → 3.1 %", "INSTANCE", "> 10.0.0.7:8001", "departed", "-", "1.42.0", "10.0.0.6:8001", "timeout", "9.0 s", "us-east-1c", "10.0.0.5:8001", "ok", "0.8 s", "1.41.3",
		"10.0.0.7:8001 on ip-10-0-0-7: departed for", "3 instances", "Esc back")
	press(m, "j")
	shows(t, m, "10.0.0.6:8001 on ip-10-0-0-6: present for")
	m.Update(tea.WindowSizeMsg{Width: 140, Height: 24})
	shows(t, m, "REASON", "its session expired", "no answer within 5s")
	press(m, "/", "1", ".", "4", "1", "enter")
	shows(t, m, "> 10.0.0.5:8001", "1 of 3 instances")
	press(m, "esc", "esc")
	shows(t, m, "> checkout/prod")

	m.ask = func(string, string) (*topDetail, error) { return nil, errors.New("the replica that owns it is away") }
	press(m, "enter")
	shows(t, m, "CANNOT BE READ: the replica that owns it is away", "Esc back")
}

func TestTopLost(t *testing.T) {
	m := &topModel{width: 80, height: 24}
	shows(t, m, "connecting …")
	m.Update(topLost{errors.New("connection refused")})
	shows(t, m, "CONNECTION LOST: connection refused; trying again")
	m = topOf(t, topNow, 80, 24)
	m.Update(topLost{errors.New("no word for 10s")})
	m.Update(topTick(time.UnixMilli(1764000042000)))
	shows(t, m, "CONNECTION LOST: what is shown is 42 s old; trying again (no word for 10s)", "42 s old", "checkout/prod")
	var e topEvent
	m.Update(topHeard{&e, time.UnixMilli(1764000043000)})
	if strings.Contains(m.screen(), "LOST") {
		t.Error("it is still lost")
	}
}

func TestTopHelp(t *testing.T) {
	m := topOf(t, topNow, 80, 24)
	press(m, "?")
	shows(t, m, "j k, arrows")
	press(m, "x")
	shows(t, m, "checkout/prod")
	for _, k := range []tea.Key{{Code: 'q', Text: "q"}, {Code: 'c', Mod: tea.ModCtrl}} {
		_, cmd := m.Update(tea.KeyPressMsg(k))
		if cmd == nil {
			t.Fatalf("%s does nothing", k)
		}
		if _, ok := cmd().(tea.QuitMsg); !ok {
			t.Errorf("%s does not quit", k)
		}
	}
}

// No line is wider than the terminal, nothing is higher, and where there is no colour no word is lost.
func TestTopFits(t *testing.T) {
	names := []string{"\x1b[31mred\x07", "\u202eevil", strings.Repeat("x", 10_000), "größe → 3", "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字", "a\nb\tc", "👩‍👩‍👧‍👦"}
	for _, name := range names {
		quoted, _ := json.Marshal(name)
		text := strings.NewReplacer(`"checkout"`, string(quoted), `"errors 0.2 % → 3.1 %"`, string(quoted), `"payments"`, string(quoted)).Replace(topNow)
		for _, size := range [][2]int{{80, 24}, {200, 60}, {40, 10}, {20, 5}, {3, 2}, {1, 1}} {
			for _, colour := range []bool{false, true} {
				m := topOf(t, text, size[0], size[1])
				m.colour = colour
				for _, keys := range [][]string{nil, {"enter"}, {"?"}} {
					press(m, keys...)
					lines := strings.Split(m.screen(), "\n")
					if len(lines) > size[1] {
						t.Errorf("%.20q %v: %d lines", name, size, len(lines))
					}
					for _, l := range lines {
						if !colour && strings.ContainsRune(l, '\x1b') {
							t.Fatalf("%.20q: a colour, or somebody's: %q", name, l)
						}
						if w := ansi.StringWidth(l); w > size[0] || strings.IndexFunc(ansi.Strip(l), func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) >= 0 {
							t.Errorf("%.20q %v: %d wide: %.200q", name, size, w, l)
						}
					}
				}
				plain := *m
				plain.colour = false
				if ansi.Strip(m.screen()) != plain.screen() {
					t.Errorf("%.20q %v: colour says more than words", name, size)
				}
			}
		}
	}
}

func TestTopColumnsMany(t *testing.T) {
	m := topOf(t, topNow, 80, 10)
	var e topEvent
	if err := json.Unmarshal([]byte(topNow), &e); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		r := *e.Services[0]
		r.Service = fmt.Sprintf("s%03d", i)
		e.Services = append(e.Services, &r)
	}
	m.Update(topHeard{&e, time.UnixMilli(1764000000000)})
	press(m, "G")
	shows(t, m, "> search/prod", "103 services")
	press(m, "k", "k")
	shows(t, m, "> s098/prod")
}

func FuzzTopStream(f *testing.F) {
	f.Add([]byte("retry: 1000\n\nevent: now\ndata: " + strings.ReplaceAll(topNow, "\n", "") + "\n\n"))
	f.Add([]byte("data: {\"services\":[null],\"gone\":[\"a\"]}\ndata: {\"findings\":null,\"strip\":{\"age_ms\":1e308}}\n"))
	f.Add([]byte("data: {\"services\":[{\"trouble\":9,\"rate\":-1e300,\"spark\":{\"rate\":[1e308,1e308]}}]}\n"))
	f.Add([]byte("data: {\"services\":[{\"trouble\":-9,\"spark\":{\"rate\":[]}},{}]}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &topModel{width: 80, height: 24}
		readTop(strings.NewReader(string(b)), func() {}, func(e *topEvent) {
			m.Update(topHeard{e, time.UnixMilli(1764000000000)})
			for _, l := range strings.Split(m.screen(), "\n") {
				if ansi.StringWidth(l) > 80 || strings.ContainsRune(l, '\x1b') {
					t.Errorf("%q", l)
				}
			}
		})
	})
}

func BenchmarkTopScreen(b *testing.B) {
	m := topOf(b, topNow, 160, 50)
	for i := range 2000 {
		r := *m.rows["search/prod"]
		r.Service = fmt.Sprintf("s%04d", i)
		m.rows[r.Group()] = &r
	}
	b.ReportAllocs()
	for b.Loop() {
		if m.screen() == "" {
			b.Fatal(os.ErrInvalid)
		}
	}
}
