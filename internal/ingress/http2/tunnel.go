package http2

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// acceptGUID is what RFC 6455 4.2.2 appends to the client's key.
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// extended makes an upgrade of HTTP/1.1 of an extended CONNECT (RFC 8441), as that is what backends know.
func (x *exchange) extended(protocol string) {
	r := &x.request
	x.tunnel, x.declared = true, -1
	r.Method, r.Upgrade, r.Length = "GET", protocol, 0
	if protocol != "websocket" {
		return
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	x.key = base64.StdEncoding.EncodeToString(nonce[:])
	r.Header = append(r.Header, message.Field{Name: x.keep("sec-websocket-key"), Value: x.keep(x.key)})
}

// accept makes the answer 200 of an answer 101. One to another key than ours is not from a WebSocket server.
func (x *exchange) accept(r *message.Response) error {
	if x.key != "" {
		sum := sha1.Sum([]byte(x.key + acceptGUID))
		if string(r.Header.Get("sec-websocket-accept")) != base64.StdEncoding.EncodeToString(sum[:]) {
			return x.Respond(&message.Response{Status: 502, Length: 0}, true)
		}
	}
	x.responded = true
	b := appendStatus(x.c.fieldsBegin(), 200)
	for _, f := range r.Header {
		if !message.Equal(f.Name, "sec-websocket-accept") && !connectionSpecific(f.Name) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	x.c.scratch = b
	x.last = x.c.sendBlock(x.id, b, false)
	return nil
}
