package kafka

import (
	"time"
)

// Records walks over the records of a batch as the spool keeps it, for those who look into it. What they are given is theirs until the next.
func Records(batch []byte, each func(key string, t time.Time, value []byte)) error {
	z, err := newZip()
	if err != nil {
		return err
	}
	defer z.close()
	return unpack(batch, z.unzip, func(r record) { each(string(r.key), time.UnixMilli(r.ts), r.value) })
}
