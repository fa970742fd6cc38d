package policy

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// newTransport carries requests to authentication servers and mirrors. Certificates are not verified, as in ingress-nginx, whose
// auth-url and mirror-target often name servers of the cluster with a certificate of their own.
func newTransport() http.RoundTripper {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
		DisableCompression:    true,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       60 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: authTime,
		// What RoundTrip returns is the answer: there is no proxy of the environment, and no redirect is followed.
	}
}

// drain reads a body that nobody wants as far as it pays for using the connection again.
func drain(body io.ReadCloser) {
	io.CopyN(io.Discard, body, 64<<10) // an error only costs the connection
	body.Close()
}

// headers returns the client's fields for a request of our own: without those of its connection and of its body, and without those
// that only we or a proxy before us that is believed may set.
func (x *Exchange) headers() http.Header {
	h := make(http.Header, len(x.Request.Header)+8)
	for _, f := range x.Request.Header {
		name := string(f.Name)
		if isEngines(name) || !isToken(f.Name) {
			continue
		}
		key := http.CanonicalHeaderKey(name)
		if key == "Host" || isOurs(key) && !x.own.believed {
			continue
		}
		h[key] = append(h[key], string(f.Value))
	}
	if _, has := h["User-Agent"]; !has {
		h["User-Agent"] = []string{""} // else net/http sends its own
	}
	return h
}

// isOurs tells whether a field, in canonical form, says what an entry says about a client.
func isOurs(key string) bool {
	switch key {
	case "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Scheme", "X-Forwarded-Prefix", "X-Forwarded-Proto", "Forwarded", "X-Scheme", "Proxy":
		return true
	}
	return strings.HasPrefix(key, "Ssl-Client-")
}

// forwardedFor is the value of X-Forwarded-For towards servers of our own.
func (x *Exchange) forwardedFor() string {
	if !x.own.believed || !x.own.full {
		return x.Client.String()
	}
	return string(appendForwardedFor(nil, x, x.own.peer))
}

// certificateFields calls set with the fields that say which certificate the client has shown, where the host asks for one.
func (x *Exchange) certificateFields(set func(name, value []byte)) {
	c := x.Host.ClientTLS
	if c == nil || c.ClientTLS == nil {
		return
	}
	for i := range certificateTexts {
		f := &certificateTexts[i]
		if f.pass && !c.Pass {
			continue
		}
		set(f.name, f.text.value(x))
	}
}
