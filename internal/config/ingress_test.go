package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

func TestIngressValidation(t *testing.T) {
	if err := DefaultIngress().Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*Ingress)
		want   string // in the error; "": none
	}{
		"engine":                {func(c *Ingress) { c.Engine = "apache" }, "--engine=apache"},
		"HTTP/3 by nginx":       {func(c *Ingress) { c.Engine, c.Listen.HTTP3 = EngineNginx, true }, "--enable-http3"},
		"Service elsewhere":     {func(c *Ingress) { c.Watch.Namespace, c.Status.Service = "shop", "ingress/entry" }, "--publish-service=ingress/entry is not read"},
		"Service there":         {func(c *Ingress) { c.Watch.Namespace, c.Status.Service = "shop", "shop/entry" }, ""},
		"no controller":         {func(c *Ingress) { c.Classes.Controllers = nil }, "--controller-class"},
		"controller":            {func(c *Ingress) { c.Classes.Controllers = []string{"nginx"} }, "--controller-class=nginx"},
		"by name, without one":  {func(c *Ingress) { c.Classes.ByName, c.Classes.Name = true, "" }, "--ingress-class"},
		"namespace twice":       {func(c *Ingress) { c.Watch.Namespace, c.Watch.NamespaceSelector = "a", "b=c" }, "--watch-namespace-selector"},
		"prefix":                {func(c *Ingress) { c.Watch.AnnotationsPrefix = "a/b" }, "--annotations-prefix=a/b"},
		"configmap":             {func(c *Ingress) { c.Objects.ConfigMap = "settings" }, "--configmap=settings: want namespace/name"},
		"three parts":           {func(c *Ingress) { c.Objects.DefaultBackend = "a/b/c" }, "--default-backend-service"},
		"port":                  {func(c *Ingress) { c.Listen.HTTP = 65536 }, "--http-port=65536"},
		"one port twice":        {func(c *Ingress) { c.Listen.HTTPS = 80 }, "--https-port=80 is the port of --http-port"},
		"no ports":              {func(c *Ingress) { c.Listen.HTTP, c.Listen.HTTPS, c.Health.Port = 0, 0, 0 }, ""},
		"address":               {func(c *Ingress) { c.Listen.Addresses = []string{"eth0"} }, "--bind=eth0"},
		"loops":                 {func(c *Ingress) { c.Listen.Loops = -1 }, "--loops=-1"},
		"drain":                 {func(c *Ingress) { c.Shutdown.Drain = -time.Second }, "--drain-timeout"},
		"published twice":       {func(c *Ingress) { c.Status.Service, c.Status.Addresses = "a/b", []string{"192.0.2.1"} }, "--publish-status-address exclude"},
		"published address":     {func(c *Ingress) { c.Status.Addresses = []string{"not an address"} }, "--publish-status-address=not an address"},
		"published name":        {func(c *Ingress) { c.Status.Addresses = []string{"lb.example.com", "2001:db8::1"} }, ""},
		"half a pod":            {func(c *Ingress) { c.Pod = "/entry-1" }, "$POD_NAMESPACE"},
		"ttl":                   {func(c *Ingress) { c.Election.TTL = time.Second }, "--election-ttl=1s"},
		"ttl without election":  {func(c *Ingress) { c.Election.TTL, c.Election.Enabled = time.Second, false }, ""},
		"name of the Lease":     {func(c *Ingress) { c.Election.ID = "A B" }, "--election-id=A B"},
		"default certificate":   {func(c *Ingress) { c.Objects.DefaultCertificate = "ingress/cert" }, ""},
		"tcp-services":          {func(c *Ingress) { c.Objects.TCPServices = "Ingress/tcp" }, "--tcp-services-configmap=Ingress/tcp"},
		"class chosen by name":  {func(c *Ingress) { c.Classes.ByName, c.Classes.Controllers = true, nil }, ""},
		"service to publish of": {func(c *Ingress) { c.Status.Service = "entry" }, "--publish-service=entry"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultIngress()
			c.change(cfg)
			err := cfg.Validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestIngressObjects(t *testing.T) {
	o := IngressObjects{ConfigMap: "a/settings", TCPServices: "a/tcp", UDPServices: "a/tcp", DefaultCertificate: "a/cert"}
	if diff := cmp.Diff([]model.Ref{{Namespace: "a", Name: "tcp"}}, o.ConfigMaps()); diff != "" {
		t.Errorf("ConfigMaps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]model.Ref{{Namespace: "a", Name: "cert"}}, o.Secrets()); diff != "" {
		t.Errorf("Secrets (-want +got):\n%s", diff)
	}
	if got := RefOf("nothing"); got != (model.Ref{}) {
		t.Errorf("RefOf of what is no name: %v", got)
	}
}
