package http2

import (
	"errors"
	"fmt"
	"os"
)

// Code is why a stream or connection ended (RFC 9113 section 7).
type Code uint32

const (
	codeNo              Code = 0x0
	codeProtocol        Code = 0x1
	codeInternal        Code = 0x2
	codeFlowControl     Code = 0x3
	codeSettingsTimeout Code = 0x4
	codeStreamClosed    Code = 0x5
	codeFrameSize       Code = 0x6
	codeRefused         Code = 0x7
	codeCancel          Code = 0x8
	codeCompression     Code = 0x9
	codeCalm            Code = 0xb
	codeHTTP11Required  Code = 0xd
)

// codeNames are those of RFC 9113 7.
func (c Code) String() string {
	names := [...]string{
		"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
		"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
	}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// connError ends a connection with GOAWAY.
type connError struct {
	code   Code
	reason string
}

func (e connError) Error() string { return fmt.Sprintf("http2: %s: %s", e.code, e.reason) }

// streamError ends one stream with RST_STREAM.
type streamError struct {
	id     uint32
	code   Code
	reason string
}

func (e streamError) Error() string {
	return fmt.Sprintf("http2: stream %d: %s: %s", e.id, e.code, e.reason)
}

// ResetError is why an exchange failed: the peer has reset its stream.
type ResetError struct{ Code Code }

func (e ResetError) Error() string { return "http2: the peer has reset the stream: " + e.Code.String() }

// Refused says whether the peer has not processed the request at all, so that it can be sent again (RFC 9113 8.7).
func (e ResetError) Refused() bool { return e.Code == codeRefused }

var (
	// ErrTimeout is why an exchange failed whose peer was silent, or took no data, for too long: an os.ErrDeadlineExceeded.
	ErrTimeout = fmt.Errorf("http2: the peer took too long: %w", os.ErrDeadlineExceeded)
	// ErrClosed is why an exchange failed whose connection has ended.
	ErrClosed = errors.New("http2: the connection is closed")
	// ErrAborted is what an exchange returns after Abort.
	ErrAborted = errors.New("http2: the exchange was aborted")
)
