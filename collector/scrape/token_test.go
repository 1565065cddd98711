package scrape

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// A target that is given up while it fetches the token takes nothing from the others: the next one fetches it, at once.
func TestTokenGivenUp(t *testing.T) {
	asked, n := make(chan struct{}, 1), 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if n++; n == 1 {
			asked <- struct{}{}
			<-r.Context().Done()
			return
		}
		io.WriteString(w, `{"access_token":"abc"}`)
	}))
	defer srv.Close()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	k := newTokens(&OAuth2{ClientID: "rollcall", Secret: "x", TokenURL: u})
	defer k.close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if h, err := k.authorization(ctx, &secrets{}); err == nil {
		t.Errorf("who was given up got %q", h)
	}
	if h, err := k.authorization(t.Context(), &secrets{}); err != nil || h != "Bearer abc" {
		t.Errorf("the next one got %q and %v", h, err)
	}
}

func TestLifetime(t *testing.T) {
	for _, tc := range []struct {
		said string
		want float64 // -1: refused
	}{
		{``, 0}, {`null`, 0}, {`""`, 0}, {`0`, 0}, {`3600`, 3600}, {`"3600"`, 3600}, {`3599.5`, 3599.5}, {`3.6e3`, 3600},
		{`"3600abc"`, -1}, {`"3600 7"`, -1}, {`"an hour"`, -1}, {`-1`, -1}, {`1e9`, -1}, {`"NaN"`, -1}, {`"Inf"`, -1}, {`{}`, -1}, {`true`, -1},
	} {
		if got, err := lifetime([]byte(tc.said)); (err != nil) != (tc.want < 0) || err == nil && got != tc.want {
			t.Errorf("%s: %v, %v; want %v", tc.said, got, err, tc.want)
		}
	}
}
