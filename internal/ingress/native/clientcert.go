package native

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

var (
	errUnknownName = errors.New("no host has this name")
	errNotAsked    = errors.New("the host does not ask for certificates")
	errDepth       = errors.New("the chain of certificates is longer than auth-tls-verify-depth")
	errRevoked     = errors.New("the certificate was revoked")
)

// verify returns why the certificates of a client are not good; nil: they are.
func verify(c *route.ClientTLS, chain []*x509.Certificate) error {
	if c == nil {
		return errNotAsked
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.CA) {
		return x509.UnknownAuthorityError{Cert: chain[0]}
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	paths, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	for _, path := range paths {
		// OpenSSL's depth counts what is between the client's certificate and the root, and the root.
		if len(path)-1 > max(c.Depth, 1) {
			err = errDepth
			continue
		}
		return revoked(c.CRL, path)
	}
	return err
}

// revoked looks for the certificates of a path in lists of revocations, in PEM. A list that cannot be read closes the door.
func revoked(lists []byte, path []*x509.Certificate) error {
	for {
		var block *pem.Block
		if block, lists = pem.Decode(lists); block == nil {
			return nil
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return fmt.Errorf("read a list of revocations: %w", err)
		}
		for i, cert := range path[:len(path)-1] {
			if !bytes.Equal(cert.RawIssuer, list.RawIssuer) {
				continue
			}
			if err := list.CheckSignatureFrom(path[i+1]); err != nil {
				return fmt.Errorf("a list of revocations: %w", err)
			}
			for _, entry := range list.RevokedCertificateEntries {
				if entry.SerialNumber.Cmp(cert.SerialNumber) == 0 {
					return errRevoked
				}
			}
		}
	}
}
