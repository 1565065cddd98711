package tag

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/discovery"
)

func TestNetworksParse(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     string // prefixes and tags, or the error
	}{
		{"rows", "cidr,zone,rack\n10.0.0.0/8,a,\n10.1.0.0/16,b,r1\n", "10.0.0.0/8 map[zone:a]; 10.1.0.0/16 map[rack:r1 zone:b]"},
		{"comments, empty lines, spaces, no newline at the end", "# ours\nCIDR , zone\n\n# next\n10.0.0.0/8 , \"a, b\"", "10.0.0.0/8 map[zone:a, b]"},
		{"CRLF", "cidr,zone\r\n10.0.0.0/8,a\r\n", "10.0.0.0/8 map[zone:a]"},
		{"an address alone", "cidr,zone\n10.0.0.1,a\n2001:db8::1,b\n", "10.0.0.1/32 map[zone:a]; 2001:db8::1/128 map[zone:b]"},
		{"a mapped prefix is its IPv4", "cidr,zone\n::ffff:10.0.0.0/104,a\n", "10.0.0.0/8 map[zone:a]"},
		{"fewer cells", "cidr,zone,rack\n10.0.0.0/8\n", "10.0.0.0/8 map[]"},
		{"header alone", "cidr,zone\n", ""},
		{"empty", "", "f.csv:1: no header"},
		{"no header", "10.0.0.0/8,a\n", `f.csv:1: the first column is "10.0.0.0/8"`},
		{"a column without a name", "cidr,zone,\n", "f.csv:1: column 3 has no usable name"},
		{"a column twice", "cidr,zone,zone\n", `two columns are called "zone"`},
		{"no network", "cidr,zone\n10.0.0/8,a\n", `f.csv:2: "10.0.0/8" is no network`},
		{"bits beyond", "cidr,zone\n\n10.1.2.3/8,a\n", "f.csv:3: 10.1.2.3/8 has bits beyond its length; is it 10.0.0.0/8 or 10.1.2.3/32?"},
		{"twice", "cidr,zone\n10.0.0.0/8,a\n10.0.0.0/8,b\n", "f.csv:3: 10.0.0.0/8 stands in line 2 already"},
		{"too many cells", "cidr,zone\n10.0.0.0/8,a,b\n", "f.csv:2: 3 cells under 2 columns"},
		{"quotes", "cidr,zone\n10.0.0.0/8,\"a\n", "f.csv:2: extraneous or missing"},
		{"a long value", "cidr,zone\n10.0.0.0/8," + strings.Repeat("x", 1025) + "\n", "longer than 1024"},
		{"no text", "cidr,zone\n10.0.0.0/8,\xff\n", "no valid text"},
		{"all faults", "cidr,zone\nx,a\ny,b\n", "f.csv:2"},
		{"all faults, the second", "cidr,zone\nx,a\ny,b\n", "f.csv:3"},
		{"not more than ten", "cidr\n" + strings.Repeat("x\n", 50), "perhaps more"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, err := parseNetworks("f.csv", []byte(tc.in))
			var out []string
			for _, r := range rows {
				out = append(out, fmt.Sprint(r.prefix, " ", r.tags))
			}
			got := strings.Join(out, "; ")
			if err != nil {
				got = err.Error()
				if !strings.Contains(got, tc.want) || tc.want == "" {
					t.Fatalf("got %s, want %q", got, tc.want)
				}
				return
			}
			if got != tc.want {
				t.Fatalf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func FuzzParseNetworks(f *testing.F) {
	f.Add([]byte("cidr,zone\n10.0.0.0/8,a\n2001:db8::/32,\"b\"\n"))
	f.Add([]byte("\ufeffcidr\n#x\n1.2.3.4\n"))
	f.Add([]byte("cidr,a\n::ffff:1.2.3.0/120,x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := parseNetworks("f", b)
		if err != nil {
			return
		}
		tab := newTable(1, [][]network{rows})
		for _, r := range rows {
			if r.prefix != r.prefix.Masked() || !r.prefix.IsValid() {
				t.Fatalf("prefix %v", r.prefix)
			}
			got := tab.lookup(r.prefix.Addr())
			longer := false
			for _, o := range rows {
				longer = longer || o.prefix.Bits() > r.prefix.Bits() && o.prefix.Contains(r.prefix.Addr())
			}
			for n, v := range r.tags {
				if !longer && got.Get(n) != strings.ReplaceAll(v, "\x00", "") {
					t.Fatalf("%v: %s = %q, want %q", r.prefix, n, got.Get(n), v)
				}
			}
		}
	})
}

// The longest prefix that has a value for a tag gives it, whatever the order of the rows.
func TestLongestPrefixWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addr := func(label string) netip.Addr {
			if rapid.Bool().Draw(t, label+" v6") {
				return netip.AddrFrom16([16]byte{0x20, byte(rapid.IntRange(0, 1).Draw(t, label)), 15: byte(rapid.IntRange(0, 3).Draw(t, label))})
			}
			return netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 1).Draw(t, label)), 0, byte(rapid.IntRange(0, 3).Draw(t, label))})
		}
		var rows []network
		seen := map[netip.Prefix]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "rows") {
			a := addr("net")
			p, _ := a.Prefix(rapid.SampledFrom([]int{0, 8, 15, 16, 31, a.BitLen() - 1, a.BitLen()}).Draw(t, "bits"))
			if seen[p] {
				continue
			}
			seen[p] = true
			n := network{prefix: p, tags: map[string]string{}}
			for _, tag := range []string{"zone", "rack"} {
				if v := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, tag); v != "" {
					n.tags[tag] = v
				}
			}
			rows = append(rows, n)
		}
		tab := newTable(1, [][]network{rows})
		a := addr("asked")
		want := map[string]string{}
		at := map[string]int{}
		for _, r := range rows {
			for n, v := range r.tags {
				if r.prefix.Contains(a) && r.prefix.Bits()+1 > at[n] {
					want[n], at[n] = v, r.prefix.Bits()+1
				}
			}
		}
		if got := tab.lookup(a); got != discovery.TagsOf(want) {
			t.Fatalf("%v in %v: got %v, want %v", a, rows, got.Map(), want)
		}
	})
}

func TestNetworksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.csv"), filepath.Join(dir, "two.csv")
	stamp := time.Now().Add(-time.Hour)
	put := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		stamp = stamp.Add(time.Second)
		os.Chtimes(file, stamp, stamp)
	}
	put(one, "cidr,zone,rack\n10.0.0.0/24,a,r1\n")
	put(two, "cidr,zone\n10.0.0.0/24,b\n")
	synctest.Test(t, func(t *testing.T) {
		e := mustNew(t, Config{Networks: []string{one, two}})
		if err := e.Load(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { e.Run(ctx) })
		is := func(step, want, trouble string) {
			t.Helper()
			time.Sleep(6 * time.Second) // in the bubble: a look later
			synctest.Wait()
			s := snapshot(t0)
			s.Instance.Host = "10.0.0.9"
			e.Enrich(s)
			if got := fmt.Sprint(s.Tags.Map()); got != want {
				t.Fatalf("%s: %s, want %s", step, got, want)
			}
			if st := e.Status(); !strings.Contains(st.Error, trouble) || (st.Error == "") != (trouble == "") {
				t.Fatalf("%s: %q, want %q", step, st.Error, trouble)
			}
		}
		is("the later file wins tag by tag", "map[rack:r1 zone:b]", "")
		put(two, "cidr,zone\n10.0.0.0/24,c\n")
		is("changed", "map[rack:r1 zone:c]", "")
		put(two, "cidr,zone\n10.0.0/24,d\n")
		is("broken", "map[rack:r1 zone:c]", "two.csv:2")
		os.Remove(one)
		is("gone", "map[rack:r1 zone:c]", "one.csv")
		put(one, "cidr,zone,rack\n10.0.0.0/24,a,r2\n")
		put(two, "cidr,zone\n")
		is("mended", "map[rack:r2 zone:a]", "")
		if err := e.Update(Config{Networks: []string{two}}); err != nil {
			t.Fatal(err)
		}
		is("another list of files", "map[]", "")
		cancel()
		wg.Wait()
	})
	if e := mustNew(t, Config{Networks: []string{filepath.Join(dir, "none")}}); e.Load() == nil {
		t.Fatal("a file that is missing at the start is an error")
	}
}
