package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Stages that kill nothing: such a mutant does not count, and another is drawn for it.
const (
	broken = "does not compile"
	late   = "took too long"
)

// record is what became of one mutant.
type record struct {
	Kind    string  `json:"kind"`
	Seed    uint64  `json:"seed"`
	N       int     `json:"n"`      // place in the draw of the kind
	Folder  string  `json:"folder"` // type that the field is of, where a plan is changed
	Place   string  `json:"place"`
	What    string  `json:"what"`
	Stage   string  `json:"stage"` // the stage that killed it; empty: it survived
	Why     string  `json:"why,omitempty"`
	Equal   string  `json:"equivalent,omitempty"` // the argument, for a survivor that has one
	Diff    string  `json:"diff,omitempty"`       // for a survivor
	Seconds float64 `json:"seconds"`
}

// counts reports whether the mutant is one of the table's.
func (r record) counts() bool { return r.Stage != broken && r.Stage != late }

// journal is a file of records, a line each. What stands there is not run again.
type journal struct {
	file *os.File
	had  map[string]record
}

func key(kind string, seed uint64, n int) string { return fmt.Sprintf("%s %d %d", kind, seed, n) }

// openJournal opens the file of the name, or makes it. A last line that was not written
// whole is forgotten.
func openJournal(name string) (*journal, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	j := &journal{f, map[string]record{}}
	end := int64(0)
	for in := bufio.NewReader(f); ; {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		var r record
		if err == nil {
			err = json.Unmarshal(line, &r)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: byte %d: %w", name, end, err), f.Close())
		}
		end += int64(len(line))
		j.had[key(r.Kind, r.Seed, r.N)] = r
	}
	if err := errors.Join(f.Truncate(end), seek(f, end)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

func seek(f *os.File, end int64) error {
	_, err := f.Seek(end, io.SeekStart)
	return err
}

func (j *journal) write(r record) error {
	text, err := json.Marshal(r)
	if err == nil {
		_, err = j.file.Write(append(text, '\n'))
	}
	return err
}
