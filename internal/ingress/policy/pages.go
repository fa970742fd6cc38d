package policy

import (
	"strconv"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/variable"
)

// errorPages compiles custom-http-errors.
func (c *compiler) errorPages() {
	if c.settings.Errors.Backend != nil && c.location.Denied == "" {
		c.fallback = c.location.Errors
	}
	codes := c.settings.Errors.Codes
	if len(codes) == 0 || c.location.Errors == nil {
		return
	}
	c.page = c.location.Errors
	c.pages = make(map[int]bool, len(codes))
	for _, code := range codes {
		c.pages[code] = true
	}
}

// Intercept returns where an error page comes from instead of an answer with this status; nil: the answer is sent as it is. The
// request for the page is what x.Method, x.Target, x.HostField and x.Edits are then, without a body. If the page cannot be had, the
// answer is sent after all; PageStatus says with which status it goes out.
func (p *Policy) Intercept(x *Exchange, status int) *route.Backend {
	if p == nil || !p.pages[status] || status < 300 {
		return nil
	}
	if x.own.ours && (x.Answer.Body != nil || status < 400) || !x.own.ours && p.settings.Errors.Off {
		return nil
	}
	x.own.paged = true
	x.own.request.Reset()
	x.own.request.Upstream = p.page.Upstream
	x.Edits = x.Edits[:0]
	x.HostField = x.Authority
	if x.Method != "HEAD" {
		x.Method = "GET"
	}
	mark := len(x.own.arena.buf)
	x.own.arena.buf = append(x.own.arena.buf, '/')
	if len(x.Request.Query) > 0 {
		x.own.arena.buf = append(append(x.own.arena.buf, '?'), x.Request.Query...)
	}
	x.Target = x.own.arena.keep(mark)
	x.editPage(status)
	x.edit(forwardedForName, x.Client.AppendTo(nil))
	x.edit(originalURIName, x.Request.Target)
	return p.page
}

// editPage sets the fields that tell a default backend what it is to answer for.
func (x *Exchange) editPage(status int) {
	x.edit(codeName, strconv.AppendInt(nil, int64(status), 10))
	for i := range pageTexts {
		x.edit(pageTexts[i].name, pageTexts[i].value.value(x))
	}
}

// PageStatus is the status of an error page for an answer of ours, or of a backend, with status: that of the page, but for who was
// not let in. A page that does not know of X-Code would let them in (CVE-2026-24513).
func (x *Exchange) PageStatus(status, page int) int {
	if x.own.ours && (status == 401 || status == 403) && page < 400 {
		return status
	}
	return page
}

// pageTexts are the fields that a default backend is asked with, beside X-Code.
var (
	codeName         = []byte("X-Code")
	forwardedForName = []byte("X-Forwarded-For")
	originalURIName  = []byte("X-Original-URI")
	pageTexts        = []edit{
		{[]byte("X-Format"), &template{text: variable.Text{{Kind: variable.Header, Name: "accept"}}}},
		{[]byte("X-Namespace"), &template{text: variable.Text{{Kind: variable.Namespace}}}},
		{[]byte("X-Ingress-Name"), &template{text: variable.Text{{Kind: variable.IngressName}}}},
		{[]byte("X-Service-Name"), &template{text: variable.Text{{Kind: variable.ServiceName}}}},
		{[]byte("X-Service-Port"), &template{text: variable.Text{{Kind: variable.ServicePort}}}},
		{[]byte("X-Request-ID"), &template{text: variable.Text{{Kind: variable.RequestID}}}},
	}
)
