package sinktest

import "unsafe"

// unsafeString is a view of b, as samples are views of a body.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
