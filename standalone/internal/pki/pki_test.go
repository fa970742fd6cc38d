package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// verify returns an error unless a certificate is good for a name and a use.
func verify(t *testing.T, authority *Authority, pair Pair, name string, usage x509.ExtKeyUsage) error {
	t.Helper()
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM)
	_, err = certificate.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

func TestLeavesAreGoodForWhatTheyAreFor(t *testing.T) {
	authority, err := LoadAuthority(t.TempDir(), "ca")
	if err != nil {
		t.Fatal(err)
	}
	server, err := authority.Sign(Leaf{
		CommonName: "server", Names: []string{"localhost"}, Addresses: []netip.Addr{netip.MustParseAddr("fd00::1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := authority.Sign(Leaf{CommonName: "user", Organizations: []string{"group"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		pair  Pair
		host  string
		usage x509.ExtKeyUsage
		good  bool
	}{
		"server by name":    {server, "localhost", x509.ExtKeyUsageServerAuth, true},
		"server by address": {server, "fd00::1", x509.ExtKeyUsageServerAuth, true},
		"another name":      {server, "example.com", x509.ExtKeyUsageServerAuth, false},
		"server as client":  {server, "", x509.ExtKeyUsageClientAuth, false},
		"client":            {client, "", x509.ExtKeyUsageClientAuth, true},
		"client as server":  {client, "", x509.ExtKeyUsageServerAuth, false},
	} {
		if err := verify(t, authority, test.pair, test.host, test.usage); (err == nil) != test.good {
			t.Errorf("%s: %v; want it to be good: %v", name, err, test.good)
		}
	}
}

func TestAuthoritiesAndSigningKeysAreKept(t *testing.T) {
	dir := t.TempDir()
	first, err := LoadAuthority(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadAuthority(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := first.Sign(Leaf{CommonName: "user"})
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(t, again, pair, "", x509.ExtKeyUsageClientAuth); err != nil {
		t.Errorf("a certificate of the authority before it was read again: %v", err)
	}
	var keys [2]string
	for i := range keys {
		if err := LoadSigningKey(dir, "sa"); err != nil {
			t.Fatal(err)
		}
		key, err := os.ReadFile(filepath.Join(dir, "sa.key"))
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = string(key)
	}
	if keys[0] != keys[1] {
		t.Error("the service accounts' key was made anew")
	}
	for _, name := range []string{"ca.key", "sa.key"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want it readable by its owner only", name, info.Mode(), err)
		}
	}
}

func TestABrokenAuthorityIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadAuthority(dir, "ca"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.key"), []byte("scribble"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadAuthority(dir, "ca"); err == nil {
		t.Error("a key that is none was accepted")
	}
}

func TestKubeconfigHoldsEverything(t *testing.T) {
	dir := t.TempDir()
	authority, err := LoadAuthority(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "kubeconfig")
	if err := WriteKubeconfig(file, "https://127.0.0.1:6443", authority, Leaf{CommonName: "user"}); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:6443" || len(config.CAData) == 0 || len(config.CertData) == 0 || len(config.KeyData) == 0 {
		t.Errorf("kubeconfig leads to %s with %d, %d and %d bytes of certificates and key",
			config.Host, len(config.CAData), len(config.CertData), len(config.KeyData))
	}
}
