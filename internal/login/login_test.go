package login

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go/sasl"
)

func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name  string
		s     SASL
		fault string
	}{
		{"none", SASL{}, ""},
		{"PLAIN", SASL{Mechanism: "PLAIN", Username: "u", Password: "p"}, ""},
		{"SCRAM with a file", SASL{Mechanism: "SCRAM-SHA-512", Username: "u", PasswordFile: "f"}, ""},
		{"a user alone", SASL{Username: "u", Password: "p"}, "without a mechanism"},
		{"another mechanism", SASL{Mechanism: "GSSAPI", Username: "u", Password: "p"}, "want PLAIN"},
		{"nobody", SASL{Mechanism: "PLAIN", Password: "p"}, "no username"},
		{"no password", SASL{Mechanism: "PLAIN", Username: "u"}, "one of password"},
		{"two passwords", SASL{Mechanism: "PLAIN", Username: "u", Password: "p", PasswordFile: "f"}, "one of password"},
		{"all of it", SASL{Mechanism: "plain"}, "one of password"},
	} {
		m, err := tc.s.Login()
		if (err == nil) != (tc.fault == "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.fault)
		}
		if err == nil && (m == nil) != (tc.s == SASL{}) || m != nil && m.Name() != tc.s.Mechanism {
			t.Errorf("%s: logs in with %v", tc.name, m)
		}
	}
}

// A password that is another one on disk is used at the next login; one that cannot be read is told, without what it may be.
func TestPasswordFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		m, err := SASL{Mechanism: mechanism, Username: "rollcall", PasswordFile: file}.Login()
		if err != nil {
			t.Fatal(err)
		}
		for _, password := range []string{"first", "second"} {
			if err := os.WriteFile(file, []byte(password+"\r\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, first, err := m.Start(sasl.WithMetadata(t.Context(), &sasl.Metadata{}))
			if err != nil || mechanism == "PLAIN" && string(first) != "\x00rollcall\x00"+password {
				t.Errorf("%s: %q, %v", mechanism, first, err)
			}
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "read password") {
			t.Errorf("%s without its file: %v", mechanism, err)
		}
	}
}
