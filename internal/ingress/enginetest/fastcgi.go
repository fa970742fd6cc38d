package enginetest

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"net/netip"
	"strings"
	"testing"
)

// FastCGI asks a backend of protocol FCGI.
func FastCGI(t *testing.T, start Start) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		_ = fcgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			switch r.URL.Path {
			case "/missing":
				w.WriteHeader(404)
			case "/large":
				_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
				return
			}
			env := fcgi.ProcessEnv(r)
			env["BODY"], env["URL"], env["REMOTE"] = string(body), r.URL.RequestURI(), r.RemoteAddr
			for name := range r.Header {
				env["field "+name] = r.Header.Get(name)
			}
			w.Header().Set("X-Backend", "script")
			_ = json.NewEncoder(w).Encode(env)
		}))
	}()
	e := Serve(t, start, Case{
		Manifest: ingress("script", "script.test", "script", "backend-protocol", "FCGI", "fastcgi-index", "index.php",
			"fastcgi-params-configmap", "default/params") + `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: params, namespace: default}
data: {SCRIPT_FILENAME: "/srv$fastcgi_script_name", SERVER_NAME: "own-$host"}
`,
		Servers: map[string]netip.AddrPort{"script": netip.MustParseAddrPort(l.Addr().String())},
	})
	a := e.Do(t, Step{
		Host: "script.test", Target: "/a/../b/?x=1", Method: "POST", Body: "hello", TLS: true,
		Header: [][2]string{{"Content-Type", "text/x"}, {"X-Custom", "yes"}, {"Proxy", "evil"}, {"X-Forwarded-For", "1.2.3.4"}},
	})
	e.check(t, Want{Status: 200, Header: map[string]string{"X-Backend": "script"}}, a)
	var got map[string]string
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("%q: %v", a.body, err)
	}
	for name, want := range map[string]string{
		"BODY": "hello", "URL": "/a/../b/?x=1", "SCRIPT_FILENAME": "/srv/b/index.php", "DOCUMENT_URI": "/b/",
		"SERVER_NAME": "own-script.test", "REQUEST_SCHEME": "https", "GATEWAY_INTERFACE": "CGI/1.1", "field X-Custom": "yes",
		"field X-Real-Ip": "127.0.0.1", "field X-Forwarded-For": "127.0.0.1", "field Proxy": "", "QUERY_STRING": "",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	e.check(t, Want{Status: 404}, e.Do(t, Step{Host: "script.test", Target: "/missing"}))
	if a := e.Do(t, Step{Host: "script.test", Target: "/large", HTTP2: true, TLS: true}); len(a.body) != 1<<20 {
		t.Errorf("%d bytes", len(a.body))
	}
	l.Close()
	e.check(t, Want{Status: 502}, e.Do(t, Step{Host: "script.test"}))
}
