package testenv

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
)

// Child is a program under test.
type Child struct {
	t testing.TB
	p *process
}

// Java starts a class of the artifacts with the arguments and waits until ready (asked again and again, under a deadline) returns
// nil. It ends with the test. ok is false where the artifacts cannot be had (a failure with CI=true). A Java source file may be
// run as it is: Main = the path of Hello.java.
func Java(t testing.TB, a Artifacts, main string, args []string, ready func(context.Context) error) (j *Child, ok bool) {
	t.Helper()
	cp, ok := Classpath(t, a)
	if !ok {
		return nil, false
	}
	argv := append([]string{"java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-cp", cp, main}, args...)
	p, err := start(filepath.Join(t.TempDir(), "log"), argv...)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(func() { endWith(t, main, p) })
	if err := poll(main, p, ready); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return &Child{t: t, p: p}, true
}

// Program starts any other program in the same way: its group ends with the test, and ready decides when it is up.
func Program(t testing.TB, argv []string, ready func(context.Context) error) *Child {
	t.Helper()
	p, err := start(filepath.Join(t.TempDir(), "log"), argv...)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(func() { endWith(t, argv[0], p) })
	if err := poll(argv[0], p, ready); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return &Child{t: t, p: p}
}

// Kill ends the program as SIGKILL does, and waits for its end.
func (j *Child) Kill() { j.p.kill() }

// Answers is a ready function: a GET of the URL is answered with 200.
func Answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s", url, resp.Status)
		}
		return nil
	}
}
