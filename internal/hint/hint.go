// Package hint lets an error carry the two things that a person and a script need beside its text:
// what to do next, and which kind of failure it is (the exit code).
package hint

import "errors"

// Kind sorts failures as the program's exit codes do.
type Kind int

// The kinds of failure; their values are the exit codes.
const (
	Failure  Kind = 1 // it was tried and failed
	Usage    Kind = 2 // the config or the command line is wrong
	NoMatch  Kind = 3 // nothing matched the question
	Damage   Kind = 4 // data on disk is not what it was
	Canceled Kind = 130
)

type hinted struct {
	err  error
	kind Kind
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// New wraps err with its kind and with what to do next. A nil err stays nil.
func New(kind Kind, err error, next string) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, kind: kind, hint: next}
}

// Of returns what to do next, from the outermost error that says so; "" where none does.
func Of(err error) string {
	for ; err != nil; err = errors.Unwrap(err) {
		if h, ok := err.(*hinted); ok && h.hint != "" {
			return h.hint
		}
	}
	return ""
}

// KindOf returns the kind of the outermost error that has one, and Failure where none has.
func KindOf(err error) Kind {
	var h *hinted
	if errors.As(err, &h) {
		return h.kind
	}
	return Failure
}
