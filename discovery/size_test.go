package discovery

import (
	"testing"
	"unsafe"
)

// A member is held for each instance of the fleet: 256 bytes is the last size before the allocator's next class, of 288.
func TestMemberSize(t *testing.T) {
	if n := unsafe.Sizeof(Member{}); n > 256 {
		t.Errorf("a Member takes %d bytes", n)
	}
}
