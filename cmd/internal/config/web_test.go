package config

import (
	"strings"
	"testing"
)

func TestWeb(t *testing.T) {
	for _, tc := range []struct{ web, want string }{
		{"{}", ""},
		{"{operators: [ann, 'bob@example.org']}", ""},
		{"{auth_header: {name: X-Forwarded-User, from: [127.0.0.1, 10.0.0.0/8, '::1']}, anonymous: true}", ""},
		{"{operators: ['']}", "operators[0]"},
		{"{operators: [' ann']}", "operators[0]"},
		{"{anonymous: true}", "there is no auth_header"},
		{"{auth_header: {name: X-Forwarded-User}}", "anybody can send a header"},
		{"{auth_header: {from: [127.0.0.1]}}", "auth_header.name"},
		{"{auth_header: {name: 'X User', from: [127.0.0.1]}}", "auth_header.name"},
		{"{auth_header: {name: authorization, from: [127.0.0.1]}}", "no header in which a proxy names people"},
		{"{auth_header: {name: X-User, from: [proxy.example]}}", "neither an address nor a network"},
		{"{users: [ann]}", "users"},
	} {
		c, err := Parse([]byte("web: "+tc.web), env)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.web, err, tc.want)
			continue
		}
		if err == nil && c.Web.AuthHeader != nil {
			if p := c.Web.Policy(); p.Header != "X-Forwarded-User" || len(p.From) != 3 || !p.Anonymous {
				t.Errorf("%+v", p)
			}
		}
	}
}
