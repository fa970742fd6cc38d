package http2

import (
	"errors"

	"golang.org/x/net/http2/hpack"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// Call is one exchange with a server. One task sends, one receives; they may be the same.
type Call struct {
	stream
	client   *Client
	response message.Response
	headed   bool // the head of the response has come
}

// Response waits for the head of the response, leaving interim ones out. It is valid as long as the call.
func (k *Call) Response() (*message.Response, error) {
	begun := k.c.loop.Now()
	for !k.headed {
		if k.err != nil {
			return nil, k.err
		}
		if err := k.await(begun); err != nil {
			return nil, err
		}
	}
	return &k.response, nil
}

// Ended says whether the response, as far as it has come, is whole: after Response, that it has no body.
func (k *Call) Ended() bool { return k.recvEnded && len(k.in) == 0 }

// Read returns a piece of the response's body, valid until the next call, and io.EOF after the last.
func (k *Call) Read() ([]byte, error) { return k.read() }

// Trailer returns the fields after the body, once Read has returned io.EOF, or Ended is true.
func (k *Call) Trailer() message.Header { return k.trailer }

// Write sends a piece of the request's body.
func (k *Call) Write(p []byte) error { return k.write(p) }

// End ends the request.
func (k *Call) End(trailer message.Header) error { return k.end(trailer) }

// Close ends the call; the server is told if it is not over.
func (k *Call) Close() {
	k.c.consumed(len(k.in))
	k.in = k.in[:0]
	k.abort(codeCancel, ErrAborted)
}

// Unprocessed says whether a request that failed was not looked at by the server, so that another one can be asked.
func Unprocessed(err error) bool {
	var reset ResetError
	return errors.As(err, &reset) && reset.Refused()
}

// fields takes the head of a response, or the trailer.
func (k *Call) fields(end bool) error {
	b := &k.client.block
	if k.headed {
		return k.takeTrailer(b.fields, end)
	}
	status, rest, problem := statusOf(b.fields)
	if problem == "" && status < 200 {
		if end || status == 101 {
			return streamError{k.id, codeProtocol, "an interim response that ends the stream, or a change of protocol"}
		}
		return k.c.overhead("an interim response")
	}
	k.response = message.Response{Status: status, Length: -1, Header: k.response.Header[:0]}
	if problem == "" {
		problem = k.takeHead(rest)
	}
	if problem != "" {
		return streamError{k.id, codeProtocol, problem}
	}
	k.headed = true
	if end {
		if k.response.Length < 0 {
			k.response.Length = 0
		}
		k.endReceived()
	} else {
		k.declared = k.response.Length
	}
	k.reader.wake()
	return nil
}

// statusOf returns the status and the other fields of a response, or why it is malformed (RFC 9113 8.3.2).
func statusOf(fields []hpack.HeaderField) (int, []hpack.HeaderField, string) {
	if len(fields) == 0 || fields[0].Name != ":status" || len(fields[0].Value) != 3 {
		return 0, nil, "a response without a status"
	}
	n := parseLength(fields[0].Value)
	if n < 100 {
		return 0, nil, "a bad status"
	}
	return int(n), fields[1:], ""
}

func (k *Call) takeHead(fields []hpack.HeaderField) string {
	for _, f := range fields {
		if problem := badRegular(f); problem != "" {
			return problem
		}
		switch f.Name {
		case "content-length":
			n := parseLength(f.Value)
			if n < 0 || k.response.Length >= 0 {
				return "Content-Length that is no number, or there twice"
			}
			k.response.Length = n
		case "te", "trailer":
		default:
			k.response.Header = append(k.response.Header, message.Field{Name: []byte(f.Name), Value: []byte(f.Value)})
		}
	}
	return ""
}

func (k *Call) takeTrailer(fields []hpack.HeaderField, end bool) error {
	if !end {
		return streamError{k.id, codeProtocol, "a trailer without END_STREAM"}
	}
	for _, f := range fields {
		if problem := badRegular(f); problem != "" {
			return streamError{k.id, codeProtocol, problem}
		}
		k.trailer = append(k.trailer, message.Field{Name: []byte(f.Name), Value: []byte(f.Value)})
	}
	return k.receive(nil, true)
}
