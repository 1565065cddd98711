package collector

// StageSeconds is the histogram of how long each stage of a scrape took, with the stage as its only label: rollcall_scrape_stage_seconds{stage="parsed"}. A stage begins
// where the one before it ends, and whoever owns it measures it. It is never kept for each target.
const StageSeconds = "rollcall_scrape_stage_seconds"

// The stages of a scrape, by what has been reached when each ends. One that fails reaches no more of them, but is enriched, encoded and handed over like any other.
const (
	StageStarted   = "started"     // since its slot began: it had a worker
	StageConnected = "connected"   // there was a connection, kept from before or new
	StageFirstByte = "first_byte"  // since the request was written: the header of the answer began
	StageBody      = "body"        // the body was there, whole and decoded
	StageParsed    = "parsed"      // its samples were known
	StageEnriched  = "enriched"    // tags and rules were applied
	StageEncoded   = "encoded"     // the record was written
	StageHanded    = "handed_over" // it stood in the batch that goes to the topic
)

// StageBounds are the upper bounds of the histogram's buckets, in seconds.
func StageBounds() []float64 {
	return []float64{.00001, .00003, .0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10}
}
