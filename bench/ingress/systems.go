package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/bench/process"
)

// The cores: the proxy has one for itself.
const (
	proxyCore = "0"
	otherCore = "1"
)

// startTimeout is how long a system may take to start: nginx with 10,000 servers takes its time.
const startTimeout = 3 * time.Minute

// behind is the address of the backend.
var behind = netip.MustParseAddrPort("127.0.0.1:18881")

// system is a proxy under test.
type system struct {
	name        string
	process     *process.Process
	http, https netip.AddrPort
	ask         string // of changes; "": it is not asked for any
}

// backendConfig is an nginx that answers from memory, but for the large file.
const backendConfig = `
master_process off; daemon off; worker_processes 1; pid %[1]s/backend.pid; error_log %[1]s/backend.err;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 1000000000; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi; client_body_buffer_size 64k; sendfile on;
  server {
    listen 0.0.0.0:%[2]d backlog=4096;
    location / { return 200 "%[3]s"; }
    location /files/ { alias %[1]s/; }
  }
}
`

// startBackend starts the backend, which stays for the whole run.
func startBackend(ctx context.Context, dir string) (*process.Process, error) {
	for name, size := range map[string]int{"10k": 10 << 10, "1m": 1 << 20} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("x", size)), 0o644); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(backendConfig, dir, behind.Port(), strings.Repeat("x", 128))
	return startNginx(ctx, dir, "backend", otherCore, text, behind)
}

func startNginx(ctx context.Context, dir, name, core, config string, at netip.AddrPort) (*process.Process, error) {
	file := filepath.Join(dir, name+".conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	return start(ctx, dir, name, core, at, "nginx", "-c", file, "-e", filepath.Join(dir, name+".err"))
}

// start starts a program on a core and waits until it listens.
func start(ctx context.Context, dir, name, core string, at netip.AddrPort, program ...string) (*process.Process, error) {
	p, err := process.Start(exec.CommandContext(ctx, "taskset", append([]string{"-c", core}, program...)...), filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(startTimeout); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", at.String()); err == nil {
			return p, c.Close()
		}
		if err := p.Exited(); err != nil {
			return nil, err
		}
		if time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("%s does not listen on %s", name, at), p.Stop())
		}
	}
}

// startSystems starts all proxies for a number of Ingresses. They are idle out of their turn.
func startSystems(ctx context.Context, dir string, ingresses int) ([]*system, error) {
	if err := writeCertificate(filepath.Join(dir, "pair.pem")); err != nil {
		return nil, err
	}
	var all []*system
	for i, s := range []struct {
		name  string
		start func(context.Context, string, int, *system) (*process.Process, error)
	}{{"switchyard", startOurs}, {"nginx", startProxyNginx}, {"haproxy", startHAProxy}} {
		port := uint16(18900 + 10*i)
		made := &system{
			name: s.name, http: netip.AddrPortFrom(behind.Addr(), port), https: netip.AddrPortFrom(behind.Addr(), port+1),
		}
		var err error
		if made.process, err = s.start(ctx, dir, ingresses, made); err != nil {
			return all, fmt.Errorf("start %s: %w", s.name, err)
		}
		all = append(all, made)
	}
	return all, nil
}

func startOurs(ctx context.Context, dir string, ingresses int, s *system) (*process.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s.ask = netip.AddrPortFrom(behind.Addr(), s.http.Port()+2).String()
	program := []string{
		self, "-agent", "-ingresses", strconv.Itoa(ingresses), "-http", s.http.String(), "-https", s.https.String(), "-ask", s.ask,
		"-behind", behind.String(),
	}
	if file := os.Getenv("SWITCHYARD_BENCH_PROFILE"); file != "" {
		program = append(program, "-profile", fmt.Sprintf("%s.%d", file, ingresses))
	}
	return start(ctx, dir, s.name, proxyCore, s.https, program...)
}

const nginxConfig = `
master_process off; daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/nginx.err;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 1000000000; server_tokens off; server_names_hash_max_size 65536; server_names_hash_bucket_size 64;
  client_body_temp_path %[1]s/nbody; proxy_temp_path %[1]s/nproxy; fastcgi_temp_path %[1]s/nfastcgi; uwsgi_temp_path %[1]s/nuwsgi;
  scgi_temp_path %[1]s/nscgi; client_body_buffer_size 16k; http2_max_requests 1000000000;
  ssl_certificate %[1]s/pair.pem; ssl_certificate_key %[1]s/pair.pem; ssl_protocols TLSv1.2 TLSv1.3;
  upstream behind { server %[2]s; keepalive 320; keepalive_requests 1000000000; }
  proxy_buffer_size 16k; proxy_buffers 8 64k; proxy_max_temp_file_size 0;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_set_header X-Request-ID $request_id;
  proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Scheme $scheme; proxy_set_header X-Scheme $scheme;
`

// startProxyNginx starts nginx with a server for each Ingress, all with one upstream, which spares it 9,999 others.
func startProxyNginx(ctx context.Context, dir string, ingresses int, s *system) (*process.Process, error) {
	var b strings.Builder
	fmt.Fprintf(&b, nginxConfig, dir, behind)
	for i := range ingresses {
		fmt.Fprintf(&b, "  server { listen %s backlog=4096; listen %s ssl http2 backlog=4096; server_name %s; location / { proxy_pass http://behind; } }\n",
			s.http, s.https, hostOf(i))
	}
	b.WriteString("}\n")
	text := b.String()
	if ingresses > 1 { // options of a socket are given once
		first := strings.Index(text, "server { listen") + len("server { listen")
		end := first + strings.IndexByte(text[first:], '\n')
		text = text[:end] + strings.ReplaceAll(text[end:], " backlog=4096", "")
	}
	return startNginx(ctx, dir, s.name, proxyCore, text, s.https)
}

const haproxyConfig = `
global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend entry
  bind %[1]s
  bind %[2]s ssl crt %[3]s/pair.pem alpn h2,http/1.1
  http-request set-header X-Request-ID %%[uuid]
  http-request set-header X-Real-IP %%[src]
  http-request set-header X-Forwarded-For %%[src]
  http-request set-header X-Forwarded-Host %%[req.hdr(host)]
  http-request set-header X-Forwarded-Port %%[dst_port]
  http-request set-header X-Forwarded-Proto http if !{ ssl_fc }
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Forwarded-Scheme http if !{ ssl_fc }
  http-request set-header X-Forwarded-Scheme https if { ssl_fc }
  http-request set-header X-Scheme http if !{ ssl_fc }
  http-request set-header X-Scheme https if { ssl_fc }
  use_backend %%[req.hdr(host),field(1,:),lower,map(%[3]s/hosts.map)]
backend behind
  server one %[4]s
`

// startHAProxy starts HAProxy with a map from hosts to one backend.
func startHAProxy(ctx context.Context, dir string, ingresses int, s *system) (*process.Process, error) {
	var hosts strings.Builder
	for i := range ingresses {
		hosts.WriteString(hostOf(i) + " behind\n")
	}
	config := filepath.Join(dir, "haproxy.cfg")
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "hosts.map"), []byte(hosts.String()), 0o644),
		os.WriteFile(config, fmt.Appendf(nil, haproxyConfig, s.http, s.https, dir, behind), 0o644),
	)
	if err != nil {
		return nil, err
	}
	return start(ctx, dir, s.name, proxyCore, s.https, "haproxy", "-db", "-f", config)
}

// writeCertificate writes a key and a self-signed certificate, of the kind that the native engine makes for itself.
func writeCertificate(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(1, 0, 0), DNSNames: []string{"*.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return os.WriteFile(file, text, 0o600)
}
