package discovery

import "testing"

// Somebody else says how many there should be, of a service too of which nobody ever came.
func TestExpect(t *testing.T) {
	r := NewRoster(RosterOptions{})
	r.Apply(set("s", "/p", member("10.0.0.1:80")), t0)
	r.Expect(map[[2]string]Expected{{"checkout", "prod"}: {3, "file"}, {"ghost", "prod"}: {2, "http"}})
	gs := r.Groups()
	if len(gs) != 2 || gs[0].Expected != 3 || gs[0].ExpectedFrom != "file" || gs[0].Present != 1 || gs[1].Service != "ghost" || gs[1].Expected != 2 || gs[1].ExpectedFrom != "http" {
		t.Errorf("%+v", gs)
	}
}
