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
