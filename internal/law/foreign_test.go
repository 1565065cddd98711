package law

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// foreign is a program of somebody else: it counts with Prometheus' client library, serves /stats.json, counts by client, and reads our records and members.
const foreign = `package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/collector/expose"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

func main() {
	reg := prometheus.NewRegistry()
	hits := expose.ByClient(expose.ClientOptions{Name: "hits", Help: "Hits.", Lookup: func(netip.Addr) (uint32, string, string, bool) { return 15169, "GOOGLE", "US", true }})
	reg.MustRegister(hits)
	hits.Inc(netip.MustParseAddr("8.8.8.8"))
	rec := httptest.NewRecorder()
	expose.Handler(reg, expose.Options{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/stats.json", nil))
	_, host, port, err := serverset.ParseKingPinName(serverset.NewKingPinName("10.0.0.5", 8001))
	fmt.Println(rec.Body.String(), host, port, err, wire.Partition("checkout/prod", 12))
}
`

// TestForeignModule builds and runs another module against ours, as applications do.
func TestForeignModule(t *testing.T) {
	dir := t.TempDir()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	// Our own versions, so that nothing is asked of anybody.
	text := strings.Replace(string(mod), "module "+module, "module example.com/elsewhere", 1) +
		"\nrequire " + module + " v0.0.0\nreplace " + module + " => " + root + "\n"
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"go.mod": []byte(text), "go.sum": sum, "main.go": []byte(foreign)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "run", "-mod=mod", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{`"hits/client.as.number/15169/client.geo.country.iso_code/US":1`, "10.0.0.5 8001 <nil>"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the foreign program says %s, want %s in it", out, want)
		}
	}
}
