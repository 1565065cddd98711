package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func checkPattern(p string) error {
	if p == "" {
		return errors.New("an empty file pattern")
	}
	if strings.ContainsRune(p, 0) {
		return fmt.Errorf("file pattern %q holds a NUL", p)
	}
	if _, err := filepath.Match(p, ""); err != nil {
		return fmt.Errorf("file pattern %q: %w", p, err)
	}
	return nil
}

// list is the files that match, sorted. Other than filepath.Glob it tells a folder that cannot be read (or is not there at all, as a disk that is not mounted)
// from one without such files: then the error is not nil and a file that is missing may well exist.
func list(patterns []string) ([]string, error) {
	var out []string
	var errs []error
	for _, p := range patterns {
		fs, err := expand(filepath.Clean(p))
		if err != nil {
			errs = append(errs, fmt.Errorf("list files %q: %w", p, err))
		}
		out = append(out, fs...)
	}
	slices.Sort(out)
	return slices.Compact(out), errors.Join(errs...)
}

// expand lists the files of one pattern.
func expand(pattern string) ([]string, error) {
	dir, base := filepath.Split(pattern)
	dir = filepath.Clean(dir)
	dirs := []string{dir}
	wild := strings.ContainsAny(dir, `*?[\`)
	if wild {
		var err error
		if dirs, err = expandDirs(dir); err != nil {
			return nil, err
		}
	}
	var out []string
	var errs []error
	for _, d := range dirs {
		entries, err := os.ReadDir(d)
		if err != nil {
			if !wild || !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		for _, e := range entries {
			if ok, _ := filepath.Match(base, e.Name()); ok && !passedOver(e.Name()) && isFile(d, e) {
				out = append(out, filepath.Join(d, e.Name()))
			}
		}
	}
	return out, errors.Join(errs...)
}

// expandDirs lists the folders of a pattern of folders.
func expandDirs(pattern string) ([]string, error) {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return []string{pattern}, nil
	}
	up, base := filepath.Split(pattern)
	ups, err := expandDirs(filepath.Clean(up))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, u := range ups {
		entries, err := os.ReadDir(u)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if ok, _ := filepath.Match(base, e.Name()); !ok {
				continue
			}
			if i, err := os.Stat(filepath.Join(u, e.Name())); err == nil && i.IsDir() {
				out = append(out, filepath.Join(u, e.Name()))
			}
		}
	}
	return out, nil
}

// isFile passes over folders, sockets and the like; what a symbolic link leads to counts, and one that leads nowhere now is a file that is missing.
func isFile(dir string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink != 0 {
		i, err := os.Stat(filepath.Join(dir, e.Name()))
		return err == nil && i.Mode().IsRegular()
	}
	return e.Type().IsRegular()
}

// passedOver are the names that editors and writers of files use on the way.
func passedOver(name string) bool {
	if strings.HasPrefix(name, ".") {
		return true
	}
	for _, end := range []string{"~", ".tmp", ".lock", ".swp"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
