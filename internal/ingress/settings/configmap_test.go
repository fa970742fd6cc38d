package settings

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

func globalOf(data map[string]string) (*Global, []Problem) {
	headers := map[string]string{"X-Ok": "yes"}
	return ParseGlobal(model.Ref{Namespace: "ingress", Name: "c"}, data, func(r model.Ref) *model.ConfigMap {
		if r.Namespace == "ingress" && r.Name == "headers" {
			return &model.ConfigMap{Ref: r, Data: headers}
		}
		return nil
	})
}

func TestParseGlobal(t *testing.T) {
	got, problems := globalOf(map[string]string{
		"ssl-redirect": "false", "proxy-body-size": "8m", "proxy-read-timeout": "5", "retry-non-idempotent": "true",
		"whitelist-source-range": "10.0.0.0/8", "custom-http-errors": "404, 503", "http-redirect-code": "301",
		"hsts": "false", "hsts-max-age": "5", "use-forwarded-headers": "true", "proxy-real-ip-cidr": "10.0.0.0/8,192.0.2.1",
		"annotations-risk-level": "Critical", "allow-snippet-annotations": "true", "strict-validate-path-type": "false",
		"keep-alive": "10", "large-client-header-buffers": "2 16k", "ssl-protocols": "TLSv1.3", "use-gzip": "true",
		"add-headers": "ingress/headers", "global-auth-url": "http://auth/", "global-auth-response-headers": "X-User", "block-user-agents": "curl, ~*bot",
		"worker-shutdown-timeout": "4m 5s", "location-snippet": "add_header X y;", "limit-req-status-code": "429",
		"worker-processes": "4", "proxy-add-original-uri-header": "true", "proxy-stream-timeout": "1h",
	})
	want := Default()
	d := &want.Defaults
	d.Redirect.TLS, d.Redirect.TLSCode = false, 301
	d.Proxy.MaxBody, d.Proxy.Read = 8<<20, 5*time.Second
	d.Proxy.Next.On |= NextNonIdempotent
	d.Access.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	d.Errors.Codes = []int{404, 503}
	d.Limits.Code = 429
	want.HSTS.On, want.HSTS.MaxAge = false, 5
	want.RealIP.ForwardedHeaders = true
	want.RealIP.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")}
	want.Policy = Policy{Risk: Critical, Snippets: true}
	want.Client.KeepAlive, want.Client.Line, want.Client.HeaderBytes = 10*time.Second, 16<<10, 32<<10
	want.TLS.MinVersion = 0x304
	want.Gzip.On = true
	want.SetHeaders = []HeaderEdit{{"X-Original-URI", "$request_uri"}}
	want.AddHeaders = []HeaderEdit{{"X-Ok", "yes"}}
	want.Auth = &ExternalAuth{URL: "http://auth/", ResponseHeaders: []string{"X-User"}, RedirectParam: "rd", KeepAliveRequests: 1000, KeepAliveTimeout: time.Minute}
	want.Block.UserAgents = got.Block.UserAgents
	want.Drain = 4*time.Minute + 5*time.Second
	want.Snippet = []Statement{{Op: AddHeader, Name: "X", Value: "y"}}
	want.Stream.Timeout = time.Hour
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if ua := got.Block.UserAgents; len(ua) != 2 || !ua[0].MatchString("curl") || ua[0].MatchString("curl/7") || !ua[1].MatchString("a Bot") {
		t.Errorf("block-user-agents: %v", ua)
	}
	if len(problems) != 2 || problems[0].Field != "use-gzip" || problems[1].Field != "worker-processes" || Worst(problems) != Noted {
		t.Errorf("problems %v, want use-gzip and worker-processes noted", problems)
	}
}

// TestBadGlobal: a bad key of the ConfigMap refuses nothing, and the default counts.
func TestBadGlobal(t *testing.T) {
	for key, value := range map[string]string{
		"proxy-body-size": "8 apples", "hsts-max-age": "x", "http-redirect-code": "200", "annotations-risk-level": "Hgih", "proxy-boddy-size": "8m",
		"whitelist-source-range": "x", "add-headers": "ingress/none", "enable-brotli": "true", "location-snippet": "deny all;", "large-client-header-buffers": "8k",
		"block-cidrs": "x", "ssl-protocols": "TLSv1", "limit-conn-status-code": "200", "use-gzip": "maybe",
	} {
		got, problems := globalOf(map[string]string{key: value})
		if len(problems) != 1 || problems[0].Field != key || problems[0].Effect != Lost {
			t.Errorf("%s=%s: problems %v, want one that it is lost", key, value, problems)
		}
		want := Default()
		if key == "annotations-risk-level" {
			want.Policy.Risk = Low
		}
		if diff := cmp.Diff(want, got, equal); diff != "" {
			t.Errorf("%s=%s has changed settings (-default +got):\n%s", key, value, diff)
		}
	}
	g, problems := globalOf(map[string]string{"global-auth-url": "nonsense"})
	if g.Auth != nil || g.AuthProblem == "" || len(problems) != 1 {
		t.Errorf("a bad global-auth-url: auth %v, problem %q, %v", g.Auth, g.AuthProblem, problems)
	}
}

// TestGlobalKeysAreThoseOfIngressNginx: testdata/keys has the keys of internal/ingress/controller/config of ingress-nginx 1.15.
func TestGlobalKeysAreThoseOfIngressNginx(t *testing.T) {
	data, err := os.ReadFile("testdata/keys")
	if err != nil {
		t.Fatal(err)
	}
	known := globalKeys()
	for _, key := range strings.Fields(string(data)) {
		if _, ok := known[key]; !ok {
			t.Errorf("key %s is not known", key)
		}
	}
	for k := range GlobalKeys() {
		if k.Verdict != Works && k.Note == "" {
			t.Errorf("%s is not honoured, and does not say why", k.Name)
		}
	}
}
