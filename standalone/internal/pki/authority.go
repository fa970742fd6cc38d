// Package pki makes the certificates and keys of a standalone cluster and writes them where its components read them.
//
// An authority and the service account key are made once and kept with the cluster's data, so that what pods and users
// hold stays valid from one start to the next. The certificates of components are made anew at every start: they are
// cheap, and the set of nodes may have changed.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Lifetimes of certificates. A standalone cluster has no rotation: a start renews those of the components.
const (
	authorityLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime      = 365 * 24 * time.Hour
)

// Authority signs certificates.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// PEM is the authority's certificate.
	PEM []byte
}

// Leaf describes a certificate to be signed.
type Leaf struct {
	// CommonName is the user name that a client certificate stands for.
	CommonName string
	// Organizations are the groups that a client certificate stands for.
	Organizations []string
	// Names and Addresses are what a server certificate is valid for; with none, it is a client's.
	Names     []string
	Addresses []netip.Addr
}

// Pair is a certificate and its key, in PEM.
type Pair struct {
	Certificate, Key []byte
}

// LoadAuthority returns the authority kept in dir as NAME.crt and NAME.key, and makes it if there is none.
func LoadAuthority(dir, name string) (*Authority, error) {
	certificateFile, keyFile := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	authority, err := readAuthority(certificateFile, keyFile)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return authority, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of authority %s: %w", name, err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(authorityLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign authority %s: %w", name, err)
	}
	pair, err := encode(der, key)
	if err != nil {
		return nil, err
	}
	if err := pair.Write(dir, name); err != nil {
		return nil, err
	}
	return readAuthority(certificateFile, keyFile)
}

// readAuthority reads an authority's two files.
func readAuthority(certificateFile, keyFile string) (*Authority, error) {
	certificatePEM, err := os.ReadFile(certificateFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	certificateBlock, _ := pem.Decode(certificatePEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certificateBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("read authority %s: not PEM; remove the data directory's pki to have it made anew", certificateFile)
	}
	certificate, err := x509.ParseCertificate(certificateBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse authority %s: %w", certificateFile, err)
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse key %s: %w", keyFile, err)
	}
	return &Authority{certificate: certificate, key: key, PEM: certificatePEM}, nil
}

// Sign makes a key and a certificate for it.
func (a *Authority) Sign(leaf Leaf) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make the key of %s: %w", leaf.CommonName, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return Pair{}, fmt.Errorf("choose a serial number: %w", err)
	}
	usage := x509.ExtKeyUsageClientAuth
	if len(leaf.Names)+len(leaf.Addresses) > 0 {
		usage = x509.ExtKeyUsageServerAuth
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(leafLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{usage},
		DNSNames:     leaf.Names,
	}
	for _, address := range leaf.Addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(address.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign the certificate of %s: %w", leaf.CommonName, err)
	}
	return encode(der, key)
}

// Write stores the pair in dir as NAME.crt and NAME.key, the latter readable by its owner only.
func (p Pair) Write(dir, name string) error {
	if err := os.WriteFile(filepath.Join(dir, name+".key"), p.Key, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".crt"), p.Certificate, 0o644)
}

// LoadSigningKey makes the key that service account tokens are signed with, as NAME.key in dir, if there is none, and
// its public half, as NAME.pub, for their verification.
func LoadSigningKey(dir, name string) error {
	keyFile := filepath.Join(dir, name+".key")
	if _, err := os.Stat(keyFile); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the key of service accounts: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode the public key of service accounts: %w", err)
	}
	private, err := encodeKey(key)
	if err != nil {
		return err
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	if err := os.WriteFile(filepath.Join(dir, name+".pub"), publicPEM, 0o644); err != nil {
		return err
	}
	return os.WriteFile(keyFile, private, 0o600)
}

// encode returns a certificate and its key in PEM.
func encode(der []byte, key *ecdsa.PrivateKey) (Pair, error) {
	private, err := encodeKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), Key: private}, nil
}

// encodeKey returns a key in PEM.
func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
