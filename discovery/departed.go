package discovery

import "time"

// Cause is why one departed.
type Cause string

// The causes of a departure.
const (
	Deregistered Cause = "deregistered" // its registrar said that it leaves, or stops
	Expired      Cause = "expired"      // its node went together with all that its session held
	Removed      Cause = "removed"      // its node went; nothing tells whether it was deleted or its session ended
	Moved        Cause = "moved"        // the same shard or member is at another endpoint now
	Dead         Cause = "dead"         // it vanished in a mass expiry, and does not answer
	Accepted     Cause = "accepted"     // it vanished in a mass expiry, and an operator accepted that
	Overdue      Cause = "overdue"      // it vanished in a mass expiry that lasted longer than a roster believes in ghosts
	PathRemoved  Cause = "path_removed" // the serverset itself was removed
	Unconfigured Cause = "unconfigured" // no job of ours looks there any more
)

// MissedFor is how long one who departed without an excuse is still expected.
const MissedFor = 15 * time.Minute
