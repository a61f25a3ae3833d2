package pkitest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Identity puts an identity of the given name and days of life into a folder, as pki would, and returns its
// certificate. All have the same key: making one takes time.
func Identity(t testing.TB, folder, name string, from, until time.Duration) *x509.Certificate {
	t.Helper()
	key := anyKey(t)
	template := x509.Certificate{
		SerialNumber: big.NewInt(int64(len(name)) + int64(until.Abs())),
		Subject:      pkix.Name{CommonName: name},
		SubjectKeyId: []byte(name),
		NotBefore:    time.Now().Add(from),
		NotAfter:     time.Now().Add(until),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:         []*url.URL{{Scheme: "urn", Opaque: "test:" + name}},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	content := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(filepath.Join(folder, name+".pem"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

var anyKey = func() func(testing.TB) *rsa.PrivateKey {
	var once sync.Once
	var key *rsa.PrivateKey
	var err error
	return func(t testing.TB) *rsa.PrivateKey {
		once.Do(func() { key, err = rsa.GenerateKey(rand.Reader, 2048) })
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
}()

// Revoke writes a list of the certificate's own issuer (itself) that names it.
func Revoke(t testing.TB, file string, c *x509.Certificate, next time.Duration, also ...*x509.Certificate) {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-10 * 24 * time.Hour), NextUpdate: time.Now().Add(next)}
	for _, r := range also {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.SerialNumber, RevocationTime: time.Now().Add(-24 * time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, c, anyKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, der, 0o644); err != nil {
		t.Fatal(err)
	}
}
