package apiserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// token is that of the only user; the API server can be reached from the namespaces of its LAN only.
const token = "bench"

func (c Config) tokens() string { return filepath.Join(c.Dir, "tokens.csv") }
func (c Config) key() string    { return filepath.Join(c.Dir, "service-account.key") }

// writeCredentials makes the API server's signing key and the one user, and the kubeconfig that names both to a client.
func writeCredentials(c Config, kubeconfig string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a service account key: %w", err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the service account key: %w", err)
	}
	return errors.Join(
		os.WriteFile(c.key(), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}), 0o600),
		os.WriteFile(c.tokens(), []byte(token+`,admin,admin,"system:masters"`+"\n"), 0o600),
		os.WriteFile(kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: bench
  cluster: {server: "https://%s", insecure-skip-tls-verify: true}
users:
- name: admin
  user: {token: %s}
contexts:
- name: bench
  context: {cluster: bench, user: admin}
current-context: bench
`, netip.AddrPortFrom(c.Address.Addr(), 6443), token), 0o600),
	)
}
