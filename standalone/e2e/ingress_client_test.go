package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// The entry's ports on every node, of examples/ingress/entry.yaml.
const (
	entryHTTP  = 30080
	entryHTTPS = 30443
)

// visitor is a client outside of the cluster, whose requests for any host go to a node's port.
type visitor struct {
	from  *lab.Namespace
	node  netip.Addr
	roots *x509.CertPool
}

func newVisitor(t *testing.T, c *testCluster, roots *x509.CertPool) visitor {
	t.Helper()
	spec, err := cluster.Load(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	path, err := cluster.NamespacePath(spec, "client")
	if err != nil {
		t.Fatal(err)
	}
	from, err := lab.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = from.Close() })
	return visitor{from: from, node: netip.MustParseAddr("172.30.0.11"), roots: roots}
}

// dial connects to the node, whatever the address is: of port 443 to the entry's port for TLS.
func (v visitor) dial(ctx context.Context, network, address string) (net.Conn, error) {
	port := uint16(entryHTTP)
	if strings.HasSuffix(address, ":443") {
		port = entryHTTPS
	}
	return v.from.Dial(ctx, network, netip.AddrPortFrom(v.node, port))
}

// client returns an HTTP client that follows no redirects.
func (v visitor) client(t *testing.T) *http.Client {
	transport := &http.Transport{DialContext: v.dial, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: v.roots}, MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what of a response the tests look at.
type answer struct {
	status      int
	body, proto string
	location    string
}

func ask(client *http.Client, url string) (answer, error) {
	response, err := client.Get(url)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, strings.TrimSpace(string(body)), response.Proto, response.Header.Get("Location")}, err
}

// answeredWith returns an error unless a URL is answered with this status, by a pod whose name begins like that.
func answeredWith(client *http.Client, url string, status int, pod string) error {
	got, err := ask(client, url)
	if err != nil {
		return err
	}
	if got.status != status || !strings.HasPrefix(got.body, pod) {
		return fmt.Errorf("%s is answered %d %q, want %d by a pod %s…", url, got.status, got.body, status, pod)
	}
	return nil
}

// load is requests that go on beside a test.
type load struct {
	stop    context.CancelFunc
	workers sync.WaitGroup
	mu      sync.Mutex
	made    int              // guarded by mu
	pods    map[string]int   // guarded by mu
	failed  map[string]error // guarded by mu; by text
}

// startLoad asks a URL over and over by some connections that are kept alive.
func startLoad(ctx context.Context, client *http.Client, url string, connections int) *load {
	ctx, stop := context.WithCancel(ctx)
	l := &load{stop: stop, pods: map[string]int{}, failed: map[string]error{}}
	for range connections {
		l.workers.Go(func() {
			for ctx.Err() == nil {
				got, err := ask(client, url)
				if err == nil && got.status != http.StatusOK {
					err = fmt.Errorf("status %d: %s", got.status, got.body)
				}
				l.note(got.body, err)
				time.Sleep(2 * time.Millisecond) // the load is bounded, and says nothing about order
			}
		})
	}
	return l
}

func (l *load) note(pod string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	if err != nil {
		l.failed[err.Error()] = err
		return
	}
	l.pods[pod]++
}

// end stops the load. It returns how many requests were made, which pods answered, and what went wrong.
func (l *load) end() (made int, pods map[string]int, err error) {
	l.stop()
	l.workers.Wait()
	for _, e := range l.failed {
		err = errors.Join(err, e)
	}
	return l.made, l.pods, err
}

// certificate makes a self-signed certificate for names, as PEM of it and its key, and a pool that trusts it.
func certificate(t *testing.T, names ...string) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	return cert, key, roots
}
