package trust

import (
	"context"
	"net/http"
	"slices"
)

// Role is what somebody may do.
type Role string

// The roles: a viewer looks, an operator also gives orders, acknowledges, silences, tells of events.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
)

// How somebody has signed in.
const (
	ByPassword    = "password"
	ByCertificate = "certificate"
	ByProxy       = "proxy"
)

// Person is who sends a request. The zero value is somebody who has not signed in.
type Person struct {
	Name string // as what signed them in has it
	By   string // ByPassword, ByCertificate or ByProxy; "": not signed in
	Role Role   // of who has signed in
}

// Policy says who people are and what they may, beside the listener's passwords and certificates. The zero value: whoever signs in is an operator.
type Policy struct {
	Header    string    // that names the person, of requests from one of From; "": none does
	From      Addresses // of the proxies
	Operators []string  // names; none: everybody who has signed in
	Anonymous bool      // where a header says who people are, those who come without one may look, from anywhere
}

func (p *Policy) role(name string) Role {
	if len(p.Operators) == 0 || slices.Contains(p.Operators, name) {
		return Operator
	}
	return Viewer
}

// visit is what a Gate found out of a request.
type visit struct {
	Person
	signIn bool // people can sign in: who has not is a viewer
}

type visitKey struct{}

func visitOf(r *http.Request) visit {
	v, _ := r.Context().Value(visitKey{}).(visit)
	return v
}

func (v visit) put(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
}

// Me is who somebody is to themselves, and to the page: which of its buttons would be refused, and why.
type Me struct {
	Name     string `json:"name"` // "" where nobody has signed in
	Role     Role   `json:"role"`
	SignedIn bool   `json:"signed_in"`
	By       string `json:"by"`  // password, certificate, proxy, or ""
	Why      string `json:"why"` // why a viewer is no operator, in a sentence
}

// MeOf says who sends a request. It is an operator whose orders would be taken, also where nobody has signed in.
func MeOf(r *http.Request) Me {
	v := visitOf(r)
	m := Me{Name: v.Name, Role: Operator, SignedIn: v.By != "", By: v.By, Why: Distrust(r, "orders")}
	if m.Why != "" {
		m.Role = Viewer
	}
	return m
}

// Who is the person who has signed in, whatever a request says of itself; else what it says.
func Who(r *http.Request, says string) string {
	if v := visitOf(r); v.By != "" {
		return v.Name
	}
	return says
}
