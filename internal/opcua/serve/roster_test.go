package serve

import (
	"net"
	"testing"
)

// The server may end at the very moment at which somebody has been greeted. The race detector tells whether the library
// waited for the connection.
func TestEndsWhileSomebodyComes(t *testing.T) {
	for range 200 {
		t.Run("", func(t *testing.T) {
			s := start(t, nil)
			conn, err := net.Dial("tcp", s.Address())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write(hello()); err != nil {
				t.Fatal(err)
			}
			if answer, err := readChunk(conn); err != nil || string(answer[:3]) != "ACK" {
				t.Fatalf("%q, %v", answer, err)
			}
		})
	}
}
