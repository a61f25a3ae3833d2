package vision

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"linectl/internal/setting"
)

// Config is the [vision] section. It takes the place of [plc]: a line has one master.
type Config struct {
	// Listen is the address at which linectl's own OPC UA server listens, HOST:PORT. Empty: there is none,
	// and linectl is the client of the PLC that [plc] names.
	Listen string `toml:"listen"`
	// Clients are the files (DER or PEM) with the certificates of the clients that are let in. Nobody
	// else is, and nobody is without encryption.
	Clients []string `toml:"clients"`
}

// Default is no server.
func Default() Config { return Config{Clients: []string{}} }

// Serves tells whether the PLC calls linectl.
func (c Config) Serves() bool { return c.Listen != "" }

// Check reports every mistake in the section. It opens no file.
func (c Config) Check() []setting.Problem {
	var problems []setting.Problem
	say := func(key, format string, args ...any) {
		problems = append(problems, setting.Problemf(key, format, args...))
	}
	if !c.Serves() {
		if len(c.Clients) > 0 {
			say("listen", "is missing, but clients are named; write HOST:PORT, as in 0.0.0.0:4840")
		}
		return problems
	}
	if _, _, err := address(c.Listen); err != nil {
		say("listen", "%v", err)
	}
	if len(c.Clients) == 0 {
		say("clients", "is empty, so nobody could call; name the file of the PLC's certificate")
	}
	for i, file := range c.Clients {
		if strings.TrimSpace(file) == "" {
			say("clients", "file %d has no name", i+1)
		}
	}
	return problems
}

func address(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || host == "" || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q is no address; write HOST:PORT, as in 0.0.0.0:4840", listen)
	}
	return host, port, nil
}
