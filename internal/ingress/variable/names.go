package variable

// The variables that are provided. Those of a response are empty before there is one.
const (
	Scheme Kind = iota + firstNamed
	AccessScheme
	Host
	HTTPHost
	BestHTTPHost
	RequestURI
	EscapedRequestURI
	URI
	Args
	IsArgs
	RemoteAddr
	RemotePort
	PeerAddr
	ForwardedFor // $proxy_add_x_forwarded_for
	FullForwardedFor
	RequestMethod
	ServerName
	ServerPort
	ServerAddr
	ServerProtocol
	PassPort
	RequestID
	Namespace
	IngressName
	ServiceName
	ServicePort
	LocationPath
	UpstreamName
	HTTPS
	Status
	RemoteUser
	ContentLength
	ContentType
	Dollar
	ConnectionUpgrade
	TLSVerify
	TLSSubject
	TLSIssuer
	TLSCertificate
	TLSSerial
	TLSFingerprint
	TLSProtocol
	TLSServerName
	Msec
	TimeISO8601
	TimeLocal
	Hostname
	ScriptName // $fastcgi_script_name: the path, with the index of a backend of protocol FCGI
)

// kinds are the variables by name: nginx's, and those of ingress-nginx's template.
var kinds = map[string]Kind{
	"scheme":                    Scheme,
	"pass_access_scheme":        AccessScheme,
	"host":                      Host,
	"http_host":                 HTTPHost,
	"best_http_host":            BestHTTPHost,
	"request_uri":               RequestURI,
	"escaped_request_uri":       EscapedRequestURI,
	"uri":                       URI,
	"document_uri":              URI,
	"args":                      Args,
	"query_string":              Args,
	"is_args":                   IsArgs,
	"remote_addr":               RemoteAddr,
	"the_real_ip":               RemoteAddr,
	"remote_port":               RemotePort,
	"realip_remote_addr":        PeerAddr,
	"proxy_protocol_addr":       PeerAddr,
	"proxy_add_x_forwarded_for": ForwardedFor,
	"full_x_forwarded_for":      FullForwardedFor,
	"request_method":            RequestMethod,
	"server_name":               ServerName,
	"server_port":               ServerPort,
	"pass_server_port":          ServerPort,
	"server_addr":               ServerAddr,
	"server_protocol":           ServerProtocol,
	"pass_port":                 PassPort,
	"req_id":                    RequestID,
	"request_id":                RequestID,
	"namespace":                 Namespace,
	"ingress_name":              IngressName,
	"service_name":              ServiceName,
	"service_port":              ServicePort,
	"location_path":             LocationPath,
	"proxy_upstream_name":       UpstreamName,
	"proxy_host":                UpstreamName,
	"https":                     HTTPS,
	"status":                    Status,
	"remote_user":               RemoteUser,
	"content_length":            ContentLength,
	"content_type":              ContentType,
	"literal_dollar":            Dollar,
	"connection_upgrade":        ConnectionUpgrade,
	"ssl_client_verify":         TLSVerify,
	"ssl_client_s_dn":           TLSSubject,
	"ssl_client_i_dn":           TLSIssuer,
	"ssl_client_escaped_cert":   TLSCertificate,
	"ssl_client_cert":           TLSCertificate,
	"ssl_client_serial":         TLSSerial,
	"ssl_client_fingerprint":    TLSFingerprint,
	"ssl_protocol":              TLSProtocol,
	"ssl_server_name":           TLSServerName,
	"msec":                      Msec,
	"time_iso8601":              TimeISO8601,
	"time_local":                TimeLocal,
	"hostname":                  Hostname,
	"fastcgi_script_name":       ScriptName,
}

// prefixes are the families of variables.
var prefixes = []struct {
	prefix string
	kind   Kind
}{
	{"http_", Header},
	{"arg_", Argument},
	{"cookie_", Cookie},
	{"sent_http_", Sent},
	{"upstream_http_", Sent},
}
