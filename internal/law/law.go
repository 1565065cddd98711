// Package law holds the law of imports, as a test.
package law
