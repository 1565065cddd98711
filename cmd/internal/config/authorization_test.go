package config

import (
	"strings"
	"testing"
)

func TestAuthorization(t *testing.T) {
	for _, tc := range []struct{ auth, want string }{
		{"credentials: x", ""},
		{"type: Token, credentials: x", ""},
		{"type: AWS4-HMAC-SHA256, credentials_file: f", ""},
		{"type: basic, credentials: x", `authorization.type: "basic": for a user and a password use basic_auth`},
		{"type: 'two words', credentials: x", `authorization.type: "two words" is no single word`},
		{`type: "a\r\nb", credentials: x`, "is no single word"},
		{"type: Token", "no credentials; give credentials or credentials_file"},
		{"credentials: hunter2, credentials_file: f", "keep one"},
	} {
		for _, text := range []string{"scrape_configs: [{job_name: a, static_configs: [{targets: ['h:1']}], authorization: {" + tc.auth + "}}]", "exports: [{to: avro, url: 'http://r', authorization: {" + tc.auth + "}}]"} {
			_, err := Parse([]byte(text), env)
			if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("%s: %v, want %q", text, err, tc.want)
			}
		}
	}
}

func TestUserFromAFile(t *testing.T) {
	_, err := Parse([]byte("scrape_configs: [{job_name: a, static_configs: [{targets: ['h:1']}], basic_auth: {username_file: f}}]"), env)
	if err == nil || !strings.Contains(err.Error(), "write the user in username") {
		t.Error(err)
	}
}
