package zkserve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// load reads the newest whole snapshot and the logs since it. Where none is whole it takes what can be read of the newest one.
// Every damage is named in the log; the file stays beside the others as <name>.damaged.
func (s *store) load(t *tree) (last int64, err error) {
	files, err := s.files()
	if err != nil {
		return 0, err
	}
	from := -1 // index of the snapshot to start with
	var damaged []kept
	for i := len(files) - 1; i >= 0 && from < 0; i-- {
		if !files[i].snap {
			continue
		}
		whole, err := s.whole(files[i])
		if err != nil {
			return 0, err
		}
		if whole {
			from = i
		} else {
			damaged = append(damaged, files[i])
		}
	}
	if from < 0 && len(damaged) > 0 { // none is whole: the newest, as far as it goes
		zxid, _, err := s.read(damaged[0], t)
		if err != nil {
			return 0, err
		}
		last = max(last, zxid)
		for from = range files {
			if files[from] == damaged[0] {
				break
			}
		}
	}
	for i, f := range files {
		last = max(last, f.zxid)
		if i < from || f.snap && i != from || f.snap && len(damaged) > 0 && f == damaged[0] {
			continue
		}
		zxid, hurt, err := s.read(f, t)
		if err != nil {
			return 0, err
		}
		last = max(last, zxid)
		if hurt {
			damaged = append(damaged, f)
		}
	}
	s.hurt = damaged
	return last, nil
}

// whole says whether every record of a snapshot is right and none is missing.
func (s *store) whole(f kept) (bool, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, f.name))
	if err != nil {
		return false, fmt.Errorf("read znodes: %w", err)
	}
	scratch, count := newTree(), int64(0)
	for len(b) > 0 {
		payload, rest, damage := nextRecord(b)
		if damage != nil || payload == nil {
			return false, nil
		}
		_, ended, err := scratch.replay(payload)
		if err != nil {
			return false, nil
		}
		if ended >= 0 {
			return ended == count && len(rest) == 0, nil
		}
		b = rest
		count++
	}
	return false, nil
}

// read applies a file's records to the tree, and names what it had to leave out. hurt is damage that a crash does not make.
func (s *store) read(f kept, t *tree) (last int64, hurt bool, err error) {
	b, err := os.ReadFile(filepath.Join(s.dir, f.name))
	if err != nil {
		return 0, false, fmt.Errorf("read znodes: %w", err)
	}
	total := len(b)
	for len(b) > 0 {
		payload, rest, damage := nextRecord(b)
		if damage == nil {
			var zxid int64
			if zxid, _, damage = t.replay(payload); damage == nil {
				last = max(last, zxid)
			}
		}
		if errors.Is(damage, errTorn) && payload == nil && !f.snap {
			s.slog.Warn("the log of znodes ends in half a record: the change was never answered", "file", f.name, "offset", total-len(b))
		} else if damage != nil {
			hurt = true
			s.slog.Error("znode file is damaged, the rest of it is used", "file", f.name, "offset", total-len(b), "damage", damage)
			if payload != nil { // what follows the damage is right
				if zxid, _, err := t.replay(payload); err == nil {
					last = max(last, zxid)
				}
			}
		}
		b = rest
	}
	return last, hurt, nil
}

// maxDamaged is how many damaged files stay.
const maxDamaged = 8

// setAside keeps damaged files for whoever wants to look, out of the way of the next start.
func (s *store) setAside() error {
	var errs []error
	for _, f := range s.hurt {
		path := filepath.Join(s.dir, f.name)
		if err := os.Rename(path, path+".damaged"); err != nil {
			errs = append(errs, fmt.Errorf("set damaged znode file aside: %w", err))
			continue
		}
		s.slog.Error("damaged znode file was set aside", "file", f.name+".damaged")
	}
	s.hurt = nil
	old, err := filepath.Glob(filepath.Join(s.dir, "*.damaged"))
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, name := range old[:max(0, len(old)-maxDamaged)] {
		errs = append(errs, os.Remove(name))
	}
	return errors.Join(errs...)
}
