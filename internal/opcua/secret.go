package opcua

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// credential begins the name of a secret that systemd hands over (LoadCredential=, LoadCredentialEncrypted=)
// where the name of a file could stand.
const credential = "credential:"

// secret reads a secret from a file, or from a credential of systemd. A file that everybody on this machine
// may read holds no secret.
func secret(place string) (string, error) {
	file := place
	if name, found := strings.CutPrefix(place, credential); found {
		folder := os.Getenv("CREDENTIALS_DIRECTORY")
		if folder == "" {
			return "", fmt.Errorf("%s: systemd handed over no credentials ($CREDENTIALS_DIRECTORY is not set)", place)
		}
		file = filepath.Join(folder, name)
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("%s can be read by everybody on this machine (mode %04o)", file, info.Mode().Perm())
	}
	content, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(content), "\r\n")
	if text == "" {
		return "", fmt.Errorf("%s is empty", file)
	}
	return text, nil
}

// checkSecret says what is wrong with the place of a secret, without looking there.
func checkSecret(place string) error {
	name, found := strings.CutPrefix(place, credential)
	if found && (name == "" || name != filepath.Base(name) || name == "." || name == "..") {
		return errors.New("names no credential; write credential:NAME with the name from systemd's LoadCredential=")
	}
	return nil
}
