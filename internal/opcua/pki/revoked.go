package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"linectl/internal/hint"
)

// Revoked are the revocation lists (RFC 5280, 5) at one place.
type Revoked struct{ lists []list }

type list struct {
	file string
	*x509.RevocationList
}

// ReadRevoked reads a file of revocation lists (DER or PEM), or all of a folder. Certificates that lie beside them
// are taken for those of the issuers: a list of an issuer that is known must bear that one's signature.
func ReadRevoked(path string) (Revoked, error) {
	files := []string{path}
	info, err := os.Stat(path)
	if err != nil {
		return Revoked{}, err
	}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return Revoked{}, err
		}
		files = nil
		for _, e := range entries {
			if !e.IsDir() && e.Name()[0] != '.' {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	var r Revoked
	var issuers []*x509.Certificate
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return Revoked{}, err
		}
		for _, content := range blocks(content) {
			if issuer, err := x509.ParseCertificate(content); err == nil {
				issuers = append(issuers, issuer)
				continue
			}
			l, err := x509.ParseRevocationList(content)
			if err != nil {
				return Revoked{}, fmt.Errorf("%s is no revocation list: %w", file, err)
			}
			r.lists = append(r.lists, list{file, l})
		}
	}
	if len(r.lists) == 0 && !info.IsDir() {
		return Revoked{}, fmt.Errorf("%s holds no revocation list, only its issuer's certificate", path)
	}
	return r, r.signedBy(issuers)
}

// blocks are all that a PEM file holds, or a DER file's content.
func blocks(content []byte) (all [][]byte) {
	for {
		block, rest := pem.Decode(content)
		if block == nil {
			break
		}
		all, content = append(all, block.Bytes), rest
	}
	if len(all) == 0 || len(bytes.TrimSpace(content)) > 0 {
		all = append(all, content) // DER, or what is no PEM and will be refused
	}
	return all
}

// RevokedIn reads the lists in the folder "revoked" beside the certificates; none where there is no such folder.
func RevokedIn(folder string) (Revoked, error) {
	lists, err := ReadRevoked(filepath.Join(folder, "revoked"))
	if errors.Is(err, fs.ErrNotExist) {
		return Revoked{}, nil
	}
	return lists, err
}

// signedBy refuses a list that bears the name of one of the issuers and not its signature.
func (r Revoked) signedBy(issuers []*x509.Certificate) error {
	for _, l := range r.lists {
		for _, issuer := range issuers {
			if bytes.Equal(l.RawIssuer, issuer.RawSubject) {
				if err := issuer.CheckSignature(l.SignatureAlgorithm, l.RawTBSRevocationList, l.Signature); err != nil {
					return fmt.Errorf("%s was not signed by its issuer %s: %w", l.file, issuer.Subject, err)
				}
			}
		}
	}
	return nil
}

// ErrRevoked says that a certificate is on a revocation list.
var ErrRevoked = errors.New("the certificate is revoked")

// Check says whether a list names the certificate.
func (r Revoked) Check(certificate *x509.Certificate) error {
	for _, l := range r.lists {
		if !bytes.Equal(l.RawIssuer, certificate.RawIssuer) {
			continue
		}
		for _, entry := range l.RevokedCertificateEntries {
			if entry.SerialNumber.Cmp(certificate.SerialNumber) == 0 {
				return fmt.Errorf("%w since %s, says %s", ErrRevoked, entry.RevocationTime.Format(time.DateOnly), l.file)
			}
		}
	}
	return nil
}

// Outdated are the files whose issuer should have given out a newer list by now.
func (r Revoked) Outdated(now time.Time) (files []string) {
	for _, l := range r.lists {
		if !l.NextUpdate.IsZero() && now.After(l.NextUpdate) {
			files = append(files, l.file)
		}
	}
	return files
}

const (
	// warnBefore is how long before a certificate of the other side runs out people hear of it.
	warnBefore = 30 * 24 * time.Hour
	// skew is how far the clock of a PLC may be ahead when it makes its certificate.
	skew = 24 * time.Hour
)

// Valid refuses a certificate of the other side that has run out or is revoked. The notices are what will keep it
// out one day. Whose says what it is to people, and trust how another one is made known.
func (r Revoked) Valid(certificate *x509.Certificate, whose, trust string, now time.Time) (notices []string, err error) {
	next := "have the PLC make a new certificate and " + trust
	switch end := certificate.NotAfter.Format(time.DateOnly); {
	case now.After(certificate.NotAfter):
		return nil, hint.New(hint.Failure, fmt.Errorf("%s ran out on %s", whose, end), next+"; or is this machine's clock wrong?")
	case now.Add(skew).Before(certificate.NotBefore):
		return nil, hint.New(hint.Failure, fmt.Errorf("%s is valid only from %s on", whose, certificate.NotBefore.Format(time.DateOnly)), next+"; or is this machine's clock wrong?")
	case certificate.NotAfter.Sub(now) < warnBefore:
		notices = append(notices, fmt.Sprintf("%s runs out on %s: %s, or there is no session any more", whose, end, next))
	}
	if err := r.Check(certificate); err != nil {
		return nil, hint.New(hint.Failure, fmt.Errorf("%s: %w", whose, err), next)
	}
	for _, file := range r.Outdated(now) {
		notices = append(notices, fmt.Sprintf("the revocation list %s is out of date: fetch the issuer's newest", file))
	}
	return notices, nil
}
