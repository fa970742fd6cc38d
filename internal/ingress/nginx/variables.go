package nginx

import (
	"fmt"
	"strconv"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/variable"
)

// names are nginx's variables for those that texts of the API may hold. What is not here, nginx has not without its Lua module.
var names = map[variable.Kind]string{
	variable.Scheme: "scheme", variable.AccessScheme: "switchyard_scheme", variable.Host: "host", variable.HTTPHost: "http_host",
	variable.BestHTTPHost: "http_host", variable.RequestURI: "request_uri", variable.URI: "uri", variable.Args: "args",
	variable.IsArgs: "is_args", variable.RemoteAddr: "remote_addr", variable.RemotePort: "remote_port", variable.PeerAddr: "realip_remote_addr",
	variable.ForwardedFor: "proxy_add_x_forwarded_for", variable.FullForwardedFor: "proxy_add_x_forwarded_for",
	variable.RequestMethod: "request_method", variable.ServerName: "server_name", variable.ServerPort: "server_port",
	variable.ServerAddr: "server_addr", variable.ServerProtocol: "server_protocol", variable.PassPort: "switchyard_port",
	variable.RequestID: "switchyard_request_id", variable.UpstreamName: "proxy_host", variable.HTTPS: "https", variable.Status: "status",
	variable.RemoteUser: "remote_user", variable.ContentLength: "content_length", variable.ContentType: "content_type",
	variable.Dollar: dollar, variable.ConnectionUpgrade: "switchyard_connection", variable.TLSVerify: "ssl_client_verify",
	variable.TLSSubject: "ssl_client_s_dn", variable.TLSIssuer: "ssl_client_i_dn", variable.TLSCertificate: "ssl_client_escaped_cert",
	variable.TLSSerial: "ssl_client_serial", variable.TLSFingerprint: "ssl_client_fingerprint", variable.TLSProtocol: "ssl_protocol",
	variable.TLSServerName: "ssl_server_name", variable.Msec: "msec", variable.TimeISO8601: "time_iso8601", variable.TimeLocal: "time_local",
	variable.Hostname: "hostname", variable.ScriptName: "fastcgi_script_name",
}

// families are the prefixes of variables that go on with a name.
var families = map[variable.Kind]string{variable.Header: "http_", variable.Argument: "arg_", variable.Cookie: "cookie_", variable.Sent: "sent_http_", variable.Own: own}

// own is the prefix of variables that a snippet sets, so that it sets none of nginx's or ours.
const own = "user_"

// template returns a text of the API with variables. Those that say where the request goes are known now. set are the names
// that the snippet of the same location sets.
func template(s string, l *route.Location, set map[string]bool) (arg, error) {
	parts, err := templateParts(s, l, set)
	if err != nil {
		return "", err
	}
	return value(parts...), nil
}

func templateParts(s string, l *route.Location, set map[string]bool) ([]part, error) {
	if err := unprintable(s); err != nil {
		return nil, err
	}
	parsed, err := variable.Parse(s, func(name string) bool { return set[name] })
	if err != nil {
		return nil, err
	}
	parts := make([]part, 0, len(parsed))
	for _, p := range parsed {
		one, err := resolve(p, l)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", s, err)
		}
		parts = append(parts, one)
	}
	return parts, nil
}

// resolve returns what a part stands for in nginx.
func resolve(p variable.Part, l *route.Location) (part, error) {
	switch p.Kind {
	case variable.Literal:
		return text(p.Name), nil
	case variable.Capture:
		return part{variable: strconv.Itoa(p.Number)}, nil
	case variable.Namespace:
		return text(l.Ingress.Namespace), nil
	case variable.IngressName:
		return text(l.Ingress.Name), nil
	case variable.ServiceName:
		return text(serviceName(l)), nil
	case variable.ServicePort:
		return text(servicePort(l)), nil
	case variable.LocationPath:
		return text(l.Path), nil
	}
	if prefix, ok := families[p.Kind]; ok && isVariable(p.Name) {
		return part{variable: prefix + p.Name}, nil
	}
	if name, ok := names[p.Kind]; ok {
		return part{variable: name}, nil
	}
	return part{}, fmt.Errorf("nginx has no such variable (%s)", p.Name)
}

func serviceName(l *route.Location) string {
	if l.Backend == nil {
		return ""
	}
	return l.Backend.Key.Service.Name
}

func servicePort(l *route.Location) string {
	switch {
	case l.Backend == nil:
		return ""
	case l.Backend.Key.Name != "":
		return l.Backend.Key.Name
	}
	return strconv.Itoa(int(l.Backend.Key.Number))
}

// logFormat returns a format of the access log. Names that nginx does not have are an error of the whole format.
func logFormat(format string) (arg, bool) {
	if unprintable(format) != nil {
		return "", false
	}
	a, err := template(format, &route.Location{}, nil)
	return a, err == nil
}
