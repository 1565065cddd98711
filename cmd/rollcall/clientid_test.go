package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// Whoever of us talks to the brokers has the name that the configuration gives.
func TestClientID(t *testing.T) {
	for name, args := range map[string][]string{
		"collect": {"collect", "--storage.path=DIR", "--web.listen-address=127.0.0.1:0"},
		"serve":   {"serve", "--web.listen-address=127.0.0.1:0"},
		"export":  {"export", "--to=ndjson", "--path=-", "--web.listen-address=127.0.0.1:0"},
		"tap":     {"tap"},
		"audit":   {"audit"},
		"plan":    {"plan"},
		"why":     {"why", "9f3c2a7be01d44c1/12/7/345"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, ids := testenv.ClientID(t)
			dir := t.TempDir()
			file := filepath.Join(dir, "rollcall.yml")
			if err := os.WriteFile(file, []byte(fmt.Sprintf("kafka: {brokers: [%q], client_id: payments, rack: us-east-1c}\n", addr)), 0o600); err != nil {
				t.Fatal(err)
			}
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "DIR", filepath.Join(dir, "data"))
			}
			ctx, end := context.WithCancel(t.Context())
			defer end()
			done := make(chan struct{})
			var out, bad bytes.Buffer
			go func() {
				defer close(done)
				run(ctx, append(args, "--config.file="+file), strings.NewReader(""), &out, &bad)
			}()
			select {
			case id := <-ids:
				if id != "payments" {
					t.Errorf("it calls itself %q", id)
				}
			case <-done:
				t.Errorf("it asked nobody: %s%s", &out, &bad)
			}
			end()
			<-done
		})
	}
}
