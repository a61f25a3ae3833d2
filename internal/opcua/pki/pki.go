// Package pki owns the certificates of an OPC UA link: one's own, made once and never silently
// replaced, the one that follows it, the one that the other side must show, and lists of those that are
// revoked.
package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"linectl/internal/hint"
	"linectl/internal/whole"
)

// Identity is a certificate with its key.
type Identity struct {
	Certificate []byte // DER
	Key         *rsa.PrivateKey
	URI         string // the application URI in the certificate
	File        string // the certificate alone, DER: what the other side imports
	Until       time.Time
}

// Open reads the identity called name from the folder, and makes it where there is none. The key and
// its certificate are one file, name.pem, so that they cannot part; name.der is a copy of the
// certificate for the other side. One that is about to end makes way for the one that Next has prepared.
func Open(folder, name string) (Identity, error) {
	identity, err := open(folder, name, name)
	if err != nil || time.Until(identity.Until) > switchBefore {
		return identity, err
	}
	next := filepath.Join(folder, name+following+".pem")
	if _, err := os.Stat(next); err != nil {
		return identity, nil // the end is told elsewhere; there is nothing better
	}
	if _, err := open(folder, name+following, name); err != nil {
		return Identity{}, err
	}
	if err := os.Rename(next, filepath.Join(folder, name+".pem")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Identity{}, fmt.Errorf("own certificate: %w", err)
	}
	os.Remove(filepath.Join(folder, name+following+".der")) // Open makes name.der anew
	return open(folder, name, name)
}

// following is what stands behind the name of an identity that will take over.
const following = "-next"

const (
	// renewBefore is how long before its end an identity gets its follower: time for people to make it known.
	renewBefore = 60 * 24 * time.Hour
	// switchBefore is how long before the end the follower takes over: clocks of PLCs are wrong.
	switchBefore = 24 * time.Hour
)

// Next is the identity that follows the present one, made where the present one ends within 60 days, with
// a key of its own; nil where there is time yet. The other side has to trust it before the present one ends:
// on its last day Open takes it.
func Next(folder, name string) (*Identity, error) {
	now, err := open(folder, name, name)
	if err != nil || time.Until(now.Until) > renewBefore {
		return nil, err
	}
	next, err := open(folder, name+following, name)
	if err != nil {
		return nil, err
	}
	return &next, nil
}

// open reads or makes the identity in the file of that name, for the application of the given name.
func open(folder, called, name string) (Identity, error) {
	file := filepath.Join(folder, called+".pem")
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		content, err = create(file, name)
	}
	if err != nil {
		return Identity{}, hint.New(hint.Usage, fmt.Errorf("own certificate: %w", err),
			fmt.Sprintf("let the user that runs linectl read and write the folder %s", folder))
	}
	if err := private(file); err != nil {
		return Identity{}, hint.New(hint.Usage, fmt.Errorf("own certificate: %w", err),
			"somebody may have the key: chmod 600 it at least; better move it away, have a new one made with 'linectl plc cert', and trust that one on the PLC")
	}
	identity, err := parse(content)
	if err != nil {
		return Identity{}, hint.New(hint.Damage, fmt.Errorf("own certificate %s: %w", file, err),
			"restore the file from a backup; or move it away, have a new one made with 'linectl plc cert', and trust that one on the PLC")
	}
	identity.File = filepath.Join(folder, called+".der")
	if copied, err := os.ReadFile(identity.File); err == nil && bytes.Equal(copied, identity.Certificate) {
		return identity, nil
	}
	if err := Keep(identity.File, identity.Certificate); err != nil {
		return Identity{}, err
	}
	return identity, nil
}

// private refuses a file that others than its owner may read: a secret that everybody knows is none.
func private(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read by others than its owner (mode %04o)", file, info.Mode().Perm())
	}
	return nil
}

func parse(content []byte) (Identity, error) {
	der, key, err := Pair(content)
	if err != nil {
		return Identity{}, err
	}
	identity := Identity{Certificate: der, Key: key}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return Identity{}, fmt.Errorf("certificate: %w", err)
	}
	if len(certificate.URIs) == 0 {
		return Identity{}, errors.New("the certificate has no application URI")
	}
	identity.URI, identity.Until = certificate.URIs[0].String(), certificate.NotAfter
	return identity, nil
}

// Pair reads a certificate (DER) and its RSA key from PEM text that holds both.
func Pair(content []byte) (certificate []byte, key *rsa.PrivateKey, err error) {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			found, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("key: %w", err)
			}
			var ok bool
			if key, ok = found.(*rsa.PrivateKey); !ok {
				return nil, nil, errors.New("the key is not an RSA key, which OPC UA needs")
			}
		case "CERTIFICATE":
			certificate = block.Bytes
		}
	}
	if key == nil || certificate == nil {
		return nil, nil, errors.New("it does not hold a key and a certificate")
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate: %w", err)
	}
	if public, ok := parsed.PublicKey.(*rsa.PublicKey); !ok || !public.Equal(key.Public()) {
		return nil, nil, errors.New("the key does not belong to the certificate")
	}
	return certificate, key, nil
}

// years is how long an own certificate is valid: longer than the machine, because one that runs out
// stops the line.
const years = 20

// create makes a key and a self-signed certificate as OPC UA asks for them (Part 6, 6.2.2) and keeps
// them in one file that only its owner can read.
func create(file, name string) ([]byte, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name + "@" + host, Organization: []string{"linectl"}},
		NotBefore:             time.Unix(0, 0), // a PLC that has lost its clock begins there, and must let linectl in
		NotAfter:              time.Now().AddDate(years, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{host},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		URIs:                  []*url.URL{{Scheme: "urn", Opaque: host + ":" + name}},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	content := append(
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})...)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return nil, err
	}
	// Two processes may do this at the same time; the second takes what the first has made.
	if err := whole.Create(file, 0o600, whole.Bytes(content)); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(file)
}

// Keep writes a certificate (DER) to a file, whole or not at all.
func Keep(file string, certificate []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return whole.Write(file, 0o644, whole.Bytes(certificate))
}

// Read reads a certificate from a DER or PEM file.
func Read(file string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(content); block != nil {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s holds a %s, not a certificate", file, strings.ToLower(block.Type))
		}
		content = block.Bytes
	}
	if _, err := x509.ParseCertificate(content); err != nil {
		return nil, fmt.Errorf("%s is no certificate: %w", file, err)
	}
	return content, nil
}

// Fingerprint is the SHA-256 of a certificate (DER) as people compare it: pairs of hex digits.
func Fingerprint(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	return pairs(sum[:])
}

// Thumbprint is the SHA-1 of a certificate, which OPC UA calls by that name (Part 6, 6.2.2) and PLCs show. It
// finds a certificate in a list; only the SHA-256 proves which one it is.
func Thumbprint(certificate []byte) string {
	sum := sha1.Sum(certificate)
	return pairs(sum[:])
}

func pairs(sum []byte) string {
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(pairs, ":")
}

// ParseFingerprint reads a SHA-256 fingerprint, with or without colons, in any case.
func ParseFingerprint(text string) (sum [sha256.Size]byte, err error) {
	digits := strings.NewReplacer(":", "", " ", "").Replace(text)
	decoded, err := hex.DecodeString(digits)
	if err != nil || len(decoded) != len(sum) {
		return sum, fmt.Errorf("%q is no SHA-256 fingerprint; write its 64 hex digits, with or without colons", text)
	}
	return [sha256.Size]byte(decoded), nil
}
