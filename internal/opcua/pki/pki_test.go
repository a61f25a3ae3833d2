package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"linectl/internal/hint"
)

func TestMadeOnce(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "pki")
	// Two processes that start at the same time end up with the same identity.
	got := make([]Identity, 2)
	var both sync.WaitGroup
	for i := range got {
		both.Go(func() {
			var err error
			if got[i], err = Open(folder, "linectl"); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if !bytes.Equal(got[0].Certificate, got[1].Certificate) || !got[0].Key.Equal(got[1].Key) {
		t.Fatal("two identities were made")
	}
	info, err := os.Stat(filepath.Join(folder, "linectl.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
	shown, err := Read(got[0].File)
	if err != nil || !bytes.Equal(shown, got[0].Certificate) {
		t.Errorf("the copy for the PLC: %v", err)
	}
	certificate, err := x509.ParseCertificate(shown)
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	if want := "urn:" + host + ":linectl"; got[0].URI != want || certificate.URIs[0].String() != want {
		t.Errorf("application URI %s, want %s", got[0].URI, want)
	}
	if err := certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature); err != nil {
		t.Errorf("signature: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(folder, ".certificate-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("scratch files are left: %v, %v", left, err)
	}

	// The copy is made again where it is gone; the identity never is.
	if err := os.Remove(got[0].File); err != nil {
		t.Fatal(err)
	}
	again, err := Open(folder, "linectl")
	if err != nil || !bytes.Equal(again.Certificate, got[0].Certificate) {
		t.Errorf("opened again: %v", err)
	}
	if _, err := Read(again.File); err != nil {
		t.Error(err)
	}
}

func TestNeverReplaced(t *testing.T) {
	folder := t.TempDir()
	if _, err := Open(folder, "linectl"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "linectl.pem")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(folder, "other"); err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(filepath.Join(folder, "other.pem"))
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(whole), "-----BEGIN CERTIFICATE")
	foreign := other[strings.Index(string(other), "-----BEGIN CERTIFICATE"):]
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":          {nil, "it does not hold a key and a certificate"},
		"cut short":      {whole[:len(whole)/3], "it does not hold a key and a certificate"},
		"no certificate": {whole[:at], "it does not hold a key and a certificate"},
		"foreign":        {append(bytes.Clone(whole[:at]), foreign...), "the key does not belong to the certificate"},
	} {
		if err := os.WriteFile(file, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(folder, "linectl")
		if want := "own certificate " + file + ": " + c.want; err == nil || err.Error() != want || hint.KindOf(err) != hint.Damage {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
		if kept, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, c.content) {
			t.Errorf("%s: the file was replaced", name)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	folder := t.TempDir()
	if _, err := Open(folder, "linectl"); err != nil {
		t.Fatal(err)
	}
	_, err := Read(filepath.Join(folder, "linectl.pem"))
	if want := filepath.Join(folder, "linectl.pem") + " holds a private key, not a certificate"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func FuzzParseFingerprint(f *testing.F) {
	f.Add(Fingerprint([]byte("x")))
	f.Add("00")
	f.Fuzz(func(t *testing.T, text string) {
		sum, err := ParseFingerprint(text)
		if err != nil {
			return
		}
		digits := strings.NewReplacer(":", "", " ", "").Replace(text)
		if len(digits) != 2*len(sum) {
			t.Errorf("%q was taken for a fingerprint", text)
		}
	})
}

// Certificates as engineering tools of PLCs make them, against the letter of the standard: each can be read, and pinned.
func TestOddCertificates(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, template := range map[string]x509.Certificate{
		"from 1970":              {SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Now()},
		"no use of the key":      {SerialNumber: big.NewInt(1)},
		"an authority's":         {SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign},
		"a web server's":         {SerialNumber: big.NewInt(1), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{"plc"}},
		"neither name nor names": {SerialNumber: big.NewInt(1), Subject: pkix.Name{}},
		"a negative number":      {SerialNumber: big.NewInt(1)},
	} {
		der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if name == "a negative number" {
			at := bytes.Index(der, []byte{0xa0, 3, 2, 1, 2, 2, 1, 1}) // version 3, and the number 1
			if at < 0 {
				t.Fatal("there is no number to spoil")
			}
			der[at+7] = 0xff
		}
		file := filepath.Join(t.TempDir(), "plc.der")
		if err := Keep(file, der); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(file); err != nil || !bytes.Equal(got, der) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
