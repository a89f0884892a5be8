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

// journal is a file of records, a line each, behind a line that says what sources they
// are of. What stands there is not run again.
type journal struct {
	file    *os.File
	had     map[string]record
	sources *sources
}

// journalHead is the first line of a journal.
type journalHead struct {
	Sources string `json:"sources"` // hash of the sources that all records are of
}

func key(kind string, seed uint64, n int) string { return fmt.Sprintf("%s %d %d", kind, seed, n) }

// errOtherSources is that results are of sources which are others now: what some tests
// noticed and what others did says nothing together.
var errOtherSources = errors.New("results are of other sources; take another file of results")

// openJournal opens the file of the name, or makes it. A last line that was not written
// whole is forgotten; records of other sources are refused.
func openJournal(name string, of *sources) (*journal, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	j := &journal{f, map[string]record{}, of}
	end, err := j.read()
	if err == nil {
		err = errors.Join(f.Truncate(end), seek(f, end))
	}
	if err == nil && end == 0 {
		err = j.line(journalHead{of.hash})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return j, nil
}

// read reads the lines that are whole, and returns where they end.
func (j *journal) read() (end int64, err error) {
	for in := bufio.NewReader(j.file); ; {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		var r record
		switch {
		case err != nil:
		case end == 0:
			var head journalHead
			if err = json.Unmarshal(line, &head); err == nil && head.Sources != j.sources.hash {
				return 0, errOtherSources
			}
		default:
			err = json.Unmarshal(line, &r)
			j.had[key(r.Kind, r.Seed, r.N)] = r
		}
		if err != nil {
			return 0, fmt.Errorf("byte %d: %w", end, err)
		}
		end += int64(len(line))
	}
}

func seek(f *os.File, end int64) error {
	_, err := f.Seek(end, io.SeekStart)
	return err
}

// write adds a record, unless sources have changed since the journal was opened.
func (j *journal) write(r record) error {
	if err := j.sources.unchanged(); err != nil {
		return err
	}
	return j.line(r)
}

func (j *journal) line(v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = j.file.Write(append(text, '\n'))
	}
	return err
}
