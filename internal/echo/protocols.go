package echo

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// websocketKey is what RFC 6455, section 1.3 adds to a client's key.
const websocketKey = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// maxFrame bounds a frame that the server reads, in bytes.
const maxFrame = 64 << 10

// The opcodes of RFC 6455 that the server knows.
const (
	opText  = 1
	opClose = 8
)

// websocket answers each text with the pod's name, a space, and that text (RFC 6455), until the client closes or the server ends.
func (s *Server) websocket(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" {
		http.Error(w, "this path speaks WebSocket", http.StatusUpgradeRequired)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(key + websocketKey)) //nolint:gosec
	fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	for buffered.Flush() == nil {
		op, text, err := readFrame(buffered.Reader)
		if err != nil || op == opClose {
			_ = writeFrame(buffered.Writer, opClose, nil)
			_ = buffered.Flush()
			return
		}
		if err := writeFrame(buffered.Writer, opText, []byte(s.config.Identity.Pod+" "+string(text))); err != nil {
			return
		}
	}
}

// readFrame reads a whole frame of a client.
func readFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0]&0x80 == 0 || head[1]&0x80 == 0 {
		return 0, nil, errors.New("a frame is in pieces, or not masked")
	}
	length := uint64(head[1] & 0x7f)
	switch length {
	case 126:
		var n uint16
		err = binary.Read(r, binary.BigEndian, &n)
		length = uint64(n)
	case 127:
		err = binary.Read(r, binary.BigEndian, &length)
	}
	if err != nil {
		return 0, nil, err
	}
	if length > maxFrame {
		return 0, nil, fmt.Errorf("a frame has %d bytes", length)
	}
	framed := make([]byte, 4+length) // the mask, then the payload
	if _, err := io.ReadFull(r, framed); err != nil {
		return 0, nil, err
	}
	payload = framed[4:]
	for i := range payload {
		payload[i] ^= framed[i%4]
	}
	return head[0] & 0x0f, payload, nil
}

// writeFrame writes a frame of a server, which is not masked.
func writeFrame(w *bufio.Writer, op byte, payload []byte) error {
	head := []byte{0x80 | op, byte(len(payload))}
	if len(payload) > 125 {
		head[1] = 126
		head = binary.BigEndian.AppendUint16(head, uint16(min(len(payload), 1<<16-1)))
	}
	_, err := w.Write(append(head, payload...))
	return err
}

// The parts of a gRPC health check (grpc.health.v1.Health/Check): SERVING or NOT_SERVING as a message of one field.
const (
	grpcHealth  = "/grpc.health.v1.Health/Check"
	grpcServing = "\x00\x00\x00\x00\x02\x08\x01"
	grpcNot     = "\x00\x00\x00\x00\x02\x08\x02"
)

// grpcCheck answers a health check over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func (s *Server) grpcCheck(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor < 2 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		http.Error(w, "this path speaks gRPC", http.StatusUnsupportedMediaType)
		return
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxFrame)); err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	w.Header().Set("X-Pod", s.config.Identity.Pod)
	message := grpcNot
	if s.Ready() {
		message = grpcServing
	}
	_, _ = io.WriteString(w, message)
	w.Header().Set("Grpc-Status", "0")
}
