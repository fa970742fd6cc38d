package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/switchyard-net/switchyard/internal/config"
)

// addIngressFlags defines the flags of `switchyard ingress` that are its configuration. Names of ingress-nginx's have its meaning.
func addIngressFlags(flags *pflag.FlagSet, c *config.Ingress) {
	flags.StringVar(&c.Engine, "engine", c.Engine, "what carries the requests: native, or nginx (the system's nginx is rendered for, started and supervised)")

	flags.Var((*listFlag)(&c.Classes.Controllers), "controller-class", "serve Ingresses whose IngressClass has one of these controllers")
	flags.StringVar(&c.Classes.Name, "ingress-class", c.Classes.Name, "serve Ingresses with this annotation kubernetes.io/ingress.class too")
	flags.BoolVar(&c.Classes.ByName, "ingress-class-by-name", c.Classes.ByName, "serve the IngressClass called --ingress-class, whatever its controller")
	flags.BoolVar(&c.Classes.WithoutClass, "watch-ingress-without-class", c.Classes.WithoutClass, "serve Ingresses that name no class too")

	flags.StringVar(&c.Watch.Namespace, "watch-namespace", c.Watch.Namespace, "read Ingresses, Services and what belongs to them in this namespace alone (empty: in all)")
	flags.StringVar(&c.Watch.NamespaceSelector, "watch-namespace-selector", c.Watch.NamespaceSelector, "serve Ingresses of the namespaces with these labels alone")
	flags.StringVar(&c.Watch.AnnotationsPrefix, "annotations-prefix", c.Watch.AnnotationsPrefix, "prefix of the annotations of Ingresses")

	flags.StringVar(&c.Objects.ConfigMap, "configmap", c.Objects.ConfigMap, "ConfigMap with the settings of the entry, as namespace/name")
	flags.StringVar(&c.Objects.TCPServices, "tcp-services-configmap", c.Objects.TCPServices, "ConfigMap with TCP ports and the Services they go to")
	flags.StringVar(&c.Objects.UDPServices, "udp-services-configmap", c.Objects.UDPServices, "ConfigMap with UDP ports and the Services they go to")
	flags.StringVar(&c.Objects.DefaultBackend, "default-backend-service", c.Objects.DefaultBackend, "Service that gets what no rule takes, as namespace/name (empty: 404)")
	flags.StringVar(&c.Objects.DefaultCertificate, "default-ssl-certificate", c.Objects.DefaultCertificate, "Secret with the certificate for hosts that have none (empty: a self-signed one)")

	addIngressListenFlags(flags, c)
	addIngressProcessFlags(flags, c)
}

func addIngressListenFlags(flags *pflag.FlagSet, c *config.Ingress) {
	flags.IntVar(&c.Listen.HTTP, "http-port", c.Listen.HTTP, "serve HTTP at this port (0: do not)")
	flags.IntVar(&c.Listen.HTTPS, "https-port", c.Listen.HTTPS, "serve HTTPS at this port (0: do not)")
	flags.Var((*listFlag)(&c.Listen.Addresses), "bind", "listen on these addresses (empty: on all)")
	flags.BoolVar(&c.Listen.Passthrough, "enable-ssl-passthrough", c.Listen.Passthrough, "honour annotation ssl-passthrough")
	flags.BoolVar(&c.Listen.HTTP3, "enable-http3", c.Listen.HTTP3, "serve HTTP/3 at the UDP port of --https-port")
	flags.IntVar(&c.Listen.Loops, "loops", c.Listen.Loops, "event loops of the native engine (0: one for each CPU)")
}

func addIngressProcessFlags(flags *pflag.FlagSet, c *config.Ingress) {
	flags.BoolVar(&c.Status.Update, "update-status", c.Status.Update, "write the addresses of the entry into the status of Ingresses")
	flags.BoolVar(&c.Status.RemoveOnShutdown, "update-status-on-shutdown", c.Status.RemoveOnShutdown, "take them out again when the last process of the entry ends")
	flags.StringVar(&c.Status.Service, "publish-service", c.Status.Service, "Service whose addresses these are, as namespace/name (empty: those of the nodes of the entry's pods)")
	flags.Var((*listFlag)(&c.Status.Addresses), "publish-status-address", "IP addresses or host names that these are")
	flags.BoolVar(&c.Status.InternalAddresses, "report-node-internal-ip-address", c.Status.InternalAddresses, "of nodes, take the internal addresses")

	elect := invertedFlag{&c.Election.Enabled}
	flags.Var(elect, "disable-leader-election", "write statuses and Events although other processes may do so too")
	flags.Lookup("disable-leader-election").NoOptDefVal = "true"
	flags.StringVar(&c.Election.ID, "election-id", c.Election.ID, "name of the Lease by which one process is chosen to write statuses and Events, in the pod's namespace")
	flags.DurationVar(&c.Election.TTL, "election-ttl", c.Election.TTL, "others wait this long for one that has fallen silent")

	flags.StringVar(&c.Health.Host, "healthz-host", c.Health.Host, "address of --healthz-port (empty: all)")
	flags.IntVar(&c.Health.Port, "healthz-port", c.Health.Port, "serve /healthz, /readyz, /livez and /metrics at this port (0: do not)")
	flags.BoolVar(&c.Health.Profiling, "profiling", c.Health.Profiling, "serve /debug/pprof there too")
	flags.StringVar(&c.Health.Socket, "admin-socket", ingressSocket(), "unix socket for 'switchyard ingress routes' (empty: none)")

	flags.StringVar(&c.AccessLog, "access-log", c.AccessLog, "file that the access log is appended to (empty: standard output)")

	flags.Var(secondsFlag{&c.Shutdown.Grace}, "shutdown-grace-period", "on SIGTERM, fail /healthz and go on for this long (a duration, or seconds)")
	flags.Var(secondsFlag{&c.Shutdown.Drain}, "drain-timeout", "then let requests that are under way take this long (the ConfigMap's worker-shutdown-timeout wins)")
	for _, f := range ingressNginxFlags() {
		flags.Var(&ignoredFlag{value: f.value}, f.name, "")
		flags.Lookup(f.name).NoOptDefVal = "true"
		flags.Lookup(f.name).Hidden = true
	}
}

// ingressSocket is the default path of the admin socket.
func ingressSocket() string { return filepath.Join(os.TempDir(), "switchyard-ingress.sock") }

// nginxFlag is a flag of ingress-nginx's that has nothing to say here.
type nginxFlag struct {
	name string
	// value is the only one that is taken; "": any.
	value string
	why   string
}

// ingressNginxFlags are those of ingress-nginx (cmd/nginx, 1.15) that are taken so that its Deployments start, and do nothing.
func ingressNginxFlags() []nginxFlag {
	const (
		always  = "it is always so"
		nothing = "there is nothing of the kind"
		webhook = "there is no admission webhook; 'switchyard ingress check' says the same beforehand, and Events afterwards"
	)
	return []nginxFlag{
		{"enable-metrics", "", always},
		{"enable-annotation-validation", "", always},
		{"enable-topology-aware-routing", "", always},
		{"deep-inspect", "", always},
		{"metrics-per-host", "", "metrics name the Ingress"},
		{"metrics-per-undefined-host", "false", "names that clients make up must not become metrics"},
		{"exclude-socket-metrics", "", nothing},
		{"monitor-max-batch-size", "", nothing},
		{"dynamic-configuration-retries", "", nothing},
		{"sync-period", "", nothing},
		{"sync-rate-limit", "", "changes are in force at once"},
		{"status-port", "", nothing},
		{"stream-port", "", nothing},
		{"status-update-interval", "", "statuses follow at once"},
		{"default-server-port", "", nothing},
		{"ssl-passthrough-proxy-port", "", nothing},
		{"internal-logger-address", "", nothing},
		{"profiler-port", "", "it is --healthz-port"},
		{"profiler-address", "", "it is --healthz-host"},
		{"post-shutdown-grace-period", "", nothing},
		{"health-check-timeout", "", nothing},
		{"enable-ssl-chain-completion", "false", "put the chain into the Secret"},
		{"disable-catch-all", "false", "refuse Ingresses without a host by an admission policy of the cluster"},
		{"disable-svc-external-name", "false", "refuse Services of that type by an admission policy of the cluster"},
		{"disable-sync-events", "false", "Events are how users learn what became of an Ingress"},
		{"disable-full-test", "", webhook},
		{"validating-webhook", "", webhook},
		{"validating-webhook-certificate", "", webhook},
		{"validating-webhook-key", "", webhook},
		{"time-buckets", "", "the buckets of histograms are fixed"},
		{"length-buckets", "", "the buckets of histograms are fixed"},
		{"size-buckets", "", "the buckets of histograms are fixed"},
	}
}

// ignoredFlag takes what a flag that does nothing may be set to.
type ignoredFlag struct{ value, set string }

func (f *ignoredFlag) String() string { return f.set }
func (f *ignoredFlag) Type() string   { return "string" }
func (f *ignoredFlag) Set(s string) error {
	if f.value != "" && s != f.value {
		return fmt.Errorf("only %s is possible here", f.value)
	}
	f.set = s
	return nil
}

// invertedFlag sets a field to the contrary.
type invertedFlag struct{ field *bool }

func (f invertedFlag) Type() string   { return "bool" }
func (f invertedFlag) String() string { return strconv.FormatBool(f.field != nil && !*f.field) }
func (f invertedFlag) Set(s string) error {
	value, err := strconv.ParseBool(s)
	if err == nil {
		*f.field = !value
	}
	return err
}

// secondsFlag is a duration, of which a bare number is seconds.
type secondsFlag struct{ field *time.Duration }

func (f secondsFlag) Type() string { return "duration" }
func (f secondsFlag) String() string {
	if f.field == nil {
		return "0s"
	}
	return f.field.String()
}

func (f secondsFlag) Set(s string) (err error) {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		*f.field = time.Duration(n) * time.Second
		return nil
	}
	*f.field, err = time.ParseDuration(s)
	return err
}
