// Package serverset reads and writes the members of serversets, as the systems in the field lay them out in ZooKeeper: KingPin, Finagle and
// Aurora, Nerve, and Curator's discovery.
//
// It owns the formats (a member's name and data → discovery.Member, and back), the metadata that rollcall's agent writes, the path patterns that
// say which service and environment a path stands for, and the recogniser of known layouts. It opens no connection and reads no file.
package serverset

// Format is a way to lay a member out.
type Format string

// The formats of members in ZooKeeper.
const (
	KingPin Format = "kingpin" // endpoint in the name: <uuid>-<host:port>; our Metadata, or anything, as data
	Finagle Format = "finagle" // member_%010d with JSON: Finagle, Aurora, twitter.commons
	Nerve   Format = "nerve"   // SmartStack: JSON in the data, or in base64 in the name
	Curator Format = "curator" // Curator's x-discovery: Spring Cloud
)

// Limits on what is read from outside. A member beyond them is unparsable, with the reason; it hurts nobody else.
const (
	MaxName     = 2 << 10  // bytes of a member's name; Nerve's base64 names are the long ones
	MaxData     = 64 << 10 // bytes of a member's data
	MaxVector   = 1 << 20  // bytes of the weights beside Finagle's members, as much as a server takes
	MaxTags     = 64       // tags of a member; what is beyond, in the order of names, is left out
	MaxTagName  = 128      // bytes of a tag's name
	MaxTagValue = 1 << 10  // bytes of a tag's value
)
