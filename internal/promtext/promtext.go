// Package promtext knows how names and values are written for Prometheus: values of labels in the names of our own metrics, and what metrics of applications are called there.
package promtext

import "strings"

// what the format escapes: no more than these three. NUL ends a text for some who read it.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\x00", "\uFFFD")

// Quote is a label's value in quotes. %q is none: it writes what cannot be printed as \u00a0 or \x00, and one such value makes the whole page unreadable.
func Quote(value string) string {
	return `"` + escape.Replace(strings.ToValidUTF8(value, "\uFFFD")) + `"`
}
