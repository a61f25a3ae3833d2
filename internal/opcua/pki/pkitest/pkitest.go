// Package pkitest has what tests of OPC UA servers and clients need: certificates, and a place for them.
package pkitest

import (
	"io"
	"log"
	"os"
	"testing"

	"linectl/internal/opcua/pki"
)

// Main runs a package's tests with a folder that has certificates of the given names, made once: RSA keys take
// time. It returns the exit code.
func Main(m *testing.M, folder *string, names ...string) int {
	log.SetOutput(io.Discard) // the server library reports its own start there
	made, err := os.MkdirTemp("", "linectl-pki-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(made)
	for _, name := range names {
		if _, err := pki.Open(made, name); err != nil {
			panic(err)
		}
	}
	*folder = made
	return m.Run()
}
