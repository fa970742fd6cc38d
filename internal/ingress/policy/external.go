package policy

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// external is a compiled settings.ExternalAuth.
type external struct {
	*settings.ExternalAuth
	state    *State
	number   uint64
	identity string // of what the answers are taken from and for
	url      *template
	key      *template // nil: answers are not kept
	redirect *template
	fields   []edit
	snippet  []statement
	first    int // number of the first statement of snippet
	// taken are the names of the fields of the answer that become the request's.
	taken  [][]byte
	signIn *signIn
}

// edit is a compiled settings.HeaderEdit.
type edit struct {
	name  []byte
	value *template
}

func (c *compiler) headerEdits(what string, list []settings.HeaderEdit) []edit {
	var out []edit
	for _, h := range list {
		if !isEngines(h.Name) {
			out = append(out, edit{fixedValue(h.Name), c.template(what, h.Value)})
		}
	}
	return out
}

// auth returns which server is asked about requests of the location: its own, or that of all.
func (c *compiler) auth() *settings.ExternalAuth {
	if c.settings.Auth == nil && !c.settings.NoGlobalAuth {
		return c.entry.global.Auth
	}
	return c.settings.Auth
}

// externalAuth compiles auth-url and its family.
func (c *compiler) externalAuth() []func(*Exchange) verdict {
	auth := c.auth()
	if auth == nil || auth.URL == "" {
		return nil
	}
	e := &external{ExternalAuth: auth, state: c.entry.state, number: c.location.Number, signIn: c.signIn()}
	e.url = c.template("auth-url", auth.URL)
	e.redirect = c.template("auth-request-redirect", orText(auth.RequestRedirect, "$request_uri"))
	if auth.CacheKey != "" {
		e.key = c.template("auth-cache-key", auth.CacheKey)
	}
	e.fields = c.headerEdits("auth-proxy-set-headers", auth.SetHeaders)
	e.first = c.statements
	for i := range auth.Snippet {
		if !isEngines(auth.Snippet[i].Name) {
			e.snippet = append(e.snippet, c.statement(&auth.Snippet[i]))
		}
	}
	c.statements += len(e.snippet)
	for _, name := range auth.ResponseHeaders {
		if !isEngines(name) {
			e.taken = append(e.taken, fixedValue(name))
		}
	}
	e.identity = auth.URL + "\x00" + auth.Method + "\x00" + strings.Join(auth.ResponseHeaders, ",") + "\x00"
	return []func(*Exchange) verdict{e.check}
}

func orText(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// answer is what an authentication server has said, as far as it counts.
type answer struct {
	status    int
	fields    []string // values of external.taken
	cookies   []string
	challenge []string // WWW-Authenticate
}

// check asks the server. Whatever goes wrong refuses the request.
func (e *external) check(x *Exchange) verdict {
	a := e.ask(x)
	for _, c := range a.cookies {
		x.own.cookies = append(x.own.cookies, fixedValue(c))
	}
	x.own.alwaysCookies = e.AlwaysSetCookie
	switch {
	case 200 <= a.status && a.status < 300:
		for i, name := range e.taken {
			x.edit(name, fixedValue(a.fields[i]))
		}
		return allowed
	case a.status == 401 && e.signIn != nil:
		e.signIn.answer(x)
	case a.status == 401 || a.status == 403:
		for _, c := range a.challenge {
			x.Answer.Header.Add(challengeName, fixedValue(c))
		}
		x.answer(a.status, ReasonAuth)
	default:
		x.answer(500, ReasonAuthFailed)
	}
	return refused
}

// authTime bounds one question to an authentication server, that of nginx's proxy_read_timeout.
const authTime = 60 * time.Second

// ask returns a kept answer, or asks for one. A status of 0 says that there was none.
func (e *external) ask(x *Exchange) answer {
	var key answerKey
	if e.key != nil {
		key = newAnswerKey(e.number, e.identity, e.key.raw(x))
		if a, ok := e.state.answers.get(key, x.now()); ok {
			return a
		}
	}
	request, err := e.request(x)
	if err != nil {
		return answer{}
	}
	var a answer
	var kept time.Duration
	x.Engine.Await(func() { a, kept = e.send(request) })
	if e.key != nil && kept > 0 {
		e.state.answers.put(key, a, x.now().Add(kept))
	}
	return a
}

// send asks the server. It runs outside of the event loop.
func (e *external) send(request *http.Request) (answer, time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), authTime)
	defer cancel()
	response, err := e.state.transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return answer{}, 0
	}
	drain(response.Body)
	a := answer{
		status:    response.StatusCode,
		cookies:   response.Header.Values("Set-Cookie"),
		challenge: response.Header.Values("WWW-Authenticate"),
		fields:    make([]string, len(e.taken)),
	}
	for i, name := range e.taken {
		a.fields[i] = strings.Join(response.Header.Values(string(name)), ", ")
	}
	return a, e.keep(response)
}

// keep returns for how long an answer may be kept, as nginx's cache decides: not what sets a cookie, varies, or says no.
func (e *external) keep(r *http.Response) time.Duration {
	if e.key == nil || len(r.Header.Values("Set-Cookie")) > 0 || r.Header.Get("Vary") != "" {
		return 0
	}
	d, ok := e.CacheFor[r.StatusCode]
	if !ok && (r.StatusCode == 200 || r.StatusCode == 301 || r.StatusCode == 302) {
		d = e.CacheFor[0]
	}
	for _, part := range strings.Split(strings.ToLower(strings.Join(r.Header.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "no-cache", "no-store", "private":
			return 0
		case "max-age", "s-maxage":
			seconds, ok := decimal([]byte(value))
			if !ok {
				return 0
			}
			d = time.Duration(seconds) * time.Second
		}
	}
	return d
}

// request makes the question: the client's head without its body, and what the location is about.
func (e *external) request(x *Exchange) (*http.Request, error) {
	target, err := url.Parse(string(e.url.value(x)))
	if err != nil {
		return nil, err
	}
	r := &http.Request{
		Method: orText(e.Method, "GET"), URL: target, Host: target.Hostname(), Header: x.headers(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	h := r.Header
	h.Del("X-Forwarded-Proto")
	set := func(name, value string) { h[http.CanonicalHeaderKey(name)] = []string{value} }
	set("X-Request-ID", string(x.Request.ID))
	if e.Method != "" {
		set("X-Original-URI", string(x.Request.Target))
		set("X-Scheme", x.Scheme)
	}
	set("X-Original-URL", x.connScheme()+"://"+string(x.Request.Authority)+string(x.Request.Target))
	set("X-Original-Method", x.Request.Method)
	set("X-Sent-From", "nginx-ingress-controller")
	set("X-Real-IP", x.Client.String())
	set("X-Forwarded-For", x.forwardedFor())
	set("X-Auth-Request-Redirect", string(e.redirect.value(x)))
	x.certificateFields(func(name, value []byte) { set(string(name), string(value)) })
	for i := range e.fields {
		setHTTP(r, e.fields[i].name, e.fields[i].value.value(x))
	}
	e.runSnippet(x, r)
	return r, nil
}

// runSnippet runs the statements of auth-snippet that change the question.
func (e *external) runSnippet(x *Exchange, r *http.Request) {
	for i := range e.snippet {
		s := &e.snippet[i]
		if s.when != nil && !s.when.met(x) {
			continue
		}
		switch s.Op {
		case settings.SetHeader, settings.SetRequest:
			setHTTP(r, s.name, s.value.value(x))
		case settings.SetVariable:
			x.set(s.slot, s.value.raw(x))
		case settings.SetMethod:
			if method := s.value.value(x); isToken(method) {
				r.Method = string(method)
			}
		}
	}
}

// setHTTP sets a field of a request, or removes it where value is empty.
func setHTTP(r *http.Request, name, value []byte) {
	switch key := http.CanonicalHeaderKey(string(name)); {
	case key == "Host":
		r.Host = string(value)
	case len(value) == 0:
		delete(r.Header, key)
	default:
		r.Header[key] = []string{string(value)}
	}
}

// signIn is where clients without credentials are sent to.
type signIn struct{ to *template }

// signIn compiles auth-signin; nil: there is none.
func (c *compiler) signIn() *signIn {
	auth := c.auth()
	if auth == nil || auth.SignIn == "" {
		return nil
	}
	return &signIn{to: c.template("auth-signin", signInURL(auth.SignIn, orText(auth.RedirectParam, "rd")))}
}

// signInURL adds the parameter with the URL that the client has asked for, unless the URL has it.
func signInURL(text, param string) string {
	_, query, has := strings.Cut(text, "?")
	separator := "?"
	if has && query != "" {
		values, err := url.ParseQuery(query)
		if err == nil && values.Get(param) != "" {
			return text
		}
		separator = "&"
	}
	return text + separator + param + "=$pass_access_scheme://$http_host$escaped_request_uri"
}

func (s *signIn) answer(x *Exchange) {
	mark := len(x.own.arena.buf)
	x.own.arena.buf = s.to.append(x.own.arena.buf, x)
	x.location(mark, 302, ReasonSignIn)
}
